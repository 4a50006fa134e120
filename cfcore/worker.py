"""What runs on a Dask worker: one training at a time, reported epoch by epoch, ended when somebody asks.

A worker gets a request of a few hundred bytes and loads the data itself. Epochs go back as events, which arrive within
milliseconds; the outcome goes back as the result of the task. The two travel by different ways, so the outcome holds
the whole history again.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import uuid
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from distributed import Worker, WorkerPlugin, get_worker

from cfcore import approaches, datasets
from cfcore.config import RunRequest
from cfcore.metrics import mse
from cfcore.ratings import Ratings, Split, make_split
from cfcore.training import EpochResult, StopTraining, Trained

REPORT_SECONDS = 0.05  # epochs that come faster are sent together

logger = logging.getLogger(__name__)

_training = threading.Lock()  # fastai draws from torch's global random state: one run a process
_importing = threading.Lock()  # two threads that import torch at once can meet half-made modules
_stopping: set[str] = set()


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """How a run ended: ``trained`` with the ``valid_rows`` (n_valid,) it was measured on, or a ``problem`` in words.

    ``started`` and ``history`` are what the events said, as they may still be on their way.
    """

    started: dict[str, Any] | None
    history: tuple[EpochResult, ...]
    trained: Trained | None = None
    valid_rows: np.ndarray | None = None
    problem: str = ""


def execute(run_id: str, request: dict[str, Any], topic: str, ratings: Ratings | None = None) -> Outcome:
    """Train a run and report to ``topic``; ``ratings`` are given when this machine may not have them."""
    reporter = Reporter(run_id, topic)
    with _training:
        try:
            return _train(RunRequest.from_json(request), reporter, ratings)
        except ValueError as refusal:  # in words that are meant for the person
            problem = str(refusal)
        except Exception as error:  # whatever it is: to unpickle torch's own would import torch in the page's process
            logger.exception("run %s broke off", run_id)
            problem = f"The training broke off ({type(error).__name__}: {error})."
        finally:
            _stopping.discard(run_id)
    return Outcome(started=reporter.started, history=tuple(reporter.history), problem=problem)


def request_stop(run_id: str) -> None:
    """End this run at its next step; called on every worker, as nobody need know which one has it."""
    _stopping.add(run_id)


def _train(request: RunRequest, reporter: Reporter, ratings: Ratings | None) -> Outcome:
    if ratings is None:
        ratings = _load(request.dataset, _changed(request.dataset))
    split = make_split(ratings, request.split)
    with _importing:
        approaches.load(request.config.approach)
    reporter.start(split)
    trained = approaches.train(split, request.config, reporter.on_epoch, reporter.on_batch)
    trained = replace(trained, history=tuple(_light(result) for result in trained.history))
    return Outcome(started=reporter.started, history=tuple(reporter.history), trained=trained, valid_rows=split.valid)


class Reporter:
    """Sends the epochs of one run to its server, and ends the run when it is asked to."""

    def __init__(self, run_id: str, topic: str) -> None:
        self._run_id, self._topic = run_id, topic
        self._attempt = uuid.uuid4().hex
        self._n_sent, self._sent = 0, 0.0
        self.started: dict[str, Any] | None = None
        self.history: list[EpochResult] = []

    def start(self, split: Split) -> None:
        """Say what the run is measured on."""
        ratings = split.ratings.rating[split.valid]
        baselines = approaches.baseline_predictions(split)
        self.started = {
            "split_how": split.how,
            "n_train": len(split.train),
            "n_valid": len(split.valid),
            "baseline_mean_mse": mse(baselines["global_mean"], ratings),
            "baseline_bias_mse": mse(baselines["bias"], ratings),
        }
        self._send({"started": self.started})

    def on_epoch(self, result: EpochResult) -> None:
        """Take an epoch; raises ``StopTraining`` when somebody asked for it."""
        self.history.append(_light(result))
        self.on_batch(result.train_loss)

    def on_batch(self, loss: float) -> None:
        """Send what is waiting, at most so often; raises ``StopTraining`` when somebody asked for it."""
        new = self.history[self._n_sent :]
        if new and time.monotonic() - self._sent > REPORT_SECONDS:
            self._send({"epochs": [_plain(result) for result in new]})
            self._n_sent, self._sent = len(self.history), time.monotonic()
        if self._run_id in _stopping:
            raise StopTraining

    def _send(self, message: dict[str, Any]) -> None:
        get_worker().log_event(self._topic, {"run_id": self._run_id, "attempt": self._attempt, **message})


def _light(result: EpochResult) -> EpochResult:
    return replace(result, item_factors=None)  # which factors to keep is settled by then: they are in the snapshots


def _plain(result: EpochResult) -> dict[str, Any]:
    """An epoch as an event can carry it: plain numbers, where an approach may have used numpy's."""
    rate = result.learning_rate
    return {
        "epoch": int(result.epoch),
        "train_loss": float(result.train_loss),
        "valid_loss": float(result.valid_loss),
        "seconds": float(result.seconds),
        "learning_rate": None if rate is None else float(rate),
    }


def _changed(dataset: str) -> int:
    """When a file of this name was changed, so that an edited file is read again; 0 for data sets known by name."""
    try:
        return os.stat(dataset).st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=2)
def _load(dataset: str, changed: int) -> Ratings:
    return datasets.load(dataset)


class WarmUp(WorkerPlugin):
    """Imports torch and fastai as soon as a worker starts, or starts again, so that the first run need not wait."""

    name = "latent-lab-warm-up"

    def setup(self, worker: Worker) -> None:
        threading.Thread(target=_warm_up, name="warm-up", daemon=True).start()


def _warm_up() -> None:
    if sys.platform == "linux":  # where a thread has a priority of its own: the page comes first
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
    for key in (*approaches.BASELINES, *approaches.APPROACHES):
        with _importing:
            approaches.load(key)
