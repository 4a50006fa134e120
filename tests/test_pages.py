"""Every page in its states, without a browser: what is shown, what is not, and whose settings are whose."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from cfcore import datasets
from cfcore.approaches import describe, make_config
from cfcore.config import RunRequest, SplitConfig
from cfcore.datasets import load
from cfcore.doctor.why import PYTORCH
from cfcore.runs import StoreError
from cfcore.training import EpochResult
from cfcore.ui import frame, sources, state
from cfcore.ui.components import _with_links
from cfcore.ui.frame import MENU
from cfcore.ui.words import number
from tests.conftest import printed
from tests.pages_support import (
    ROOT,
    FakeJobs,
    button,
    finished,
    now,
    open_page,
    param,
    stored,
    texts,
)

PAGES = [path for path, _, _ in MENU]

pytestmark = pytest.mark.usefixtures("jobs")


# Home


def test_home_shows_the_data_at_a_glance_and_the_ways_to_train() -> None:
    app = open_page("app.py")
    ratings = datasets.load("sample")
    numbers = {metric.label: metric.value for metric in app.metric}
    assert numbers["Ratings"] == f"{len(ratings):,}"
    assert numbers["Users"] == f"{ratings.n_users:,}"
    assert "These ratings are simulated" in texts(app)
    links = [element.proto.label for element in app.get("page_link")]
    assert sum(label.startswith("**") for label in links) == 5 + 3 + 3


def test_the_citations_address_stays_a_link() -> None:
    words = _with_links("Harper & Konstan (2015), www.example.org, see https://doi.org/10.1145/2827872.")
    assert "<https://doi.org/10.1145/2827872>" in words
    assert "www.example.org" not in words


def test_a_link_to_data_that_is_not_here_says_so_and_stays_on_the_sample() -> None:
    app = open_page("app.py", dataset="ml-1m")
    assert "MovieLens 1M, which is not on this computer yet" in texts(app)
    assert "Sample \\(simulated\\)" in texts(app)


def test_a_link_to_unknown_data_is_named_as_plain_text() -> None:
    app = open_page("app.py", dataset="**bold** [x](http://y)")
    assert "\\*\\*bold\\*\\*" in texts(app)


@dataclass
class FakeDownload:
    """A download that stands still in one state."""

    name: str = "ml-100k"
    state: str = "running"
    done_bytes: int = 2_000_000
    total_bytes: int = 4_900_000
    message: str = "files.example.org cannot be reached: check the network connection, then try again"


@pytest.mark.parametrize("page", PAGES)
def test_a_download_does_not_hold_up_any_page(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "download", lambda name: FakeDownload() if name == "ml-100k" else None)
    app = open_page(page)
    assert app.get("progress")[0].proto.text.startswith("Downloading MovieLens 100K: 2.0 of 4.9 MB.")
    assert "Sample \\(simulated\\)" in texts(app)


@pytest.mark.parametrize("page", PAGES)
def test_a_failed_download_is_a_sentence_with_a_way_to_try_again(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    monkeypatch.setattr(state, "download", lambda name: FakeDownload(state="failed") if name == "ml-100k" else None)
    monkeypatch.setattr(state, "start_download", tried.append)
    app = open_page(page)
    assert "could not be fetched" in app.warning[0].value
    assert "simulated sample" in app.warning[0].value
    button(app, "Try again").click().run()
    assert tried == ["ml-100k"]


def test_nobody_who_has_begun_to_work_is_moved_to_other_data(monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page("pages/train.py")
    app.number_input(key=now(app, "set:scratch:epochs")).set_value(7).run()
    monkeypatch.setattr(state, "download", lambda name: FakeDownload(state="done") if name == "ml-100k" else None)
    monkeypatch.setattr(datasets, "on_disk", lambda name: name in ("sample", "ml-100k"))
    app.run()
    assert "Sample \\(simulated\\)" in texts(app)
    assert "MovieLens 100K is ready." in texts(app)
    button(app, "Stay").click().run()
    assert "MovieLens 100K is ready." not in texts(app)


def test_without_offline_the_first_visit_starts_one_download(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setenv("CFCORE_OFFLINE", "0")
    monkeypatch.setattr(state, "start_download", started.append)
    open_page("app.py")
    assert started == ["ml-100k"]


def test_a_dead_queue_is_said_on_the_page(jobs: FakeJobs) -> None:
    jobs.state, jobs.message = "failed", "The cluster did not start."
    assert "No worker can train at the moment." in texts(open_page("app.py"))


def test_an_unexpected_error_becomes_a_calm_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> bool:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(datasets, "on_disk", broken)
    monkeypatch.setattr(frame, "changed_since_start", lambda: False)
    app = open_page("app.py")
    assert "Something went wrong on this page." in texts(app)
    assert "secret detail" not in texts(app)


@pytest.mark.parametrize("page", ["app.py", "pages/train.py"])
def test_notices_that_cannot_be_read_are_a_calm_sentence(page: str, jobs: FakeJobs) -> None:
    def broken() -> str:
        raise StoreError("the run store cannot be read")

    jobs.store.notice = broken  # type: ignore[method-assign]
    app = open_page(page)
    assert not app.exception
    assert any("The run store cannot be read" in error.value for error in app.error)


def test_after_an_update_under_a_running_server_an_error_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(name: str) -> bool:
        raise AttributeError("the old object has no such method")

    old, new = tmp_path / "old.py", tmp_path / "below" / "new.py"
    new.parent.mkdir()
    old.touch()
    os.utime(old, (0, 0))
    assert not frame.changed_since_start(tmp_path)
    new.touch()
    assert frame.changed_since_start(tmp_path)

    monkeypatch.setattr(datasets, "on_disk", broken)
    monkeypatch.setattr(frame, "changed_since_start", lambda: True)
    assert "whoever runs the server should start it again" in texts(open_page("app.py")).lower()


# Data


def test_data_lists_every_source_and_marks_the_one_in_use() -> None:
    app = open_page("pages/data.py")
    for source in datasets.SOURCES.values():
        assert source.title.split("(")[0].strip() in texts(app).replace("\\", "")
    assert app.button(key="use:sample").disabled
    assert app.button(key="get:ml-1m").label == "Download"


def test_data_searches_titles_as_plain_text() -> None:
    app = open_page("pages/data.py")
    everything = len(app.dataframe[0].value)
    titles = app.dataframe[0].value["Title"].astype(str)
    word = titles.iloc[0].split()[0].lower()
    app.text_input[0].set_value(word).run()
    found = app.dataframe[0].value
    assert 0 < len(found) < everything
    assert len(found) >= titles.str.lower().str.contains(word, regex=False).sum()
    app.text_input[0].set_value("(*no such film").run()
    assert "No movie has that" in texts(app)


def test_a_table_without_years_and_genres_has_no_such_columns_and_counts_one_movie(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ratings = load("sample")
    bare = replace(ratings.items, year=np.zeros_like(ratings.items.year), genres=np.zeros_like(ratings.items.genres))
    monkeypatch.setattr(datasets, "load", lambda name: replace(ratings, items=bare))
    app = open_page("pages/data.py")
    assert list(app.dataframe[0].value.columns) == ["Title", "Ratings", "Mean"]
    titles = app.dataframe[0].value["Title"].astype(str)
    alone = next(title for title in titles if titles.str.contains(title, case=False, regex=False).sum() == 1)
    app.text_input[0].set_value(alone).run()
    assert "1 movie; " in texts(app)


def test_a_source_that_does_not_fit_into_memory_cannot_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    free = SimpleNamespace(available=1_100_000_000)
    monkeypatch.setattr(sources, "psutil", SimpleNamespace(virtual_memory=lambda: free))
    app = open_page("pages/data.py")
    assert app.button(key="get:ml-25m").disabled
    assert not app.button(key="get:ml-1m").disabled
    assert "Needs about 2.5 GB of memory; this server has 1.1 GB free." in texts(app)


def test_a_refused_file_is_read_once_and_its_reason_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    def refuse(data: bytes, filename: str, columns: object = None) -> str:
        read.append(filename)
        raise datasets.DataError(f"{filename} holds 3 ratings, too few to learn from")

    monkeypatch.setattr(datasets, "save_upload", refuse)
    table = b"userId,movieId,rating\n1,1,3\n1,2,4\n2,1,5\n"
    app = open_page("pages/data.py")
    app.file_uploader[0].set_value(("few.csv", table, "text/csv")).run()
    app.text_input[0].set_value("a").run()
    assert read == ["few.csv"]
    assert "too few to learn from. The data set in use has not changed." in texts(app)
    app.file_uploader[0].set_value(("other.csv", table, "text/csv")).run()
    assert read == ["few.csv", "other.csv"]


# Train


def test_train_says_what_to_press_before_anything_was_trained() -> None:
    app = open_page("pages/train.py")
    assert "Nothing trained here yet" in texts(app)
    assert not button(app, "Train").disabled
    assert button(app, "As in the article").disabled
    assert "Takes roughly" in texts(app)


@pytest.mark.parametrize(
    ("approach", "there", "not_there"),
    [
        ("scratch", {"lookup"}, {"weight_decay", "batch_size"}),
        ("pytorch", {"weight_decay", "hidden_size"}, {"batch_size", "lookup"}),
        ("fastai_nn", {"layers", "y_range", "batch_size"}, {"hidden_size", "lookup"}),
        ("fastai_dot", {"y_range", "embedding_size"}, {"layers", "lookup"}),
    ],
)
def test_only_the_fields_an_approach_has_are_shown(approach: str, there: set[str], not_there: set[str]) -> None:
    app = open_page("pages/train.py", approach=approach)
    kinds = ("number_input", "selectbox", "text_input")
    keys = {str(each.key).rpartition(":")[2] for kind in kinds for each in getattr(app, kind)}
    assert there <= keys
    assert not not_there & keys


def test_pytorch_takes_all_ratings_at_once_until_it_is_given_a_batch_size(jobs: FakeJobs) -> None:
    app = open_page("pages/train.py", approach="pytorch")
    whole = app.toggle(key=now(app, "set:pytorch:batch_size:auto"))
    assert (whole.label, whole.value) == ("All at once", True)
    whole.set_value(False).run()
    size = app.number_input(key=now(app, "set:pytorch:batch_size"))
    assert size.value == 512
    size.set_value(8).run()
    assert "Batch size must be from 16 to 65536." in texts(app)
    app.number_input(key=now(app, "set:pytorch:batch_size")).set_value(64).run()
    assert param(app, "batch_size") == "64"
    button(app, "Train").click().run()
    (run,) = jobs.store.list()
    assert run.request.config.batch_size == 64
    app.toggle(key=now(app, "set:pytorch:batch_size:auto")).set_value(True).run()
    assert "batch_size" not in app.query_params


def test_train_starts_a_run_with_the_settings_and_puts_both_into_the_address(jobs: FakeJobs) -> None:
    app = open_page("pages/train.py", approach="fastai_dot")
    app.number_input(key=now(app, "set:fastai_dot:epochs")).set_value(2).run()
    button(app, "Train").click().run()
    (run,) = jobs.store.list()
    assert run.request.config == make_config("fastai_dot", scale=datasets.load("sample").scale, epochs=2)
    assert run.request.dataset == "sample"
    assert param(app, "run") == run.id
    assert param(app, "approach") == "fastai_dot"
    assert param(app, "epochs") == "2"
    assert "learning_rate" not in app.query_params
    assert button(app, "Train").disabled


def test_a_link_brings_its_settings_and_the_article_button_takes_them_back() -> None:
    app = open_page("pages/train.py", approach="fastai_nn", layers="30,20", embedding_size="12", learning_rate="0.004")
    assert app.text_input(key=now(app, "set:fastai_nn:layers")).value == "30, 20"
    assert app.number_input(key=now(app, "set:fastai_nn:embedding_size")).value == 12
    assert app.number_input(key=now(app, "set:fastai_nn:learning_rate")).value == 0.004
    button(app, "As in the article").click().run()
    assert app.text_input(key=now(app, "set:fastai_nn:layers")).value == "100, 50"
    assert app.toggle(key=now(app, "set:fastai_nn:embedding_size:auto")).value is True
    assert "layers" not in app.query_params


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"approach": "nonsense"}, "there are scratch"),
        ({"approach": "scratch", "epochs": "many"}, "Epochs must be a whole number"),
        ({"approach": "scratch", "epochs": "0"}, "must be from 1 to 500"),
        ({"approach": "scratch", "learning_rate": "nan"}, "must be a finite number"),
        ({"approach": "scratch", "batch_size": "64"}, "has no batch size"),
        ({"approach": "scratch", "lookup": "magic"}, "choose from index"),
        ({"approach": "fastai_dot", "y_range": "5,1"}, "a low and a higher number"),
        ({"approach": "fastai_nn", "layers": "a,b"}, "whole numbers such as 100, 50"),
        ({"approach": "scratch", "split": "u9"}, "there are random"),
        ({"approach": "scratch", "split": "u1"}, "has no split u1"),
        ({"approach": "scratch", "valid_fraction": "7"}, "cannot be used"),
    ],
)
def test_a_bad_link_is_explained_and_the_article_used(query: dict[str, str], sentence: str) -> None:
    app = open_page("pages/train.py", **query)
    assert sentence in app.warning[0].value.replace("\\", "")
    assert not button(app, "Train").disabled
    assert button(app, "As in the article").disabled


def test_slider_and_exact_number_of_the_learning_rate_agree() -> None:
    app = open_page("pages/train.py")
    app.number_input(key=now(app, "set:scratch:learning_rate")).set_value(31.0).run()
    assert app.select_slider(key=now(app, "set:scratch:learning_rate:slider")).value == 31.0
    app.select_slider(key=now(app, "set:scratch:learning_rate:slider")).set_value(5.0).run()
    assert app.number_input(key=now(app, "set:scratch:learning_rate")).value == 5.0


def test_a_field_that_cannot_be_read_says_so_and_nothing_can_be_trained() -> None:
    app = open_page("pages/train.py", approach="fastai_nn")
    app.text_input(key=now(app, "set:fastai_nn:layers")).set_value("100, lots").run()
    assert "whole numbers such as 100, 50" in texts(app)
    assert app.text_input(key=now(app, "set:fastai_nn:layers")).value == "100, lots"
    assert button(app, "Train").disabled


@pytest.mark.parametrize(
    ("approach", "key", "wrong", "right", "says"),
    [
        ("scratch", "set:scratch:epochs", 501, 7, "Epochs must be from 1 to 500"),
        ("scratch", "set:scratch:learning_rate", 20_000.0, 2.0, "Learning rate must be from 0.001 to 10000"),
        ("pytorch", "set:pytorch:weight_decay", -0.5, 0.5, "Weight decay must be from 0"),
        ("fastai_dot", "set:fastai_dot:seed", -1, 0, "Seed must be from 0 to 4294967295"),
        ("scratch", "split:scratch:valid_fraction", 1.5, 0.3, "must lie between 0 and 1"),
        ("scratch", "split:scratch:seed", -1, 3, "whole number from 0 to 4294967295"),
    ],
)
def test_a_number_out_of_range_stays_in_its_field_and_nothing_can_be_trained(
    approach: str, key: str, wrong: float, right: float, says: str
) -> None:
    app = open_page("pages/train.py", approach=approach)
    app.number_input(key=now(app, key)).set_value(wrong).run()
    assert says in texts(app).replace("\\", "")
    assert app.number_input(key=now(app, key)).value == wrong
    assert button(app, "Train").disabled
    app.run()
    assert app.number_input(key=now(app, key)).value == wrong
    app.number_input(key=now(app, key)).set_value(right).run()
    assert app.number_input(key=now(app, key)).value == right
    assert type(app.number_input(key=now(app, key)).value) is type(right)
    assert not app.error
    assert not button(app, "Train").disabled


def test_an_emptied_number_field_goes_back_to_what_it_was() -> None:
    app = open_page("pages/train.py", epochs="9", approach="scratch")
    for value in (None, 501, None):
        app.number_input(key=now(app, "set:scratch:epochs")).set_value(value).run()
    assert app.number_input(key=now(app, "set:scratch:epochs")).value == 9
    assert not app.error


def test_what_is_wrong_goes_with_another_approach_the_article_and_the_slider() -> None:
    app = open_page("pages/train.py", approach="scratch")
    rate = "set:scratch:learning_rate"
    app.number_input(key=now(app, rate)).set_value(-1.0).run()
    app.select_slider(key=f"{rate}:slider").set_value(3.0).run()
    assert (app.number_input(key=now(app, rate)).value, len(app.error)) == (3.0, 0)
    app.number_input(key=now(app, rate)).set_value(-1.0).run()
    button(app, "As in the article").click().run()
    assert (app.number_input(key=now(app, rate)).value, len(app.error)) == (1.5, 0)
    app.number_input(key=now(app, rate)).set_value(-1.0).run()
    app.radio(key=now(app, "approach")).set_value("pytorch").run()
    app.radio(key=now(app, "approach")).set_value("scratch").run()
    assert (app.number_input(key=now(app, rate)).value, len(app.error)) == (1.5, 0)


@pytest.mark.parametrize(
    ("status", "caption"),
    [
        ("running", "Training: [see its curves](#run)."),
        ("done", "Done: [see the run](#run)."),
        ("stopped", "Stopped: [see the run](#run)."),
        ("diverged", "Diverged: [see the run](#run)."),
    ],
)
def test_under_the_button_stands_a_link_to_the_run(jobs: FakeJobs, status: str, caption: str) -> None:
    assert "(#run)" not in texts(open_page("pages/train.py"))
    run = stored(jobs) if status == "running" else finished(jobs, status)
    app = open_page("pages/train.py", run=run.id)
    assert caption in [each.value for each in app.caption]
    assert "Takes roughly" in texts(app)
    app.radio(key=now(app, "approach")).set_value("als").run()
    assert f"From scratch · {caption}" in [each.value for each in app.caption]  # it is not of what is chosen now


def test_why_nothing_can_be_trained_stands_under_the_button_too() -> None:
    app = open_page("pages/train.py")
    app.number_input(key=now(app, "set:scratch:epochs")).set_value(5000).run()
    assert button(app, "Train").disabled
    assert [error.value for error in app.error] == ["Epochs must be from 1 to 500."] * 2  # and at the field


def test_a_lookup_that_would_not_fit_is_refused_before_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFCORE_MEMORY_LIMIT_MB", "10")
    app = open_page("pages/train.py", lookup="onehot", approach="scratch")
    assert "onehot lookup would need" in texts(app)
    assert button(app, "Train").disabled


def test_settings_of_two_people_do_not_meet() -> None:
    one, other = open_page("pages/train.py"), open_page("pages/train.py")
    one.number_input(key=now(one, "set:scratch:epochs")).set_value(9).run()
    other.run()
    assert one.number_input(key=now(one, "set:scratch:epochs")).value == 9
    assert other.number_input(key=now(other, "set:scratch:epochs")).value == 50


def test_settings_survive_a_visit_to_another_page() -> None:
    app = open_page("app.py")
    app.switch_page("pages/train.py").run()
    app.number_input(key=now(app, "set:scratch:epochs")).set_value(9).run()
    app.switch_page("app.py").run()
    app.switch_page("pages/train.py").run()
    assert app.number_input(key=now(app, "set:scratch:epochs")).value == 9


def test_a_running_run_shows_its_epoch_and_can_be_stopped(jobs: FakeJobs) -> None:
    app = open_page("pages/train.py")
    run = stored(jobs, epochs=3, visitor=app.session_state["visitor"])
    jobs.store.add_epoch(run.id, EpochResult(epoch=3, train_loss=1.0, valid_loss=1.21, seconds=0.25))
    app.session_state["run"] = run.id
    app.run()
    assert {metric.label: metric.value for metric in app.metric}["Valid RMSE"] == "1.100"
    button(app, "Stop").click().run()
    assert jobs.stopped == [run.id]
    assert button(app, "Stop").disabled


def test_a_run_of_somebody_else_cannot_be_stopped(jobs: FakeJobs) -> None:
    """Not by the button, and not by what the button calls: a disabled one can be pressed by a forged message."""
    run = stored(jobs, visitor="somebody else")
    app = open_page("pages/train.py", run=run.id)
    assert button(app, "Stop").disabled

    def forged(run_id: str) -> None:
        from cfcore.ui import queue

        queue.stop(run_id)

    AppTest.from_function(forged, args=(run.id,), default_timeout=60).run()
    assert jobs.stopped == []


def test_a_visit_that_has_enough_runs_is_told(jobs: FakeJobs) -> None:
    app = open_page("pages/train.py")
    jobs.full = "you have 6 runs already"
    button(app, "Train").click().run()
    assert "You have 6 runs already." in [warning.value for warning in app.warning]
    assert jobs.store.list() == []
    jobs.full = ""
    button(app, "Train").click().run()
    assert len(jobs.store.list()) == 1
    assert jobs.estimates[0] > 0  # for those who wait behind it


def test_while_a_run_trains_another_can_wait_but_not_the_same_twice(jobs: FakeJobs) -> None:
    app = open_page("pages/train.py")
    button(app, "Train").click().run()
    assert button(app, "Train").disabled  # a second press
    app.number_input(key=now(app, "set:scratch:epochs")).set_value(7).run()
    button(app, "Train").click().run()
    assert sorted(run.request.config.epochs for run in jobs.store.list()) == [7, 50]


def test_a_run_that_is_too_long_for_the_server_is_refused(jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page("pages/train.py")
    monkeypatch.setenv("CFCORE_MAX_WORK", "1e6")  # after the page was drawn, so that its button can be pressed
    button(app, "Train").click().run()
    assert any("too long for this server" in warning.value for warning in app.warning)
    assert button(app, "Train").disabled
    assert any("CFCORE\\_MAX\\_WORK" in error.value or "CFCORE_MAX_WORK" in error.value for error in app.error)
    assert jobs.store.list() == []


@pytest.mark.parametrize("mask", ["00000000", "a1b2c3d4"])
def test_a_browser_keeps_its_name_whatever_the_mask_of_its_cookie(mask: str) -> None:
    token, key = bytes(range(16)), bytes.fromhex(mask)
    masked = bytes(byte ^ key[place % 4] for place, byte in enumerate(token))
    assert state.token_of(f"2|{mask}|{masked.hex()}|1700000000") == token


@pytest.mark.parametrize("cookie", ["", "2", "2|zz|00|1", "2||00|1", "2|00000000|0011|1", "1|2|3|4|5", "|" * 9])
def test_a_cookie_that_makes_no_sense_names_nobody(cookie: str) -> None:
    assert state.token_of(cookie) == b""


def test_a_queued_run_says_its_place(jobs: FakeJobs) -> None:
    request = RunRequest(dataset="sample", split=SplitConfig.of("random"), config=make_config("scratch"))
    run, jobs.place = jobs.submit(request), 3
    app = open_page("pages/train.py", run=run.id)
    assert app.get("progress")[0].proto.text == "Number 3 in the queue"
    jobs.begins = 42.0
    app.run()
    assert app.get("progress")[0].proto.text == "Number 3 in the queue · starts in about 42 s"
    jobs.own = True  # and nobody else's: it is not simply next
    app.run()
    assert app.get("progress")[0].proto.text == "Waits for another run of the same person · starts in about 42 s"
    jobs.state = "starting"
    app.run()
    assert "loads PyTorch" in app.get("progress")[0].proto.text


def test_a_finished_run_is_compared_with_both_baselines_in_words(jobs: FakeJobs) -> None:
    run = finished(jobs)
    app = open_page("pages/train.py", run=run.id)
    table = app.table[0].value
    assert list(table["RMSE, stars"]) == ["0.800", "0.900", "1.100"]
    assert list(table.iloc[:, -1])[1:] == ["11% better", "27% better"]
    assert "12 s of training" in texts(app)
    assert "512 MB".replace("512", "510") in texts(app)
    assert not [each for each in app.button if each.label == "Stop"]


@pytest.mark.parametrize("status", ["done", "stopped", "diverged"])
def test_from_a_run_that_learned_something_one_goes_on(jobs: FakeJobs, status: str) -> None:
    run = finished(jobs, status, rmse=None if status == "diverged" else 0.8)
    app = open_page("pages/train.py", run=run.id)
    labels = [link.proto.label for link in app.get("page_link")]
    assert ("Explore what it learned" in labels) == (status != "diverged")


def test_settings_of_somebody_elses_run_can_be_taken_over(jobs: FakeJobs) -> None:
    run = finished(jobs, approach="fastai_dot", epochs=2, embedding_size=7)
    app = open_page("pages/train.py", run=run.id)
    assert app.radio(key=now(app, "approach")).value == "scratch"
    button(app, "Use these settings").click().run()
    assert app.radio(key=now(app, "approach")).value == "fastai_dot"
    assert app.number_input(key=now(app, "set:fastai_dot:embedding_size")).value == 7
    assert param(app, "run") == run.id


def test_a_diverged_run_offers_a_learning_rate_and_applies_it(jobs: FakeJobs) -> None:
    message = "The loss stopped being a number in epoch 2: a learning rate of 5000 is too high here. Try 30."
    lower = describe("scratch").lower_rate(make_config("scratch", learning_rate=5000.0))
    run = finished(jobs, "diverged", message, rmse=None, epochs=1, learning_rate=5000.0)
    app = open_page("pages/train.py", run=run.id)
    assert "a learning rate of 5000 is too high here" in texts(app)
    app.number_input(key=now(app, "set:scratch:epochs")).set_value(0).run()
    button(app, f"Try a rate of {number(lower)}").click().run()
    assert app.number_input(key=now(app, "set:scratch:learning_rate")).value == lower
    assert app.number_input(key=now(app, "set:scratch:epochs")).value == 1
    assert jobs.store.list()[0].request.config.learning_rate == lower
    assert not app.error
    assert not app.table


def test_a_failed_run_gives_its_reason_and_can_be_run_again(jobs: FakeJobs) -> None:
    run = stored(jobs)
    jobs.store.fail(run.id, "The worker was lost while it trained this run.")
    app = open_page("pages/train.py", run=run.id)
    assert "The worker was lost" in texts(app)
    button(app, "Run again").click().run()
    again = jobs.store.list()[0]
    assert again.id != run.id
    assert again.request == run.request
    assert param(app, "run") == again.id


def test_a_stopped_run_keeps_its_errors(jobs: FakeJobs) -> None:
    run = finished(jobs, "stopped", "Stopped after 2 of 3 epochs.", epochs=2)
    app = open_page("pages/train.py", run=run.id)
    assert "Stopped after 2 of 3 epochs" in texts(app)
    assert app.table[0].value.iloc[0, 1] == "0.800"


def test_the_articles_pytorch_run_comes_with_a_better_learning_rate(jobs: FakeJobs) -> None:
    run = finished(jobs, approach="pytorch", rmse=2.5)
    app = open_page("pages/train.py", run=run.id)
    assert PYTORCH in [each.value for each in app.caption]
    button(app, "Try a rate of 0.05").click().run()
    assert app.number_input(key=now(app, "set:pytorch:learning_rate")).value == 0.05
    rerun = jobs.store.list()[0]
    assert rerun.request.config == run.request.config.with_settings(learning_rate=0.05)
    assert rerun.visitor == app.session_state["visitor"] != run.visitor


def test_a_run_under_way_is_not_judged_and_one_without_arrays_by_its_history(jobs: FakeJobs) -> None:
    run = stored(jobs, approach="fastai_dot")
    for epoch, valid in ((4, 0.7), (5, 0.9)):
        jobs.store.add_epoch(run.id, EpochResult(epoch=epoch, train_loss=1 / epoch, valid_loss=valid, seconds=0.25))
    assert "Run doctor" not in texts(open_page("pages/train.py", run=run.id))
    jobs.store.fail(run.id, "The worker was lost.")
    app = open_page("pages/train.py", run=run.id)
    assert "The valid loss was lowest in epoch 4 (0.700) and rose to 0.900" in texts(app)
    assert button(app, "Train for 4 epochs")


@pytest.mark.parametrize("run_id", ["unknown", "../../etc/passwd", ""])
def test_a_link_to_no_run_is_said_clearly(run_id: str) -> None:
    app = open_page("pages/train.py", run=run_id)
    assert "There is no run with this link here" in texts(app)
    assert "Nothing trained here yet" in texts(app)


def test_the_code_and_the_command_that_ran_are_shown(jobs: FakeJobs) -> None:
    run = finished(jobs, approach="fastai_nn", layers=(30, 20))
    app = open_page("pages/train.py", run=run.id)
    assert not app.code, "folded away, it costs nothing"
    app.session_state["code-that-ran"] = True
    app.run()
    command, code, *parts = (block.value for block in app.code)
    assert len(parts) == len(describe("fastai_nn").parts) == 1
    assert command.startswith("python -m cfcore train --approach fastai_nn --dataset sample --split random")
    assert "--layers 30 20" in command
    assert code == (ROOT / "cfcore/approaches/fastai_nn.py").read_text(encoding="utf-8").strip()


def test_recent_runs_of_this_visit_can_be_opened_again(jobs: FakeJobs) -> None:
    app = open_page("pages/train.py")
    mine = app.session_state["visitor"]
    first, second = finished(jobs, visitor=mine), finished(jobs, visitor=mine, approach="pytorch")
    stranger = finished(jobs, visitor="somebody else")
    app.run()
    keys = {each.key for each in app.button}
    assert {f"open:{first.id}", f"open:{second.id}"} <= keys
    assert f"open:{stranger.id}" not in keys
    app.button(key=f"open:{first.id}").click().run()
    assert param(app, "run") == first.id


def test_the_pages_modules_import_neither_torch_nor_fastai() -> None:
    code = (
        "import sys, cfcore.ui.frame, cfcore.ui.start, cfcore.ui.sources, cfcore.illustrate\n"
        "print(sorted({'torch', 'fastai'} & set(sys.modules)))"
    )
    assert printed(code) == "[]"


def test_choosing_a_source_shows_it_everywhere_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "on_disk", lambda name: name in ("sample", "ml-1m"))
    monkeypatch.setattr(datasets, "load", sample_called)
    app = open_page("pages/data.py")
    app.button(key="use:ml-1m").click().run()
    assert app.button(key="use:ml-1m").disabled
    assert "Renamed to ml\\-1m" in texts(app)


def sample_called(name: str):
    """The sample, in the place of any other data set."""
    ratings = load("sample")
    return replace(ratings, about=replace(ratings.about, name=name, title=f"Renamed to {name}"))
