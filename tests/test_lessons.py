"""What the lessons compute, against arithmetic that shares no code with it: numpy by hand, closed forms, scans."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cfcore.approaches.scratch import LOOKUPS
from cfcore.lessons import bench, tasks
from cfcore.lessons.corner import Corner, mse_of, pick_corner, start
from cfcore.lessons.lookup import MOST_RATINGS, order_of_sums
from cfcore.ratings import Ratings
from tests.conftest import make_ratings

# A corner of the matrix


@pytest.mark.parametrize("number", [0, 1, 7])
def test_a_corner_is_five_by_six_real_ratings_with_holes(real_or_sample: Ratings, number: int) -> None:
    data = real_or_sample
    corner = pick_corner(data, number)
    assert corner.rating.shape == (5, 6)
    given = {(int(u), int(m)): float(r) for u, m, r in zip(data.user_idx, data.item_idx, data.rating, strict=True)}
    for u, user in enumerate(corner.user_idx):
        for m, item in enumerate(corner.item_idx):
            rating = given.get((int(user), int(item)))
            assert rating == corner.rating[u, m] or (rating is None and math.isnan(corner.rating[u, m]))
    filled = np.isfinite(corner.rating)
    assert np.array_equal(filled, corner.given | corner.hidden)
    assert not (corner.given & corner.hidden).any()
    assert corner.hidden.sum() == 2
    assert (corner.given.sum(axis=0) >= 2).all()
    assert (corner.given.sum(axis=1) >= 2).all()
    assert not filled.all()
    known = np.bincount(data.item_idx, minlength=data.n_items)
    assert known[corner.item_idx].min() >= np.sort(known)[-30]


def test_corners_differ_and_can_be_found_again(sample: Ratings) -> None:
    first, again, other = (pick_corner(sample, number).user_idx.tolist() for number in (0, 0, 1))
    assert first == again != other


@settings(max_examples=25, deadline=None)
@given(users=st.integers(2, 7), items=st.integers(2, 8), share=st.floats(0.1, 1), number=st.integers(0, 5))
def test_the_smallest_data_has_a_corner_too(users: int, items: int, share: float, number: int) -> None:
    n = max(2, int(share * users * items))
    corner = pick_corner(make_ratings(n_users=users, n_items=items, n=n, seed=number), number)
    u, m = corner.rating.shape
    assert 1 <= u <= min(5, users)
    assert m == min(6, items)
    assert corner.given.sum() >= 1
    assert np.isfinite(corner.rating).any(axis=1).all()


# Gradient descent on it


def by_hand(corner: Corner, U: np.ndarray, V: np.ndarray, rate: float, steps: int) -> list[tuple[np.ndarray, ...]]:
    """The oracle: dL/dU[u] = 2/n sum over its ratings of error * V[m], one rating after the other."""
    frames = []
    cells = np.argwhere(corner.given)
    for _ in range(steps + 1):
        dU, dV, loss = np.zeros_like(U), np.zeros_like(V), 0.0
        for u, m in cells:
            error = float(U[u] @ V[m]) - corner.rating[u, m]
            loss += error**2 / len(cells)
            dU[u] += 2 * error * V[m] / len(cells)
            dV[m] += 2 * error * U[u] / len(cells)
        frames.append((U, V, loss, dU, dV))
        U, V = U - rate * dU, V - rate * dV
    return frames


def descend(corner: Corner, U: np.ndarray, V: np.ndarray, rate: float, steps: int) -> dict[str, Any]:
    users, movies = np.nonzero(corner.given)
    inputs = {"users": users, "movies": movies, "ratings": corner.rating[users, movies]}
    return tasks.run({"what": "descend", **inputs, "U": U, "V": V, "rate": rate, "steps": steps})


def test_every_frame_is_gradient_descent_by_hand(sample: Ratings) -> None:
    corner = pick_corner(sample)
    U, V = start(corner)
    found, expected = descend(corner, U, V, 0.2, 30), by_hand(corner, U, V, 0.2, 30)
    assert len(found["loss"]) == 31
    assert not found["diverged"]
    for at, (u, v, loss, _, _) in enumerate(expected):
        np.testing.assert_allclose(found["U"][at], u, rtol=1e-10)
        np.testing.assert_allclose(found["V"][at], v, rtol=1e-10)
        np.testing.assert_allclose(found["predictions"][at], u @ v.T, rtol=1e-10)
        assert found["loss"][at] == pytest.approx(loss, rel=1e-10)
        assert found["loss"][at] == pytest.approx(mse_of(u @ v.T, corner, corner.given), rel=1e-10)
    np.testing.assert_allclose(found["dU"], expected[0][3], rtol=1e-12)
    np.testing.assert_allclose(found["dV"], expected[0][4], rtol=1e-12)
    assert found["loss"][-1] < 0.2 * found["loss"][0]


def test_the_gradient_is_the_slope_of_the_loss(sample: Ratings) -> None:
    corner = pick_corner(sample, 2)
    U, V = start(corner)
    found, h = descend(corner, U, V, 0.1, 1), 1e-6

    def loss(U: np.ndarray, V: np.ndarray) -> float:
        return float(np.nanmean(np.where(corner.given, U @ V.T - corner.rating, np.nan) ** 2))

    for row, factor in np.ndindex(*V.shape):
        nudge = np.zeros_like(V)
        nudge[row, factor] = h
        assert found["dV"][row, factor] == pytest.approx((loss(U, V + nudge) - loss(U, V - nudge)) / (2 * h), abs=1e-8)


def test_a_descent_that_diverges_ends_with_finite_numbers(sample: Ratings) -> None:
    corner = pick_corner(sample)
    found = descend(corner, *start(corner), 50.0, 100)
    assert found["diverged"]
    assert 1 < len(found["loss"]) < 100
    assert all(np.isfinite(found[name]).all() for name in ("U", "V", "predictions", "loss"))
    assert found["loss"][-1] > found["loss"][0]


def test_what_makes_no_sense_is_refused(sample: Ratings) -> None:
    corner = pick_corner(sample)
    with pytest.raises(ValueError, match="from 1 to 1,000"):
        descend(corner, *start(corner), 0.1, 0)
    with pytest.raises(ValueError, match="unknown computation 'x'; choose from descend, lookup"):
        tasks.run({"what": "x"})
    with pytest.raises(ValueError, match="from 0 to 4"):
        tasks.run({"what": "lookup", "n_users": 5, "user": 5, "seed": 0})


# A lookup


def look_up(data: Ratings, user: int, seed: int = 3) -> dict[str, Any]:
    rows = {"users": data.user_idx[:3000], "movies": data.item_idx[:3000], "ratings": data.rating[:3000]}
    return tasks.run({"what": "lookup", "n_users": data.n_users, "user": user, "seed": seed, **rows})


@pytest.mark.parametrize("place", [0.0, 0.01, 0.5, 0.999])
def test_the_product_is_the_row(sample: Ratings, place: float) -> None:
    user = int(place * sample.n_users)
    found = look_up(sample, user)
    W = torch.randn(sample.n_users, 6, generator=torch.Generator().manual_seed(3)).numpy()
    assert found["equal"] is True
    np.testing.assert_array_equal(found["product"], W[user])
    np.testing.assert_array_equal(found["row"], W[user])
    np.testing.assert_array_equal(found["embedding"], W[user])
    np.testing.assert_array_equal(found["W"], W[found["rows"]])
    assert len(found["rows"]) == 7
    assert found["one_hot"].tolist() == [float(row == user) for row in found["rows"]]
    assert found["one_hot"].sum() == 1
    assert (found["products"], found["by_zero"]) == (6 * sample.n_users, 6 * (sample.n_users - 1))


def test_the_exceptions_are_those_of_ieee_arithmetic(sample: Ratings) -> None:
    found = look_up(sample, 0)
    with np.errstate(invalid="ignore"):
        products = [np.array([0, 1, 0], dtype=np.float32) * found[name] for name in ("zero_W", "inf_W")]
    assert math.copysign(1, found["zero_row"]) == -1
    assert math.copysign(1, found["zero_product"]) == math.copysign(1, float(sum(products[0]))) == 1
    assert found["zero_equal"]
    assert not found["zero_same_sign"]
    assert math.isnan(found["inf_product"])
    assert math.isnan(float(sum(products[1])))
    assert found["inf_row"] == 2
    assert not found["inf_equal"]


def test_the_order_of_a_sum_shows_in_the_last_digits_only(sample: Ratings) -> None:
    found = look_up(sample, 0)
    (users, u), (movies, m) = (
        np.unique(each[:MOST_RATINGS], return_inverse=True) for each in (sample.user_idx, sample.item_idx)
    )
    assert found["gradient_n"] == MOST_RATINGS
    assert found["gradient_size"] == 6 * len(users)
    random = torch.Generator().manual_seed(0)
    U, V = (torch.rand(n, 6, generator=random).double().numpy() for n in (len(users), len(movies)))
    errors = (U[u] * V[m]).sum(axis=1) - sample.rating[:MOST_RATINGS]
    terms = 2 / MOST_RATINGS * errors[:, None] * V[m]
    gradient, sizes = np.zeros_like(U), np.zeros_like(U)
    np.add.at(gradient, u, terms)
    np.add.at(sizes, u, np.abs(terms))
    # A sum of n terms, in whatever order, is off by at most n roundings of the sum of their sizes (Higham, chapter 4).
    longest = np.bincount(u).max() + 20
    assert found["gradient_most"] <= 2 * longest * 2.0**-24 * sizes.max()
    assert found["gradient_share"] * np.abs(gradient).max() == pytest.approx(found["gradient_most"], rel=1e-4)


def test_what_differs_between_two_gradients_is_counted_and_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(6)
    first = random.normal(size=(5, 6)).astype(np.float32)
    second = first.copy()
    second[[0, 2, 4], [1, 3, 5]] += np.array([1e-3, -2e-2, 4e-3], dtype=np.float32)

    def slopes(values: np.ndarray) -> Any:  # a loss whose gradient is `values`
        return lambda *rows: lambda U, V: (U * torch.from_numpy(values)).sum() + 0 * V.sum()

    monkeypatch.setattr("cfcore.lessons.lookup.LOOKUPS", {"onehot": slopes(first), "index": slopes(second)})
    found = order_of_sums(np.arange(5), np.arange(5), np.ones(5))
    assert found["gradient_differ"] == 3
    assert found["gradient_most"] == float(np.abs(first - second).max()) == pytest.approx(2e-2, rel=1e-4)
    assert found["gradient_share"] == pytest.approx(float(np.abs(first - second).max() / np.abs(second).max()))


def test_without_a_sum_no_digit_differs() -> None:
    found = order_of_sums(np.arange(40), np.arange(40), np.linspace(1, 5, 40))  # one rating each: sums of one term
    assert (found["gradient_size"], found["gradient_differ"]) == (240, 0)
    assert found["gradient_most"] == found["gradient_share"] == 0


# What lookups cost


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    data = make_ratings(n_users=300, n_items=200, n=900)
    inputs = {"users": data.user_idx, "movies": data.item_idx, "ratings": data.rating, "n_users": 300, "n_items": 200}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "_SECONDS", 0.01)
        return bench.run({**inputs, "sizes": (500, 900, 2000), "factors": 8})


def row(measured: dict[str, Any], field: str, way: str) -> np.ndarray:
    return measured[field][measured["ways"].index(way)]


def test_the_bytes_are_those_of_the_tensors_that_are_alive(measured: dict[str, Any]) -> None:
    n, factors, row_products = measured["n"], 4 * 8 * (300 + 200), 2 * 4 * 8 * measured["n"]
    a_vector = 4 * n  # of floats: the ratings, the errors
    common = factors + row_products + 2 * a_vector + 4
    np.testing.assert_array_equal(row(measured, "bytes", "onehot"), common + n * (300 + 200) * 4)
    np.testing.assert_array_equal(row(measured, "bytes", "index"), common + n * 2 * 8)
    np.testing.assert_array_equal(row(measured, "bytes", "embedding"), common + n * 2 * 8)
    np.testing.assert_array_equal(row(measured, "bytes", "sparse"), common + n * 2 * (8 + 8 + 4))
    # The rating matrix and its mask, the errors of all pairs, and vectors of ratings: nothing else grows with n.
    cells = 4 * 300 * 200
    matrix = row(measured, "bytes", "matrix") - factors - a_vector - 4
    np.testing.assert_array_equal(matrix, np.full(3, matrix[0]))
    assert 3 * cells <= matrix[0] <= 4 * cells


def test_all_ways_compute_the_same_loss(measured: dict[str, Any]) -> None:
    assert (measured["milliseconds"] > 0).all()
    assert measured["distinct"] == 900
    for way in measured["ways"]:
        size = 2 if way == "matrix" else 3  # beyond the data's own ratings a pair counts once there
        np.testing.assert_allclose(row(measured, "loss", way)[:size], row(measured, "loss", "index")[:size], rtol=1e-6)
    assert row(measured, "loss", "matrix")[2] < row(measured, "loss", "index")[2]


def test_the_embedding_learns_the_weights_that_it_is_given() -> None:
    data = make_ratings()
    users, movies = (torch.from_numpy(each.astype(np.int64)) for each in (data.user_idx, data.item_idx))
    gradients = []
    for make in (bench.embedding, LOOKUPS["index"]):
        random = torch.Generator().manual_seed(1)
        U, V = (torch.nn.Parameter(torch.rand(n, 4, generator=random)) for n in (30, 20))
        make(users, movies, torch.from_numpy(data.rating), 30, 20)(U, V).backward()
        gradients.append((U.grad, V.grad))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_dense_is_refused_with_the_bytes_it_would_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFCORE_MEMORY_LIMIT_MB", "1")
    data, shares = make_ratings(n_users=300, n_items=200, n=900), []
    inputs = {"users": data.user_idx, "movies": data.item_idx, "ratings": data.rating, "n_users": 300, "n_items": 200}
    found = bench.run({**inputs, "sizes": (100, 1000), "factors": 4}, shares.append)
    assert row(found, "refused", "onehot").tolist() == [False, True]
    assert row(found, "bytes", "onehot")[1] == 1000 * 500 * 4
    assert math.isnan(row(found, "milliseconds", "onehot")[1])
    assert any("would need 2,000,000 bytes" in reason for reason in found["why"])
    assert not row(found, "refused", "index").any()
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] < 1
