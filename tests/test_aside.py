"""Work beside training, on a real worker: it does not wait for a run, and its end, good or bad, is always told."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from cfcore.aside import LOST, MOST_ENDED, MOST_WAITING, TOO_MANY, Aside, Task
from cfcore.config import SplitConfig
from cfcore.models import from_arrays
from cfcore.ratings import Ratings, make_split
from tests.jobs_support import Server, started
from tests.waiting import wait_until

LONG = 60  # seconds: only a hang takes so long


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(tmp_path_factory.mktemp("runs")) as server:
        yield server


def ended(task: Task) -> Task:
    assert task.wait(LONG), f"{task.key} has not ended"
    return task


def test_a_task_is_done_while_a_run_trains(server: Server) -> None:
    run_id = server.submit("fake_endless")
    server.first_epoch(run_id)
    task = ended(server.jobs.compute("fold_in", "beside", {"numbers": np.arange(4.0)}))
    assert server.run(run_id).status == "running"
    assert (task.state, task.progress) == ("done", 1.0)
    assert task.result is not None
    np.testing.assert_array_equal(task.result["doubled"], [0, 2, 4, 6])
    server.jobs.stop(run_id)
    server.end(run_id)


def test_the_same_key_is_the_same_task(server: Server) -> None:
    first = server.jobs.compute("fold_in", "same", {"numbers": np.ones(2)})
    assert server.jobs.compute("fold_in", "same", {"numbers": np.ones(3)}) is first
    assert ended(first).state == "done"
    assert server.jobs.compute("fold_in", "same", {}, again=True) is first  # only a failed one is begun anew


def test_progress_arrives_before_the_end(server: Server) -> None:
    task = server.jobs.compute("fold_in", "slow", {"wait_for_stop": True})
    wait_until(lambda: task.state == "running" and task.progress == 0.5, what="half of the task")
    server.on_workers(_let_go)
    assert ended(task).state == "done"


def test_a_refusal_is_told_in_its_own_words_and_can_be_tried_again(server: Server) -> None:
    task = ended(server.jobs.compute("fold_in", "refused", {"refuse": "three films are too few"}))
    assert (task.state, task.message, task.result) == ("failed", "three films are too few", None)
    again = server.jobs.compute("fold_in", "refused", {"numbers": np.ones(1)}, again=True)
    assert again is not task
    assert ended(again).state == "done"


def test_a_mistake_of_ours_is_a_sentence(server: Server) -> None:
    task = ended(server.jobs.compute("fold_in", "broken", {"raise": True}))
    assert task.state == "failed"
    assert "broke off (KeyError" in task.message


def test_a_worker_that_dies_fails_the_task_and_the_next_one_works(server: Server) -> None:
    task = server.jobs.compute("fold_in", "killed", {"wait_for_stop": True})
    wait_until(lambda: task.state == "running", what="the start of the task")
    os.kill(server.worker_process().pid, signal.SIGKILL)
    assert (ended(task).state, task.message) == ("failed", LOST)
    assert ended(server.jobs.compute("fold_in", "after", {"numbers": np.ones(1)})).state == "done"


def test_only_the_latest_results_are_kept_and_nobody_who_waits_is_dropped() -> None:
    aside = Aside()  # nothing is sent: there is no cluster
    waiting = [aside.compute("fold_in", f"waiting {number}", {}) for number in range(MOST_ENDED + 5)]
    assert {task.state for task in waiting} == {"waiting"}
    for task in waiting[:-1]:
        task.end("done")
    aside.compute("fold_in", "next", {})
    assert aside.compute("fold_in", waiting[-1].key, {}) is waiting[-1]
    assert aside.compute("fold_in", waiting[-2].key, {}) is waiting[-2]
    assert aside.compute("fold_in", waiting[0].key, {}) is not waiting[0]


def test_beyond_a_crowd_one_is_asked_to_try_again() -> None:
    aside = Aside()
    for number in range(MOST_WAITING):
        assert aside.compute("fold_in", str(number), {}).state == "waiting"
    refused = aside.compute("fold_in", "one more", {})
    assert (refused.state, refused.message) == ("failed", TOO_MANY)
    aside.compute("fold_in", "0", {}).end("done")
    assert aside.compute("fold_in", "one more", {}).state == "waiting"  # a refusal is not remembered


def test_an_owner_waits_for_one_task_of_a_kind() -> None:
    aside = Aside()
    old = aside.compute("fold_in", "four stars", {}, owner="ann")
    others = [aside.compute("tsne", "map", {}, owner="ann"), aside.compute("fold_in", "two stars", {}, owner="bob")]
    new = aside.compute("fold_in", "five stars", {}, owner="ann")
    assert old.ended
    assert [task.state for task in (*others, new)] == ["waiting"] * 3
    assert aside.compute("fold_in", "four stars", {}, owner="ann") is not old  # wanted again: begun anew


def test_news_after_the_end_change_nothing() -> None:
    task = Task("late")
    task.end("done", result={})
    task.advance(0.9)
    task.end("failed", "too late")
    assert (task.state, task.progress, task.message) == ("done", 1.0, "")


def test_a_task_in_flight_is_replaced_while_its_progress_arrives(server: Server) -> None:
    """Cancelling waits for Dask's thread, which may be waiting to tell us about progress: neither may hold a lock."""
    tasks = []
    for number in range(20):
        tasks.append(server.jobs.compute("fold_in", f"noisy {number}", {"noisy_seconds": 0.3}, owner="ann"))
        wait_until(lambda: tasks[-1].state != "waiting", what="its first news")
    assert ended(tasks[-1]).state == "done"
    assert all(task.ended for task in tasks)


def test_what_is_asked_while_the_cluster_starts_again_waits_for_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It used to go to the old one, which was closing, and was lost."""
    cluster, closes, go = server.jobs._cluster, threading.Event(), threading.Event()
    assert cluster is not None
    close = cluster.close

    def close_late() -> None:
        closes.set()
        go.wait(60)
        close()

    monkeypatch.setattr(cluster, "close", close_late)
    server.jobs._inbox.put(server.jobs._restart)
    assert closes.wait(60)
    task = server.jobs.compute("fold_in", "meanwhile", {"numbers": np.ones(1)})
    assert server.jobs.status().state == "starting"
    assert not task.wait(0.3)
    go.set()
    assert ended(task).state == "done"


def test_without_a_cluster_whoever_waits_is_told_why() -> None:
    aside = Aside()
    early = aside.compute("fold_in", "early", {})
    aside.attach(None, "The workers could not be started.")
    assert (early.state, early.message) == ("failed", "The workers could not be started.")
    assert aside.compute("fold_in", "late", {}).message == "The workers could not be started."
    assert aside.peek("no-such-run") is None


def test_a_run_in_training_shows_its_model_as_of_the_last_epoch(server: Server, sample: Ratings) -> None:
    run_id = server.submit("scratch", epochs=500, embedding_size=8, learning_rate=10.0)

    def look_after(epoch: int) -> dict[str, np.ndarray] | None:
        look = server.jobs.peek(run_id)
        return look if look is not None and look["epoch"] > epoch else None

    first = wait_until(lambda: look_after(0), what="a first look")
    second = wait_until(lambda: look_after(int(first["epoch"])), what="a later look")
    server.jobs.stop(run_id)
    run = server.end(run_id)
    split = make_split(sample, SplitConfig())
    users, items, ratings = split.part(split.valid)
    for look in (first, second):
        epoch = int(look["epoch"])
        predictions = from_arrays(look).predict(users, items)
        assert np.mean((predictions - ratings) ** 2) == pytest.approx(run.history[epoch - 1].valid_loss, rel=1e-4)
        assert np.isnan(look["item_factors"][~split.seen_items]).all()


def _let_go() -> None:
    from tests import fake_approaches

    fake_approaches.let_go.set()
