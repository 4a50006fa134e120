"""Ranking quality against hand-made cases, scikit-learn's NDCG and a plain loop over every user."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from cfcore import approaches
from cfcore.approaches import fit_baseline, make_config
from cfcore.config import SplitConfig
from cfcore.metrics import Ranking
from cfcore.models import DotModel, Model, NetModel
from cfcore.ranking import AT, first, liked_from, rank_metrics, score_blocks, users_to_ask
from cfcore.ratings import Ratings, Split, make_split
from tests.conftest import make_ratings


def hand_made(train: list[tuple[int, int]], valid: list[tuple[int, int, float]], n_users: int, n_items: int) -> Split:
    """A split with these training pairs (all rated 3) and these validation ratings."""
    triples = [(user, item, 3.0) for user, item in train] + valid
    users, items, stars = (np.array(column) for column in zip(*triples, strict=True))
    base = make_ratings(n_users, n_items, n=2)
    ratings = replace(
        base,
        user_idx=users.astype(np.int32),
        item_idx=items.astype(np.int32),
        rating=stars.astype(np.float32),
        timestamp=None,
    )
    rows = np.arange(len(triples))
    return Split(ratings=ratings, train=rows[: len(train)], valid=rows[len(train) :], how="by hand")


def by_popularity(scores: list[float], n_users: int) -> DotModel:
    """A model that gives everybody the same scores."""
    return DotModel(
        user_factors=np.zeros((n_users, 1), np.float32),
        item_factors=np.zeros((len(scores), 1), np.float32),
        item_bias=np.array(scores, np.float32),
    )


def random_model(split: Split, seed: int = 0, k: int = 4, dtype: Any = np.float32) -> DotModel:
    random = np.random.default_rng(seed)
    n_users, n_items = split.ratings.n_users, split.ratings.n_items
    return DotModel(
        user_factors=random.normal(size=(n_users, k)).astype(dtype),
        item_factors=random.normal(size=(n_items, k)).astype(dtype),
        user_bias=random.normal(size=n_users).astype(dtype),
        item_bias=random.normal(size=n_items).astype(dtype),
        offset=3.0,
    )


def random_net(split: Split, seed: int = 0) -> NetModel:
    random = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    n_users, n_items = split.ratings.n_users, split.ratings.n_items
    return NetModel(
        user_inputs=normal(n_users, 3),
        item_inputs=normal(n_items, 4),
        weights=(normal(7, 6), normal(6, 5), normal(5, 1)),
        biases=(normal(6), normal(5), normal(1)),
        n_factors=(3, 4),
        y_range=(0.5, 5.5),
    )


def one_by_one(model: Model, split: Split, k: int = 10) -> Ranking:
    """The definitions in docs/ranking.md, read aloud: a loop over users, sets, and Python's own sort."""
    ratings = split.ratings
    threshold = liked_from(ratings.scale)
    trained = {int(item) for item in ratings.item_idx[split.train]}
    counts = np.bincount(ratings.item_idx[split.train], minlength=ratings.n_items)
    values: dict[str, list[float]] = {name: [] for name in ("precision", "recall", "ndcg", "hit_rate")}
    shown: list[int] = []
    for user in range(ratings.n_users):
        own = split.valid[ratings.user_idx[split.valid] == user]
        relevant = {int(row) for row in ratings.item_idx[own[ratings.rating[own] >= threshold]]}
        if not relevant:
            continue
        seen = {int(item) for item in ratings.item_idx[split.train[ratings.user_idx[split.train] == user]]}
        candidates = np.array(sorted(trained - seen))
        predictions = model.predict(np.full(len(candidates), user), candidates)
        best = sorted(zip(-predictions, candidates, strict=True))[:k]
        hits = [int(item) in relevant for _, item in best]
        gain = sum(1 / np.log2(rank + 2) for rank, hit in enumerate(hits) if hit)
        perfect = sum(1 / np.log2(rank + 2) for rank in range(min(k, len(relevant))))
        values["precision"].append(sum(hits) / k)
        values["recall"].append(sum(hits) / len(relevant))
        values["ndcg"].append(gain / perfect)
        values["hit_rate"].append(float(any(hits)))
        shown += [int(item) for _, item in best]
    return Ranking(
        **{name: float(np.mean(each)) for name, each in values.items()},
        coverage=len(set(shown)) / len(trained),
        mean_popularity=float(np.mean(counts[shown])),
        n_users=len(values["ndcg"]),
    )


def measured(model: Model, split: Split, *, k: int = AT, **limits: int) -> Ranking | None:
    return rank_metrics(model, split, users_to_ask(split, model, **limits), k=k)


def assert_same(one: Ranking | None, other: Ranking) -> None:
    assert one is not None
    assert vars(one) == pytest.approx(vars(other), abs=1e-12)


@pytest.mark.parametrize(
    ("scale", "expected"), [((1, 5), 4), ((0.5, 5), 4), ((0, 5), 4), ((1, 10), 7.75), ((0, 100), 75), ((-10, 10), 5)]
)
def test_what_counts_as_liked_follows_the_scale(scale: tuple[float, float], expected: float) -> None:
    assert liked_from(scale) == expected


def test_two_users_by_hand() -> None:
    # Films 0 to 3 in this order for everybody. User 0 trained on film 0 and likes 1 and 3 of the rest (1, 2, 3);
    # user 1 trained on 3, likes 2 only, and dislikes 1.
    split = hand_made(
        [(0, 0), (1, 3), (2, 1), (2, 2)], [(0, 1, 5.0), (0, 3, 4.0), (1, 2, 4.0), (1, 1, 2.0)], n_users=3, n_items=4
    )
    found = measured(by_popularity([4, 3, 2, 1], 3), split, k=2)
    # user 0 is shown 1, 2: one hit at rank 1 of two relevant. User 1 is shown 0, 1: no hit.
    ideal = 1 + 1 / np.log2(3)
    expected = Ranking(
        precision=0.25,
        recall=0.25,
        ndcg=0.5 / ideal,
        hit_rate=0.5,
        coverage=3 / 4,
        mean_popularity=1.0,
        n_users=2,
    )
    assert_same(found, expected)


def test_a_film_that_was_never_trained_cannot_be_recommended_and_counts_as_a_miss() -> None:
    split = hand_made([(0, 0), (1, 1)], [(0, 2, 5.0), (0, 1, 5.0)], n_users=2, n_items=3)
    found = measured(by_popularity([1, 2, 9], 2), split, k=2)
    assert found is not None
    assert (found.recall, found.precision, found.hit_rate) == (0.5, 0.5, 1.0)  # film 1 found, film 2 missed
    assert found.ndcg == pytest.approx(1 / (1 + 1 / np.log2(3)))
    assert found.coverage == 0.5


def test_with_nobody_to_ask_or_a_diverged_model_there_is_no_answer() -> None:
    split = hand_made([(0, 0), (1, 1)], [(0, 1, 2.0)], n_users=2, n_items=2)
    assert measured(by_popularity([1, 2], 2), split) is None
    split = hand_made([(0, 0), (1, 1)], [(0, 1, 5.0)], n_users=2, n_items=2)
    assert measured(by_popularity([1, np.nan], 2), split) is None


def test_equal_predictions_come_in_the_order_of_the_films() -> None:
    scores = np.array([[1.0, 2.0, 2.0, 2.0, 0.0, 2.0], [5.0, 5.0, 5.0, 5.0, 5.0, 5.0]])
    np.testing.assert_array_equal(first(scores, 3), [[1, 2, 3], [0, 1, 2]])
    np.testing.assert_array_equal(first(scores, 8)[:, :6], [[1, 2, 3, 5, 0, 4], [0, 1, 2, 3, 4, 5]])
    few = np.array([[-np.inf, 3.0, -np.inf, -np.inf]])
    np.testing.assert_array_equal(first(few, 2), [[1, -1]])


def test_the_first_k_are_those_of_a_full_stable_sort() -> None:
    random = np.random.default_rng(3)
    scores = random.integers(0, 9, size=(200, 40)).astype(float)  # full of ties
    np.testing.assert_array_equal(first(scores, 10), np.argsort(-scores, axis=1, kind="stable")[:, :10])


@pytest.mark.parametrize("make", [random_model, random_net])
def test_scores_put_films_in_the_order_of_their_predictions(make, sample_split: Split) -> None:
    model = make(sample_split)
    users, items = np.arange(0, 600, 7), np.arange(3, 300, 2)
    blocks = list(score_blocks(model, users, items))
    np.testing.assert_array_equal(np.concatenate([block for block, _ in blocks]), users)
    scores = np.concatenate([scores for _, scores in blocks])
    for user, row in zip(users, scores, strict=True):
        predictions = model.predict(np.full(len(items), user), items)
        steps = np.diff(predictions[np.argsort(row)])
        assert steps.min() > -1e-5


@pytest.mark.parametrize("make", [random_model, random_net])
def test_a_plain_loop_over_users_agrees(make, sample_split: Split) -> None:
    model = make(sample_split)
    assert_same(measured(model, sample_split), one_by_one(model, sample_split))


def test_the_bias_baseline_on_real_data_agrees_with_a_plain_loop(real_or_sample: Ratings) -> None:
    split = make_split(real_or_sample, SplitConfig.of("random", seed=3))
    model = fit_baseline("bias", split)
    assert_same(measured(model, split), one_by_one(model, split))


def test_ndcg_is_scikit_learns(sample_split: Split) -> None:
    model = random_model(sample_split)
    ratings = sample_split.ratings
    users, items, stars = sample_split.part(sample_split.valid)
    liked = np.zeros((ratings.n_users, ratings.n_items))
    liked[users[stars >= 4], items[stars >= 4]] = 1
    all_users, all_items = np.divmod(np.arange(liked.size), ratings.n_items)
    scores = model.predict(all_users, all_items).reshape(liked.shape).astype(float)
    train_users, train_items, _ = sample_split.part(sample_split.train)
    scores[train_users, train_items] = -1e9  # no candidates
    scores[:, ~sample_split.seen_items] = -1e9
    asked = liked.any(axis=1)
    found = measured(model, sample_split)
    assert found is not None
    assert found.ndcg == pytest.approx(ndcg_score(liked[asked], scores[asked], k=10), abs=1e-12)


def test_a_perfect_model_gets_full_marks() -> None:
    split = make_split(make_ratings(n=400), SplitConfig.of("random", seed=1))
    users, items, stars = split.part(split.valid)
    truth = np.zeros((split.ratings.n_users, split.ratings.n_items), np.float32)
    truth[users, items] = stars
    model = DotModel(user_factors=truth, item_factors=np.eye(split.ratings.n_items, dtype=np.float32))
    found = measured(model, split)
    assert found is not None
    assert (found.ndcg, found.recall, found.hit_rate) == (1.0, 1.0, 1.0)


def test_too_many_pairs_are_a_seeded_sample_of_users(sample_split: Split) -> None:
    model = random_model(sample_split)
    n_films = int(sample_split.seen_items.sum())
    found = measured(model, sample_split, most_pairs=50 * n_films)
    assert found is not None
    assert found.n_users == 50
    assert found == measured(model, sample_split, most_pairs=50 * n_films)
    everybody = measured(model, sample_split)
    assert everybody is not None
    assert everybody.n_users > 500


def test_every_run_is_measured_and_so_is_the_bias_baseline(sample_split: Split) -> None:
    config = make_config("scratch", epochs=1, embedding_size=3)
    metrics = approaches.train(sample_split, config).metrics
    assert metrics.ranking is not None
    assert_same(metrics.baseline_bias_ranking, one_by_one(fit_baseline("bias", sample_split), sample_split))


def test_a_wide_network_and_the_baseline_are_asked_about_the_same_users(
    sample_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, some = random_net(sample_split), 40
    n_films = int(sample_split.seen_items.sum())
    products = sum(weight.size for weight in net.weights[1:])
    monkeypatch.setattr("cfcore.ranking._MOST_PRODUCTS", some * n_films * products)
    users, items, _ = sample_split.part(sample_split.valid)
    metrics = approaches._measure(sample_split, net, net.predict(users, items), "done")
    asked = users_to_ask(sample_split, net)
    assert len(asked) == some
    bias = fit_baseline("bias", sample_split)
    assert metrics.ranking == rank_metrics(net, sample_split, asked)
    assert metrics.baseline_bias_ranking == rank_metrics(bias, sample_split, asked)
    assert metrics.baseline_bias_ranking != measured(bias, sample_split)


def test_on_real_data_the_bias_baseline_is_far_above_chance(ml100k: Ratings) -> None:
    split = make_split(ml100k, SplitConfig.of("u1"))
    found, chance = measured(fit_baseline("bias", split), split), measured(random_model(split), split)
    assert found is not None
    assert chance is not None
    assert found.ndcg > 4 * chance.ndcg
    assert found.coverage < 0.1 < chance.coverage


def test_a_run_that_diverged_has_no_ranking(sample_split: Split) -> None:
    config = make_config("scratch", epochs=30, learning_rate=1e4)
    trained = approaches.train(sample_split, config)
    assert trained.status == "diverged"
    assert trained.metrics.ranking is None
