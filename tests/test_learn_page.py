"""Lessons 1 to 3 on the page: their numbers against arithmetic by hand, and what they remember."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from cfcore import datasets
from cfcore.aside import Task
from cfcore.lessons import bench
from cfcore.lessons.corner import Corner, pick_corner, start
from cfcore.lessons.one_step import landmarks, repeated
from cfcore.ratings import Ratings
from cfcore.ui.learn import guess, lookup, step
from tests.pages_support import ROOT, TIMEOUT, FakeJobs, button, open_page, texts

pytestmark = pytest.mark.usefixtures("jobs")


def open_lesson(name: str, **query: str) -> AppTest:
    app = open_page("pages/learn.py", lesson=name, **query)
    assert "Something went wrong" not in texts(app)
    return app


def with_upload(name: str, scale: tuple[float, float]) -> AppTest:
    """The lesson ``name`` on somebody's own small table of ratings."""
    random = np.random.default_rng(4)
    pairs = random.choice(12 * 9, 60, replace=False)
    values = random.uniform(*scale, 60).round(1)
    lines = [f"person {pair // 9},film *{pair % 9}*,{value}" for pair, value in zip(pairs, values, strict=True)]
    data = "\n".join(["userId,movieId,rating", *lines]).encode()
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=TIMEOUT)
    app.session_state["dataset"] = datasets.save_upload(data, "mine.csv")
    app.run().switch_page("pages/learn.py")
    app.query_params["lesson"] = name
    app.run()
    assert not app.exception
    assert "Something went wrong" not in texts(app)
    return app


# Guess a rating


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
    assert app.get("bidi_component")
    loss = mse(U, V, corner.rating, corner.given)
    assert f"As they are, the 22 numbers miss {corner.given.sum()} ratings by **{loss:.3f}**" in texts(app)
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
    guess.move(kept, corner, {"base": frames["base"], "at": 37})
    np.testing.assert_array_equal(kept["U"], frames["U"][37])
    assert kept["losses"] == frames["losses"][:38]
    np.testing.assert_array_equal(kept["frames"]["U"], frames["U"][37:])  # to go on with, while the worker is at it
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guess, "draw_when", lambda known: None)
        patch.setattr(FakeJobs, "compute", lambda *args, **options: Task("waiting"))
        guess._compute(kept, corner)
    guess.move(kept, corner, {"base": kept["frames"]["base"], "at": 3})
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
    assert f"After 100 steps the loss has gone from {first:.3f} to {last:.3f}" in said
    assert f"On the 2 ratings kept back it is {back:.3f}" in said
    assert ("by heart" in said) == (back > 2 * last)
    kept["losses"].append([2 * first, back])
    assert f"The loss rose from {first:.3f} to {2 * first:.3f}" in guess.said(kept, corner)


def test_another_corner_has_other_people_and_begins_anew(sample: Ratings) -> None:
    app = open_lesson("guess")
    before = texts(app)
    button(app, "Another corner").click().run()
    other = pick_corner(sample, 1)
    U, V = start(other, 1)
    assert texts(app) != before
    assert f"by **{mse(U, V, other.rating, other.given):.3f}**" in texts(app)


def test_rates_follow_the_scale() -> None:
    assert guess.rates((1.0, 5.0)) == [0.02, 0.06, 0.2, 0.6, 2.0]
    assert guess.rates((-10.0, 10.0))[2] == 0.1
    assert guess.rates((0.0, 100.0))[2] == 0.01


# One-hot is a lookup


def test_the_lookup_counts_its_multiplications(sample: Ratings) -> None:
    app = open_lesson("lookup")
    assert "torch.equal(one_hot @ W, W[u])  # True" in [each.value for each in app.code]
    said = app.success[0].value
    assert f"{6 * sample.n_users:,} times" in said
    assert f"{6 * (sample.n_users - 1):,} times by zero" in said
    table = app.dataframe[0].value
    assert table["one_hot @ W"].tolist() == ["0.0", "nan"]
    assert table["W[u]"].tolist() == ["-0.0", "2.0"]
    assert table["torch.equal"].tolist() == ["True", "False"]


def test_the_chosen_user_is_kept_while_one_visits_other_pages(sample: Ratings) -> None:
    app = open_lesson("lookup")
    app.selectbox(key="learn:user:sample").set_value(41).run()
    name = f"user {sample.users.user_id[41]}"
    assert name in app.success[0].value
    app.switch_page("pages/data.py").run()
    app.switch_page("pages/learn.py").run()
    assert name in app.success[0].value


def test_the_measurement_is_a_job_and_its_sentence_has_its_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "SIZES", (200, 400))
    monkeypatch.setattr(bench, "_SECONDS", 0.01)
    app = open_lesson("lookup")
    button(app, "Measure").click().run()
    said = app.success[-1].value
    found = app.session_state["learn"]["lookup", "sample"]["bench"]
    held = dict(zip(found["ways"], found["bytes"][:, -1], strict=True))
    assert "For 400 ratings dense one-hot holds" in said
    assert f"{held['onehot'] / held['index']:.0f} times less memory" in said
    assert len(app.get("vega_lite_chart")) == 3
    assert "Bytes: every tensor alive" in texts(app)
    button(app, "Measure again").click().run()
    assert len(app.get("vega_lite_chart")) == 3


def test_a_refusal_says_what_it_would_take() -> None:
    result = {
        "ways": ["onehot", "index"],
        "n": np.array([1000, 100_000]),
        "bytes": np.array([[4e7, 4.14e9], [2e6, 4.4e7]]),
        "milliseconds": np.array([[3.0, np.nan], [0.5, 17.0]]),
        "refused": np.array([[False, True], [False, False]]),
    }
    said = lookup.ends(result)
    assert "For 100,000 ratings dense one-hot would need 4.1 GB and is refused" in said
    assert "44 MB and 17 ms" in said


# One gradient step


def numbers_in(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.\d+", text.replace(r"\,", " "))]


def first_step(sample: Ratings, rate: float) -> dict[str, Any]:
    """The oracle, in plain Python floats: everything that stands in the formulas of the rating shown first."""
    corner = pick_corner(sample)
    rows = np.argwhere(np.isfinite(corner.rating))
    at_u, at_m = max(rows, key=lambda row: corner.rating[row[0], row[1]])  # the first of the best
    r = float(corner.rating[at_u, at_m])
    u, v = (
        each.tolist() for each in step.vectors(int(corner.user_idx[at_u]), int(corner.item_idx[at_m]), sample.scale)
    )
    p = u[0] * v[0] + u[1] * v[1]
    e = p - r
    du, dv = [2 * e * each for each in v], [2 * e * each for each in u]
    nu, nv = ([a - rate * b for a, b in zip(*pair, strict=True)] for pair in ((u, du), (v, dv)))
    np_ = nu[0] * nv[0] + nu[1] * nv[1]
    return {"r": r, "u": u, "v": v, "p": p, "e": e, "L": e * e, "du": du, "dv": dv, "nu": nu, "nv": nv, "np": np_}


def test_the_formulas_hold_the_numbers_of_the_step(sample: Ratings) -> None:
    app = open_lesson("step")
    app.slider[0].set_value(0.05).run()
    expected = first_step(sample, 0.05)
    left, right = (element.value for element in app.latex)
    found = numbers_in(left)
    p, e = round(expected["p"], 3), round(expected["e"], 3)
    terms = [expected["u"][0], expected["v"][0], expected["u"][1], expected["v"][1], p]
    rest = [e, round(expected["L"], 3), *expected["du"], *expected["dv"]]
    np.testing.assert_allclose(found[:6], [*terms, p], atol=6e-4)
    np.testing.assert_allclose(found[-6:], rest[-6:], atol=6e-4)
    assert any(abs(abs(number) - abs(e)) < 6e-4 for number in found)
    moved = numbers_in(right)
    assert {round(abs(each), 3) for each in (*expected["nu"], *expected["nv"])} <= {
        round(abs(each), 3) for each in moved
    }
    last = [expected["np"], expected["np"] - expected["r"], (expected["np"] - expected["r"]) ** 2]
    np.testing.assert_allclose(moved[-3:], last, atol=6e-4)


def test_three_gradients_stand_side_by_side(sample: Ratings) -> None:
    app = open_lesson("step")
    table = app.dataframe[0].value
    expected = first_step(sample, 0.0)
    for way in ("by hand", "autograd", "finite difference"):
        np.testing.assert_allclose(table[way].astype(float), [*expected["du"], *expected["dv"]], atol=1e-7)
    apart = [
        float(number) for number in re.findall(r"(?:autograd|difference) (\d[\d.e-]*\d|\d)", app.caption[-1].value)
    ]
    assert apart[0] < 1e-12
    assert apart[1] < 1e-6


def test_the_slider_shows_descent_overshoot_and_divergence(sample: Ratings) -> None:
    app = open_lesson("step")
    expected = first_step(sample, 0.0)
    u, v = np.array(expected["u"]), np.array(expected["v"])
    lowest, even = landmarks(u, v, expected["r"])
    assert f"One step goes lowest at {lowest:.3g}. At {even:.3g}, {even / lowest:.2f} times as far" in texts(app)
    assert "from one side" in texts(app)
    rate = float(app.slider[0].max)
    app.slider[0].set_value(rate).run()
    path = repeated(u, v, expected["r"], rate, step.STEPS)
    assert step.repeated_words(path, rate) in texts(app)
    assert "from one side" not in texts(app)


def test_each_verdict_has_its_words() -> None:
    u, v, r = np.array([1.2, 0.9]), np.array([0.7, 1.4]), 4.0
    lowest, even = landmarks(u, v, r)
    for rate, words in (
        (0.0, "changes nothing"),
        (lowest / 2, "from one side"),
        (1.3 * lowest, "jump over"),
        (4 * even, "worse"),
    ):
        assert words in step.repeated_words(repeated(u, v, r, rate, 20), rate)


# All three


@pytest.mark.parametrize("name", ["guess", "lookup", "step"])
@pytest.mark.parametrize("scale", [(0.0, 100.0), (-10.0, 10.0)])
def test_a_lesson_works_on_any_scale(name: str, scale: tuple[float, float]) -> None:
    app = with_upload(name, scale)
    assert not app.warning
    assert not app.error
    assert "nan" not in texts(app).replace("`", "")


def test_what_a_teacher_hides_is_not_there() -> None:
    assert not open_lesson("lookup", hide="user,bench,print").selectbox
    app = open_lesson("step", hide="rating,check,eta")
    assert not app.selectbox
    assert not app.slider
    assert not app.dataframe
    assert "Another corner" not in [each.label for each in open_lesson("guess", hide="corner").button]


def test_a_worker_that_fails_is_a_sentence(jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(inputs: Any) -> None:
        raise ValueError("no worker is to be had")

    monkeypatch.setattr("cfcore.lessons.tasks.LESSONS", {"descend": refuse, "lookup": refuse})
    for name in ("guess", "lookup", "step"):
        app = open_lesson(name)
        assert "No worker is to be had" in " ".join(each.value for each in app.warning)
