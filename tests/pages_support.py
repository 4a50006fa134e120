"""What tests of pages share: a server of their own without workers, pages opened by link, and runs to show."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from cfcore import datasets
from cfcore.approaches import baseline_predictions, make_config, train
from cfcore.aside import Task
from cfcore.config import RunRequest, SplitConfig
from cfcore.limits import LimitError
from cfcore.metrics import mse
from cfcore.models import DotModel
from cfcore.outcome import outcome_of
from cfcore.ratings import make_split
from cfcore.runs import Run, RunStore
from cfcore.training import EpochResult, Metrics, Snapshots, Trained
from cfcore.ui import state
from cfcore.worker import TASKS, with_split

ROOT = Path(__file__).parents[1]
TIMEOUT = 60


@dataclass
class FakeJobs:
    """A queue that takes runs on and does nothing with them; tests move them along through the store."""

    store: RunStore
    stopped: list[str] = field(default_factory=list)
    state: str = "ready"
    message: str = ""
    place: int | None = 1
    begins: float | None = None
    own: bool = False
    full: str = ""
    estimates: list[float] = field(default_factory=list)
    living: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    def submit(
        self,
        request: RunRequest,
        *,
        visitor: str = "",
        dataset_title: str = "",
        group: str = "",
        seconds: float = 0.0,
    ) -> Run:
        if self.full:
            raise LimitError(self.full)
        self.estimates.append(seconds)
        return self.store.create(request, visitor=visitor, dataset_title=dataset_title, group=group)

    def peek(self, run_id: str) -> dict[str, np.ndarray] | None:
        return self.living.get(run_id)

    def compute(self, kind: str, key: str, inputs: dict[str, Any], *, again: bool = False, owner: str = "") -> Task:
        """Done at once and here, by what a worker would call."""
        return done_here(kind, key, inputs)

    def stop(self, run_id: str) -> None:
        self.stopped.append(run_id)

    def position(self, run_id: str) -> int | None:
        return self.place

    def waits_for_own(self, run_id: str) -> bool:
        return self.own

    def starts_in(self, run_id: str) -> float | None:
        return self.begins

    def status(self) -> SimpleNamespace:
        return SimpleNamespace(state=self.state, message=self.message, n_workers=1, queued=0, running=0)


def now(app: AppTest, key: str) -> str:
    """The key that a widget of :func:`cfcore.ui.components.shows` has by now."""
    n = app.session_state["widget-numbers"].get(key, 0)
    return f"{key}~{n}" if n else key


def done_here(kind: str, key: str, inputs: dict[str, Any]) -> Task:
    task = Task(key)
    try:
        task.end("done", result=importlib.import_module(TASKS[kind]).run(with_split(inputs), lambda share: None))
    except ValueError as problem:
        task.end("failed", str(problem))
    return task


@contextmanager
def fake_server(folder: Path) -> Iterator[FakeJobs]:
    """Empty data folder, empty store, no network, no worker; nothing of it is left afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CFCORE_DATA_DIR", str(folder / "data"))
        patch.setenv("CFCORE_RUNS_DIR", str(folder / "runs"))
        patch.setenv("CFCORE_OFFLINE", "1")
        patch.chdir(ROOT)
        st.cache_resource.clear()
        st.cache_data.clear()
        fake = FakeJobs(state.store())
        patch.setattr(state, "jobs", lambda: fake)
        yield fake
        fake.store.close()
        st.cache_resource.clear()
        st.cache_data.clear()


def trained(
    jobs: FakeJobs, approach: str = "fastai_dot", *, dataset: str = "sample", visitor: str = "somebody", **settings
) -> Run:
    """A run that was really trained, in this process."""
    ratings = datasets.load(dataset)
    config = make_config(approach, scale=ratings.scale, **settings)
    request = RunRequest(dataset=dataset, split=SplitConfig.of("random"), config=config)
    split = make_split(ratings, request.split)
    run = jobs.store.create(request, visitor=visitor, dataset_title=ratings.about.title)
    baselines = {
        key: mse(predictions, ratings.rating[split.valid]) for key, predictions in baseline_predictions(split).items()
    }
    jobs.store.start(
        run.id,
        split_how=split.how,
        n_train=len(split.train),
        n_valid=len(split.valid),
        baseline_mean_mse=baselines["global_mean"],
        baseline_bias_mse=baselines["bias"],
    )
    assert jobs.store.finish(run.id, outcome_of(train(split, config), split.valid))
    return reread(jobs, run)


def open_page(page: str, **query: str) -> AppTest:
    """The page as somebody sees it who comes to it from Home, by a link with this query."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=TIMEOUT)
    if page != "app.py":
        app.run().switch_page(page)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def param(app: AppTest, name: str) -> str:
    """One parameter of the address; AppTest gives a string or a list, after who has written it."""
    value = app.query_params[name]
    return value if isinstance(value, str) else value[0]


def texts(app: AppTest) -> str:
    kinds = (app.title, app.subheader, app.markdown, app.caption, app.warning, app.error, app.info, app.success)
    return "\n".join(element.value for kind in kinds for element in kind)


def button(app: AppTest, label: str):
    found = [each for each in app.button if each.label == label]
    assert len(found) == 1, [each.label for each in app.button]
    return found[0]


def stored(jobs: FakeJobs, approach: str = "scratch", *, epochs: int = 3, visitor: str = "somebody", **settings) -> Run:
    """A running run with some epochs behind it."""
    config = make_config(approach, **{"epochs": max(epochs, 1), **settings})
    request = RunRequest(dataset="sample", split=SplitConfig.of("random"), config=config)
    run = jobs.store.create(request, visitor=visitor, dataset_title="Sample (simulated)")
    jobs.store.start(
        run.id, split_how="random 20%", n_train=8000, n_valid=2000, baseline_mean_mse=1.21, baseline_bias_mse=0.81
    )
    for epoch in range(1, epochs + 1):
        loss = 4.0 / epoch
        jobs.store.add_epoch(
            run.id, EpochResult(epoch=epoch, train_loss=loss, valid_loss=loss + 0.1, seconds=0.25, learning_rate=1.5)
        )
    return reread(jobs, run)


def reread(jobs: FakeJobs, run: Run) -> Run:
    found = jobs.store.get(run.id)
    assert found is not None
    return found


def finished(jobs: FakeJobs, status: str = "done", message: str = "", rmse: float | None = 0.8, **how) -> Run:
    """A run with an outcome; with the default ``rmse`` it beats both baselines."""
    run = stored(jobs, **how)
    factors = np.zeros((2, 2), dtype=np.float32)
    trained = Trained(
        status=status,
        message=message,
        history=run.history,
        metrics=Metrics(
            valid_mse=rmse and rmse**2,
            valid_rmse=rmse,
            valid_mae=rmse and rmse * 0.8,
            baseline_mean_rmse=1.1,
            baseline_mean_mae=0.95,
            baseline_bias_rmse=0.9,
            baseline_bias_mae=0.75,
        ),
        fit_seconds=12.345,
        peak_memory_mb=512.0,
        model=DotModel(user_factors=factors, item_factors=factors),
        user_factors=factors,
        item_factors=factors,
        user_bias=None,
        item_bias=None,
        valid_predictions=np.zeros(20, dtype=np.float32),
        snapshots=Snapshots(
            epochs=np.zeros(0, np.int32), item_idx=np.zeros(0, np.int64), factors=np.zeros((0, 0, 0), np.float16)
        ),
    )
    assert jobs.store.finish(run.id, outcome_of(trained))
    return reread(jobs, run)
