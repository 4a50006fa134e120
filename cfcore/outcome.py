"""What leaves a worker when a run ends: plain values and arrays, no instance of our own classes.

When a file is edited under a running server (as a host does when it deploys), its module is loaded anew, and an object
of the old class is then of no known class. Plain values do not mind.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from cfcore.approaches import factors_of
from cfcore.database import StoreError
from cfcore.models import Model, to_arrays
from cfcore.training import EpochResult, Trained

if TYPE_CHECKING:
    from cfcore.runs import RunStore

MOST_PREDICTIONS = 200_000  # held-out predictions kept of a run, with their rows 2.4 MB: a sample where there are more
SAMPLE_SEED = 0
VECTORS = ("user_factors", "item_factors", "user_bias", "item_bias", "valid_predictions", "valid_rows", "model_")

logger = logging.getLogger(__name__)


class Failures:
    """Marks runs of ``store`` as failed; one that cannot be written (a full disk) is kept, to be tried again.

    Else a run whose task is gone would read as "running" for as long as its server lives.
    """

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._unwritten: dict[str, str] = {}  # run id: why it failed

    def add(self, message: str, *run_ids: str) -> None:
        """Mark these runs, now or later."""
        self._unwritten |= dict.fromkeys(run_ids, message)
        self.try_again()

    def try_again(self) -> None:
        """Write what could not be written before."""
        for run_id, message in list(self._unwritten.items()):
            try:
                self._store.fail(run_id, message)
            except StoreError as error:
                logger.error("run %s cannot be marked as failed yet: %s", run_id, error)
                return
            del self._unwritten[run_id]


def outcome_of(trained: Trained, valid_rows: np.ndarray | None = None) -> dict[str, Any]:
    """How a run ended, as plain values and arrays that can leave the worker.

    ``valid_rows`` (n_valid,) are the rows of the data set that ``trained.valid_predictions`` (n_valid,) go with.
    """
    return {
        "status": trained.status,
        "message": trained.message,
        "metrics": asdict(trained.metrics),
        "fit_seconds": trained.fit_seconds,
        "peak_memory_mb": trained.peak_memory_mb,
        "epochs": [plain_epoch(result) for result in trained.history],
        "arrays": run_arrays(trained, valid_rows),
    }


def settle(store: RunStore, run_id: str, result: Mapping[str, Any]) -> None:
    """Keep what a worker's training gave (:func:`cfcore.worker.execute`): an outcome, or the problem it met."""
    if result["started"] is not None:  # these may have overtaken the events that say the same
        store.start(run_id, **result["started"])
    if "problem" in result:
        store.add_epochs(run_id, [EpochResult(**epoch) for epoch in result["epochs"]])
        store.fail(run_id, result["problem"])
    else:
        store.finish(run_id, result["outcome"])


def plain_epoch(result: EpochResult) -> dict[str, Any]:
    """An epoch as plain numbers, where an approach may have used numpy's, and without its factors."""
    rate = result.learning_rate
    return {
        "epoch": int(result.epoch),
        "train_loss": float(result.train_loss),
        "valid_loss": float(result.valid_loss),
        "seconds": float(result.seconds),
        "learning_rate": None if rate is None else float(rate),
    }


def run_arrays(trained: Trained, valid_rows: np.ndarray | None) -> dict[str, np.ndarray]:
    """The arrays of a finished run, by name.

    ``user_factors`` (U, k), ``item_factors`` (M, k) and, where the approach has them, ``user_bias`` (U,) and
    ``item_bias`` (M,), all NaN where nothing was trained; ``valid_predictions`` (v,) and, where known, ``valid_rows``
    (v,), of all held-out ratings or of a sample of :data:`MOST_PREDICTIONS`; ``snapshot_epochs`` (s,),
    ``snapshot_item_idx`` (m,), ``snapshot_factors`` (s, m, k); and ``model_...``, from which
    :func:`cfcore.models.from_arrays` rebuilds the model.
    """
    predictions = trained.valid_predictions
    if len(predictions) > MOST_PREDICTIONS:
        kept = np.random.default_rng(SAMPLE_SEED).choice(len(predictions), MOST_PREDICTIONS, replace=False)
        kept.sort()
        predictions, valid_rows = predictions[kept], None if valid_rows is None else valid_rows[kept]
    arrays = {
        "user_factors": trained.user_factors,
        "item_factors": trained.item_factors,
        "valid_predictions": predictions,
        "snapshot_epochs": trained.snapshots.epochs,
        "snapshot_item_idx": trained.snapshots.item_idx,
        "snapshot_factors": trained.snapshots.factors,
        **to_arrays(trained.model),
    }
    optional = {"user_bias": trained.user_bias, "item_bias": trained.item_bias, "valid_rows": valid_rows}
    return arrays | {name: values for name, values in optional.items() if values is not None}


def living_arrays(model: Model, seen_users: np.ndarray, seen_items: np.ndarray, *, epoch: int) -> dict[str, np.ndarray]:
    """A model in training, copied: the arrays of :func:`run_arrays` that it has by now, and its ``epoch`` ()."""
    factors = {name: values for name, values in factors_of(model, seen_users, seen_items).items() if values is not None}
    return factors | {name: np.array(values) for name, values in to_arrays(model).items()} | {"epoch": np.array(epoch)}
