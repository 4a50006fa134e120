"""Who stands where on a class's board, how its best fell, and what leaves it as a table."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from cfcore.approaches import make_config
from cfcore.charts.board import Record, best_alt, best_spec
from cfcore.config import RunRequest, SplitConfig
from cfcore.export.board import board_csv
from cfcore.rooms import Person, Room, Rules
from cfcore.runs import Run
from cfcore.standings import best_so_far, on_the_board, standings
from cfcore.training import Metrics

SPLIT = SplitConfig.of("random")
ROOM = Room(
    code="ABC234",
    rules=Rules(dataset="sample", split=SPLIT, approaches=("mf",)),
    created=0.0,
    closed=False,
    named=True,
)
PEOPLE = [
    Person(visitor=name[0].lower(), number=number, name=name, hidden=name == "Cy", shows=True)
    for number, name in enumerate(("=Ann", "Bo", "Cy"), 1)
]


def run(
    run_id: str, visitor: str, rmse: float | None, ended: float = 1.0, status: str = "done", split: SplitConfig = SPLIT
) -> Run:
    metrics = Metrics(
        valid_mse=rmse and rmse**2,
        valid_rmse=rmse,
        valid_mae=rmse,
        baseline_mean_rmse=1.1,
        baseline_mean_mae=1.0,
        baseline_bias_rmse=0.9,
        baseline_bias_mae=0.8,
    )
    return Run(
        id=run_id,
        visitor=visitor,
        name="",
        request=RunRequest(dataset="sample", split=split, config=make_config("mf")),
        dataset_title="Sample",
        created=0.0,
        started=0.5,
        finished=None if status == "running" else ended,
        status=status,
        message="",
        split_how="",
        n_train=8,
        n_valid=2,
        baseline_mean_mse=1.21,
        baseline_bias_mse=0.81,
        metrics=None if status == "running" else metrics,
        fit_seconds=1.0,
        peak_memory_mb=1.0,
        group="",
        history=(),
    )


RUNS = [
    run("a1", "=", 0.95, ended=10),
    run("a2", "=", 0.85, ended=30),
    run("b1", "b", 0.90, ended=20),
    run("b2", "b", None, status="running"),
    run("c1", "c", 0.85, ended=40),
    run("c2", "c", None, status="diverged", ended=45),
    run("x1", "x", None, status="failed"),
    run("o1", "b", 0.5, split=SplitConfig.of("random", seed=1)),
    run("n1", "b", 0.1),
]
SHOWN = {each.id: each.visitor for each in RUNS if each.id != "n1"}


def test_everybody_stands_by_their_best_run_on_the_class_split() -> None:
    """A run on another split, or one that is not shown, would otherwise win."""
    places = standings(ROOM, PEOPLE, on_the_board(ROOM, SHOWN, RUNS))
    assert [(each.rank, each.who, each.rmse, each.n_runs) for each in places] == [
        (1, "=Ann", 0.85, 2),
        (1, "Person 3", 0.85, 2),
        (3, "Bo", 0.90, 2),
        (None, "Somebody", None, 1),
    ]
    training = {each.who: each.training for each in places}
    assert training["Bo"] is RUNS[3]
    assert training["=Ann"] is None
    assert [each.id for each in on_the_board(ROOM, SHOWN, RUNS)] == ["a1", "a2", "b1", "b2", "c1", "c2", "x1"]


def test_no_name_is_on_a_board_without_names() -> None:
    places = standings(replace(ROOM, named=False), PEOPLE, on_the_board(ROOM, SHOWN, RUNS))
    assert {each.who for each in places} == {"Person 1", "Person 2", "Person 3", "Somebody"}


def test_the_best_so_far_falls_with_every_record() -> None:
    assert [each.id for each in best_so_far(RUNS[:7])] == ["a1", "b1", "a2"]
    assert best_so_far([RUNS[3], RUNS[6]]) == []


def test_the_exported_board_has_ranks_and_the_names_that_it_shows_and_no_formula() -> None:
    fitting = on_the_board(ROOM, SHOWN, RUNS)
    rows = list(csv.DictReader(io.StringIO(board_csv(standings(ROOM, PEOPLE, fitting), fitting))))
    assert len(rows) == len(fitting)
    assert {(row["rank"], row["person"]) for row in rows} == {
        ("1", "'=Ann"),
        ("1", "Person 3"),
        ("3", "Bo"),
        ("", "Somebody"),
    }
    assert rows[0]["approach"] == "mf"
    assert "Cy" not in str(rows)


@pytest.mark.parametrize(("minutes", "until"), [([0.0], 0.0), ([0.1, 3.0, 59.0], 59.0), ([0.1, 3.0], 90.0)])
def test_the_picture_of_the_best_holds_every_record_and_goes_on_to_the_last_run(
    minutes: list[float], until: float
) -> None:
    records = [Record(who=f"p{k}", at=60 * at + 5, rmse=1.0 - k / 10) for k, at in enumerate(minutes)]
    spec = best_spec(records, began=5.0, until=60 * until + 5)
    x, y = (spec["layer"][0]["encoding"][axis]["scale"]["domain"] for axis in "xy")
    steps = spec["datasets"]["steps"]
    assert steps["minutes"].tolist() == pytest.approx([*minutes, until])
    assert steps["minutes"].between(*x).all()
    assert steps["rmse"].between(*y).all()
    said = best_alt(records, 5.0, 60 * until + 5)
    assert all(f"p{k} {1.0 - k / 10:.3f}" in said for k in range(len(records)))
    assert f"The last run ended after {until:.1f}." in said
