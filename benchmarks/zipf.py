"""Ratings by the million that nobody gave, written as MovieLens writes its latest sets.

Popularity is Zipf's, users rate a heavy-tailed number of films, no pair stands twice, and behind the half stars is a
model with something to learn:

    film of rank i is drawn with a chance in proportion to 1 / (50 + i)          (Zipf and Mandelbrot)
    user u rates in proportion to exp(N(0, 1.1^2))
    r_ui = 3.5 + b_u + b_i + p_u . q_i + N(0, 0.8^2), rounded to half a star, 0.5 to 5

``python -m benchmarks.zipf FOLDER N_RATINGS N_USERS N_ITEMS`` writes one.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow.csv import WriteOptions, write_csv

from benchmarks.simulated import GENRES, Size

HEADER = "userId,movieId,rating,timestamp"
STARS = [f"{half / 2:.1f}" for half in range(11)]
N_FACTORS = 8
BLOCK = 1_000_000  # ratings written at a time
START = 1_000_000_000  # seconds since 1970: the first of the timestamps


def write(size: Size, folder: Path, seed: int = 0) -> Path:
    """Write ``ratings.csv``, ``size.n_ratings`` of them, and ``movies.csv`` into ``folder``, which it gives back.

    Rows are sorted by user and film, as in the latest MovieLens sets; ids count from 1.

    Raises:
        ValueError: so many ratings would fill more than half of the user x film matrix.
    """
    if 2 * size.n_ratings > size.n_users * size.n_items:
        raise ValueError(f"{size.n_ratings:,} ratings are too many for {size.n_users:,} x {size.n_items:,}")
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    pairs = _pairs(rng, size)
    b_user, b_item = 0.4 * rng.standard_normal(size.n_users), 0.45 * rng.standard_normal(size.n_items)
    p, q = (0.35 * rng.standard_normal((n, N_FACTORS)) for n in (size.n_users, size.n_items))
    with open(folder / "ratings.csv", "wb") as file:
        file.write(f"{HEADER}\n".encode())
        for start in range(0, len(pairs), BLOCK):
            users, items = np.divmod(pairs[start : start + BLOCK], size.n_items)
            stars = 3.5 + b_user[users] + b_item[items] + np.einsum("nk,nk->n", p[users], q[items])
            stars += 0.8 * rng.standard_normal(len(users))
            halves = np.clip(np.rint(2 * stars), 1, 10).astype(np.int8)
            table = {
                "userId": users + 1,
                "movieId": items + 1,
                "rating": pa.DictionaryArray.from_arrays(halves, STARS).cast(pa.string()),
                "timestamp": START + rng.integers(600_000_000, size=len(users)),
            }
            write_csv(pa.table(table), file, WriteOptions(include_header=False, quoting_style="none"))
    _write_films(rng, size, folder / "movies.csv")
    return folder


def _pairs(rng: np.random.Generator, size: Size) -> np.ndarray:
    """Distinct pairs, ascending, as user x n_items + film (n_ratings,) int64."""
    fame = np.cumsum(1 / (50.0 + np.arange(size.n_items)))
    busy = np.cumsum(np.exp(1.1 * rng.standard_normal(size.n_users)))
    by_fame = rng.permutation(size.n_items)  # a film's id says nothing about how famous it is
    pairs = np.zeros(0, dtype=np.int64)
    while (missing := size.n_ratings - len(pairs)) > 0:
        n = round(1.3 * missing) + 100  # famous films and busy users meet more than once
        users = np.searchsorted(busy, np.sort(rng.random(n)) * busy[-1])
        items = by_fame[np.searchsorted(fame, rng.random(n) * fame[-1])]
        pairs = np.sort(np.concatenate([pairs, users * size.n_items + items]))
        pairs = pairs[np.append(True, pairs[1:] != pairs[:-1])]  # many times faster than np.unique
    return np.delete(pairs, rng.choice(len(pairs), -missing, replace=False, shuffle=False))


def _write_films(rng: np.random.Generator, size: Size, path: Path) -> None:
    genres = rng.integers(len(GENRES), size=size.n_items)
    years = rng.integers(1930, 2020, size=size.n_items)
    with open(path, "w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["movieId", "title", "genres"])
        for item, (genre, year) in enumerate(zip(genres, years, strict=True), 1):
            lines.writerow([item, f"{GENRES[genre]}, the {item}th ({year})", GENRES[genre]])


if __name__ == "__main__":
    n_ratings, n_users, n_items = map(int, sys.argv[2:])
    write(Size(n_users=n_users, n_items=n_items, n_ratings=n_ratings), Path(sys.argv[1]))
