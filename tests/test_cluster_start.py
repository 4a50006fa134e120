"""Workers that are late, or do not come at all: real processes, none of which is left behind."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial, partialmethod
from pathlib import Path
from typing import Any

import psutil
import pytest

from cfcore import cluster, own_workers
from cfcore.cluster import Cluster, ClusterSettings
from cfcore.jobs import Jobs
from cfcore.runs import ORPHANED, RunStore
from tests.jobs_support import ENVIRONMENT, Server
from tests.waiting import wait_until


@pytest.fixture
def nannies(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Makes nannies run some Python of ours instead; gives the list that their process ids will be in."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)

    def instead(code: str, patch: pytest.MonkeyPatch = monkeypatch) -> list[int]:
        pids: list[int] = []

        async def start(self: Any) -> None:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", code, stdin=asyncio.subprocess.PIPE
            )
            pids.append(self.process.pid)

        patch.setattr(own_workers.OwnWorker, "_start", start)
        return pids

    return instead


def assert_all_gone(pids: list[int]) -> None:
    assert pids
    for pid in pids:
        wait_until(partial(lambda pid: not psutil.pid_exists(pid), pid), what=f"the end of {pid}")


def test_a_worker_that_does_not_come_is_waited_for_and_then_told(
    nannies: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the words in between, another server elsewhere would take this one for gone, and its runs for lost."""
    pids, said = nannies("input()"), []
    monkeypatch.setattr(cluster, "START_SECONDS", 3.0)
    monkeypatch.setattr(cluster, "LOOK_SECONDS", 0.1)
    with pytest.raises(TimeoutError, match=r"none came up within 3 s\..* very busy.*press Train again"):
        Cluster(ClusterSettings.from_environment(), go_on=lambda: not said.append("here"))
    assert len(said) > 1
    assert_all_gone(pids)


def test_a_worker_whose_process_ends_is_not_waited_for(
    nannies: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = nannies("raise SystemExit(3)")
    monkeypatch.setattr(cluster, "START_SECONDS", 60.0)
    monkeypatch.setattr(cluster, "LOOK_SECONDS", 0.1)
    with pytest.raises(TimeoutError, match="the process of one has ended"):
        Cluster(ClusterSettings.from_environment())
    assert_all_gone(pids)


def test_who_waits_is_told_and_the_next_press_tries_again(
    nannies: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    beats, beat = [], RunStore.beat
    monkeypatch.setattr(RunStore, "beat", lambda self, server: (beats.append(server), beat(self, server)))
    store = RunStore(tmp_path)
    with monkeypatch.context() as late:
        pids = nannies("input()", late)
        for name, seconds in (("START_SECONDS", 3.0), ("LOOK_SECONDS", 0.1)):
            late.setattr(cluster, name, seconds)
        server = Server(Jobs(store), store)
        run = server.end(server.submit("global_mean"))
        assert run.status == "failed"
        assert re.match("The workers could not be started: none came up within 3 s.*: press Train again", run.message)
        assert len(beats) > 1
    assert_all_gone(pids)
    try:
        run_id = server.submit("global_mean")
        wait_until(lambda: not server.run(run_id).active, 1.2 * cluster.START_SECONDS)
        assert server.run(run_id).status == "done"
    finally:
        server.jobs.close()
        store.close()


def test_a_process_that_ends_while_it_is_ended_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask counts the children of a process, and ends them: one that was gone by then took the place of what was to be
    said."""
    children, asked = psutil.Process.children, []

    def gone_at_first(self: psutil.Process, recursive: bool = False) -> list[psutil.Process]:
        asked.append(self.pid)
        if len(asked) == 1:
            raise psutil.NoSuchProcess(self.pid)
        return children(self, recursive)

    async def life() -> int:
        worker = own_workers.OwnWorker("tcp://127.0.0.1:1", 0, {}, {})
        worker.process = process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "import time; time.sleep(600)"
        )
        monkeypatch.setattr(psutil.Process, "children", gone_at_first)
        await worker.close()
        return process.pid

    with ThreadPoolExecutor(1) as thread:  # Playwright's loop may be running in this one
        pid = thread.submit(asyncio.run, life()).result()
    assert asked
    assert_all_gone([pid])


def test_what_fails_at_the_end_does_not_take_the_place_of_what_failed_before(
    nannies: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ends can run out of time on a busy machine, and Dask's error has no words; and one must not spare the
    other."""
    pids = nannies("input()")

    def out_of_time(close: Callable[..., Any], self: Any, **given: float) -> None:
        close(self, **given)
        if "timeout" in given:  # else it is garbage that is collected
            raise TimeoutError

    with monkeypatch.context() as patch:
        for kind in (own_workers.SpecCluster, cluster.Client):
            patch.setattr(kind, "close", partialmethod(partial(out_of_time, kind.close)))
        patch.setattr(cluster, "START_SECONDS", 3.0)
        with pytest.raises(TimeoutError, match="none came up"):
            Cluster(ClusterSettings.from_environment())
    assert_all_gone(pids)


def test_an_app_that_ends_while_it_waits_for_a_worker_does_not_wait(
    nannies: Callable[..., list[int]], tmp_path: Path
) -> None:
    pids, store = nannies("input()"), RunStore(tmp_path)
    server = Server(Jobs(store), store)
    run = server.submit("global_mean")
    wait_until(lambda: pids)
    server.jobs.close()
    assert not server.jobs._thread.is_alive()
    assert (server.run(run).status, server.run(run).message) == ("failed", ORPHANED)
    store.close()
    assert_all_gone(pids)
