"""A store that is damaged, vanished, or may not be written: set aside with a word, and the app goes on."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import streamlit as st

from cfcore.approaches import make_config
from cfcore.config import RunRequest
from cfcore.outcome import Failures
from cfcore.runs import RunStore, StoreError
from cfcore.ui import state
from tests.faults_support import assert_store_is_sound
from tests.jobs_support import ENVIRONMENT, Server
from tests.pages_support import FakeJobs, fake_server, open_page, texts, trained
from tests.waiting import wait_until

REQUEST = RunRequest(dataset="sample", config=make_config("scratch"))
PAGES = ("app.py", "pages/train.py", "pages/compare.py", "pages/explore.py", "pages/recommend.py")


def filled(folder: Path, n: int = 60) -> None:
    """A store of ended runs, all of it in the one file."""
    store = RunStore(folder)
    for number in range(n):
        store.fail(store.create(REQUEST, visitor="ann").id, f"for the test {number}")
    store.close()


def overwritten(at: float, length: int = 3000) -> Callable[[bytes], bytes]:
    def damage(content: bytes) -> bytes:
        start = int(len(content) * at)
        return content[:start] + bytes(range(256)) * (length // 256) + content[start + length // 256 * 256 :]

    return damage


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "its header": overwritten(0),
    "its middle": overwritten(0.5, 12_000),
    "its end cut off": lambda content: content[: len(content) // 2 + 100],
    "all of it": lambda content: b"hello, I am not a database" * 100,
    "a header and nothing more": lambda content: b"SQLite format 3\x00" + b"\xff" * 5000,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_store_is_set_aside_untouched_and_a_new_one_begun(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    """Without the check of the whole file the damage would show later, on some page, and for ever."""
    filled(tmp_path)
    database = tmp_path / "runs.sqlite3"
    database.write_bytes(damage(database.read_bytes()))
    content = database.read_bytes()
    (tmp_path / "runs.damaged-1.sqlite3").write_bytes(b"of another time")

    store = RunStore(tmp_path)
    assert (tmp_path / "runs.damaged-1.sqlite3").read_bytes() == b"of another time"
    assert (tmp_path / "runs.damaged-2.sqlite3").read_bytes() == content
    assert "was set aside as" in store.notice()
    assert "runs.damaged-2.sqlite3" in store.notice()
    assert store.list() == []
    run = store.create(REQUEST)
    store.fail(run.id, "for the test")
    store.close()
    again = RunStore(tmp_path)
    assert [each.id for each in again.list()] == [run.id]
    assert again.notice() == ""  # said by the server that found it
    again.close()
    assert_store_is_sound(tmp_path)


def test_the_log_goes_with_a_damaged_store(tmp_path: Path) -> None:
    """Left behind, it would be taken for the log of the new one."""
    filled(tmp_path)
    database, log = tmp_path / "runs.sqlite3", tmp_path / "runs.sqlite3-wal"
    database.write_bytes(b"hello, I am not a database" * 100)
    log.write_bytes(b"a log")
    store = RunStore(tmp_path)
    assert (tmp_path / "runs.damaged-1.sqlite3-wal").read_bytes() == b"a log"
    assert (tmp_path / "runs.damaged-1.sqlite3-shm").exists()  # which SQLite makes anew whenever it opens a file
    store.close()


def test_one_damaged_row_hides_no_other(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    good, bad = store.create(REQUEST).id, store.create(REQUEST).id
    with closing(sqlite3.connect(tmp_path / "runs.sqlite3")) as db, db:
        db.execute("UPDATE runs SET request = CAST(X'FFFE7B22' AS TEXT) WHERE id = ?", (bad,))
    assert [run.id for run in store.list()] == [good]
    assert "a damaged entry" in store.notice()
    store.close()


def test_an_epoch_of_bytes_hides_no_other_run(tmp_path: Path) -> None:
    """Pages would meet it in the middle of a sum."""
    store = RunStore(tmp_path)
    good, bad = store.create(REQUEST).id, store.create(REQUEST).id
    with closing(sqlite3.connect(tmp_path / "runs.sqlite3")) as db, db:
        db.execute("INSERT INTO epochs VALUES (?, 1, X'0000803F', 0.9, 0.1, NULL)", (bad,))
    assert [run.id for run in store.list()] == [good]
    assert "a damaged entry" in store.notice()
    store.close()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "cannot be read at the moment (Too many open files): try again"),
        (MemoryError(), "are damaged or larger than the memory that is free: try again later"),
    ],
)
def test_what_is_the_machines_fault_is_not_called_damage(
    error: BaseException, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads that a run is damaged would throw away a good one."""

    def fail(*_: object, **__: object) -> None:
        raise error

    store = RunStore(tmp_path)
    run = store.create(REQUEST)
    monkeypatch.setattr(np, "load", fail)
    with pytest.raises(StoreError) as raised:
        store.arrays(run.id)
    assert said in str(raised.value)
    assert "are damaged (" not in str(raised.value), "that is said where it is certain"
    store.close()


def test_what_cannot_be_written_gets_the_reserve(tmp_path: Path) -> None:
    """A person's share may be used up on a disk that has room, which only the refusal shows."""
    store = RunStore(tmp_path)
    run = store.create(REQUEST)
    assert (tmp_path / "reserve").exists()
    with pytest.raises(StoreError, match="full"), store._db.transaction(write=True):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")
    assert not (tmp_path / "reserve").exists()
    assert store.fail(run.id, "for the test")
    assert not (tmp_path / "reserve").exists(), "it would take at once what it gave"
    store.close()


@pytest.mark.parametrize("page", PAGES)
def test_a_person_is_told_that_the_store_was_damaged(tmp_path: Path, page: str) -> None:
    filled(tmp_path / "runs")
    (tmp_path / "runs" / "runs.sqlite3").write_bytes(b"hello, I am not a database" * 100)
    with fake_server(tmp_path):
        words = texts(open_page(page))
    assert "The run store was damaged" in words
    assert "a new one was begun" in words
    assert "Something went wrong" not in words


@pytest.mark.parametrize("page", PAGES[1:])
def test_damaged_arrays_are_said_and_left_where_they_are(jobs: FakeJobs, page: str) -> None:
    run = trained(jobs, "bias")
    path = jobs.store.root / "arrays" / f"{run.id}.npz"
    content = overwritten(0.3)(path.read_bytes())
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        jobs.store.arrays(run.id)
    words = texts(open_page(page, run=run.id))
    assert "Something went wrong" not in words
    assert path.read_bytes() == content


@pytest.fixture
def real_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], Server]]:
    """A server as pages have it, with its runs in a folder; with a real worker."""
    servers = []

    def start(folder: Path) -> Server:
        for name, value in {**ENVIRONMENT, "CFCORE_RUNS_DIR": str(folder), "CFCORE_OFFLINE": "1"}.items():
            monkeypatch.setenv(name, value)
        st.cache_resource.clear()
        jobs, store = state.jobs(), state.store()
        servers.append(Server(jobs, store))
        return servers[-1]

    yield start
    for server in servers:
        server.jobs.close()
        server.store.close()
    st.cache_resource.clear()


def test_where_runs_cannot_be_kept_the_app_trains_and_says_so(
    tmp_path: Path, real_server: Callable[[Path], Server]
) -> None:
    """A folder that cannot be made, for anybody: a file stands in its place."""
    (tmp_path / "file").touch()
    server = real_server(tmp_path / "file" / "runs")
    run = server.end(server.submit("global_mean"))
    assert (run.status, run.message) == ("done", "")
    assert server.store.arrays(run.id)
    words = texts(open_page("pages/train.py", run=run.id))
    assert "Runs are not kept when this server stops" in words
    assert "Something went wrong" not in words


def test_a_store_that_vanishes_under_the_app_is_begun_anew(
    tmp_path: Path, real_server: Callable[[Path], Server]
) -> None:
    folder = tmp_path / "runs"
    server = real_server(folder)
    gone = server.submit("global_mean")
    server.end(gone)
    endless = server.submit("fake_endless")
    server.first_epoch(endless)
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
    assert server.store.get(gone) is None
    server.jobs.stop(endless)  # nobody knows it any more, but a worker has it
    words = texts(open_page("pages/train.py"))
    assert "was removed while the app was running" in words
    assert "Something went wrong" not in words
    wait_until(lambda: not server.jobs.status().running, what="the end of the run that is gone")
    assert server.end(server.submit("global_mean")).status == "done"
    server.jobs.close()
    server.store.close()
    assert_store_is_sound(folder)


def test_a_store_damaged_under_the_app_is_set_aside_too(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    store.create(REQUEST)
    with closing(sqlite3.connect(tmp_path / "runs.sqlite3")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (tmp_path / "runs.sqlite3").write_bytes(b"hello, I am not a database" * 100)
    with pytest.raises(StoreError, match="was set aside as"):
        store.list()
    run = store.create(REQUEST)
    assert [each.id for each in store.list()] == [run.id]
    store._files.save(run.id, {"user_factors": np.zeros(3)})
    store.fail(run.id, "for the test")
    store.close()
    assert_store_is_sound(tmp_path)


def test_a_failure_that_cannot_be_written_is_written_later(tmp_path: Path) -> None:
    """Forgotten, the run would be running for as long as its server lives."""
    store = RunStore(tmp_path / "runs")
    run_id = store.create(REQUEST).id
    (tmp_path / "runs").rename(tmp_path / "away")
    (tmp_path / "runs").touch()
    failures = Failures(store)
    failures.add("for the test", run_id)
    (tmp_path / "runs").unlink()
    (tmp_path / "away").rename(tmp_path / "runs")
    assert [run.status for run in store.list()] == ["queued"]
    failures.try_again()
    assert [(run.status, run.message) for run in store.list()] == [("failed", "for the test")]
    store.close()
    assert_store_is_sound(tmp_path / "runs")


def test_a_page_that_nothing_uses_is_no_damage(tmp_path: Path) -> None:
    """A whole history would be set aside for a leak that loses nothing."""
    filled(tmp_path)
    database = tmp_path / "runs.sqlite3"
    with closing(sqlite3.connect(database)) as db, db:
        kept = db.execute("SELECT id FROM runs LIMIT 1").fetchone()[0]
        db.execute("DELETE FROM runs WHERE id != ?", (kept,))
    with closing(sqlite3.connect(database)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(database.read_bytes())
    assert content[36:40] != bytes(4), "or nothing is free"
    content[32:40] = bytes(8)  # the list of free pages is forgotten
    database.write_bytes(content)
    with closing(sqlite3.connect(database)) as db:
        assert "never used" in db.execute("PRAGMA quick_check(1)").fetchone()[0]
    store = RunStore(tmp_path)
    assert [run.id for run in store.list()] == [kept]
    assert store.notice() == ""
    store.close()


def test_a_second_server_leaves_the_new_store_of_the_first_alone(tmp_path: Path) -> None:
    """Both have found the damage; without a look of its own when it is its turn, it sets the healthy one aside."""
    filled(tmp_path)
    database = tmp_path / "runs.sqlite3"
    database.write_bytes(b"hello, I am not a database" * 100)
    first = RunStore(tmp_path)
    run = first.create(REQUEST)
    second = RunStore(tmp_path)
    second._db._mend(sqlite3.DatabaseError("what it had found before"))
    assert [each.id for each in second.list()] == [run.id]
    assert not (tmp_path / "runs.damaged-2.sqlite3").exists()
    second.close()
    first.close()


def test_a_store_that_vanishes_at_the_wrong_moment_does_not_come_back_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty file in its place would be taken for a store without tables, for ever."""
    store = RunStore(tmp_path)
    for path in tmp_path.glob("runs.sqlite3*"):
        path.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(store._db, "_vanished", lambda: False)  # it was there a moment ago
        with pytest.raises(StoreError):
            store.list()
        assert not (tmp_path / "runs.sqlite3").exists()
    assert store.list() == []
    assert store.create(REQUEST).status == "queued"
    store.close()


def test_a_store_that_is_only_busy_is_tried_again_and_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its runs would be missing for the whole life of a server that began a second too early."""
    filled(tmp_path, 1)
    monkeypatch.setenv("CFCORE_RUNS_DIR", str(tmp_path))
    monkeypatch.setattr("cfcore.database._BUSY_SECONDS", 0.2)
    with closing(sqlite3.connect(tmp_path / "runs.sqlite3")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            RunStore.open()
    store = RunStore.open()
    assert len(store.list()) == 1
    assert store.notice() == ""
    store.close()


def test_the_arrays_go_with_a_damaged_store(tmp_path: Path) -> None:
    """Left behind, they would take room that no limit counts."""
    filled(tmp_path)
    (tmp_path / "arrays" / "of-a-run-of-then.npz").write_bytes(b"numbers")
    (tmp_path / "runs.sqlite3").write_bytes(b"hello, I am not a database" * 100)
    store = RunStore(tmp_path)
    assert (tmp_path / "arrays.damaged-1" / "of-a-run-of-then.npz").exists()
    run = store.create(REQUEST)
    store._files.save(run.id, {"user_factors": np.zeros(3)})
    store.fail(run.id, "for the test")
    store.close()
    assert_store_is_sound(tmp_path)
