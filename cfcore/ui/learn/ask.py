"""What a lesson has a worker compute: the quick at once, the rest at the press of a button and kept for the visit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from cfcore.aside import LOST, Task
from cfcore.ui import state
from cfcore.ui.frame import draw_when, guard
from cfcore.ui.words import sentence

_MOMENT = 0.3  # seconds to wait for a worker before the page is drawn without its answer
_PAUSE = 5.0  # seconds after which what failed is asked for once more: there is nothing to press


def quick(lesson: str, key: str, inputs: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The result of a task of :mod:`cfcore.lessons.tasks`; ``None`` until it is there, and then the page is drawn anew.

    Meanwhile, or where it failed, this place says so; where the worker was lost, or none was to be had, it asks again.
    """
    task = state.jobs().compute("lesson", key, dict(inputs), again=True, owner=f"{state.visitor()}:{lesson}")
    if not task.wait(_MOMENT):
        st.caption("Waiting for a worker.")
        draw_when(lambda: task.ended)
        return None
    if task.result is None:
        st.warning(sentence(task.message), icon=":material/cloud_off:")
        if task.message == LOST or state.jobs().status().state == "failed":
            again = time.monotonic() + _PAUSE
            draw_when(lambda: time.monotonic() > again)
    return task.result


def asked(
    kept: dict[str, Any], name: str, kind: str, inputs: Callable[[], Mapping[str, Any]], *, label: str, at_work: str
) -> Mapping[str, Any] | None:
    """The button ``label``, then how far the worker is, then the result of the task; ``None`` until it is there.

    ``kept`` is the lesson's memory and ``name`` the result's place in it; ``at_work`` says what the worker does.
    """
    tries = kept.get(f"{name}:tries", 0)
    if tries:
        key = f"{name}:{state.dataset()}:{state.visitor()}:{tries}"
        owner = f"{state.visitor()}:{name}"
        task = state.computed(kept, name, lambda: state.jobs().compute(kind, key, inputs(), owner=owner), _MOMENT)
        if not task.ended:
            st.fragment(_watch, run_every=0.5)(task, at_work)
            return None
        if task.result is not None:
            return task.result
        st.warning(sentence(task.message), icon=":material/cloud_off:")

    def press() -> None:
        kept[f"{name}:tries"] = tries + 1

    again = "Try again" if tries else label
    st.button(again, type="primary", icon=":material/play_arrow:", key=f"learn:{name}", on_click=press)
    return None


def _watch(task: Task, at_work: str) -> None:
    """How far the task is; at its end the page runs once more."""
    with guard():
        if task.ended:
            st.rerun()
        st.progress(task.progress, text=at_work if task.state == "running" else f"{at_work}: waiting for a worker")
