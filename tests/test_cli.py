"""The command line: what it prints and writes, and how it ends."""

from __future__ import annotations

import csv
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfcore.__main__ import main, parser, requested
from cfcore.approaches import APPROACHES, make_config
from cfcore.config import RunRequest, SplitConfig
from cfcore.ui.result import command
from tests.conftest import REAL_DATA

ROOT = Path(__file__).parents[1]
QUICK = ["--approach", "scratch", "--dataset", "sample", "--epochs", "3", "--embedding-size", "4"]


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_train_prints_a_line_an_epoch_and_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *QUICK]) == 0
    out = capsys.readouterr().out
    assert [line.split()[1] for line in out.splitlines() if line.startswith("epoch")] == ["1", "2", "3"]
    assert "user + movie bias" in out
    assert "global mean" in out


def test_the_written_predictions_reproduce_the_reported_loss(tmp_path: Path) -> None:
    result_file, folder = tmp_path / "results" / "r.json", tmp_path / "out"
    assert main(["train", *QUICK, "--json", str(result_file), "--out", str(folder)]) == 0
    result = json.loads(result_file.read_text())
    assert result == json.loads((folder / "run.json").read_text())
    rows = read_csv(folder / "predictions.csv")
    errors = [float(row["prediction"]) - float(row["rating"]) for row in rows]
    assert np.mean(np.square(errors)) == pytest.approx(result["metrics"]["valid_mse"], abs=1e-4)
    assert list(rows[0]) == ["user_id", "movie_id", "rating", "prediction"]
    factors = np.load(folder / "movie_factors.npy", allow_pickle=False)
    movies = read_csv(folder / "movies.csv")
    assert factors.shape == (len(movies), 4) == (result["dataset"]["n_items"], 4)


def test_the_json_holds_what_is_promised(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    assert main(["train", *QUICK, "--seed", "9", "--json", str(path)]) == 0
    result = json.loads(path.read_text())
    assert {
        "approach",
        "dataset",
        "split",
        "config",
        "history",
        "metrics",
        "fit_seconds",
        "peak_memory_mb",
        "status",
    } <= set(result)
    assert {"name", "n_users", "n_items", "n_ratings"} <= set(result["dataset"])
    assert result["status"] == "done"
    assert result["config"]["seed"] == result["split"]["seed"] == 9
    assert [set(epoch) >= {"epoch", "train_loss", "valid_loss", "seconds"} for epoch in result["history"]] == [True] * 3
    names = {"valid_mse", "valid_rmse", "valid_mae", "baseline_mean_rmse", "baseline_bias_rmse"}
    assert names <= set(result["metrics"])


def test_the_published_fold_is_predicted_pair_by_pair(tmp_path: Path) -> None:
    source = REAL_DATA / "ml-100k"
    if not source.exists():
        pytest.skip("no copy of MovieLens 100k beside the project")
    command = ["train", "--approach", "bias", "--dataset", str(source), "--split", "u1", "--out", str(tmp_path)]
    assert main(command) == 0
    written = {
        (row["user_id"], row["movie_id"], float(row["rating"])) for row in read_csv(tmp_path / "predictions.csv")
    }
    published = {
        (user, movie, float(rating))
        for user, movie, rating, _ in (line.split("\t") for line in (source / "u1.test").read_text().splitlines())
    }
    assert written == published


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--approach", "svd"], "unknown approach 'svd'; choose from scratch"),
        (["--approach", "scratch", "--weight-decay", "0.1"], "scratch has no setting 'weight_decay'"),
        (["--approach", "scratch", "--epochs", "0"], "epochs must be from 1"),
        (["--approach", "scratch", "--epochs", "many"], "invalid int value"),
        (["--approach", "scratch", "--learning-rate", "nan"], "learning_rate must be a finite number"),
        (["--approach", "scratch", "--lookup", "hash"], "unknown lookup 'hash'"),
        (["--approach", "scratch", "--split", "u9"], "unknown split 'u9'"),
        (["--approach", "scratch", "--split", "u1"], "no published fold u1"),
        (["--approach", "scratch", "--split", "random", "--valid-fraction", "1.5"], "between 0 and 1"),
        (["--approach", "scratch", "--seed", "-1"], "seed"),
        (["--approach", "scratch", "--dataset", "no-such-folder"], "no-such-folder"),
        ([], "--approach"),
    ],
)
def test_bad_arguments_end_with_2_and_one_clear_line(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "--dataset" not in arguments:
        arguments = [*arguments, "--dataset", "sample"]
    try:
        status = main(["train", *arguments])
    except SystemExit as end:
        status = end.code
    error = capsys.readouterr().err
    assert status == 2
    assert says in error
    assert len(error.strip().splitlines()) == 1


def test_a_diverged_run_ends_with_1_and_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r.json"
    assert (
        main(
            ["train", *QUICK, "--epochs", "40", "--learning-rate", "10000", "--json", str(path), "--out", str(tmp_path)]
        )
        == 1
    )
    assert "learning rate of 10000 is too high" in capsys.readouterr().err
    result = json.loads(path.read_text())
    assert result["status"] == "diverged"
    assert result["metrics"]["valid_mse"] is None


def test_the_lists_are_also_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["approaches", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["key"] for entry in listed] == list(APPROACHES)
    assert listed[0]["preset"]["learning_rate"] == 1.5
    assert main(["datasets", "--json"]) == 0
    names = [row["name"] for row in json.loads(capsys.readouterr().out)]
    assert names == ["sample", "ml-100k", "ml-latest-small", "ml-1m", "ml-25m", "ml-32m"]


def test_it_runs_as_a_module_from_anywhere(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "cfcore", "datasets", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CFCORE_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = {row["name"]: row for row in json.loads(run.stdout)}
    assert rows["sample"]["on_disk"]
    assert rows["sample"]["simulated"]
    assert not rows["ml-100k"]["on_disk"]


@settings(max_examples=60, deadline=None)
@given(
    key=st.sampled_from(list(APPROACHES)),
    seed=st.integers(0, 5),
    split=st.one_of(
        st.sampled_from([SplitConfig.of("u1"), SplitConfig.of("time")]),
        st.builds(SplitConfig, valid_fraction=st.floats(0.05, 0.9), seed=st.integers(0, 50)),
    ),
    rate=st.floats(1e-3, 1.0),
)
def test_the_command_a_page_shows_asks_for_the_same_run(key: str, seed: int, split: SplitConfig, rate: float) -> None:
    known = APPROACHES[key].settings
    chosen = {
        "seed": seed,
        "learning_rate": rate,
        "layers": (30, 20),
        "y_range": (-rate / 1e6, 4.5),
        "lookup": "matrix",
    }
    config = make_config(key, **{name: value for name, value in chosen.items() if name in known})
    shown = shlex.split(command(RunRequest(dataset="sample", split=split, config=config)))
    assert shown[:4] == ["python", "-m", "cfcore", "train"]
    assert requested(parser().parse_args(shown[3:])) == (config, split)
