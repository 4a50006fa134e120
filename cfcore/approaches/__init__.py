"""The registry of approaches, and the one way to train any of them.

An approach is one file in this folder and one entry in :data:`cfcore.approaches.registry.APPROACHES`. Importing this
package imports neither torch nor fastai: an approach's file is imported only when it runs.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, cast

import numpy as np

from cfcore.approaches.configure import acting, describe, make_config
from cfcore.approaches.info import ApproachInfo
from cfcore.approaches.registry import APPROACHES, ARTICLE, BASELINES
from cfcore.approaches.settings import FIELDS, Setting
from cfcore.config import RunConfig
from cfcore.memory import GiveBackWhenGrown, PeakMemory, reuse_freed_memory
from cfcore.metrics import mae, mse, rmse
from cfcore.models import DotModel, Model
from cfcore.ranking import rank_metrics, users_to_ask
from cfcore.ratings import Split
from cfcore.training import (
    Approach,
    EpochResult,
    Metrics,
    OnBatch,
    OnEpoch,
    Recorder,
    Stopwatch,
    Trained,
)

__all__ = [
    "APPROACHES",
    "ARTICLE",
    "BASELINES",
    "FIELDS",
    "ApproachInfo",
    "Setting",
    "acting",
    "baseline_predictions",
    "describe",
    "factors_of",
    "fit_baseline",
    "load",
    "make_config",
    "train",
]


def load(key: str) -> Approach:
    """Import the module that trains ``key`` (with torch or fastai, where it needs them).

    From then on the process keeps what it frees (:func:`cfcore.memory.reuse_freed_memory`).
    """
    # Read once, when torch is loaded: threads that wait for each other sleep rather than spin. On a machine whose
    # cores are taken, spinning made an epoch of `scratch` twenty times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if key not in BASELINES:  # these the page fits as well, in a process that should stay small
        reuse_freed_memory()
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
    lower_rate = None
    if config.learning_rate is not None:
        lower_rate = info.lower_rate(config, scale=split.ratings.scale, n_train=len(split.train))
    recorder = Recorder(split, config, on_epoch, on_batch, lower_rate)
    give_back = GiveBackWhenGrown()

    def at_epoch(result: EpochResult) -> None:
        recorder.on_epoch(result)
        give_back()

    approach = load(config.approach)  # before the clock starts: importing fastai takes seconds, once
    watch = Stopwatch()
    with PeakMemory() as memory:
        model = approach.train(split, config, recorder.on_start, at_epoch, recorder.on_batch)
        fit_seconds = watch.lap()
    users, items, _ = split.part(split.valid)
    predictions = model.predict(users, items)
    status, message = recorder.outcome()
    return Trained(
        status=status,
        message=message,
        history=tuple(recorder.history),
        metrics=_measure(split, model, predictions, status),
        fit_seconds=fit_seconds,
        peak_memory_mb=memory.mb,
        model=model,
        **factors_of(model, split.seen_users, split.seen_items),
        valid_predictions=predictions,
        snapshots=recorder.snapshots(model.item_factors),
    )


def baseline_predictions(split: Split) -> dict[str, np.ndarray]:
    """What each baseline predicts for the validation rows, by its key."""
    users, items, _ = split.part(split.valid)
    return {key: fit_baseline(key, split).predict(users, items) for key in BASELINES}


def fit_baseline(key: str, split: Split) -> DotModel:
    """The model of a baseline, fitted to the training ratings; takes a moment and needs no torch."""
    return cast(DotModel, load(key).train(split, make_config(key), *[lambda _: None] * 3))


def _measure(split: Split, model: Model, predictions: np.ndarray, status: str) -> Metrics:
    users, items, truth = split.part(split.valid)
    fitted = {key: fit_baseline(key, split) for key in BASELINES}
    baselines = {key: baseline.predict(users, items) for key, baseline in fitted.items()}
    finite = status != "diverged" and bool(np.isfinite(predictions).all())
    asked = users_to_ask(split, model)  # once: the same for the baseline
    return Metrics(
        valid_mse=mse(predictions, truth) if finite else None,
        valid_rmse=rmse(predictions, truth) if finite else None,
        valid_mae=mae(predictions, truth) if finite else None,
        baseline_mean_rmse=rmse(baselines["global_mean"], truth),
        baseline_mean_mae=mae(baselines["global_mean"], truth),
        baseline_bias_rmse=rmse(baselines["bias"], truth),
        baseline_bias_mae=mae(baselines["bias"], truth),
        ranking=rank_metrics(model, split, asked) if finite else None,
        baseline_bias_ranking=rank_metrics(fitted["bias"], split, asked) if finite else None,
    )


def factors_of(model: Model, seen_users: np.ndarray, seen_items: np.ndarray) -> dict[str, Any]:
    """Copies of the model's ``user_factors``, ``item_factors``, ``user_bias`` and ``item_bias`` (``None`` without).

    They hold NaN in the rows that ``seen_users`` (U,) and ``seen_items`` (M,) say no training rating has touched.
    """
    seen = {"user_factors": seen_users, "item_factors": seen_items, "user_bias": seen_users, "item_bias": seen_items}
    found = {name: getattr(model, name) for name in seen}
    return {name: None if values is None else _trained_rows(values, seen[name]) for name, values in found.items()}


def _trained_rows(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """A copy with NaN in the rows that no training rating touched: they hold noise, and must not look learned."""
    copy = np.array(values, dtype=np.float32)
    copy[~seen] = np.nan
    return copy
