"""The store of runs: rows in SQLite, arrays in ``.npz`` files beside it, nothing pickled.

Everything a page shows about a run comes from here, so a refresh, a second tab or a shared link finds it again.

A run belongs to the server process that took it on (:mod:`cfcore.servers`). When that process is gone, nobody will ever
finish the run: whoever reads it next marks it failed.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from cfcore.arrays import RUN_ID, ArrayFiles
from cfcore.config import RunRequest
from cfcore.database import Database, FolderError, StoreError, read_epochs, write_epochs
from cfcore.models import Model, from_arrays
from cfcore.retention import Retention
from cfcore.room_store import Rooms
from cfcore.run import ACTIVE, STATUSES, Run, run_of
from cfcore.servers import server_gone
from cfcore.training import EpochResult

__all__ = ["ACTIVE", "STATUSES", "Run", "RunStore", "StoreError"]

# What is said of a run that did not end by itself.
ORPHANED = "The server stopped before this run ended: start it again."
LOST = (
    "The worker was lost (killed, or out of memory) while it trained this run. A new one is starting: "
    "try again, with a smaller embedding or another lookup if memory is short."
)
STOPPED_EARLY = "Stopped before it started."
STOPPING = "Stopping."

_IS_ACTIVE = "status IN ('queued', 'running')"
_NEVER_BEFORE = {"started": "max(?, created)", "finished": "max(?, coalesce(started, created))"}  # by a clock set back

logger = logging.getLogger(__name__)


class RunStore:
    """Runs under ``root`` (``CFCORE_RUNS_DIR``, else the user's data folder).

    Raises:
        StoreError: the folder or the database cannot be used; so does every method.
    """

    def __init__(self, root: Path | None = None) -> None:
        given = root or os.environ.get("CFCORE_RUNS_DIR")
        self.root = Path(given) if given else platformdirs.user_data_path("latent-lab") / "runs"
        self._files = ArrayFiles(self.root / "arrays")  # makes the folders
        self._db = Database(self.root / "runs.sqlite3", [self.root / "arrays"])
        self._retention = Retention(self._db, self._files)  # which only a server's beat lets tidy up
        self.rooms = Rooms(self._db)
        self._unkept, self._unread = "", 0

    @classmethod
    def open(cls) -> RunStore:
        """The store that the environment names or, where its folder cannot be, one that goes with this process.

        Raises:
            StoreError: the folder is fine, and its store cannot be used at the moment, or by this version.
        """
        try:
            return cls()
        except FolderError as problem:
            folder = Path(tempfile.mkdtemp(prefix="latent-lab-runs-"))
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            store = cls(folder)
            store._unkept = "runs are not kept when this server stops, as the folder for them cannot be used"
            logger.error("%s: %s", store._unkept, problem)
            return store

    def notice(self) -> str:
        """What whoever has runs here should know of the store, in a sentence; mostly nothing."""
        unread = "a damaged entry" if self._unread == 1 else f"{self._unread} damaged entries"
        unread = f"{unread} of the run store cannot be read, and left out" if self._unread else ""
        return self._unkept or self._db.notice or unread

    def create(
        self, request: RunRequest, *, visitor: str = "", dataset_title: str = "", server: str = "", group: str = ""
    ) -> Run:
        """Add a queued run with an unguessable id; ``server`` is the process that will see to it."""
        run_id = secrets.token_urlsafe(12)
        now = time.time()
        values = (
            run_id,
            visitor,
            json.dumps(request.to_json(), allow_nan=False),
            dataset_title,
            server,
            group,
            now,
            now,
        )
        with self._db.transaction(write=True) as db:
            db.execute(
                'INSERT INTO runs (id, visitor, name, request, dataset_title, server, "group", seen, created, status, '
                "message, split_how) VALUES (?, ?, '', ?, ?, ?, ?, ?, ?, 'queued', '', '')",
                values,
            )
        run = self.get(run_id)
        if run is None:
            raise StoreError(f"the run store {self.root} lost a run that was just written: is its disk full?")
        return run

    def get(self, run_id: str) -> Run | None:
        """The run, or ``None`` when there is none with this id."""
        return next(iter(self.get_many([run_id])), None)

    def get_many(self, run_ids: Sequence[str], *, histories: bool = True) -> Sequence[Run]:
        """The runs with these ids that there are, in this order; with an empty history where none is wanted."""
        place = {run_id: k for k, run_id in enumerate(dict.fromkeys(filter(RUN_ID.fullmatch, run_ids)))}
        if not place:
            return []
        marks = ", ".join("?" * len(place))
        return sorted(self._read(f"id IN ({marks})", list(place), histories=histories), key=lambda run: place[run.id])

    def list(self, *, visitor: str | None = None, group: str | None = None, limit: int = 100) -> Sequence[Run]:
        """The latest runs, newest first: of one visitor, of one group, or of everybody."""
        given = {name: value for name, value in (("visitor", visitor), ('"group"', group)) if value is not None}
        where = " AND ".join(f"{name} = ?" for name in given) or "TRUE"
        return self._read(where, [*given.values(), limit], "ORDER BY rowid DESC LIMIT ?")  # not by a clock

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
                write_epochs(db, run_id, results)

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

    def trash(self, run_id: str) -> bool:
        """Hide a run that has ended, as if it were deleted, until it is restored; a day later it is gone for good."""
        with self._db.transaction(write=True) as db:
            statement = f"UPDATE runs SET trashed = ? WHERE id = ? AND NOT {_IS_ACTIVE}"
            return db.execute(statement, (time.time(), run_id)).rowcount > 0

    def restore(self, run_id: str) -> None:
        """Bring a trashed run back."""
        with self._db.transaction(write=True) as db:
            db.execute("UPDATE runs SET trashed = NULL WHERE id = ?", (run_id,))

    def look_at(self, *run_ids: str) -> None:
        """Say that somebody is looking at these runs, so that they are not let go of."""
        self._retention.look_at([run_id for run_id in run_ids if RUN_ID.fullmatch(run_id)])

    def arrays(self, run_id: str, *names: str) -> dict[str, np.ndarray]:
        """The arrays of a finished run by name, or those ``names`` that it has; see :func:`cfcore.outcome.run_arrays`.

        Raises:
            StoreError: the run has none (it failed, is not finished, or does not exist), or the file is damaged.
        """
        return self._files.load(run_id, names)

    def model(self, run_id: str) -> Model:
        """The trained model of a finished run, ready to predict; raises as :meth:`arrays`."""
        return from_arrays(self.arrays(run_id))

    def beat(self, server: str) -> None:
        """Say that ``server`` still sees to its runs; only servers on other machines are judged by it.

        Now and then it also lets go of what is too old, or too much (:mod:`cfcore.retention`).
        """
        self._retention.tidy_now_and_then()
        with self._db.transaction(write=True) as db:
            db.execute(f"UPDATE runs SET seen = ? WHERE server = ? AND {_IS_ACTIVE}", (time.time(), server))

    def fail_all_of(self, server: str, message: str = ORPHANED) -> None:
        """Mark every active run of this server as failed."""
        with self._db.transaction(write=True) as db:
            db.execute(
                f"UPDATE runs SET status = 'failed', message = ?, finished = {_NEVER_BEFORE['finished']} "
                f"WHERE server = ? AND {_IS_ACTIVE}",
                (message, time.time(), server),
            )

    def fail_orphans(self) -> None:
        """Mark the active runs of servers that are gone as failed, and remove what they had half written.

        Runs without a server are left alone.
        """
        halves = self._files.halves()  # listed first: a run that writes now is active when it is asked for
        with self._db.transaction() as db:
            rows = db.execute(f"SELECT id, server, seen FROM runs WHERE {_IS_ACTIVE}").fetchall()
        last = {row["server"]: row["seen"] for row in sorted(rows, key=lambda row: row["seen"])}
        gone = {server for server, seen in last.items() if server_gone(server, seen)}
        for server in gone:
            self.fail_all_of(server)
        active = {row["id"] for row in rows if row["server"] not in gone}
        self._files.sweep(half for half, run_id in halves.items() if run_id not in active)

    def close(self) -> None:
        """Let go of the database."""
        self._db.close()

    def _read(self, where: str, values: Sequence[Any], how: str = "", *, histories: bool = True) -> Sequence[Run]:
        """Runs with their histories; those that are active for a server that is gone are failed on the way."""
        for _ in range(2):
            with self._db.transaction() as db:
                rows = db.execute(f"SELECT * FROM runs WHERE trashed IS NULL AND {where} {how}", values).fetchall()
                epochs = {row["id"]: read_epochs(db, row["id"]) if histories else () for row in rows}
            orphans = {row["id"] for row in rows if row["status"] in ACTIVE and server_gone(row["server"], row["seen"])}
            if not orphans:
                break
            try:
                self.fail_orphans()
            except StoreError:  # a full disk: they read as failed all the same
                logger.exception("what a server that is gone has left cannot be marked")
                break
        runs, unread = [], 0
        for row in rows:
            try:
                run = run_of(row, epochs[row["id"]])
            except (ValueError, TypeError, KeyError, AttributeError) as error:  # one must not hide all others
                unread += 1
                logger.warning("the run %r in the store is damaged and left out: %s", row["id"], error)
                continue
            runs.append(replace(run, status="failed", message=ORPHANED) if run.id in orphans else run)
        self._unread = max(self._unread, unread)
        return runs

    def _change(
        self, run_id: str, allowed: Sequence[str], *, epochs: Sequence[EpochResult] = (), **values: Any
    ) -> bool:
        """Set columns of a run whose status is one of ``allowed``; returns whether there was one."""
        columns = ", ".join(f"{name} = {_NEVER_BEFORE.get(name, '?')}" for name in values)
        marks = ", ".join("?" * len(allowed))
        with self._db.transaction(write=True) as db:
            statement = f"UPDATE runs SET {columns} WHERE id = ? AND status IN ({marks})"
            changed = db.execute(statement, (*values.values(), run_id, *allowed)).rowcount > 0
            if changed and epochs:
                write_epochs(db, run_id, epochs)
        return changed
