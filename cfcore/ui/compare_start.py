"""Five ways, one split: one button that queues all five approaches on the same ratings."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import streamlit as st

from cfcore.config import RunRequest
from cfcore.ratings import Ratings
from cfcore.sweep import Cost, cost, five_ways
from cfcore.ui import compare_state as cs
from cfcore.ui import state
from cfcore.ui.compare_ground import ground, seed
from cfcore.ui.components import how_many
from cfcore.ui.words import memory, seconds, sentence

LEARN, ARTICLE = "learn", "article"
_NAMES = {LEARN: "Settings that learn", ARTICLE: "As in the article"}
_HELP = (
    "The article's settings hardly train the first two approaches, and take the other three through small batches. "
    "Settings that learn take a larger learning rate for the first two, and larger batches for the other three."
)


def five_ways_form(ratings: Ratings) -> None:
    """The button, which settings, what the runs are measured on, and what it all takes."""
    with st.container(border=True):
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            start = st.container(width="content")
            which = st.segmented_control(
                "Settings",
                list(_NAMES),
                default=LEARN,
                required=True,
                format_func=_NAMES.__getitem__,
                key="compare:five",
                label_visibility="collapsed",
                persist_state="session",
                help=_HELP,
            )
            split = ground(ratings)
        requests: Sequence[RunRequest] = ()
        if split is not None:
            name, scale = ratings.about.name, ratings.scale
            requests = five_ways(name, split, seed=seed(), scale=scale, that_learn=which != ARTICLE)
        price, problem = price_of(requests, ratings)
        start.button(
            "Five ways, one split",
            key="compare:five-ways",
            type="primary",
            icon=":material/play_arrow:",
            disabled=price is None or bool(problem),
            on_click=_start,
            args=(requests, ratings.about.title),
        )
        if problem:
            st.error(sentence(problem), icon=":material/error:")
        elif price is not None:
            st.caption(f"Trains all five approaches on the same ratings. {price_text(len(requests), price)}")


def price_of(requests: Sequence[RunRequest], ratings: Ratings) -> tuple[Cost | None, str]:
    """What the runs take together, and why they cannot be, where they cannot."""
    if not requests:
        return None, ""
    try:
        n_train, n_valid = state.split_sizes(requests[0].dataset, requests[0].split.to_json())
    except ValueError as problem:
        return None, str(problem)
    price = cost(requests, n_train=n_train, n_valid=n_valid, n_users=ratings.n_users, n_items=ratings.n_items)
    return price, price.refused or ""


def price_text(n_runs: int, price: Cost) -> str:
    """The same in a sentence: workers share the runs between them."""
    workers = max(1, state.jobs().status().n_workers)
    took = f"{how_many(n_runs, 'run', 'runs')} take roughly {seconds(price.seconds / min(workers, n_runs))}"
    with_ = f" with {workers} workers" if workers > 1 else ", one after the other"
    return f"{took}{with_}, and {memory(price.memory_mb)} of memory."


def queue(requests: Sequence[RunRequest], title: str) -> list[str]:
    """Queue runs that belong together; gives their ids."""
    state.keep_dataset()
    group, mine = secrets.token_urlsafe(12), state.visitor()
    return [state.jobs().submit(each, visitor=mine, dataset_title=title, group=group).id for each in requests]


def _start(requests: Sequence[RunRequest], title: str) -> None:
    cs.choose(queue(requests, title))
