"""The load tool itself: a visit without a browser presses Train, gets its own run, and is told from another."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from benchmarks.load import Sample, leak, load
from benchmarks.session import Session, SessionError, new_cookie
from cfcore.runs import RunStore
from cfcore.ui.state import name_of
from tests.browser.conftest import Server

T = TypeVar("T")
QUICK = "approach=scratch&learning_rate=10&embedding_size=8&epochs=5"


def in_a_thread(work: Callable[[], T]) -> T:
    """Away from this thread, where a browser of another test may have an event loop already."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def test_a_visit_without_a_browser_trains_and_is_told_from_another(tmp_path: Path) -> None:
    """Without a cookie of their own, all visits would be one person, with six runs in all."""
    server = Server(tmp_path).start()

    async def visit() -> tuple[str, str]:
        cookie = await asyncio.to_thread(new_cookie, server.url)
        async with Session(server.url, cookie) as session:
            await session.visit("")
            await session.visit("train", QUICK)
            await session.press("Train")
            return name_of(cookie), session.query["run"]

    async def two() -> Sequence[tuple[str, str]]:
        return await asyncio.gather(visit(), visit())

    try:
        started = dict(in_a_thread(lambda: asyncio.run(two())))
        store = RunStore(tmp_path / "runs")
        kept = {name: [run.id for run in store.list(visitor=name)] for name in started}
        store.close()
    finally:
        server.stop()
    assert kept == {name: [run] for name, run in started.items()}
    assert len(started) == 2


def test_a_page_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Without the look at the list, the server would draw Home, and the tool would measure that."""
    server = Server(tmp_path).start()

    async def visit() -> None:
        async with Session(server.url, new_cookie(server.url)) as session:
            await session.visit("")
            await session.visit("nowhere")

    try:
        with pytest.raises(SessionError, match="there is no page 'nowhere'"):
            in_a_thread(lambda: asyncio.run(visit()))
    finally:
        server.stop()


def test_a_small_class_meets_no_error_and_all_its_runs_end() -> None:
    section = in_a_thread(lambda: load(minutes=1 / 6, people=2, browsers=0))
    assert any("2 people" in line.ours for line in section.lines), "or nobody's runs could stray"
    values = {line.what: line.value for line in section.lines}
    assert values["errors that somebody saw, or that are in the log"] == 0, section.lines
    assert values["runs that were started and did not end as done"] == 0
    assert values["people whose runs are not all and only theirs"] == 0
    assert values["p95 of a rerun of a page: a visit, or a press of Train"] > 0


def test_the_leak_is_the_slope_over_the_visits_once_settled() -> None:
    """With the first minutes, in which the caches fill, a server that leaks nothing would seem to."""
    filling = [Sample(seconds, seconds, 100.0 + seconds, 0) for seconds in range(10)]
    flat = [Sample(seconds, seconds, 110.0 + 0.02 * seconds, 0) for seconds in range(10, 100)]
    assert leak([*filling, *flat], since=10) == pytest.approx(2.0)
    assert leak([*filling, *flat], since=0) > 5
    assert math.isnan(leak(filling, since=50))
