"""What the biases of the ladder's last rung hold, and what is left for the factors."""

from __future__ import annotations

import math

import numpy as np
import streamlit as st

from cfcore.datasets import DataError
from cfcore.embeddings import bias_table
from cfcore.embeddings.axes import STRONG, by_chance, correlation
from cfcore.lessons.ladder import Parts, parts_of
from cfcore.runs import Run, StoreError
from cfcore.ui.components import show_table, table_size
from cfcore.ui.explore.space import Learned, learned
from cfcore.ui.learn.state import aha
from cfcore.ui.runs import look
from cfcore.ui.words import error, percent, sentence

N_FILMS, FEWEST = 4, 20  # films at either end of the biases, and the training ratings that they must have


def held(run: Run) -> None:
    """What the biases of the last rung go along with, and what they predict without any factor."""
    st.divider()
    st.markdown("**What the biases hold, and what is left for the factors**")
    try:
        chosen = look(run)
        if chosen is None:
            return
        space = learned(chosen)
        parts = parts_of(chosen.model, chosen.split)
        ends = bias_table(space.facts, n=N_FILMS, at_least=min(FEWEST, int(space.facts.n_ratings.max())))
    except (DataError, StoreError, ValueError) as problem:
        st.info(sentence(str(problem)), icon=":material/balance:")
        return
    bias, facts = np.asarray(space.facts.bias), space.facts
    with_mean = correlation(bias, facts.mean_rating)
    with_fame = correlation(bias, np.log10(np.maximum(facts.n_ratings, 1)))
    st.markdown(
        f"The correlation of a film's bias with its mean rating is r = {_r(with_mean)}, with how often it was rated "
        f"(log₁₀ of the count) r = {_r(with_fame)}: {captures(with_mean, with_fame, int(np.isfinite(bias).sum()))}"
    )
    left, right = st.columns(2, gap="medium")
    with left:
        _films(space, ends.liked, "Highest bias")
    with right:
        _films(space, ends.disliked, "Lowest bias")
    _parts(parts, run.baseline_bias_mse)


def captures(with_mean: float | None, with_fame: float | None, n_films: int) -> str:
    """What a bias that correlates like this over ``n_films`` has learned: only what is strong and beyond chance."""
    enough = max(STRONG, by_chance(n_films, 2))
    known = {"well liked": with_mean, "popular": with_fame}
    along = [what for what, r in known.items() if r is not None and r >= enough]
    against = [what for what, r in known.items() if r is not None and r <= -enough]
    missing = [what for what in known if what not in (*along, *against)]
    if len(missing) == len(known):
        return "it has learned neither which films are well liked nor which are popular."
    said = [f"it is high for films that are {' and '.join(along)}"] if along else []
    said += [f"it runs against how {' and how '.join(against)} a film is"] if against else []
    rest = f" Here it says little of which films are {missing[0]}." if missing else ""
    return f"{', and '.join(said)}.{rest}"


def _r(value: float | None) -> str:
    return "unknown" if value is None else f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def _films(space: Learned, rows: np.ndarray, title: str) -> None:
    facts = space.facts
    show_table(
        {
            title: space.title[rows],
            "Bias": np.asarray(facts.bias)[rows],
            "Mean": facts.mean_rating[rows],
            "Ratings": facts.n_ratings[rows],
        },
        hide_index=True,
        **table_size(len(rows)),
        column_config={
            title: st.column_config.TextColumn(width="medium"),
            "Bias": st.column_config.NumberColumn(format="%+.2f", width="small"),
            "Mean": st.column_config.NumberColumn(format="%.2f", width="small"),
            "Ratings": st.column_config.NumberColumn(format="localized", width="small"),
        },
        alt=f"Table of the {len(rows)} films with the {title.lower()}, first {space.title[rows[0]]}.",
    )


def _parts(parts: Parts, baseline: float | None) -> None:
    """What each part predicts alone; ``baseline`` is the MSE of user + movie bias."""
    rows = {
        "Predicts with": [
            "the mean rating",
            "the biases alone",
            "biases + shared part of the factors",
            "whole model",
        ],
        "RMSE": [error(parts.mean), error(parts.biases), error(parts.adding), error(parts.all)],
    }
    st.table(rows, hide_index=True)
    if baseline is not None and parts.biases**2 > baseline:
        st.caption(
            f"User + movie bias has {error(math.sqrt(baseline))}, and so is better than these biases alone: those were "
            "learned beside the factors, and leave part of the work to them."
        )
    st.caption(
        "The factors share in what biases are for: a film whose factors point along those of the average user is "
        "better for everybody, one whose factors point against them worse. "
        "The third row has all of the score that adds up from one number of the user and one of the film. What only "
        "the whole model has, taste, is different for each pair of a user and a film."
    )
    share = parts.share
    if share is None:
        st.info("This run is no better than the mean, so there is no gain to divide.", icon=":material/info:")
    elif 0 <= share <= 1:
        aha(
            f"Of what the model gains on the mean, in squared error, {percent(share)} needs no taste, only how "
            f"generous a user is and how well liked a film. Taste brings the other {percent(1 - share)}."
        )
    elif share > 1:
        st.markdown(
            f"What adds up is better alone ({error(parts.adding)}) than with taste ({error(parts.all)}): on the "
            "held-out ratings taste made this run worse, which is overfitting."
        )
    else:
        st.markdown(
            f"What adds up is worse alone ({error(parts.adding)}) than the mean ({error(parts.mean)}): in this run "
            "both parts only make sense together."
        )
