"""Pictures of a data set: how ratings are spread, who gets them, and the holes in the user x movie matrix."""

from __future__ import annotations

import json
from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from cfcore.charts.scales import Picture

# One ramp for both backgrounds: every step stands out from white and from near-black.
_STARS = ["#C6DDF0", "#97C5E5", "#61A5D5", "#3286C3", "#1668AC"]
_DIVERGING = ["#B35806", "#F1A340", "#F7F1E3", "#7FB7DE", "#0B4F87"]
_DARK_INK, _LIGHT_INK = "#10202E", "#FFFFFF"


def rating_histogram(rating: np.ndarray, *, height: int = 220) -> Picture:
    """How often each rating value was given; ``rating`` (n,)."""
    values, counts = _histogram(rating)
    table = pd.DataFrame({"rating": [f"{value:g}" for value in values], "n": counts, "share": counts / counts.sum()})
    base = alt.Chart(table).encode(
        x=alt.X("rating:N", sort=None, title="Rating", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("n:Q", title=None, axis=alt.Axis(format=",d", tickCount=4)),
        tooltip=[
            alt.Tooltip("rating:N", title="Rating"),
            alt.Tooltip("n:Q", title="Ratings", format=","),
            alt.Tooltip("share:Q", title="Share", format=".1%"),
        ],
    )
    bars = base.mark_bar(cornerRadiusTopLeft=2, cornerRadiusTopRight=2)
    shares = base.mark_text(dy=-7, color="#76828D").encode(text=alt.Text("share:Q", format=".0%"))
    return alt.layer(bars, shares).properties(height=height)


def rating_histogram_alt(rating: np.ndarray) -> str:
    """The rating histogram in a sentence."""
    values, counts = _histogram(rating)
    top = values[int(np.argmax(counts))]
    return (
        f"Bar chart of {len(rating):,} ratings by value, from {values[0]:g} to {values[-1]:g}; "
        f"the commonest is {top:g} ({counts.max() / counts.sum():.0%}), the mean {float(np.mean(rating)):.2f}."
    )


def popularity_curve(n_ratings: np.ndarray, *, height: int = 220) -> Picture:
    """The long tail: movies from the most to the least rated, on a logarithmic axis; ``n_ratings`` (M,) by movie."""
    rank, counts = _ranked(n_ratings)
    table = pd.DataFrame({"rank": rank, "n": counts})
    tens = [10**k for k in range(8) if 10**k <= counts.max(initial=1)]
    return (
        alt.Chart(table)
        .mark_line(strokeWidth=2.25)
        .encode(
            x=alt.X("rank:Q", title="Movies, most rated first", axis=alt.Axis(format=",d", grid=False, tickCount=4)),
            y=alt.Y("n:Q", title=None, scale=alt.Scale(type="log"), axis=alt.Axis(format=",d", values=tens)),
            tooltip=[
                alt.Tooltip("rank:Q", title="Rank", format=","),
                alt.Tooltip("n:Q", title="Ratings", format=","),
            ],
        )
        .properties(height=height)
    )


def popularity_alt(n_ratings: np.ndarray) -> str:
    """The long tail in a sentence: what share of the ratings the best known tenth of the movies has."""
    counts = np.sort(np.asarray(n_ratings))[::-1]
    tenth = max(1, len(counts) // 10)
    share = counts[:tenth].sum() / max(1, counts.sum())
    return (
        f"The best known tenth of the movies has {share:.0%} of all ratings; "
        f"the most rated movie has {counts[0]:,}, the median movie {int(np.median(counts)):,}."
    )


def matrix_corner(
    matrix: np.ndarray,
    users: Sequence[str],
    items: Sequence[str],
    *,
    scale: tuple[float, float],
    given: np.ndarray | None = None,
    height: int | None = None,
) -> Picture:
    """A corner of the rating matrix: a shaded cell with its number for a rating, nothing for none.

    Args:
        matrix: (u, m) ratings or predictions, NaN where there is none.
        users, items: the names of its rows and columns.
        scale: the lowest and highest rating, which are the ends of the shading.
        given: (u, m) bool, the cells that are ratings; the others are predictions, and show a decimal.
    """
    u, m = np.nonzero(np.isfinite(matrix))
    sure = np.ones(len(u), dtype=bool) if given is None else given[u, m]
    values = matrix[u, m].astype(float)
    middle = scale[0] + 0.6 * (scale[1] - scale[0])
    table = pd.DataFrame(
        {
            "user": u,
            "item": m,
            "who": np.array(users, dtype=object)[u],
            "what": np.array(items, dtype=object)[m],
            "rating": values,
            "label": [
                f"{value:g}" if is_rating else f"{value:.1f}" for value, is_rating in zip(values, sure, strict=True)
            ],
            "ink": np.where(values > middle, _LIGHT_INK, _DARK_INK),
        }
    )
    x = alt.X("item:O", title=None, scale=alt.Scale(domain=list(range(len(items)))), axis=_names(items, angle=-50))
    y = alt.Y("user:O", title=None, scale=alt.Scale(domain=list(range(len(users)))), axis=_names(users))
    base = alt.Chart(table).encode(x=x, y=y)
    cells = base.mark_rect(cornerRadius=2, stroke="white", strokeOpacity=0.25, strokeWidth=1).encode(
        color=alt.Color("rating:Q", legend=None, scale=_ramp(scale, _STARS)),
        tooltip=[
            alt.Tooltip("who:N", title="User"),
            alt.Tooltip("what:N", title="Movie"),
            alt.Tooltip("label:N", title="Rating"),
        ],
    )
    numbers = base.mark_text(fontSize=10).encode(text="label:N", color=alt.Color("ink:N", scale=None))
    # Independent: the cells' ramp and the numbers' ready-made colours cannot share one scale.
    layers = alt.layer(cells, numbers).resolve_scale(color="independent")
    return layers.properties(height=height or 22 * len(users) + 110)


def matrix_corner_alt(matrix: np.ndarray) -> str:
    """The corner in a sentence: its size, and how much of it is filled."""
    filled = np.isfinite(matrix)
    return (
        f"Grid of {matrix.shape[0]} users by {matrix.shape[1]} movies; "
        f"{int(filled.sum()):,} of {filled.size:,} cells ({filled.mean():.0%}) hold a rating, the rest are empty."
    )


def factor_matrix(
    matrix: np.ndarray, rows: Sequence[str], columns: Sequence[str], *, height: int | None = None, angle: int = 0
) -> Picture:
    """A matrix of latent factors as shaded cells with their numbers: orange below zero, blue above."""
    r, c = np.indices(matrix.shape)
    reach = float(np.abs(matrix).max()) or 1.0
    values = matrix.ravel().astype(float)
    table = pd.DataFrame(
        {
            "row": r.ravel(),
            "column": c.ravel(),
            "value": values,
            "label": [f"{value:.1f}".replace("-", "\u2212") for value in values],
            "ink": np.where(np.abs(values) > 0.7 * reach, _LIGHT_INK, _DARK_INK),
        }
    )
    x = alt.X("column:O", title=None, scale=alt.Scale(domain=list(range(len(columns)))), axis=_names(columns, angle))
    y = alt.Y("row:O", title=None, scale=alt.Scale(domain=list(range(len(rows)))), axis=_names(rows))
    base = alt.Chart(table).encode(x=x, y=y)
    cells = base.mark_rect(cornerRadius=2, stroke="white", strokeOpacity=0.25).encode(
        color=alt.Color("value:Q", legend=None, scale=_ramp((-reach, reach), _DIVERGING))
    )
    numbers = base.mark_text(fontSize=10).encode(text="label:N", color=alt.Color("ink:N", scale=None))
    layers = alt.layer(cells, numbers).resolve_scale(color="independent")
    return layers.properties(height=height or 22 * len(rows) + 30)


def factor_matrix_alt(matrix: np.ndarray, what: str) -> str:
    """A factor matrix in a sentence."""
    return f"Grid of {matrix.shape[0]} by {matrix.shape[1]} latent factors: {what}."


def _names(names: Sequence[str], angle: int = 0) -> alt.Axis:
    """An axis that shows ``names`` for the positions 0, 1, ...: names may repeat, positions cannot."""
    return alt.Axis(
        labelExpr=f"{json.dumps([str(name) for name in names])}[datum.value]",
        labelAngle=angle,
        labelLimit=110,
        labelOverlap=False,
        labelFlush=False,
        labelBound=False,
        ticks=False,
        domain=False,
        labelFontSize=11,
    )


def _ramp(ends: tuple[float, float], colours: list[str]) -> alt.Scale:
    return alt.Scale(domain=list(ends), range=colours, interpolate="rgb", clamp=True)


def _histogram(rating: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct values and their counts; twenty equal bins where there are more than that many values."""
    values, counts = np.unique(rating, return_counts=True)
    if len(values) > 20:
        counts, edges = np.histogram(rating, bins=20)
        values = np.round((edges[:-1] + edges[1:]) / 2, 2)
    return values, counts


def _ranked(n_ratings: np.ndarray, most: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Ranks from 1 and counts, descending, without zeros (a logarithm has none), thinned to ``most`` points."""
    counts = np.sort(np.asarray(n_ratings)[np.asarray(n_ratings) > 0])[::-1]
    keep = np.unique(np.linspace(0, len(counts) - 1, min(most, len(counts))).astype(int))
    return keep + 1, counts[keep]
