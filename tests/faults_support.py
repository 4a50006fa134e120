"""What must hold of a store of runs whatever was killed, filled up or damaged, and processes to find again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil

from cfcore.runs import RunStore
from tests.waiting import wait_until

MARK = "LATENT_LAB_TEST"


def assert_store_is_sound(folder: Path, *, processes: Iterable[psutil.Process] = (), mark: str = "") -> None:
    """No run is "running" for ever, no process is left over, and no file is half written.

    Call it when nothing uses the store any more. ``processes`` are those that must have ended by then, and ``mark`` is
    what all that may be left inherited in their environment.
    """
    for process in processes:
        wait_until(lambda process=process: ended(process), what=f"the end of {process}")
    if mark:
        wait_until(lambda: not descendants(mark), what="the end of all processes")
    store = RunStore(folder)
    store.fail_orphans()  # as a server does when it starts
    runs = store.list(limit=10_000)
    for run in runs:
        assert run.status in ("done", "stopped", "diverged", "failed"), f"run {run.id} is {run.status} for ever"
        assert run.status != "failed" or run.message, f"nobody knows why {run.id} failed"
        assert run.finished is not None
        assert run.created <= (run.started or run.created) <= run.finished, "a duration is negative"
        assert [epoch.epoch for epoch in run.history] == list(range(1, len(run.history) + 1)), "an epoch is missing"
        assert all(epoch.seconds >= 0 for epoch in run.history)
        if run.status == "done":
            assert store.model(run.id) is not None
    store.close()
    with closing(sqlite3.connect(folder / "runs.sqlite3")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    for path in (folder / "arrays").iterdir():
        assert path.suffix == ".npz", f"{path.name} is half written"
        with np.load(path) as file:
            assert all(file[name] is not None for name in file)


def ended(process: psutil.Process) -> bool:
    """Whether a process has ended, also where nobody has asked for its end yet."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def descendants(mark: str) -> list[psutil.Process]:
    """All processes that inherited the mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found
