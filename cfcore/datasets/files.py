"""A folder, a zip, or bytes, seen alike: a flat list of file names and a stream for each.

Zip members are read in memory and nothing is ever extracted, so that a member called ``../../x`` is only an odd name.
"""

from __future__ import annotations

import io
import lzma
import os
import posixpath
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cfcore.datasets.errors import DataError

# What reading a damaged or encrypted member raises, here and there in zipfile and its decompressors.
_ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError)
_ZIP_STARTS = (b"PK\3\4", b"PK\5\6")  # not PK alone, with which a header line may begin
_MOST_MEMBERS = 1000  # of a zip that was uploaded: each costs memory by its name alone


class Files:
    """Named files: ``label`` names the whole for messages, ``names`` the members below one top-level folder at most."""

    def __init__(self, label: str, members: Mapping[str, Path | str], archive: zipfile.ZipFile | None = None) -> None:
        self.label = label
        self._members = members
        self._archive = archive

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def where(self, name: str) -> str:
        """A member's name as messages show it, such as ``ml-100k.zip/u.data``."""
        return f"{self.label}/{name}"

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A member as a binary stream.

        Raises:
            DataError: the member is missing, unreadable, damaged or locked with a password.
        """
        if name not in self._members:
            raise DataError(f"{self.label} has no file {name}: get a complete copy of the data set")
        member = self._members[name]
        try:
            with open(member, "rb") if self._archive is None else self._packed(str(member)) as stream:
                yield stream
        except _ZIP_FAULTS as error:
            if self._archive is None:
                raise
            hint = "it is locked with a password" if "password" in str(error) else "the zip is damaged"
            raise DataError(f"{self.where(name)} cannot be read, {hint}: get or make the zip again") from error
        except OSError as error:
            raise DataError(f"{self.where(name)} cannot be read: {error.strerror or error}") from error

    def read(self, name: str) -> bytes:
        """The whole of a member."""
        with self.open(name) as stream:
            return stream.read()

    def _packed(self, member: str) -> IO[bytes]:
        assert self._archive is not None
        try:
            return self._archive.open(member)
        except (ValueError, struct.error) as error:  # a place outside the file, a name that is no text
            raise zipfile.BadZipFile(str(error)) from error


def is_zip(source: Path | bytes) -> bool:
    """Whether the content starts as a zip does (it may still be damaged)."""
    if isinstance(source, bytes):
        return source[:4] in _ZIP_STARTS
    try:
        with open(source, "rb") as stream:
            return stream.read(4) in _ZIP_STARTS
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror or error}") from error


@contextmanager
def open_files(source: Path | bytes, label: str, *, max_unpacked: int | None = None) -> Iterator[Files]:
    """Open a folder or a zip (a path or its bytes) as :class:`Files`.

    ``max_unpacked`` bounds the bytes that a zip says it unpacks to; a member never yields more than it says, and links
    are left out: nothing but the zip's own bytes is ever read.

    Raises:
        DataError: the folder or zip cannot be read, or unpacks to too much.
    """
    if isinstance(source, Path) and source.is_dir():
        yield Files(label, _below_top({name: source / name for name in _walk(source)}))
        return
    if max_unpacked is not None and isinstance(source, bytes) and source.count(b"PK\1\2") > _MOST_MEMBERS:
        raise DataError(
            f"{label} holds more than {_MOST_MEMBERS:,} files: make a zip of the ratings and the titles alone"
        )
    try:
        archive = zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source)
    except (*_ZIP_FAULTS, ValueError, struct.error) as error:
        raise DataError(f"{label} is not a complete zip file: get or make the zip again") from error
    except OSError as error:
        raise DataError(f"{label} cannot be read: {error.strerror or error}") from error
    with archive:
        named = [info for info in archive.infolist() if info.filename]
        infos = [info for info in named if not info.is_dir() and not _is_link(info)]
        unpacked = sum(info.file_size for info in infos)
        if max_unpacked is not None and unpacked > max_unpacked:
            raise DataError(
                f"{label} unpacks to {unpacked / 1e6:,.0f} MB, more than the {max_unpacked / 1e6:,.0f} MB allowed: "
                "make a zip of the ratings and the titles alone"
            )
        yield Files(label, _below_top({info.filename: info.filename for info in infos}), archive)


def _is_link(info: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(info.external_attr >> 16)


def _walk(folder: Path) -> list[str]:
    """The files of a folder and of the folders directly in it, as relative names."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
        for inner in sorted(entry.name for entry in os.scandir(folder) if entry.is_dir()):
            names += sorted(f"{inner}/{entry.name}" for entry in os.scandir(folder / inner) if entry.is_file())
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror or error}") from error
    return names


def _below_top(members: Mapping[str, Path | str]) -> dict[str, Path | str]:
    """The same members without what systems add, named from inside the single top-level folder where there is one."""
    kept = {name: member for name, member in members.items() if not _added_by_system(name)}
    tops = {name.split("/", 1)[0] for name in kept}
    if len(tops) == 1 and all("/" in name for name in kept):
        return {name.split("/", 1)[1]: member for name, member in kept.items()}
    return kept


def _added_by_system(name: str) -> bool:
    base = posixpath.basename(name)
    return name.startswith("__MACOSX/") or base.startswith(".") or base in ("Thumbs.db", "desktop.ini")
