"""Lesson 1 on the page: every number against arithmetic by hand, with a worker and without one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cfcore.aside import Task
from cfcore.lessons.corner import Corner, pick_corner, start
from cfcore.ratings import Ratings
from cfcore.ui.learn import ask, guess
from cfcore.ui.words import error
from tests.pages_support import FakeJobs, button, texts
from tests.test_learn_page import open_lesson

pytestmark = pytest.mark.usefixtures("jobs")


@pytest.fixture
def corner(sample: Ratings) -> Corner:
    return pick_corner(sample)


def mse(U: np.ndarray, V: np.ndarray, rating: np.ndarray, cells: np.ndarray) -> float:
    return float(np.mean([(U[u] @ V[m] - rating[u, m]) ** 2 for u, m in np.argwhere(cells)]))


def begun(sample: Ratings, corner: Corner) -> dict[str, Any]:
    kept: dict[str, Any] = {"number": 0}
    guess.begin(kept, corner, sample.scale)
    guess._compute(kept, corner)
    return kept


def test_the_corner_begins_with_the_loss_of_its_random_numbers(corner: Corner) -> None:
    app = open_lesson("guess")
    U, V = start(corner)
    assert "latent_lab_guess" in [each.proto.component_name for each in app.get("bidi_component")]
    loss = mse(U, V, corner.rating, corner.given)
    said = f"the 22 numbers miss {corner.given.sum()} ratings by {loss**0.5:.3f}: the root of the loss, **{loss:.3f}**,"
    assert said in texts(app)
    assert not app.success


def test_the_frames_show_what_the_worker_computed(sample: Ratings, corner: Corner) -> None:
    kept = begun(sample, corner)
    data = guess.guess_data(sample, corner, kept)
    assert data["ready"]
    assert len(data["U"]) == len(data["losses"]) == 101
    for at in (0, 1, 100):
        U, V = np.array(data["U"][at]), np.array(data["V"][at])
        np.testing.assert_allclose(data["P"][at], U @ V.T, atol=2e-3)  # both are rounded to four decimals
        assert data["losses"][at][0] == pytest.approx(mse(U, V, corner.rating, corner.given), abs=2e-3)
        assert data["losses"][at][1] == pytest.approx(mse(U, V, corner.rating, corner.hidden), abs=5e-3)
    assert [[value is None for value in row] for row in data["ratings"]] == np.isnan(corner.rating).tolist()
    assert len(data["users"]) == 5
    assert len(data["films"]) == 6


def test_the_state_is_where_the_animation_stopped(sample: Ratings, corner: Corner) -> None:
    kept = begun(sample, corner)
    frames = kept["frames"]
    guess.move(kept, corner, {"base": "of another picture", "at": 50})
    assert len(kept["losses"]) == 1
    for _ in range(2):  # a message that comes again moves nothing
        guess.move(kept, corner, {"base": frames["base"], "at": 37})
    np.testing.assert_array_equal(kept["U"], frames["U"][37])
    assert kept["losses"] == frames["losses"][:38]
    np.testing.assert_array_equal(kept["frames"]["U"], frames["U"][37:])  # to go on with, while the worker is at it
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ask, "draw_when", lambda known: None)
        patch.setattr(FakeJobs, "compute", lambda *args, **options: Task("waiting"))
        guess._compute(kept, corner)
    guess.move(kept, corner, {"base": kept["base"], "at": 3})
    np.testing.assert_array_equal(kept["U"], frames["U"][40])
    assert kept["losses"] == frames["losses"][:41]
    guess._compute(kept, corner)  # the next hundred begin there
    np.testing.assert_array_equal(kept["frames"]["U"][0], frames["U"][40])
    np.testing.assert_allclose(kept["frames"]["U"][10], frames["U"][50], rtol=1e-12)


def test_a_number_changed_by_hand_moves_the_loss_and_is_no_step(sample: Ratings, corner: Corner) -> None:
    kept = begun(sample, corner)
    U, V = start(corner)
    guess.move(kept, corner, {"base": kept["frames"]["base"], "at": 0, "edit": ["V", 2, 1, 3.5]})
    V[2, 1] = 3.5
    np.testing.assert_array_equal(kept["V"], V)
    assert len(kept["losses"]) == 1
    assert kept["losses"][0][0] == pytest.approx(mse(U, V, corner.rating, corner.given))
    assert kept.get("frames") is None  # those before do not begin here
    guess._compute(kept, corner)
    guess.move(kept, corner, {"base": kept["frames"]["base"], "at": 0, "edit": ["U", 0, 0, float("nan")]})
    assert np.isfinite(kept["U"]).all()
    guess.move(kept, corner, {"reset": True})
    guess.begin(kept, corner, sample.scale)
    np.testing.assert_array_equal(kept["V"], start(corner)[1])


def test_what_was_learned_is_said_with_its_numbers(sample: Ratings, corner: Corner) -> None:
    kept = begun(sample, corner)
    guess.move(kept, corner, {"base": kept["frames"]["base"], "at": 100})
    first, last = (mse(*uv, corner.rating, corner.given) for uv in (start(corner), (kept["U"], kept["V"])))
    back = mse(kept["U"], kept["V"], corner.rating, corner.hidden)
    said = guess.said(kept, corner)
    assert f"In 100 steps at a rate of 0.2 the loss has gone from {first:.3f} to {last:.3f}" in said
    assert f"On the 2 ratings kept back it is {back:.3f}" in said
    assert last < 0.25 * corner.rating[corner.given].var() < back / 2  # learned, and not what was kept back
    assert "by heart" in said


def test_nothing_is_called_learned_by_heart_before_it_is_learned(sample: Ratings) -> None:
    """In this corner the kept-back loss is over twice the other from the start; one step has learned nothing yet."""
    corner = pick_corner(sample, 8)
    kept: dict[str, Any] = {"number": 8}
    guess.begin(kept, corner, sample.scale)
    guess._compute(kept, corner)
    guess.move(kept, corner, {"base": kept["frames"]["base"], "at": 1})
    now, back = kept["losses"][-1]
    assert back > 2 * now > corner.rating[corner.given].var()
    said = guess.said(kept, corner)
    assert said.endswith(f"kept back it is {back:.3f}.")


def test_ratings_reach_the_browser_as_they_were_given(sample: Ratings) -> None:
    tenths = replace(sample, rating=(sample.rating * np.float32(0.3)).round(1), scale=(0.0, 1.5))
    corner = pick_corner(tenths)
    kept: dict[str, Any] = {"number": 0}
    guess.begin(kept, corner, tenths.scale)
    kept["base"] = ""
    data = guess.guess_data(tenths, corner, kept)
    given = [value for row in data["ratings"] for value in row if value is not None]
    assert given
    assert all(len(str(value)) <= 3 for value in given)


def test_the_number_under_the_slider_is_still_chosen_when_one_comes_back(sample: Ratings, corner: Corner) -> None:
    kept = begun(sample, corner)
    assert guess.guess_data(sample, corner, kept)["chosen"] == ["U", 0, 0]
    guess.move(kept, corner, {"base": kept["frames"]["base"], "at": 0, "chosen": ["V", 2, 1], "edit": ["V", 2, 1, 0.5]})
    assert guess.guess_data(sample, corner, kept)["chosen"] == ["V", 2, 1]


@pytest.mark.parametrize("number", range(4))
def test_ratings_below_one_do_not_make_the_first_rate_diverge(sample: Ratings, number: int) -> None:
    small = replace(sample, rating=sample.rating / 50, scale=(0.0, 0.1))
    corner = pick_corner(small, number)
    kept: dict[str, Any] = {"number": number}
    guess.begin(kept, corner, small.scale)
    guess._compute(kept, corner)
    assert not kept["frames"]["diverged"]
    assert kept["frames"]["losses"][-1][0] < kept["frames"]["losses"][0][0]


def step_on(kept: dict[str, Any], corner: Corner, **told: Any) -> None:
    guess._compute(kept, corner)
    guess.move(kept, corner, {"base": kept["base"], "at": 0, **told})


def test_a_descent_is_told_by_the_rate_at_which_it_went(sample: Ratings, corner: Corner) -> None:
    kept = begun(sample, corner)
    step_on(kept, corner, rate=2.0)
    step_on(kept, corner, at=2)
    step_on(kept, corner, rate=0.02)
    first, high = kept["losses"][0][0], mse(kept["U"], kept["V"], corner.rating, corner.given)
    assert high > first
    rose = guess.said(kept, corner)  # the new rate has done nothing yet
    assert rose.startswith(f"In 2 steps at a rate of 2 the loss rose from {error(first)} to {error(high)}")
    kept["U"], kept["V"] = start(corner)  # near again, where the small rate leads down
    guess._note(kept, corner)
    step_on(kept, corner, at=3)
    last = mse(kept["U"], kept["V"], corner.rating, corner.given)
    assert f"In 3 steps at a rate of 0.02 the loss has gone from {first:.3f} to {last:.3f}" in guess.said(kept, corner)


def test_a_number_changed_by_hand_is_not_told_as_descent(sample: Ratings, corner: Corner) -> None:
    kept = begun(sample, corner)
    step_on(kept, corner, at=10)
    before = mse(kept["U"], kept["V"], corner.rating, corner.given)
    step_on(kept, corner, edit=["U", 0, 0, 6.0])
    after = mse(kept["U"], kept["V"], corner.rating, corner.given)
    assert after > before
    said = guess.said(kept, corner)
    assert f"One number changed by hand has taken the loss from {before:.3f} to {after:.3f}" in said
    assert "step at" not in said
    assert "jump" not in said
    step_on(kept, corner, at=4)
    last = mse(kept["U"], kept["V"], corner.rating, corner.given)
    assert f"In 4 steps at a rate of 0.2 the loss has gone from {after:.3f} to {last:.3f}" in guess.said(kept, corner)


def test_without_a_worker_numbers_and_rate_can_be_changed(
    sample: Ratings, corner: Corner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask, "draw_when", lambda known: None)
    monkeypatch.setattr(FakeJobs, "compute", lambda *args, **options: Task("waiting"))
    kept = begun(sample, corner)
    assert kept["frames"] is None
    U, V = start(corner)
    shown = guess.guess_data(sample, corner, kept)
    guess.move(kept, corner, {"base": shown["base"], "at": 0, "edit": ["U", 1, 0, 2.5]})
    U[1, 0] = 2.5
    np.testing.assert_array_equal(kept["U"], U)
    guess._compute(kept, corner)
    again = guess.guess_data(sample, corner, kept)
    assert again["base"] != shown["base"]
    np.testing.assert_allclose(again["P"], (U @ V.T)[None], atol=1e-4)
    assert again["losses"][0][0] == pytest.approx(mse(U, V, corner.rating, corner.given))
    guess.move(kept, corner, {"base": shown["base"], "at": 0, "edit": ["U", 1, 0, 9.0]})  # of a picture that is gone
    guess.move(kept, corner, {"base": again["base"], "at": 0, "rate": 0.6})
    np.testing.assert_array_equal(kept["U"], U)
    assert kept["rate"] == 0.6


def test_another_corner_has_other_people_and_begins_anew(sample: Ratings) -> None:
    app = open_lesson("guess")
    before = texts(app)
    button(app, "Another corner").click().run()
    other = pick_corner(sample, 1)
    U, V = start(other, 1)
    assert texts(app) != before
    assert f"the root of the loss, **{mse(U, V, other.rating, other.given):.3f}**," in texts(app)


def test_rates_follow_the_scale() -> None:
    assert guess.rates((1.0, 5.0)) == [0.02, 0.06, 0.2, 0.6, 2.0]
    assert guess.rates((-10.0, 10.0))[2] == 0.1
    assert guess.rates((0.0, 100.0))[2] == 0.01
