"""Waiting for what must come, however slow the machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(predicate: Callable[[], T | None], timeout: float = 120, what: str = "") -> T:
    """Ask ``predicate`` again and again until its answer is true, and return that answer.

    Raises:
        TimeoutError: it never was.
    """
    deadline = time.monotonic() + timeout
    while not (answer := predicate()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s in vain for {what or predicate}")
        time.sleep(0.01)
    return answer
