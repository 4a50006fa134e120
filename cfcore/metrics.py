"""How wrong a set of predictions is. The loss is the MSE; an error in stars is the RMSE or the MAE.

mse  = mean((prediction - rating)^2)      rmse = sqrt(mse)      mae = mean(|prediction - rating|)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


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
