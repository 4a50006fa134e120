"""Reading whatever a person hands over: a folder, a zip, or a single table."""

from __future__ import annotations

from pathlib import Path

from cfcore.datasets.columns import Columns
from cfcore.datasets.errors import DataError
from cfcore.datasets.files import is_zip, open_files
from cfcore.datasets.movielens import read_files, read_plain
from cfcore.ratings import About, Ratings


def read(
    source: Path | bytes,
    about: About,
    label: str,
    columns: Columns | None = None,
    *,
    max_unpacked: int | None = None,
) -> Ratings:
    """Read ratings from a path or from a file's content; ``label`` names it in messages.

    ``max_unpacked`` bounds the bytes that a zip may unpack to.

    Raises:
        DataError: it is not readable.
    """
    if (isinstance(source, Path) and source.is_dir()) or is_zip(source):
        with open_files(source, label, max_unpacked=max_unpacked) as files:
            return read_files(files, about, columns)
    if label.lower().endswith(".zip"):
        raise DataError(f"{label} is not a zip file, whatever its name says: get or make it again")
    return read_plain(source if isinstance(source, bytes) else bytes_of(source, label), label, about, columns)


def bytes_of(path: Path, label: str) -> bytes:
    """The content of a file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{label} cannot be read: {error.strerror or error}") from error
