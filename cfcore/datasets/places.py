"""Where data sets are kept, and writing there."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from cfcore.datasets.errors import DataError


def data_dir() -> Path:
    """Where data sets are kept: ``CFCORE_DATA_DIR``, else the user's cache folder. It need not exist yet."""
    chosen = os.environ.get("CFCORE_DATA_DIR")
    return Path(chosen).expanduser().absolute() if chosen else platformdirs.user_cache_path("latent-lab")


def writable_dir(*below: str) -> Path:
    """A folder below :func:`data_dir`, created where needed.

    Raises:
        DataError: it cannot be written to.
    """
    folder = data_dir().joinpath(*below)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise no_room(folder, error) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise no_room(folder, PermissionError(13, "permission denied"))
    return folder


def no_room(folder: Path, error: OSError) -> DataError:
    """The error for a folder that takes no file."""
    reason = (error.strerror or str(error)).lower()
    return DataError(
        f"data cannot be stored in {folder} ({reason}): set CFCORE_DATA_DIR to a folder that can be written to"
    )
