"""The clock on the wall is set, back by hours or forward by days: nothing is taken for dead or for too old."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import psutil
import pytest
from distributed import Client, Scheduler

from cfcore.approaches import make_config
from cfcore.config import RunRequest
from cfcore.jobs import Jobs
from cfcore.limits import Limits
from cfcore.outlook import remaining, seconds_left
from cfcore.retention import DOUBT_SECONDS, LOOKING_SECONDS, TIDY_SECONDS
from cfcore.runs import ORPHANED, RunStore
from cfcore.servers import SILENCE_SECONDS, server_gone, server_of, this_server
from cfcore.training import EpochResult
from tests.faults_support import assert_store_is_sound
from tests.jobs_support import started

REQUEST = RunRequest(dataset="sample", config=make_config("scratch", epochs=10))
STARTED = {"split_how": "by hand", "n_train": 3, "n_valid": 2, "baseline_mean_mse": 1.1, "baseline_bias_mse": 0.9}
HOUR = 3600.0
DAY = 24 * HOUR
JUMPS = pytest.mark.parametrize("jump", [-5 * HOUR, 3 * DAY], ids=["back by hours", "forward by days"])


class Clocks:
    """Both clocks, as this process reads them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.wall = self.steady = 0.0
        real_time, real_monotonic, real_start = time.time, time.monotonic, psutil.Process.create_time
        patch.setattr(time, "time", lambda: real_time() + self.wall)
        for module in ("scheduler", "batched"):  # which keep a reference of their own
            patch.setattr(f"distributed.{module}.time", lambda: real_time() + self.wall)
        patch.setattr(time, "monotonic", lambda: real_monotonic() + self.steady)
        patch.setattr("cfcore.retention._steady", lambda: real_monotonic() + self.steady)
        patch.setattr(
            psutil.Process, "create_time", lambda process: real_start(process) + self.wall
        )  # as Linux tells it

    def set(self, seconds: float) -> None:
        """Somebody sets the clock on the wall."""
        self.wall += seconds

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    store = RunStore(tmp_path)
    yield store
    store.close()


def kept(store: RunStore, kilobytes: int = 200) -> str:
    run_id = store.create(REQUEST).id
    store._files.save(run_id, {"user_factors": np.zeros(125 * kilobytes)})
    assert store.fail(run_id, "for the test")
    return run_id


async def in_a_quiet_moment(client: Client, scheduler: Scheduler, act: Callable[[], None]) -> None:
    """Act while no message has been sent for some milliseconds.

    Dask spaces its messages out by the clock on the wall: set back within two milliseconds of one, the clock holds up
    the next until it has come that far again.
    """
    streams = [client.scheduler_comm, *scheduler.stream_comms.values(), *scheduler.client_comms.values()]
    while any(getattr(stream, "next_deadline", None) is not None for stream in streams):
        await asyncio.sleep(0.001)
    act()


def test_runs_on_a_real_worker_outlive_a_clock_that_is_set(tmp_path: Path, clocks: Clocks) -> None:
    """With Dask's own limit on a worker's silence, a clock set forward would end every worker and its run."""
    with started(tmp_path) as server:
        for jump in (-5 * HOUR, 3 * DAY):
            run_id = server.submit("fake_endless")
            server.first_epoch(run_id)
            waiting = server.jobs.submit(REQUEST, seconds=3.0).id
            cluster = server.jobs._cluster
            assert cluster is not None
            assert cluster._own is not None
            scheduler = cast(Scheduler, cluster._own.scheduler)
            cluster.client.sync(partial(in_a_quiet_moment, cluster.client, scheduler, partial(clocks.set, jump)))
            cluster.client.sync(scheduler.check_worker_ttl)
            server.store.fail_orphans()
            assert server.run(run_id).status == "running"
            assert (server.jobs.starts_in(waiting) or 0) <= 3.0
            server.jobs.stop(waiting)
            server.jobs.stop(run_id)
            assert server.end(run_id).status == "stopped"
            assert server.end(server.submit("global_mean")).status == "done"
    assert_store_is_sound(tmp_path)


@JUMPS
def test_a_server_lives_whatever_the_clock_says_and_a_dead_one_does_not(
    store: RunStore, clocks: Clocks, jump: float
) -> None:
    """Linux derives a process's time of day from the clock as it is now: a server would no longer know itself."""
    child = subprocess.Popen(["sleep", "1000"])
    mine, other = this_server(), server_of(child.pid)
    runs = [store.create(REQUEST, server=server).id for server in (mine, other)]
    clocks.set(jump)
    assert this_server() == mine
    assert [run.status for run in store.get_many(runs)] == ["queued", "queued"]
    child.kill()
    child.wait()
    assert [run.status for run in store.get_many(runs)] == ["queued", "failed"]


@JUMPS
def test_a_server_elsewhere_is_judged_by_its_silence_and_not_by_its_clock(
    store: RunStore, clocks: Clocks, jump: float
) -> None:
    run_id, server = store.create(REQUEST, server="elsewhere:1:abc").id, "elsewhere:1:abc"
    clocks.set(jump)

    def status() -> str:
        return next(run.status for run in store.list() if run.id == run_id)

    assert status() == "queued"
    for _ in range(3):
        clocks.wait(SILENCE_SECONDS - 1)
        store.beat(server)
        assert status() == "queued"
    clocks.wait(SILENCE_SECONDS + 1)
    assert status() == "failed"
    assert store.list()[0].message == ORPHANED


def test_a_word_that_was_heard_is_no_word_of_another(clocks: Clocks) -> None:
    assert not server_gone("elsewhere:2:abc", seen=5.0)
    clocks.wait(SILENCE_SECONDS + 1)
    assert server_gone("elsewhere:2:abc", seen=5.0)
    assert not server_gone("elsewhere:3:abc", seen=5.0)


@JUMPS
def test_no_duration_is_negative_and_the_newest_run_stays_first(store: RunStore, clocks: Clocks, jump: float) -> None:
    """Ordered by their dates, a run begun after the clock was set back would stand below older ones."""
    first = store.create(REQUEST).id
    clocks.set(jump)
    store.start(first, **STARTED)
    store.add_epoch(first, EpochResult(epoch=1, train_loss=1.0, valid_loss=1.0, seconds=2.0))
    clocks.set(jump)
    run = store.get(first)
    assert run is not None
    assert 0 <= (remaining(run, time.time()) or 0) <= 18  # nine epochs of two seconds
    assert 0 <= seconds_left(run, 20.0, time.time()) <= 20
    second = store.create(REQUEST).id
    clocks.set(jump)
    store.fail(first, "for the test")
    store.cancel(second, "for the test")
    assert [run.id for run in store.list()] == [second, first]
    for run in store.list():
        assert run.created <= (run.started or run.created) <= (run.finished or 0)


def test_what_waits_begins_in_no_more_than_it_was_estimated(store: RunStore, clocks: Clocks) -> None:
    run_id = store.create(REQUEST).id
    store.start(run_id, **STARTED)
    clocks.set(-5 * HOUR)
    run = store.get(run_id)
    assert run is not None
    assert seconds_left(run, 20.0, time.time()) <= 20


def test_a_clock_set_forward_lets_nothing_go_for_a_day(
    store: RunStore, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its date every run would be too old at once, and all trash be emptied."""
    monkeypatch.setenv("CFCORE_MAX_DAYS", "7")
    old, trash = kept(store), kept(store)
    store.trash(trash)
    clocks.set(30 * DAY)
    store.beat("this server")
    clocks.wait(TIDY_SECONDS + 1)
    clocks.set(-30 * DAY)  # it was a mistake
    for _ in range(3):
        store.beat("this server")
        clocks.wait(TIDY_SECONDS + 1)
    store.restore(trash)
    assert {run.id for run in store.list()} == {old, trash}


def test_a_clock_that_was_set_right_counts_after_a_day(
    store: RunStore, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CFCORE_MAX_DAYS", "7")
    run_id = kept(store)
    clocks.set(30 * DAY)
    store.beat("this server")
    clocks.wait(DOUBT_SECONDS + TIDY_SECONDS)
    store.beat("this server")
    assert store.get(run_id) is None


def test_dates_to_come_neither_protect_a_run_nor_put_it_last(store: RunStore, clocks: Clocks) -> None:
    """A run looked at while the clock was ahead would be "looked at" for days, and newer ones go in its place."""
    clocks.set(3 * DAY)
    ahead = kept(store)
    store.look_at(ahead)
    clocks.set(-3 * DAY)
    clocks.wait(LOOKING_SECONDS + 1)
    new = kept(store)
    assert list(store._retention.tidy(Limits(store_mb=0.3))) == [ahead]
    assert store.get(new) is not None


def test_a_queue_begins_on_a_store_from_the_future(store: RunStore, clocks: Clocks) -> None:
    """As on a machine whose clock was ahead until it was started again."""
    clocks.set(3 * DAY)
    left = store.create(REQUEST, server="gone:1:abc").id
    clocks.set(-3 * DAY)
    jobs = Jobs(store, after=HOUR)
    try:
        clocks.wait(SILENCE_SECONDS + 1)
        run = store.get(left)
        assert run is not None
        assert run.status == "failed"
    finally:
        jobs.close()
