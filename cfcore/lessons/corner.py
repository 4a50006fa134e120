"""A corner of the rating matrix that fits on a phone: a few people and a few films that overlap, with holes.

The films are among the best known, the people among those who rated more than half of them but not all. A few of the
ratings are kept back: gradient descent never sees them, so that they can tell what it has learned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cfcore.ratings import Ratings

N_USERS, N_ITEMS, N_FACTORS = 5, 6, 2
MOST_HIDDEN = 2
_POOL = 30  # best known films to draw from
_TRIES = 40  # draws, of which the best is taken


@dataclass(frozen=True, eq=False, kw_only=True)
class Corner:
    """``user_idx`` (u,), ``item_idx`` (m,), and ``rating`` (u, m), NaN where there is none.

    ``given`` (u, m) bool are the ratings to learn from, ``hidden`` (u, m) bool those that are kept back.
    """

    user_idx: np.ndarray
    item_idx: np.ndarray
    rating: np.ndarray
    given: np.ndarray
    hidden: np.ndarray


def pick_corner(ratings: Ratings, number: int = 0) -> Corner:
    """The corner ``number`` of ``ratings``: five users and six movies, fewer where the data has fewer."""
    random = np.random.default_rng(number)
    pool, table = _best_known(ratings)
    draws = [_draw(table, random) for _ in range(_TRIES)]
    users, films = max(draws, key=lambda draw: _worth(table[np.ix_(*draw)]))
    rating = table[np.ix_(users, films)]
    hidden = _hide(np.isfinite(rating), random)
    return Corner(
        user_idx=users,
        item_idx=pool[films],
        rating=rating,
        given=np.isfinite(rating) & ~hidden,
        hidden=hidden,
    )


def start(corner: Corner, number: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random factors (u, 2) and (m, 2) from 0 to 1, as training begins; two decimals, so that a hand can follow."""
    random = np.random.default_rng([7, number])
    u, m = corner.rating.shape
    return random.random((u, N_FACTORS)).round(2), random.random((m, N_FACTORS)).round(2)


def mse_of(predictions: np.ndarray, corner: Corner, which: np.ndarray) -> float | None:
    """The mean squared error of ``predictions`` (u, m) over the cells ``which`` (u, m) bool; ``None`` without any."""
    return float(np.mean((predictions - corner.rating)[which] ** 2)) if which.any() else None


def _best_known(ratings: Ratings) -> tuple[np.ndarray, np.ndarray]:
    """The best known films (p,), and what everybody gave them (U, p), NaN for nothing."""
    counts = np.bincount(ratings.item_idx, minlength=ratings.n_items)
    pool = np.argsort(-counts, kind="stable")[:_POOL]
    place = np.full(ratings.n_items, -1)
    place[pool] = np.arange(len(pool))
    rows = np.flatnonzero(place[ratings.item_idx] >= 0)
    table = np.full((ratings.n_users, len(pool)), np.nan)
    table[ratings.user_idx[rows], place[ratings.item_idx[rows]]] = ratings.rating[rows]
    return pool, table


def _draw(table: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of ``table``: users who rated more than half of the films but not all come first."""
    n_films = min(N_ITEMS, table.shape[1])
    films = np.sort(random.choice(table.shape[1], n_films, replace=False))
    rated = np.isfinite(table[:, films]).sum(axis=1)
    fitting = (rated > n_films / 2) & (rated < n_films)
    order = np.lexsort((random.random(len(table)), -rated, ~fitting)) if fitting.sum() < N_USERS else None
    users = order[:N_USERS] if order is not None else random.choice(np.flatnonzero(fitting), N_USERS, replace=False)
    return np.sort(users[rated[users] > 0]), films


def _worth(rating: np.ndarray) -> tuple[int, int, float]:
    """How much there is to learn from: films with two ratings or more, people, ratings that differ."""
    filled = np.isfinite(rating)
    known = rating[filled]
    return int((filled.sum(axis=0) >= 2).sum()), len(rating), float(known.std()) if known.size else 0.0


def _hide(filled: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Cells to keep back, of users and films that keep two ratings or more each."""
    hidden = np.zeros_like(filled)
    for user, film in random.permutation(np.argwhere(filled)):
        left = filled & ~hidden
        if hidden.sum() < MOST_HIDDEN and left[user].sum() > 2 and left[:, film].sum() > 2 and not hidden[user].any():
            hidden[user, film] = True
    return hidden
