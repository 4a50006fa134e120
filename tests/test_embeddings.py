"""The space of movies, its components, lines and neighbours: against scikit-learn, brute force and the definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.decomposition import PCA

from cfcore.embeddings import (
    METRICS,
    Space,
    fit_pca,
    liked_centre,
    line_between,
    make_space,
    neighbours,
    project,
    trajectories,
)


def cloud(m: int = 200, k: int = 12, seed: int = 0, shift: float = 3.0) -> np.ndarray:
    """Vectors with a centre away from 0 and a different spread in every direction."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(k, k)))
    return ((rng.normal(size=(m, k)) * np.linspace(3, 0.2, k)) @ turn + shift).astype(np.float32)


def matrices(least_rows: int = 3) -> st.SearchStrategy[np.ndarray]:
    """Small matrices of floats, with many equal and zero rows among them."""
    shapes = st.tuples(st.integers(least_rows, 12), st.integers(1, 5))
    values = st.sampled_from([0.0, 0.0, 1.0, -1.0, 0.5]) | st.floats(-100, 100, width=32)
    return shapes.flatmap(lambda shape: arrays.arrays(np.float32, shape, elements=values))


# Space


def test_a_space_keeps_the_trained_movies_and_knows_which_they_are() -> None:
    factors = np.arange(24, dtype=np.float32).reshape(8, 3)
    factors[2], factors[5, 1] = np.nan, np.inf
    space = make_space(factors)
    assert space.item_idx.tolist() == [0, 1, 3, 4, 6, 7]
    assert np.array_equal(space.vectors, factors[[0, 1, 3, 4, 6, 7]])
    assert space.rows_of([0, 3, 7, 2, 5, 99]).tolist() == [0, 2, 5, -1, -1, -1]
    assert space.rows_of(4).tolist() == [3]


@pytest.mark.parametrize(
    ("factors", "why"),
    [
        (np.zeros((9, 0)), "no vector"),
        (np.full((9, 4), np.nan), "only 0 movies have a usable vector"),
        (np.vstack([np.zeros((2, 4)), np.full((9, 4), np.inf)]), "only 2 movies"),
    ],
)
def test_a_model_without_enough_vectors_makes_no_space(factors: np.ndarray, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        make_space(factors)


def test_a_person_stands_at_the_weighted_mean_of_what_they_liked() -> None:
    vectors = cloud()
    assert liked_centre(vectors, [4]) == pytest.approx(vectors[4])
    assert liked_centre(vectors, [4, 9]) == pytest.approx((vectors[4] + vectors[9]) / 2, rel=1e-6)
    assert liked_centre(vectors, [4, 9], [3, 1]) == pytest.approx(0.75 * vectors[4] + 0.25 * vectors[9], rel=1e-6)
    for rows, weights in (([], None), ([4], [0.0]), ([4, 9], [1.0]), ([4, 9], [2.0, -1.0])):
        with pytest.raises(ValueError, match="movie"):
            liked_centre(vectors, rows, weights)


# Principal components


@pytest.mark.parametrize("shape", [(321, 50), (60, 60), (20, 50), (40, 1), (1682, 102)])
def test_pca_agrees_with_scikit_learn_up_to_sign(shape: tuple[int, int]) -> None:
    vectors = cloud(*shape)
    ours, theirs = fit_pca(vectors), PCA(svd_solver="full").fit(vectors.astype(np.float64))
    real = theirs.explained_variance_ratio_ > 1e-12  # with more factors than movies the last has no direction
    assert len(ours.components) == min(shape)
    assert ours.mean == pytest.approx(theirs.mean_)
    assert ours.shares == pytest.approx(theirs.explained_variance_ratio_, abs=1e-12)
    same = np.sum(ours.components * theirs.components_, axis=1)  # cosines: 1 or -1
    assert np.abs(same[real]) == pytest.approx(1, abs=1e-9)
    scores = theirs.transform(vectors.astype(np.float64)) * np.sign(same)
    assert ours.scores[:, real] == pytest.approx(scores[:, real], abs=1e-6)


@given(matrices())
@settings(deadline=None)
def test_components_are_orthonormal_ordered_and_turned_the_same_way(vectors: np.ndarray) -> None:
    pca = fit_pca(vectors)
    c = min(vectors.shape)
    assert pca.components @ pca.components.T == pytest.approx(np.eye(c), abs=1e-9)
    assert (np.diff(pca.shares) <= 1e-12).all()
    assert (pca.shares >= 0).all()
    varies = np.ptp(vectors, axis=0).any()
    assert pca.shares.sum() == pytest.approx(1 if varies else 0, abs=1e-9)
    largest = np.abs(pca.components).argmax(axis=1)
    assert (pca.components[np.arange(c), largest] > 0).all()


@given(matrices())
@settings(deadline=None)
def test_all_components_together_lose_nothing(vectors: np.ndarray) -> None:
    pca = fit_pca(vectors)
    size = max(1.0, float(np.abs(vectors).max()))
    assert pca.scores @ pca.components + pca.mean == pytest.approx(vectors, abs=1e-6 * size)
    assert project(pca, vectors) == pytest.approx(pca.scores, abs=1e-9 * size)


def test_movies_that_are_all_the_same_make_a_point_and_no_error() -> None:
    pca = fit_pca(np.full((5, 3), 2.5, dtype=np.float32))
    assert not pca.scores.any()
    assert not pca.shares.any()


# Lines


@given(matrices(), st.data())
@settings(deadline=None)
def test_a_line_is_0_and_1_at_the_centres_of_its_ends(vectors: np.ndarray, data: st.DataObject) -> None:
    rows = st.lists(st.integers(0, len(vectors) - 1), min_size=1, max_size=3, unique=True)
    left, right = data.draw(rows), data.draw(rows)
    a, b = (vectors[ends].astype(np.float64).mean(axis=0) for ends in (left, right))
    if np.linalg.norm(b - a) <= 1e-9 * max(np.linalg.norm(a), np.linalg.norm(b), 1e-20):
        return  # as good as the same centre
    scores = line_between(vectors, left, right)
    room = 1e-9 * max(1.0, float(np.abs(vectors).max() / np.linalg.norm(b - a)) ** 2)
    assert scores[left].mean() == pytest.approx(0, abs=room)
    assert scores[right].mean() == pytest.approx(1, abs=room)
    assert line_between(vectors, right, left) == pytest.approx(1 - scores, abs=10 * room)


def test_a_line_measures_along_itself_only() -> None:
    vectors = np.array([[0, 0], [2, 0], [1, 7], [-1, -3], [4, 0]], dtype=np.float32)
    assert line_between(vectors, [0], [1]) == pytest.approx([0, 1, 0.5, -0.5, 2])
    assert line_between(vectors, [0, 0, 0], [1]) == pytest.approx([0, 1, 0.5, -0.5, 2])  # a movie named twice is one


@pytest.mark.parametrize(
    ("left", "right", "why"),
    [([0], [0], "same centre"), ([0, 1], [1, 0], "same centre"), ([2], [3], "same centre"), ([], [1], "at least one")],
)
def test_a_line_needs_two_different_ends(left: list[int], right: list[int], why: str) -> None:
    vectors = np.array([[0.1, 0.2], [2, 0], [0.3, 7], [0.3, 7]], dtype=np.float32)
    with pytest.raises(ValueError, match=why):
        line_between(vectors, left, right)


# Neighbours


def brute_force(vectors: np.ndarray, row: int, metric: str) -> list[tuple[float, int]]:
    """Every other movie with its distance, nearest first: one pair at a time, in Python's own float64."""
    found = []
    for other in range(len(vectors)):
        if other == row:
            continue
        x, y = [float(v) for v in vectors[row]], [float(v) for v in vectors[other]]
        if metric == "euclidean":
            found.append((math.sqrt(math.fsum((a - b) ** 2 for a, b in zip(x, y, strict=True))), other))
        else:
            size = math.sqrt(math.fsum(a * a for a in x)) * math.sqrt(math.fsum(b * b for b in y))
            found.append((-math.fsum(a * b for a, b in zip(x, y, strict=True)) / size if size else 0.0, other))
    return sorted(found)


@pytest.mark.parametrize("metric", METRICS)
def test_neighbours_agree_with_brute_force(metric) -> None:
    vectors = cloud(shift=0.2)
    for row in (0, 17, 199):
        expected = brute_force(vectors, row, metric)
        found = neighbours(vectors, row, len(vectors), metric)
        assert found.rows.tolist() == [other for _, other in expected]
        sign = -1 if metric == "cosine" else 1
        assert found.values == pytest.approx([sign * value for value, _ in expected], abs=1e-12)
        assert np.array_equal(neighbours(vectors, row, 10, metric).rows, found.rows[:10])


@given(matrices(least_rows=2), st.sampled_from(METRICS), st.data())
@settings(deadline=None)
def test_neighbours_are_in_order_without_the_movie_itself(vectors: np.ndarray, metric, data: st.DataObject) -> None:
    row = data.draw(st.integers(0, len(vectors) - 1))
    found = neighbours(vectors, row, 50, metric)
    assert sorted(found.rows) == [other for other in range(len(vectors)) if other != row]
    steps = np.diff(found.values) * (-1 if metric == "cosine" else 1)
    assert (steps >= 0).all()
    assert (np.diff(found.rows)[steps == 0] > 0).all()  # ties in the order of rows
    assert (np.abs(found.values) <= 1).all() or metric == "euclidean"
    for one in range(len(vectors)):  # equal vectors are equally near, to the last bit
        same = [at for at, other in enumerate(found.rows) if (vectors[other] == vectors[one]).all()]
        assert len({found.values[at] for at in same}) <= 1


@given(matrices(), st.floats(0.125, 64, width=16))
@settings(max_examples=50, deadline=None)
def test_length_means_nothing_to_cosine_and_all_to_distance(vectors: np.ndarray, factor: float) -> None:
    longer = vectors.astype(np.float64) * factor
    before, after = neighbours(vectors, 0, 50), neighbours(longer, 0, 50)
    assert np.sort(after.values) == pytest.approx(np.sort(before.values), abs=1e-9)
    before, after = neighbours(vectors, 0, 50, "euclidean"), neighbours(longer, 0, 50, "euclidean")
    assert after.values == pytest.approx(factor * before.values, rel=1e-9)


def test_neighbours_can_be_chosen_among_some() -> None:
    vectors = cloud()
    some = np.arange(0, 200, 7)
    found = neighbours(vectors, 14, 5, "euclidean", among=some)
    everyone = neighbours(vectors, 14, 200, "euclidean")
    assert found.rows.tolist() == [row for row in everyone.rows if row % 7 == 0][:5]
    assert len(neighbours(vectors, 14, 5, among=[14]).rows) == 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [((200,), "rows run from 0 to 199"), ((-1,), "rows run"), ((0, 0), "at least 1"), ((0, 5, "manhattan"), "cosine")],
)
def test_neighbours_say_what_they_cannot_do(arguments: tuple, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        neighbours(cloud(), *arguments)


# Trajectories


def flight(space: Space) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three epochs of every second movie, growing out of a point into where they are."""
    item_idx = space.item_idx[::2]
    last = space.vectors[::2].astype(np.float16)
    return np.array([0, 3, 5]), item_idx, np.stack([np.zeros_like(last), last / np.float16(2), last])


def test_frames_are_every_epoch_on_the_axes_of_the_last() -> None:
    space = Space(item_idx=np.arange(200) * 3, vectors=cloud())
    pca = fit_pca(space.vectors)
    epochs, item_idx, factors = flight(space)
    frames = trajectories(pca, (2, 0), epochs, item_idx, factors, space)
    assert frames.epochs.tolist() == [0, 3, 5]
    assert np.array_equal(frames.item_idx, item_idx)
    assert frames.xy.shape == (3, 100, 2)
    assert frames.xy[-1] == pytest.approx(pca.scores[::2][:, [2, 0]], abs=0.02)  # float16
    assert frames.xy[0] == pytest.approx(np.tile(-pca.mean @ pca.components[[2, 0]].T, (100, 1)))
    assert frames.xy[1] == pytest.approx((frames.xy[0] + frames.xy[2]) / 2, abs=0.01)  # a straight path stays straight


def test_movies_outside_the_space_and_epochs_beyond_float16_are_left_out() -> None:
    space = Space(item_idx=np.arange(10, 110), vectors=cloud(100))
    epochs, item_idx, factors = flight(space)
    factors[1, 0, 0] = np.inf
    frames = trajectories(fit_pca(space.vectors), (0, 1), epochs, np.append(item_idx[:-1], 500), factors, space)
    assert frames.epochs.tolist() == [0, 5]
    assert np.array_equal(frames.item_idx, item_idx[:-1])
    assert np.isfinite(frames.xy).all()


def test_a_long_flight_is_thinned_and_keeps_its_ends() -> None:
    space = Space(item_idx=np.arange(100), vectors=cloud(100))
    factors = np.random.default_rng(0).normal(size=(200, 100, 12)).astype(np.float16)
    pca, epochs = fit_pca(space.vectors), np.arange(200)
    frames = trajectories(pca, (0, 1), epochs, space.item_idx, factors, space, 60)
    assert len(frames.epochs) == 60
    assert (frames.epochs[0], frames.epochs[-1]) == (0, 199)
    whole = trajectories(pca, (0, 1), epochs, space.item_idx, factors, space)
    assert np.array_equal(frames.xy, whole.xy[frames.epochs])
    some = trajectories(pca, (0, 1), epochs, space.item_idx, factors, space, only=np.array([4, 2, 500]))
    assert some.item_idx.tolist() == [2, 4]
    assert np.array_equal(some.xy, whole.xy[:, [2, 4]])


def test_a_run_without_snapshots_says_so() -> None:
    space = Space(item_idx=np.arange(100), vectors=cloud(100))
    nothing = np.zeros(0, int), np.zeros(0, int), np.zeros((0, 0, 0), np.float16)
    with pytest.raises(ValueError, match="no picture of its epochs"):
        trajectories(fit_pca(space.vectors), (0, 1), *nothing, space)
    with pytest.raises(ValueError, match="no component 13"):
        trajectories(fit_pca(space.vectors), (0, 12), *flight(space), space)
