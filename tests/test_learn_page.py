"""Lessons 2 and 3 on the page, and what all three share: their numbers against arithmetic by hand."""

from __future__ import annotations

import json
import re
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from cfcore import datasets
from cfcore.aside import LOST, Task
from cfcore.charts.lessons import lookup_spec
from cfcore.lessons import bench
from cfcore.lessons.corner import pick_corner
from cfcore.lessons.one_step import landmarks, repeated
from cfcore.ratings import Ratings
from cfcore.ui.learn import lookup, step
from cfcore.ui.words import sentence
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
    values = [float(f"{value:.3g}") for value in random.uniform(*scale, 60)]
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
    assert f"{held['onehot'] / held['index']:.{0 if held['onehot'] > 10 * held['index'] else 1}f} times less" in said
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


def test_where_one_hot_is_short_no_ratio_is_claimed() -> None:
    result = {
        "ways": ["onehot", "index"],
        "n": np.array([1000]),
        "bytes": np.array([[4.4e7], [4.1e7]]),
        "milliseconds": np.array([[3.0], [2.5]]),
        "refused": np.zeros((2, 1), dtype=bool),
    }
    said = lookup.ends(result)
    assert "times" not in said
    assert "a one-hot row is short; the difference grows with users + movies" in said
    result["bytes"][0] *= 2
    assert "2.1 times less memory, the same numbers" in lookup.ends(result)


def test_gradients_that_are_equal_are_called_equal() -> None:
    found = {"gradient_n": 12, "gradient_size": 24, "gradient_differ": 0, "gradient_most": 0.0, "gradient_share": 0.0}
    assert "with 12 ratings no digit of the 24 numbers differs here" in lookup.order_words(found)
    found |= {"gradient_differ": 3, "gradient_most": 1.5e-8, "gradient_share": 1e-7}
    assert "3 of the 24 numbers differ between the two, the most by 1.5e-08" in lookup.order_words(found)


def test_the_list_says_where_it_ends(monkeypatch: pytest.MonkeyPatch, sample: Ratings) -> None:
    assert "To choose from" not in texts(open_lesson("lookup"))
    monkeypatch.setattr(lookup, "MOST_USERS", 7)
    assert f"To choose from: the first 7 of {sample.n_users:,} users." in texts(open_lesson("lookup"))


def test_a_name_with_quotes_and_a_line_break_is_one_text_of_the_axis() -> None:
    names, row = ["a\nb", "it's", 'say "x"\\'], np.zeros(2)
    spec = lookup_spec(names, np.array([1.0, 0, 0]), np.zeros((3, 2)), row, row)
    axis = spec["layer"][0]["encoding"]["y"]["axis"]["labelExpr"]
    assert json.loads(axis.removesuffix("[datum.value]")) == [*names, "sum", "lookup"]
    assert "\n" not in axis


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
    assert apart[1] < 1e-12


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
        (1.05 * even, "go too far"),
        (4 * even, "ends up growing without bound"),
    ):
        assert words in step.repeated_words(repeated(u, v, r, rate, 20), rate)


# All three


@pytest.mark.parametrize("name", ["guess", "lookup", "step"])
@pytest.mark.parametrize("scale", [(0.0, 100.0), (-10.0, 10.0), (0.0, 0.005), (0.0, 1e6)])
def test_a_lesson_works_on_any_scale(name: str, scale: tuple[float, float]) -> None:
    app = with_upload(name, scale)
    assert not app.warning
    assert not app.error
    assert not re.search(r"\d[eE][+-]?\d", " ".join(each.value for each in app.latex)), "e is the error there"
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


def test_where_the_worker_was_lost_the_steps_are_asked_for_again(
    jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to press: the buttons of the picture would stay grey."""
    waits: list[Any] = []
    monkeypatch.setattr("cfcore.ui.learn.ask.draw_when", waits.append)
    compute = jobs.compute

    def lost(kind: str, key: str, inputs: Any, **more: Any) -> Task:
        task = Task(key)
        task.end("failed", LOST)
        return task

    monkeypatch.setattr(jobs, "compute", lost)
    app = open_lesson("guess")
    assert sentence(LOST) in " ".join(each.value for each in app.warning)
    (ripe,) = waits
    assert not ripe()
    later = time.monotonic() + 10
    monkeypatch.setattr("cfcore.ui.learn.ask.time", SimpleNamespace(monotonic=lambda: later))
    assert ripe()
    monkeypatch.setattr(jobs, "compute", compute)
    assert not app.run().warning
