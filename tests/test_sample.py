from __future__ import annotations

import numpy as np

from cfcore.config import SplitConfig
from cfcore.datasets import SOURCES, on_disk
from cfcore.datasets import sample as module
from cfcore.ratings import Ratings, Split, make_split


def test_it_is_labelled_as_simulated_and_needs_nothing(sample: Ratings) -> None:
    assert on_disk("sample")
    assert sample.about.simulated
    assert "simulated" in sample.about.title.lower()
    assert SOURCES["sample"].n_ratings == len(sample)


def test_its_size_and_shape_are_those_of_real_ratings(sample: Ratings) -> None:
    assert 30_000 <= len(sample) <= 40_000
    assert (sample.n_users, sample.scale) == (600, (1.0, 5.0))
    assert 280 <= sample.n_items <= 340
    shares = np.bincount(sample.rating.astype(int), minlength=6)[1:] / len(sample)
    assert set(np.unique(sample.rating)) == {1, 2, 3, 4, 5}
    assert shares.argmax() in (2, 3)  # three or four stars are the most frequent, one star the rarest
    assert shares.argmin() == 0
    assert 3.3 < sample.rating.mean() < 3.7
    pairs = set(zip(sample.user_idx.tolist(), sample.item_idx.tolist(), strict=True))
    assert len(pairs) == len(sample)


def test_popularity_has_a_long_tail_and_no_film_is_bare(sample: Ratings) -> None:
    counts = np.sort(np.bincount(sample.item_idx, minlength=sample.n_items))[::-1]
    assert counts[-1] >= 8
    top_fifth = counts[: len(counts) // 5].sum() / counts.sum()
    assert 0.35 < top_fifth < 0.7
    assert np.bincount(sample.user_idx, minlength=sample.n_users).min() >= 20


def test_the_films_are_real_facts_without_doubles(sample: Ratings) -> None:
    titles = list(sample.items.title)
    assert len(set(titles)) == len(titles)
    assert sample.items.genres.any(axis=1).all()
    assert sample.items.year.min() >= 1925
    assert sample.items.year.max() <= 2023
    for title in (
        "Metropolis (1927)",
        "Casablanca (1942)",
        "The Godfather (1972)",
        "Alien (1979)",
        "Toy Story (1995)",
        "The Matrix (1999)",
        "The Lord of the Rings: The Return of the King (2003)",
    ):
        assert title in titles


def test_making_it_again_gives_the_same_ratings(sample: Ratings) -> None:
    module.sample.cache_clear()
    again = module.sample(sample.about)
    assert again is not sample
    for name in ("user_idx", "item_idx", "rating", "timestamp"):
        assert np.array_equal(getattr(sample, name), getattr(again, name))


def test_times_let_every_split_be_made(sample: Ratings) -> None:
    assert sample.timestamp is not None
    assert sample.timestamp.min() >= 1_704_067_200  # all after the last of the films came out
    for kind in sample.split_kinds():
        assert len(make_split(sample, SplitConfig.of(kind)).valid) > 0
    first10 = make_split(sample, SplitConfig.of("first10"))
    assert first10.seen_users.mean() > 0.9  # the file is in no order


def test_the_true_tastes_explain_the_ratings_down_to_the_noise(sample: Ratings) -> None:
    truth = sample.truth
    assert truth["user_tastes"].shape == (sample.n_users, len(truth["taste_names"]))
    assert truth["item_tastes"].shape == (sample.n_items, len(truth["taste_names"]))
    u, i = sample.user_idx, sample.item_idx
    affinity = np.einsum("nt,nt->n", truth["user_tastes"][u], truth["item_tastes"][i])
    expected = 3.25 + truth["user_generosity"][u] + truth["item_quality"][i] + affinity
    left = np.sqrt(np.mean((np.clip(expected, 1, 5) - sample.rating) ** 2))
    assert 0.6 < left < 0.72


def test_films_of_a_series_lie_near_each_other(sample: Ratings) -> None:
    q = sample.truth["item_tastes"] / np.linalg.norm(sample.truth["item_tastes"], axis=1, keepdims=True)
    at = {title: row for row, title in enumerate(sample.items.title)}
    toy, other = at["Toy Story (1995)"], at["Toy Story 2 (1999)"]
    assert q[toy] @ q[other] > np.quantile(q @ q[toy], 0.97)
    assert q[toy] @ q[at["Halloween (1978)"]] < 0


def test_a_factor_model_clearly_beats_the_biases(sample: Ratings) -> None:
    split = make_split(sample, SplitConfig.of("random"))
    biases, factors = _bias_then_als(split, k=6, reg=1.2)
    assert biases < 0.95 * sample.rating.std()
    assert factors < 0.95 * biases
    assert factors > 0.67  # the noise floor: below it the validation ratings have leaked


def _bias_then_als(split: Split, k: int, reg: float) -> tuple[float, float]:
    """Validation RMSE of user + item biases, and of alternating least squares on what they leave."""
    n = (split.ratings.n_users, split.ratings.n_items)
    u, i, y = split.part(split.train)
    vu, vi, vy = split.part(split.valid)
    bias = [np.zeros(n[0]), np.zeros(n[1])]
    for _ in range(10):
        for side, (mine, other) in enumerate(((u, i), (i, u))):
            rest = y - y.mean() - bias[1 - side][other]
            bias[side] = np.bincount(mine, rest, n[side]) / (np.bincount(mine, minlength=n[side]) + 5)
    start = y.mean() + bias[0][vu] + bias[1][vi]
    rest = y - y.mean() - bias[0][u] - bias[1][i]
    rng = np.random.default_rng(0)
    W = [rng.normal(0, 0.1, (n[0], k)), rng.normal(0, 0.1, (n[1], k))]
    for _ in range(6):
        for side, (mine, other) in enumerate(((u, i), (i, u))):
            for row in range(n[side]):
                at = np.flatnonzero(mine == row)
                X = W[1 - side][other[at]]  # (n of this row, k)
                W[side][row] = np.linalg.solve(X.T @ X + reg * np.sqrt(len(at)) * np.eye(k), X.T @ rest[at])
    fitted = np.clip(start + np.einsum("nk,nk->n", W[0][vu], W[1][vi]), 1, 5)
    return float(np.sqrt(np.mean((start - vy) ** 2))), float(np.sqrt(np.mean((fitted - vy) ** 2)))
