"""Room on the disk that is given up when it is full, so that how a run ended can still be written down.

SQLite needs a few pages for the shortest note. On a full disk there are none, and a run would read as "running" until
somebody makes room. So a file of a megabyte lies beside the database, and goes when the disk is nearly full, or when
nothing could be written: a person's share (quota) may be used up on a disk that has room.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import sqlite3
import time
from pathlib import Path

RESERVE_BYTES = 1 << 20
LEAST_BYTES = 1 << 19  # free below this, the reserve is given up
PLENTY_BYTES = 8 << 20  # free above this, it is laid by again
NOT_AGAIN_SECONDS = 600  # after nothing could be written

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Reserve:
    """The file at ``path``: there while there is room."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._not_before = 0.0  # on the steady clock

    def give_up(self) -> None:
        """Make room for what could not be written, and lay nothing by for a while."""
        self._not_before = time.monotonic() + NOT_AGAIN_SECONDS
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def look(self) -> None:
        """Give the reserve up where the disk is nearly full, and lay it by again where it is not."""
        with contextlib.suppress(OSError):  # a folder that is gone, or may only be read
            free = shutil.disk_usage(self._path.parent).free
            if free < LEAST_BYTES:
                self._path.unlink(missing_ok=True)
            elif free > PLENTY_BYTES and time.monotonic() >= self._not_before and not self._path.exists():
                self._lay_by()

    def _lay_by(self) -> None:
        try:
            self._path.write_bytes(bytes(RESERVE_BYTES))
        except OSError:
            self.give_up()


def is_full(error: BaseException) -> bool:
    """Whether what went wrong is that the disk, or this person's share of it, is full."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno in _FULL


def could_not_write(error: BaseException) -> bool:
    """Whether something could not be written; SQLite says of a used up share only that."""
    wrote = (sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_SHMSIZE)
    return is_full(error) or getattr(error, "sqlite_errorcode", None) in wrote


def full(folder: Path) -> str:
    """What is wrong, and what to do about it."""
    return (
        f"the disk that holds the runs ({folder}) is full: make room on it, or lower CFCORE_MAX_STORE_MB to let "
        "old runs go, and train again"
    )
