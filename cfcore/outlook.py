"""How far a run has come, and when the next will start, from what is known so far."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from cfcore.runs import Run


def remaining(run: Run, now: float) -> float | None:
    """Roughly how many seconds a running run still needs, from its last epochs; ``None`` before the first has ended."""
    history, planned = run.history, run.request.config.epochs or 1
    if not history:
        return None
    recent = [result.seconds for result in history[-5:]]
    each = sum(recent) / len(recent)
    since = now - (run.started or now) - sum(result.seconds for result in history)
    return max(0.0, each * (planned - len(history)) - min(max(since, 0.0), each))


def share_done(run: Run, now: float) -> float:
    """How far a running run has come, from 0 to 1; within an epoch by the clock, never to the epoch's end."""
    planned, done = run.request.config.epochs or 1, len(run.history)
    if not done:
        return 0.0
    left = remaining(run, now) or 0.0
    each = sum(result.seconds for result in run.history) / done
    whole = left + each * done
    by_clock = 1 - left / whole if whole > 0 else done / planned
    return min(max(by_clock, done / planned), (done + 0.95) / planned, 1.0)


def seconds_left(run: Run | None, estimated: float, now: float) -> float:
    """Roughly how many seconds a run that was handed out still needs; before its first epoch, what was estimated."""
    if run is None or not run.active:
        return 0.0
    left = remaining(run, now)
    return max(0.0, estimated - max(0.0, now - (run.started or now))) if left is None else left


def first_free(running: Sequence[float], before: Sequence[float], n_workers: int) -> float:
    """In how many seconds a worker is free, when those ``running`` need so long, and those ``before`` come first."""
    free = [*running, *[0.0] * (n_workers - len(running))]
    heapq.heapify(free)
    for seconds in before:
        heapq.heapreplace(free, free[0] + seconds)
    return free[0]
