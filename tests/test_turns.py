"""Turns on a real worker: several visitors at once, each within the limits, and what they are told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cfcore.config import RunConfig, RunRequest
from cfcore.limits import LimitError
from cfcore.runs import Run
from tests.jobs_support import Server, started


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(tmp_path_factory.mktemp("runs")) as server:
        yield server


def submit(server: Server, visitor: str, approach: str = "bias", seconds: float = 1.0, group: str = "") -> Run:
    request = RunRequest(dataset="sample", config=RunConfig(approach=approach))
    return server.jobs.submit(request, visitor=visitor, seconds=seconds, group=group)


def test_visitors_take_turns_and_each_gets_all_and_only_their_own(server: Server) -> None:
    """First come first served, in place of turns, would train all of ann's before ben's first."""
    first = submit(server, "ann", "fake_endless", seconds=60)
    server.first_epoch(first.id)
    anns = [submit(server, "ann") for _ in range(3)]
    bens = [submit(server, "ben") for _ in range(2)]
    waiting = [bens[0], anns[0], bens[1], anns[1], anns[2]]
    assert [server.jobs.position(run.id) for run in waiting] == [1, 2, 3, 4, 5]
    server.jobs.stop(first.id)
    ended = [server.end(run.id) for run in waiting]
    assert [run.status for run in ended] == ["done"] * 5
    assert [run.id for run in sorted(ended, key=lambda run: run.started or 0)] == [run.id for run in waiting]
    assert {run.id for run in server.store.list(visitor="ben")} == {run.id for run in bens}
    assert {run.id for run in server.store.list(visitor="ann")} == {first.id, *(run.id for run in anns)}


def test_one_training_and_five_waiting_and_then_a_sentence(server: Server) -> None:
    first = submit(server, "cat", "fake_endless")
    server.first_epoch(first.id)
    others = [submit(server, "cat") for _ in range(5)]
    with pytest.raises(LimitError, match="1 in training and 5 waiting"):
        submit(server, "cat")
    assert len(server.store.list(visitor="cat")) == 6  # the refused one left nothing behind
    submit(server, "dan")
    server.jobs.stop(others[2].id)
    another = submit(server, "cat")
    server.jobs.stop(first.id)
    assert server.end(another.id).status == "done"


def test_a_sweep_counts_as_one_and_takes_turns_run_by_run(server: Server) -> None:
    first = submit(server, "eve", "fake_endless")
    server.first_epoch(first.id)
    sweep = [submit(server, "eve", group="g" * 16) for _ in range(8)]
    one = submit(server, "fay")
    assert server.jobs.position(one.id) == 1
    server.jobs.stop(first.id)
    assert {server.end(run.id).status for run in sweep} == {"done"}


def test_when_a_run_will_start_is_what_those_before_it_need(server: Server) -> None:
    first = submit(server, "gus", "fake_endless", seconds=60)  # one epoch of one, a quarter of a second by its own word
    server.first_epoch(first.id)
    runs = [submit(server, visitor, seconds=seconds) for visitor, seconds in (("hal", 10), ("ivy", 5), ("joe", 1))]
    starts = [server.jobs.starts_in(run.id) for run in runs]
    assert starts == [0.0, 10.0, 15.0]
    assert server.jobs.starts_in(first.id) is None
    server.jobs.stop(first.id)
    assert server.end(runs[-1].id).status == "done"
