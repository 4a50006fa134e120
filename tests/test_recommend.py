"""Top-N and its reasons against plain loops and hand-made cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from cfcore.models import DotModel
from cfcore.ratings import Ratings, Split
from cfcore.recommend import (
    favourite_genres,
    liked_by,
    nearest_liked,
    person_among_films,
    rated_by,
    terms,
    top_n,
    unseen,
    well_known,
)
from tests.test_ranking import random_model, random_net


def counts_of(split: Split) -> np.ndarray:
    return np.bincount(split.ratings.item_idx[split.train], minlength=split.ratings.n_items)


@pytest.mark.parametrize("make", [random_model, random_net])
def test_the_best_unseen_films_by_a_full_sort(make, sample_split: Split) -> None:
    model, ratings, user = make(sample_split), sample_split.ratings, 11
    known = ratings.item_idx[ratings.user_idx == user]
    films = top_n(model, user, unseen(counts_of(sample_split), known), n=12)
    every = np.arange(ratings.n_items)
    predictions = model.predict(np.full(len(every), user), every)
    predictions[known] = -np.inf
    predictions[~sample_split.seen_items] = -np.inf
    np.testing.assert_array_equal(films.item_idx, np.argsort(-predictions, kind="stable")[:12])
    np.testing.assert_allclose(films.prediction, np.sort(predictions)[::-1][:12], atol=1e-5)


def test_only_films_with_enough_training_ratings_are_recommended(sample_split: Split) -> None:
    counts = counts_of(sample_split)
    np.testing.assert_array_equal(unseen(counts, np.zeros(0, int), 40), np.flatnonzero(counts >= 40))
    assert len(unseen(counts, np.zeros(0, int), 0)) == int(sample_split.seen_items.sum())


def test_fewer_films_than_asked_for_are_no_error(sample_split: Split) -> None:
    model = random_model(sample_split)
    assert len(top_n(model, 0, np.array([4, 9]), n=10).item_idx) == 2
    assert len(top_n(model, 0, np.zeros(0, int), n=10).item_idx) == 0


def test_a_users_ratings_come_worst_miss_first_with_both_parts_marked(sample_split: Split) -> None:
    model, ratings, user = random_model(sample_split), sample_split.ratings, 3
    found = rated_by(model, sample_split, user)
    assert sorted(found.item_idx) == sorted(ratings.item_idx[ratings.user_idx == user])
    misses = np.abs(found.prediction - found.rating)
    assert (np.diff(misses) <= 0).all()
    valid = sample_split.valid[ratings.user_idx[sample_split.valid] == user]
    assert set(found.item_idx[found.held_out]) == set(ratings.item_idx[valid])
    given = dict(zip(ratings.item_idx[ratings.user_idx == user], ratings.rating[ratings.user_idx == user], strict=True))
    assert [given[item] for item in found.item_idx] == list(found.rating)


@pytest.mark.parametrize("y_range", [None, (1.0, 5.0)])
def test_the_terms_add_up_to_the_prediction(y_range: tuple[float, float] | None, sample_split: Split) -> None:
    model = replace(random_model(sample_split, k=9), y_range=y_range)
    user, item = 5, 17
    found = terms(model, user, item, most=4)
    assert found.names[:3] == ("offset", "user bias", "movie bias")
    assert found.names[-1] == "5 other factors"
    products = model.user_factors[user].astype(float) * model.item_factors[item]
    largest = np.argsort(-np.abs(products))[:4]
    assert found.names[3:7] == tuple(f"factor {factor + 1}" for factor in largest)
    np.testing.assert_allclose(found.values[3:7], products[largest])
    assert found.values.sum() == pytest.approx(found.score)
    squeezed = found.score if y_range is None else 1 + 4 / (1 + np.exp(-found.score))
    assert found.prediction == pytest.approx(squeezed, abs=1e-5)


def test_a_model_without_biases_has_no_terms_for_them() -> None:
    model = DotModel(user_factors=np.array([[1.0, 2.0]]), item_factors=np.array([[3.0, -1.0]]))
    found = terms(model, 0, 0)
    assert found.names == ("factor 1", "factor 2")
    np.testing.assert_array_equal(found.values, [3.0, -2.0])


def test_the_nearest_liked_films_are_those_of_scikit_learns_cosine() -> None:
    random = np.random.default_rng(2)
    factors = random.normal(size=(50, 7)).astype(np.float32)
    films, liked = np.array([3, 10, 11]), np.array([10, 20, 30, 40, 5])
    found, cosines = nearest_liked(factors, films, liked, n=2)
    expected = cosine_similarity(factors[films].astype(float), factors[liked].astype(float))
    for row, film in enumerate(films):
        order = [column for column in np.argsort(-expected[row]) if liked[column] != film][:2]
        np.testing.assert_array_equal(found[row], liked[order])
        np.testing.assert_allclose(cosines[row], expected[row, order], atol=1e-12)


def test_a_film_that_was_never_trained_is_like_none() -> None:
    factors = np.array([[1.0, 0.0], [np.nan, np.nan], [0.0, 0.0], [1.0, 1.0]])
    found, cosines = nearest_liked(factors, np.array([0]), np.array([1, 2, 3]), n=3)
    assert found[0, 0] == 3
    assert cosines[0, 0] == pytest.approx(0.5**0.5)
    assert np.isnan(cosines[0, 1:]).all()
    assert nearest_liked(factors, np.array([0]), np.zeros(0, int))[0].shape == (1, 0)


def test_who_likes_nothing_has_the_half_they_rated_best() -> None:
    items = np.array([7, 8, 9])
    np.testing.assert_array_equal(liked_by(items, np.array([4.0, 2.0, 5.0]), (1, 5)), [9, 7])
    np.testing.assert_array_equal(liked_by(items, np.array([1.0, 2.0, 3.0]), (1, 5)), [9, 8])


def test_a_person_stands_in_the_middle_of_the_films_they_liked() -> None:
    vectors = np.array([[1.0, 0.0], [3.0, 4.0], [np.nan, np.nan], [9.0, 9.0]])
    rated = np.array([0, 1, 2, 3])
    found = person_among_films(vectors, rated, np.array([4.0, 5.0, 5.0, 3.0]), (1, 5))  # film 2 was never trained
    assert found is not None
    np.testing.assert_allclose(found, [2.0, 2.0])
    assert person_among_films(vectors, rated[2:3], np.array([5.0]), (1, 5)) is None
    assert person_among_films(vectors, rated[:0], np.zeros(0), (1, 5)) is None


def test_favourite_genres_by_hand(sample: Ratings) -> None:
    genres = np.zeros_like(sample.items.genres)
    genres[:, 0], genres[0:2, 1], genres[2:4, 2] = True, True, True
    users = np.repeat([0, 1], 4).astype(np.int32)
    ratings = replace(
        sample,
        items=replace(sample.items, genres=genres),
        user_idx=users,
        item_idx=np.tile([0, 1, 2, 3], 2).astype(np.int32),
        rating=np.array([5, 5, 1, 1, 3, 3, 3, 3], np.float32),
    )
    found = favourite_genres(ratings)
    assert found[0] == sample.items.genre_names[1]  # above their mean; what every film is says nothing
    assert found[1] == ""
    assert found[2] == ""


def test_the_taste_of_simulated_users_shows_in_their_genres(sample: Ratings) -> None:
    """Who was made to like the dark names Horror far more often than who was made to dislike it."""
    dark = sample.truth["user_tastes"][:, list(sample.truth["taste_names"]).index("dark")]
    horror = np.array(["Horror" in found for found in favourite_genres(sample)])
    assert horror[dark > np.quantile(dark, 0.8)].mean() > 3 * horror[dark < np.quantile(dark, 0.2)].mean() + 0.1


def test_films_to_begin_with_are_well_known(sample_split: Split) -> None:
    counts = counts_of(sample_split)
    found = well_known(sample_split, 20)
    assert len(set(found)) == 20
    assert counts[found].min() > np.median(counts)
