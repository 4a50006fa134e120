"""Ratings as arrays with contiguous indices, and the ways to split them.

A raw id (``user_id``, ``item_id``) is whatever the file says; an index (``user_idx``, ``item_idx``) counts from
0 without holes, so that it can select a row of an embedding matrix. Everything after the readers uses indices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from cfcore.config import FOLDS, SplitConfig


@dataclass(frozen=True, kw_only=True)
class About:
    """Where ratings come from: ``name`` as people type it, ``title`` as people read it, and the terms of use.

    ``notes`` are sentences about what reading changed, such as ratings given twice.
    """

    name: str
    title: str
    licence: str = ""
    citation: str = ""
    simulated: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Items:
    """The table of items, one row an ``item_idx``.

    ``item_id`` (M,) raw ids; ``title`` (M,) str; ``year`` (M,) int16, 0 where unknown; ``genres`` (M, G) bool,
    with ``genre_names`` (G,) naming its columns. Titles may repeat: the id is the key.
    """

    item_id: np.ndarray
    title: np.ndarray
    year: np.ndarray
    genres: np.ndarray
    genre_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.item_id)

    def genre_text(self) -> np.ndarray:
        """The genres of each item in words, such as ``Comedy, Drama`` (M,)."""
        names = np.array(self.genre_names, dtype=object)
        return np.array([", ".join(names[row]) for row in self.genres], dtype=object)


@dataclass(frozen=True, eq=False, kw_only=True)
class Users:
    """The table of users, one row a ``user_idx``: ``user_id`` (U,) raw ids."""

    user_id: np.ndarray

    def __len__(self) -> int:
        return len(self.user_id)


@dataclass(frozen=True, eq=False, kw_only=True)
class Ratings:
    """A data set: who rated what, how, and when.

    ``user_idx``, ``item_idx`` (n,) int32; ``rating`` (n,) float32; ``timestamp`` (n,) int64 seconds since 1970, or
    ``None``; ``scale`` the lowest and highest rating that can be given; ``folds`` maps a published fold's name to
    its validation rows; ``truth`` holds, for simulated data only, the true tastes (arrays by name). Rows keep the
    order of the file.
    """

    about: About
    user_idx: np.ndarray
    item_idx: np.ndarray
    rating: np.ndarray
    timestamp: np.ndarray | None
    users: Users
    items: Items
    scale: tuple[float, float]
    folds: Mapping[str, np.ndarray] = field(default_factory=dict)
    truth: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rating)

    @property
    def n_users(self) -> int:
        return len(self.users)

    @property
    def n_items(self) -> int:
        return len(self.items)

    @property
    def density(self) -> float:
        """The share of the user x item matrix that is filled."""
        return len(self) / (self.n_users * self.n_items)

    def split_kinds(self) -> tuple[str, ...]:
        """The kinds of split that this data set allows."""
        kinds = ["random", "first10", *(fold for fold in FOLDS if fold in self.folds)]
        return (*kinds, "time") if self.timestamp is not None else tuple(kinds)


@dataclass(frozen=True, eq=False, kw_only=True)
class Split:
    """Row numbers into ``ratings``: ``train`` and ``valid``; ``how`` says in words how they were chosen."""

    ratings: Ratings
    train: np.ndarray
    valid: np.ndarray
    how: str

    @property
    def seen_users(self) -> np.ndarray:
        """(U,) bool: has at least one training rating. What was never trained means nothing."""
        return np.bincount(self.ratings.user_idx[self.train], minlength=self.ratings.n_users) > 0

    @property
    def seen_items(self) -> np.ndarray:
        """(M,) bool: has at least one training rating."""
        return np.bincount(self.ratings.item_idx[self.train], minlength=self.ratings.n_items) > 0

    def part(self, rows: np.ndarray, index: type = np.int64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """``user_idx``, ``item_idx`` and ``rating`` (float32) of these rows, ready for torch.

        ``index`` is the type of the first two; ``np.int32`` takes half the memory where there are millions.
        """
        r = self.ratings
        users, items = (idx[rows].astype(index, copy=False) for idx in (r.user_idx, r.item_idx))
        return users, items, r.rating[rows]


def encode(raw_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number raw ids without holes: returns the sorted distinct ids, and for each row its index (int32)."""
    if raw_ids.dtype.kind == "i" and len(raw_ids) and raw_ids.min() >= 0 and raw_ids.max() < len(raw_ids):
        there = np.zeros(raw_ids.max() + 1, dtype=bool)  # a place for every possible id: faster than to hash them
        there[raw_ids] = True
        index = np.cumsum(there, dtype=np.int32) - 1
        return np.flatnonzero(there), index[raw_ids]
    codes, distinct = pd.factorize(raw_ids, sort=True)
    return np.asarray(distinct, dtype=np.int64 if raw_ids.dtype.kind == "i" else None), codes.astype(np.int32)


def make_split(ratings: Ratings, config: SplitConfig) -> Split:
    """Divide the rows as ``config`` says; the same configuration always gives the same rows.

    Raises:
        ValueError: the data set does not have what the split needs, or a part would be empty.
    """
    kind, fraction = config.kind, config.valid_fraction
    n = len(ratings) // 10 if kind == "first10" else len(ratings)
    if kind in FOLDS:
        if kind not in ratings.folds:
            raise ValueError(
                f"{ratings.about.title} has no published fold {kind}; choose from {', '.join(ratings.split_kinds())}"
            )
        valid = ratings.folds[kind]
        how = f"published fold {kind}"
    elif kind == "time":
        if ratings.timestamp is None:
            raise ValueError(f"{ratings.about.title} has no timestamps, so it cannot be split by time; choose random")
        valid = _last_of_each_user(ratings.user_idx, ratings.timestamp, fraction or 0.2)
        how = f"each user's last {fraction:.0%} by time"
    else:
        shuffled = np.random.default_rng(config.seed).permutation(n)
        valid = np.sort(shuffled[: round(n * (fraction or 0.2))])
        how = f"random {fraction:.0%} held out, seed {config.seed}"
        if kind == "first10":
            how = f"first 10% of the file, then {how}"
    trains = np.ones(n, dtype=bool)
    trains[valid] = False
    train = np.flatnonzero(trains)
    if len(train) == 0 or len(valid) == 0:
        raise ValueError(
            f"this split leaves {len(train):,} ratings to train on and {len(valid):,} to validate: "
            "use more data or another valid fraction"
        )
    return Split(ratings=ratings, train=train, valid=valid, how=how)


def _last_of_each_user(user_idx: np.ndarray, timestamp: np.ndarray, fraction: float) -> np.ndarray:
    """The rows of each user's last ``fraction`` of ratings, never a user's only rating; ties keep file order."""
    order = np.lexsort((np.arange(len(user_idx)), timestamp, user_idx))
    counts = np.bincount(user_idx)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    rank = np.arange(len(order)) - starts[user_idx[order]]  # 0 = this user's first rating
    held_out = np.minimum(np.maximum(np.round(counts * fraction), 1), counts - 1)
    return np.sort(order[rank >= (counts - held_out)[user_idx[order]]])
