"""The runs of one server that have not ended: those that wait, and those that Dask has. Safe from several threads.

The queue's own thread moves runs along; pages ask where theirs stands.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfcore.fair import Claim, FairQueue
from cfcore.limits import Limits
from cfcore.outlook import first_free, seconds_left
from cfcore.runs import RunStore

if TYPE_CHECKING:
    from cfcore.cluster import Future


@dataclass(frozen=True, kw_only=True)
class JobsStatus:
    """The state of the queue: ``starting``, ``ready`` or ``failed``, and why; ``queued`` and ``running`` count runs."""

    state: str
    message: str
    n_workers: int
    queued: int
    running: int


@dataclass
class Flight:
    """A run that Dask has: its task, and what the worker that began it calls that beginning ('' before)."""

    claim: Claim
    future: Future
    attempt: str = ""

    @property
    def run_id(self) -> str:
        return self.claim.run_id


class Line:
    """Who waits and who flies, under the ``limits`` that each owner has."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.Lock()  # held for moments
        self._waiting = FairQueue()
        self._flights: dict[str, Flight] = {}

    def check(self, owner: str, batch: str) -> None:
        """Refuse an owner who has enough already; what was queued together, as one ``batch``, counts as one.

        Raises:
            LimitError: another would be too many.
        """
        with self._lock:
            batches = {claim.batch for claim in self._claims() if claim.owner == owner}
        if batch not in batches:
            self.limits.check_turn(len(batches))

    def join(self, claim: Claim, *, first: bool = False) -> None:
        """Let a run wait: for its turn, or before all others, where it lost its turn through no fault of its own."""
        with self._lock:
            (self._waiting.add_first if first else self._waiting.add)(claim)

    def leave(self, run_id: str) -> None:
        """Let go of a run that waits, if it does."""
        with self._lock:
            self._waiting.remove(run_id)

    def next(self, n_workers: int) -> Claim | None:
        """The run to hand out now, which goes on waiting until :meth:`take_off`; ``None`` where there is none."""
        with self._lock:
            if len(self._flights) >= n_workers:
                return None
            return self._waiting.next((each.claim for each in self._flights.values()), self.limits.running)

    def take_off(self, claim: Claim, future: Future | None) -> None:
        """Note that Dask has a run now, or, without a ``future``, that the run came to nothing before it began."""
        with self._lock:
            if future is not None:
                self._flights[claim.run_id] = Flight(claim, future)
            self._waiting.remove(claim.run_id, handed_out=future is not None)

    def begun(self, flight: Flight, attempt: str) -> None:
        """Note that a worker has begun this run."""
        with self._lock:
            flight.attempt = attempt

    def land(self, run_id: str) -> Flight | None:
        """Let go of a run that Dask has had."""
        with self._lock:
            return self._flights.pop(run_id, None)

    def flight(self, run_id: str) -> Flight | None:
        return self._flights.get(run_id)

    def flights(self) -> Sequence[Flight]:
        """The runs that Dask has at this moment."""
        with self._lock:
            return list(self._flights.values())

    def ground(self, *, waiting: bool = True, flying: bool = True) -> Sequence[str]:
        """Let go of all runs that wait, or fly, or both; gives their ids."""
        with self._lock:
            gone = [*self._flights] if flying else []
            gone += [claim.run_id for claim in self._waiting.order()] if waiting else []
            if flying:
                self._flights.clear()
            if waiting:
                self._waiting.clear()
        return gone

    def counts(self) -> tuple[int, int]:
        """How many runs wait for a worker to begin them, and how many have begun."""
        with self._lock:
            begun = sum(bool(each.attempt) for each in self._flights.values())
            return len(self._waiting) + len(self._flights) - begun, begun

    def position(self, run_id: str, n_workers: int) -> int | None:
        """The place of a run among those that have not begun, 1 being next; ``None`` when it is not among them.

        Those that must wait for a run of their own owner come after those that any worker may take.
        """
        with self._lock:
            order = [each.run_id for each in self._flights.values() if not each.attempt]
            order += [each.run_id for each in self._in_turn(n_workers)]
        return order.index(run_id) + 1 if run_id in order else None

    def waits_for_own(self, run_id: str, n_workers: int) -> bool:
        """Whether a run waits for one of its own owner's to end, while others may begin."""
        with self._lock:
            busy = self._busy(n_workers)
            return any(claim.run_id == run_id and claim.owner in busy for claim in self._waiting.order())

    def _in_turn(self, n_workers: int) -> list[Claim]:
        """Those that wait, in the order in which workers take them."""
        busy = self._busy(n_workers)
        return sorted(self._waiting.order(), key=lambda claim: claim.owner in busy)

    def _busy(self, n_workers: int) -> set[str]:
        """The owners who have their share in training, but for one who has every worker: whichever is free next, it is
        a run of theirs that has ended."""
        counts = Counter(each.claim.owner for each in self._flights.values())
        return {owner for owner, count in counts.items() if self.limits.running <= count < n_workers}

    def starts_in(self, run_id: str, store: RunStore, n_workers: int) -> float | None:
        """In how many seconds a run that waits will begin, as far as that can be told; ``None`` when it does not."""
        with self._lock:
            flights, waiting = [each.claim for each in self._flights.values()], self._in_turn(n_workers)
        before = list(itertools.takewhile(lambda claim: claim.run_id != run_id, waiting))
        if len(before) == len(waiting):
            return None
        owner = waiting[len(before)].owner
        runs, now = {run.id: run for run in store.get_many([claim.run_id for claim in flights])}, time.time()
        left = [seconds_left(runs.get(claim.run_id), claim.seconds, now) for claim in flights]
        free = first_free(left, [claim.seconds for claim in before], max(n_workers, len(left), 1))
        own = [seconds for claim, seconds in zip(flights, left, strict=True) if claim.owner == owner]
        return max(free, min(own)) if len(own) >= self.limits.running else free

    def _claims(self) -> list[Claim]:
        return [*(each.claim for each in self._flights.values()), *self._waiting.order()]
