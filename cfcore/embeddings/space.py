"""The space of movies: the vectors of those that were trained, and which movie each belongs to.

A movie without a training rating keeps its random start, or has no vector at all: it says nothing about the movie, and
would only blur the picture. So it is left out here, once, and everything after works on rows of what remains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FEWEST = 3  # movies: fewer make no map


@dataclass(frozen=True, eq=False, kw_only=True)
class Space:
    """``vectors`` (m, k) float32 of the trained movies, ``item_idx`` (m,) ascending: which movie each row is."""

    item_idx: np.ndarray
    vectors: np.ndarray

    def __len__(self) -> int:
        return len(self.item_idx)

    def rows_of(self, item_idx: npt.ArrayLike) -> np.ndarray:
        """The row of each movie in ``item_idx`` (n,), -1 where it has none (n,) int."""
        wanted = np.atleast_1d(np.asarray(item_idx, dtype=np.int64))
        at = np.minimum(np.searchsorted(self.item_idx, wanted), len(self.item_idx) - 1)
        return np.where(self.item_idx[at] == wanted, at, -1)


def make_space(item_factors: np.ndarray) -> Space:
    """Keep the movies of ``item_factors`` (M, k) whose vector is finite: the others were never trained.

    Raises:
        ValueError: the model has no vectors, or fewer than three movies have one.
    """
    if item_factors.ndim != 2 or item_factors.shape[1] == 0:
        raise ValueError("this model learns no vector for a movie: choose a run of one of the five approaches")
    item_idx = np.flatnonzero(np.isfinite(item_factors).all(axis=1))
    if len(item_idx) < FEWEST:
        raise ValueError(
            f"only {len(item_idx)} movies have a usable vector, too few for a map: the run diverged or had hardly any "
            "ratings; train it again with a lower learning rate or more data"
        )
    return Space(item_idx=item_idx, vectors=np.asarray(item_factors[item_idx], dtype=np.float32))


def liked_centre(vectors: np.ndarray, rows: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> np.ndarray:
    """Where a person stands among ``vectors`` (m, k): the mean of the movies ``rows`` (n,) that they liked (k,).

    For the nets, whose users live in a space of their own. A dot model's user has a place among the movies: project
    the user's factors instead. ``weights`` (n,) of at least 0 say how much each movie counts.

    Raises:
        ValueError: no movies are given, or no weight is above 0.
    """
    rows = np.asarray(rows, dtype=np.int64)
    if rows.size == 0:
        raise ValueError("this person liked no movie that is on the map")
    weights = np.ones(len(rows)) if weights is None else np.asarray(weights, dtype=np.float64)
    if weights.shape != rows.shape or (weights < 0).any() or weights.sum() <= 0:
        raise ValueError("give one weight of at least 0 for each movie, and one above 0")
    return weights @ vectors[rows].astype(np.float64) / weights.sum()
