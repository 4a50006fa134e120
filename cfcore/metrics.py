"""How wrong a set of predictions is. The loss is the MSE; an error in stars is the RMSE or the MAE.

mse  = mean((prediction - rating)^2)      rmse = sqrt(mse)      mae = mean(|prediction - rating|)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_BLOCK = 1_000_000  # errors computed at a time: 8 MB


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """How good the ten films are that a model puts first for each of ``n_users`` users; see ``docs/ranking.md``.

    ``precision``, ``recall``, ``ndcg`` and ``hit_rate`` are means over users, from 0 to 1; ``coverage`` is the share of
    films that anybody is recommended; ``mean_popularity`` the training ratings that a recommended film has on average.
    """

    precision: float
    recall: float
    ndcg: float
    hit_rate: float
    coverage: float
    mean_popularity: float
    n_users: int


def mse(predictions: npt.ArrayLike, ratings: npt.ArrayLike) -> float:
    """Mean squared error of ``predictions`` (n,) against ``ratings`` (n,), summed in float64."""
    return _mean(np.square, predictions, ratings)


def rmse(predictions: npt.ArrayLike, ratings: npt.ArrayLike) -> float:
    """Root mean squared error, in stars."""
    return float(np.sqrt(mse(predictions, ratings)))


def mae(predictions: npt.ArrayLike, ratings: npt.ArrayLike) -> float:
    """Mean absolute error, in stars."""
    return _mean(np.abs, predictions, ratings)


def _mean(size: Callable[[np.ndarray], np.ndarray], predictions: npt.ArrayLike, ratings: npt.ArrayLike) -> float:
    """The mean ``size`` of the errors, a block of them at a time: in float64 all would take more than the ratings."""
    predicted, truth = np.asarray(predictions), np.asarray(ratings)
    if predicted.shape != truth.shape:  # (n, 1) - (n,) would broadcast to (n, n): the article's 40 GB slip
        raise ValueError(f"predictions have shape {predicted.shape}, ratings {truth.shape}: they must be equal")
    if predicted.size == 0:
        raise ValueError("there are no ratings to compare with")
    blocks = (slice(start, start + _BLOCK) for start in range(0, len(truth), _BLOCK))
    return sum(float(size(predicted[at].astype(np.float64) - truth[at]).sum()) for at in blocks) / len(truth)
