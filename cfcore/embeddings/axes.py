"""Names for directions: what is known of the movies that goes along with where they stand on an axis.

The model was told no genre, no year and no fame; an axis that follows one of them has found it in the ratings. The
measure is Pearson's correlation r over the movies. For popularity it takes log10 of the training ratings, because
counts of ratings have a long tail; for a genre, 1 where a movie has it and 0 where not.

With some twenty things to compare with, the strongest correlation of a meaningless axis is not 0. So an axis is only
said to follow what is both strong (|r| of at least 0.3) and beyond what the best of T meaningless comparisons reaches
once in twenty axes: tanh(z / sqrt(m - 3)), z the normal quantile of 1 - 0.05 / 2T (Fisher's transformation,
Bonferroni's correction).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from cfcore.embeddings.facts import Facts

STRONG = 0.3
_ENDS = 5  # movies named at either end
_FEWEST = 5  # movies with a genre, and without: one or two would make any r


@dataclass(frozen=True, eq=False, kw_only=True)
class Axis:
    """``low`` and ``high`` (5,) rows from the outermost movie inwards, and ``words`` without a full stop.

    ``correlations`` are pairs of a name and r, the strongest first; ``follows`` those of them, at most two, that are
    strong and no accident: the ones in ``words``. ``chance`` is the r that a meaningless axis exceeds with its best
    comparison once in twenty times.
    """

    low: np.ndarray
    high: np.ndarray
    correlations: tuple[tuple[str, float], ...]
    follows: tuple[tuple[str, float], ...]
    chance: float
    words: str


def describe_axes(
    scores: np.ndarray, facts: Facts, names: Sequence[str], among: npt.ArrayLike | None = None
) -> tuple[Axis, ...]:
    """Say what each column of ``scores`` (m, c) follows, and which movies stand at its ends; ``names`` (c,) call them.

    ``among`` (n,) rows are the movies to look at, for example those that a map shows; all where it is left out. The
    vectors of little-rated movies are mostly noise, so an axis is clearer among the better known. Fewer than ten
    movies share themselves between the ends.
    """
    rows = np.arange(len(scores)) if among is None else np.unique(np.asarray(among, dtype=np.int64))
    columns = np.ascontiguousarray(np.asarray(scores, dtype=np.float64)[rows].T)  # (c, n)
    known = _known(facts, rows)
    table = _correlations(columns, list(known.values()))  # (c, T)
    order = rows[np.argsort(columns, axis=1, kind="stable")]  # (c, n)
    return tuple(
        _describe(name, dict(zip(known, found, strict=True)), outwards)
        for name, found, outwards in zip(names, table, order, strict=True)
    )


def describe_axis(scores: np.ndarray, facts: Facts, name: str = "PC1", among: npt.ArrayLike | None = None) -> Axis:
    """Say what one axis ``scores`` (m,) follows; see :func:`describe_axes`."""
    return describe_axes(np.asarray(scores)[:, None], facts, [name], among)[0]


def correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    """Pearson's r of ``x`` (m,) and ``y`` (m,) where both are known, ``None`` where either does not vary."""
    both = np.isfinite(x) & np.isfinite(y)
    r = float(_correlations(x[None, both], [y[both]])[0, 0])
    return None if math.isnan(r) else r


def by_chance(n_movies: int, n_compared: int) -> float:
    """The |r| that the best of ``n_compared`` meaningless comparisons exceeds once in twenty times."""
    if n_movies <= 4 or n_compared == 0:
        return 1.0
    return math.tanh(NormalDist().inv_cdf(1 - 0.05 / (2 * n_compared)) / math.sqrt(n_movies - 3))


def _describe(name: str, found: Mapping[str, float], order: np.ndarray) -> Axis:
    """The axis whose correlations are ``found`` and on which the movies stand in this ``order`` (n,)."""
    usable = [(what, float(r)) for what, r in found.items() if not math.isnan(r)]
    ranked = sorted(usable, key=lambda pair: -abs(pair[1]))
    chance = by_chance(len(order), len(ranked))
    follows = tuple(pair for pair in ranked if abs(pair[1]) >= max(STRONG, chance))[:2]
    n = min(_ENDS, len(order) // 2)
    return Axis(
        low=order[:n],
        high=order[::-1][:n],
        correlations=tuple(ranked),
        follows=follows,
        chance=chance,
        words=_in_words(name, ranked, follows),
    )


def _known(facts: Facts, rows: np.ndarray) -> dict[str, np.ndarray]:
    """What an axis is compared with, by name: one value (n,) for each of ``rows``, NaN where unknown."""
    count = facts.n_ratings[rows]
    known = {
        "year": facts.year[rows],
        "popularity": np.log10(np.where(count > 0, count, np.nan)),
        "mean rating": facts.mean_rating[rows],
    }
    for genre, has in zip(facts.genre_names, facts.genres[rows].T, strict=True):
        if _FEWEST <= has.sum() <= len(has) - _FEWEST:
            known[genre] = has.astype(np.float64)
    return known


def _correlations(scores: np.ndarray, known: Sequence[np.ndarray]) -> np.ndarray:
    """Pearson's r (c, T) of every row of ``scores`` (c, n) with every one of ``known`` (n,), NaN where undefined."""
    table = np.full((len(scores), len(known)), np.nan)
    whole = _standardised(scores)
    for at, values in enumerate(known):
        there = np.isfinite(values)
        if there.sum() >= 3:
            some = whole if there.all() else _standardised(scores[:, there])
            table[:, at] = np.clip(some @ _standardised(values[None, there])[0], -1, 1)
    return table


def _standardised(rows: np.ndarray) -> np.ndarray:
    """The rows (c, n) less their means, of length 1; NaN where a row does not vary by more than rounding."""
    if rows.shape[1] == 0:
        return rows
    centred = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    varies = length > 1e-12 * np.linalg.norm(rows, axis=1, keepdims=True)
    return centred / np.where(varies, length, np.nan)


def _in_words(name: str, ranked: Sequence[tuple[str, float]], follows: Sequence[tuple[str, float]]) -> str:
    if not follows:
        nearest = f"; the nearest is {ranked[0][0]}, {_r(ranked[0][1])}" if ranked else ""
        return f"{name} follows nothing we know{nearest}"
    said, last = [], ""
    for what, r in follows:
        verb = "follows " if r > 0 else "runs against "
        said.append(f"{verb if verb != last else ''}{what}, {_r(r)}")
        last = verb
    return f"{name} {', and '.join(said)}"


def _r(value: float) -> str:
    return f"r = {value:.2f}".replace("-", "−")
