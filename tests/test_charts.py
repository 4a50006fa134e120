"""Charts: limits, ticks and labels against their definitions; the drawn data against the history it came from."""

import json
import math
from itertools import pairwise

import altair as alt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfcore.charts.curves import loss_alt, loss_spec
from cfcore.charts.data import (
    factor_matrix,
    matrix_corner,
    matrix_corner_alt,
    popularity_alt,
    popularity_curve,
    rating_histogram,
    rating_histogram_alt,
)
from cfcore.charts.scales import from_unit, limits, log_ticks, round_up, spread, to_unit
from cfcore.training import EpochResult

BASELINES = {"global mean": 1.21, "user + movie bias": 0.81}


def history(losses):
    return tuple(
        EpochResult(epoch=k, train_loss=train, valid_loss=valid, seconds=0.5)
        for k, (train, valid) in enumerate(losses, start=1)
    )


RUN = history([(2.25, 1.69), (1.44, 1.21), (1.0, 1.0)])

positive = st.floats(1e-4, 1e6)


@given(positive)
def test_round_up_is_at_least_the_value_and_less_than_twice_it(value):
    assert value * (1 - 1e-6) <= round_up(value) < 2 * value


@given(st.lists(positive, min_size=1, max_size=20), st.booleans())
def test_limits_hold_every_value(values, log):
    low, high = limits(values, log=log)
    assert low <= min(values) <= max(values) <= high
    assert low < high
    assert low > 0 or not log


@given(positive, st.floats(1.05, 1e5))
def test_log_ticks_lie_within_and_ascend(low, ratio):
    ticks = log_ticks(low, low * ratio)
    assert ticks == sorted(set(ticks))
    assert all(low * (1 - 1e-6) <= tick <= low * ratio * (1 + 1e-6) for tick in ticks)
    assert 1 <= len(ticks) <= 12 or ratio < 2


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.01, 0.3))
def test_spread_keeps_labels_apart_inside_and_in_order(positions, gap):
    placed = spread(positions, gap)
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in placed)
    fits = min(gap, 1 / max(1, len(positions) - 1))
    ordered = sorted(placed)
    assert all(b - a >= fits - 1e-9 for a, b in pairwise(ordered))
    ranked = [place for _, place in sorted(zip(positions, placed, strict=True))]
    assert ranked == pytest.approx(sorted(ranked))


def test_spread_leaves_labels_that_do_not_touch_where_they_are():
    assert spread([0.1, 0.9, 0.5], 0.05) == pytest.approx([0.1, 0.9, 0.5])


@given(st.floats(0, 1), st.booleans())
def test_from_unit_undoes_to_unit(share, log):
    assert to_unit(from_unit(share, 0.5, 80.0, log=log), 0.5, 80.0, log=log) == pytest.approx(share, abs=1e-9)


def test_the_curves_are_the_history():
    points = loss_spec({"run": RUN}, BASELINES)["datasets"]["points"]
    valid = points[points["part"] == "valid"]
    assert list(valid["value"]) == [1.69, 1.21, 1.0]
    assert list(valid["x"]) == [1, 2, 3]


def test_rmse_is_the_root_of_the_loss_on_curves_and_baselines():
    tables = loss_spec({"run": RUN}, BASELINES, error="rmse")["datasets"]
    train = tables["points"][tables["points"]["part"] == "train"]
    assert list(train["value"]) == pytest.approx([1.5, 1.2, 1.0])
    assert set(tables["rules"]["value"]) == {math.sqrt(1.21), math.sqrt(0.81)}


def test_seconds_add_up_and_the_axis_expects_the_planned_epochs():
    spec = loss_spec({"run": RUN}, BASELINES, x="seconds", n_epochs=12)
    points = spec["datasets"]["points"]
    assert list(points[points["part"] == "train"]["x"]) == [0.5, 1.0, 1.5]
    assert x_domain(spec) == [0, 6]


def test_the_epoch_axis_does_not_move_while_the_run_grows():
    domains = [x_domain(loss_spec({"run": RUN[:k]}, BASELINES, n_epochs=30)) for k in range(4)]
    assert domains == [[1, 30]] * 4


def test_every_line_is_named_with_its_last_value():
    ends = loss_spec({"run": RUN}, BASELINES)["datasets"]["ends"]
    assert set(ends["text"]) == {"train 1.000", "valid 1.000", "global mean 1.210", "user + movie bias 0.810"}


def test_several_runs_are_told_apart_by_name():
    ends = loss_spec({"a": RUN, "b": RUN[:2]}, {})["datasets"]["ends"]
    assert {"a, train 1.000", "b, valid 1.210"} <= set(ends["text"])


def test_train_and_valid_differ_by_their_stroke_and_not_only_by_colour():
    layers = loss_spec({"run": RUN}, BASELINES)["layer"]
    by_filter = {layer["transform"][0]["filter"]: layer["mark"] for layer in layers if "transform" in layer}
    assert "strokeDash" not in by_filter["datum.part == 'train'"]
    assert "strokeDash" in by_filter["datum.part == 'valid'"]


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("runs", [{}, {"run": ()}, {"run": RUN}, {"run": history([(math.nan, math.inf), (3.0, 2.0)])}])
def test_altair_finds_nothing_wrong_with_the_specification(runs, log):
    spec = loss_spec(runs, BASELINES, log=log, n_epochs=5)
    tables = {name: table.to_dict("records") for name, table in spec["datasets"].items()}
    chart = alt.LayerChart.from_dict({**spec, "datasets": tables}, validate=True)
    assert json.loads(chart.to_json(validate=True))["layer"] == json.loads(json.dumps(spec["layer"]))


def test_numbers_that_are_not_finite_are_not_drawn():
    points = loss_spec({"run": history([(math.nan, math.inf), (3.0, 2.0)])}, {"x": math.nan})["datasets"]["points"]
    assert list(points["value"]) == [3.0, 2.0]


def test_a_chart_without_baselines_or_runs_can_be_drawn():
    assert loss_spec({}, {"global mean": None})["datasets"]["points"].empty


def test_the_loss_chart_is_told_in_words():
    assert "after 3 epochs: train 1.000, valid 1.000" in loss_alt({"this run": RUN}, BASELINES)
    assert "Nothing has been trained yet" in loss_alt({}, {"global mean": None})


def test_the_histogram_counts_each_rating():
    rating = np.array([1, 1, 5, 3.5, 3.5, 3.5])
    rows = next(iter(rating_histogram(rating).to_dict()["datasets"].values()))
    assert [(row["rating"], row["n"]) for row in rows] == [("1", 2), ("3.5", 3), ("5", 1)]
    assert "commonest is 3.5 (50%)" in rating_histogram_alt(rating)


def test_the_histogram_of_many_values_has_twenty_bars_that_hold_all():
    rating = np.random.default_rng(0).normal(size=1000)
    rows = next(iter(rating_histogram(rating).to_dict()["datasets"].values()))
    assert len(rows) == 20
    assert sum(row["n"] for row in rows) == 1000


def test_the_long_tail_descends_and_leaves_out_movies_without_ratings():
    rows = next(iter(popularity_curve(np.array([3, 0, 10, 1])).to_dict()["datasets"].values()))
    assert [(row["rank"], row["n"]) for row in rows] == [(1, 10), (2, 3), (3, 1)]
    assert "has 90% of all ratings" in popularity_alt(np.array([90, *[1] * 10]))


def test_the_corner_draws_a_cell_for_each_rating_and_none_for_a_hole():
    matrix = np.array([[5.0, np.nan], [np.nan, 0.5]])
    chart = matrix_corner(matrix, ["user 1", "user 2"], ['A "B" it\'s', "C"], scale=(0.5, 5.0)).to_dict()
    rows = next(iter(chart["datasets"].values()))
    assert [(row["user"], row["item"], row["label"]) for row in rows] == [(0, 0, "5"), (1, 1, "0.5")]
    assert "2 of 4 cells (50%)" in matrix_corner_alt(matrix)


def test_names_on_an_axis_are_quoted_so_that_a_title_cannot_break_the_chart():
    title = "\"];alert('x')//"
    chart = matrix_corner(np.ones((1, 1)), ["u"], [title], scale=(1, 5)).to_dict()
    expression = chart["layer"][0]["encoding"]["x"]["axis"]["labelExpr"]
    assert json.loads(expression.removesuffix("[datum.value]")) == [title]


def test_a_factor_matrix_shows_every_number():
    rows = next(iter(factor_matrix(np.array([[0.5, -1.25]]), ["u"], ["1", "2"]).to_dict()["datasets"].values()))
    assert [row["label"] for row in rows] == ["0.5", "−1.2"]


def x_domain(spec):
    return next(
        layer["encoding"]["x"]["scale"]["domain"] for layer in spec["layer"] if "scale" in layer["encoding"]["x"]
    )
