"""Recovery: against scikit-learn's cross-validated ridge, spaces whose content is known, and pure noise."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cross_decomposition import CCA
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict

from cfcore import approaches
from cfcore.approaches import make_config
from cfcore.embeddings import make_space, recovery, truth_of
from cfcore.ratings import Ratings, Split


def tastes(n: int = 321, t: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, t))


def turned(Y: np.ndarray, k: int, noise: float, seed: int = 1) -> np.ndarray:
    """A space of ``k`` columns in which the tastes lie turned, stretched and moved, under noise."""
    rng = np.random.default_rng(seed)
    return 5 + Y @ rng.normal(size=(Y.shape[1], k)) + noise * rng.normal(size=(len(Y), k))


def test_r2_is_that_of_scikit_learns_ridge() -> None:
    """Same model, other code: RidgeCV chooses its penalty by leave-one-out too; the folds are drawn otherwise."""
    Y = tastes()
    X = turned(Y, 50, noise=3.0)
    ours = recovery(X, Y).r2
    X = X - X.mean(axis=0)
    unit = np.square(np.linalg.svd(X, compute_uv=False)).mean()
    ridge = RidgeCV(alphas=unit * np.logspace(-4, 4, 17), alpha_per_target=True)
    theirs = []
    for seed in range(4):
        read = cross_val_predict(ridge, X, Y, cv=KFold(5, shuffle=True, random_state=seed))
        theirs.append(1 - np.square(Y - read).sum(axis=0) / np.square(Y - Y.mean(axis=0)).sum(axis=0))
    assert 0.5 < ours.min() < 0.95
    assert ours == pytest.approx(np.mean(theirs, axis=0), abs=0.02)


def test_canonical_correlations_are_those_of_scikit_learn_where_there_is_room() -> None:
    """With many more rows than columns, held-out and in-sample correlations are nearly the same."""
    Y = tastes(3000, 3)
    X = np.column_stack([Y[:, 0], Y[:, 1] + tastes(3000, 1, 5)[:, 0], tastes(3000, 4, 6)])
    theirs = CCA(n_components=3).fit(X, Y).transform(X, Y)
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(theirs[0].T, theirs[1].T, strict=True)]
    found = recovery(X, Y).canonical
    assert found[:2] == pytest.approx(expected[:2], abs=0.03)
    assert expected[:2] == pytest.approx([1, 0.5**0.5], abs=0.03)
    assert abs(found[2]) < 0.1


def test_a_turned_and_stretched_copy_of_the_truth_is_the_truth() -> None:
    Y = tastes()
    for k in (4, 12, 50):
        found = recovery(turned(Y, k, noise=0), Y)
        assert found.r2 == pytest.approx(1, abs=1e-3)
        assert found.canonical == pytest.approx(1, abs=1e-3)


def test_noise_of_fifty_columns_recovers_nothing() -> None:
    """The whole point: a plain fit would claim R2 of 50 / 321 and a first canonical correlation of about a half."""
    found = [recovery(tastes(321, 50, seed), tastes(321, 6, 100 + seed)) for seed in range(4)]
    assert np.mean([each.r2 for each in found]) < 0.01
    assert max(each.r2.max() for each in found) < 0.06
    assert np.abs(np.mean([each.canonical[0] for each in found])) < 0.12


def test_half_a_truth_is_half_found() -> None:
    Y = tastes()
    found = recovery(turned(Y[:, :2], 10, noise=0.1), Y)
    assert (found.r2[:2] > 0.95).all()
    assert (found.r2[2:] < 0.05).all()
    assert (found.canonical[:2] > 0.95).all()
    assert (np.abs(found.canonical[2:]) < 0.3).all()


def test_a_space_narrower_than_the_truth_has_as_many_canonical_correlations_as_columns() -> None:
    Y = tastes()
    found = recovery(Y[:, :2] @ np.array([[1.0, 2.0], [-1.0, 1.0]]), Y)
    assert found.r2.shape == (4,)
    assert found.canonical == pytest.approx([1, 1], abs=1e-3)


def test_turning_and_stretching_the_space_changes_nothing() -> None:
    Y = tastes()
    X = turned(Y, 20, noise=2.0)
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(20, 20)))
    one, other = recovery(X, Y), recovery(-7 * X @ turn + 3, Y)
    assert other.r2 == pytest.approx(one.r2)
    assert np.abs(other.canonical) == pytest.approx(np.abs(one.canonical))


def test_vectors_that_are_all_the_same_recover_nothing() -> None:
    found = recovery(np.ones((60, 5)), tastes(60))
    assert (found.r2 < 0.01).all()
    assert np.isfinite(found.canonical).all()


def test_what_cannot_be_measured_is_refused() -> None:
    for X, Y, why in (
        (tastes(19), tastes(19), "too few"),
        (tastes(30), tastes(31), "must be equal"),
        (tastes(30), np.ones((30, 2)), "same for all"),
    ):
        with pytest.raises(ValueError, match=why):
            recovery(X, Y)


def test_the_truth_is_that_of_the_movies_and_people_asked_for(sample: Ratings) -> None:
    movies = truth_of(sample, np.array([5, 2]))
    assert movies.names == (*sample.truth["taste_names"], "quality")
    assert np.array_equal(movies.values[:, :-1], sample.truth["item_tastes"][[5, 2]])
    assert np.array_equal(movies.values[:, -1], sample.truth["item_quality"][[5, 2]])
    people = truth_of(sample, np.array([9]), "users")
    assert people.names[-1] == "generosity"
    assert np.array_equal(people.values[0, :-1], sample.truth["user_tastes"][9])


def test_real_ratings_have_no_known_truth(small_split: Split) -> None:
    with pytest.raises(ValueError, match="are not known"):
        truth_of(small_split.ratings, np.arange(3))


def test_a_trained_model_has_found_the_tastes_and_an_untrained_one_has_not(sample_split: Split) -> None:
    def found(**settings):
        trained = approaches.train(sample_split, make_config("scratch", embedding_size=8, **settings))
        space = make_space(trained.item_factors)
        truth = truth_of(sample_split.ratings, space.item_idx)
        return dict(zip(truth.names, recovery(space.vectors, truth.values).r2, strict=True))

    trained, untrained = found(learning_rate=10.0, epochs=200), found(learning_rate=1e-3, epochs=1)
    assert min(trained.values()) > 0.2
    assert max(untrained.values()) < 0.1
