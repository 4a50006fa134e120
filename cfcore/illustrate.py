"""Small real pictures of the idea: a corner of the rating matrix, and two factors fitted to it.

The corner is the most active users x the most rated movies, or random ones, so that the holes of the whole matrix can
be seen. The factors come from alternating ridge regressions on the corner's given cells:

    r(u, i) = mean + p_u . q_i        minimise sum over given cells of (r - r(u, i))^2 + l2 (|p_u|^2 + |q_i|^2)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cfcore.ratings import Ratings


@dataclass(frozen=True, eq=False, kw_only=True)
class Corner:
    """``matrix`` (u, m) of ratings, NaN where there is none, of users ``user_idx`` (u,) and items ``item_idx`` (m,)."""

    matrix: np.ndarray
    user_idx: np.ndarray
    item_idx: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Factors:
    """``user`` (u, k), ``item`` (m, k) and the ``mean`` they are added to."""

    user: np.ndarray
    item: np.ndarray
    mean: float

    def predict(self) -> np.ndarray:
        """Every cell's prediction (u, m)."""
        return self.mean + self.user @ self.item.T


def typical_corner(ratings: Ratings, n_users: int, n_items: int, seed: int = 0) -> Corner:
    """The most rated items, and users who rated between half and three quarters of them: with holes, but not empty."""
    per_item = np.bincount(ratings.item_idx, minlength=ratings.n_items)
    items = np.argsort(-per_item, kind="stable")[:n_items]
    among = np.isin(ratings.item_idx, items)
    share = np.bincount(ratings.user_idx[among], minlength=ratings.n_users) / len(items)
    distance = np.maximum(np.maximum(0.5 - share, share - 0.75), 0)  # 0 for those wanted, so they come first
    order = np.lexsort((np.random.default_rng(seed).random(ratings.n_users), distance))
    return _corner(ratings, np.sort(order[:n_users]), items)


def top_corner(ratings: Ratings, n_users: int, n_items: int) -> Corner:
    """The most active users x the most rated items: the fullest corner there is."""
    per_item = np.bincount(ratings.item_idx, minlength=ratings.n_items)
    per_user = np.bincount(ratings.user_idx, minlength=ratings.n_users)
    users = np.argsort(-per_user, kind="stable")[:n_users]
    return _corner(ratings, users, np.argsort(-per_item, kind="stable")[:n_items])


def random_corner(ratings: Ratings, n_users: int, n_items: int, seed: int = 0) -> Corner:
    """Users and items drawn at random: what most of the matrix looks like."""
    rng = np.random.default_rng(seed)
    users = rng.choice(ratings.n_users, min(n_users, ratings.n_users), replace=False)
    items = rng.choice(ratings.n_items, min(n_items, ratings.n_items), replace=False)
    return _corner(ratings, np.sort(users), np.sort(items))


def fit_factors(matrix: np.ndarray, k: int = 2, *, l2: float = 1.0, sweeps: int = 30, seed: int = 0) -> Factors:
    """Fit ``k`` factors to the given cells of ``matrix`` (u, m) by alternating ridge regressions."""
    given = np.isfinite(matrix)
    mean = float(matrix[given].mean()) if given.any() else 0.0
    rest = np.where(given, matrix - mean, 0.0)
    item = np.random.default_rng(seed).normal(0, 0.5, (matrix.shape[1], k))
    user = np.zeros((matrix.shape[0], k))
    for _ in range(sweeps):
        user = _ridge(rest, given, item, l2)
        item = _ridge(rest.T, given.T, user, l2)
    return Factors(user=user, item=item, mean=mean)


def _ridge(targets: np.ndarray, given: np.ndarray, features: np.ndarray, l2: float) -> np.ndarray:
    """For each row of ``targets`` (r, c), the weights (r, k) that predict its given cells from ``features`` (c, k)."""
    k = features.shape[1]
    grams = np.einsum("rc,ck,cl->rkl", given.astype(float), features, features) + l2 * np.eye(k)
    return np.linalg.solve(grams, (targets @ features)[:, :, None])[:, :, 0]


def _corner(ratings: Ratings, users: np.ndarray, items: np.ndarray) -> Corner:
    row = np.full(ratings.n_users, -1)
    column = np.full(ratings.n_items, -1)
    row[users], column[items] = np.arange(len(users)), np.arange(len(items))
    inside = np.flatnonzero((row >= 0)[ratings.user_idx])  # few of them: only these are looked up among the items
    inside = inside[column[ratings.item_idx[inside]] >= 0]
    matrix = np.full((len(users), len(items)), np.nan)
    matrix[row[ratings.user_idx[inside]], column[ratings.item_idx[inside]]] = ratings.rating[inside]
    return Corner(matrix=matrix, user_idx=users, item_idx=items)
