"""Room on the disk that is given up when it is full, so that how a run ended can still be written down.

SQLite needs a few pages for the shortest note. On a full disk there are none, and a run would read as "running" until
somebody makes room. So a file of a megabyte lies beside the database, and goes when the disk is nearly full.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import sqlite3
from pathlib import Path

RESERVE_BYTES = 1 << 20
LEAST_BYTES = 1 << 19  # free below this, the reserve is given up
PLENTY_BYTES = 8 << 20  # free above this, it is laid by again

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Reserve:
    """The file at ``path``: there while there is room."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def look(self) -> None:
        """Give the reserve up where the disk is nearly full, and lay it by again where it is not."""
        with contextlib.suppress(OSError):  # a folder that is gone, or may only be read
            free = shutil.disk_usage(self._path.parent).free
            if free < LEAST_BYTES:
                self._path.unlink(missing_ok=True)
            elif free > PLENTY_BYTES and not self._path.exists():
                self._path.write_bytes(bytes(RESERVE_BYTES))


def is_full(error: BaseException) -> bool:
    """Whether what went wrong is that the disk, or this person's share of it, is full."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno in _FULL


def full(folder: Path) -> str:
    """What is wrong, and what to do about it."""
    return (
        f"the disk that holds the runs ({folder}) is full: make room on it, or lower CFCORE_MAX_STORE_MB to let "
        "old runs go, and train again"
    )
