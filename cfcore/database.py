"""The SQLite database of the run store: its tables, and transactions that many threads and processes may use at once.

WAL mode lets pages read while a run is written. Every transaction has a connection of its own, so no connection is ever
shared between threads.
"""

from __future__ import annotations

import itertools
import logging
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from cfcore.disk import Reserve, could_not_write, full, is_full
from cfcore.training import EpochResult

if sys.platform != "win32":
    import fcntl

_VERSION = 4
_BUSY_SECONDS = 20
_ENDINGS = ("", "-wal", "-shm")  # of a database's name, for the files that it consists of
_ROOMS = """
CREATE TABLE rooms (
    code TEXT PRIMARY KEY, secret TEXT NOT NULL, rules TEXT NOT NULL, created REAL NOT NULL, looked REAL NOT NULL,
    closed INTEGER NOT NULL DEFAULT 0, named INTEGER NOT NULL DEFAULT 1);
CREATE TABLE teachers (
    code TEXT NOT NULL REFERENCES rooms (code) ON DELETE CASCADE, visitor TEXT NOT NULL, PRIMARY KEY (code, visitor));
CREATE TABLE people (
    code TEXT NOT NULL REFERENCES rooms (code) ON DELETE CASCADE, visitor TEXT NOT NULL, number INTEGER NOT NULL,
    name TEXT NOT NULL, joined REAL NOT NULL, hidden INTEGER NOT NULL DEFAULT 0, shows INTEGER NOT NULL DEFAULT 1,
    here INTEGER NOT NULL DEFAULT 1, PRIMARY KEY (code, visitor));
CREATE INDEX people_by_visitor ON people (visitor);
CREATE TABLE shown (
    run_id TEXT PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    code TEXT NOT NULL REFERENCES rooms (code) ON DELETE CASCADE, visitor TEXT NOT NULL, since REAL NOT NULL);
CREATE INDEX shown_by_code ON shown (code)
"""
_SCHEMA = f"""
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
{_ROOMS}
"""
_FROM = {  # what brings a database of this version to the next
    1: """
ALTER TABLE runs ADD COLUMN "group" TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN trashed REAL;
CREATE INDEX runs_by_group ON runs ("group")
""",
    2: "ALTER TABLE runs ADD COLUMN looked REAL",
    3: _ROOMS,
}

logger = logging.getLogger(__name__)


class StoreError(ValueError):
    """The run store cannot be used, or does not hold what was asked for."""


class FolderError(StoreError):
    """The store's folder cannot be made, or not be written."""


class Database:
    """The database at ``path``, created when it is not there; its folder must exist.

    One that is damaged is set aside under another name, never deleted or overwritten, and a new one is begun; so is
    one that has vanished under a running app. ``notice`` then says so, in a sentence for people.

    Raises:
        StoreError: it cannot be opened, or was written by another version; so does every transaction.
    """

    def __init__(self, path: Path, beside: Sequence[Path] = ()) -> None:
        """``beside`` are folders that belong to it, and are set aside with it."""
        self._path, self._beside = path, beside
        self.notice = ""
        self._reserve = Reserve(path.with_name("reserve"))
        self._anchor: sqlite3.Connection | None = None
        self._lock = threading.Lock()  # guards new beginnings
        self._reserve.look()
        with self._errors():
            try:
                self._begin()
            except sqlite3.Error as error:
                if not _is_damage(error):
                    raise
                self._mend(error)

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction, rolled back when the block raises; a writing one waits for its turn."""
        if write:
            self._reserve.look()
        with self._errors():
            if self._vanished():
                self._begin_anew()
            with self._within(write) as db:
                yield db

    def close(self) -> None:
        """Let go of the file."""
        if self._anchor is not None:
            self._anchor.close()

    def _begin(self) -> None:
        # Held open for the life of the store: SQLite folds the log into the database whenever the last
        # connection closes, and with one connection a transaction that would be after every transaction.
        self._anchor = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, check_same_thread=False)
        _enter_wal(self._anchor)
        _check(self._anchor)
        with self._within(write=True) as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version in (0, *_FROM):
                steps = [_SCHEMA] if version == 0 else [_FROM[each] for each in range(version, _VERSION)]
                for statement in ";".join(steps).split(";"):
                    db.execute(statement)  # not executescript, which would commit between the statements
                db.execute(f"PRAGMA user_version = {_VERSION}")
            elif version != _VERSION:
                raise StoreError(
                    f"the run store {self._path} was written by another version of Latent Lab (format {version}, not "
                    f"{_VERSION}): set CFCORE_RUNS_DIR to another folder"
                )

    @contextmanager
    def _within(self, write: bool) -> Iterator[sqlite3.Connection]:
        with closing(self._connect()) as db:
            db.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            try:
                yield db
            except BaseException:
                db.rollback()
                raise
            db.commit()

    def _connect(self) -> sqlite3.Connection:
        # Only a file that is there: one that vanishes at this moment must not come back empty.
        address = f"{self._path.absolute().as_uri()}?mode=rw"
        db = sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
        db.row_factory = sqlite3.Row
        db.text_factory = lambda text: text.decode(errors="replace")  # one damaged name must not hide all others
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA synchronous = NORMAL")  # with WAL: a power cut may lose the last epochs, never the database
        return db

    def _vanished(self) -> bool:
        try:
            self._path.stat()
        except FileNotFoundError:
            return True
        except OSError:  # a drive of the network that hiccups
            pass
        return False

    def _begin_anew(self) -> None:
        """Begin again where the file is gone, unless another thread has done so by now."""
        with self._lock:
            if not self._vanished():
                return
            self.close()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._begin()
            self.notice = "the run store was removed while the app was running: a new one was begun, without the runs"
            logger.error("%s (%s)", self.notice, self._path)

    def _mend(self, error: sqlite3.Error) -> None:
        """Set a damaged file aside and begin a new one, unless another thread or server has done so by now."""
        with self._lock, _only_one(self._path.with_name("lock")):
            aside = _set_aside(self._path, self._beside) if self._damaged() else None
            self.close()
            self._begin()
        if aside is not None:
            self.notice = f"the run store was damaged: it was set aside as {aside.name}, and a new one was begun"
            logger.error("%s (%s: %s); 'sqlite3 %s .recover' may help", self.notice, self._path, error, aside)

    def _damaged(self) -> bool:
        try:
            with closing(sqlite3.connect(self._path, timeout=_BUSY_SECONDS)) as db:
                _check(db)
        except sqlite3.Error as error:
            return _is_damage(error)
        return False

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, sqlite3.Error) and _is_damage(error):
                with suppress(sqlite3.Error, OSError):
                    self._mend(error)
                if self.notice:
                    raise StoreError(self.notice) from error
            if could_not_write(error):
                self._reserve.give_up()  # whoever tries again finds room
            if is_full(error):
                raise StoreError(full(self._path.parent)) from error
            kind = FolderError if _is_the_folders(error) else StoreError
            raise kind(
                f"the run store {self._path} cannot be used ({error}): check the folder's permissions and free space, "
                "move the file away, or set CFCORE_RUNS_DIR to another folder"
            ) from error


class _Damaged(sqlite3.DatabaseError):
    """What a check of the whole file has found."""


def _check(db: sqlite3.Connection) -> None:
    """Read the whole file; a page that nothing uses any more is no damage."""
    said = [line for (text,) in db.execute("PRAGMA quick_check") for line in text.splitlines()]
    faults = [line for line in said if line != "ok" and not line.startswith("***") and not line.endswith("never used")]
    if faults:
        raise _Damaged(faults[0])


def _is_damage(error: sqlite3.Error) -> bool:
    return isinstance(error, _Damaged) or _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _is_the_folders(error: Exception) -> bool:
    """Whether no file could be made or written there, whatever is in it."""
    return isinstance(error, OSError) or _code(error) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)


def _code(error: Exception) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF  # without what SQLite adds to it


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Of all processes that come here with this file, one at a time (but for Windows, which has no such locks)."""
    if sys.platform == "win32":
        yield
        return
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _set_aside(path: Path, beside: Sequence[Path]) -> Path:
    """Rename a database and what belongs to it; gives its new name, which nothing had before."""
    for number in itertools.count(1):
        aside = path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")
        if not any(Path(f"{aside}{ending}").exists() for ending in _ENDINGS):
            break
    for ending in reversed(_ENDINGS):  # the log first: without its database it would be taken for the new one's
        with suppress(FileNotFoundError):
            os.rename(f"{path}{ending}", f"{aside}{ending}")
    for folder in beside:
        with suppress(OSError):
            os.rename(folder, folder.with_name(f"{folder.name}.damaged-{number}"))
    return aside


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
