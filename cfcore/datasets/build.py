"""From raw columns to :class:`~cfcore.ratings.Ratings`: check the values, number the ids, keep one rating a pair."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cfcore.datasets.errors import DataError
from cfcore.ratings import About, Items, Ratings, Users, encode

LIMIT = 1e6  # a rating beyond this is an id or a time in the wrong column, and float32 would round it


@dataclass(frozen=True, eq=False, kw_only=True)
class Raw:
    """Ratings as read, (n,) each: ``user``, ``item`` whole numbers or str; ``rating``; ``timestamp`` int64 or None."""

    user: np.ndarray
    item: np.ndarray
    rating: np.ndarray
    timestamp: np.ndarray | None = None


def build(raw: Raw, about: About, where: str, *, listed: Items | None = None, half_stars: bool = False) -> Ratings:
    """Number users and items, drop earlier ratings of a pair rated twice (with a note), and find the scale.

    ``listed`` are the items that the data set names, in its order; items rated but not listed are appended.
    ``half_stars`` says that the scale is known to start at half a star. ``where`` names the file in messages.

    Raises:
        DataError: there is too little to learn from: no ratings, one user, one item, or all ratings equal.
    """
    if len(raw.rating) == 0:
        raise DataError(f"{where} holds no ratings: choose another file")
    user_id, user_idx = encode(raw.user)
    items, item_idx = _number_items(raw.item, listed)
    notes = about.notes
    keep = _last_of_each_pair(user_idx, item_idx, raw.timestamp)
    if keep is not None:
        dropped = len(user_idx) - len(keep)
        notes = (*notes, f"{dropped:,} earlier ratings of a user and item rated again were left out.")
    rows = slice(None) if keep is None else keep
    rating = raw.rating[rows].astype(np.float32, copy=False)
    ratings = Ratings(
        about=replace(about, notes=notes),
        user_idx=user_idx[rows],
        item_idx=item_idx[rows],
        rating=rating,
        timestamp=None if raw.timestamp is None else raw.timestamp[rows],
        users=Users(user_id=user_id),
        items=items,
        scale=scale_of(rating, half_stars=half_stars),
    )
    _require_enough(ratings, where)
    return ratings


def scale_of(rating: np.ndarray, *, half_stars: bool = False) -> tuple[float, float]:
    """The lowest and highest rating that can be given: 1 to 5 or 0.5 to 5 where the ratings fit, else as found."""
    low, high = float(rating.min()), float(rating.max())
    if low >= 1 and high <= 5 and not half_stars and np.all(rating == np.round(rating)):
        return 1.0, 5.0
    if low >= 0.5 and high <= 5 and np.all(rating * 2 == np.round(rating * 2)):
        return 0.5, 5.0
    return low, high


_YEAR = re.compile(r"\((\d{4})(?:\s*[–-]\s*(?:\d{4})?)?\)")


def year_of(title: str) -> int:
    """The year in a title such as ``Heat (1995)`` or ``Cosmos (2006–2007)`` (then the first); 0 where there is none."""
    found = [int(year) for year in _YEAR.findall(title) if 1870 <= int(year) <= 2100]
    return found[-1] if found else 0


def bare_items(item_id: np.ndarray, title: np.ndarray | None = None) -> Items:
    """A table of items of which little is known; the title is the id where none is given."""
    names = np.array([str(i) for i in item_id], dtype=object) if title is None else title
    return Items(
        item_id=item_id,
        title=names,
        year=np.array([year_of(name) for name in names], dtype=np.int16),
        genres=np.zeros((len(item_id), 0), dtype=bool),
    )


def flags(labels: list[list[str]], names: tuple[str, ...]) -> np.ndarray:
    """(M, G) bool: which of the genre ``names`` (G,) each of M lists of labels holds."""
    column = {name: at for at, name in enumerate(names)}
    genres = np.zeros((len(labels), len(names)), dtype=bool)
    for row, held in enumerate(labels):
        genres[row, [column[label] for label in held]] = True
    return genres


def usable(rating: np.ndarray) -> bool:
    """Whether every rating (n,) is finite and of a sensible size."""
    return bool(np.all(np.isfinite(rating)) and np.all(np.abs(rating) <= LIMIT))


def _number_items(raw_item: np.ndarray, listed: Items | None) -> tuple[Items, np.ndarray]:
    if listed is None:
        item_id, item_idx = encode(raw_item)
        return bare_items(item_id), item_idx
    if (raw_item.dtype == object) != (listed.item_id.dtype == object):  # text on one side: compare as text
        raw_item, listed = raw_item.astype(str).astype(object), replace(listed, item_id=_as_text(listed.item_id))
    item_id, codes = encode(raw_item)
    place = pd.Index(listed.item_id).get_indexer(pd.Index(item_id)).astype(np.int32)  # of each id, not of each rating
    unlisted = place < 0
    if unlisted.any():
        place[unlisted] = len(listed) + np.arange(unlisted.sum())
        extra = item_id[unlisted]
        listed = _append(listed, bare_items(extra, np.array([f"Item {i}" for i in extra], dtype=object)))
    return listed, place[codes]


def _as_text(ids: np.ndarray) -> np.ndarray:
    return np.array([str(i) for i in ids], dtype=object)


def _append(items: Items, more: Items) -> Items:
    no_genres = np.zeros((len(more), items.genres.shape[1]), dtype=bool)
    return replace(
        items,
        item_id=np.concatenate([items.item_id, more.item_id]),
        title=np.concatenate([items.title, more.title]),
        year=np.concatenate([items.year, more.year]),
        genres=np.concatenate([items.genres, no_genres]),
    )


def _last_of_each_pair(user_idx: np.ndarray, item_idx: np.ndarray, timestamp: np.ndarray | None) -> np.ndarray | None:
    """The rows to keep, in file order, so that each pair stands once; ``None`` when each does already."""
    pair = user_idx.astype(np.int64) * (int(item_idx.max()) + 1) + item_idx
    if np.all(pair[1:] > pair[:-1]):  # sorted by user and item, as the latest sets of MovieLens are
        return None
    in_order = np.sort(pair)
    if not np.any(in_order[1:] == in_order[:-1]):
        return None
    keys = (np.arange(len(pair)), pair) if timestamp is None else (np.arange(len(pair)), timestamp, pair)
    order = np.lexsort(keys)
    is_last = np.append(pair[order][1:] != pair[order][:-1], True)
    return np.sort(order[is_last])


def _require_enough(ratings: Ratings, where: str) -> None:
    if ratings.n_users < 2:
        raise DataError(f"{where} holds the ratings of only one user: collaborative filtering needs at least two")
    if ratings.item_idx.min() == ratings.item_idx.max():
        raise DataError(f"{where} holds ratings of only one item: collaborative filtering needs at least two")
    if ratings.rating.min() == ratings.rating.max():
        raise DataError(
            f"every rating in {where} is {ratings.rating[0]:g}, so there is nothing to learn: "
            "check that the rating column is the right one"
        )
