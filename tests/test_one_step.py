"""One step of gradient descent by hand, against autograd, scans and the losses of its own path."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cfcore.lessons import tasks
from cfcore.lessons.one_step import finite_difference, landmarks, loss_along, one_step, repeated, verdict

numbers = st.floats(-3, 3).map(lambda value: round(value, 2))


@st.composite
def cases(draw) -> tuple[np.ndarray, np.ndarray, float]:
    u, v = (np.array(draw(st.tuples(numbers, numbers))) for _ in range(2))
    return u, v, draw(st.sampled_from([0.5, 1.0, 3.5, 5.0, -7.25, 60.0]))


@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_hand_autograd_and_finite_difference_agree(case: tuple[np.ndarray, np.ndarray, float]) -> None:
    u, v, rating = case
    step = one_step(u, v, rating, 0.05)
    a, b = (torch.tensor(each, dtype=torch.float64, requires_grad=True) for each in (u, v))
    loss = (a @ b - rating) ** 2
    loss.backward()
    assert step.loss == pytest.approx(loss.item(), abs=1e-12)
    for ours, weights in ((step.du, a), (step.dv, b)):
        assert weights.grad is not None
        np.testing.assert_allclose(ours, weights.grad.numpy(), rtol=1e-12, atol=1e-12)
    for ours, slope in zip((step.du, step.dv), finite_difference(u, v, rating), strict=True):
        np.testing.assert_allclose(slope, ours, rtol=1e-9, atol=1e-9)  # exact but for rounding: parabolas
    assert step.new_loss == pytest.approx(float(((u - 0.05 * step.du) @ (v - 0.05 * step.dv) - rating) ** 2), abs=1e-9)
    one = {"what": "descend", "users": [0], "movies": [0], "ratings": [rating], "U": u[None], "V": v[None]}
    worker = tasks.run({**one, "rate": 0.05, "steps": 1})
    np.testing.assert_allclose(worker["dU"][0], step.du, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(worker["U"][-1, 0], step.new_u if len(worker["U"]) > 1 else u, rtol=1e-12, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_the_landmarks_are_where_a_scan_finds_them(case: tuple[np.ndarray, np.ndarray, float]) -> None:
    u, v, rating = case
    if not (u.any() or v.any()) or u @ v == rating:
        with pytest.raises(ValueError, match="the gradient is zero"):
            landmarks(u, v, rating)
        return
    lowest, even = landmarks(u, v, rating)
    start = float((u @ v - rating) ** 2)
    assert 0 < lowest < even
    rates = np.linspace(0, 1.2 * even, 4001)
    losses = loss_along(u, v, rating, rates)
    inside = (rates > 0.002 * even) & (rates < 0.998 * even)
    assert (losses[inside] < start).all()  # every step on the way to `even` gains something
    assert loss_along(u, v, rating, np.array([even]))[0] == pytest.approx(start, rel=1e-6)
    assert (losses[rates > 1.01 * even] > start).any()
    at = loss_along(u, v, rating, np.array([lowest]))[0]
    assert at <= losses[rates <= even].min() + 1e-6 * start


def test_on_a_parabola_the_loss_is_back_at_twice_the_best_rate() -> None:
    u, v = np.array([1.2, 0.9]), np.array([0.7, 1.4])
    lowest, even = landmarks(u, v, float(u @ v) + 1e-6)  # a tiny error: both vectors hardly move
    assert even / lowest == pytest.approx(2, rel=1e-5)
    assert lowest == pytest.approx(1 / (2 * (u @ u + v @ v)), rel=1e-5)


def test_repeated_steps_are_told_apart() -> None:
    u, v, rating = np.array([1.2, 0.9]), np.array([0.7, 1.4]), 4.0
    lowest, even = landmarks(u, v, rating)
    told = {rate: verdict(repeated(u, v, rating, rate, 20)) for rate in (0.0, lowest / 2, 1.3 * lowest, 4 * even)}
    assert list(told.values()) == ["still", "falls", "overshoots", "diverges"]
    seen = set()
    for rate in np.linspace(0.5 * even, 1.6 * even, 45):  # around the bound beyond which the first step does harm
        each = repeated(u, v, rating, rate, 20)
        losses = [(u @ v - rating) ** 2, *((step.new_u @ step.new_v - rating) ** 2 for step in each)]
        seen.add(verdict(each))
        if losses[-1] < 1e12:
            assert (verdict(each) == "swings") == (max(losses[1:]) > losses[0] or losses[-1] >= 0.5 * losses[0])
    assert {"overshoots", "swings", "diverges"} <= seen
    path = repeated(u, v, rating, 4 * even, 20)
    assert len(path) < 20
    for before, after in pairwise(path):
        np.testing.assert_array_equal(after.u, before.new_u)
    frames = descend_one(u, v, rating, lowest / 2)
    np.testing.assert_allclose(
        [step.new_loss for step in repeated(u, v, rating, lowest / 2, 5)], frames[1:], atol=1e-12
    )


def descend_one(u: np.ndarray, v: np.ndarray, rating: float, rate: float) -> np.ndarray:
    one = {"what": "descend", "users": [0], "movies": [0], "ratings": [rating], "U": u[None], "V": v[None]}
    return tasks.run({**one, "rate": rate, "steps": 5})["loss"]
