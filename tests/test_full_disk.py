"""A disk that fills up while a run is stored: said in words, nothing half written, and the app goes on.

The disk is a real one of a few megabytes, mounted where nobody else sees it. Where that is not allowed, a process that
may write no large files stands for it: what is written there fails in the same way, but for what SQLite writes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults_support import MARK, descendants
from tests.jobs_support import ENVIRONMENT
from tests.waiting import wait_until

ROOT = Path(__file__).parents[1]
SCRIPT = """
import contextlib, resource, shutil, sqlite3, sys
from pathlib import Path
from cfcore.approaches import make_config
from cfcore.jobs import Jobs
from cfcore.runs import RunStore
from tests.faults_support import assert_store_is_sound
from tests.jobs_support import Server

kind, folder = sys.argv[1], Path(sys.argv[2])
filler = folder / "filler"


def fill():
    if kind == "limit":
        with contextlib.closing(sqlite3.connect(folder / "runs.sqlite3")) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
        return
    with contextlib.suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(bytes(4096))
            file.flush()
    assert shutil.disk_usage(folder).free < 1 << 19  # what a beat gives up of the reserve meanwhile


def make_room():
    filler.unlink(missing_ok=True)
    if kind == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


store = RunStore(folder)
jobs = Jobs(store)
server = Server(jobs, store)
large = {"epochs": 2, "embedding_size": 300}  # 2 MB, more than the reserve
before = server.end(server.submit("scratch", **large))
assert before.status == "done", before.message
fill()
during = server.end(server.submit("scratch", **large))
assert during.status == "failed", during.status
assert "The outcome of this run could not be kept: the disk that holds the runs" in during.message, during.message
assert "is full: make room on it" in during.message
assert len(during.history) == 2, during.history  # its losses stay
assert not list((folder / "arrays").glob(".*")), "half a file was left"
assert server.run(before.id).metrics.valid_mse == before.metrics.valid_mse
assert store.arrays(before.id)
again = RunStore(folder)  # as after a restart
assert [run.id for run in again.list()] == [during.id, before.id]
again.close()
assert jobs.status().state == "ready"
make_room()
after = server.end(server.submit("scratch", **large))
assert after.status == "done", after.message
jobs.close()
store.close()
(folder / "reserve").unlink(missing_ok=True)
assert_store_is_sound(folder)
"""


def a_disk_of_its_own() -> list[str]:
    """What to put before a command so that it may mount what only it sees; nothing where that is not allowed."""
    for command in (["unshare", "-m"], ["unshare", "-Urm"]):
        try:
            tried = [*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
            mounted = subprocess.run(tried, capture_output=True, check=False)
        except OSError:
            break
        if mounted.returncode == 0:
            return command
    return []


def test_a_full_disk_fails_the_run_in_words_and_the_app_goes_on(tmp_path: Path) -> None:
    """Without the reserve nothing could be written on a full disk, not even that the run has failed."""
    pytest.importorskip("resource", reason="needs a disk that can be filled, or a limit on files: neither is here")
    own, folder = a_disk_of_its_own(), tmp_path / "runs"
    folder.mkdir()
    python = [sys.executable, "-c", SCRIPT, "disk" if own else "limit", str(folder)]
    mount = ["sh", "-c", f'mount -t tmpfs -o size=12m tmpfs "{folder}" && exec "$@"', "sh"] if own else []
    environment = os.environ | ENVIRONMENT | {MARK: str(tmp_path)}
    command = [*own, *mount, *python]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    wait_until(lambda: not descendants(str(tmp_path)), what="the end of all processes")
