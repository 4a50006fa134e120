"""A person's own ratings as a link and as CSV, and back with every mistake named. Pure functions: no Streamlit here.

Link: ``50:5,181:4.5``, raw movie ids with their stars. CSV: ``movie_id,title,rating``; the title is for people and is
not read back. A spreadsheet takes a cell that begins with = + - @ for a formula, so such texts get an apostrophe before
them, and lose it again when they are read.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from cfcore.export.cells import safe
from cfcore.ui.words import plain

MOST = 1000  # ratings of one person
MOST_BYTES = 1_000_000
MOST_IN_LINK = 6000  # characters: longer addresses are cut off on the way
MOST_TOLD = 20  # mistakes named one by one
_ID_NAMES = ("movieid", "itemid", "filmid", "id", "movie", "item")
_RATING_NAMES = ("rating", "stars", "score", "yourrating")

Id = int | str


@dataclass(kw_only=True)
class Read:
    """What was understood: stars by raw movie id; and a sentence for each part that was not."""

    ratings: dict[Id, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def told(self) -> list[str]:
        """The problems, the first of them in full and the rest counted."""
        rest = len(self.problems) - MOST_TOLD
        more = [f"And {rest} more like these."] if rest > 0 else []
        return [*self.problems[:MOST_TOLD], *more]


def to_link(ratings: Mapping[Id, float]) -> str | None:
    """The value of ``?you=``; ``None`` where it would be too long for an address."""
    text = ",".join(f"{quote(str(item), safe='')}:{stars:g}" for item, stars in ratings.items())
    return text if len(text) <= MOST_IN_LINK else None


def from_link(text: str, known: Mapping[str, Id], scale: tuple[float, float]) -> Read:
    """Read the value of ``?you=``; ``known`` gives the raw id for each id as text."""
    read = Read()
    for part in text.split(","):
        if not part.strip():
            continue
        item, colon, stars = part.rpartition(":")
        if not colon:
            read.problems.append(f"The link's {_quoted(part)} is not a movie id and a rating, such as 50:5.")
            continue
        _take(read, unquote(item).strip(), stars, known, scale, "The link")
    return read


def to_csv(ratings: Mapping[Id, float], titles: Mapping[Id, str]) -> bytes:
    """The ratings as a table, UTF-8 with the mark that Excel wants."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["movie_id", "title", "rating"])
    writer.writerows((safe(item), safe(titles.get(item, "")), f"{stars:g}") for item, stars in ratings.items())
    return text.getvalue().encode("utf-8-sig")


def from_csv(data: bytes, known: Mapping[str, Id], scale: tuple[float, float]) -> Read:
    """Read a table with a column of movie ids and one of ratings; each row that cannot be used is named by its line."""
    if len(data) > MOST_BYTES:
        return Read(problems=[f"The file has {len(data) / 1e6:.1f} MB; your ratings take less than 1 MB."])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    if not text.strip() or "\0" in text:
        return Read(problems=["The file is empty or not text: choose a CSV file with the columns movie_id and rating."])
    first = text.lstrip().split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first.count), skipinitialspace=True)
    try:
        return _read_rows(reader, known, scale)
    except csv.Error as problem:
        return Read(problems=[f"Line {reader.line_num} cannot be read ({plain(problem)}): save the file as CSV again."])


def _read_rows(reader: Any, known: Mapping[str, Id], scale: tuple[float, float]) -> Read:
    read = Read()
    header = next((row for row in reader if any(cell.strip() for cell in row)), [])
    names = [re.sub("[^a-z]", "", cell.lower()) for cell in header]
    id_column, rating_column = _column(names, _ID_NAMES), _column(names, _RATING_NAMES)
    if id_column is None or rating_column is None:
        read.problems.append("The first line must name the columns movie_id and rating; a title may stand beside them.")
        return read
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        where = f"Line {reader.line_num}"
        if len(row) <= max(id_column, rating_column):
            read.problems.append(f"{where} has too few columns: it needs a movie id and a rating.")
            continue
        item = row[id_column].strip()
        if item not in known and item.startswith("'"):
            item = item[1:]
        _take(read, item, row[rating_column], known, scale, where)
    return read


def _take(read: Read, item: str, stars: str, known: Mapping[str, Id], scale: tuple[float, float], where: str) -> None:
    """Add one rating to ``read``, or say what is wrong with it."""
    low, high = scale
    try:
        value = float(stars.strip().replace(",", "."))
    except ValueError:
        value = math.nan
    if item not in known:
        read.problems.append(f"{where} names the movie {_quoted(item)}, which is not in this data set.")
    elif not math.isfinite(value):
        read.problems.append(f"{where} gives movie {_quoted(item)} the rating {_quoted(stars)}, which is no number.")
    elif not low <= value <= high:
        read.problems.append(
            f"{where} gives movie {_quoted(item)} {plain(f'{value:g}')} stars; ratings run from {low:g} to {high:g}."
        )
    elif len(read.ratings) >= MOST and known[item] not in read.ratings:
        read.problems.append(f"{where} is one too many: {MOST:,} ratings are kept.")
    else:
        if known[item] in read.ratings:
            read.problems.append(f"{where} rates movie {_quoted(item)} again: the later rating counts.")
        read.ratings[known[item]] = value


def _column(names: list[str], wanted: Iterable[str]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _quoted(text: str) -> str:
    return f"‘{plain(text.strip()[:40])}’"
