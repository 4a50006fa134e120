"""Sweeps: what is planned, what it costs, what comes of it, and how it is drawn."""

from __future__ import annotations

import json
import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfcore.approaches import describe, make_config
from cfcore.charts import MOST_CURVES
from cfcore.charts.compare import Curve, View, compare_alt, compare_spec, ema
from cfcore.charts.sweep import sweep_alt, sweep_height, sweep_spec, sweep_table
from cfcore.config import RunRequest, SplitConfig
from cfcore.estimate import estimate
from cfcore.runs import Run
from cfcore.sweep import FIVE, MOST_RUNS, Axis, cost, five_ways, grid_of, parse_values, plan, suggest, swept_settings
from cfcore.training import EpochResult, Metrics
from tests.test_export import a_run

SPLIT = SplitConfig.of("random")
SIZES = {"n_train": 80_000, "n_valid": 20_000, "n_users": 943, "n_items": 1682}
RATES, SIZES_K = Axis(name="learning_rate", values=(1.0, 3.0, 10.0)), Axis(name="embedding_size", values=(4, 8))


def base(approach: str = "scratch", **settings: Any) -> RunRequest:
    return RunRequest(dataset="sample", split=SPLIT, config=make_config(approach, **settings))


def measured(rmse: float | None) -> Metrics:
    return Metrics(
        valid_mse=rmse and rmse**2,
        valid_rmse=rmse,
        valid_mae=rmse,
        baseline_mean_rmse=1.1,
        baseline_mean_mae=0.9,
        baseline_bias_rmse=0.9,
        baseline_bias_mae=0.7,
    )


def swept(*axes: Axis, **outcomes: tuple[str, float | None]) -> list[Run]:
    """The runs of a sweep; ``outcomes`` are status and RMSE by the run's number, such as ``r3``."""
    runs = []
    for k, each in enumerate(plan(base(), axes)):
        status, rmse = outcomes.get(f"r{k}", ("done", 0.9 + k / 100))
        runs.append(
            a_run(
                f"run{k:013d}",
                request=each,
                status=status,
                metrics=measured(rmse) if status in ("done", "stopped", "diverged") else None,
                history=() if status == "queued" else a_run().history,
            )
        )
    return runs


# Planning


def test_a_plan_has_every_combination_and_changes_nothing_else() -> None:
    requests = plan(base(epochs=7), [RATES, SIZES_K])
    pairs = [(each.config.learning_rate, each.config.embedding_size) for each in requests]
    assert pairs == list(product(RATES.values, SIZES_K.values))
    assert {(each.dataset, each.split, each.config.epochs, each.config.approach) for each in requests} == {
        ("sample", SPLIT, 7, "scratch")
    }


@pytest.mark.parametrize(
    ("axes", "sentence"),
    [
        ([Axis(name="learning_rate", values=tuple(range(1, MOST_RUNS + 2)))], "17 runs, and a sweep may have 16"),
        ([Axis(name="epochs", values=(1, 2, 3, 4, 5)), SIZES_K, RATES], "5 x 2 x 3 values are 30 runs"),
        ([Axis(name="learning_rate", values=(1.0,))], "at least two values"),
        ([RATES, RATES], "must be different"),
        ([Axis(name="embedding_size", values=(8, 100_000))], "embedding_size must be from 1 to 300"),
    ],
)
def test_a_plan_that_cannot_be_says_why(axes: list[Axis], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        plan(base(), axes)


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("learning_rate", "10, 1  3;1", (1.0, 3.0, 10.0)),
        ("embedding_size", "16,8", (8, 16)),
        ("lookup", "sparse, index", ("sparse", "index")),
    ],
)
def test_typed_values_are_read_sorted_and_each_once(name: str, text: str, values: tuple) -> None:
    assert parse_values(describe("scratch"), name, text) == values


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("learning_rate", " , ", "Learning rate needs values"),
        ("learning_rate", "1, fast", "takes numbers such as 0.001, 0.003, 0.01, not 'fast'"),
        ("embedding_size", "8, 2.5", "takes whole numbers"),
        ("embedding_size", "0", "must be from 1 to 300"),
        ("learning_rate", "nan", "finite number"),
        ("lookup", "magic", "unknown lookup"),
    ],
)
def test_a_typed_value_that_cannot_be_used_gets_a_sentence(name: str, text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse_values(describe("scratch"), name, text)


@pytest.mark.parametrize("approach", FIVE)
def test_every_suggestion_can_be_swept(approach: str) -> None:
    preset = describe(approach).preset
    for name in swept_settings(approach):
        values = suggest(preset, name)
        assert len(values) >= 2
        assert parse_values(describe(approach), name, ", ".join(map(str, values))) == values


def test_suggested_rates_are_evenly_apart_on_a_logarithmic_scale() -> None:
    rates = suggest(describe("fastai_dot").preset, "learning_rate")
    steps = np.diff(np.log10(rates))
    assert steps == pytest.approx(0.5, abs=0.03)
    assert rates[0] < describe("fastai_dot").preset.learning_rate < rates[-1]


def test_the_cost_is_the_sum_of_the_seconds_and_the_largest_memory() -> None:
    requests = plan(base("fastai_dot"), [Axis(name="embedding_size", values=(10, 200))])
    each = [estimate(request.config, **SIZES) for request in requests]
    together = cost(requests, **SIZES)
    assert together.seconds == pytest.approx(sum(one.seconds for one in each))
    assert together.memory_mb == max(one.memory_mb for one in each)
    assert together.refused is None


def test_the_cost_names_a_run_that_would_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFCORE_MEMORY_LIMIT_MB", "500")
    refused = cost(plan(base(), [Axis(name="lookup", values=("index", "onehot"))]), **SIZES).refused
    assert refused is not None
    assert "bytes" in refused


@pytest.mark.parametrize("that_learn", [True, False])
def test_five_ways_differ_in_nothing_but_approach_and_settings(that_learn: bool) -> None:
    requests = five_ways("sample", SPLIT, seed=7, scale=(0.5, 5.0), that_learn=that_learn)
    assert [each.config.approach for each in requests] == list(FIVE)
    assert {(each.dataset, each.split, each.config.seed) for each in requests} == {("sample", SPLIT, 7)}
    article = [make_config(key, scale=(0.5, 5.0), seed=7) for key in FIVE]
    assert ([each.config for each in requests] == article) is not that_learn


# Results


def test_the_grid_is_read_back_from_the_runs_alone() -> None:
    runs = swept(RATES, SIZES_K)
    grid = grid_of(runs[::-1])
    assert grid is not None
    assert grid.axes == (RATES, SIZES_K)
    assert {cell.run.id: cell.values for cell in grid.cells} == {
        run.id: (run.request.config.learning_rate, run.request.config.embedding_size) for run in runs
    }


def test_the_best_cell_is_the_lowest_error_of_a_run_that_ended_well() -> None:
    outcomes = {"r1": ("diverged", None), "r2": ("stopped", 0.7), "r3": ("running", None), "r4": ("failed", None)}
    grid = grid_of(swept(RATES, SIZES_K, **outcomes))
    assert grid is not None
    assert grid.best is not None
    assert grid.best.rmse == 0.7
    running = grid.cells[3]
    assert running.rmse == math.sqrt(1.25)
    assert not running.final


def test_what_differs_in_more_than_two_settings_or_in_its_split_is_no_grid() -> None:
    runs = swept(RATES, SIZES_K)
    other = a_run("x" * 16, request=base(epochs=3, learning_rate=2.0, embedding_size=2))
    assert grid_of([*runs, other]) is None
    elsewhere = RunRequest(dataset="sample", split=SplitConfig.of("random", seed=1), config=base().config)
    assert grid_of([runs[0], a_run("y" * 16, request=elsewhere)]) is None
    assert (
        grid_of([a_run(request=each) for each in five_ways("s", SPLIT, seed=1, scale=(1, 5), that_learn=True)]) is None
    )
    assert grid_of(runs[:1]) is None


# The picture of a sweep


def test_every_cell_holds_its_run_s_number_or_its_state() -> None:
    outcomes = {"r1": ("diverged", None), "r2": ("queued", None), "r3": ("running", None), "r4": ("failed", None)}
    runs = swept(RATES, SIZES_K, **outcomes)
    grid = grid_of(runs)
    assert grid is not None
    table = sweep_table(grid).set_index("run")
    assert list(table.loc[runs[0].id, ["number", "state", "x", "y"]]) == ["0.900", "best", "1", "4"]
    assert list(table.loc[runs[5].id, ["number", "state", "x", "y"]]) == ["0.950", "", "10", "8"]
    for k, state in ((1, "diverged"), (2, "waiting"), (4, "failed")):
        assert list(table.loc[runs[k].id, ["number", "state", "fill"]]) == ["", state, "transparent"]
    assert list(table.loc[runs[3].id, ["number", "state"]]) == ["1.118", f"3 of {runs[3].request.config.epochs}"]
    for run in runs:
        if run.metrics is not None and run.metrics.valid_rmse is not None:
            assert table.loc[run.id, "rmse"] == run.metrics.valid_rmse


def test_darker_is_better_and_the_global_mean_ends_the_scale() -> None:
    axis = Axis(name="learning_rate", values=(1.0, 2.0, 3.0, 4.0))
    grid = grid_of(swept(axis, r0=("done", 0.9), r1=("done", 0.95), r2=("done", 1.2), r3=("done", 30.0)))
    assert grid is not None
    fills = list(sweep_table(grid, mean_rmse=1.1)["fill"])
    assert fills[2] == fills[3] != fills[1] != fills[0]
    assert set(sweep_table(grid, mean_rmse=0.5)["fill"]) == {fills[3]}, "all are worse than the mean"
    assert list(sweep_table(grid, mean_rmse=0.9)["fill"]) == [fills[0], *[fills[3]] * 3], "the best just meets the mean"
    assert len(set(sweep_table(grid)["fill"])) == 2, "without the mean, one bad run hides what the others say"


@pytest.mark.parametrize("axes", [(RATES,), (RATES, SIZES_K)])
def test_both_pictures_can_be_drawn_from_nothing_to_everything(axes: tuple[Axis, ...]) -> None:
    n = math.prod(len(axis.values) for axis in axes)
    waiting = {f"r{k}": ("queued", None) for k in range(n)}
    baselines = {"global mean": 1.1, "user + movie bias": None}
    for outcomes in (waiting, {}):
        grid = grid_of(swept(*axes, **outcomes))
        assert grid is not None
        spec = sweep_spec(grid, baselines)
        json.dumps({name: value for name, value in spec.items() if name != "datasets"})
        assert len(spec["datasets"]["cells"]) == n
        assert spec["height"] == sweep_height(grid)
        assert ("The best is 0.900 at learning rate 1" in sweep_alt(grid)) is (outcomes == {})


# Curves


def curve(name: str = "a", slot: int = 0, losses=((4.0, 3.0), (1.0, 2.0), (0.25, 1.0)), **how: Any) -> Curve:
    history = tuple(
        EpochResult(epoch=k, train_loss=train, valid_loss=valid, seconds=0.5)
        for k, (train, valid) in enumerate(losses, start=1)
    )
    return Curve(**{"name": name, "slot": slot, "history": history, "planned": len(history), "updates": 10, **how})


def test_the_average_is_the_one_computed_by_hand() -> None:
    # s = 0.5: m = 2, 2.5, 4.25; divided by 0.5, 0.75, 0.875
    assert ema([4.0, 3.0, 6.0], 0.5) == pytest.approx([4.0, 10 / 3, 34 / 7])
    assert list(ema([4.0, 3.0], 0.0)) == [4.0, 3.0]
    for wrong in (-0.1, 1.0):
        with pytest.raises(ValueError, match="smoothing must be"):
            ema([1.0], wrong)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=30), st.floats(0, 0.95))
def test_the_average_is_a_weighted_mean_of_what_came_before(values: list[float], smoothing: float) -> None:
    weights = smoothing ** np.arange(len(values))[::-1]
    assert ema(values, smoothing)[-1] == pytest.approx(np.average(values, weights=weights), rel=1e-6)


@pytest.mark.parametrize(
    ("x", "places"), [("epoch", [1, 2, 3]), ("update", [10, 20, 30]), ("seconds", [0.5, 1.0, 1.5])]
)
def test_the_points_lie_at_epochs_updates_or_seconds(x: Any, places: list[float]) -> None:
    points = compare_spec([curve()], {}, View(x=x))["datasets"]["points"]
    valid = points[points["part"] == "valid"]
    assert list(valid["x"]) == places
    assert list(valid["value"]) == [3.0, 2.0, 1.0]


def test_smoothing_draws_the_average_and_keeps_what_was_measured() -> None:
    points = compare_spec([curve()], {}, View(smoothing=0.5, error="rmse", parts="train"))["datasets"]["points"]
    assert list(points["raw"]) == [2.0, 1.0, 0.5]
    assert list(points["value"]) == pytest.approx(ema([2.0, 1.0, 0.5], 0.5))
    assert set(points["part"]) == {"train"}


def test_every_run_is_named_once_apart_from_its_neighbours() -> None:
    curves = [curve(f"run {slot}", slot) for slot in range(MOST_CURVES)]
    spec = compare_spec(curves, {"global mean": 1.2, "user + movie bias": 1.0}, View())
    ends = spec["datasets"]["ends"]
    assert sorted(ends["text"]) == sorted(
        [*(f"run {slot} 1.000" for slot in range(MOST_CURVES)), "global mean 1.200", "user + movie bias 1.000"]
    )
    low, high = sorted(y_domain(spec))
    gaps = np.diff(np.sort(ends["place"].to_numpy(dtype=float)))
    assert gaps.min() / (high - low) * (spec["height"] - 62) >= 14.9


def test_short_names_still_tell_runs_apart() -> None:
    names = ["fastai, dot product, rate 0.01", "fastai, dot product, rate 0.03", "PyTorch"]
    ends = compare_spec([curve(name, k) for k, name in enumerate(names)], {}, View())["datasets"]["ends"]
    assert len(set(ends["brief"])) == 3
    assert max(map(len, ends["brief"])) <= 20


def test_a_run_keeps_its_colour_whatever_else_is_drawn() -> None:
    alone, together = compare_spec([curve("b", 3)], {}, View()), compare_spec([curve(), curve("b", 3)], {}, View())
    for spec in (alone, together):
        points = spec["datasets"]["points"]
        assert set(points[points["name"] == "b"]["slot"]) == {"3"}
    assert alone["layer"][1]["encoding"]["color"] == together["layer"][1]["encoding"]["color"]


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("x", ["epoch", "update", "seconds"])
def test_every_view_can_be_drawn_with_nothing_one_point_or_numbers_that_are_none(x: Any, log: bool) -> None:
    broken = curve("c", 2, ((math.nan, math.inf), (3.0, 2.0)))
    for curves in ([], [curve(losses=())], [curve(losses=((2.0, 1.0),))], [curve(), broken]):
        spec = compare_spec(curves, {"global mean": None}, View(x=x, log=log, log_x=log))
        assert np.isfinite(spec["datasets"]["points"][["x", "value"]].to_numpy(dtype=float)).all()
        low, high = x_domain(spec)
        assert low < high
        assert low > 0 or not log
    assert "a after 3 epochs: train 0.250, valid 1.000" in compare_alt([curve()], View(x=x, log=log))


def test_the_axis_waits_for_the_epochs_to_come() -> None:
    assert x_domain(compare_spec([curve(planned=40)], {}, View())) == [1, 40]
    assert x_domain(compare_spec([curve(planned=40)], {}, View(x="update"))) == [0, 400]


@pytest.mark.parametrize(("error", "top"), [("mse", 5.0), ("rmse", 2.5)])
def test_a_run_that_flies_off_does_not_flatten_the_others(error: Any, top: float) -> None:
    away = curve("away", 1, ((13.0, 13.0), (1e9, 1e10), (1e28, 1e30)))
    alone, both = (compare_spec(curves, {}, View(error=error)) for curves in ([curve()], [curve(), away]))
    assert max(y_domain(alone)) <= top
    assert max(y_domain(both)) <= 4 * top, "room for where it began, not for where it ended"
    ends = both["datasets"]["ends"].set_index("slot")
    assert ends.loc["1", "text"] == ("away 1e+30" if error == "mse" else "away 1e+15")
    assert ends.loc["1", "place"] > ends.loc["0", "place"]
    assert ends["value"].max() <= max(y_domain(both))
    lines = [layer["mark"] for layer in both["layer"] if "datum.part" in str(layer.get("transform"))]
    assert len(lines) == 2
    assert all(mark["clip"] for mark in lines)
    assert max(y_domain(compare_spec([away], {}, View(log=True)))) >= 1e30, "alone it is what there is to see"


def test_the_first_epochs_can_be_left_out() -> None:
    spec = compare_spec([curve(planned=6)], {}, View(first=2))
    points = spec["datasets"]["points"]
    assert set(points["epoch"]) == {2, 3}
    assert x_domain(spec) == [2, 6]
    assert "a after 3 epochs: " in compare_alt([curve()], View(first=2))


def x_domain(spec: dict[str, Any]) -> list[float]:
    return next(
        layer["encoding"]["x"]["scale"]["domain"] for layer in spec["layer"] if "scale" in layer["encoding"]["x"]
    )


def y_domain(spec: dict[str, Any]) -> list[float]:
    return next(
        layer["encoding"]["y"]["scale"]["domain"] for layer in spec["layer"] if "scale" in layer["encoding"]["y"]
    )
