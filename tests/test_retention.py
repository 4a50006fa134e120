"""Which runs are let go, by age and by room: the oldest, and never one that runs or is being looked at."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from cfcore.approaches import make_config
from cfcore.config import RunRequest
from cfcore.database import StoreError
from cfcore.limits import Limits
from cfcore.retention import LOOKING_SECONDS, TIDY_SECONDS
from cfcore.runs import RunStore

REQUEST = RunRequest(dataset="sample", config=make_config("scratch"))
DAY = 24 * 3600
ARRAYS = {"user_factors": np.zeros(25_000)}  # 200 kB


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves both clocks forward by some seconds."""
    began, wall, ticks = [0.0], time.time, time.monotonic
    monkeypatch.setattr(time, "time", lambda: wall() + began[0])
    monkeypatch.setattr(time, "monotonic", lambda: ticks() + began[0])
    monkeypatch.setattr("cfcore.retention._steady", lambda: ticks() + began[0])

    def forward(seconds: float) -> None:
        began[0] += seconds

    return forward


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    store = RunStore(tmp_path / "runs")
    yield store
    store.close()


def ended(store: RunStore) -> str:
    run_id = store.create(REQUEST).id
    store._files.save(run_id, ARRAYS)
    assert store.fail(run_id, "for the test")
    return run_id


def tidy(store: RunStore, **limits: float) -> list[str]:
    return list(store._retention.tidy(Limits(**limits)))  # type: ignore[arg-type]


def test_a_run_goes_when_it_is_too_old(store: RunStore, clock: Callable[[float], None]) -> None:
    old, seen = ended(store), ended(store)
    clock(6 * DAY)
    store.look_at(seen)
    new = ended(store)
    assert tidy(store) == []  # without a limit nothing ever goes
    assert tidy(store, days=7) == []
    clock(2 * DAY)
    assert tidy(store, days=7) == [old]  # the other was looked at two days ago
    assert [run.id for run in store.list()] == [new, seen]
    with pytest.raises(StoreError):
        store.arrays(old)


def test_the_oldest_go_when_there_is_no_room(store: RunStore, clock: Callable[[float], None]) -> None:
    runs = []
    for _ in range(5):
        runs.append(ended(store))
        clock(LOOKING_SECONDS + 1)
    assert tidy(store, store_mb=1.01) == []
    assert tidy(store, store_mb=0.7) == runs[:2]
    assert tidy(store, store_mb=0.7) == []


def test_what_is_looked_at_or_has_not_ended_stays_whatever_the_limit(
    store: RunStore, clock: Callable[[float], None]
) -> None:
    """Without the looks the first run, the oldest, would be taken from under somebody's eyes."""
    looked_at, other = ended(store), ended(store)
    queued = store.create(REQUEST).id
    store._files.save(queued, ARRAYS)
    clock(DAY)
    store.look_at(looked_at)
    assert tidy(store, store_mb=0, days=0.5) == [other]
    assert {run.id for run in store.list()} == {looked_at, queued}
    clock(LOOKING_SECONDS + 1)
    assert tidy(store, store_mb=0) == [looked_at]
    assert [run.id for run in store.list()] == [queued]


def test_looks_are_written_down_once_a_minute(
    store: RunStore, clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, begun = ended(store), []
    transaction = store._db.transaction
    monkeypatch.setattr(store._db, "transaction", lambda **how: begun.append(how) or transaction(**how))
    for _ in range(100):  # two pages that look twice a second
        store.look_at(run_id)
        clock(0.5)
    assert len(begun) == 1
    clock(30)
    store.look_at(run_id, "no run of this name", "../../escape")
    assert len(begun) == 2


def test_a_look_that_cannot_be_written_down_breaks_no_page(store: RunStore) -> None:
    run_id = ended(store)
    with closing(sqlite3.connect(store.root / "runs.sqlite3")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # or all of it could still be read from the log
    (store.root / "runs.sqlite3").write_bytes(b"not a database any more" * 100)
    store.look_at(run_id)
    assert store.get(run_id) is None
    assert "damaged" in store.notice()


def test_a_running_server_tidies_up_by_itself(
    store: RunStore, clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = ended(store)
    monkeypatch.setenv("CFCORE_MAX_DAYS", "1")
    clock(2 * DAY)
    store.beat("this server")
    assert store.get(run_id) is None


@pytest.mark.parametrize("text", ["soon", "-1", "0"])
def test_a_limit_that_nobody_understands_deletes_nothing(
    text: str, store: RunStore, clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = ended(store)
    monkeypatch.setenv("CFCORE_MAX_DAYS", text)
    clock(1000 * DAY + TIDY_SECONDS)
    store.beat("this server")
    assert store.get(run_id) is not None
