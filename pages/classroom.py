"""Class: train side by side, on the same split, and see on one board who predicts best."""

from urllib.parse import urlsplit

import streamlit as st

from cfcore.ratings import Ratings
from cfcore.rooms import Room, tidy_code
from cfcore.ui import state
from cfcore.ui.classroom.board import board
from cfcore.ui.classroom.door import door, show
from cfcore.ui.classroom.student import student_panel
from cfcore.ui.classroom.teacher import teacher_panel
from cfcore.ui.frame import arrived, page


def asked_for() -> str:
    """The code that the page was asked for, by a link or by what was pressed here."""
    if arrived() and "room" in st.query_params:
        show(tidy_code(st.query_params["room"]))
    return st.session_state.get("class", "")


def shown_room() -> Room | None:
    """The class that is shown: the one asked for, else the one this browser is in."""
    code = asked_for()
    room = state.store().rooms.get(code) if code else None
    if code and room is None:
        state.tell(
            "There is no class with this code here: its teacher has deleted it, or it ran on another server. "
            "Your runs are kept: the Compare page lists them."
        )
        st.session_state.pop("class", None)
    if room is None:
        joined = state.classroom()
        room = joined[0] if joined else None
    return room


def link_to(room: Room) -> str:
    """The address that lets students in: the code, and never the secret."""
    here = urlsplit(st.context.url or "http://localhost:8501")
    return f"{here.scheme}://{here.netloc}{here.path.removesuffix('/classroom').rstrip('/')}/classroom?room={room.code}"


def classroom(ratings: Ratings) -> None:
    room = shown_room()
    joined = state.classroom()
    inside = room is not None and joined is not None and joined[0].code == room.code
    teaches = room is not None and state.store().rooms.teaches(room.code, state.visitor())
    if room is None or not (inside or teaches):
        door(ratings, room.code if room else "")
        state.write_address({"room": room.code} if room else {})
        return
    left, right = st.columns([1, 2.3], gap="medium")
    with left:
        if teaches:
            teacher_panel(room, link_to(room))
        if inside and joined is not None:
            student_panel(room, joined[1])
        if teaches and not inside:
            st.button("Another class", icon=":material/arrow_back:", type="tertiary", on_click=show, args=("",))
    with right:
        board(room)
    state.write_address({"room": room.code})


with page("Class", "Who in the class predicts held-out ratings best?") as ratings:
    classroom(ratings)
