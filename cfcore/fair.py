"""Who is next among many: start-time fair queueing, so that everybody's first run comes before anybody's second.

Each run gets a start tag when it joins: the tag of the run that was handed out last, or, where its owner has one
waiting that is later than that, the tag at which that one ends. Runs are handed out in the order of their tags:

    start(r) = max(now, finish(the owner's last run)),    finish(r) = start(r) + 1,    now = start(last handed out)

Tags only grow, so nobody starves, and an owner who was away has saved nothing up. With one owner it is first come first
served. Source: Goyal, Vin, Cheng (1996), Start-time Fair Queuing, SIGCOMM; here every run weighs the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A run that wants a worker: whose it is, what it was queued with, and for how long (estimated, in seconds).

    ``batch`` is shared by runs that were queued together, and else the run's own id.
    """

    run_id: str
    owner: str
    batch: str
    seconds: float = 0.0


@dataclass(frozen=True)
class _Place:
    tag: float
    arrival: int
    claim: Claim


class FairQueue:
    """The runs that wait. Not safe from several threads: whoever owns it holds a lock."""

    def __init__(self) -> None:
        self._places: list[_Place] = []  # in the order in which they will be handed out
        self._now, self._arrivals = 0.0, 0
        self._finish: dict[str, float] = {}  # owner: where the last of its runs that were handed out ends

    def __len__(self) -> int:
        return len(self._places)

    def add(self, claim: Claim) -> None:
        """Put a run behind those of its owner, and before the next turn of whoever has had more."""
        own = [place.tag + 1 for place in self._places if place.claim.owner == claim.owner]
        tag = max(self._now, self._finish.get(claim.owner, 0.0), *own)
        self._arrivals += 1
        self._places.append(_Place(tag, self._arrivals, claim))
        self._places.sort(key=lambda place: (place.tag, place.arrival))

    def add_first(self, claim: Claim) -> None:
        """Put a run before all others: it had its turn, and lost it through no fault of its own."""
        self._places.insert(0, _Place(self._now, 0, claim))

    def next(self, running: Iterable[Claim], most: int) -> Claim | None:
        """The run to hand out now, which stays until it is removed; ``None`` where every owner has its share.

        ``running`` are the runs that were handed out and have not ended, ``most`` is how many of those one may have.
        """
        busy = Counter(claim.owner for claim in running)
        return next((place.claim for place in self._places if busy[place.claim.owner] < most), None)

    def remove(self, run_id: str, *, handed_out: bool = False) -> None:
        """Take a run out, because it was ``handed_out`` or is not wanted any more; does nothing where it is not in."""
        place = next((place for place in self._places if place.claim.run_id == run_id), None)
        if place is None:
            return
        self._places.remove(place)
        if handed_out:  # else it never ran, and its owner has had no turn
            self._now = max(self._now, place.tag)
            self._finish[place.claim.owner] = place.tag + 1
            self._finish = {owner: finish for owner, finish in self._finish.items() if finish > self._now}

    def order(self) -> list[Claim]:
        """All that wait, those that start first in front."""
        return [place.claim for place in self._places]

    def clear(self) -> None:
        """Let all of them go."""
        self._places.clear()
