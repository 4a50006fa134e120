"""Files that people bring: checked by reading them, then kept under a name made from their content.

``uploads/upload-<16 hex digits>`` holds the bytes as they came, ``....json`` beside it the display title and the
columns that the person named. The person's file name is never part of a path.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import IO

from cfcore.datasets.columns import Columns, guess_columns
from cfcore.datasets.errors import DataError, quoted
from cfcore.datasets.files import is_zip, open_files
from cfcore.datasets.movielens import members, single_table
from cfcore.datasets.places import data_dir, no_room, writable_dir
from cfcore.datasets.read import read
from cfcore.datasets.table import open_table
from cfcore.ratings import About, Ratings

UPLOAD_LIMIT_MB = 20
UPLOAD_LIMIT_RATINGS = 500_000
UPLOAD_MIN_RATINGS = 20
_MOST_LINES = 600_000  # of any file: counted before it is read, which takes far more memory than its bytes
_UNPACKED_LIMIT = 3 * UPLOAD_LIMIT_MB * 1_000_000  # what a zip of ratings may unpack to: it is read into memory
_NAME = re.compile(r"upload-[0-9a-f]{16}")
_TERMS = "As stated by whoever brought the file."


def is_upload(name: str) -> bool:
    """Whether ``name`` has the form of an upload's name, there or not."""
    return _NAME.fullmatch(name) is not None


def read_header(data: bytes, filename: str) -> list[str]:
    """The column names of a table, or of the one table in a zip, so that a person can say what each holds.

    MovieLens layouts need no such answer: for them the list is empty.

    Raises:
        DataError: it is no table.
    """
    title = display_title(filename)
    _check_size(data, title)
    if not is_zip(data):
        return list(open_table(data, title).header)
    with open_files(data, title, max_unpacked=_UNPACKED_LIMIT) as files:
        name = single_table(files)
        return [] if name is None else list(open_table(files.read(name), files.where(name)).header)


def save_upload(data: bytes, filename: str, columns: Columns | None = None) -> str:
    """Check a file by reading it, keep it, and return the name by which ``load`` finds it.

    The same content with the same columns gets the same name. Nothing is kept when it is refused.

    Raises:
        DataError: it is too large or too small, cannot be read, or cannot be stored.
    """
    title = display_title(filename)
    _check_size(data, title)
    ratings = _read(data, About(name="", title=title), columns)
    if len(ratings) > UPLOAD_LIMIT_RATINGS:
        raise DataError(f"{title} holds {len(ratings):,} ratings; at most {UPLOAD_LIMIT_RATINGS:,} can be uploaded")
    if len(ratings) < UPLOAD_MIN_RATINGS:
        raise DataError(
            f"{title} holds {len(ratings):,} ratings, too few to learn from: "
            f"choose a file with at least {UPLOAD_MIN_RATINGS}"
        )
    digest = hashlib.sha256(data)
    if columns is not None and columns != guess_columns(_header_or_nothing(data, title)):
        digest.update(json.dumps(asdict(columns)).encode())  # other columns make other ratings of the same file
    name = f"upload-{digest.hexdigest()[:16]}"
    if stored_upload(name) is None:
        about = {"title": title, "columns": None if columns is None else asdict(columns)}
        folder = writable_dir("uploads")
        _write(folder / name, data)
        _write(folder / f"{name}.json", json.dumps(about).encode())  # last: it says that the upload is complete
    return name


def stored_upload(name: str) -> Path | None:
    """Where an upload lies, or ``None``."""
    if not is_upload(name):
        return None
    path = data_dir() / "uploads" / name
    return path if path.is_file() and path.with_name(f"{name}.json").is_file() else None


def load_upload(name: str) -> Ratings:
    """Read an upload by its name.

    Raises:
        DataError: there is none of that name.
    """
    path = stored_upload(name)
    if path is None:
        raise DataError(f"there is no upload {quoted(name)} here any more: upload the file again on the Data page")
    try:
        kept = json.loads(path.with_name(f"{name}.json").read_text(encoding="utf-8"))
        columns = None if kept["columns"] is None else Columns(**kept["columns"])
        title, data = str(kept["title"]), path.read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"the upload {name} is damaged: upload the file again on the Data page") from error
    return _read(data, About(name=name, title=title, licence=_TERMS), columns)


def display_title(filename: str) -> str:
    """A person's file name made fit to show: no folders, no control characters, at most 60 characters."""
    base = re.split(r"[\\/]", filename)[-1]
    text = " ".join("".join(mark if mark.isprintable() else " " for mark in base).split())
    if len(text) > 60:
        stem, dot, ending = text.rpartition(".")
        text = f"{stem[:50]}….{ending}" if dot and len(ending) <= 8 else text[:59] + "…"
    return text or "upload"


def _read(data: bytes, about: About, columns: Columns | None) -> Ratings:
    _check_lines(data, about.title)
    return read(data, about, about.title, columns, max_unpacked=_UNPACKED_LIMIT)


def _check_lines(data: bytes, title: str) -> None:
    """Refuse what would not end as few enough ratings, before any of it is parsed."""
    if not is_zip(data):
        _refuse_lines(io.BytesIO(data), title)
        return
    with open_files(data, title, max_unpacked=_UNPACKED_LIMIT) as files:
        for name in members(files):
            with files.open(name) as stream:
                _refuse_lines(stream, files.where(name))


def _refuse_lines(stream: IO[bytes], where: str) -> None:
    lines = 0
    while block := stream.read(1_000_000):
        lines += max(block.count(b"\n"), block.count(b"\r"))
    if lines > _MOST_LINES:
        raise DataError(
            f"{where} has {lines:,} lines; at most {UPLOAD_LIMIT_RATINGS:,} ratings can be uploaded: take fewer of them"
        )


def _header_or_nothing(data: bytes, title: str) -> list[str]:
    try:
        return read_header(data, title)
    except DataError:
        return []


def _check_size(data: bytes, title: str) -> None:
    if len(data) == 0:
        raise DataError(f"{title} is empty: choose a file with a header line and one rating a line")
    if len(data) > UPLOAD_LIMIT_MB * 1_000_000:
        raise DataError(
            f"{title} has {len(data) / 1e6:,.0f} MB; at most {UPLOAD_LIMIT_MB} MB can be uploaded: "
            "make a zip of it, or take fewer ratings"
        )


def _write(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, also when two people bring the same one at once."""
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".incomplete-", delete=False) as stream:
            temporary = stream.name
            stream.write(data)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise no_room(path.parent, error) from error
