"""Which movies are most alike, measured in the full space: a picture of two axes drops most of what sets them apart.

    cosine similarity    q_i.q_j / (|q_i| |q_j|)     the same direction, whatever the length; 1 is most alike
    Euclidean distance   |q_i - q_j|                 0 is most alike

The cosine is taken of the vectors as they are, from 0 and not from their mean: 0 is the point that a dot product knows,
where nobody's taste makes a difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

Metric = Literal["cosine", "euclidean"]
METRICS: tuple[Metric, ...] = get_args(Metric)


@dataclass(frozen=True, eq=False, kw_only=True)
class Neighbours:
    """``rows`` (n,) from the most alike on, and ``values`` (n,): cosine similarities, or distances."""

    rows: np.ndarray
    values: np.ndarray


def neighbours(
    vectors: np.ndarray, row: int, n: int = 10, metric: Metric = "cosine", among: npt.ArrayLike | None = None
) -> Neighbours:
    """The ``n`` movies of ``vectors`` (m, k) nearest to ``row``, itself left out; fewer where there are fewer.

    In float64. Equal values come in the order of their rows. A vector of length 0 has no direction: its cosine
    similarity with anything is taken as 0. ``among`` are the rows to choose from, all where it is left out: a movie
    with one or two ratings may lie anywhere, so also beside this one.

    Raises:
        ValueError: there is no such row, no such metric, or ``n`` is below 1.
    """
    if not 0 <= row < len(vectors):
        raise ValueError(f"there is no movie in row {row}: rows run from 0 to {len(vectors) - 1}")
    if n < 1:
        raise ValueError(f"ask for at least 1 neighbour, not {n}")
    X = np.asarray(vectors, dtype=np.float64)
    if metric == "cosine":
        values = _cosine(X, row)
        order = -values
    elif metric == "euclidean":
        values = order = np.sqrt(np.square(X - X[row]).sum(axis=1))
    else:
        raise ValueError(f"unknown metric {metric!r}; choose from {', '.join(METRICS)}")
    others = np.arange(len(X)) if among is None else np.unique(np.asarray(among, dtype=np.int64))
    others = others[others != row]
    nearest = others[np.argsort(order[others], kind="stable")[:n]]
    return Neighbours(rows=nearest, values=values[nearest])


def _cosine(X: np.ndarray, row: int) -> np.ndarray:
    lengths = np.sqrt(np.square(X).sum(axis=1))
    unit = X / np.where(lengths > 0, lengths, 1)[:, None]
    # an elementwise sum, not a matrix product: equal vectors then get equal values, to the last bit
    return np.clip((unit * unit[row]).sum(axis=1), -1, 1)
