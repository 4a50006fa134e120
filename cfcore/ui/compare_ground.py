"""What several runs are started on, the same for all: the data set in use, a split, and a seed."""

from __future__ import annotations

from typing import Any

import streamlit as st

from cfcore.config import FOLDS, SplitConfig
from cfcore.ratings import Ratings
from cfcore.ui.compare_rows import split_text
from cfcore.ui.settings import SPLIT_TITLES
from cfcore.ui.words import plain, sentence

_USUAL = {"kind": "random", "seed": 42}


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


def _chosen() -> dict[str, Any]:
    return st.session_state.setdefault("compare-ground", dict(_USUAL))


def _split(chosen: dict[str, Any]) -> SplitConfig:
    """The split; where it has no seed, the weights of the runs still do, so the seed is checked all the same."""
    SplitConfig.of("random", seed=chosen["seed"])
    kind = chosen["kind"]
    return SplitConfig.of(kind) if kind in (*FOLDS, "time") else SplitConfig.of(kind, seed=chosen["seed"])
