"""The store of runs: rows in SQLite, arrays in ``.npz`` files beside it, nothing pickled.

Everything a page shows about a run comes from here, so a refresh, a second tab or a shared link finds it again.

A run belongs to the server process that took it on (:mod:`cfcore.servers`). When that process is gone, nobody will ever
finish the run: whoever reads it next marks it failed.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from cfcore.arrays import RUN_ID, ArrayFiles
from cfcore.config import RunRequest
from cfcore.database import Database, StoreError
from cfcore.models import Model, from_arrays
from cfcore.servers import server_gone
from cfcore.training import EpochResult, Metrics

__all__ = ["ACTIVE", "STATUSES", "Run", "RunStore", "StoreError"]

ACTIVE = ("queued", "running")
STATUSES = ("queued", "running", "done", "stopped", "diverged", "failed")
ORPHANED = "The server stopped before this run ended: start it again."

_IS_ACTIVE = "status IN ('queued', 'running')"
_METRICS = {field.name for field in fields(Metrics)}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run as the store knows it; times are unix seconds, and ``None`` means not yet, or never.

    ``history`` holds the epochs so far, without movie factors. What the split is, and the baselines' errors on it, are
    known as soon as the run starts.
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
    history: tuple[EpochResult, ...]

    @property
    def active(self) -> bool:
        return self.status in ACTIVE


class RunStore:
    """Runs under ``root`` (``CFCORE_RUNS_DIR``, else the user's data folder).

    Raises:
        StoreError: the folder or the database cannot be used; so does every method.
    """

    def __init__(self, root: Path | None = None) -> None:
        given = root or os.environ.get("CFCORE_RUNS_DIR")
        self.root = Path(given) if given else platformdirs.user_data_path("latent-lab") / "runs"
        self._files = ArrayFiles(self.root / "arrays")  # makes the folders
        self._db = Database(self.root / "runs.sqlite3")

    def create(self, request: RunRequest, *, visitor: str = "", dataset_title: str = "", server: str = "") -> Run:
        """Add a queued run with an unguessable id; ``server`` is the process that will see to it."""
        run_id = secrets.token_urlsafe(12)
        now = time.time()
        values = (run_id, visitor, json.dumps(request.to_json(), allow_nan=False), dataset_title, server, now, now)
        with self._db.transaction(write=True) as db:
            db.execute(
                "INSERT INTO runs (id, visitor, name, request, dataset_title, server, seen, created, status, message, "
                "split_how) VALUES (?, ?, '', ?, ?, ?, ?, ?, 'queued', '', '')",
                values,
            )
        run = self.get(run_id)
        if run is None:
            raise StoreError(f"the run store {self.root} lost a run that was just written: is its disk full?")
        return run

    def get(self, run_id: str) -> Run | None:
        """The run, or ``None`` when there is none with this id."""
        if not RUN_ID.fullmatch(run_id):
            return None
        runs = self._read("WHERE id = ?", (run_id,))
        return runs[0] if runs else None

    def list(self, *, visitor: str | None = None, limit: int = 100) -> list[Run]:
        """The latest runs of one visitor, or of everybody, newest first."""
        if visitor is None:
            return self._read("ORDER BY created DESC, rowid DESC LIMIT ?", (limit,))
        return self._read("WHERE visitor = ? ORDER BY created DESC, rowid DESC LIMIT ?", (visitor, limit))

    def start(
        self,
        run_id: str,
        *,
        split_how: str,
        n_train: int,
        n_valid: int,
        baseline_mean_mse: float | None,
        baseline_bias_mse: float | None,
    ) -> bool:
        """Mark a queued run as running; returns whether it was still queued."""
        return self._change(
            run_id,
            ("queued",),
            status="running",
            started=time.time(),
            split_how=split_how,
            n_train=n_train,
            n_valid=n_valid,
            baseline_mean_mse=baseline_mean_mse,
            baseline_bias_mse=baseline_bias_mse,
        )

    def add_epoch(self, run_id: str, result: EpochResult) -> None:
        """Add an epoch to a running run; on any other it does nothing, so that late news does no harm."""
        self.add_epochs(run_id, (result,))

    def add_epochs(self, run_id: str, results: Sequence[EpochResult]) -> None:
        """Add several epochs in one transaction; see :meth:`add_epoch`."""
        with self._db.transaction(write=True) as db:
            row = db.execute("SELECT status FROM runs WHERE id = ?", (run_id,)).fetchone()
            if row and row["status"] == "running":
                _write_epochs(db, run_id, results)

    def finish(self, run_id: str, outcome: Mapping[str, Any]) -> bool:
        """Keep how an active run ended (:func:`cfcore.outcome.outcome_of`); returns whether it still was active."""
        run = self.get(run_id)
        if run is None or not run.active:
            return False
        self._files.save(run_id, outcome["arrays"])  # first: a run that reads as done has its arrays
        changed = self._change(
            run_id,
            ACTIVE,
            epochs=[EpochResult(**epoch) for epoch in outcome["epochs"]],
            finished=time.time(),
            metrics=json.dumps(outcome["metrics"], allow_nan=False),
            **{name: outcome[name] for name in ("status", "message", "fit_seconds", "peak_memory_mb")},
        )
        if not changed:
            self._files.delete(run_id)
        return changed

    def fail(self, run_id: str, message: str) -> bool:
        """Mark an active run as failed, with the reason in a sentence; its epochs so far stay."""
        return self._change(run_id, ACTIVE, status="failed", message=message, finished=time.time())

    def cancel(self, run_id: str, message: str) -> bool:
        """Mark a run that has not started as stopped; returns whether it was still queued."""
        return self._change(run_id, ("queued",), status="stopped", message=message, finished=time.time())

    def note(self, run_id: str, message: str) -> bool:
        """Say something about a running run, such as that it is being stopped."""
        return self._change(run_id, ("running",), message=message)

    def rename(self, run_id: str, name: str) -> None:
        """Give the run a name of the person's own; an empty one takes it back."""
        self._change(run_id, STATUSES, name=name.strip())

    def delete(self, run_id: str) -> None:
        """Remove the run, its epochs and its arrays."""
        with self._db.transaction(write=True) as db:
            db.execute("DELETE FROM runs WHERE id = ?", (run_id,))
        self._files.delete(run_id)

    def arrays(self, run_id: str) -> dict[str, np.ndarray]:
        """The arrays of a finished run, by name; see :func:`cfcore.arrays.run_arrays`.

        Raises:
            StoreError: the run has none (it failed, is not finished, or does not exist), or the file is damaged.
        """
        return self._files.load(run_id)

    def model(self, run_id: str) -> Model:
        """The trained model of a finished run, ready to predict; raises as :meth:`arrays`."""
        return from_arrays(self.arrays(run_id))

    def beat(self, server: str) -> None:
        """Say that ``server`` still sees to its runs; only servers on other machines are judged by it."""
        with self._db.transaction(write=True) as db:
            db.execute(f"UPDATE runs SET seen = ? WHERE server = ? AND {_IS_ACTIVE}", (time.time(), server))

    def fail_all_of(self, server: str, message: str = ORPHANED) -> None:
        """Mark every active run of this server as failed."""
        with self._db.transaction(write=True) as db:
            db.execute(
                f"UPDATE runs SET status = 'failed', message = ?, finished = ? WHERE server = ? AND {_IS_ACTIVE}",
                (message, time.time(), server),
            )

    def fail_orphans(self) -> None:
        """Mark the active runs of servers that are gone as failed; runs without a server are left alone."""
        with self._db.transaction() as db:
            rows = db.execute(
                f"SELECT server, max(seen) AS seen FROM runs WHERE {_IS_ACTIVE} GROUP BY server"
            ).fetchall()
        for row in rows:
            if server_gone(row["server"], row["seen"]):
                self.fail_all_of(row["server"])

    def close(self) -> None:
        """Let go of the database."""
        self._db.close()

    def _read(self, where: str, values: tuple[Any, ...]) -> list[Run]:
        """Runs with their histories; those that are active for a server that is gone are failed on the way."""
        for _ in range(2):
            with self._db.transaction() as db:
                rows = db.execute(f"SELECT * FROM runs {where}", values).fetchall()
                histories = {row["id"]: _read_epochs(db, row["id"]) for row in rows}
            if not any(row["status"] in ACTIVE and server_gone(row["server"], row["seen"]) for row in rows):
                break
            self.fail_orphans()
        return [_run(row, histories[row["id"]]) for row in rows]

    def _change(
        self, run_id: str, allowed: Sequence[str], *, epochs: Sequence[EpochResult] = (), **values: Any
    ) -> bool:
        """Set columns of a run whose status is one of ``allowed``; returns whether there was one."""
        columns = ", ".join(f"{name} = ?" for name in values)
        marks = ", ".join("?" * len(allowed))
        with self._db.transaction(write=True) as db:
            statement = f"UPDATE runs SET {columns} WHERE id = ? AND status IN ({marks})"
            changed = db.execute(statement, (*values.values(), run_id, *allowed)).rowcount > 0
            if changed and epochs:
                _write_epochs(db, run_id, epochs)
        return changed


def _write_epochs(db: sqlite3.Connection, run_id: str, results: Sequence[EpochResult]) -> None:
    db.executemany(
        "INSERT OR REPLACE INTO epochs VALUES (?, ?, ?, ?, ?, ?)",
        [
            (run_id, int(r.epoch), *map(_real, (r.train_loss, r.valid_loss, r.seconds, r.learning_rate)))
            for r in results
        ],
    )


def _real(value: float | None) -> float | None:
    """A number as SQLite knows it: one of numpy's float32 would be kept as four bytes."""
    return None if value is None else float(value)


def _read_epochs(db: sqlite3.Connection, run_id: str) -> tuple[EpochResult, ...]:
    rows = db.execute(
        "SELECT epoch, train_loss, valid_loss, seconds, learning_rate FROM epochs WHERE run_id = ? ORDER BY epoch",
        (run_id,),
    )
    return tuple(
        EpochResult(epoch=epoch, train_loss=train, valid_loss=valid, seconds=seconds, learning_rate=rate)
        for epoch, train, valid, seconds, rate in rows
    )


def _run(row: sqlite3.Row, history: tuple[EpochResult, ...]) -> Run:
    values = {name: row[name] for name in row.keys() if name not in ("server", "seen")}  # noqa: SIM118
    values["request"] = RunRequest.from_json(json.loads(row["request"]))
    if row["metrics"]:
        values["metrics"] = Metrics(**{k: v for k, v in json.loads(row["metrics"]).items() if k in _METRICS})
    return Run(history=history, **values)
