"""How good the ten films are that a run puts first, beside user + movie bias, with a sentence for each measure."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import streamlit as st

from cfcore.metrics import Ranking
from cfcore.ranking import AT, liked_from
from cfcore.training import Metrics
from cfcore.ui.components import how_many
from cfcore.ui.frame import guard
from cfcore.ui.recommend.facts import stars
from cfcore.ui.runs import Chosen, look_again
from cfcore.ui.words import count, percent

ALIKE = 0.1  # of the baseline's NDCG: on MovieLens 100K the difference of two has a standard error of about 5.5%
FORMULAS = Path(__file__).parents[3] / "docs" / "ranking.md"

# name, title, whether it is a share, whether more is better (None: neither), what it asks
MEASURES = (
    ("precision", f"Precision@{AT}", True, True, "Of the ten films shown to a user, the share that they liked."),
    ("recall", f"Recall@{AT}", True, True, "Of the held-out films that a user liked, the share among the ten."),
    ("ndcg", f"NDCG@{AT}", False, True, "As recall, but a hit counts more the higher it stands; 1 is a perfect list."),
    ("hit_rate", "Hit rate", True, True, "The share of users who find at least one film that they liked."),
    ("coverage", "Coverage", True, None, "The share of all films that is shown to anybody at all."),
    (
        "mean_popularity",
        "Mean popularity",
        False,
        None,
        "The training ratings that a film shown has on average: high where everybody is shown what is known anyway.",
    ),
)


def ranking_section(chosen: Chosen) -> None:
    """The section of the ranking quality; of a run that trains it says when it will be there."""
    st.fragment(_ranking, run_every=chosen.refresh)(chosen)


def _ranking(chosen: Chosen) -> None:
    with guard():
        chosen = look_again(chosen)
        metrics = chosen.run.metrics
        if chosen.live or metrics is None:
            st.info(
                "The ranking quality is measured once the run has ended: the worker then ranks every film for every "
                "user with a held-out film that they liked.",
                icon=":material/hourglass_top:",
            )
        elif metrics.ranking is None:
            st.info(
                f"There is no ranking quality for this run: {_why_none(chosen)}",
                icon=":material/info:",
            )
        else:
            _measures(chosen, metrics, metrics.ranking)
        _formulas()


def _why_none(chosen: Chosen) -> str:
    _, _, rating = chosen.split.part(chosen.split.valid)
    if not (rating >= liked_from(chosen.ratings.scale)).any():
        return "no held-out rating is high enough to count as liked. Hold out more ratings."
    return "it was trained before that was measured. Train it again."


def _measures(chosen: Chosen, metrics: Metrics, found: Ranking) -> None:
    bias = metrics.baseline_bias_ranking
    liked = stars(liked_from(chosen.ratings.scale))
    st.markdown(
        f"Every film is ranked by its prediction for each of {how_many(found.n_users, 'user', 'users')} who rated a "
        f"held-out film {liked} or more; the first ten are compared with those films. What a user never rated counts "
        "as wrong, although nobody knows: all values are low, and mean something only beside each other."
    )
    asked = np.unique(chosen.split.part(chosen.split.valid)[0][_liked(chosen)])
    if found.n_users < len(asked):
        st.caption(
            f"A sample: {count(found.n_users)} of {count(len(asked))} such users were measured, as all would take too "
            "long."
        )
    columns = [column for half in (st.columns(3, gap="small"), st.columns(3, gap="small")) for column in half]
    for column, (name, title, share, more, words) in zip(columns, MEASURES, strict=True):
        value = getattr(found, name)
        other = None if bias is None else getattr(bias, name)
        with column.container(border=True, height="stretch"):
            st.metric(
                title,
                _number(value, share),
                delta=_difference(value, other, share),
                delta_color="off" if more is None else "normal",
            )
            if other is not None:
                st.markdown(f"User + movie bias: {_number(other, share)}")
            st.caption(words)
    if bias is not None:
        st.markdown(_verdict(metrics, found, bias))


def _liked(chosen: Chosen) -> np.ndarray:
    return chosen.split.part(chosen.split.valid)[2] >= liked_from(chosen.ratings.scale)


def _verdict(metrics: Metrics, found: Ranking, bias: Ranking) -> str:
    """What the two together say, in a sentence or two, and nothing that they do not say."""
    better, worse = found.ndcg > bias.ndcg * (1 + ALIKE), found.ndcg < bias.ndcg * (1 - ALIKE)
    ranks = "ranks better than" if better else "ranks worse than" if worse else "ranks about as well as"
    words = f"By NDCG this run {ranks} user + movie bias."
    wider = found.coverage / bias.coverage if bias.coverage else 1.0
    if better and wider > 1.5:  # noise shows many different films too: only beside a better ranking is it to its credit
        words += f" It shows {wider:.1f} times as many different films: it knows whom it talks to."
    if found.coverage < 0.05:
        words += f" All its lists together hold {percent(found.coverage)} of the films."
    rmse = metrics.valid_rmse
    if worse and rmse is not None and rmse < metrics.baseline_bias_rmse:
        words += (
            " Yet its RMSE is better. A model may predict ratings better and still rank worse: RMSE weighs all films "
            "alike, a list only the first."
        )
    return words


def _number(value: float, share: bool) -> str:
    if share:
        return percent(value)
    return count(value) if value >= 10 else f"{value:.3f}"


def _difference(value: float, other: float | None, share: bool) -> str | None:
    """How far above or below the baseline, as the two numbers are shown; nothing where that rounds to nothing."""
    if other is None:
        return None
    digits = 3 if share or max(value, other) < 10 else 0
    change = round(value, digits) - round(other, digits)
    if share:
        words = f"{100 * change:+.1f} points"
    else:
        words = f"{change:+,.0f}" if max(value, other) >= 10 else f"{change:+.3f}"
    return words if re.search("[1-9]", words) else None


def _formulas() -> None:
    if FORMULAS.is_file():
        with st.expander("Formulas and definitions", icon=":material/function:"):
            st.markdown(FORMULAS.read_text(encoding="utf-8").partition("\n")[2])
