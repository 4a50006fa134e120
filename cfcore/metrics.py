"""How wrong a set of predictions is. The loss is the MSE; an error in stars is the RMSE or the MAE.

mse  = mean((prediction - rating)^2)      rmse = sqrt(mse)      mae = mean(|prediction - rating|)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


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
    return float(np.mean(np.square(_errors(predictions, ratings))))


def rmse(predictions: npt.ArrayLike, ratings: npt.ArrayLike) -> float:
    """Root mean squared error, in stars."""
    return float(np.sqrt(mse(predictions, ratings)))


def mae(predictions: npt.ArrayLike, ratings: npt.ArrayLike) -> float:
    """Mean absolute error, in stars."""
    return float(np.mean(np.abs(_errors(predictions, ratings))))


def _errors(predictions: npt.ArrayLike, ratings: npt.ArrayLike) -> np.ndarray:
    predicted = np.asarray(predictions, dtype=np.float64)
    truth = np.asarray(ratings, dtype=np.float64)
    if predicted.shape != truth.shape:  # (n, 1) - (n,) would broadcast to (n, n): the article's 40 GB slip
        raise ValueError(f"predictions have shape {predicted.shape}, ratings {truth.shape}: they must be equal")
    if predicted.size == 0:
        raise ValueError("there are no ratings to compare with")
    return predicted - truth
