"""The quick computations of the lessons, by name. Runs on a worker, as the tasks of kind ``lesson``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cfcore.lessons import descend, lookup, squeeze

LESSONS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "descend": descend.run,
    "lookup": lookup.run,
    "squeeze": squeeze.run,
}


def run(inputs: Mapping[str, Any], on_progress: Callable[[float], None] = lambda share: None) -> dict[str, Any]:
    """Compute ``inputs["what"]`` from the other inputs; each takes less than a second.

    Raises:
        ValueError: there is no such computation, or it refuses its inputs.
    """
    what = inputs["what"]
    if what not in LESSONS:
        raise ValueError(f"unknown computation {what!r}; choose from {', '.join(LESSONS)}")
    return LESSONS[what](inputs)
