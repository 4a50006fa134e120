"""A batch as the model sees it, and predictions against truth: against fastai's own, and on the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.callback.core import Callback
from streamlit.testing.v1 import AppTest

from cfcore import approaches
from cfcore.approaches import batch, make_config
from cfcore.approaches.fastai_parts import embedding_rows
from cfcore.aside import Task
from cfcore.config import RunConfig
from cfcore.ratings import Split
from cfcore.ui.batch import GET_PREDS, SHOW_BATCH, SHOWN, predictions_table
from tests.pages_support import FakeJobs, finished, open_page, texts, trained

LEARNERS = ("fastai_custom", "fastai_nn", "fastai_dot")


@pytest.fixture(params=LEARNERS)
def config(request: pytest.FixtureRequest) -> RunConfig:
    return make_config(request.param, batch_size=32, epochs=1)


class See(Callback):
    """Keeps the batches on which a learner trains."""

    def before_fit(self) -> None:
        self.batches: list[tuple[torch.Tensor, torch.Tensor]] = []

    def before_batch(self) -> None:
        if self.training:  # pyright: ignore
            self.batches.append((self.xb[0].clone(), self.yb[0].clone()))  # pyright: ignore


def train_and_keep(monkeypatch: pytest.MonkeyPatch, split: Split, config: RunConfig) -> tuple[Any, Any]:
    """A run as the worker trains it, and the learner that did."""
    module, kept = approaches.load(config.approach), []
    make_learner = module.make_learner  # pyright: ignore

    def keep(split: Split, config: RunConfig) -> Any:
        learn, as_model = make_learner(split, config)
        learn.add_cb(See())
        kept.append(learn)
        return learn, as_model

    monkeypatch.setattr(module, "make_learner", keep)
    run = approaches.train(split, config)
    monkeypatch.setattr(module, "make_learner", make_learner)
    return run, kept[0]


def without_some(split: Split) -> Split:
    """Two users and a movie lose their training rows, so that embedding rows are no longer index plus one."""
    users, movies, _ = split.part(split.train)
    return replace(split, train=split.train[(users != 0) & (users != 7) & (movies != 3)])


def test_it_is_the_first_batch_that_the_run_trains_on(
    monkeypatch: pytest.MonkeyPatch, small_split: Split, config: RunConfig
) -> None:
    _, learn = train_and_keep(monkeypatch, small_split, config)
    found = batch.run({"split": small_split, "config": config}, lambda share: None)
    x, y = learn.see.batches[0]
    rows = np.column_stack([found["user_row"], found["movie_row"]])
    np.testing.assert_array_equal(rows, x[: batch.SHOWN].numpy())
    np.testing.assert_array_equal(found["rating"], y[: batch.SHOWN, 0].numpy())
    assert found["size"] == len(x)
    assert found["n_batches"] == len(learn.see.batches)


def test_it_decodes_to_training_ratings_as_show_batch_prints_them(
    monkeypatch: pytest.MonkeyPatch, small_split: Split, config: RunConfig
) -> None:
    split = without_some(small_split)
    found = batch.run({"split": split, "config": config}, lambda share: None)
    known = set(zip(*(each.tolist() for each in split.part(split.train)), strict=True))
    shown = list(zip(*(found[name].tolist() for name in ("user_idx", "movie_idx", "rating")), strict=True))
    assert len(shown) == batch.SHOWN
    assert set(shown) <= known
    learn, _ = approaches.load(config.approach).make_learner(split, config)  # pyright: ignore
    for column, n in (("user", split.ratings.n_users), ("movie", split.ratings.n_items)):
        rows = embedding_rows(learn.dls, column, n)[found[f"{column}_idx"]]
        np.testing.assert_array_equal(rows, found[f"{column}_row"])
    assert (found["user_row"] != found["user_idx"] + 1).any()
    x = torch.tensor(np.column_stack([found["user_row"], found["movie_row"]]))
    printed = show(monkeypatch, lambda: learn.dls.train.show_batch((x, torch.tensor(found["rating"])[:, None])))
    np.testing.assert_array_equal(printed[["user", "movie", "rating"]].to_numpy(float), np.array(shown, dtype=float))


def show(monkeypatch: pytest.MonkeyPatch, showing: Callable[[], object]) -> pd.DataFrame:
    """The table that fastai hands to whatever displays it: a print, or a notebook's cell."""
    tables: list[pd.DataFrame] = []
    monkeypatch.setattr("fastai.tabular.core.display_df", tables.append)
    showing()
    return tables[0]


def test_stored_predictions_are_those_of_get_preds_and_the_shown_lines_give_them(
    monkeypatch: pytest.MonkeyPatch, small_split: Split, config: RunConfig
) -> None:
    run, learn = train_and_keep(monkeypatch, small_split, config)
    with learn.no_bar():
        predictions, truth = learn.get_preds()
        *lines, last = GET_PREDS.splitlines()
        names: dict[str, Any] = {"learn": learn, "pd": pd}
        exec("\n".join([*lines, f"shown = {last}"]), names)
    np.testing.assert_allclose(run.valid_predictions, predictions.flatten().numpy(), atol=1e-5)
    np.testing.assert_array_equal(small_split.ratings.rating[small_split.valid], truth[:, 0].numpy())
    arrays = {"valid_rows": small_split.valid, "valid_predictions": run.valid_predictions}
    table = predictions_table(arrays, small_split.ratings, "file", 10**6)
    np.testing.assert_allclose(table[["rating", "prediction"]], names["shown"].astype(float), atol=1e-5)


def test_the_line_that_shows_a_batch_runs(monkeypatch: pytest.MonkeyPatch, small_split: Split) -> None:
    config = make_config("fastai_dot", batch_size=32)
    learn, _ = approaches.load("fastai_dot").make_learner(small_split, config)  # pyright: ignore
    table = show(monkeypatch, lambda: exec(SHOW_BATCH, {"learn": learn}))
    assert list(table.columns) == ["user", "movie", "rating"]
    assert len(table) == batch.SHOWN


@pytest.mark.parametrize("order", ["file", "worst", "best"])
def test_predictions_are_sorted_by_file_order_worst_or_best(small_split: Split, order: str) -> None:
    ratings, rows = small_split.ratings, small_split.valid
    predictions = np.random.default_rng(3).uniform(1, 5, len(rows)).astype(np.float32)
    shuffled = np.random.default_rng(4).permutation(len(rows))
    arrays = {"valid_rows": rows[shuffled], "valid_predictions": predictions[shuffled]}
    table = predictions_table(arrays, ratings, order, 12)
    by_row = dict(zip(rows.tolist(), predictions.tolist(), strict=True))
    errors = {row: value - float(ratings.rating[row]) for row, value in by_row.items()}
    keys = {"file": lambda row: row, "worst": lambda row: -abs(errors[row]), "best": lambda row: abs(errors[row])}
    expected = sorted(by_row, key=keys[order])[:12]
    assert list(table["user"]) == [ratings.users.user_id[ratings.user_idx[row]] for row in expected]
    assert list(table["movie"]) == [ratings.items.title[ratings.item_idx[row]] for row in expected]
    np.testing.assert_allclose(table["error"], [errors[row] for row in expected], atol=1e-6)
    np.testing.assert_allclose(table["prediction"] - table["rating"], table["error"], atol=1e-6)


# The page


def opened(run_id: str) -> AppTest:
    app = open_page("pages/train.py", run=run_id)
    app.session_state["batch-tables"] = True
    return app.run()


def test_both_tables_stand_under_a_fastai_run_once_opened(jobs: FakeJobs) -> None:
    run = trained(jobs, "fastai_dot", epochs=1, batch_size=1024)
    assert "as its model sees it" not in texts(open_page("pages/train.py", run=run.id))
    app = opened(run.id)
    tables = [frame.value for frame in app.dataframe]
    seen = next(table for table in tables if "user row" in table)
    preds = next(table for table in tables if "prediction" in table)
    assert len(seen) == batch.SHOWN
    assert len(preds) == SHOWN
    arrays = jobs.store.arrays(run.id, "valid_predictions")["valid_predictions"]
    assert np.isin(preds["prediction"].to_numpy(np.float32), arrays).all()
    assert {SHOW_BATCH, GET_PREDS} <= {code.value for code in app.code}


def test_a_batch_is_computed_once_a_visit(jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(trained(jobs, "fastai_dot", epochs=1, batch_size=1024).id)
    monkeypatch.setattr(jobs, "compute", lambda *args, **options: Task("anew"))  # which would never end
    app.run()
    assert any("user row" in frame.value for frame in app.dataframe)
    assert "Waiting for a worker." not in texts(app)


@pytest.mark.parametrize("sizes", [{"n_train": 5}, {"n_valid": 5}])
def test_ratings_that_have_changed_since_have_no_tables(
    jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch, sizes: dict[str, int]
) -> None:
    run = trained(jobs, "fastai_dot", epochs=1, batch_size=4096, embedding_size=2)
    get = jobs.store.get
    monkeypatch.setattr(jobs.store, "get", lambda run_id: (found := get(run_id)) and replace(found, **sizes))
    app = opened(run.id)
    assert "the data set has changed since the run" in texts(app)
    assert not app.exception
    assert not any("prediction" in frame.value or "user row" in frame.value for frame in app.dataframe)


def test_runs_of_other_approaches_and_without_an_end_have_none(jobs: FakeJobs) -> None:
    for run in (finished(jobs), finished(jobs, "diverged", rmse=None, approach="fastai_dot", batch_size=64)):
        app = opened(run.id)
        assert not app.exception
        assert "as its model sees it" not in texts(app)


def test_a_batch_that_is_late_or_lost_says_so_and_the_predictions_stand(
    jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(jobs, "fastai_dot", epochs=1, batch_size=1024)
    task = Task("batch")
    monkeypatch.setattr(jobs, "compute", lambda *args, **options: task)
    app = opened(run.id)
    assert "Waiting for a worker." in texts(app)
    assert any("prediction" in frame.value for frame in app.dataframe)
    task.end("failed", "the worker was lost")
    app.run()
    assert "The worker was lost." in texts(app)
    assert any(each.label == "Try again" for each in app.button)
