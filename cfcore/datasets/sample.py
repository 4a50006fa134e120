"""Simulated ratings of real films: works without a network, and the truth behind every rating is known.

The films (``films.csv``: title, year, genres, series, and how widely known we think each is, 1 to 3) are real; the
people and all their ratings are invented by this latent-taste model, from a fixed seed:

    film      q_i = standardised(mean over its genres of TASTES[genre] + age + series_i + own_i)      (t,)
    person    p_u ~ N(0, STRENGTH^2 / t), t tastes
    affinity  a_ui = p_u . q_i
    who rates what: each person's n_u films with the largest  fame_i + 0.5 a_ui + Gumbel noise
              (that is, drawn without replacement with chances in proportion to exp(fame_i + 0.5 a_ui))
    rating    r_ui = clip(round(3.25 + generosity_u + quality_i + a_ui + N(0, NOISE^2)), 1, 5)

``age`` moves the taste for classics, ``series_i`` is shared by the films of a series. So films that are alike lie
near each other, popularity has a long tail, and no model can get below the noise: rounded, 0.67 stars.
``Ratings.truth`` keeps p, q, generosity and quality, so that a trained model can be asked whether it found them.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from cfcore.datasets.build import flags
from cfcore.ratings import About, Items, Ratings, Users

N_USERS = 600
N_RATINGS = 34_185
SEED = 1925
STRENGTH = 0.8  # stars: the spread of affinities
NOISE = 0.65  # stars: what a person cannot repeat from one day to the next
LEAST = 8  # ratings of the least rated film

TASTE_NAMES = ("spectacle", "heart", "dark", "brainy", "whimsy", "classic")
TASTES = {  #         spectacle heart  dark brainy whimsy classic
    "Action": (1.0, -0.2, 0.1, -0.3, -0.1, 0.0),
    "Adventure": (0.8, 0.0, -0.2, -0.1, 0.3, 0.0),
    "Animation": (0.0, 0.3, -0.3, 0.0, 1.0, 0.0),
    "Children": (0.0, 0.3, -0.7, -0.4, 0.9, 0.0),
    "Comedy": (-0.2, 0.2, -0.4, -0.1, 0.5, 0.0),
    "Crime": (0.1, -0.2, 0.7, 0.2, -0.3, 0.0),
    "Documentary": (-0.9, 0.0, 0.0, 1.2, -0.5, 0.0),
    "Drama": (-0.5, 0.5, 0.1, 0.4, -0.4, 0.0),
    "Fantasy": (0.3, 0.1, -0.1, 0.0, 0.7, 0.0),
    "Film-Noir": (-0.2, -0.1, 0.8, 0.5, -0.3, 0.5),
    "Horror": (0.1, -0.6, 1.2, -0.1, 0.0, 0.0),
    "Musical": (-0.1, 0.7, -0.5, -0.2, 0.5, 0.2),
    "Mystery": (-0.2, -0.1, 0.4, 0.8, -0.1, 0.0),
    "Romance": (-0.4, 1.0, -0.3, -0.1, 0.0, 0.1),
    "Sci-Fi": (0.7, -0.2, 0.1, 0.5, 0.1, -0.1),
    "Thriller": (0.4, -0.3, 0.7, 0.1, -0.2, 0.0),
    "War": (0.3, 0.3, 0.4, 0.2, -0.5, 0.2),
    "Western": (0.4, 0.0, 0.2, -0.1, -0.3, 0.5),
}


@dataclass(frozen=True, eq=False, kw_only=True)
class _Films:
    items: Items
    series: tuple[str, ...]  # '' where there is none
    fame: np.ndarray  # (M,)


@cache
def sample(about: About) -> Ratings:
    """Invent the ratings; the same on every machine."""
    rng = np.random.default_rng(SEED)
    films = _read_films()
    n_items, n_tastes = len(films.items), len(TASTE_NAMES)
    q = _film_tastes(rng, films)  # (M, t)
    p = _normal(rng, (N_USERS, n_tastes)) * round(STRENGTH / n_tastes**0.5, 6)  # (U, t)
    affinity = np.zeros((N_USERS, n_items))
    for t in range(n_tastes):  # p @ q.T, but rounded alike on every machine
        affinity += p[:, t, None] * q[None, :, t]
    quality = 0.3 * _normal(rng, n_items) + 0.12 * (films.fame - 2)
    generosity = 0.3 * _normal(rng, N_USERS)

    rated = _choose(rng, films.fame, affinity)  # (U, M) bool
    user_idx, item_idx = np.nonzero(rated)
    stars = 3.25 + generosity[user_idx] + quality[item_idx] + affinity[user_idx, item_idx]
    stars = np.clip(np.rint(stars + NOISE * _normal(rng, len(stars))), 1, 5)
    timestamp = _times(rng, user_idx)

    order = rng.permutation(len(stars))  # as in ml-100k, the file is in no order
    return Ratings(
        about=about,
        user_idx=user_idx[order].astype(np.int32),
        item_idx=item_idx[order].astype(np.int32),
        rating=stars[order].astype(np.float32),
        timestamp=timestamp[order],
        users=Users(user_id=np.arange(1, N_USERS + 1)),
        items=films.items,
        scale=(1.0, 5.0),
        truth={
            "user_tastes": p,
            "item_tastes": q,
            "taste_names": np.array(TASTE_NAMES),
            "user_generosity": generosity,
            "item_quality": quality,
        },
    )


def _read_films() -> _Films:
    with open(Path(__file__).with_name("films.csv"), encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    genre_names = tuple(TASTES)
    items = Items(
        item_id=np.arange(1, len(rows) + 1),
        title=np.array([f"{row['title']} ({row['year']})" for row in rows], dtype=object),
        year=np.array([int(row["year"]) for row in rows], dtype=np.int16),
        genres=flags([row["genres"].split("|") for row in rows], genre_names),
        genre_names=genre_names,
    )
    return _Films(
        items=items,
        series=tuple(row["series"] for row in rows),
        fame=np.array([float(row["fame"]) for row in rows]),
    )


def _film_tastes(rng: np.random.Generator, films: _Films) -> np.ndarray:
    """(M, t) with mean 0 and standard deviation 1 in each taste."""
    n_items, n_tastes = len(films.items), len(TASTE_NAMES)
    q = np.zeros((n_items, n_tastes))
    for column, genre in enumerate(films.items.genre_names):
        q += films.items.genres[:, column, None] * np.array(TASTES[genre])
    q /= films.items.genres.sum(axis=1)[:, None]
    q[:, TASTE_NAMES.index("classic")] += np.clip((1985 - films.items.year.astype(float)) / 30, -1, 1.5)
    shared = {name: 0.15 * _normal(rng, n_tastes) for name in sorted(set(films.series)) if name}
    q += np.array([shared.get(name, np.zeros(n_tastes)) for name in films.series])
    q += 0.1 * _normal(rng, (n_items, n_tastes))
    # the order in which a sum is taken varies with the machine: rounding makes it the same everywhere
    return (q - q.mean(axis=0).round(6)) / q.std(axis=0).round(6)


def _choose(rng: np.random.Generator, fame: np.ndarray, affinity: np.ndarray) -> np.ndarray:
    """(U, M) bool: who rates what."""
    n_users, n_items = affinity.shape
    popularity = 1.15 * fame + 0.55 * _normal(rng, n_items)
    gumbel = -np.log(-np.log(rng.random((n_users, n_items)))).round(9)
    rank = np.argsort(np.argsort(-(popularity + 0.5 * affinity + gumbel), axis=1, kind="stable"), axis=1)
    n_rated = np.clip(np.rint(20 + np.exp(3.3 + 0.95 * _normal(rng, n_users))), 20, 0.7 * n_items)  # (U,)
    rated = rank < n_rated[:, None]
    for item in np.flatnonzero(rated.sum(axis=0) < LEAST):
        others = rng.permutation(np.flatnonzero(~rated[:, item]))
        rated[others[: LEAST - rated[:, item].sum()], item] = True
    return rated


def _times(rng: np.random.Generator, user_idx: np.ndarray) -> np.ndarray:
    """(n,) seconds since 1970, all in or after 2024: sittings of about a dozen ratings, days to weeks apart."""
    n, n_users = len(user_idx), int(user_idx.max()) + 1
    start = 1_704_067_200 + rng.integers(0, 200 * 86_400, n_users)
    pause = rng.integers(1, 30 * 86_400, n) * (rng.random(n) < 1 / 12)
    elapsed = np.cumsum(rng.integers(8, 120, n) + pause)
    first = np.searchsorted(user_idx, np.arange(n_users))  # user_idx ascends here
    in_turn = start[user_idx] + elapsed - elapsed[first][user_idx]
    shuffled = np.lexsort((rng.random(n), user_idx))  # else everybody would rate films by age
    times = np.empty(n, dtype=np.int64)
    times[shuffled] = in_turn
    return times


def _normal(rng: np.random.Generator, shape: int | tuple[int, ...]) -> np.ndarray:
    """Standard normal draws, rounded: their last bits depend on the machine's mathematical library."""
    return rng.standard_normal(shape).round(9)
