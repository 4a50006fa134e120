"""What runs on a Dask worker: one training at a time, reported epoch by epoch, ended when somebody asks; and, beside
it, small tasks that pages ask for.

A worker gets a request of a few hundred bytes and loads the data itself. Epochs go back as events, which arrive within
milliseconds; the outcome goes back as the result of the task. The two travel by different ways, so the outcome holds
the whole history again. The model as of the last epoch stays here for whoever wants a look (:func:`peek`).
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

import numpy as np
from distributed import Worker, WorkerPlugin, get_worker

from cfcore import approaches, datasets
from cfcore.config import RunRequest
from cfcore.estimate import check
from cfcore.limits import Limits
from cfcore.memory import give_back_freed_memory
from cfcore.metrics import mse
from cfcore.outcome import living_arrays, outcome_of, plain_epoch
from cfcore.ratings import Ratings, Split, make_split
from cfcore.training import EpochResult, StopTraining

REPORT_SECONDS = 0.05  # epochs that come faster are sent together
LOOK_SECONDS = 0.5  # the model in training is copied at most so often
LOOK_BYTES = 12e6  # sent at each look; larger models are seen when they are finished
TASKS = {  # kind: a module with run(inputs, on_progress)
    "tsne": "cfcore.embeddings.tsne",
    "fold_in": "cfcore.foldin",
    "lesson": "cfcore.lessons.tasks",
    "bench": "cfcore.lessons.bench",
    "same_step": "cfcore.lessons.same_step",
    "rate_finder": "cfcore.approaches.rate_finder",
    "batch": "cfcore.approaches.batch",
}
ALONE = ("same_step", "rate_finder", "batch", "bench")  # these share torch's random state with trainings, or time

logger = logging.getLogger(__name__)

_training = threading.Lock()  # fastai draws from torch's global random state: one run a process
_importing = threading.Lock()  # two threads that import torch at once can meet half-made modules
_stopping: set[str] = set()
_living: dict[str, dict[str, np.ndarray]] = {}  # run id: its model in training


def execute(
    run_id: str,
    request: dict[str, Any],
    topic: str,
    ratings: Ratings | None = None,
    limits: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Train a run and report to ``topic``; ``ratings`` are given when this machine may not have them.

    ``limits`` (:class:`cfcore.limits.Limits`) are the server's: only here are the ratings sure to be at hand to check.

    Returns ``started`` and ``epochs``, which are what the events said and may still be on their way, and either the
    ``outcome`` (see :func:`cfcore.outcome.outcome_of`) or a ``problem`` in words.
    """
    reporter = Reporter(run_id, topic)
    with _training:
        try:
            asked = RunRequest.from_json(request)
            return {**_train(asked, reporter, ratings, Limits(**limits or {})), **reporter.said()}
        except ValueError as refusal:  # in words that are meant for the person
            problem = str(refusal)
        except Exception as error:  # whatever it is: to unpickle torch's own would import torch in the page's process
            logger.exception("run %s broke off", run_id)
            problem = f"The training broke off ({type(error).__name__}: {error})."
        finally:
            _stopping.discard(run_id)
            _living.pop(run_id, None)
            give_back_freed_memory()
    return {"problem": problem, **reporter.said()}


def request_stop(run_id: str) -> None:
    """End this run at its next step; called on every worker, as nobody need know which one has it."""
    _stopping.add(run_id)


def peek(run_id: str) -> dict[str, np.ndarray] | None:
    """The model in training of this run (:func:`cfcore.outcome.living_arrays`), if this worker has it."""
    return _living.get(run_id)


def compute(
    kind: str, inputs: dict[str, Any], task_id: str, topic: str, ratings: Ratings | None = None
) -> dict[str, Any]:
    """Do a task of one of :data:`TASKS` and report its progress to ``topic``; gives a ``result`` or a ``problem``.

    ``ratings`` are given as in :func:`execute`, for tasks whose inputs hold a ``request``.
    """
    sent = 0.0

    def on_progress(share: float) -> None:
        nonlocal sent
        if time.monotonic() - sent > REPORT_SECONDS:
            get_worker().log_event(topic, {"task": task_id, "progress": float(share)})
            sent = time.monotonic()

    try:
        with _importing:
            module = importlib.import_module(TASKS[kind])
        with _training if kind in ALONE else nullcontext():
            return {"result": module.run(with_split(inputs, ratings), on_progress)}
    except ValueError as refusal:
        return {"problem": str(refusal)}
    except Exception as error:  # as in execute
        logger.exception("a task of kind %s broke off", kind)
        return {"problem": f"The computation broke off ({type(error).__name__}: {error})."}
    finally:
        give_back_freed_memory()


def _train(request: RunRequest, reporter: Reporter, ratings: Ratings | None, limits: Limits) -> dict[str, Any]:
    split = _split(request, ratings)
    check(request.config, split, limits)
    with _importing:
        approaches.load(request.config.approach)
    reporter.start(split)
    trained = approaches.train(split, request.config, reporter.on_epoch, reporter.on_batch)
    return {"outcome": outcome_of(trained, split.valid)}


def with_split(inputs: Mapping[str, Any], ratings: Ratings | None = None) -> dict[str, Any]:
    """A task's inputs; where they hold the ``request`` of a run, also its ``split`` and ``config``."""
    if "request" not in inputs:
        return dict(inputs)
    request = RunRequest.from_json(inputs["request"])
    return {**inputs, "split": _split(request, ratings), "config": request.config}


def _split(request: RunRequest, ratings: Ratings | None) -> Split:
    if ratings is None:
        ratings = _load(request.dataset, _changed(request.dataset))
    return make_split(ratings, request.split)


class Reporter:
    """Sends the epochs of one run to its server, and ends the run when it is asked to."""

    def __init__(self, run_id: str, topic: str) -> None:
        self._run_id, self._topic = run_id, topic
        self._attempt = uuid.uuid4().hex
        self._n_sent, self._sent, self._looked = 0, 0.0, 0.0
        self.started: dict[str, Any] | None = None
        self._epochs: list[dict[str, Any]] = []

    def start(self, split: Split) -> None:
        """Say what the run is measured on."""
        self._seen = (split.seen_users, split.seen_items)
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
        self._epochs.append(plain_epoch(result))
        if result.model is not None and time.monotonic() - self._looked > LOOK_SECONDS:
            if 2 * (result.model.user_factors.nbytes + result.model.item_factors.nbytes) < LOOK_BYTES:
                _living[self._run_id] = living_arrays(result.model, *self._seen, epoch=result.epoch)
            self._looked = time.monotonic()
        self.on_batch(result.train_loss)

    def on_batch(self, loss: float) -> None:
        """Send what is waiting, at most so often; raises ``StopTraining`` when somebody asked for it."""
        new = self._epochs[self._n_sent :]
        if new and time.monotonic() - self._sent > REPORT_SECONDS:
            self._send({"epochs": new})
            self._n_sent, self._sent = len(self._epochs), time.monotonic()
        if self._run_id in _stopping:
            raise StopTraining

    def said(self) -> dict[str, Any]:
        """All that was reported, whether or not it was sent."""
        return {"started": self.started, "epochs": self._epochs}

    def _send(self, message: dict[str, Any]) -> None:
        get_worker().log_event(self._topic, {"run_id": self._run_id, "attempt": self._attempt, **message})


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
