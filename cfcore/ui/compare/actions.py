"""What can be done with the chosen runs: rename, stop, delete and take that back, open on another page."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from cfcore.runs import Run
from cfcore.ui.compare import state as cs
from cfcore.ui.components import how_many
from cfcore.ui.frame import guard
from cfcore.ui.queue import is_mine

_PAGES = (
    ("pages/train.py", "Open in Train", ":material/model_training:"),
    ("pages/explore.py", "Explore", ":material/bubble_chart:"),
    ("pages/recommend.py", "Recommend", ":material/thumb_up:"),
)


def actions(chosen: Sequence[Run]) -> None:
    """Buttons for the chosen runs of this visit; runs of others may be looked at, and nothing else."""
    mine = [run for run in chosen if is_mine(run)]
    ids = [run.id for run in mine]
    active = [run.id for run in mine if run.active]
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        _rename(mine)
        st.button(
            f"Stop {len(active)}" if active else "Stop",
            key="compare:stop",
            icon=":material/stop_circle:",
            disabled=not active,
            help=None if active else "None of your chosen runs is under way.",
            on_click=cs.stop,
            args=(active,),
        )
        st.button(
            f"Delete {len(ids)}" if ids else "Delete",
            key="compare:delete",
            icon=":material/delete:",
            disabled=not ids,
            help="Your chosen runs. It can be undone." if ids else "Choose runs of yours.",
            on_click=cs.delete,
            args=(ids,),
        )
        if len(chosen) == 1:
            for path, label, icon in _PAGES if chosen[0].status in ("done", "stopped") else _PAGES[:1]:
                st.page_link(path, label=label, icon=icon, query_params={"run": chosen[0].id})
        if len(chosen) > len(mine):
            others = len(chosen) - len(mine)
            st.caption(
                f"{how_many(others, 'chosen run is', 'chosen runs are')} of somebody else, to look at and export only.",
                width="content",
            )


def _rename(mine: Sequence[Run]) -> None:
    """A field for the name of the one chosen run."""
    with st.popover("Rename", icon=":material/edit:", disabled=len(mine) != 1, help=_why_not(mine)):
        if len(mine) != 1:
            return
        run, key = mine[0], f"compare:name:{mine[0].id}"
        st.session_state[key] = run.name
        st.text_input(
            "Name of this run",
            key=key,
            max_chars=60,
            placeholder="Empty for the name of its approach",
            on_change=lambda: cs.rename(run.id, st.session_state[key]),
        )


def _why_not(mine: Sequence[Run]) -> str | None:
    return None if len(mine) == 1 else "Choose one run of yours."


def undo_notice() -> None:
    """What was deleted last, with the way back."""
    cs.settle()
    if cs.memory()["leaving"]:
        st.fragment(_settle, run_every=cs.LIVE_SECONDS)()
    deleted = cs.memory()["deleted"]
    if not deleted:
        return
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.info(f"{how_many(len(deleted), 'run', 'runs')} deleted.", icon=":material/delete:", width="stretch")
        st.button("Undo", key="compare:undo", icon=":material/undo:", on_click=cs.undo)
        st.button("Dismiss", key="compare:dismiss", type="tertiary", on_click=cs.forget_deleted)


def _settle() -> None:
    """Runs that were stopped to be deleted end within a second; nothing is drawn meanwhile."""
    with guard():
        cs.settle()
        if not cs.memory()["leaving"]:
            st.rerun()  # and with it, this fragment ends
