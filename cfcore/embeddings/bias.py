"""Learned biases beside plain means: what a movie's bias says that the mean of its ratings does not.

A bias is what is left of a movie's ratings once the people who gave them, and what they like, are accounted for. So it
parts from the plain mean for three reasons, and the difference is their sum, in stars:

    stars_i - mean_i = (mu - raters_i)                who rated it: generous raters lift a mean, not a bias
                     + (n_i / (n_i + d) - 1) e_i      few ratings: a bias starts at 0 and moves with every rating
                     + the rest                       what the factors carry: raters who like its kind lift a mean

with e_i = mean_i - raters_i, raters_i the mean of its raters' own means, n_i its ratings and mu the mean of all
ratings. n_i / (n_i + d) e_i is the damped bias of the baseline; d is the damping that goes best with this run's biases,
and stars_i = mu + a + c bias_i puts them on its scale by least squares (behind a sigmoid they are not in stars).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cfcore.embeddings.axes import correlation
from cfcore.embeddings.facts import Facts

REASONS = ("raters", "few ratings", "taste")
_DAMPINGS = (0, 1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True, eq=False, kw_only=True)
class BiasTable:
    """``liked`` and ``disliked`` (n,) rows of the highest and lowest biases; ``apart`` where bias and mean differ most,
    first where the bias says more than the mean, then where it says less, each half of them at most.

    ``stars`` (m,) is what each bias says as a mean rating, ``gap`` (m,) = stars - mean rating, and ``parts`` (m, 3) its
    parts in the order of ``REASONS``. ``bias_rank`` and ``mean_rank`` (m,) count from 1, the best. ``why`` says in
    words, for each of ``apart``, what most of its gap comes from.
    """

    liked: np.ndarray
    disliked: np.ndarray
    apart: np.ndarray
    why: tuple[str, ...]
    stars: np.ndarray
    gap: np.ndarray
    parts: np.ndarray
    bias_rank: np.ndarray
    mean_rank: np.ndarray


def bias_table(facts: Facts, n: int = 10, at_least: int = 1) -> BiasTable:
    """Set the learned biases beside the plain means; only movies with ``at_least`` training ratings are listed.

    Raises:
        ValueError: the model learned no biases, or no movie has so many ratings.
    """
    if facts.bias is None:
        raise ValueError("this model learns no bias for a movie: choose a run of fastai's dot product")
    listed = np.flatnonzero(facts.n_ratings >= max(1, at_least))
    if len(listed) == 0:
        raise ValueError(f"no movie has {at_least:,} training ratings: ask for fewer")
    stars, parts = _account(facts)
    gap = parts.sum(axis=1)
    by_bias = listed[np.argsort(-facts.bias[listed], kind="stable")]
    by_gap = listed[np.argsort(-gap[listed], kind="stable")]
    more, less = by_gap[gap[by_gap] > 0], by_gap[gap[by_gap] < 0]
    apart = np.concatenate([more[: n - n // 2], less[max(len(less) - n // 2, 0) :]])
    return BiasTable(
        liked=by_bias[:n],
        disliked=by_bias[::-1][:n],
        apart=apart,
        why=tuple(_why(facts, parts[row], row) for row in apart),
        stars=stars,
        gap=gap,
        parts=parts,
        bias_rank=_rank(facts.bias),
        mean_rank=_rank(facts.mean_rating),
    )


def _account(facts: Facts) -> tuple[np.ndarray, np.ndarray]:
    """``stars`` (m,) and ``parts`` (m, 3); both NaN for a movie without training ratings."""
    bias, count = np.asarray(facts.bias), facts.n_ratings
    mu = np.nansum(facts.mean_rating * count) / count.sum()
    above = facts.mean_rating - facts.raters_mean  # e, (m,)
    candidates = [above * count / np.maximum(count + d, 1) for d in _DAMPINGS]
    damped = max(candidates, key=lambda each: correlation(each, bias) or 0.0)
    slope, shift = _line(bias, damped, count)
    stars = mu + shift + slope * bias
    parts = np.stack([mu - facts.raters_mean, damped - above, stars - mu - damped], axis=1)
    return stars, parts


def _line(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Slope and shift of the weighted least-squares line; flat where x does not vary. Weight 0 leaves a NaN out."""
    w = np.where(np.isfinite(y), weights, 0) / weights.sum()
    y = np.where(np.isfinite(y), y, 0)
    x_mean, y_mean = w @ x, w @ y
    spread = w @ (x - x_mean) ** 2
    slope = float(w @ ((x - x_mean) * (y - y_mean)) / spread) if spread > 0 else 0.0
    return slope, float(y_mean - slope * x_mean)


def _why(facts: Facts, parts: np.ndarray, row: int) -> str:
    """The part that carries most of the gap, in words."""
    reason = REASONS[int(np.argmax(parts * np.sign(parts.sum())))]
    if reason == "raters":
        kind = "severe" if parts[0] > 0 else "generous"
        return f"its raters are {kind}: over all that they rate, they give {facts.raters_mean[row]:.2f} on average"
    if reason == "few ratings":
        n = int(facts.n_ratings[row])
        return f"{n:,} rating{'' if n == 1 else 's'}: too few to move its bias all the way from 0"
    if facts.carried is None or (facts.carried[row] - _typical(facts.carried, facts.n_ratings)) * parts[2] >= 0:
        return "something else: neither who rated it, nor how many, nor what the factors add explains it"
    kind = "less" if parts[2] > 0 else "more"
    return f"its raters like its kind {kind} than others do, and the factors say so instead of its bias"


def _typical(carried: np.ndarray, n_ratings: np.ndarray) -> float:
    """What the factors add to a rating on average."""
    known = np.isfinite(carried) & (n_ratings > 0)
    return float(np.average(carried[known], weights=n_ratings[known])) if known.any() else 0.0


def _rank(values: np.ndarray) -> np.ndarray:
    """1 for the greatest value; equal values in the order of their rows."""
    rank = np.empty(len(values), dtype=np.int64)
    rank[np.argsort(-values, kind="stable")] = np.arange(1, len(values) + 1)
    return rank
