"""What somebody in a class sees beside its board: who they are, what to train, and which of their runs are shown."""

from __future__ import annotations

import streamlit as st

from cfcore.approaches import FIELDS, describe
from cfcore.rooms import Person, Room, RoomError
from cfcore.ui import draft, state
from cfcore.ui.classroom.board import forget
from cfcore.ui.classroom.door import title_of
from cfcore.ui.settings import split_words
from cfcore.ui.words import error, plain, sentence

MOST_LISTED = 8


def student_panel(room: Room, person: Person) -> None:
    with st.container(border=True):
        st.markdown(f"You are **{plain(person.name)}** in class **{room.code}**.")
        if (called := person.called(named=room.named)) != person.name:
            st.caption(
                f"The board calls you {called}: your teacher has hidden {'your name' if room.named else 'all names'}."
            )
        if room.closed:
            st.info("This class is closed: its board stays, and you may train what you like.", icon=":material/lock:")
        else:
            _task(room)
            st.page_link("pages/train.py", label="Train a run", icon=":material/model_training:")
            st.toggle(
                "Show my runs on the board",
                value=person.shows,
                key="class:shows",
                on_change=_shows,
                help="Those that you start from now on. Each can be taken off below.",
            )
    _my_runs(room)
    st.button("Leave the class", icon=":material/logout:", type="tertiary", on_click=_leave)


def _task(room: Room) -> None:
    rules = room.rules
    closed = {name for key in rules.approaches for name in rules.closed(key)}
    all_open = len(rules.approaches) == len(draft.CHOICES)
    what = "Train any approach" if all_open else "Train one of these"
    st.markdown(f"{what} on {plain(title_of(rules.dataset))} ({plain(split_words(rules.split).lower())}).")
    if not all_open:
        st.markdown("\n".join(f"- {plain(describe(key).title)}" for key in rules.approaches))
    if closed:
        names = ", ".join(FIELDS[name].label.lower() for name in FIELDS if name in closed)
        st.caption(f"Kept at their usual values: {plain(names)}.")


def _shows() -> None:
    state.store().rooms.show_from_now(state.visitor(), shows=st.session_state["class:shows"])


def _my_runs(room: Room) -> None:
    """The latest runs of this visit on the class's split that can be ranked, each with a switch for the board."""
    store, mine = state.store(), state.visitor()
    shown = store.rooms.shown(room.code)
    latest = [run for run in store.list(visitor=mine, limit=50) if room.rules.concerns(run.request)]
    runs = [run for run in latest if run.active or run.metrics or run.id in shown][:MOST_LISTED]
    if not runs:
        return
    st.markdown("**Your runs here**")
    for run in runs:
        is_shown = run.id in shown
        measured = run.metrics.valid_rmse if run.metrics else None
        words = f"RMSE {error(measured)}" if measured is not None else run.status
        st.button(
            plain(f"{run.name or describe(run.request.config.approach).title} · {words}"),
            key=f"class:mine:{run.id}",
            type="tertiary",
            icon=":material/check_box:" if is_shown else ":material/check_box_outline_blank:",
            help="On the board: press to take it off." if is_shown else "Not on the board: press to show it.",
            disabled=room.closed,
            on_click=_switch,
            args=(run.id, not is_shown),
        )


def _switch(run_id: str, on: bool) -> None:
    rooms, rules = state.store().rooms, state.rules()
    if on and rules is not None:
        try:
            rooms.show([run_id], state.visitor(), state.ratings(rules.dataset).scale)
        except RoomError as problem:
            state.tell(sentence(str(problem)))
    else:
        rooms.take_off(run_id, state.visitor())
    forget()


def _leave() -> None:
    if joined := state.classroom():
        state.tell(f"You have left class {joined[0].code}. What you have on its board stays there.")
    state.store().rooms.leave(state.visitor())
    forget()
    st.session_state.pop("class", None)
    st.session_state.pop(state.CLASS, None)
