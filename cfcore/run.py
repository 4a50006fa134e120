"""A run as pages see it, read from a row of the store."""

from __future__ import annotations

import json
import math
import sqlite3
from dataclasses import dataclass, fields
from operator import attrgetter

from cfcore.config import RunRequest
from cfcore.training import EpochResult, Metrics

ACTIVE = ("queued", "running")
STATUSES = ("queued", "running", "done", "stopped", "diverged", "failed")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run as the store knows it; times are unix seconds, and ``None`` means not yet, or never.

    ``history`` holds the epochs so far, without models. ``group`` is shared by runs that were queued together. What the
    split is, and the baselines' errors on it, are known as soon as the run starts.
    """

    id: str
    visitor: str
    name: str
    request: RunRequest
    dataset_title: str
    created: float
    started: float | None
    finished: float | None
    status: str
    message: str
    split_how: str
    n_train: int | None
    n_valid: int | None
    baseline_mean_mse: float | None
    baseline_bias_mse: float | None
    metrics: Metrics | None
    fit_seconds: float | None
    peak_memory_mb: float | None
    group: str
    history: tuple[EpochResult, ...]

    @property
    def active(self) -> bool:
        return self.status in ACTIVE

    @property
    def kept_earlier(self) -> bool:
        """Whether the finished model is not that of the last epoch, whose losses then are not its own."""
        rmse = self.metrics.valid_rmse if self.metrics and self.status == "done" else None
        if rmse is None or not self.history:
            return False
        return not math.isclose(self.history[-1].valid_loss, rmse**2, rel_tol=_ALIKE)


_ALIKE = 1e-3  # of two losses of the same weights: one may be the sum of float32
_NUMBERS = ("created", "started", "finished", "n_train", "n_valid", "baseline_mean_mse", "baseline_bias_mse")
_NUMBERS += ("fit_seconds", "peak_memory_mb")
_values = attrgetter(*(field.name for field in fields(EpochResult)))  # asdict would take ten times as long


def run_of(row: sqlite3.Row, history: tuple[EpochResult, ...]) -> Run:
    """The run in a row of the table ``runs``.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: the row is damaged.
    """
    if any(isinstance(value, bytes) for value in row):
        raise ValueError("it holds bytes in the place of text or a number")
    if not all(isinstance(row[name], int | float | None) for name in _NUMBERS):
        raise ValueError("it holds text in the place of a number")
    if not all(isinstance(value, int | float | None) for epoch in history for value in _values(epoch)):
        raise ValueError("one of its epochs holds bytes or text in the place of a number")
    values = {name: row[name] for name in row.keys() if name not in ("server", "seen", "trashed", "looked")}  # noqa: SIM118
    values["request"] = RunRequest.from_json(json.loads(row["request"]))
    if row["metrics"]:
        values["metrics"] = Metrics.from_json(json.loads(row["metrics"]))
    return Run(history=history, **values)
