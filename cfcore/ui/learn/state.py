"""What a lesson remembers, what a teacher has hidden, and how a lesson says its point."""

from __future__ import annotations

from typing import Any

import streamlit as st

from cfcore.ui import state


def memory(lesson: str, **defaults: Any) -> dict[str, Any]:
    """The plain values of a lesson, kept for the visit; ``defaults`` stand where nothing was kept yet.

    They belong to a data set: on another one, people and films have other numbers, and the lesson starts anew.
    """
    lessons = st.session_state.setdefault("learn", {})
    kept = lessons.setdefault((lesson, state.dataset()), {})
    for name, value in defaults.items():
        kept.setdefault(name, value)
    return kept


def hidden(name: str) -> bool:
    """Whether the address hides this control."""
    return name in st.session_state.get("learn-hide", ())


def hide(names: list[str]) -> None:
    """Hide these controls from now on, and only these."""
    st.session_state["learn-hide"] = names


def aha(text: str) -> None:
    """The sentence to take away, set off from the rest."""
    st.success(text, icon=":material/lightbulb:")
