"""Into a class: join one, open one, or teach one again from another browser."""

from __future__ import annotations

import time

import streamlit as st

from cfcore.config import SplitConfig
from cfcore.datasets import SOURCES
from cfcore.limits import Limits
from cfcore.ratings import Ratings
from cfcore.rooms import CODE_LENGTH, NAME_LENGTH, RoomError, Rules
from cfcore.ui import draft, state
from cfcore.ui.classroom.board import forget
from cfcore.ui.words import plain, sentence

SECRETS = "class-secrets"  # of this visit: room code to the secret that was just given out
TWICE_SECONDS = 5.0  # a second press so soon after the first does not ask for a second class


def door(ratings: Ratings, code: str) -> None:
    """Three ways in, side by side; ``code`` is what a link asked for."""
    joining, opening, teaching = st.columns(3, gap="medium")
    with joining:
        _join(code)
    with opening:
        _open(ratings)
    with teaching:
        _teach(code)
    mine = state.store().rooms.taught_by(state.visitor())
    if mine:
        st.markdown("**Classes you teach**")
        for room in mine:
            words = "closed" if room.closed else f"works with {title_of(room.rules.dataset)}"
            st.button(
                f"{room.code} · {plain(words)}",
                key=f"class:{room.code}",
                type="tertiary",
                icon=":material/groups:",
                on_click=show,
                args=(room.code,),
            )


def title_of(dataset: str) -> str:
    """A data set's title; its own name, where it is nobody's but this server's."""
    return SOURCES[dataset].title if dataset in SOURCES else dataset


def show(code: str) -> None:
    """Show this class from now on."""
    st.session_state["class"] = code


def _join(code: str) -> None:
    with st.form("class-join", height="stretch"):
        st.markdown("**Join a class**")
        typed = st.text_input("Code", value=code, max_chars=2 * CODE_LENGTH, help="Your teacher has it.")
        name = st.text_input(
            "Your name on the board",
            max_chars=4 * NAME_LENGTH,  # the field drops a longer text without a word, the room says what is wrong
            help=f"The class sees it beside your runs. It need not be your real one; {NAME_LENGTH} letters at most.",
        )
        pressed = st.form_submit_button("Join", type="primary", icon=":material/login:", width="stretch")
    if not pressed:
        return
    try:
        room = state.store().rooms.join(typed, state.visitor(), name)
    except RoomError as problem:
        st.error(sentence(str(problem)), icon=":material/error:")
    else:
        forget()
        show(room.code)
        st.rerun()


def _open(ratings: Ratings) -> None:
    with st.container(border=True, height="stretch"):
        st.markdown("**Open a class**")
        st.markdown(
            "You get a code for your students, and a secret that lets you teach this class from another browser. "
            "Everybody trains the same data on the same split, and sees on one board who predicts best."
        )
        st.caption(f"It begins with {plain(ratings.about.title)}; you choose data, split and approaches afterwards.")
        pressed = st.button("Open a class", icon=":material/add:", width="stretch")
    if not pressed:
        return
    for room in state.store().rooms.taught_by(state.visitor()):
        if abs(time.time() - room.created) < TWICE_SECONDS:
            show(room.code)
            st.rerun()
    split = SplitConfig.of("u1") if "u1" in ratings.split_kinds() else SplitConfig.of("random")
    rules = Rules(dataset=ratings.about.name, split=split, approaches=draft.CHOICES)
    try:
        most = Limits.from_environment().rooms
        given = st.session_state.setdefault(SECRETS, {})  # first: a press more may end this at a look at the session
        room, secret = state.store().rooms.open(rules, state.visitor(), most)
    except ValueError as problem:
        st.error(sentence(str(problem)), icon=":material/error:")
    else:
        given[room.code] = secret
        show(room.code)
        st.rerun()


def _teach(code: str) -> None:
    with st.form("class-teach", height="stretch"):
        st.markdown("**Teach a class again**")
        typed = st.text_input("Code", value=code, max_chars=2 * CODE_LENGTH, key="class-teach-code")
        secret = st.text_input("Teacher's secret", type="password", max_chars=60, autocomplete="off")
        pressed = st.form_submit_button("Teach", icon=":material/key:", width="stretch")
    if not pressed:
        return
    try:
        room = state.store().rooms.teach(typed, secret, state.visitor())
    except RoomError as problem:
        st.error(sentence(str(problem)), icon=":material/error:")
    else:
        show(room.code)
        st.rerun()
