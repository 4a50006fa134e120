"""Who is next among many: turns, the limits of a visit, and when a run will start."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfcore.approaches import make_config
from cfcore.config import RunConfig, RunRequest
from cfcore.estimate import estimate
from cfcore.fair import Claim, FairQueue
from cfcore.limits import LimitError, Limits
from cfcore.line import Line
from cfcore.outlook import first_free
from cfcore.runs import RunStore


def claim(owner: str, number: int = 0, batch: str = "") -> Claim:
    return Claim(run_id=f"{owner}{number}", owner=owner, batch=batch or f"{owner}{number}")


def hand_out(queue: FairQueue, running: tuple[Claim, ...] = (), most: int = 1) -> str | None:
    taken = queue.next(running, most)
    if taken is not None:
        queue.remove(taken.run_id, handed_out=True)
    return taken.run_id if taken else None


def test_one_visitor_is_served_in_order() -> None:
    queue = FairQueue()
    for number in range(4):
        queue.add(claim("a", number))
    assert [hand_out(queue) for _ in range(5)] == ["a0", "a1", "a2", "a3", None]


def test_a_newcomer_comes_before_the_second_run_of_everybody_else() -> None:
    """First come first served would let b wait for all of a's."""
    queue = FairQueue()
    for number in range(3):
        queue.add(claim("a", number))
    assert hand_out(queue) == "a0"
    queue.add(claim("b"))
    queue.add(claim("c"))
    assert [entry.run_id for entry in queue.order()] == ["b0", "c0", "a1", "a2"]
    assert [hand_out(queue) for _ in range(4)] == ["b0", "c0", "a1", "a2"]


def test_whoever_has_a_run_in_training_waits_and_holds_nobody_up() -> None:
    queue = FairQueue()
    queue.add(claim("a", 1))
    queue.add(claim("b", 1))
    assert hand_out(queue, running=(claim("a", 0),)) == "b1"
    assert hand_out(queue, running=(claim("a", 0), claim("b", 1))) is None
    assert hand_out(queue, running=(claim("a", 0),), most=2) == "a1"


def test_a_run_that_was_taken_out_costs_no_turn() -> None:
    queue = FairQueue()
    queue.add(claim("a", 0))
    assert hand_out(queue) == "a0"
    queue.add(claim("a", 1))
    queue.remove("a1")
    queue.remove("never there")
    queue.add(claim("b", 0))
    queue.add(claim("a", 2))
    queue.add(claim("b", 1))
    assert [entry.run_id for entry in queue.order()] == ["b0", "a2", "b1"]


def test_a_stopped_sweep_costs_nobody_their_turns() -> None:
    queue = FairQueue()
    for number in range(20):
        queue.add(claim("a", number))
    for number in range(20):
        queue.remove(f"a{number}")
    for number in range(3):
        queue.add(claim("b", number))
    queue.add(claim("a", 20))
    assert [entry.run_id for entry in queue.order()] == ["b0", "a20", "b1", "b2"]


def test_a_run_that_lost_its_turn_comes_first() -> None:
    queue = FairQueue()
    queue.add(claim("a"))
    queue.add(claim("b"))
    assert hand_out(queue) == "a0"
    queue.add_first(claim("a"))
    assert hand_out(queue) == "a0"


@given(st.lists(st.sampled_from([*"abcd", None]), max_size=60))
def test_between_two_visitors_who_both_wait_the_turns_differ_by_two_at_most(events: list[str | None]) -> None:
    """The bound of start-time fair queueing (Goyal et al., 1996): over any time in which both always had a run waiting.

    A letter is a run that joins, ``None`` a worker that is free.
    """
    queue, numbers = FairQueue(), itertools.count()
    served: dict[str, list[int]] = {owner: [] for owner in "abcd"}  # after each event, how many so far
    backlog: dict[str, list[int]] = {owner: [] for owner in "abcd"}
    counts = dict.fromkeys("abcd", 0)
    for event in events:
        if event is None:
            run_id = hand_out(queue)
            if run_id is not None:
                counts[run_id[0]] += 1
        else:
            queue.add(claim(event, next(numbers)))
        for owner in "abcd":
            served[owner].append(counts[owner])
            backlog[owner].append(sum(entry.owner == owner for entry in queue.order()))
    for one, two in itertools.combinations("abcd", 2):
        for begin, end in itertools.combinations(range(len(events)), 2):
            if all(backlog[one][begin : end + 1]) and all(backlog[two][begin : end + 1]):
                gained = [served[owner][end] - served[owner][begin] for owner in (one, two)]
                assert abs(gained[0] - gained[1]) <= 2


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=20))
def test_everybody_is_served_once_and_each_in_their_own_order(owners: list[str]) -> None:
    queue = FairQueue()
    claims = [claim(owner, number) for number, owner in enumerate(owners)]
    for each in claims:
        queue.add(each)
    served = [hand_out(queue) for _ in claims]
    assert sorted(map(str, served)) == sorted(each.run_id for each in claims)
    for owner in "abc":
        assert [run_id for run_id in served if str(run_id)[0] == owner] == [
            each.run_id for each in claims if each.owner == owner
        ]


def test_a_visit_has_one_run_training_and_five_waiting() -> None:
    line = Line(Limits())
    for number in range(6):
        line.check("a", "")
        line.join(claim("a", number))
    with pytest.raises(LimitError, match="1 in training and 5 waiting"):
        line.check("a", "")
    line.check("b", "")  # somebody else may
    line.leave("a3")
    line.check("a", "")


def test_runs_queued_together_count_as_one() -> None:
    line = Line(Limits(waiting=1))
    for number in range(16):
        line.check("a", "sweep")
        line.join(claim("a", number, batch="sweep"))
    line.check("a", "")
    line.join(claim("a", 16))
    with pytest.raises(LimitError):
        line.check("a", "another sweep")


def test_when_a_worker_will_be_free() -> None:
    assert first_free([], [], 1) == 0
    assert first_free([4.0], [3.0, 5.0], 1) == 12
    assert first_free([4.0, 1.0], [3.0], 2) == 4
    assert first_free([4.0, 1.0], [2.0, 10.0], 2) == 4  # the second free place is at 3, and the third run takes that
    assert first_free([4.0], [], 2) == 0


def test_a_second_run_waits_for_ones_own_first_also_where_a_worker_is_free(tmp_path: Path) -> None:
    store, line = RunStore(tmp_path), Line(Limits())
    request = RunRequest(dataset="sample", config=make_config("scratch"))
    first, second = (Claim(run_id=store.create(request).id, owner="a", batch=name, seconds=9.0) for name in "fs")
    line.join(first)
    line.take_off(first, cast(Any, object()))
    line.join(second)
    assert line.next(n_workers=2) is None
    assert line.starts_in(second.run_id, store, n_workers=2) == pytest.approx(9.0, abs=0.5)
    store.close()


def begin(line: Line, each: Claim) -> None:
    line.take_off(each, cast(Any, object()))
    line.begun(line.flights()[-1], "begun")


def test_who_waits_for_a_run_of_their_own_is_not_next_where_others_may_begin() -> None:
    """By the order of turns alone a page would say "next" for hours, while others pass."""
    line = Line(Limits())
    for each in (claim("a", 1), claim("d", 1), claim("d", 2)):  # while a's first trains, d has two turns
        line.join(each)
        begin(line, each)
        if each.owner == "d":
            line.land(each.run_id)
    begin(line, claim("b", 2))
    again, other = claim("a", 3), claim("c", 4)
    line.join(again)
    line.join(other)
    assert [each.run_id for each in line._waiting.order()] == [again.run_id, other.run_id]
    assert (line.position(other.run_id, 2), line.position(again.run_id, 2)) == (1, 2)
    assert line.waits_for_own(again.run_id, 2)
    assert not line.waits_for_own(other.run_id, 2)
    line.land(claim("b", 2).run_id)
    assert line.next(2) == other  # as was said
    line.land(claim("a", 1).run_id)
    assert not line.waits_for_own(again.run_id, 2)


def test_who_may_begin_is_not_told_the_time_of_those_who_wait_for_their_own(tmp_path: Path) -> None:
    """Counted in the order of turns, the next run would begin "in 305 seconds"."""
    store, line = RunStore(tmp_path), Line(Limits())
    request = RunRequest(dataset="sample", config=make_config("scratch"))
    long, short, again, other = (
        Claim(run_id=store.create(request).id, owner=owner, batch=str(k), seconds=seconds)
        for k, (owner, seconds) in enumerate((("a", 300.0), ("b", 5.0), ("a", 300.0), ("c", 5.0)))
    )
    for each in (long, short):
        line.join(each)
        begin(line, each)
    line.join(again)
    line.join(other)
    assert line.starts_in(other.run_id, store, 2) == pytest.approx(5, abs=1)
    assert line.starts_in(again.run_id, store, 2) == pytest.approx(300, abs=1)
    store.close()


def test_who_has_every_worker_is_next_when_one_is_free() -> None:
    line = Line(Limits())
    line.join(claim("a", 1))
    begin(line, claim("a", 1))
    line.join(claim("a", 2))
    assert line.position(claim("a", 2).run_id, 1) == 1
    assert not line.waits_for_own(claim("a", 2).run_id, 1)


SIZES = {"n_train": 80_000, "n_valid": 20_000, "n_users": 943, "n_items": 1682}


def test_a_run_too_long_or_too_large_names_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config("scratch", epochs=100, embedding_size=50)
    assert estimate(config, **SIZES).refused is None
    monkeypatch.setenv("CFCORE_MAX_WORK", "4e8")
    refused = estimate(config, **SIZES).refused or ""
    assert "100,000 ratings x 100 epochs x embedding size 50 is 5e+08" in refused
    assert "CFCORE_MAX_WORK" in refused
    monkeypatch.delenv("CFCORE_MAX_WORK")
    monkeypatch.setenv("CFCORE_MAX_RUN_MB", "100")
    assert "CFCORE_MAX_RUN_MB" in (estimate(config, **SIZES).refused or "")


def test_a_baseline_has_no_work() -> None:
    assert Limits(work=1).refusal(RunConfig(approach="bias"), 10**8, 0) is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("RUNNING", "0"),
        ("RUNNING", "two"),
        ("WAITING", "-1"),
        ("WAITING", "1.5"),
        ("WORK", "nan"),
        ("RUN_MB", "x"),
        ("DAYS", "0"),
        ("STORE_MB", "50GB"),
    ],
)
def test_a_limit_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(f"CFCORE_MAX_{name}", text)
    with pytest.raises(ValueError, match=f"CFCORE_MAX_{name} must be"):
        Limits.from_environment()
    config = make_config("scratch")
    assert f"CFCORE_MAX_{name}" in (estimate(config, **SIZES).refused or "")  # and nothing is trained by mistake


def test_limits_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFCORE_MAX_RUNNING", "2")
    monkeypatch.setenv("CFCORE_MAX_WAITING", "0")
    monkeypatch.setenv("CFCORE_MAX_WORK", "1e9")
    assert Limits.from_environment() == Limits(running=2, waiting=0, work=1e9)
