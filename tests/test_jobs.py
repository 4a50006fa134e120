"""The queue of runs on real workers: order, progress, stopping, and every way in which a run can fail."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from cfcore import datasets
from cfcore.approaches import describe, make_config
from cfcore.config import RunConfig, RunRequest, SplitConfig
from cfcore.jobs import Jobs
from cfcore.metrics import mse
from cfcore.nanny import NICENESS, _put_session_back
from cfcore.ratings import Ratings, make_split
from cfcore.runs import LOST, ORPHANED, STOPPED_EARLY, RunStore, StoreError
from tests.fake_approaches import warmed_up
from tests.faults_support import MARK, assert_store_is_sound
from tests.jobs_support import ENVIRONMENT, Server, started
from tests.waiting import wait_until

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(tmp_path_factory.mktemp("runs")) as server:
        yield server


def test_a_run_is_trained_and_kept(server: Server, sample: Ratings) -> None:
    submitted = server.jobs.submit(
        RunRequest(dataset="sample", config=make_config("scratch", epochs=4)), visitor="ann", dataset_title="Sample"
    )
    assert (submitted.status, submitted.visitor, submitted.dataset_title) == ("queued", "ann", "Sample")
    run = server.end(submitted.id)
    assert (run.status, run.message) == ("done", "")
    assert [result.epoch for result in run.history] == [1, 2, 3, 4]
    assert run.started is not None
    assert run.finished is not None
    assert run.created <= run.started <= run.finished
    assert server.jobs.position(run.id) is None

    split = make_split(sample, SplitConfig())
    truth = sample.rating[split.valid]
    mean = sample.rating[split.train].astype(np.float64).mean()
    assert (run.n_train, run.n_valid, run.split_how) == (len(split.train), len(split.valid), split.how)
    assert run.baseline_mean_mse == pytest.approx(np.mean((truth - mean) ** 2), rel=1e-6)

    arrays = server.store.arrays(run.id)
    assert np.array_equal(arrays["valid_rows"], split.valid)
    assert run.metrics is not None
    assert run.metrics.valid_mse == pytest.approx(mse(arrays["valid_predictions"], truth))
    assert run.history[-1].valid_loss == pytest.approx(run.metrics.valid_mse, rel=1e-5)
    assert run.metrics.baseline_mean_rmse == pytest.approx(math.sqrt(run.baseline_mean_mse or 0))
    users, items, _ = split.part(split.valid)
    assert np.array_equal(server.store.model(run.id).predict(users, items), arrays["valid_predictions"])
    assert list(arrays["snapshot_epochs"]) == [0, 1, 2, 3, 4]


def test_runs_wait_their_turn_and_can_be_taken_out(server: Server) -> None:
    first, second, third = (server.submit(key) for key in ("fake_endless", "global_mean", "bias"))
    server.first_epoch(first)
    assert [server.jobs.position(run_id) for run_id in (first, second, third)] == [None, 1, 2]
    assert (server.jobs.status().running, server.jobs.status().queued) == (1, 2)

    server.jobs.stop(second)
    run = server.run(second)  # at once: nobody need wait for a run that has not started
    assert (run.status, run.message, run.history) == ("stopped", STOPPED_EARLY, ())
    assert server.jobs.position(third) == 1
    assert server.run(third).status == "queued"

    server.jobs.stop(first)
    assert server.end(third).status == "done"
    assert server.end(first).status == "stopped"
    assert server.run(second).status == "stopped"
    assert (server.run(third).started or 0) >= (server.run(first).finished or math.inf) - 0.001


def test_a_stop_works_inside_an_epoch_and_keeps_what_was_learned(server: Server) -> None:
    run_id = server.submit("fake_endless")  # its second epoch never ends
    server.first_epoch(run_id)
    server.jobs.stop(run_id)
    run = server.end(run_id)
    assert (run.status, len(run.history)) == ("stopped", 1)
    assert run.message == "Stopped after 1 of 1 epochs."
    assert run.metrics is not None
    assert server.store.model(run_id).predict(np.array([0]), np.array([0])) == [3.0]


def test_a_stopped_real_run_keeps_its_epochs_and_factors(server: Server, sample: Ratings) -> None:
    run_id = server.submit("scratch", epochs=500)
    seen = server.first_epoch(run_id).history
    server.jobs.stop(run_id)
    run = server.end(run_id)
    assert run.status == "stopped"
    assert len(seen) <= len(run.history) < 500
    assert [result.train_loss for result in run.history[: len(seen)]] == [result.train_loss for result in seen]
    assert server.store.arrays(run_id)["item_factors"].shape == (sample.n_items, 50)


def test_a_run_ends_well_when_files_are_edited_meanwhile(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit makes Streamlit forget our modules; what comes back then is of classes that the queue never knew."""
    run_id = server.submit("fastai_custom", epochs=2, batch_size=64)
    server.first_epoch(run_id)
    for name in [name for name in sys.modules if name.split(".")[0] == "cfcore"]:
        monkeypatch.delitem(sys.modules, name)
    run = server.end(run_id)
    monkeypatch.undo()
    assert (run.status, run.message) == ("done", "")
    assert len(server.store.arrays(run_id)["item_factors"]) == 321
    assert server.end(server.submit("scratch", epochs=1)).status == "done"


def test_an_outcome_that_cannot_be_written_is_tried_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = iter([StoreError("the disk is full")] * 2)

    def failing(real: Callable[..., Any]) -> Callable[..., Any]:
        def once(*args: Any, **kwargs: Any) -> Any:
            for failure in failures:
                raise failure
            return real(*args, **kwargs)

        return once

    monkeypatch.setattr(server.store, "finish", failing(server.store.finish))
    monkeypatch.setattr(server.store, "fail", failing(server.store.fail))
    run = server.end(server.submit("scratch", epochs=1))
    assert next(failures, None) is None, "nothing was made to fail"
    assert run.status == "done"


def test_the_queue_goes_on_while_an_outcome_cannot_be_written(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raised out of its step, the fault would keep the queue from looking after the cluster for as long as it lasts."""
    full, beats = threading.Event(), []
    full.set()

    def while_there_is_room(real: Callable[..., Any]) -> Callable[..., Any]:
        def write(*args: Any, **kwargs: Any) -> Any:
            if full.is_set():
                raise StoreError("the disk is full")
            return real(*args, **kwargs)

        return write

    beat = server.store.beat
    monkeypatch.setattr(server.store, "beat", lambda name: (beats.append(name), beat(name)))
    for name in ("finish", "fail"):
        monkeypatch.setattr(server.store, name, while_there_is_room(getattr(server.store, name)))
    run_id = server.submit("scratch", epochs=1)
    wait_until(lambda: server.run(run_id).history, what="the run to train")
    n_before = len(beats)
    wait_until(lambda: len(beats) > n_before + 1, what="two beats of the queue")
    assert server.run(run_id).active
    full.clear()
    assert server.end(run_id).status == "done"


def test_stopping_what_has_ended_changes_nothing(server: Server) -> None:
    run = server.end(server.submit("global_mean"))
    server.jobs.stop(run.id)
    server.jobs.stop("no-such-run-here")
    assert server.end(server.submit("bias")).status == "done"  # the queue has taken both in by now
    assert server.run(run.id).status == "done"


def test_a_run_that_diverges_says_so(server: Server) -> None:
    run = server.end(server.submit("scratch", learning_rate=5000.0))
    assert run.status == "diverged"
    assert "5000" in run.message
    assert all(math.isfinite(result.valid_loss) for result in run.history)


def test_refusals_arrive_word_for_word(server: Server, tmp_path: Path) -> None:
    config = RunConfig(approach="scratch", learning_rate=1e9, epochs=5, embedding_size=2, lookup="index", seed=1)
    with pytest.raises(ValueError, match="learning_rate") as refusal:
        describe("scratch").check(config)
    run = server.end(server.submit_config(config))
    assert (run.status, run.message) == ("failed", str(refusal.value))

    missing = str(tmp_path / "missing.csv")
    with pytest.raises(datasets.DataError) as refusal:
        datasets.load(missing)
    run = server.end(server.submit("global_mean", dataset=missing))
    assert (run.status, run.message) == ("failed", str(refusal.value))


def test_a_bug_is_told_in_a_sentence(server: Server) -> None:
    run = server.end(server.submit("fake_broken"))
    assert (run.status, len(run.history)) == ("failed", 1)
    assert run.message == "The training broke off (RuntimeError: the gears are stuck)."


@pytest.mark.parametrize("key", ["fake_killed", "fake_greedy"])
def test_a_lost_worker_fails_its_run_and_no_other(server: Server, key: str) -> None:
    lost, following = server.submit(key), server.submit("global_mean")
    run = server.end(lost)
    assert (run.status, run.message) == ("failed", LOST)
    assert server.end(following).status == "done"
    assert server.jobs.status().state == "ready"


def test_a_worker_lost_while_idle_is_no_loss(server: Server) -> None:
    server.worker_process().kill()
    assert server.end(server.submit("global_mean")).status == "done"


def test_workers_stand_behind_the_page_in_the_queue_for_cores(server: Server) -> None:
    worker, nanny = server.worker_process(), server.worker_process().parent()
    assert nanny is not None
    if not psutil.WINDOWS:  # which has classes of priority instead
        assert worker.nice() == nanny.nice() == max(NICENESS, psutil.Process().nice())


def autogroup(pid: int) -> tuple[str, int] | None:
    """The session that the kernel shares cores with, and its niceness; ``None`` where it shares them between processes.

    The file may be there and empty, where there are such groups, and this process is in none.
    """
    with contextlib.suppress(FileNotFoundError):
        if words := Path(f"/proc/{pid}/autogroup").read_text(encoding="ascii").split():
            name, _, niceness = words
            return name, int(niceness)
    return None


@pytest.mark.skipif(autogroup(os.getpid()) is None, reason="the kernel shares cores between processes here")
def test_the_session_of_workers_stands_behind_that_of_the_page(server: Server) -> None:
    """Where the kernel shares cores between sessions first, a worker's own niceness would count for nothing."""
    worker, page = server.worker_process(), autogroup(os.getpid())
    theirs = autogroup(worker.pid)
    assert theirs is not None
    assert page is not None
    assert theirs == autogroup(worker.ppid())
    assert theirs[0] != page[0]
    assert theirs[1] == NICENESS


def test_a_session_is_put_back_also_where_others_are_at_the_same_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without rights the kernel takes one such word in a tenth of a second: of four workers, one would be put back."""
    written: list[str] = []

    class File:
        def __init__(self, path: str) -> None:
            self.refusals = 2

        def read_text(self, encoding: str) -> str:
            return "/autogroup-7 nice 12\n"

        def write_text(self, text: str, encoding: str) -> None:
            if self.refusals:
                self.refusals -= 1
                raise BlockingIOError
            written.append(text)

    monkeypatch.setattr("cfcore.nanny.Path", File)
    _put_session_back()
    assert written == ["12"], "which stands further back already"


def test_every_new_worker_is_asked_to_warm_up(server: Server) -> None:
    assert wait_until(lambda: server.on_workers(warmed_up)) == [True]


def test_warming_up_imports_what_the_approaches_need() -> None:
    code = (
        "import sys; from cfcore import worker; assert not {'torch', 'fastai'} & set(sys.modules);"
        "worker._warm_up(); assert {'torch', 'fastai'} <= set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_lost_nanny_is_replaced(server: Server) -> None:
    lost = server.submit("fake_endless")
    server.first_epoch(lost)
    nanny = server.worker_process().parent()
    assert nanny is not None
    nanny.kill()
    following = server.submit("global_mean")
    assert server.end(lost).message == LOST
    assert server.end(following).status == "done"


def test_a_scheduler_elsewhere_gets_uploads_sent_along(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second server on the first one's workers, with a data folder that those workers do not know."""
    address = server.on_workers(scheduler_address)[0]
    monkeypatch.setenv("CFCORE_SCHEDULER", address)
    monkeypatch.setenv("CFCORE_DATA_DIR", str(tmp_path / "data"))
    rows = "\n".join(f"{user},{item},{(user * item) % 5 + 1}" for user in range(30) for item in range(20))
    upload = datasets.save_upload(f"user,item,rating\n{rows}".encode(), "mine.csv")
    other = Server(Jobs(RunStore(tmp_path / "runs")), RunStore(tmp_path / "runs"))
    try:
        assert server.end(server.submit("global_mean", dataset=upload)).status == "failed"
        run = other.end(other.submit("global_mean", dataset=upload))
        assert (run.status, run.message) == ("done", "")
        assert (run.n_train or 0) + (run.n_valid or 0) == 600
        endless = other.submit("fake_endless")
        other.first_epoch(endless)
        other.jobs.stop(endless)
        assert other.end(endless).status == "stopped"
    finally:
        other.jobs.close()
    assert server.end(server.submit("global_mean")).status == "done"  # a guest that leaves takes nothing along


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("CFCORE_WORKERS", "many", "CFCORE_WORKERS must be a number of workers from 1, or auto, not 'many'"),
        ("CFCORE_WORKERS", "0", "CFCORE_WORKERS must be a number of workers from 1, or auto, not '0'"),
        ("CFCORE_WORKER_MEMORY", "huge", "CFCORE_WORKER_MEMORY must be a size such as 2GB, not 'huge'"),
        ("CFCORE_SCHEDULER", "here", "CFCORE_SCHEDULER must be an address such as tcp://192.168.1.5:8786, not 'here'"),
        ("CFCORE_SCHEDULER", "tcp://127.0.0.1:1", "no scheduler answers at tcp://127.0.0.1:1: start it, or unset "),
    ],
)
def test_a_queue_that_cannot_start_says_why(
    name: str, value: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cfcore.cluster.CONNECT_SECONDS", 0.5)
    monkeypatch.setenv(name, value)
    store = RunStore(tmp_path)
    jobs = Jobs(store)
    try:
        server = Server(jobs, store)
        run = server.end(server.submit("global_mean"))
        assert run.status == "failed"
        assert run.message.startswith(sentence)
        assert jobs.status().state == "failed"
        assert jobs.status().message.startswith(sentence)
    finally:
        jobs.close()
    assert server.end(server.submit("global_mean")).status == "failed"  # nothing is ever left waiting


@pytest.mark.parametrize("kind", ["run", "task"])
def test_workers_that_start_later_start_with_the_first_work(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    store = RunStore(tmp_path)
    jobs = Jobs(store, after=3600)
    try:
        assert jobs._cluster is None
        assert jobs.status().state == "starting"
        if kind == "run":
            assert Server(jobs, store).end(Server(jobs, store).submit("global_mean")).status == "done"
        else:
            task = jobs.compute("lesson", "a", {"kind": "none"})
            wait_until(lambda: task.ended)
            assert jobs.status().state == "ready"
    finally:
        jobs.close()


def test_a_queue_that_never_had_work_ends_at_once(tmp_path: Path) -> None:
    jobs = Jobs(RunStore(tmp_path), after=3600)
    jobs.close()
    assert not jobs._thread.is_alive()
    assert jobs._cluster is None


def test_closing_fails_what_has_not_ended(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    jobs = Jobs(store)
    server = Server(jobs, store)
    run_id = server.submit("global_mean")
    jobs.close()
    jobs.close()
    assert server.run(run_id).message in (ORPHANED, "")
    assert not server.run(run_id).active
    assert jobs.status().state == "failed"


SCRIPT = """
import sys, time
from pathlib import Path
from cfcore.config import RunConfig, RunRequest
from cfcore.jobs import Jobs
from cfcore.runs import RunStore
assert not {"torch", "fastai", "distributed"} & set(sys.modules), "imported too early"
store = RunStore(Path(sys.argv[1]))
jobs = Jobs(store)
run_id = jobs.submit(RunRequest(dataset="sample", config=RunConfig(approach="fake_endless"))).id
while not store.get(run_id).history:
    time.sleep(0.01)
assert not {"torch", "fastai"} & set(sys.modules), "torch in the page's process"
print(run_id, flush=True)
if sys.argv[2] == "wait":
    time.sleep(1000)
"""


@pytest.mark.parametrize("how", ["exit", signal.SIGTERM, signal.SIGKILL], ids=str)
def test_no_process_outlives_its_server(how: str | signal.Signals, tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path), "exit" if how == "exit" else "wait"],
        cwd=ROOT,
        env=os.environ | ENVIRONMENT | {MARK: str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    run_id = server.stdout.readline().strip()
    if isinstance(how, signal.Signals):
        server.send_signal(how)
    _, errors = server.communicate(timeout=120)
    assert errors == ""
    assert_store_is_sound(tmp_path, mark=str(tmp_path))

    run = RunStore(tmp_path).get(run_id)
    assert run is not None
    assert (run.status, run.message, len(run.history)) == ("failed", ORPHANED, 1)


def scheduler_address(dask_worker: Any) -> str:
    return dask_worker.scheduler.address
