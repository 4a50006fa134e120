"""The seam between approaches and everything else: the types that cross it, and the bookkeeping of one run.

An approach is one file with one function,

    train(split, config, on_start, on_epoch, on_batch) -> Model

that calls ``on_start`` with the untrained model, ``on_epoch`` after every epoch and ``on_batch`` with the loss of every
step. The last two may raise :class:`StopTraining`; the approach then returns the model as it stands. They are
callbacks, not a generator, because fastai's ``fit_one_cycle`` owns its own loop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, Self

import numpy as np

from cfcore.config import RunConfig
from cfcore.metrics import Ranking
from cfcore.models import Model
from cfcore.ratings import Split

SNAPSHOT_LIMIT = 32 * 2**20  # bytes: per-epoch movie factors kept for one run


class StopTraining(Exception):
    """Raised out of ``on_epoch`` or ``on_batch`` to end a run early and keep what it has learned."""


class Diverged(StopTraining):
    """The loss became NaN or infinite."""


@dataclass(frozen=True, eq=False, kw_only=True)
class EpochResult:
    """What one epoch did.

    ``epoch`` counts from 1; ``train_loss`` is the mean squared error over the training rows as the epoch met them,
    ``valid_loss`` the one over the validation rows at its end; ``seconds`` is how long this epoch took,
    validation included; ``learning_rate`` the last one used; ``model`` the model at its end, whose arrays may be views
    of the living weights: copy them to keep them. ``aside_loss`` is the one over ratings kept aside from the training
    ones, of an approach that ends with the weights of the epoch where these were predicted best.
    """

    epoch: int
    train_loss: float
    valid_loss: float
    seconds: float
    learning_rate: float | None = None
    aside_loss: float | None = None
    model: Model | None = None


OnStart = Callable[[Model], None]
OnEpoch = Callable[[EpochResult], None]
OnBatch = Callable[[float], None]


class Approach(Protocol):
    """The module of an approach."""

    def train(
        self, split: Split, config: RunConfig, on_start: OnStart, on_epoch: OnEpoch, on_batch: OnBatch
    ) -> Model: ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Snapshots:
    """Movie factors as they were: ``factors`` (s, m, k) float16 after ``epochs`` (s,), of movies ``item_idx`` (m,).

    Epoch 0 is before the first step. The last one is how the run ended, also where it ended within an epoch.
    """

    epochs: np.ndarray
    item_idx: np.ndarray
    factors: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Metrics:
    """Errors on the validation rows, in stars (``valid_mse`` in stars squared); ``None`` where they mean nothing.

    ``ranking`` says how good the ten best films of each user are, and ``baseline_bias_ranking`` those of user + movie
    bias; the global mean puts films in no order.
    """

    valid_mse: float | None
    valid_rmse: float | None
    valid_mae: float | None
    baseline_mean_rmse: float
    baseline_mean_mae: float
    baseline_bias_rmse: float
    baseline_bias_mae: float
    ranking: Ranking | None = None
    baseline_bias_ranking: Ranking | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild what ``asdict`` took apart; names that are not known (any more) are left out."""
        known = {name: value for name, value in data.items() if name in {field.name for field in fields(cls)}}
        for name in ("ranking", "baseline_bias_ranking"):
            if known.get(name) is not None:
                known[name] = Ranking(**known[name])
        return cls(**known)


@dataclass(frozen=True, eq=False, kw_only=True)
class Trained:
    """The outcome of a run.

    ``status`` is ``done``, ``stopped`` or ``diverged`` and ``message`` says why in a sentence. ``item_factors``
    (M, k) and ``user_factors`` (U, k) hold NaN in the rows that no training rating ever touched, and so do the biases;
    ``valid_predictions`` (n_valid,) float32 go with ``split.valid``. ``model`` predicts any pair.
    """

    status: str
    message: str
    history: tuple[EpochResult, ...]
    metrics: Metrics
    fit_seconds: float
    peak_memory_mb: float
    model: Model
    user_factors: np.ndarray
    item_factors: np.ndarray
    user_bias: np.ndarray | None
    item_bias: np.ndarray | None
    valid_predictions: np.ndarray
    snapshots: Snapshots


class Recorder:
    """Keeps the history and the snapshots of one run, passes epochs on, and ends the run when its loss diverges."""

    def __init__(
        self,
        split: Split,
        config: RunConfig,
        on_epoch: OnEpoch,
        on_batch: OnBatch,
        lower_rate: float | None = None,
    ) -> None:
        """``lower_rate`` is the learning rate to suggest should the loss diverge."""
        self.history: list[EpochResult] = []
        self.stopped: StopTraining | None = None
        self._split, self._config, self._lower_rate = split, config, lower_rate
        self._inside_epoch = False
        self._on_epoch, self._on_batch = on_epoch, on_batch
        self._snapshots: list[tuple[int, np.ndarray]] = []
        self._stride = 1
        self._item_idx: np.ndarray | None = None

    def on_start(self, model: Model) -> None:
        """Take the model as it is before the first step."""
        if model.item_factors.size:
            self._keep(0, model.item_factors)

    def on_batch(self, loss: float) -> None:
        """Take the loss of one step.

        Raises:
            StopTraining: the loss is not finite, or the caller wants to stop.
        """
        self._check(loss)
        self._inside_epoch = True
        self._or_stop(self._on_batch, loss)

    def on_epoch(self, result: EpochResult) -> None:
        """Take one finished epoch.

        Raises:
            StopTraining: a loss is not finite, or the caller wants to stop.
        """
        self._check(result.train_loss, result.valid_loss)
        self._inside_epoch = False
        self.history.append(replace(result, model=None))  # or every epoch would keep its own weights
        if result.model is not None and result.model.item_factors.size:
            self._keep(result.epoch, result.model.item_factors)
        self._or_stop(self._on_epoch, result)

    def outcome(self) -> tuple[str, str]:
        """``status`` and ``message`` of the run, once the approach has returned."""
        if self.stopped is None:
            return "done", self._what_was_undone()
        if isinstance(self.stopped, Diverged):
            return "diverged", str(self.stopped)
        done, planned = len(self.history), self._config.epochs or 1
        if self._inside_epoch and done < planned:
            return "stopped", (
                f"Stopped within epoch {done + 1} of {planned}. The errors are those of the model as it stood then, "
                "so they differ a little from the last whole epoch's."
            )
        return "stopped", f"Stopped after {done} of {planned} epochs."

    @property
    def last_epoch(self) -> int:
        """The epoch, from 1, that the finished model comes from."""
        aside = [math.inf if each.aside_loss is None else each.aside_loss for each in self.history]
        if self.stopped is None and any(map(math.isfinite, aside)):
            return aside.index(min(aside)) + 1
        return max(1, len(self.history))

    def _what_was_undone(self) -> str:
        if self.last_epoch >= len(self.history):
            return ""
        return (
            f"Ended as it was after epoch {self.last_epoch} of {len(self.history)}: that predicted the ratings kept "
            "aside best. The errors and the map are this model's, the curves show all epochs."
        )

    def snapshots(self, last: np.ndarray) -> Snapshots:
        """The snapshots so far, ending with ``last`` (M, k), the movie factors of the finished model."""
        n_epochs = self.last_epoch
        all_kept = [kept for kept in self._snapshots if kept[0] < n_epochs]
        if self._item_idx is not None:
            all_kept.append((n_epochs, self._half(last)))
        epochs = np.array([epoch for epoch, _ in all_kept], dtype=np.int32)
        item_idx = np.zeros(0, dtype=np.int64) if self._item_idx is None else self._item_idx
        kept = [factors for _, factors in all_kept]
        factors = np.stack(kept) if kept else np.zeros((0, 0, 0), dtype=np.float16)
        return Snapshots(epochs=epochs, item_idx=item_idx, factors=factors)

    def _check(self, *losses: float) -> None:
        if not all(math.isfinite(loss) for loss in losses):
            epoch = len(self.history) + 1
            self.stopped = Diverged(_diverged(self._config.learning_rate, self._lower_rate, epoch))
            raise self.stopped

    def _or_stop(self, callback: Callable, value: object) -> None:
        try:
            callback(value)
        except StopTraining as stop:
            self.stopped = stop
            raise

    def _keep(self, epoch: int, factors: np.ndarray) -> None:
        """Keep this epoch's factors; when the limit is near, drop every second one and go on at twice the stride."""
        if self._item_idx is None:
            self._item_idx = self._best_known(factors.shape[1])
        if epoch % self._stride:
            return
        snapshot = self._half(factors)
        self._snapshots.append((epoch, snapshot))
        if (len(self._snapshots) + 1) * snapshot.nbytes > SNAPSHOT_LIMIT and len(self._snapshots) > 1:  # + 1: the end
            self._snapshots = self._snapshots[::2]
            self._stride *= 2

    def _half(self, factors: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # beyond float16's 65,504: only a run that is about to diverge
            return factors[self._item_idx].astype(np.float16)

    def _best_known(self, n_factors: int) -> np.ndarray:
        """The trained films, best known first where not all fit, in the order of their indices."""
        counts = np.bincount(self._split.ratings.item_idx[self._split.train], minlength=self._split.ratings.n_items)
        room = max(1, SNAPSHOT_LIMIT // (2 * 8 * n_factors))  # at least 8 epochs of float16
        best = np.argsort(-counts, kind="stable")[: min(room, int((counts > 0).sum()))]
        return np.sort(best)


def _diverged(rate: float | None, lower_rate: float | None, epoch: int) -> str:
    sentence = f"The loss stopped being a number in epoch {epoch}"
    if rate is None or lower_rate is None:
        return f"{sentence}."
    return f"{sentence}: a learning rate of {rate:g} is too high here. Try {lower_rate:g}."


class Stopwatch:
    """Seconds between two calls of :meth:`lap`."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        return seconds
