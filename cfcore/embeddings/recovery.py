"""Did the model find the truth? Asked of simulated data, where the tastes behind every rating are known.

A learned space may be turned, stretched and mixed in any way and still predict the same, so its columns are not
compared with the true tastes one by one. Two measures do not mind:

    R2 per taste             how much of a true taste q_t a linear reading X w + c of the vectors explains:
                             1 - sum((q_t - read)^2) / sum((q_t - mean)^2)
    canonical correlations   the correlation of the best matching pair of directions, one in each space; then of the
                             best pair uncorrelated with the first, and so on

With 50 columns and 321 movies a plain fit finds something in pure noise (R2 of about 0.16, a first canonical
correlation of about 0.5). So both are measured on movies that the reading was not fitted on: five-fold
cross-validation, repeated with several shuffles. The ridge penalty is chosen within the movies that are fitted on, by
their leave-one-out error. A space that knows nothing gets about 0, or a little less. Sources: Hoerl and Kennard
(1970); Hotelling (1936); Hastie, Tibshirani and Friedman, The Elements of Statistical Learning (2009), 3.4 and 7.10.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from cfcore.ratings import Ratings

FEWEST = 20  # rows: below that, a fifth of them measures nothing
_FOLDS = 5
_SHUFFLES = 4
_PENALTIES = np.logspace(-4, 4, 17)  # in units of the mean squared singular value
_SEED = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Truth:
    """``names`` (t,) of what lies behind the ratings, and ``values`` (n, t)."""

    names: tuple[str, ...]
    values: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Recovery:
    """``r2`` (t,) a true taste, at most 1; ``canonical`` (min(k, t),) from the best matching direction on."""

    r2: np.ndarray
    canonical: np.ndarray


def truth_of(ratings: Ratings, idx: np.ndarray, side: Literal["items", "users"] = "items") -> Truth:
    """The true tastes of these items or users ``idx`` (n,), and last an item's quality or a user's generosity.

    Raises:
        ValueError: the ratings are not simulated, so nobody knows the truth.
    """
    own = {
        "items": ("item_tastes", "quality", "item_quality"),
        "users": ("user_tastes", "generosity", "user_generosity"),
    }
    tastes, last, values = own[side]
    if not {tastes, values, "taste_names"} <= ratings.truth.keys():
        raise ValueError(f"the true tastes behind {ratings.about.title} are not known: choose the simulated sample")
    return Truth(
        names=(*(str(name) for name in ratings.truth["taste_names"]), last),
        values=np.column_stack([ratings.truth[tastes][idx], ratings.truth[values][idx]]),
    )


def recovery(factors: np.ndarray, tastes: npt.ArrayLike, shuffles: int = _SHUFFLES) -> Recovery:
    """How well the learned ``factors`` (n, k) tell the true ``tastes`` (n, t), on rows not fitted on.

    ``shuffles`` says how often the five folds are drawn; what they give is averaged.

    Raises:
        ValueError: there are fewer than 20 rows, or a taste is the same for all of them.
    """
    X, Y = np.asarray(factors, dtype=np.float64), np.asarray(tastes, dtype=np.float64)
    if len(X) != len(Y):
        raise ValueError(f"there are {len(X)} vectors but {len(Y)} rows of tastes: they must be equal")
    if len(X) < FEWEST:
        raise ValueError(f"{len(X)} rows are too few to measure anything on: at least {FEWEST} are needed")
    if (np.ptp(Y, axis=0) == 0).any():
        raise ValueError("a taste that is the same for all cannot be recovered: leave it out")
    rng = np.random.default_rng(_SEED)
    errors, canonical = [], []
    for _ in range(shuffles):
        read = np.empty_like(Y)
        for held_out in np.array_split(rng.permutation(len(X)), _FOLDS):
            fitted = np.setdiff1d(np.arange(len(X)), held_out)
            reading = _Reading(X[fitted], Y[fitted])
            read[held_out] = reading.read(X[held_out])
            canonical.append(reading.canonical(X[held_out], Y[held_out]))
        errors.append(np.square(Y - read).sum(axis=0))
    total = np.square(Y - Y.mean(axis=0)).sum(axis=0)
    return Recovery(r2=1 - np.mean(errors, axis=0) / total, canonical=np.mean(canonical, axis=0))


class _Reading:
    """Ridge regression and ridge canonical correlation, from one singular value decomposition of ``X`` (n, k)."""

    def __init__(self, X: np.ndarray, Y: np.ndarray) -> None:
        self._x_mean, self._y_mean, self._Y = X.mean(axis=0), Y.mean(axis=0), Y - Y.mean(axis=0)
        self._U, s, self._Vt = np.linalg.svd(X - self._x_mean, full_matrices=False)
        self._power = s**2
        unit = self._power.mean() or 1.0  # vectors that are all the same: any penalty reads nothing
        penalties = unit * _PENALTIES
        left = [self._leave_one_out(penalty) for penalty in penalties]  # one (t,) a penalty
        self._penalty = penalties[np.argmin(left, axis=0)]  # (t,)

    def _leave_one_out(self, penalty: float) -> np.ndarray:
        """The mean squared error (t,) on rows left out one at a time: each is (y - fit) / (1 - h), h its leverage."""
        kept = self._power / (self._power + penalty)
        h = np.square(self._U) @ kept + 1 / len(self._Y)  # 1 / n: the mean was fitted as well
        fit = self._U @ (kept[:, None] * (self._U.T @ self._Y))
        return np.mean(np.square((self._Y - fit) / (1 - h)[:, None]), axis=0)

    def read(self, X: np.ndarray) -> np.ndarray:
        """The tastes (m, t) that the vectors ``X`` (m, k) seem to have."""
        shrunk = np.sqrt(self._power)[:, None] / (self._power[:, None] + self._penalty)  # (c, t)
        return (X - self._x_mean) @ self._Vt.T @ (shrunk * (self._U.T @ self._Y)) + self._y_mean

    def canonical(self, X: np.ndarray, Y: np.ndarray) -> np.ndarray:
        """The correlations, on these other rows, of the pairs of directions that match best here."""
        penalty = np.exp(np.log(self._penalty).mean())
        Uy, sy, Vyt = np.linalg.svd(self._Y, full_matrices=False)
        scale = 1 / np.sqrt(self._power + penalty)  # whitens the vectors, the more cautiously the higher the penalty
        P, _, Qt = np.linalg.svd((scale * np.sqrt(self._power))[:, None] * (self._U.T @ Uy), full_matrices=False)
        mine = (X - self._x_mean) @ self._Vt.T @ (scale[:, None] * P)
        true = (Y - self._y_mean) @ Vyt.T @ (Qt.T / np.maximum(sy, np.finfo(float).tiny)[:, None])
        mine, true = mine - mine.mean(axis=0), true - true.mean(axis=0)
        size = np.sqrt(np.square(mine).sum(axis=0) * np.square(true).sum(axis=0))
        return (mine * true).sum(axis=0) / np.where(size > 0, size, 1)
