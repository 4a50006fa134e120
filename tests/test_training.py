"""The bookkeeping of one run: snapshots within their limit, losses that are no numbers, stops, peak memory."""

from __future__ import annotations

import numpy as np
import pytest

from cfcore import training
from cfcore.approaches import make_config
from cfcore.memory import LastUsed, PeakMemory
from cfcore.models import DotModel
from cfcore.ratings import Split
from cfcore.training import Diverged, EpochResult, Recorder, StopTraining
from tests.waiting import wait_until


def nothing(_: object) -> None:
    pass


def recorder(split: Split, on_epoch=nothing, on_batch=nothing, **settings) -> Recorder:
    return Recorder(split, make_config("scratch", **settings), on_epoch, on_batch, lower_rate=50.0)


def epoch(number: int, factors: np.ndarray | None = None, loss: float = 1.0) -> EpochResult:
    model = None if factors is None else model_of(factors)
    return EpochResult(epoch=number, train_loss=loss, valid_loss=loss, seconds=0.1, model=model)


def model_of(factors: np.ndarray) -> DotModel:
    return DotModel(user_factors=factors[:0], item_factors=factors)


def test_snapshots_hold_the_trained_films_of_every_epoch(small_split: Split) -> None:
    record = recorder(small_split)
    weights = np.zeros((small_split.ratings.n_items, 3), dtype=np.float32)
    record.on_start(model_of(weights))
    for number in (1, 2, 3):
        weights += 1  # in place, as an approach does: a snapshot must be a copy
        record.on_epoch(epoch(number, weights))
    weights += 0.5  # the run ended within its fourth epoch
    snapshots = record.snapshots(weights)
    assert snapshots.epochs.tolist() == [0, 1, 2, 3]
    assert snapshots.item_idx.tolist() == np.flatnonzero(small_split.seen_items).tolist()
    assert [frame[0, 0] for frame in snapshots.factors] == [0, 1, 2, 3.5]
    assert all(result.model is None for result in record.history)


def test_snapshots_stay_within_their_limit_by_skipping_epochs(
    small_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = int(small_split.seen_items.sum()) * 3 * 2  # bytes of a float16 snapshot
    monkeypatch.setattr(training, "SNAPSHOT_LIMIT", 10 * one)
    record = recorder(small_split)
    weights = np.ones((small_split.ratings.n_items, 3), dtype=np.float32)
    record.on_start(model_of(weights))
    for number in range(1, 101):
        record.on_epoch(epoch(number, weights))
        assert record.snapshots(weights).factors.nbytes <= 10 * one
    epochs = record.snapshots(weights).epochs
    assert 5 <= len(epochs) <= 10
    assert len(set(np.diff(epochs[:-1]))) == 1  # evenly spaced
    assert (epochs[0], epochs[-1]) == (0, 100)


def test_when_not_all_films_fit_the_best_known_are_kept(small_split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SNAPSHOT_LIMIT", 8 * 2 * 3 * 5)  # eight snapshots of five films, three factors
    record = recorder(small_split)
    weights = np.ones((small_split.ratings.n_items, 3), dtype=np.float32)
    record.on_epoch(epoch(1, weights))
    counts = np.bincount(small_split.ratings.item_idx[small_split.train], minlength=small_split.ratings.n_items)
    kept = record.snapshots(weights).item_idx
    assert len(kept) == 5
    assert sorted(counts[kept]) == sorted(np.sort(counts)[-5:])


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_no_number_is_not_passed_on(small_split: Split, loss: float) -> None:
    seen: list[object] = []
    record = recorder(small_split, seen.append, seen.append, learning_rate=500.0)
    record.on_epoch(epoch(1))
    with pytest.raises(Diverged):
        record.on_batch(loss)
    with pytest.raises(Diverged):
        record.on_epoch(epoch(2, loss=loss))
    assert len(seen) == 1
    status, message = record.outcome()
    assert status == "diverged"
    assert "in epoch 2: a learning rate of 500 is too high here. Try 50." in message


def test_a_stop_is_passed_on_and_counted(small_split: Split) -> None:
    def stop(_: object) -> None:
        raise StopTraining

    record = recorder(small_split, stop, epochs=9)
    with pytest.raises(StopTraining):
        record.on_epoch(epoch(1))
    assert record.outcome() == ("stopped", "Stopped after 1 of 9 epochs.")


def test_the_arrays_used_last_are_kept_up_to_a_limit() -> None:
    made = []

    def arrays(key: str, n: int) -> dict[str, np.ndarray]:
        return kept.get(key, lambda: made.append(key) or {"numbers": np.ones(n, dtype=np.int8)})

    kept = LastUsed(most_bytes=100)
    for key, n in (("a", 40), ("b", 40), ("a", 40)):
        assert len(arrays(key, n)["numbers"]) == n
    assert made == ["a", "b"]
    for key in ("c", "a", "b"):  # b was used longest ago, so c took its place
        arrays(key, 40)
    assert made == ["a", "b", "c", "b"]
    for _ in range(2):  # too large to be kept, and no reason to let go of the others
        assert len(arrays("huge", 101)["numbers"]) == 101
    arrays("b", 40)
    assert made[4:] == ["huge", "huge"]


def test_arrays_that_nobody_uses_are_let_go_after_a_while() -> None:
    now, made = [0.0], []
    kept = LastUsed(most_bytes=100, seconds=60, clock=lambda: now[0])

    def use(key: str) -> None:
        kept.get(key, lambda: made.append(key) or {"numbers": np.ones(10, dtype=np.int8)})

    for now[0], key in ((0, "a"), (40, "b"), (59, "a"), (101, "a"), (102, "b")):  # b was last used 61 seconds before
        use(key)
    assert made == ["a", "b", "b"]


def test_peak_memory_sees_what_came_and_went() -> None:
    with PeakMemory(every_seconds=0.001) as memory:
        before = memory.mb
        block = np.ones(200_000_000 // 8)  # touched, so that it is really there
        wait_until(lambda: memory.mb > before + 150, what="a sample of the larger memory")
        del block
    assert memory.mb > before + 150


def test_a_stop_within_an_epoch_says_that_its_errors_are_of_then(small_split: Split) -> None:
    def stop(_: object) -> None:
        raise StopTraining

    record = recorder(small_split, nothing, stop, epochs=9)
    record.on_epoch(epoch(1))
    with pytest.raises(StopTraining):
        record.on_batch(1.0)
    status, message = record.outcome()
    assert status == "stopped"
    assert message.startswith("Stopped within epoch 2 of 9.")
