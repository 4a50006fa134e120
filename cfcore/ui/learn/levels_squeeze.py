"""The 40 GB mystery: what a missing ``squeeze(1)`` costs, and that it can only learn the mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from cfcore.charts.levels import BROADCAST, RIGHT, guesses_chart, losses_chart
from cfcore.config import SplitConfig
from cfcore.memory import FLOAT
from cfcore.ratings import Ratings
from cfcore.ui import state
from cfcore.ui.components import choose_one, show_table, table_size
from cfcore.ui.frame import guard
from cfcore.ui.learn.ask import asked
from cfcore.ui.learn.state import aha, memory
from cfcore.ui.words import count, error

SIZES = (100, 200, 400)
ARTICLE_TRAIN, ARTICLE_ALL = 75_000, 100_000  # three quarters of MovieLens 100K, and all of it


def squeeze(ratings: Ratings) -> None:
    """The bytes, then the button, and after it both losses and what each has learned."""
    with guard():
        st.markdown(
            "**The 40 GB mystery.** The article's network gives predictions of shape `(n, 1)`, the ratings have shape "
            "`(n,)`. Without `squeeze(1)` their difference is no error message but a table of `(n, n)`: every "
            f"prediction is compared with every rating. For its {count(ARTICLE_TRAIN)} training ratings one difference "
            f"takes {in_words(needed(ARTICLE_TRAIN)[1])} and its square as much again, before the backward pass has "
            f"begun; for all {count(ARTICLE_ALL)} one alone takes {in_words(needed(ARTICLE_ALL)[1])}. Either would be "
            'its "around 40 GB".'
        )
        _sizes(ratings)
        sizes = {size: f"{min(size, len(ratings))} ratings" for size in SIZES if size <= max(len(ratings), SIZES[0])}
        n = min(
            choose_one("Ratings to train on", sizes, "learn:squeeze-n", max(size for size in sizes if size <= 200)),
            len(ratings),
        )
        few = some(ratings, n)
        result = asked(
            memory("levels"),
            f"squeeze-{n}",
            "lesson",
            lambda: {"what": "squeeze", **few},
            label="Train it both ways",
            at_work="Training the network with and without squeeze",
        )
        if result is not None:
            _show(result, few["ratings"])


def some(ratings: Ratings, n: int) -> dict[str, np.ndarray]:
    """``n`` ratings at random: ``users`` and ``movies`` (n,) counted anew from 0, and ``ratings`` (n,)."""
    rows = np.random.default_rng(42).permutation(len(ratings))[:n]
    users, movies = (np.unique(idx[rows], return_inverse=True)[1] for idx in (ratings.user_idx, ratings.item_idx))
    return {"users": users, "movies": movies, "ratings": ratings.rating[rows]}


def needed(n: int) -> tuple[int, int]:
    """The bytes of the difference of n predictions and ratings in float32, with ``squeeze(1)`` and without."""
    right, wrong = (np.broadcast_shapes(shape, (n,)) for shape in ((n,), (n, 1)))
    return FLOAT * int(np.prod(right)), FLOAT * int(np.prod(wrong))


def in_words(n_bytes: float) -> str:
    """Bytes to three figures, as people write them: ``300 kB``, ``22.5 GB``."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= unit:
            return f"{n_bytes / unit:.3g} {name}"
    return f"{n_bytes:.0f} bytes"


def _sizes(ratings: Ratings) -> None:
    """The bytes of one difference, here and in the article."""
    rows = {"the article's three quarters": ARTICLE_TRAIN, "all of MovieLens 100K": ARTICLE_ALL}
    try:
        n_train, _ = state.split_sizes(ratings.about.name, SplitConfig.of("random").to_json())
        rows = {f"training part of {ratings.about.title}": n_train, **rows}
    except ValueError:  # so few ratings that they cannot be split: the other rows say it all
        pass
    table = pd.DataFrame(
        [(f"{count(n)}: {name}", *map(in_words, needed(n))) for name, n in rows.items()],
        columns=["One difference of n ratings", "(n,) with squeeze", "(n, n) without"],
    )
    show_table(
        table,
        hide_index=True,
        width="stretch",
        **table_size(len(table)),
        alt=f"Table of bytes. The article's 75,000 training ratings need {in_words(needed(ARTICLE_TRAIN)[1])} without "
        f"squeeze, all 100,000 {in_words(needed(ARTICLE_ALL)[1])}.",
    )
    st.caption("In float32, 4 bytes a number.")


def _show(result: Mapping[str, Any], ratings: np.ndarray) -> None:
    mean, variance = float(ratings.mean(dtype=np.float64)), float(ratings.var(dtype=np.float64))
    losses = {RIGHT: result["right_loss"], BROADCAST: result["broadcast_loss"]}
    guesses = {RIGHT: result["right_predictions"], BROADCAST: result["broadcast_predictions"]}
    spreads = {name: float(values.std(dtype=np.float64)) for name, values in guesses.items()}
    left, right = st.columns(2, gap="medium")
    left.altair_chart(
        losses_chart(losses, variance),
        width="stretch",
        alt=f"Line chart of both losses over {result['steps']} steps, ending at {error(losses[RIGHT][-1])} with "
        f"squeeze and {error(losses[BROADCAST][-1])} without; the variance of the ratings is {error(variance)}.",
    )
    right.altair_chart(
        guesses_chart(ratings, guesses, mean),
        width="stretch",
        alt=f"Scatter of predictions by rating: with squeeze they spread by {spreads[RIGHT]:.2f}, without by "
        f"{spreads[BROADCAST]:.2f} around the mean {mean:.2f}.",
    )
    shapes = [", ".join(count(each) for each in result[f"{name}_shape"]) for name in ("right", "broadcast")]
    st.caption(
        f"The same network from the same weights, Adam at {result['rate']:g} (the highest rating counts as 5), "
        f"{result['steps']} steps on {count(len(ratings))} ratings, which it can learn by heart. The difference had "
        f"shape ({shapes[0]},) with squeeze and ({shapes[1]}) without."
    )
    st.latex(r"\frac{1}{n^2}\sum_{i,j}(p_i - r_j)^2 = (\bar p - \bar r)^2 + \mathrm{var}(p) + \mathrm{var}(r)")
    st.markdown(
        "No prediction meets its own rating any more, only their means meet. The sum is smallest where every "
        f"prediction is the mean rating: then it is the variance of the ratings, {error(variance)} here."
    )
    aha(
        f"Without squeeze the loss stops at {error(losses[BROADCAST][-1])} and the predictions spread by only "
        f"{spreads[BROADCAST]:.2f} around {mean:.2f}, the mean; with it they spread by {spreads[RIGHT]:.2f}, "
        f"and the ratings by {variance**0.5:.2f}."
    )
