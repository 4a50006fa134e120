"""Exports: what is written reads back as it was, with the readers that people use."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from cfcore import datasets, export
from cfcore.__main__ import main
from cfcore.approaches import make_config, train
from cfcore.config import RunRequest, SplitConfig
from cfcore.export.cells import one_line, safe, unsafe
from cfcore.export.command import FORMATS
from cfcore.export.tables import updates_an_epoch
from cfcore.metrics import Ranking
from cfcore.outcome import outcome_of
from cfcore.ratings import Ratings, make_split
from cfcore.runs import Run, RunStore
from cfcore.training import EpochResult, Metrics
from tests.conftest import make_ratings

NAN = float("nan")
RANKING = Ranking(precision=0.1, recall=0.2, ndcg=1 / 3, hit_rate=0.5, coverage=0.25, mean_popularity=12.5, n_users=40)
METRICS = Metrics(
    valid_mse=0.81,
    valid_rmse=0.9,
    valid_mae=0.7,
    baseline_mean_rmse=1.1,
    baseline_mean_mae=0.95,
    baseline_bias_rmse=0.92,
    baseline_bias_mae=0.75,
    ranking=RANKING,
)


def a_run(run_id: str = "abcdefghijklmnop", **changes) -> Run:
    history = tuple(
        EpochResult(epoch=k, train_loss=1 / k, valid_loss=valid, seconds=0.1, learning_rate=0.005)
        for k, valid in ((1, 1.5), (2, 0.1 + 0.2), (3, 1.25))
    )
    config = make_config("fastai_nn", layers=(20, 10), epochs=3)
    values = {
        "id": run_id,
        "visitor": "somebody",
        "name": "mine",
        "request": RunRequest(dataset="sample", split=SplitConfig.of("random"), config=config),
        "dataset_title": "Sample",
        "created": 0.0,
        "started": 1.0,
        "finished": 2.0,
        "status": "done",
        "message": "",
        "split_how": "random 20%",
        "n_train": 1000,
        "n_valid": 250,
        "baseline_mean_mse": 1.21,
        "baseline_bias_mse": 0.85,
        "metrics": METRICS,
        "fit_seconds": 1.5,
        "peak_memory_mb": 512.0,
        "group": "",
        "history": history,
    }
    return Run(**(values | changes))


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def factors(ratings: Ratings, k: int = 3, untrained: tuple[int, ...] = (0, 4)) -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    items = random.normal(size=(ratings.n_items, k)).astype(np.float32)
    items[list(untrained)] = np.nan
    return {
        "user_factors": random.normal(size=(ratings.n_users, k)).astype(np.float32),
        "item_factors": items,
        "item_bias": items[:, 0].copy(),
        "model_offset": np.array(3.5),
        "model_y_range": np.array([1.0, 5.0]),
    }


# Tables


def test_a_row_for_every_run_reads_back_with_every_digit() -> None:
    (row,) = read(export.runs_csv([a_run()]))
    assert float(row["best_valid_loss"]) == 0.1 + 0.2
    assert float(row["ndcg_at_10"]) == 1 / 3
    assert row["best_epoch"] == "2"
    assert float(row["last_valid_loss"]) == 1.25
    assert row["layers"] == "20 10"
    assert row["embedding_size"] == ""
    assert float(row["valid_rmse"]) == 0.9
    assert row["ranked_users"] == "40"
    assert row["created"] == "1970-01-01T00:00:00+00:00"


def test_a_row_for_every_epoch_of_every_run() -> None:
    runs = [a_run(), a_run("ponmlkjihgfedcba", history=())]
    table = pd.read_csv(io.StringIO(export.epochs_csv(runs)))
    assert list(table["run_id"]) == ["abcdefghijklmnop"] * 3
    assert list(table["epoch"]) == [1, 2, 3]
    assert list(table["train_loss"]) == [1, 1 / 2, 1 / 3]
    assert list(table["updates"]) == [16, 32, 48]  # 1000 ratings in batches of 64


def test_an_epoch_has_as_many_updates_as_batches() -> None:
    request = a_run().request
    assert updates_an_epoch(request, 1000) == 16
    assert updates_an_epoch(request, None) is None
    full = replace(request, config=make_config("scratch"))
    assert updates_an_epoch(full, 1000) == updates_an_epoch(full, None) == 1


def test_what_means_nothing_is_empty_or_null() -> None:
    broken = a_run(
        status="diverged",
        metrics=None,
        history=(EpochResult(epoch=1, train_loss=NAN, valid_loss=float("inf"), seconds=0.1),),
    )
    (row,) = read(export.runs_csv([broken]))
    assert row["valid_rmse"] == row["best_valid_loss"] == row["last_train_loss"] == ""
    (told,) = json.loads(export.runs_json([broken]), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert told["metrics"] is None
    assert told["history"][0]["valid_loss"] is None


def test_the_json_rebuilds_request_epochs_and_metrics() -> None:
    run = a_run()
    (told,) = json.loads(export.runs_json([run]))
    split = {name: told["split"].get(name) for name in ("kind", "valid_fraction", "seed")}
    again = RunRequest.from_json({"dataset": told["dataset"]["name"], "split": split, "config": told["config"]})
    assert again == run.request
    assert [EpochResult(**epoch).valid_loss for epoch in told["history"]] == [1.5, 0.1 + 0.2, 1.25]
    assert Metrics.from_json(told["metrics"]).ranking == RANKING


@pytest.mark.parametrize("name", ["=1+1", "+49 30", "-2", "@sum", "\t=1", "  =cmd|' /C calc'!A0"])
def test_no_name_becomes_a_formula(name: str) -> None:
    (row,) = read(export.runs_csv([a_run(name=name, dataset_title=name)]))
    for cell in (row["name"], row["dataset_title"]):
        assert cell == f"'{name}"
    (epoch, *_) = read(export.epochs_csv([a_run(name=name)]))
    assert epoch["name"] == f"'{name}"


def test_no_cell_of_a_table_is_a_formula_not_even_an_id() -> None:
    run = a_run("-bcdefghijklmnop", group="-group", dataset_title="-1", message="@failed", n_train=-1)
    (row,), (epoch, *_) = read(export.runs_csv([run])), read(export.epochs_csv([run]))
    assert row["run_id"] == epoch["run_id"] == "'-bcdefghijklmnop"
    assert row["group"] == "'-group"
    assert row["message"] == "'@failed"
    assert row["n_train"] == "-1", "a number stays one"
    assert json.loads(export.runs_json([run]))[0]["id"] == run.id


def test_titles_and_ids_of_movies_are_no_formulas(tmp_path: Path) -> None:
    ratings = make_ratings()
    titles, ids = ratings.items.title.copy().astype(object), ratings.items.item_id.astype(str).astype(object)
    titles[1], ids[1] = "=HYPERLINK(1)", "-1"
    ratings = replace(ratings, items=replace(ratings.items, title=titles, item_id=ids))
    cells = export.metadata_tsv(factors(ratings)["item_factors"], ratings).split("\n")[1].split("\t")
    assert (cells[0], cells[-1]) == ("'=HYPERLINK(1)", "'-1")
    split = make_split(ratings, SplitConfig.of("random"))
    trained = train(split, make_config("bias"))
    export.write_folder(tmp_path, split, trained, {})
    movies = read((tmp_path / "movies.csv").read_text())
    assert (movies[1]["movie_id"], movies[1]["title"]) == ("'-1", "'=HYPERLINK(1)")
    for line in read((tmp_path / "predictions.csv").read_text()):
        assert not line["movie_id"].startswith("-")
        float(line["prediction"])


@given(st.text())
def test_safe_text_changes_by_nothing_but_an_apostrophe(text: str) -> None:
    assert safe(text) in (text, f"'{text}")
    assert not safe(text).startswith(("=", "+", "-", "@", "\t", "\r"))


# Vectors


def test_the_projector_files_hold_the_trained_movies_line_by_line() -> None:
    ratings = make_ratings()
    arrays = factors(ratings)
    vectors = np.loadtxt(io.StringIO(export.vectors_tsv(arrays["item_factors"])), delimiter="\t", dtype=np.float32)
    trained = [i for i in range(ratings.n_items) if i not in (0, 4)]
    assert np.array_equal(vectors, arrays["item_factors"][trained])
    lines = export.metadata_tsv(arrays["item_factors"], ratings).splitlines()
    assert lines[0].split("\t") == ["title", "year", "genres", "ratings", "mean_rating", "movie_id"]
    assert len(lines) == 1 + len(vectors)
    for line, i in zip(lines[1:], trained, strict=True):
        title, year, _, n, mean, movie_id = line.split("\t")
        given_stars = ratings.rating[ratings.item_idx == i]
        assert (title, year, int(n), int(movie_id)) == (f"Movie {i} (2000)", "2000", len(given_stars), 1000 + i)
        assert float(mean) == pytest.approx(given_stars.mean(), abs=1e-4)


def test_a_title_with_tabs_and_line_breaks_stays_on_its_line() -> None:
    ratings = make_ratings()
    titles = ratings.items.title.copy()
    titles[1] = " Two\tlines\r\nand\u2028more\x00 "
    ratings = replace(ratings, items=replace(ratings.items, title=titles))
    text = export.metadata_tsv(factors(ratings)["item_factors"], ratings)
    assert text.count("\n") == 1 + ratings.n_items - 2
    assert text.split("\n")[1].split("\t")[0] == "Two lines and more"


@given(st.text())
def test_one_line_is_one_cell(text: str) -> None:
    cleaned = one_line(text)
    assert len(cleaned.splitlines()) <= 1
    assert "\t" not in cleaned


def test_npz_reads_back_equal_with_the_ids_of_its_rows() -> None:
    ratings = make_ratings()
    arrays = factors(ratings)
    with np.load(io.BytesIO(export.factors_npz(arrays, ratings)), allow_pickle=False) as file:
        assert np.array_equal(file["item_factors"], arrays["item_factors"], equal_nan=True)
        assert np.array_equal(file["user_factors"], arrays["user_factors"])
        assert np.array_equal(file["item_id"], ratings.items.item_id)
        assert np.array_equal(file["user_id"], ratings.users.user_id)
        assert list(file["y_range"]) == [1.0, 5.0]
        assert "user_bias" not in file


def test_safetensors_read_back_equal(tmp_path: Path) -> None:
    ratings = make_ratings()
    arrays = factors(ratings)
    path = tmp_path / "run.safetensors"
    path.write_bytes(export.factors_safetensors(arrays, ratings, {"run": "abc"}))
    with safe_open(path, framework="numpy") as file:
        assert np.array_equal(file.get_tensor("item_factors"), arrays["item_factors"], equal_nan=True)
        assert np.array_equal(file.get_tensor("item_id"), ratings.items.item_id)
        assert float(file.get_tensor("offset")) == 3.5
        assert file.metadata()["run"] == "abc"


def test_ids_that_are_text_go_into_the_header(tmp_path: Path) -> None:
    ratings = make_ratings()
    ids = np.array([f"film {i}" for i in range(ratings.n_items)], dtype=object)
    ratings = replace(ratings, items=replace(ratings.items, item_id=ids))
    path = tmp_path / "run.safetensors"
    path.write_bytes(export.factors_safetensors(factors(ratings), ratings, {}))
    with safe_open(path, framework="numpy") as file:
        assert json.loads(file.metadata()["item_id"]) == list(ids)
    with np.load(io.BytesIO(export.factors_npz(factors(ratings), ratings)), allow_pickle=False) as file:
        assert list(file["item_id"]) == list(ids)


def test_data_that_has_changed_is_refused_rather_than_mislabelled() -> None:
    ratings, arrays = make_ratings(n_items=20), factors(make_ratings(n_items=19))
    for write in (export.factors_npz, lambda a, r: export.metadata_tsv(a["item_factors"], r)):
        with pytest.raises(ValueError, match="19 movies and the data set now has 20"):
            write(arrays, ratings)


def test_a_run_that_learned_nothing_has_no_vectors() -> None:
    for nothing in (np.full((4, 2), np.nan, np.float32), np.zeros((4, 0), np.float32)):
        with pytest.raises(ValueError, match="no trained vectors"):
            export.vectors_tsv(nothing)


def test_safetensors_do_not_bring_torch_along() -> None:
    code = (
        "import sys, numpy as np\nfrom cfcore import export\nfrom tests.test_export import factors, make_ratings\n"
        "r = make_ratings()\nexport.factors_safetensors(factors(r), r, {})\nprint('torch' in sys.modules)"
    )
    root = Path(__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "False", run.stderr


# The command line


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    monkeypatch.setenv("CFCORE_RUNS_DIR", str(tmp_path / "runs"))
    return RunStore()


def in_store(store: RunStore) -> Run:
    """A run that was really trained on the sample."""
    ratings = datasets.load("sample")
    request = RunRequest(dataset="sample", split=SplitConfig.of("random"), config=make_config("scratch", epochs=2))
    split = make_split(ratings, request.split)
    run = store.create(request, dataset_title=ratings.about.title)
    assert store.finish(run.id, outcome_of(train(split, request.config)))
    return store.get_many([run.id])[0]


def test_the_command_writes_every_format(store: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = in_store(store), tmp_path / "out"
    assert main(["export", "--format", *FORMATS, "--out", str(out), "--", run.id]) == 0
    names = {path.name for path in out.iterdir()}
    stem = f"scratch-{run.id}"
    assert names == {"runs.csv", "epochs.csv", "runs.json"} | {
        *(f"{stem}{end}" for end in ("-vectors.tsv", "-metadata.tsv", ".npz", ".safetensors")),
        *(f"{stem}{end}" for end in ("-script.zip", "-notebook.zip", "-report.html")),
    }
    assert {Path(line).name for line in capsys.readouterr().out.splitlines()} == names
    (row,) = read((out / "runs.csv").read_text())
    assert unsafe(row["run_id"]) == run.id
    vectors = np.loadtxt(out / f"{stem}-vectors.tsv", delimiter="\t", dtype=np.float32)
    with np.load(out / f"{stem}.npz") as file:
        factors = file["item_factors"]
    assert np.array_equal(vectors, factors[np.isfinite(factors).all(axis=1)])


def test_the_command_takes_an_id_as_it_stands_in_the_table(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cfcore.runs.secrets.token_urlsafe", lambda n: "-bcdefghijklmnop")
    in_store(store)
    assert main(["export", "--format", "csv", "--out", str(tmp_path / "one"), "--", "-bcdefghijklmnop"]) == 0
    (row,) = read((tmp_path / "one" / "runs.csv").read_text())
    assert row["run_id"] == "'-bcdefghijklmnop"
    assert main(["export", "--format", "csv", "--out", str(tmp_path / "two"), row["run_id"]]) == 0


def test_the_command_says_which_run_there_is_none_of(store: RunStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "AAAAAAAAAAAAAAAA"]) == 2
    assert "there is no run AAAAAAAAAAAAAAAA in" in capsys.readouterr().err


def test_the_command_says_when_a_run_has_nothing_to_export(
    store: RunStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = store.create(a_run().request)
    assert main(["export", "--format", "npz", "--out", str(tmp_path), "--", run.id]) == 2
    assert "has no arrays" in capsys.readouterr().err
