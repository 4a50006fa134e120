"""Workers elsewhere: a real scheduler and real workers as processes, which die, come back, and are not all alike."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import psutil
import pytest

from cfcore import datasets
from cfcore.approaches import make_config
from cfcore.cluster_settings import ClusterSettings
from cfcore.jobs import Jobs
from cfcore.limits import Limits
from cfcore.runs import RunStore
from cfcore.versions import difference, versions
from tests.jobs_support import Server
from tests.remote_support import Elsewhere, free_port
from tests.waiting import wait_until


@contextmanager
def app(elsewhere: Elsewhere, folder: Path, *, n_workers: int = 0, limits: Limits | None = None) -> Iterator[Server]:
    """A queue that sends its runs to ``elsewhere``, where it waits for so many workers, with its own store."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CFCORE_SCHEDULER", elsewhere.address)
        store = RunStore(folder)
        jobs = Jobs(store, limits=limits)
        try:
            wait_until(lambda: jobs.status().state != "starting")
            if n_workers:
                wait_until(lambda: jobs.status().n_workers == n_workers, what=f"{n_workers} workers")
            yield Server(jobs, store)
        finally:
            jobs.close()
            store.close()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Elsewhere]:
    elsewhere = Elsewhere(tmp_path)
    yield elsewhere
    elsewhere.stop()


def test_two_workers_train_two_visitors_at_the_same_time(elsewhere: Elsewhere, tmp_path: Path) -> None:
    elsewhere.start(n_workers=2)
    with app(elsewhere, tmp_path / "runs", n_workers=2) as server:
        first, second = (server.submit("fake_endless") for _ in range(2))
        assert server.first_epoch(first).status == "running"
        assert server.first_epoch(second).status == "running"  # beside the first, not after it
        for run_id in (first, second):
            server.jobs.stop(run_id)
            assert server.end(run_id).status == "stopped"


def test_a_worker_refuses_what_is_beyond_the_limits_of_the_app(elsewhere: Elsewhere, tmp_path: Path) -> None:
    """Where only workers have the data, no page can estimate a run: without their check it would train for hours."""
    elsewhere.start(n_workers=1)
    limits = Limits(work=1e7)
    with app(elsewhere, tmp_path / "runs", n_workers=1, limits=limits) as server:
        config = make_config("scratch", epochs=100)
        run = server.end(server.submit_config(config))
        ratings = datasets.load("sample")
        assert (run.status, run.message) == ("failed", limits.refusal(config, len(ratings), 0))
        assert run.history == ()
        assert server.end(server.submit("bias")).status == "done"


def test_data_of_this_machine_travels_once(
    elsewhere: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent without a hash of its content, it would be sent again with every run."""
    monkeypatch.setenv("CFCORE_DATA_DIR", str(tmp_path / "data"))
    rows = "\n".join(f"{user},{item},{(user * item) % 5 + 1}" for user in range(30) for item in range(20))
    upload = datasets.save_upload(f"user,item,rating\n{rows}".encode(), "mine.csv")
    elsewhere.start(n_workers=1)
    with app(elsewhere, tmp_path / "runs", n_workers=1) as server:
        for _ in range(3):
            assert server.end(server.submit("global_mean", dataset=upload)).status == "done"
        cluster = server.jobs._cluster
        assert cluster is not None
        held = cast(dict, cluster.client.who_has())
        assert len([key for key in held if str(key).startswith("Ratings-")]) == 1, held


def test_a_scheduler_that_dies_is_said_and_found_again(elsewhere: Elsewhere, tmp_path: Path) -> None:
    """Without the tries of the background thread the app would say so until it is started again itself."""
    elsewhere.start(n_workers=1)
    with app(elsewhere, tmp_path / "runs", n_workers=1) as server:
        run_id = server.submit("fake_endless")
        server.first_epoch(run_id)
        elsewhere.kill_scheduler()
        ended = server.end(run_id)
        assert ended.status == "failed"
        assert len(ended.history) == 1  # what had been reported stays
        wait_until(lambda: server.jobs.status().state == "failed", what="the word that it is gone")
        assert f"no scheduler answers at {elsewhere.address}" in server.jobs.status().message
        elsewhere.start(n_workers=1)
        wait_until(lambda: server.jobs.status().state == "ready" and server.jobs.status().n_workers, what="it again")
        assert server.end(server.submit("global_mean")).status == "done"


def test_a_worker_elsewhere_that_is_killed_fails_its_run_with_the_reason(elsewhere: Elsewhere, tmp_path: Path) -> None:
    elsewhere.start(n_workers=1)
    with app(elsewhere, tmp_path / "runs", n_workers=1) as server:
        run_id = server.submit("fake_endless")
        server.first_epoch(run_id)
        for process in psutil.Process(elsewhere.workers[0].pid).children(recursive=True):
            process.send_signal(signal.SIGKILL)
        ended = server.end(run_id)
        assert ended.status == "failed"
        assert "The worker was lost" in ended.message


def test_a_worker_with_other_libraries_gets_no_run_and_is_named(elsewhere: Elsewhere, tmp_path: Path) -> None:
    elsewhere.start()
    other = tmp_path / "other" / "torch-2.9.9.dist-info"  # found before the real one
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.9.9\n")
    root = Path(__file__).parents[1]
    elsewhere.add_worker(PYTHONPATH=f"{tmp_path / 'other'}:{root}")
    with app(elsewhere, tmp_path / "runs") as server:
        wait_until(lambda: "torch" in server.jobs.status().message, what="the word about torch")
        assert f"(torch 2.9.9 there, {versions()['torch']} here): install the same" in server.jobs.status().message
        run_id = server.submit("global_mean")
        assert server.jobs.position(run_id) == 1  # it waits, rather than run where it should not
        elsewhere.add_worker()
        assert server.end(run_id).status == "done"


def test_what_differs_is_named_and_nothing_else() -> None:
    ours = versions()
    assert ours["Python"].count(".") == 1
    assert difference(ours, ours) == ""
    assert difference({**ours, "numpy": "1.0"}, ours) == f"numpy 1.0 there, {ours['numpy']} here"
    assert difference({}, {"fastai": "2.8"}) == "fastai missing there, 2.8 here"


@pytest.mark.parametrize("address", ["tcp://192.168.1.5:8786", "tcp://scheduler:8786"])
def test_a_plain_address_that_is_not_loopback_warns(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFCORE_SCHEDULER", address)
    warning = ClusterSettings.from_environment().warning
    assert f"whoever reaches {address} can run code on its workers" in warning


@pytest.mark.parametrize("address", ["", "tcp://127.0.0.1:8786", "tcp://localhost:8786", "tcp://[::1]:8786"])
def test_loopback_does_not_warn(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFCORE_SCHEDULER", address)
    assert ClusterSettings.from_environment().warning == ""


def test_the_warning_reaches_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("cfcore.cluster.CONNECT_SECONDS", 0.2)
    monkeypatch.setenv("CFCORE_SCHEDULER", f"tcp://no-such-host.invalid:{free_port()}")
    store = RunStore(tmp_path)
    with caplog.at_level(logging.WARNING):
        jobs = Jobs(store)
        wait_until(lambda: jobs.status().state == "failed", what="the failure")
    jobs.close()
    store.close()
    assert any("can run code on its workers" in record.message for record in caplog.records)
