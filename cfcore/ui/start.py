"""What a run would be and cost, and the button that starts it."""

from __future__ import annotations

import streamlit as st

from cfcore.approaches import describe
from cfcore.config import RunRequest
from cfcore.ratings import Ratings
from cfcore.ui import draft, state
from cfcore.ui.queue import is_mine, price
from cfcore.ui.result import submit
from cfcore.ui.settings import approach_picker, article_button, settings_form, split_form, split_words
from cfcore.ui.words import memory, plain, seconds, sentence


def settings_column(ratings: Ratings) -> RunRequest | None:
    """Approach, button, settings; gives what would be trained, or ``None`` where that cannot be."""
    rules = state.rules()
    approach = approach_picker(rules.approaches if rules else draft.CHOICES)
    start = st.container()
    config = settings_form(approach, ratings, rules.closed(approach) if rules else ())
    if rules is None:
        split = split_form(approach, ratings)
    else:
        split = rules.split
        st.caption(f"Your class's split: {plain(split_words(split))}.")
    request = None
    if config is not None and split is not None:
        request = RunRequest(dataset=ratings.about.name, split=split, config=config)
    with start:
        _start_buttons(approach, ratings, request)
    return request


def _start_buttons(approach: str, ratings: Ratings, request: RunRequest | None) -> None:
    """Train, the article's preset, and what the run would take."""
    cost, refusal = None, "One of the settings cannot be used: see below."
    wrong = next((said for _, said in draft.wrong().values()), "")
    if request is not None:
        try:
            cost = price(request)
        except ValueError as problem:
            refusal = str(problem)
        else:
            refusal = cost.refused if cost else None
    shown = state.store().get(st.session_state.get("run", ""))
    again = shown is not None and shown.active and shown.request == request and is_mine(shown)  # a second press
    left, right = st.columns(2, gap="small")
    with left:
        st.button(
            "Train",
            key="train",
            type="primary",
            icon=":material/play_arrow:",
            width="stretch",
            disabled=again or bool(refusal) or request is None,
            on_click=submit,
            args=(request, ratings.about.title),
        )
    with right:
        article_button(approach)
    if refusal:
        st.error(wrong or sentence(refusal), icon=":material/error:")
    elif cost is not None:
        st.caption(
            f"Takes roughly {seconds(cost.seconds)} and {memory(cost.memory_mb)} on two cores. {cost.instead}".strip()
        )
    if shown is not None:  # on a phone the run lies far below
        ran = shown.request.config.approach
        whose = "" if ran == approach else f"{plain(describe(ran).title)} · "
        words = {"queued": "Waiting: [see its place]", "running": "Training: [see its curves]"}
        link = words.get(shown.status, f"{shown.status.capitalize()}: [see the run]")
        st.caption(f"{whose}{link}(#run).")
