"""The SQLite database of the run store: its tables, and transactions that many threads and processes may use at once.

WAL mode lets pages read while a run is written. Every transaction has a connection of its own, so no connection is ever
shared between threads.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from cfcore.training import EpochResult

logger = logging.getLogger(__name__)

_VERSION = 3
_BUSY_SECONDS = 20
_SCHEMA = """
CREATE TABLE runs (
    id TEXT PRIMARY KEY, visitor TEXT NOT NULL, name TEXT NOT NULL, request TEXT NOT NULL, dataset_title TEXT NOT NULL,
    server TEXT NOT NULL, seen REAL NOT NULL, created REAL NOT NULL, started REAL, finished REAL,
    status TEXT NOT NULL, message TEXT NOT NULL, split_how TEXT NOT NULL, n_train INTEGER, n_valid INTEGER,
    baseline_mean_mse REAL, baseline_bias_mse REAL, metrics TEXT, fit_seconds REAL, peak_memory_mb REAL,
    "group" TEXT NOT NULL DEFAULT '', trashed REAL, looked REAL);
CREATE INDEX runs_by_group ON runs ("group");
CREATE INDEX runs_by_visitor ON runs (visitor, created);
CREATE INDEX runs_by_status ON runs (status);
CREATE TABLE epochs (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, epoch INTEGER NOT NULL,
    train_loss REAL, valid_loss REAL, seconds REAL, learning_rate REAL, PRIMARY KEY (run_id, epoch)) WITHOUT ROWID;
"""
_FROM = {  # what brings a database of this version to the next
    1: """
ALTER TABLE runs ADD COLUMN "group" TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN trashed REAL;
CREATE INDEX runs_by_group ON runs ("group")
""",
    2: "ALTER TABLE runs ADD COLUMN looked REAL",
}


class StoreError(ValueError):
    """The run store cannot be used, or does not hold what was asked for."""


class Database:
    """The database at ``path``, created when it is not there; its folder must exist.

    When it vanishes while it is in use, an empty one takes its place, and ``notice`` says so.

    Raises:
        StoreError: it cannot be opened, is damaged, or was written by another version; so does every transaction.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._renewing = path, threading.Lock()
        self._notice = ""
        self._open()

    def _open(self) -> None:
        path = self._path
        with self._errors():
            # Held open for the life of the store: SQLite folds the log into the database whenever the last
            # connection closes, and with one connection a transaction that would be after every transaction.
            self._anchor = sqlite3.connect(path, timeout=_BUSY_SECONDS, check_same_thread=False)
            _enter_wal(self._anchor)
        with self._transaction(write=True) as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version in (0, *_FROM):
                steps = [_SCHEMA] if version == 0 else [_FROM[each] for each in range(version, _VERSION)]
                for statement in ";".join(steps).split(";"):
                    db.execute(statement)  # not executescript, which would commit between the statements
                db.execute(f"PRAGMA user_version = {_VERSION}")
            elif version != _VERSION:
                raise StoreError(
                    f"the run store {path} was written by another version of Latent Lab (format {version}, not "
                    f"{_VERSION}): set CFCORE_RUNS_DIR to another folder"
                )

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction, rolled back when the block raises; a writing one waits for its turn."""
        self._look()
        with self._transaction(write=write) as db:
            yield db

    @property
    def notice(self) -> str:
        """What happened to the file while it was in use, in a sentence; empty where nothing did."""
        self._look()
        return self._notice

    def _look(self) -> None:
        if self._renewing.locked() or not self._path.exists():
            self._renew()

    def _renew(self) -> None:
        """Begin again with an empty database: somebody deleted the file under the running app."""
        with self._renewing:
            if self._path.exists():  # another thread was faster
                return
            self._anchor.close()
            with suppress(OSError):  # then opening it says why
                for end in ("-wal", "-shm"):  # which belong to the one that has gone
                    self._path.with_name(f"{self._path.name}{end}").unlink(missing_ok=True)
                self._path.parent.mkdir(parents=True, exist_ok=True)
            self._open()
            self._notice = "The runs were deleted from the disk while the app ran: those of before are gone."
            logger.warning("the run store %s was deleted: an empty one takes its place", self._path)

    @contextmanager
    def _transaction(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        with self._errors(), closing(self._connect()) as db:
            db.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            try:
                yield db
            except BaseException:
                db.rollback()
                raise
            db.commit()

    def close(self) -> None:
        """Let go of the file."""
        self._anchor.close()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA synchronous = NORMAL")  # with WAL: a power cut may lose the last epochs, never the database
        return db

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(
                f"the run store {self._path} cannot be used ({error}): check the folder's permissions and free space, "
                "move the file away, or set CFCORE_RUNS_DIR to another folder"
            ) from error


def write_epochs(db: sqlite3.Connection, run_id: str, results: Sequence[EpochResult]) -> None:
    """Keep epochs of a run, in place of what there was of the same numbers."""
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


def read_epochs(db: sqlite3.Connection, run_id: str) -> tuple[EpochResult, ...]:
    """The epochs of a run in their order."""
    rows = db.execute(
        "SELECT epoch, train_loss, valid_loss, seconds, learning_rate FROM epochs WHERE run_id = ? ORDER BY epoch",
        (run_id,),
    )
    return tuple(
        EpochResult(epoch=epoch, train_loss=train, valid_loss=valid, seconds=seconds, learning_rate=rate)
        for epoch, train, valid, seconds, rate in rows
    )


def _enter_wal(db: sqlite3.Connection) -> None:
    """Switch to a write-ahead log. Two processes that do so at once are refused without waiting, hence the turns."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
