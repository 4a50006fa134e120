"""The three layouts in which MovieLens comes, and whatever else stands in a folder or a zip.

===========  ===========  =============================  ==============================================
layout       ratings      a line of them                 items
===========  ===========  =============================  ==============================================
ml-100k      u.data       user, item, rating, time       u.item: ``|``, latin-1, a flag for each genre
                          between tabs                   of u.genre; u1.test to u5.test are the folds
ml-1m        ratings.dat  the same between ``::``        movies.dat: ``::``, latin-1, titles hold ``:``
latest, 25m  ratings.csv  the same between commas        movies.csv: UTF-8, quoted titles with commas
===========  ===========  =============================  ==============================================

Films are keyed by id: 18 titles of ml-100k stand for two ids each. Every listed film is an item, rated or not.
Source: the README files of GroupLens; F. M. Harper and J. A. Konstan (2015), doi:10.1145/2827872.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import IO

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv as arrow_csv

from cfcore.config import FOLDS
from cfcore.datasets.build import Raw, build, flags, usable, year_of
from cfcore.datasets.columns import Columns, find_columns
from cfcore.datasets.errors import DataError, quoted
from cfcore.datasets.files import Files
from cfcore.datasets.table import in_parts_of_seconds, open_table, read_table
from cfcore.ratings import About, Items, Ratings

_MOST_GENRES = 200  # a flag is kept for each film and genre
_FIELDS = ("user", "item", "rating", "timestamp")
_NO_NUMBER = re.compile(rb"[,;\t\n] *(?:-0|\+|0[\dxX])")
_NO_GENRE = ("unknown", "(no genres listed)", "")
_TABLE_ENDINGS = (".csv", ".tsv", ".txt", ".data", ".dat")
LAYOUTS = (("u.data", "u.item"), ("ratings.dat", "movies.dat"), ("ratings.csv", "movies.csv"))


def members(files: Files) -> list[str]:
    """The files that :func:`read_files` reads: those of a layout, else every one that may be the single table."""
    return [name for layout in LAYOUTS for name in layout if name in files] or list(files.names)


def missing_of(files: Files) -> str | None:
    """What a MovieLens data set in ``files`` lacks, in words, or ``None`` when it can be read."""
    for ratings, items in LAYOUTS:
        if ratings in files:
            return None if items in files else items
    return "u.data, ratings.dat or ratings.csv"


def read_files(files: Files, about: About, columns: Columns | None = None) -> Ratings:
    """Read a folder or zip in any layout, or with a single plain table in it.

    Raises:
        DataError: no layout is recognised, or a file of it is missing or damaged.
    """
    if "u.data" in files:
        return _read_100k(files, about)
    if "ratings.dat" in files:
        return _read_dat(files, about)
    if "ratings.csv" in files and "movies.csv" in files:
        return _read_csv(files, about)
    name = single_table(files)
    if name is None:
        raise DataError(
            f"{files.label} holds no ratings in a form we know: it needs u.data and u.item, ratings.dat and "
            "movies.dat, ratings.csv and movies.csv, or one CSV file alone"
        )
    return read_plain(files.read(name), files.where(name), about, columns)


def single_table(files: Files) -> str | None:
    """The one plain table in ``files``; ``None`` for a MovieLens layout, and where there is none or several."""
    if missing_of(files) is None:
        return None
    tables = [name for name in files.names if name.lower().endswith(_TABLE_ENDINGS)]
    if "ratings.csv" in tables:
        return "ratings.csv"
    tables = [name for name in tables if name.lower().endswith((".csv", ".tsv"))] or tables  # a README.txt is none
    return tables[0] if len(tables) == 1 else None


def read_plain(data: bytes, where: str, about: About, columns: Columns | None = None) -> Ratings:
    """Read a single table of ratings, see :mod:`cfcore.datasets.table`."""
    raw = _plain_numbers(data, where, columns)
    if raw is not None:
        return build(raw, about, where)
    raw, items, notes = read_table(data, where, columns)
    return build(raw, replace(about, notes=(*about.notes, *notes)), where, listed=items)


def _plain_numbers(data: bytes, where: str, columns: Columns | None) -> Raw | None:
    """The ratings of a plain table of nothing but numbers, in a fifth of the memory that text takes; or ``None``."""
    first, *more = data.split(b"\n", 1)
    # quotes, other line ends, and ids that are text although they look like numbers: 007 and 7 are two ids
    if not first.strip() or not more or any(mark in data for mark in (b'"', b"\r", b"\0", b"::")):
        return None
    if _NO_NUMBER.search(data):
        return None
    table = open_table(first, where)
    place = find_columns(table.header, columns, where)
    if not table.has_header or "title" in place:
        return None
    names = [f"column {k}" for k in range(len(table.header))]
    for role, at in place.items():
        names[at] = role
    try:
        raw = _numbers(io.BytesIO(data), table.delimiter, header=True, names=names)
    except (ValueError, OverflowError):
        return None
    fits = len(raw.rating) > 0 and usable(raw.rating) and not in_parts_of_seconds(raw.timestamp)
    return raw if fits else None


def _read_100k(files: Files, about: About) -> Ratings:
    raw = _read_numbers(files, "u.data", "\t")
    ratings = build(raw, about, files.where("u.data"), listed=_items_100k(files))
    folds = {}
    for fold in FOLDS:
        if f"{fold}.test" in files:
            rows = _rows_of(ratings, _read_numbers(files, f"{fold}.test", "\t"), files.where(f"{fold}.test"))
            if 0 < len(rows) < len(ratings):
                folds[fold] = rows
    return replace(ratings, folds=folds)


def _read_dat(files: Files, about: About) -> Ratings:
    listing = _Listing(files.where("movies.dat"))
    for number, line in _lines(files, "movies.dat"):
        at = f"{files.where('movies.dat')}, line {number}"
        movie, mark, rest = line.partition("::")
        title, mark_too, genres = rest.rpartition("::")  # from both ends: titles hold single colons
        if not mark or not mark_too:
            raise DataError(f"{at} is not of the form id::title::genres: correct or remove that line")
        listing.add(_whole(movie, at), title, genres.strip().split("|"))
    raw = _read_numbers(files, "ratings.dat", "::")
    return build(raw, about, files.where("ratings.dat"), listed=listing.items())


def _read_csv(files: Files, about: About) -> Ratings:
    where = files.where("ratings.csv")
    raw, notes = None, ()
    with files.open("ratings.csv") as stream:
        standard = stream.readline().strip().lower() == b"userid,movieid,rating,timestamp"
    if standard:
        try:  # fast and typed; what does not fit it (text ids, dates, a bad line) goes the thorough way
            with files.open("ratings.csv") as stream:
                raw = _numbers(stream, ",", header=True)
        except (ValueError, OverflowError) as error:
            if isinstance(error, DataError):
                raise
    if raw is None or not usable(raw.rating) or in_parts_of_seconds(raw.timestamp):
        raw, _, notes = read_table(files.read("ratings.csv"), where)
    about = replace(about, notes=(*about.notes, *notes))
    return build(raw, about, where, listed=_items_csv(files), half_stars=True)


def _read_numbers(files: Files, name: str, sep: str) -> Raw:
    """Four numeric columns without a header; a bad line is found and named."""
    try:
        with files.open(name) as stream:
            if sep == "::":  # one byte between fields keeps to the fast parser
                stream, sep = io.BytesIO(stream.read().replace(b"::", b"\t")), "\t"
            first = stream.readline()
            stream.seek(0)
            if first.count(sep.encode()) == len(_FIELDS) - 1:
                raw = _numbers(stream, sep, header=False)
                if usable(raw.rating):
                    return raw
    except (ValueError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
    raise _bad_line(files, name)


def _numbers(stream: IO[bytes], sep: str, *, header: bool, names: Sequence[str] = _FIELDS) -> Raw:
    """The columns of numbers among ``names``, parsed on all cores; a ValueError where one is not a number."""
    read = arrow_csv.ReadOptions(column_names=list(names), skip_rows=int(header))
    fields = [name for name in _FIELDS if name in names]
    parse = arrow_csv.ParseOptions(delimiter=sep, quote_char=False)
    try:
        table = arrow_csv.read_csv(stream, read, parse, _typed(fields, pa.int32()))
    except pa.ArrowInvalid:  # an id that needs more than 32 bits, perhaps
        stream.seek(0)
        table = arrow_csv.read_csv(stream, read, parse, _typed(fields, pa.int64()))
    columns = {}
    for name in fields:  # one at a time, so that no more than one of them is held twice
        columns[name] = np.concatenate([chunk.to_numpy() for chunk in table.column(name).chunks])
        table = table.drop_columns(name)
    pa.default_memory_pool().release_unused()  # or this process would keep what the table took
    return Raw(**columns)


def _typed(fields: list[str], ids: pa.DataType) -> arrow_csv.ConvertOptions:
    types = {"user": ids, "item": ids, "rating": pa.float32(), "timestamp": pa.int64()}
    return arrow_csv.ConvertOptions(column_types=types, include_columns=fields, null_values=[])


def _bad_line(files: Files, name: str) -> DataError:
    """The error for the first line that is not user, item, rating and time."""
    where, empty = files.where(name), True
    for number, line in _lines(files, name):
        empty = False
        values = line.replace("::", "\t").split("\t")
        at = f"{where}, line {number}"
        if len(values) != len(_FIELDS):
            return DataError(f"{at} has {len(values)} fields where 4 are needed: correct or remove that line")
        for role, value in zip(_FIELDS, values, strict=True):
            pattern = r"\s*[+-]?\d+\s*" if role != "rating" else r"\s*[+-]?(\d+\.?\d*|\.\d+)\s*"
            if not re.fullmatch(pattern, value):
                return DataError(f"{at}: the {role} {quoted(value)} is not a number; correct or remove that line")
    if empty:
        return DataError(f"{where} is empty: get a complete copy of the data set")
    return DataError(f"{where} holds a number that is too large: get a complete copy of the data set")


def _rows_of(ratings: Ratings, fold: Raw, where: str) -> np.ndarray:
    """The row numbers, ascending, of a fold's pairs."""
    user = pd.Index(ratings.users.user_id).get_indexer(pd.Index(fold.user)).astype(np.int64)
    item = pd.Index(ratings.items.item_id).get_indexer(pd.Index(fold.item))
    pairs = ratings.user_idx.astype(np.int64) * ratings.n_items + ratings.item_idx
    order = np.argsort(pairs)
    wanted = np.unique(np.where((user < 0) | (item < 0), -1, user * ratings.n_items + item))
    at = np.minimum(np.searchsorted(pairs, wanted, sorter=order), len(pairs) - 1)
    if not np.array_equal(pairs[order[at]], wanted):
        raise DataError(f"{where} names ratings that u.data does not hold: get a complete copy of the data set")
    return np.sort(order[at])


class _Listing:
    """Collects a file of items line by line; an id listed twice keeps its first line."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.rows: dict[int | str, tuple[str, int, list[str]]] = {}

    def add(self, item_id: int | str, title: str, genres: list[str], year: int = 0) -> None:
        labels = [name.strip() for name in genres if name.strip() not in _NO_GENRE]
        self.rows.setdefault(item_id, (title.strip(), year_of(title) or year, labels))

    def items(self, genre_names: tuple[str, ...] | None = None) -> Items:
        labels = [row[2] for row in self.rows.values()]
        names = genre_names if genre_names is not None else tuple(sorted({name for held in labels for name in held}))
        if len(names) > _MOST_GENRES:
            raise DataError(
                f"{self.where} names {len(names):,} genres, more than the {_MOST_GENRES:,} that can be read: "
                "check that its last column holds genres, with bars between them"
            )
        whole = all(isinstance(item_id, int) for item_id in self.rows)
        ids = list(self.rows) if whole else [str(item_id) for item_id in self.rows]
        return Items(
            item_id=np.array(ids, dtype=np.int64 if whole else object),
            title=np.array([row[0] for row in self.rows.values()], dtype=object),
            year=np.array([row[1] for row in self.rows.values()], dtype=np.int16),
            genres=flags(labels, names),
            genre_names=names,
        )


def _items_100k(files: Files) -> Items:
    names = [line.rpartition("|")[0].strip() for _, line in _lines(files, "u.genre")]
    listing = _Listing(files.where("u.item"))
    for number, line in _lines(files, "u.item"):
        at = f"{files.where('u.item')}, line {number}"
        # id|title|release date|video date|address|flags: from the right, in case a title holds a bar
        head, *rest = line.rsplit("|", 3 + len(names))
        movie, mark, title = head.partition("|")
        given = rest[3:]
        if not mark or len(given) != len(names) or not set(given) <= {"0", "1"}:
            raise DataError(
                f"{at} is not an id, a title, three fields and {len(names)} genre flags between bars: "
                "get a complete copy of the data set"
            )
        held = [name for name, flag in zip(names, given, strict=True) if flag == "1"]
        release = re.search(r"(\d{4})\s*$", rest[0])
        listing.add(_whole(movie, at), title, held, int(release[1]) if release else 0)
    return listing.items(tuple(name for name in names if name not in _NO_GENRE))


def _items_csv(files: Files) -> Items:
    where = files.where("movies.csv")
    table = open_table(files.read("movies.csv"), where)
    keys = [re.sub(r"[\W_]+", "", name).lower() for name in table.header]
    movie = next((keys.index(key) for key in ("movieid", "itemid", "id", "movie", "item") if key in keys), None)
    if movie is None or "title" not in keys:
        raise DataError(f"{where} needs the columns movieId and title: rename them in its header line")
    title, genres = keys.index("title"), keys.index("genres") if "genres" in keys else None
    listing = _Listing(where)
    for number, row in table.lines():
        if len(row) != len(keys):
            raise DataError(
                f"{where}, line {number} has {len(row)} fields where {len(keys)} are needed: "
                "put titles that hold commas in quotation marks"
            )
        text = row[movie].strip()
        item_id = int(text) if re.fullmatch(r"0|-?[1-9]\d{0,17}", text) else text
        listing.add(item_id, row[title], row[genres].split("|") if genres is not None else [])
    return listing.items()


def _lines(files: Files, name: str) -> Iterator[tuple[int, str]]:
    """Lines of a latin-1 file that are not blank, with their numbers from 1."""
    # not splitlines(): in latin-1 it would also break at \x85 and \x1c, which titles may hold
    for number, line in enumerate(files.read(name).decode("latin-1").split("\n"), 1):
        if line.strip():
            yield number, line.rstrip("\r")


def _whole(text: str, at: str) -> int:
    if not re.fullmatch(r"\s*\d{1,18}\s*", text):
        raise DataError(f"{at}: the movie id {quoted(text)} is not a whole number; correct or remove that line")
    return int(text)
