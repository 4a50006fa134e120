"""A plain table of ratings: one line a rating, a header line, commas, semicolons or tabs between.

UTF-8 with or without a byte-order mark, else latin-1. Ids may be numbers or text; times may be seconds or
milliseconds since 1970 or dates. Every value is read as text first, so that a bad one is named with its line.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cfcore.datasets.build import LIMIT, Raw, bare_items, usable
from cfcore.datasets.columns import Columns, find_columns
from cfcore.datasets.errors import DataError, quoted
from cfcore.ratings import Items, encode

MOST_COLUMNS = 50
_HEADERLESS = ("user", "item", "rating", "timestamp")  # the order of u.data and of ratings.dat
_WHOLE = re.compile(r"0|-?[1-9]\d{0,17}")


@dataclass(frozen=True)
class Table:
    """The text of a table, its ``delimiter``, its ``header``, and whether that header stands in the text."""

    text: str
    delimiter: str
    header: tuple[str, ...]
    has_header: bool
    where: str

    def lines(self) -> Iterator[tuple[int, list[str]]]:
        """Each row of data with its line number in the file, blank lines left out."""
        reader = csv.reader(io.StringIO(self.text), delimiter=self.delimiter, skipinitialspace=True)
        try:
            rows = ((reader.line_num, row) for row in reader if len(row) > 1 or "".join(row).strip())
            if self.has_header:
                next(rows, None)
            yield from rows
        except csv.Error as error:
            raise DataError(f"{self.where}, line {reader.line_num}: {error}; correct that line") from error


def open_table(data: bytes, where: str) -> Table:
    """Find out encoding, delimiter and header of a table.

    Raises:
        DataError: it is empty, not text, or has a single column or far too many.
    """
    text = text_of(data, where)
    first = next((line for line in text.split("\n") if line.strip()), "")
    if "::" in first:
        text, first = text.replace("::", "\t"), first.replace("::", "\t")
    columns = 1 + max(first.count(mark) for mark in ",;\t")
    if columns > MOST_COLUMNS:
        raise DataError(
            f"{where} has {columns:,} columns, more than the {MOST_COLUMNS} that can be read: "
            "keep those with user, item, rating, time and title"
        )
    try:
        rows = {mark: next(csv.reader([first], delimiter=mark, skipinitialspace=True), []) for mark in ",;\t"}
    except csv.Error as error:
        raise DataError(f"the first line of {where} cannot be read ({error}): save the file as CSV again") from error
    delimiter = max(rows, key=lambda mark: len(rows[mark]))
    header = tuple(name.strip() for name in rows[delimiter])
    if _never_closed(first, delimiter):
        raise _left_open(f"the first line of {where}")
    if len(header) < 2:
        raise DataError(f"{where} has only one column: separate user, item and rating by commas, semicolons or tabs")
    if 3 <= len(header) <= 4 and all(_is_number(name) for name in header):
        return Table(text, delimiter, _HEADERLESS[: len(header)], False, where)
    return Table(text, delimiter, header, True, where)


def _never_closed(line: str, delimiter: str) -> bool:
    """Whether a quoted cell does not end in this line: it would swallow the lines up to the next quotation mark."""
    try:
        next(csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False


def text_of(data: bytes, where: str) -> str:
    """The text of a file in UTF-8 or else latin-1, without byte-order mark, its lines ended by ``\\n``.

    Raises:
        DataError: the file is empty or holds no text.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = data.decode("utf-16", errors="replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
    if not text.strip():
        raise DataError(f"{where} is empty: choose a file with a header line and one rating a line")
    if "\0" in text[:4096]:
        raise DataError(f"{where} is not a text file: save it as CSV, or make a zip of it")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def read_table(data: bytes, where: str, columns: Columns | None = None) -> tuple[Raw, Items, tuple[str, ...]]:
    """The ratings of a table, its items (titled where the table has titles), and notes on how it was read.

    Raises:
        DataError: a column is missing or a line does not hold what it should.
    """
    table = open_table(data, where)
    place = find_columns(table.header, columns, where)
    frame = _frame(table)
    cells = {role: pd.Series(frame[column]).str.strip() for role, column in place.items()}
    user, item = cells["user"], cells["item"]
    for role, values in (("user", user), ("item", item)):
        _refuse_first(table, np.asarray(values == ""), f"the {role} is missing", place[role])
    rating = _numbers(cells["rating"], decimal_comma=table.delimiter != ",")
    if not usable(rating):
        bad = ~np.isfinite(rating) | (np.abs(rating) > LIMIT)
        _refuse_first(table, bad, "the rating {value} is not a usable number", place["rating"])
    raw = Raw(
        user=_ids(user),
        item=_ids(item),
        rating=rating,
        timestamp=_times(table, cells["timestamp"], place["timestamp"]) if "timestamp" in place else None,
    )
    item_id, item_idx = encode(raw.item)
    titles = _titles(item_id, item_idx, cells["title"]) if "title" in place else None
    notes = () if table.has_header else (f"The file has no header line; columns taken as {', '.join(table.header)}.",)
    if (broken := _line_breaks(table, frame)) > 0:
        cell, hold = ("cell", "holds") if broken == 1 else ("cells", "hold")
        notes += (f"{broken:,} {cell} {hold} a line break: where that is not meant, a quotation mark is not closed.",)
    return raw, bare_items(item_id, titles), notes


def _line_breaks(table: Table, frame: pd.DataFrame) -> int:
    """How many cells go on over a line's end, as only quoted ones can: what was meant as rows may be among them."""
    if '"' not in table.text:
        return 0
    return sum(int(pd.Series(frame[column]).str.contains("\n", regex=False).sum()) for column in frame)


def _frame(table: Table) -> pd.DataFrame:
    """All cells as text, columns named by position."""
    width = len(table.header)
    first = next(table.lines(), None)
    if first is None:
        raise DataError(f"{table.where} holds a header line but no ratings: choose another file")
    # pandas would take a longer first row as the measure of all rows and cut them silently
    if len(first[1]) > width:
        raise _too_many(table, *first)
    try:
        return pd.read_csv(
            io.StringIO(table.text),
            sep=table.delimiter,
            header=0 if table.has_header else None,
            names=list(range(width)),
            index_col=False,
            dtype=str,
            keep_default_na=False,
            skipinitialspace=True,
        )
    except ValueError as error:
        for number, row in table.lines():
            if len(row) > width:
                raise _too_many(table, number, row) from error
        if never_closed := re.search(r"EOF inside string starting at row (\d+)", str(error)):
            raise _left_open(f"{table.where}, line {int(never_closed[1]) + 1}") from error
        raise DataError(f"{table.where} cannot be read as a table ({error}): check its quotation marks") from error


def _left_open(place: str) -> DataError:
    return DataError(f"{place} has a quotation mark that is never closed: close or remove it")


def _too_many(table: Table, number: int, row: list[str]) -> DataError:
    return DataError(
        f"{table.where}, line {number} has {len(row)} fields where the header names {len(table.header)}: "
        "put text that holds the separator in quotation marks"
    )


def _refuse_first(table: Table, bad: np.ndarray, what: str, column: int) -> None:
    """Raise a DataError that names the line of the first bad row, if there is one."""
    if not bad.any():
        return
    at = int(np.argmax(bad))
    number, row = next(line for count, line in enumerate(table.lines()) if count == at)
    if len(row) <= column:
        raise DataError(
            f"{table.where}, line {number} has {len(row)} fields where at least {column + 1} are needed: "
            "correct or remove that line"
        )
    what = what.format(value=quoted(row[column]))
    raise DataError(f"{table.where}, line {number}: {what}; correct or remove that line")


def _numbers(values: pd.Series, *, decimal_comma: bool = False) -> np.ndarray:
    """(n,) float64, nan where the text is no number."""
    numbers = np.asarray(pd.to_numeric(values, errors="coerce"), dtype=np.float64)
    if decimal_comma and np.isnan(numbers).any():
        return _numbers(values.str.replace(",", ".", regex=False))
    return numbers


def _ids(values: pd.Series) -> np.ndarray:
    """int64 when every id is a plain whole number, else text: ``007`` and ``7`` are two ids."""
    codes, distinct = pd.factorize(values)
    names = [str(name) for name in distinct]
    whole = all(_WHOLE.fullmatch(name) for name in names)
    return np.array([int(name) for name in names] if whole else names, dtype=np.int64 if whole else object)[codes]


def _times(table: Table, values: pd.Series, column: int) -> np.ndarray:
    """(n,) int64 seconds since 1970."""
    numbers = _numbers(values)
    if np.isfinite(numbers).all() and np.abs(numbers).max() < 1e20:
        while in_parts_of_seconds(numbers):
            numbers = numbers / 1000
        return np.floor(numbers).astype(np.int64)
    dates = pd.to_datetime(values, format="ISO8601", utc=True, errors="coerce")
    _refuse_first(table, np.asarray(dates.isna()), "the time {value} is neither seconds since 1970 nor a date", column)
    return np.asarray(dates.dt.tz_localize(None), dtype="datetime64[s]").astype(np.int64)


def in_parts_of_seconds(times: np.ndarray | None) -> bool:
    """Whether ``times`` (n,) are milliseconds, microseconds or nanoseconds since 1970."""
    return times is not None and max(-times.min(), times.max()) > 1e11


def _titles(item_id: np.ndarray, item_idx: np.ndarray, values: pd.Series) -> np.ndarray:
    """(M,) the first title that the table gives each item, or its id."""
    titles = np.array([str(i) for i in item_id], dtype=object)
    given = np.flatnonzero(values != "")
    item, first = np.unique(item_idx[given], return_index=True)
    titles[item] = values.to_numpy(dtype=object)[given[first]]
    return titles


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
