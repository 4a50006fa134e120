"""Runs for the run doctor: really trained ones, kept for all tests of a process, and made ones with any losses."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from cfcore import approaches, datasets
from cfcore.approaches import baseline_predictions
from cfcore.config import RunConfig, RunRequest, SplitConfig
from cfcore.doctor import diagnose
from cfcore.metrics import mse
from cfcore.outcome import outcome_of
from cfcore.ratings import Ratings, make_split
from cfcore.runs import Run
from cfcore.training import EpochResult, Metrics

SCALE = (1.0, 5.0)
HOPELESS = [(0.8, 1.0), (0.6, 0.95), (0.5, 0.955)]  # knows its own ratings, and was never better than the biases


@cache
def data(name: str) -> Ratings:
    """The sample; the ratings of its first forty users on another scale; or two dozen of its ratings."""
    sample = datasets.load("sample")
    if name == "sample":
        return sample
    keep = np.arange(24) if name == "24 ratings" else np.flatnonzero(sample.user_idx < 40)
    low, high = {"0 to 100": (0.0, 100.0), "-10 to 10": (-10.0, 10.0)}.get(name, SCALE)
    rating = low + (sample.rating[keep] - 1) / 4 * (high - low)
    part = {"user_idx": sample.user_idx[keep], "item_idx": sample.item_idx[keep], "rating": rating.astype(np.float32)}
    return replace(sample, **part, timestamp=None, scale=(low, high))


@cache
def ground(kind: str, name: str = "sample"):
    """The data split in this way, and the MSE of both baselines on it."""
    split = make_split(data(name), SplitConfig.of(kind))
    truth = split.ratings.rating[split.valid]
    return split, {key: mse(predictions, truth) for key, predictions in baseline_predictions(split).items()}


@cache
def trained(config: RunConfig, kind: str, name: str = "sample") -> tuple[Run, dict[str, np.ndarray]]:
    """A run that was really trained, and its arrays."""
    split, baselines = ground(kind, name)
    result = approaches.train(split, config)
    run = replace(
        ended(config, [(each.train_loss, each.valid_loss) for each in result.history], split=kind),
        status=result.status,
        history=result.history,
        n_train=len(split.train),
        n_valid=len(split.valid),
        baseline_mean_mse=baselines["global_mean"],
        baseline_bias_mse=baselines["bias"],
        metrics=result.metrics,
    )
    return run, outcome_of(result)["arrays"]


def ended(
    config: RunConfig, losses: list[tuple[float, float]], *, status: str = "done", split: str = "random", **known: Any
) -> Run:
    """A run that nobody trained, with these train and valid losses; the mean has a loss of 1.2, the biases of 0.9."""
    history = [
        EpochResult(epoch=k, train_loss=train, valid_loss=valid, seconds=0.1, learning_rate=config.learning_rate)
        for k, (train, valid) in enumerate(losses, 1)
    ]
    values: dict[str, Any] = {
        "id": "made", "visitor": "", "name": "", "dataset_title": "", "created": 0.0, "started": 0.0, "finished": 1.0,
        "status": status, "message": "", "split_how": "", "n_train": 1000, "n_valid": 250, "baseline_mean_mse": 1.2,
        "baseline_bias_mse": 0.9, "metrics": None, "fit_seconds": 1.0, "peak_memory_mb": None, "group": "",
    }  # fmt: skip
    request = RunRequest(dataset="sample", split=SplitConfig.of(split), config=config)
    return Run(request=request, history=tuple(history), **{**values, **known})


def errors(rmse: float) -> Metrics:
    """The errors of a run of :func:`ended`."""
    return Metrics(
        valid_mse=rmse**2, valid_rmse=rmse, valid_mae=rmse, baseline_mean_rmse=1.2**0.5, baseline_mean_mae=1.0,
        baseline_bias_rmse=0.9**0.5, baseline_bias_mae=0.9,
    )  # fmt: skip


def kinds(run: Run, arrays: dict[str, np.ndarray] | None = None) -> list[str]:
    return [finding.kind for finding in diagnose(run, arrays or {}, SCALE)]
