"""What to show a person next, and why: the best unseen films, and two kinds of reasons for each.

For a dot model a prediction is a sum, and its terms are the reason:

    score = offset + b_u + b_i + sum_k u_k v_k        prediction = score, or low + (high - low) / (1 + exp(-score))

For every model there is the reason by example: of the films the person liked, those nearest to this one by cosine in
the full space of item factors. The one says how the number came about, the other what it is like.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cfcore.approaches.baseline import USER_DAMPING
from cfcore.embeddings.space import liked_centre
from cfcore.models import DotModel, Model, Range
from cfcore.ranking import first, liked_from, score_blocks
from cfcore.ratings import Ratings, Split

_DAMPING = 10  # ratings: a genre with few of them is hardly liked or disliked


@dataclass(frozen=True, eq=False, kw_only=True)
class Films:
    """Films with a prediction each: ``item_idx`` (n,), ``prediction`` (n,) in stars."""

    item_idx: np.ndarray
    prediction: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Rated:
    """What a user rated beside what the model says, the worst miss first.

    ``item_idx`` (n,), ``rating`` (n,), ``prediction`` (n,) in stars; ``held_out`` (n,) bool: not trained on.
    """

    item_idx: np.ndarray
    rating: np.ndarray
    prediction: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Terms:
    """A dot model's prediction as a sum: ``names`` and ``values`` (t,), which add up to ``score``.

    Offset and biases come first, where the model has them, then the factors with the largest terms, and last the sum of
    all other factors. ``prediction`` is the score, or what the sigmoid into ``y_range`` makes of it.
    """

    names: tuple[str, ...]
    values: np.ndarray
    score: float
    prediction: float
    y_range: Range


def rated_by(model: Model, split: Split, user_idx: int) -> Rated:
    """The ratings of ``user_idx`` in both parts of the split, with the model's predictions, worst misses first."""
    ratings = split.ratings
    train = split.train[ratings.user_idx[split.train] == user_idx]
    valid = split.valid[ratings.user_idx[split.valid] == user_idx]
    rows = np.concatenate([train, valid])
    items, stars = ratings.item_idx[rows].astype(np.int64), ratings.rating[rows]
    prediction = model.predict(np.full(len(rows), user_idx), items)
    order = np.argsort(-np.abs(prediction - stars), kind="stable")
    return Rated(
        item_idx=items[order],
        rating=stars[order],
        prediction=prediction[order],
        held_out=(np.arange(len(rows)) >= len(train))[order],
    )


def top_n(model: Model, user_idx: int, candidates: np.ndarray, n: int = 10) -> Films:
    """The ``n`` films of ``candidates`` (m,) ascending ``item_idx`` with the highest predictions, the best first.

    Equal predictions come in the order of ``item_idx``, as they do where the ranking is measured.
    """
    if not len(candidates):
        return Films(item_idx=np.zeros(0, np.int64), prediction=np.zeros(0, np.float32))
    ((_, scores),) = score_blocks(model, np.array([user_idx]), candidates)
    columns = first(np.where(np.isfinite(scores), scores, -np.inf), n)[0]
    best = candidates[columns[columns >= 0]]
    return Films(item_idx=best, prediction=model.predict(np.full(len(best), user_idx), best))


def unseen(n_ratings: np.ndarray, known: np.ndarray, least: int = 1) -> np.ndarray:
    """The films that can be recommended (m,): not among ``known`` (l,), and with enough training ratings.

    ``n_ratings`` (M,) counts those of each film; ``least`` are enough, and never less than 1.
    """
    possible = n_ratings >= max(least, 1)
    possible[known] = False
    return np.flatnonzero(possible)


def terms(model: DotModel, user_idx: int, item_idx: int, most: int = 6) -> Terms:
    """Take the prediction for one pair apart; the ``most`` largest factor terms by name, counted from 1."""
    products = model.user_factors[user_idx].astype(np.float64) * model.item_factors[item_idx]  # u_k * v_k
    named: list[tuple[str, float]] = []
    if model.offset:
        named.append(("offset", model.offset))
    if model.user_bias is not None:
        named.append(("user bias", float(model.user_bias[user_idx])))
    if model.item_bias is not None:
        named.append(("movie bias", float(model.item_bias[item_idx])))
    order = np.argsort(-np.abs(products), kind="stable")
    named += [(f"factor {factor + 1}", float(products[factor])) for factor in order[:most]]
    rest = products[order[most:]]
    if len(rest):
        named.append((f"{len(rest)} other factors" if len(rest) > 1 else "1 other factor", float(rest.sum())))
    pair = np.array([user_idx]), np.array([item_idx])
    values = np.array([value for _, value in named])
    return Terms(
        names=tuple(name for name, _ in named),
        values=values,
        score=float(values.sum()),
        prediction=float(model.predict(*pair)[0]),
        y_range=model.y_range,
    )


def bias_for(bias: DotModel, item_idx: np.ndarray, rating: np.ndarray, item: int) -> float:
    """What user + movie bias predicts for ``item`` and somebody new, who rated ``item_idx`` (n,) with ``rating`` (n,).

    Their bias is the damped mean that the baseline gives everybody: how much more they give than others.
    """
    nobody = np.zeros(len(bias.item_factors))
    known = bias.offset + (nobody if bias.item_bias is None else bias.item_bias)  # (M,): for a user of no bias
    more = float((rating - known[item_idx]).sum()) / (USER_DAMPING + len(rating))
    return float(known[item]) + more


def nearest_liked(
    item_factors: np.ndarray, item_idx: np.ndarray, liked: np.ndarray, n: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """For each film of ``item_idx`` (f,), the ``n`` films of ``liked`` (l,) most like it, with their cosines.

    Both (f, min(n, l)), the most alike first. ``item_factors`` (M, k) may hold NaN: such a film was never trained and
    is like none. A film is not like itself: where it is among ``liked``, it gives way to the next. Where nothing is
    left, the cosine is NaN.
    """
    cosine = _unit(item_factors[item_idx]) @ _unit(item_factors[liked]).T  # (f, l)
    cosine[item_idx[:, None] == liked[None, :]] = np.nan
    order = np.argsort(np.where(np.isnan(cosine), np.inf, -cosine), axis=1, kind="stable")[:, :n]
    return liked[order], np.take_along_axis(cosine, order, axis=1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """The rows at length 1, in float64; NaN where one has no direction, or is not finite."""
    rows = np.where(np.isfinite(vectors), vectors, np.nan).astype(np.float64)
    length = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    return rows / np.where(length > 0, length, np.nan)


def liked_by(item_idx: np.ndarray, rating: np.ndarray, scale: tuple[float, float], most: int = 200) -> np.ndarray:
    """The films somebody liked, best first; of a person who likes nothing, the half they rated best."""
    order = np.argsort(-rating, kind="stable")
    n = int((rating >= liked_from(scale)).sum()) or (len(rating) + 1) // 2
    return item_idx[order[: min(n, most)]]


def person_among_films(
    vectors: np.ndarray, item_idx: np.ndarray, rating: np.ndarray, scale: tuple[float, float]
) -> np.ndarray | None:
    """Where a person stands among the films (k,): the plain mean of those they liked, by :func:`liked_by`.

    For networks, whose users live in a space of their own. ``vectors`` (M, k) hold a row for each film, NaN where it
    was never trained, in the full space or on a map (a projection of the mean is the mean of the projections).
    ``item_idx`` (n,) and ``rating`` (n,) are what the person rated. ``None`` where no film they liked has a vector.
    """
    liked = liked_by(item_idx, rating, scale)
    liked = liked[np.isfinite(vectors[liked]).all(axis=1)]
    return liked_centre(vectors, liked) if len(liked) else None


def favourite_genres(ratings: Ratings, most: int = 2) -> list[str]:
    """For each user (U,) the genres they rate above their own mean, best first, such as ``Drama, Horror``; or ''.

    Damped: g(u, genre) = sum over their ratings in it of (r - mean of u) / (10 + how many).
    """
    genres, users = ratings.items.genres, ratings.user_idx
    n = np.maximum(np.bincount(users, minlength=ratings.n_users), 1)
    own_mean = np.bincount(users, ratings.rating, ratings.n_users) / n
    above = ratings.rating - own_mean[users]
    liking = np.zeros((ratings.n_users, genres.shape[1]))
    for column in range(genres.shape[1]):
        rows = genres[ratings.item_idx, column]
        total = np.bincount(users[rows], above[rows], ratings.n_users)
        liking[:, column] = total / (_DAMPING + np.bincount(users[rows], minlength=ratings.n_users))
    order = np.argsort(-liking, axis=1, kind="stable")[:, :most]
    names = ratings.items.genre_names
    return [
        ", ".join(names[column] for column in columns if liking[user, column] > 0)
        for user, columns in enumerate(order.tolist())
    ]


def well_known(split: Split, n: int = 60) -> np.ndarray:
    """Films to begin rating with (n,): well known, and such that opinions about them differ.

    By training ratings times the spread of the ratings: what everybody likes says little about who likes it.
    """
    _, items, stars = split.part(split.train)
    m = split.ratings.n_items
    counts = np.bincount(items, minlength=m)
    mean = np.bincount(items, stars, m) / np.maximum(counts, 1)
    variance = np.bincount(items, (stars - mean[items]) ** 2, m) / np.maximum(counts, 1)
    worth = counts * np.sqrt(variance)
    return np.argsort(-worth, kind="stable")[: min(n, int((counts > 0).sum()))]
