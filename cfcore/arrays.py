"""The arrays of a run as one ``.npz`` file: plain numbers by name, read without pickle."""

from __future__ import annotations

import contextlib
import errno
import lzma
import os
import re
import secrets
import struct
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from cfcore.database import FolderError, StoreError
from cfcore.disk import full, is_full

RUN_ID = re.compile(r"[A-Za-z0-9_-]{16}")  # what secrets.token_urlsafe(12) makes; ids come from links, so check first
# What reading a damaged file raises, here and there in numpy and zipfile.
_DAMAGE = (OSError, ValueError, TypeError, EOFError, KeyError, RuntimeError, SyntaxError)
_DAMAGE += (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error)
# What says nothing of the file itself: too many open ones, no memory, no right to read it.
_OF_THE_MACHINE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EPERM)


class ArrayFiles:
    """One file a run in ``folder``; a file is complete or absent, never half written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FolderError(
                f"the run store {folder.parent} cannot be used ({error.strerror}): check the folder's permissions and "
                "free space, or set CFCORE_RUNS_DIR to another folder"
            ) from error

    def save(self, run_id: str, arrays: dict[str, np.ndarray]) -> None:
        """Write the arrays of a run, in place of what it had.

        Raises:
            StoreError: the file cannot be written.
        """
        path = self._path(run_id)
        half = path.with_name(f".{run_id}.{secrets.token_hex(4)}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)  # it may have vanished under the running app
            with half.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
            os.replace(half, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                half.unlink(missing_ok=True)
            if is_full(error):
                raise StoreError(full(self._folder.parent)) from error
            raise StoreError(f"the arrays of run {run_id} could not be written: {error.strerror}") from error

    def load(self, run_id: str, names: Sequence[str] = ()) -> dict[str, np.ndarray]:
        """Read the arrays of a run; where ``names`` are given, only those of them that it has.

        A name that ends in an underscore stands for all that begin with it.

        Raises:
            StoreError: there are none, the file is damaged, or it cannot be read at the moment.
        """
        try:
            with np.load(self._path(run_id), allow_pickle=False) as file:
                wanted = [name for name in file if not names or any(_matches(name, each) for each in names)]
                arrays = {name: file[name] for name in wanted}
            if not all(isinstance(array, np.ndarray) for array in arrays.values()):  # numpy gives the bytes of others
                raise ValueError("it holds what is no array")
            return arrays
        except FileNotFoundError:
            raise StoreError(f"run {run_id} has no arrays: it is not finished, it failed, or it was deleted") from None
        except MemoryError as error:  # nobody can tell: a damaged header may ask for anything
            raise StoreError(
                f"the arrays of run {run_id} are damaged or larger than the memory that is free: try again later; if "
                "that does not help, train it again"
            ) from error
        except _DAMAGE as error:
            if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
                raise StoreError(
                    f"the arrays of run {run_id} cannot be read at the moment ({error.strerror}): try again; if that "
                    "does not help, restart the server"
                ) from error
            raise StoreError(f"the arrays of run {run_id} are damaged ({error}): train it again") from error

    def delete(self, run_id: str) -> None:
        """Remove the arrays of a run, if there are any."""
        with contextlib.suppress(StoreError):
            self._path(run_id).unlink(missing_ok=True)

    def sizes(self) -> dict[str, int]:
        """The bytes that the arrays of each run take on the disk, by run id."""
        found = {}
        for path in self._folder.glob("*.npz"):
            with contextlib.suppress(FileNotFoundError):  # deleted at this moment
                found[path.stem] = path.stat().st_size
        return found

    def halves(self) -> dict[Path, str]:
        """The files that are being written at this moment, or never will be finished, with their runs' ids."""
        return {part: part.name.split(".")[1] for part in self._folder.glob(".*.part")}

    def sweep(self, halves: Iterable[Path]) -> None:
        """Remove what a process that died while writing has left behind."""
        for half in halves:
            with contextlib.suppress(OSError):
                half.unlink(missing_ok=True)

    def _path(self, run_id: str) -> Path:
        if not RUN_ID.fullmatch(run_id):
            raise StoreError("there is no such run: the link is incomplete or was changed")
        return self._folder / f"{run_id}.npz"


def _matches(name: str, wanted: str) -> bool:
    return name.startswith(wanted) if wanted.endswith("_") else name == wanted
