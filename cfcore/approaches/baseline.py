"""Baselines: what can be predicted without any latent factor.

global_mean   r(u, i) = mu                    the mean training rating
bias          r(u, i) = mu + b_u + b_i        plus how generous the user is, how well liked the movie is

The biases are damped means, found by turns, so that a movie with two ratings does not look like the best of all:

    b_i = sum over its users  of (r - mu - b_u) / (10 + number of its ratings)
    b_u = sum over its movies of (r - mu - b_i) / (15 + number of its ratings)

Source: Koren, "Factor in the Neighbors" (2010), section 2.1; dampings and ten rounds as in the Surprise library.
"""

from __future__ import annotations

import contextlib

import numpy as np

from cfcore.config import RunConfig
from cfcore.metrics import mse
from cfcore.models import DotModel
from cfcore.ratings import Split
from cfcore.training import EpochResult, OnBatch, OnEpoch, OnStart, StopTraining, Stopwatch

ITEM_DAMPING, USER_DAMPING, ROUNDS = 10, 15, 10
BLOCK = 1_000_000  # ratings looked at together: what is computed on the way stays small, however many there are


def train(split: Split, config: RunConfig, on_start: OnStart, on_epoch: OnEpoch, on_batch: OnBatch) -> DotModel:
    watch = Stopwatch()
    users, items, ratings = split.part(split.train, np.int32)
    n_users, n_items = split.ratings.n_users, split.ratings.n_items
    mean = ratings.mean(dtype=np.float64)
    user_bias, item_bias = np.zeros(n_users), np.zeros(n_items)
    if config.approach == "bias":
        user_bias, item_bias = fit_biases(users, items, ratings - np.float32(mean), n_users, n_items)
    model = DotModel(
        user_factors=np.zeros((n_users, 0), dtype=np.float32),
        item_factors=np.zeros((n_items, 0), dtype=np.float32),
        user_bias=user_bias.astype(np.float32),
        item_bias=item_bias.astype(np.float32),
        offset=float(mean),
    )
    valid_users, valid_items, valid_ratings = split.part(split.valid, np.int32)
    with contextlib.suppress(StopTraining):
        on_epoch(
            EpochResult(
                epoch=1,
                train_loss=mse(model.predict(users, items), ratings),
                valid_loss=mse(model.predict(valid_users, valid_items), valid_ratings),
                seconds=watch.lap(),
            )
        )
    return model


def fit_biases(
    users: np.ndarray, items: np.ndarray, centred: np.ndarray, n_users: int, n_items: int
) -> tuple[np.ndarray, np.ndarray]:
    """Damped biases (U,) and (M,) of ``centred`` ratings (n,); 0 for whoever has none."""
    user_counts = np.bincount(users, minlength=n_users)
    item_counts = np.bincount(items, minlength=n_items)
    user_bias = np.zeros(n_users)
    item_bias = np.zeros(n_items)
    for _ in range(ROUNDS):
        item_bias = _left(items, users, user_bias, centred, n_items) / (ITEM_DAMPING + item_counts)
        user_bias = _left(users, items, item_bias, centred, n_users) / (USER_DAMPING + user_counts)
    return user_bias, item_bias


def _left(own: np.ndarray, other: np.ndarray, bias: np.ndarray, centred: np.ndarray, n_own: int) -> np.ndarray:
    """For each of ``n_own`` the sum of its ``centred`` ratings less the other side's ``bias`` (n_own,)."""
    left = np.zeros(n_own)
    for start in range(0, len(own), BLOCK):
        at = slice(start, start + BLOCK)
        left += np.bincount(own[at], centred[at] - bias[other[at]], minlength=n_own)
    return left
