"""Where the people of a class stand: each by their best run on the class's split, and the best of all so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cfcore.rooms import Person, Room
from cfcore.runs import Run


@dataclass(frozen=True, kw_only=True)
class Standing:
    """``rank`` counts from 1, alike for equal errors, and is ``None`` without a finished run.

    ``best`` is the run with the lowest error (RMSE in stars), ``training`` one that has not ended, ``n_runs`` counts
    those that are shown.
    """

    rank: int | None
    who: str
    visitor: str
    best: Run | None
    training: Run | None
    n_runs: int

    @property
    def rmse(self) -> float | None:
        return self.best.metrics.valid_rmse if self.best and self.best.metrics else None


def on_the_board(room: Room, shown: Mapping[str, str], runs: Sequence[Run]) -> list[Run]:
    """Those of the ``runs`` that the board shows: ``shown`` there, and on the class's data and split of now."""
    return [run for run in runs if run.id in shown and room.rules.concerns(run.request)]


def standings(room: Room, people: Sequence[Person], runs: Sequence[Run]) -> list[Standing]:
    """Everybody with one of ``runs``, those :func:`on_the_board`, the best first."""
    mine: dict[str, list[Run]] = {}
    for run in runs:
        mine.setdefault(run.visitor, []).append(run)
    names = {person.visitor: person.called(named=room.named) for person in people}
    bests = {visitor: min(filter(_measured, theirs), key=_rmse, default=None) for visitor, theirs in mine.items()}
    errors = sorted(_rmse(best) for best in bests.values() if best)
    found = [
        Standing(
            rank=errors.index(_rmse(best)) + 1 if (best := bests[visitor]) else None,
            who=names.get(visitor, "Somebody"),
            visitor=visitor,
            best=best,
            training=next((run for run in theirs if run.active), None),
            n_runs=len(theirs),
        )
        for visitor, theirs in mine.items()
    ]
    return sorted(found, key=lambda each: (each.rank is None, each.rank or 0))


def best_so_far(runs: Sequence[Run]) -> list[Run]:
    """The runs that were the best of all when they ended, in the order they ended."""
    records: list[Run] = []
    for run in sorted(filter(_measured, runs), key=lambda run: run.finished or 0.0):
        if not records or _rmse(run) < _rmse(records[-1]):
            records.append(run)
    return records


def _measured(run: Run) -> bool:
    return not run.active and run.metrics is not None and run.metrics.valid_rmse is not None


def _rmse(run: Run) -> float:
    assert run.metrics is not None
    assert run.metrics.valid_rmse is not None
    return run.metrics.valid_rmse
