"""The store of runs: what goes in comes out exactly, whoever else is writing, and nothing is pickled."""

from __future__ import annotations

import pickle
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cfcore import approaches, retention
from cfcore.config import FOLDS, LOOKUPS, RunConfig, RunRequest, SplitConfig
from cfcore.models import DotModel, Model, NetModel, from_arrays, to_arrays
from cfcore.outcome import outcome_of
from cfcore.ratings import Split
from cfcore.retention import TRASH_SECONDS
from cfcore.runs import ORPHANED, RunStore, StoreError
from cfcore.servers import server_gone, server_of, this_server
from cfcore.training import EpochResult, Trained
from tests.waiting import wait_until

ROOT = Path(__file__).parents[1]
REQUEST = RunRequest(dataset="sample", config=approaches.make_config("scratch"))
STARTED = {"split_how": "by hand", "n_train": 3, "n_valid": 2, "baseline_mean_mse": 1.1, "baseline_bias_mse": 0.9}

finite = st.floats(allow_nan=False, allow_infinity=False)
whole = st.integers(-(2**53), 2**53)
splits = st.one_of(
    st.sampled_from(FOLDS).map(SplitConfig.of),
    st.builds(
        SplitConfig,
        kind=st.sampled_from(("random", "first10", "time")),
        valid_fraction=st.floats(1e-9, 0.999),
        seed=st.integers(0, 2**32 - 1),
    ),
)
configs = st.builds(
    RunConfig,
    approach=st.text(),
    learning_rate=st.none() | finite,
    epochs=st.none() | whole,
    embedding_size=st.none() | whole,
    layers=st.none() | st.lists(whole, max_size=4).map(tuple),
    y_range=st.none() | st.tuples(st.floats(-9, 0), st.floats(0.1, 9)),
    lookup=st.none() | st.sampled_from(LOOKUPS),
    seed=st.none() | whole,
)
requests = st.builds(RunRequest, dataset=st.text(), split=splits, config=configs)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    return RunStore(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def trained(small_split: Split) -> Trained:
    return approaches.train(small_split, approaches.make_config("bias"))


def epoch(number: int, loss: float = 1.0) -> EpochResult:
    return EpochResult(epoch=number, train_loss=loss, valid_loss=loss + 0.1, seconds=0.01, learning_rate=0.5)


def values(result: EpochResult) -> tuple:
    return result.epoch, result.train_loss, result.valid_loss, result.seconds, result.learning_rate


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=requests, visitor=st.text(), title=st.text())
def test_a_request_comes_back_as_it_was(shared_store: RunStore, request: RunRequest, visitor: str, title: str) -> None:
    run = shared_store.get(shared_store.create(request, visitor=visitor, dataset_title=title).id)
    assert run is not None
    assert (run.request, run.visitor, run.dataset_title, run.status) == (request, visitor, title, "queued")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(losses=st.lists(st.tuples(finite, finite, finite, st.none() | finite), max_size=5))
def test_epochs_come_back_to_the_last_bit(shared_store: RunStore, losses: list[tuple]) -> None:
    run_id = shared_store.create(REQUEST).id
    shared_store.start(run_id, **STARTED)
    given = [
        EpochResult(epoch=number, train_loss=train, valid_loss=valid, seconds=seconds, learning_rate=rate)
        for number, (train, valid, seconds, rate) in enumerate(losses, start=1)
    ]
    for result in reversed(given):  # whatever order they come in
        shared_store.add_epoch(run_id, result)
    run = shared_store.get(run_id)
    assert run is not None
    assert [values(result) for result in run.history] == [values(result) for result in given]


def test_numpy_numbers_are_kept_as_numbers(store: RunStore) -> None:
    run_id = store.create(REQUEST).id
    store.start(run_id, **STARTED)
    third = np.float32(1 / 3)
    store.add_epoch(run_id, EpochResult(epoch=np.int64(1), train_loss=third, valid_loss=third, seconds=third))  # type: ignore[arg-type]
    run = store.get(run_id)
    assert run is not None
    assert values(run.history[0]) == (1, float(third), float(third), float(third), None)


def test_the_life_of_a_run(store: RunStore, trained: Trained, small_split: Split) -> None:
    run = store.create(REQUEST, visitor="ann", dataset_title="Sample")
    assert run.active
    assert (run.name, run.started, run.finished, run.metrics, run.history) == ("", None, None, None, ())

    assert store.start(run.id, **STARTED)
    assert not store.start(run.id, **STARTED)  # only once
    running = store.get(run.id)
    assert running is not None
    assert (running.status, running.split_how, running.baseline_bias_mse) == ("running", "by hand", 0.9)

    store.add_epoch(run.id, epoch(1, loss=99.0))
    history = (epoch(1), epoch(2))  # the outcome knows better than the news, and knows all of it
    assert store.finish(run.id, outcome_of(replace(trained, history=history), small_split.valid))
    assert not store.finish(run.id, outcome_of(trained))
    store.add_epoch(run.id, epoch(3))  # late news
    assert not store.fail(run.id, "too late")

    done = store.get(run.id)
    assert done is not None
    assert (done.status, done.message, done.active) == ("done", "", False)
    assert [values(result) for result in done.history] == [values(result) for result in history]
    assert done.metrics is not None
    assert done.metrics.valid_mse == trained.metrics.valid_mse
    assert (done.fit_seconds, done.peak_memory_mb) == (trained.fit_seconds, trained.peak_memory_mb)

    store.rename(run.id, "  my best ")
    assert [other.name for other in store.list()] == ["my best"]
    store.delete(run.id)
    assert store.get(run.id) is None
    assert store.list() == []
    with pytest.raises(StoreError, match="no arrays"):
        store.arrays(run.id)


def test_arrays_come_back_with_their_holes(store: RunStore, trained: Trained, small_split: Split) -> None:
    user_factors = np.array([[1.5, np.nan], [np.nan, -0.0]], dtype=np.float32)
    run_id = store.create(REQUEST).id
    store.finish(run_id, outcome_of(replace(trained, user_factors=user_factors), small_split.valid))
    arrays = store.arrays(run_id)
    assert arrays["user_factors"].tobytes() == user_factors.tobytes()
    assert np.array_equal(arrays["valid_rows"], small_split.valid)
    assert trained.item_bias is not None
    assert arrays["item_bias"].tobytes() == trained.item_bias.tobytes()
    users, items, _ = small_split.part(small_split.valid)
    assert np.array_equal(store.model(run_id).predict(users, items), arrays["valid_predictions"])


dot = st.builds(
    lambda k, biases, offset, squeeze: DotModel(
        user_factors=_random(4, k),
        item_factors=_random(6, k),
        user_bias=_random(4) if biases else None,
        item_bias=_random(6) if biases else None,
        offset=offset,
        y_range=(0.5, 5.5) if squeeze else None,
    ),
    k=st.integers(0, 3),
    biases=st.booleans(),
    offset=st.floats(-5, 5),
    squeeze=st.booleans(),
)
net = st.builds(
    lambda widths, squeeze: NetModel(
        user_inputs=_random(4, 3),
        item_inputs=_random(6, 2),
        weights=tuple(_random(a, b) for a, b in zip([5, *widths], [*widths, 1], strict=True)),
        biases=tuple(_random(b) for b in [*widths, 1]),
        n_factors=(2, 1),
        y_range=(1.0, 5.0) if squeeze else None,
    ),
    widths=st.lists(st.integers(1, 4), max_size=12),  # more than ten layers: their order must not be alphabetical
    squeeze=st.booleans(),
)


def _random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


@given(model=st.one_of(dot, net))
def test_a_model_rebuilt_predicts_the_same(model: Model) -> None:
    rebuilt = from_arrays({"valid_rows": np.zeros(2), **to_arrays(model)})
    users, items = np.divmod(np.arange(24), 6)
    assert type(rebuilt) is type(model)
    assert rebuilt.predict(users, items).tobytes() == model.predict(users, items).tobytes()
    assert np.array_equal(rebuilt.item_factors, model.item_factors)


def test_arrays_without_a_model_are_refused() -> None:
    with pytest.raises(ValueError, match="no model"):
        from_arrays({"user_factors": np.zeros((2, 2))})


def test_a_queued_run_can_be_cancelled_and_a_running_one_not(store: RunStore) -> None:
    queued, running = store.create(REQUEST).id, store.create(REQUEST).id
    store.start(running, **STARTED)
    assert store.cancel(queued, "Never mind.")
    assert not store.cancel(running, "Never mind.")
    assert store.note(running, "Stopping.")
    assert not store.note(queued, "Stopping.")
    assert [(run.status, run.message) for run in store.list()] == [("running", "Stopping."), ("stopped", "Never mind.")]


def test_the_list_is_newest_first_and_each_visitors_own(store: RunStore) -> None:
    ids = [store.create(REQUEST, visitor=visitor).id for visitor in ("ann", "bob", "ann")]
    assert [run.id for run in store.list()] == ids[::-1]
    assert [run.id for run in store.list(visitor="ann")] == [ids[2], ids[0]]
    assert [run.id for run in store.list(limit=1)] == [ids[2]]
    assert store.list(visitor="eve") == []


def test_runs_are_found_by_group_and_by_many_ids(store: RunStore) -> None:
    ids = [store.create(REQUEST, visitor="ann", group=group).id for group in ("", "five", "five")]
    assert [run.id for run in store.list(group="five")] == [ids[2], ids[1]]
    assert store.list(visitor="bob", group="five") == []
    unknown = "A" * 16
    assert [run.id for run in store.get_many([ids[2], unknown, "../..", ids[0], ids[2]])] == [ids[2], ids[0]]
    assert store.get_many([]) == []


def test_a_trashed_run_is_gone_until_it_is_restored(
    store: RunStore, trained: Trained, small_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, trashed, active = (store.create(REQUEST, visitor="ann").id for _ in range(3))
    for run_id in (kept, trashed):
        store.start(run_id, **STARTED)
        assert store.finish(run_id, outcome_of(trained, small_split.valid))
    assert not store.trash(active), "its worker would write to it"
    assert store.trash(trashed)
    assert store.get(trashed) is None
    assert [run.id for run in store.list(visitor="ann")] == [active, kept]
    store.restore(trashed)
    assert store.arrays(trashed).keys() == store.arrays(kept).keys()

    assert store.trash(trashed)
    store.close()
    RunStore(store.root).close()  # soon afterwards it is still there
    assert (store.root / "arrays" / f"{trashed}.npz").exists()
    later, clock = time.time() + TRASH_SECONDS + 1, time.monotonic() + TRASH_SECONDS + 1
    steady = retention._steady() + TRASH_SECONDS + 1
    again = RunStore(store.root)
    monkeypatch.setattr(time, "time", lambda: later)
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    monkeypatch.setattr(retention, "_steady", lambda: steady)
    again.beat("this server")  # as a running server does every few seconds
    assert not (store.root / "arrays" / f"{trashed}.npz").exists()
    again.restore(trashed)
    assert [run.id for run in again.list(visitor="ann")] == [active, kept]


def test_some_of_the_arrays_can_be_read_alone(store: RunStore, trained: Trained, small_split: Split) -> None:
    run_id = store.create(REQUEST).id
    store.start(run_id, **STARTED)
    store.finish(run_id, outcome_of(trained, small_split.valid))
    everything = store.arrays(run_id)
    some = store.arrays(run_id, "item_factors", "model_", "no_such_array")
    assert set(some) == {"item_factors"} | {name for name in everything if name.startswith("model_")}
    np.testing.assert_array_equal(some["item_factors"], everything["item_factors"])


def test_a_store_of_the_version_before_is_brought_up_to_date(store: RunStore) -> None:
    run = store.create(REQUEST, visitor="ann")
    store.close()
    db = sqlite3.connect(store.root / "runs.sqlite3")
    for statement in (
        *(f"DROP TABLE {name}" for name in ("shown", "people", "teachers", "rooms")),
        "DROP INDEX runs_by_group",
        'ALTER TABLE runs DROP COLUMN "group"',
        "ALTER TABLE runs DROP COLUMN trashed",
        "ALTER TABLE runs DROP COLUMN looked",
        "PRAGMA user_version = 1",
    ):
        db.execute(statement)
    db.close()
    assert RunStore(store.root).list(visitor="ann") == [run]


def test_ids_cannot_be_guessed_and_never_become_paths(store: RunStore, tmp_path: Path) -> None:
    ids = {store.create(REQUEST).id for _ in range(50)}
    assert len(ids) == 50
    assert all(len(run_id) == 16 for run_id in ids)  # 12 random bytes
    (tmp_path / "secret.npz").write_bytes(b"not yours")
    for bad in (
        "",
        "../../secret",
        "../secret.npz",
        "a" * 15,
        "a" * 17,
        "a" * 15 + "\n",
        "a/b/c/d/e/f/g/h/",
        "' OR 1=1 --      ",
    ):
        assert store.get(bad) is None
        with pytest.raises(StoreError, match="no such run"):
            store.arrays(bad)
        store.delete(bad)
    assert (tmp_path / "secret.npz").exists()
    assert len(store.list()) == 50


def test_a_pickle_is_never_opened(store: RunStore, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    run_id = store.create(REQUEST).id
    path = store.root / "arrays" / f"{run_id}.npz"
    np.savez(path, allow_pickle=True, user_factors=np.array([Trap()], dtype=object))
    with pytest.raises(StoreError, match="damaged"):
        store.arrays(run_id)
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(StoreError, match="damaged"):
        store.arrays(run_id)
    assert not (tmp_path / "sprung").exists()


def test_a_half_written_file_is_told(store: RunStore, trained: Trained) -> None:
    run_id = store.create(REQUEST).id
    store.finish(run_id, outcome_of(trained))
    assert not list((store.root / "arrays").glob(".*"))
    path = store.root / "arrays" / f"{run_id}.npz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(StoreError, match="damaged"):
        store.arrays(run_id)


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="CFCORE_RUNS_DIR"):
        RunStore(tmp_path / "file" / "runs")
    (tmp_path / "runs.sqlite3").mkdir()
    with pytest.raises(StoreError, match="CFCORE_RUNS_DIR"):
        RunStore(tmp_path)


def test_a_store_of_another_version_is_left_alone(store: RunStore) -> None:
    database = store.root / "runs.sqlite3"
    store.close()
    with sqlite3.connect(database) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match="another version"):
        RunStore(store.root)


def test_the_place_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFCORE_RUNS_DIR", str(tmp_path / "here"))
    assert RunStore().root == tmp_path / "here"


WRITER = """
import sys
from pathlib import Path
from cfcore.runs import RunStore
from tests.test_runs import REQUEST, STARTED, epoch
store = RunStore(Path(sys.argv[1]))
run_id = store.create(REQUEST, visitor=sys.argv[2]).id
store.start(run_id, **STARTED)
for number in range(1, 201):
    store.add_epoch(run_id, epoch(number))
"""


def test_two_processes_write_while_a_third_reads(tmp_path: Path) -> None:
    """They also create the database at the same moment."""
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), visitor], cwd=ROOT, stderr=subprocess.PIPE)
        for visitor in ("ann", "bob")
    ]
    store = RunStore(tmp_path)
    while any(writer.poll() is None for writer in writers):
        for run in store.list():
            assert [result.epoch for result in run.history] == list(range(1, len(run.history) + 1))
    for writer in writers:
        assert writer.communicate()[1] == b""
    assert sorted((run.visitor, len(run.history)) for run in store.list()) == [("ann", 200), ("bob", 200)]


def test_the_runs_of_a_server_that_is_gone_fail_when_they_are_read(store: RunStore) -> None:
    ended = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    server = server_of(ended.pid)
    queued, running, mine, nobodys = (
        store.create(REQUEST, server=name).id for name in (server, server, this_server(), "")
    )
    store.start(running, **STARTED)
    store.add_epoch(running, epoch(1))
    assert all(run.active for run in store.list())  # its process still waits for its input

    ended.communicate(b"\n")
    wait_until(lambda: not psutil.pid_exists(ended.pid))
    run = store.get(running)
    assert run is not None
    assert (run.status, run.message, len(run.history)) == ("failed", ORPHANED, 1)
    assert {run.id: run.status for run in store.list()} == {
        queued: "failed",
        running: "failed",
        mine: "queued",
        nobodys: "queued",
    }


def test_a_process_id_used_again_is_no_proof_of_life() -> None:
    host, pid, start = this_server().rsplit(":", 2)
    assert not server_gone(this_server(), seen=0)
    assert server_gone(f"{host}:{pid}:{start}1", seen=time.time())


def test_a_beat_keeps_a_server_elsewhere_alive(store: RunStore) -> None:
    run_id = store.create(REQUEST, server="elsewhere:1:1.00").id
    with sqlite3.connect(store.root / "runs.sqlite3") as db:
        db.execute("UPDATE runs SET seen = 0")
    db.close()
    store.beat("elsewhere:1:1.00")
    run = store.get(run_id)
    assert run is not None
    assert run.active
