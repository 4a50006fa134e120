"""What is known of each movie besides its vector, from the data set and the training ratings alone.

The validation ratings are left out on purpose: an axis that is named with their help would be named after what the
model has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cfcore.embeddings.space import Space
from cfcore.ratings import Split


@dataclass(frozen=True, eq=False, kw_only=True)
class Facts:
    """One value a row of the space.

    ``year`` (m,) NaN where unknown; ``n_ratings`` (m,) int and ``mean_rating`` (m,) stars of its training ratings (NaN
    where there are none); ``raters_mean`` (m,) stars: how its raters rate in general, each by the mean of all their
    training ratings; ``genres`` (m, G) bool with ``genre_names`` (G,); ``bias`` (m,) as learned, or ``None``;
    ``carried`` (m,) what the factors add for a movie's raters, p_u.q_i on average over them, or ``None``.
    """

    year: np.ndarray
    n_ratings: np.ndarray
    mean_rating: np.ndarray
    raters_mean: np.ndarray
    genres: np.ndarray
    genre_names: tuple[str, ...]
    bias: np.ndarray | None = None
    carried: np.ndarray | None = None


def film_facts(
    split: Split, space: Space, item_bias: np.ndarray | None = None, user_factors: np.ndarray | None = None
) -> Facts:
    """The facts of the movies of ``space``.

    ``item_bias`` (M,) as learned, where the model has one, and with it the ``user_factors`` (U, k) of a dot model.
    """
    items = split.ratings.items
    users, movies, stars = split.part(split.train)
    per_user = _mean(users, stars, split.ratings.n_users)  # (U,)
    at = space.item_idx
    year = items.year[at].astype(np.float64)
    return Facts(
        year=np.where(year > 0, year, np.nan),
        n_ratings=np.bincount(movies, minlength=len(items))[at],
        mean_rating=_mean(movies, stars, len(items))[at],
        raters_mean=_mean(movies, per_user[users], len(items))[at],
        genres=items.genres[at],
        genre_names=items.genre_names,
        bias=None if item_bias is None else item_bias[at].astype(np.float64),
        carried=None if user_factors is None else _carried(space, users, movies, user_factors),
    )


def _carried(space: Space, users: np.ndarray, movies: np.ndarray, user_factors: np.ndarray) -> np.ndarray:
    """The mean of p_u.q_i over the raters u of each movie i of the space: q_i times the mean of their factors (m,)."""
    rows = space.rows_of(movies)
    users, rows = users[rows >= 0], rows[rows >= 0]
    raters = np.column_stack([_mean(rows, factor[users], len(space)) for factor in user_factors.T])  # (m, k)
    return (raters * space.vectors).sum(axis=1)


def _mean(groups: np.ndarray, values: np.ndarray, n_groups: int) -> np.ndarray:
    """The mean of ``values`` (n,) in each of ``n_groups``, NaN where a group has none."""
    with np.errstate(invalid="ignore"):
        return np.bincount(groups, values, n_groups) / np.bincount(groups, minlength=n_groups)
