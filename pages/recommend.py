"""Recommend: what would somebody, or you, like, and why."""

from collections.abc import Callable

import streamlit as st

from cfcore.ratings import Ratings
from cfcore.ui import state, you
from cfcore.ui.frame import arrived, page
from cfcore.ui.recommend.pair import pair_section
from cfcore.ui.recommend.ranking import ranking_section
from cfcore.ui.recommend.user import user_section
from cfcore.ui.recommend.your_list import you_section
from cfcore.ui.runs import Chosen, choose_run

SECTIONS: dict[str, Callable[[Chosen], None]] = {
    "A user": user_section,
    "You": you_section,
    "One pair": pair_section,
    "Ranking quality": ranking_section,
}


def read_address() -> None:
    """On arrival, keep the ratings of a link until it is known which data set they belong to."""
    if "you" in st.query_params:
        st.session_state["you-link"] = st.query_params["you"]
        st.session_state["recommend-section"] = "You"


def take_link(ratings: Ratings) -> None:
    text = st.session_state.get("you-link")
    problems = you.take_link(ratings, text) if text else []
    st.session_state["you-link"] = None  # only now: another press may have ended this half-way
    if problems:
        state.tell(
            "\n".join(["Of the ratings in this link, these could not be used:", "", *map("- {}".format, problems)])
        )


with page("Recommend", "What would somebody, or you, like to see next, and why?") as ratings:
    if arrived():
        read_address()
    chosen = choose_run("recommend")
    take_link(chosen.ratings if chosen else ratings)
    if chosen is not None:
        st.session_state.setdefault("recommend-section", "A user")
        section = st.segmented_control(
            "Section",
            list(SECTIONS),
            required=True,
            key="recommend-section",
            label_visibility="collapsed",
            persist_state="session",
        )
        SECTIONS[section or "A user"](chosen)
        state.write_address(you.address(chosen))
