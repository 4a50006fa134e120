"""What the article's model learns of real movies: one training on MovieLens 100K, looked at from every side."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from cfcore.embeddings import (
    Facts,
    Space,
    bias_table,
    describe_axis,
    film_facts,
    fit_pca,
    make_space,
    neighbours,
    trajectories,
)
from cfcore.ratings import Split
from cfcore.training import Trained

TRILOGY = ("Empire Strikes Back, The (1980)", "Return of the Jedi (1983)")
INDIANA_JONES = ("Raiders of the Lost Ark (1981)", "Indiana Jones and the Last Crusade (1989)")


@pytest.fixture(scope="module")
def split(article_split: Split) -> Split:
    return article_split


@pytest.fixture(scope="module")
def trained(article_dot: Trained) -> Trained:
    return article_dot


@pytest.fixture(scope="module")
def space(trained: Trained) -> Space:
    return make_space(trained.item_factors)


@pytest.fixture(scope="module")
def facts(split: Split, space: Space, trained: Trained) -> Facts:
    return film_facts(split, space, trained.item_bias)


def row_of(title: str, split: Split, space: Space) -> int:
    (item_idx,) = np.flatnonzero(split.ratings.items.title == title)
    return int(space.rows_of(item_idx)[0])


def titles(rows: np.ndarray, split: Split, space: Space) -> list[str]:
    return list(split.ratings.items.title[space.item_idx[rows]])


def test_only_movies_with_a_training_rating_are_in_the_space(split: Split, space: Space) -> None:
    assert np.array_equal(space.item_idx, np.flatnonzero(split.seen_items))
    assert len(space) < split.ratings.n_items  # a random fifth held out takes some movies' only rating


def test_star_wars_is_near_its_trilogy_and_indiana_jones(split: Split, space: Space) -> None:
    nearest = titles(neighbours(space.vectors, row_of("Star Wars (1977)", split, space)).rows, split, space)
    assert len(set(nearest) & {*TRILOGY, *INDIANA_JONES}) >= 2
    assert set(TRILOGY) <= set(nearest[:5])


def test_neighbours_are_those_of_brute_force_in_float64(split: Split, space: Space) -> None:
    row = row_of("Star Wars (1977)", split, space)
    x = space.vectors.astype(np.float64)
    cosines = [x[row] @ each / np.sqrt((x[row] @ x[row]) * (each @ each)) for each in x]
    distances = [np.sqrt(((x[row] - each) ** 2).sum()) for each in x]
    answers = neighbours(space.vectors, row, 10, "cosine"), neighbours(space.vectors, row, 10, "euclidean")
    for found, values, order in zip(answers, (cosines, distances), (-1, 1), strict=True):
        expected = sorted((order * value, at) for at, value in enumerate(values) if at != row)[:10]
        assert found.rows.tolist() == [at for _, at in expected]
        assert order * found.values == pytest.approx([value for value, _ in expected], abs=1e-12)


def test_pca_is_scikit_learns(space: Space) -> None:
    ours, theirs = fit_pca(space.vectors), PCA(svd_solver="full").fit(space.vectors.astype(np.float64))
    assert ours.shares == pytest.approx(theirs.explained_variance_ratio_)
    signs = np.sign(np.sum(ours.components * theirs.components_, axis=1))
    assert ours.components == pytest.approx(theirs.components_ * signs[:, None], abs=1e-7)
    assert ours.scores == pytest.approx(theirs.transform(space.vectors.astype(np.float64)) * signs, abs=1e-6)


def test_the_first_axis_is_named_after_how_well_movies_are_rated(space: Space, facts: Facts) -> None:
    pca = fit_pca(space.vectors)
    best_known = np.argsort(-facts.n_ratings)[:300]
    name, r = describe_axis(pca.scores[:, 0], facts, among=best_known).follows[0]
    assert (name, abs(r) > 0.7) == ("mean rating", True)


def test_what_biases_leave_over_is_what_the_factors_carry(
    split: Split, space: Space, facts: Facts, trained: Trained
) -> None:
    """The part of a gap called taste goes down as the dot products of a movie with its raters go up."""
    users, items, _ = split.part(split.train)
    products = np.einsum("nk,nk->n", trained.user_factors[users], trained.item_factors[items])
    carried = np.bincount(items, products, split.ratings.n_items)[space.item_idx] / facts.n_ratings
    known = facts.n_ratings >= 20
    assert np.corrcoef(bias_table(facts).parts[known, 2], carried[known])[0, 1] < -0.5


def test_the_flight_ends_on_the_map(space: Space, trained: Trained) -> None:
    pca, kept = fit_pca(space.vectors), trained.snapshots
    frames = trajectories(pca, (0, 1), kept.epochs, kept.item_idx, kept.factors, space)
    assert frames.epochs[-1] == len(trained.history)
    assert frames.xy[-1] == pytest.approx(pca.scores[space.rows_of(frames.item_idx)][:, :2], abs=0.01)
    spread = np.square(frames.xy).mean(axis=(1, 2))
    assert spread[-1] > 10 * spread[0]  # the beginning is a knot around the middle
