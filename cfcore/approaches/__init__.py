"""The registry of approaches, and the one way to train any of them.

An approach is one file in this folder and one entry in :data:`cfcore.approaches.registry.APPROACHES`. Importing this
package imports neither torch nor fastai: an approach's file is imported only when it runs.
"""

from __future__ import annotations

import importlib
import os
from typing import cast

import numpy as np

from cfcore.approaches.registry import (
    APPROACHES,
    BASELINES,
    FIELDS,
    ApproachInfo,
    Setting,
    describe,
    make_config,
)
from cfcore.config import RunConfig
from cfcore.memory import PeakMemory
from cfcore.metrics import mae, mse, rmse
from cfcore.models import Model
from cfcore.ratings import Split
from cfcore.training import (
    Approach,
    Metrics,
    OnBatch,
    OnEpoch,
    Recorder,
    Stopwatch,
    Trained,
)

__all__ = [
    "APPROACHES",
    "BASELINES",
    "FIELDS",
    "ApproachInfo",
    "Setting",
    "baseline_predictions",
    "describe",
    "load",
    "make_config",
    "train",
]


def load(key: str) -> Approach:
    """Import the module that trains ``key`` (with torch or fastai, where it needs them)."""
    # Read once, when torch is loaded: threads that wait for each other sleep rather than spin. On a machine whose
    # cores are taken, spinning made an epoch of `scratch` twenty times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return cast(Approach, importlib.import_module(f"cfcore.approaches.{describe(key).module}"))


def train(
    split: Split,
    config: RunConfig,
    on_epoch: OnEpoch = lambda result: None,
    on_batch: OnBatch = lambda loss: None,
) -> Trained:
    """Train ``config`` on ``split`` in this process and measure it on the validation rows.

    Args:
        split: the data and its two parts.
        config: from :func:`make_config`; checked again here.
        on_epoch: called after every epoch; may raise ``StopTraining``.
        on_batch: called with the loss of every step; may raise ``StopTraining``.

    Returns:
        The model, its history and its errors. A run that diverged or was stopped is a result, not an exception.

    Raises:
        ValueError: a setting is unknown, out of range, or asks for more memory than there is.
    """
    info = describe(config.approach)
    info.check(config)
    lower_rate = info.lower_rate(config.learning_rate) if config.learning_rate is not None else None
    recorder = Recorder(split, config, on_epoch, on_batch, lower_rate)
    approach = load(config.approach)  # before the clock starts: importing fastai takes seconds, once
    watch = Stopwatch()
    with PeakMemory() as memory:
        model = approach.train(split, config, recorder.on_epoch, recorder.on_batch)
        fit_seconds = watch.lap()
    users, items, _ = split.part(split.valid)
    predictions = model.predict(users, items)
    status, message = recorder.outcome()
    return Trained(
        status=status,
        message=message,
        history=tuple(recorder.history),
        metrics=_measure(split, predictions, status),
        fit_seconds=fit_seconds,
        peak_memory_mb=memory.mb,
        model=model,
        user_factors=_trained_rows(model.user_factors, split.seen_users),
        item_factors=_trained_rows(model.item_factors, split.seen_items),
        user_bias=None if model.user_bias is None else _trained_rows(model.user_bias, split.seen_users),
        item_bias=None if model.item_bias is None else _trained_rows(model.item_bias, split.seen_items),
        valid_predictions=predictions,
        snapshots=recorder.snapshots(),
    )


def baseline_predictions(split: Split) -> dict[str, np.ndarray]:
    """What each baseline predicts for the validation rows, by its key."""
    users, items, _ = split.part(split.valid)
    return {key: _fit_baseline(key, split).predict(users, items) for key in BASELINES}


def _fit_baseline(key: str, split: Split) -> Model:
    return load(key).train(split, make_config(key), lambda result: None, lambda loss: None)


def _measure(split: Split, predictions: np.ndarray, status: str) -> Metrics:
    truth = split.ratings.rating[split.valid]
    baselines = baseline_predictions(split)
    finite = status != "diverged" and bool(np.isfinite(predictions).all())
    return Metrics(
        valid_mse=mse(predictions, truth) if finite else None,
        valid_rmse=rmse(predictions, truth) if finite else None,
        valid_mae=mae(predictions, truth) if finite else None,
        baseline_mean_rmse=rmse(baselines["global_mean"], truth),
        baseline_mean_mae=mae(baselines["global_mean"], truth),
        baseline_bias_rmse=rmse(baselines["bias"], truth),
        baseline_bias_mae=mae(baselines["bias"], truth),
    )


def _trained_rows(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """A copy with NaN in the rows that no training rating touched: they hold noise, and must not look learned."""
    copy = np.array(values, dtype=np.float32)
    copy[~seen] = np.nan
    return copy
