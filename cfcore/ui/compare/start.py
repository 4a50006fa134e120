"""What starts runs: the split and the seed that they share, what they take, and five ways at the press of one button.

A visit may have one group of runs under way, so that everybody else in the queue gets a turn.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import streamlit as st

from cfcore.config import FOLDS, RunRequest, SplitConfig
from cfcore.limits import Limits
from cfcore.ratings import Ratings
from cfcore.runs import Run
from cfcore.sweep import Cost, cost, five_ways
from cfcore.ui import state
from cfcore.ui.compare import state as cs
from cfcore.ui.compare.rows import split_text
from cfcore.ui.components import how_many
from cfcore.ui.frame import guard
from cfcore.ui.queue import class_refusal, enqueue
from cfcore.ui.settings import SPLIT_TITLES
from cfcore.ui.words import count, memory, plain, seconds, sentence

_USUAL = {"kind": "random", "seed": 42}
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
        busy = cs.under_way()
        barred = class_refusal(requests)
        start.button(
            "Five ways, one split",
            key="compare:five-ways",
            type="primary",
            icon=":material/play_arrow:",
            disabled=price is None or bool(problem or busy or barred),
            on_click=_start,
            args=(requests, ratings.about.title),
        )
        if problem:
            st.error(sentence(problem), icon=":material/error:")
        elif barred:
            st.caption("Your class has its own split and approaches: train those on the Train page, one by one.")
        elif busy:
            one_at_a_time(busy)
        elif price is not None:
            st.caption(f"Trains all five approaches on the same ratings. {price_text(len(requests), price)}")


def ground(ratings: Ratings) -> SplitConfig | None:
    """Let the person choose the split and the seed; ``None`` where the seed cannot be used, and says so."""
    chosen = _chosen()
    if chosen["kind"] not in ratings.split_kinds():
        chosen["kind"] = _USUAL["kind"]
    split, problem = None, ""
    try:
        split = _split(chosen)
    except ValueError as error:
        problem = sentence(str(error))
    words = split_text(split) if split else "choose another seed"
    with st.popover(f"{plain(ratings.about.title)}, {plain(words)}", icon=":material/call_split:"):
        st.caption(
            "All runs get the same ratings, the same split and the same seed, so that only the approach differs."
        )
        kind, seed = "compare:split", "compare:seed"
        st.session_state[kind], st.session_state[seed] = chosen["kind"], chosen["seed"]
        st.selectbox(
            "Validation split",
            ratings.split_kinds(),
            format_func=SPLIT_TITLES.__getitem__,
            key=kind,
            on_change=lambda: chosen.update(kind=st.session_state[kind]),
        )
        st.number_input(
            "Seed, of the split and of the weights",
            value=None,
            step=1,
            format="%d",
            key=seed,
            on_change=lambda: chosen.update(
                seed=_USUAL["seed"] if st.session_state[seed] is None else st.session_state[seed]
            ),
        )
        st.page_link("pages/data.py", label="Other ratings", icon=":material/table_view:")
    if problem:
        st.error(problem, icon=":material/error:")
    return split


def seed() -> int:
    """The chosen seed."""
    return _chosen()["seed"]


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
    """The same in a sentence: workers share the runs between them, after those that are before them in the queue."""
    status = state.jobs().status()
    workers = max(1, min(status.n_workers, Limits.from_environment().running))
    before = status.queued + status.running
    took = f"{how_many(n_runs, 'run', 'runs')} take roughly {seconds(price.seconds / min(workers, n_runs))}"
    with_ = f" with {workers} workers" if workers > 1 else ", one after the other"
    turn = f" {how_many(before, 'run is', 'runs are')} before them in the queue." if before else ""
    return f"{took}{with_}, and {memory(price.memory_mb)} of memory.{turn}"


def one_at_a_time(busy: Sequence[Run]) -> None:
    """Why nothing more can be started now, and the way to the runs under way; gone as soon as they have ended."""
    st.fragment(_wait, run_every=cs.LIVE_SECONDS)(busy[0].group)


def _wait(group: str) -> None:
    with guard():
        busy = [run for run in cs.under_way() if run.group == group]
        if not busy:
            st.rerun()  # the buttons can be pressed again
        with st.container(horizontal=True, gap="small", vertical_alignment="center", key=f"compare-wait-{group}"):
            left = "is 1 run" if len(busy) == 1 else f"are {count(len(busy))} runs"
            st.caption(
                f"There {left} left of what you started last. One group at a time, because the queue is everybody's: "
                "wait for it, or stop it.",
                width="content",
            )
            show = st.button("Show it", key="compare:show-busy", type="tertiary", icon=":material/visibility:")
        if show:  # not in a callback: after that only this fragment would be drawn again
            cs.show_group(group)
            st.rerun()


def queue(requests: Sequence[RunRequest], title: str) -> list[str]:
    """Queue runs that belong together; gives their ids, none where a group of this visit is under way already."""
    if cs.under_way():  # a second press before the page has shown that it came too late
        return []
    return [run.id for run in enqueue(requests, title, group=secrets.token_urlsafe(12))]


def _start(requests: Sequence[RunRequest], title: str) -> None:
    kept = cs.memory()  # first: once runs are queued, a look at the session may end this
    ids = queue(requests, title)
    if ids:
        kept["selected"] = ids


def _chosen() -> dict[str, Any]:
    return st.session_state.setdefault("compare-ground", dict(_USUAL))


def _split(chosen: dict[str, Any]) -> SplitConfig:
    """The split; where it has no seed, the weights of the runs still do, so the seed is checked all the same."""
    SplitConfig.of("random", seed=chosen["seed"])
    kind = chosen["kind"]
    return SplitConfig.of(kind) if kind in (*FOLDS, "time") else SplitConfig.of(kind, seed=chosen["seed"])
