"""The data sets: which there are (``SOURCES``), which are here (``on_disk``), and how to ``fetch`` and ``load`` one."""

from __future__ import annotations

from cfcore.datasets.catalogue import SOURCES, Source, known, load, on_disk, source_of
from cfcore.datasets.columns import Columns, guess_columns
from cfcore.datasets.download import Download, fetch
from cfcore.datasets.errors import DataError
from cfcore.datasets.places import data_dir
from cfcore.datasets.upload import (
    UPLOAD_LIMIT_MB,
    UPLOAD_LIMIT_RATINGS,
    UPLOAD_MIN_RATINGS,
    read_header,
    save_upload,
)

__all__ = [
    "SOURCES",
    "UPLOAD_LIMIT_MB",
    "UPLOAD_LIMIT_RATINGS",
    "UPLOAD_MIN_RATINGS",
    "Columns",
    "DataError",
    "Download",
    "Source",
    "data_dir",
    "fetch",
    "guess_columns",
    "known",
    "load",
    "on_disk",
    "read_header",
    "save_upload",
    "source_of",
]
