"""Which column of a table holds what: recognised by usual names, or named by the person."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cfcore.datasets.errors import DataError, quoted

# Usual names, the surest first, as they look without case and punctuation (``user_id`` and ``userId`` are one).
_USER = ("userid", "user", "uid", "username", "reviewerid", "reviewer", "customerid", "customer", "personid", "person")
_ITEM = ("itemid", "movieid", "filmid", "productid", "bookid", "mid", "iid", "asin", "isbn")
_ITEM += ("item", "movie", "film", "product", "book")
_RATING = ("rating", "ratings", "score", "stars", "star", "overall", "grade")
_TIME = ("timestamp", "ts", "time", "datetime", "date", "unixreviewtime", "ratedat", "createdat")
_TITLE = ("title", "movietitle", "itemtitle", "name", "moviename", "itemname", "productname", "movie", "film", "item")


@dataclass(frozen=True)
class Columns:
    """The names of the columns that hold user, item, rating and, where there are any, time and title."""

    user: str
    item: str
    rating: str
    timestamp: str | None = None
    title: str | None = None


def guess_columns(header: Sequence[str]) -> Columns | None:
    """The columns with usual names, or ``None`` when user, item or rating is not among them.

    A table with titles but no item ids is keyed by title.
    """
    by_key: dict[str, str] = {}
    for name in header:
        by_key.setdefault(re.sub(r"[\W_]+", "", name).lower(), name)

    def first(keys: Sequence[str], *taken: str | None) -> str | None:
        return next((by_key[key] for key in keys if key in by_key and by_key[key] not in taken), None)

    user, rating = first(_USER), first(_RATING)
    item = first(_ITEM) or first(_TITLE, user)
    if user is None or item is None or rating is None:
        return None
    return Columns(user, item, rating, first(_TIME), first(_TITLE, user, item))


def find_columns(header: Sequence[str], columns: Columns | None, where: str) -> dict[str, int]:
    """The position in ``header`` of each role: ``user``, ``item``, ``rating``, and ``timestamp``, ``title`` if any.

    Raises:
        DataError: a named column is not there or named twice, or nothing was named and the usual names are missing.
    """
    there = "its columns are " + ", ".join(quoted(name) for name in header[:12])
    if columns is None:
        columns = guess_columns(header)
        if columns is None:
            raise DataError(
                f"{where} has no columns that look like user, item and rating ({there}): "
                "name them, or rename them in the file"
            )
    found: dict[str, int] = {}
    for role in ("user", "item", "rating", "timestamp", "title"):
        name = getattr(columns, role)
        if name is None:
            continue
        if name not in header:
            raise DataError(f"{where} has no column {quoted(name)} ({there}): choose one of these as the {role}")
        found[role] = list(header).index(name)
    if len({found["user"], found["item"], found["rating"]}) < 3:
        raise DataError(f"user, item and rating must be three different columns of {where} ({there})")
    return found
