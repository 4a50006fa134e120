"""What the app holds in all while each approach trains on MovieLens 100K, under a limit of 1 GB where one can be set.

The limit is that of a small host: a control group (version 1 or 2) that the server is started in, with its scheduler,
nanny and worker. Where no group can be made the same is watched without it. Memory is the proportional set size of all
processes (a page that two share counts half for each), looked at five times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.data import HERE
from benchmarks.session import Session, new_cookie
from benchmarks.table import Line, Section
from cfcore.approaches import APPROACHES, BASELINES
from cfcore.runs import Run, RunStore
from tests.browser.conftest import Server

LIMIT_MB = 1000
LOOK_SECONDS = 0.2
RUN_SECONDS = 600
GROUPS = (  # a folder of control groups, and the file in one of them that sets the limit
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
    (Path("/sys/fs/cgroup"), "memory.max"),
)


def memory(*, quick: bool) -> Section:
    """The peak of the whole process tree in a run of each approach, one after the other in the same worker."""
    dataset, title = ("ml-100k", "MovieLens 100K") if (HERE / "ml-100k").exists() else ("sample", "the sample")
    lines = []
    with tempfile.TemporaryDirectory() as name, limited(LIMIT_MB) as group:
        folder = Path(name)
        if dataset == "ml-100k":
            shutil.copytree(HERE / "ml-100k", folder / "data" / "ml-100k")
        server = Server(folder)
        with inside(group):
            server.start()
        try:
            for key in (key for key in APPROACHES if key not in BASELINES):
                query = f"approach={key}&dataset={dataset}" + ("&epochs=1" if quick else "")
                run, peak = asyncio.run(_train(server, query))
                lines.append(_line(key, run, peak))
        finally:
            server.stop()
    how = (
        "under a limit of 1 GB on all of them together"
        if group
        else "without a limit: no control group can be made here"
    )
    return Section(
        title="Memory of the whole process tree while each approach trains",
        how=f"Page, scheduler, nanny and one worker, {how}, on {title}, in one server, one after the other: page and "
        "worker keep what they have loaded. Highest of five looks a second; a visit without a browser presses Train.",
        lines=lines,
    )


def _line(key: str, run: Run, peak: float) -> Line:
    return Line(
        what=f"`{key}`",
        ours=f"{run.status} in {run.fit_seconds or 0:.1f} s",
        theirs="–",
        value=peak if run.status == "done" else float("nan"),
        bound="at most",
        wanted=float(LIMIT_MB),
        unit="MB",
        note=run.message,
    )


async def _train(server: Server, query: str) -> tuple[Run, float]:
    """Press Train and watch until the run has ended; gives it and the highest MB seen."""
    peak, store = 0.0, RunStore(server.folder / "runs")
    try:
        async with Session(server.url, new_cookie(server.url)) as session:
            await session.visit("")
            await session.visit("train", query)
            await session.press("Train")
            give_up = time.monotonic() + RUN_SECONDS
            while (run := store.get(session.query["run"])) is not None and run.active and time.monotonic() < give_up:
                peak = max(peak, tree_mb(server))
                await asyncio.sleep(LOOK_SECONDS)
            await session.visit("explore", f"run={session.query['run']}")  # what the run leaves is looked at as well
            peak = max(peak, tree_mb(server))
    finally:
        store.close()
    assert run is not None
    return run, peak


def tree_mb(server: Server) -> float:
    """The proportional set size of the server and all its descendants, in MB; those that end meanwhile are left out."""
    assert server.process is not None
    top, held = psutil.Process(server.process.pid), 0.0
    for each in (top, *top.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            held += each.memory_full_info().pss
    return held / 1e6


@contextlib.contextmanager
def limited(mb: float) -> Iterator[Path | None]:
    """A control group whose processes may hold so much together, for this block; ``None`` where none can be made."""
    group = None
    for folder, limit in GROUPS:
        path = folder / f"latent-lab-{os.getpid()}"
        try:
            path.mkdir()
            group = path
            (path / limit).write_text(str(int(mb * 1e6)))
            with contextlib.suppress(OSError):  # where the group may swap, the limit would hold nobody back
                (path / "memory.swap.max").write_text("0")
            break
        except OSError:  # not ours to make, or without a limit on memory
            if path.exists():
                path.rmdir()
            group = None
    try:
        yield group
    finally:
        if group is not None:
            give_up = time.monotonic() + 30
            while (group / "cgroup.procs").read_text() and time.monotonic() < give_up:
                time.sleep(0.1)
            group.rmdir()


@contextlib.contextmanager
def inside(group: Path | None) -> Iterator[None]:
    """What is started in this block belongs to ``group``; this process is in it for so long."""
    if group is None:
        yield
        return
    before = _group_of_this_process(group.parent)
    (group / "cgroup.procs").write_text(str(os.getpid()))
    try:
        yield
    finally:
        (before / "cgroup.procs").write_text(str(os.getpid()))


def _group_of_this_process(root: Path) -> Path:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == ("memory" if root.name == "memory" else ""):
            return root / path.lstrip("/")
    return root
