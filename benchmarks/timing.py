"""Times that can be compared: taken in turns in one process, so that a busy minute of the machine meets all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

Way = Callable[[], float | None]


def in_turns(ways: Mapping[str, Way], repeat: int) -> dict[str, list[float]]:
    """The seconds that each way takes, ``repeat`` times in turns after one round that does not count.

    A way that returns a number has measured itself: that number is taken.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeat + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            own = way()
            taken = time.perf_counter() - began if own is None else own
            if turn:
                seconds[name].append(taken)
    return seconds


def ratio(seconds: Mapping[str, list[float]], slow: str, fast: str) -> float:
    """How many times as long ``slow`` takes as ``fast``: the median of the ratios turn by turn."""
    return statistics.median(a / b for a, b in zip(seconds[slow], seconds[fast], strict=True))


def median_time(seconds: list[float]) -> str:
    """The median to three figures, below a second in milliseconds."""
    median = statistics.median(seconds)
    return f"{median:.3g} s" if median >= 1 else f"{1e3 * median:.3g} ms"
