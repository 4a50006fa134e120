"""Explore and Recommend look at one run: this visit's, anybody's by link, or one that still trains."""

from __future__ import annotations

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from cfcore.approaches import make_config
from cfcore.config import RunRequest, SplitConfig
from cfcore.runs import Run
from cfcore.training import EpochResult
from tests.pages_support import FakeJobs, button, finished, open_page, param, texts, trained

PAGES = ["pages/explore.py", "pages/recommend.py"]
QUICK = {"epochs": 1, "batch_size": 512, "embedding_size": 6}

pytestmark = pytest.mark.usefixtures("jobs")


def run_box(app: AppTest):
    return next(box for box in app.selectbox if box.label == "Run")


@pytest.fixture
def run(jobs: FakeJobs) -> Run:
    return trained(jobs, "scratch", epochs=3, embedding_size=4, learning_rate=10.0)


@pytest.mark.parametrize("page", PAGES)
def test_without_a_run_the_page_says_what_to_do_and_does_it(page: str, jobs: FakeJobs) -> None:
    app = open_page(page)
    assert "Nothing has been trained yet" in texts(app)
    assert [box.label for box in app.selectbox] == []
    button(app, "Train a model now").click().run()
    assert not app.exception
    submitted = jobs.store.list(visitor=app.session_state["visitor"])
    assert [each.request.config.approach for each in submitted] == ["fastai_dot"]
    assert "after its first epoch" in texts(app)
    assert app.get("progress")[0].proto.text.startswith("Starting")


@pytest.mark.parametrize("page", PAGES)
def test_a_link_shows_anybodys_run_and_stays_in_the_address(page: str, run: Run) -> None:
    app = open_page(page, run=run.id)
    assert run_box(app).value == run.id
    assert param(app, "run") == run.id
    assert "Nothing has been trained yet" not in texts(app)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(("status", "word"), [("diverged", "diverged"), ("failed", "failed")])
def test_a_run_that_learned_nothing_is_named(page: str, status: str, word: str, jobs: FakeJobs, run: Run) -> None:
    if status == "failed":
        lost = jobs.submit(run.request)
        jobs.store.fail(lost.id, "The worker was lost.")
    else:
        lost = finished(jobs, status, rmse=None)
    app = open_page(page, run=lost.id)
    assert f"The run that was asked for {word}" in texts(app)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("wrong", ["AAAAAAAAAAAAAAAA", "../../etc", "<script>", ""])
def test_a_link_to_no_run_is_said(page: str, wrong: str) -> None:
    app = open_page(page, run=wrong)
    assert ("There is no run with this link here" in texts(app)) == bool(wrong)
    assert "Nothing has been trained yet" in texts(app)


@pytest.mark.parametrize("page", PAGES)
def test_a_run_is_chosen_for_every_page_at_once(page: str, jobs: FakeJobs, run: Run) -> None:
    app = open_page("app.py")
    mine = app.session_state["visitor"]
    other = trained(jobs, "scratch", visitor=mine, epochs=2, embedding_size=3, learning_rate=10.0)
    newest = trained(jobs, "scratch", visitor=mine, epochs=2, embedding_size=5, learning_rate=10.0)
    app.switch_page(page).run()
    assert run_box(app).value == newest.id
    assert all("Scratch" in option or "scratch" in option for option in run_box(app).options)
    run_box(app).set_value(other.id).run()
    assert not app.exception
    assert param(app, "run") == other.id
    app.switch_page("pages/train.py").run()
    assert param(app, "run") == other.id


@pytest.mark.parametrize("page", PAGES)
def test_a_run_in_training_is_shown_as_of_its_last_epoch(page: str, jobs: FakeJobs, run: Run) -> None:
    config = make_config("scratch", epochs=9, embedding_size=4)
    living = jobs.submit(RunRequest(dataset="sample", split=SplitConfig.of("random"), config=config))
    jobs.store.start(living.id, split_how="random", n_train=9, n_valid=3, baseline_mean_mse=1.2, baseline_bias_mse=0.8)
    jobs.store.add_epoch(living.id, EpochResult(epoch=1, train_loss=3.0, valid_loss=3.1, seconds=0.1))
    app = open_page(page, run=living.id)
    assert "after its first epoch" in texts(app)  # its worker has not shown anything yet

    arrays = jobs.store.arrays(run.id)
    jobs.living[living.id] = {**arrays, "epoch": np.array(1)}
    app.run()
    assert not app.exception
    assert "after its first epoch" not in texts(app)
    assert run_box(app).value == living.id


@pytest.mark.parametrize("page", PAGES)
def test_data_that_is_not_here_is_said(page: str, jobs: FakeJobs, run: Run) -> None:
    elsewhere = jobs.submit(RunRequest(dataset="ml-1m", split=SplitConfig.of("random"), config=run.request.config))
    jobs.store.start(
        elsewhere.id, split_how="random", n_train=9, n_valid=3, baseline_mean_mse=1.2, baseline_bias_mse=0.8
    )
    jobs.living[elsewhere.id] = {**jobs.store.arrays(run.id), "epoch": np.array(1)}
    app = open_page(page, run=elsewhere.id)
    assert "MovieLens 1M" in texts(app)
    assert not app.exception
