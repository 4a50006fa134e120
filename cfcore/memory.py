"""How much memory a run needs, has, and took."""

from __future__ import annotations

import ctypes
import math
import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping

import numpy as np
import psutil

FLOAT = 4  # bytes of a float32
DEFAULT_LIMIT_MB = 2000
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's numbers for what mallopt() sets
_KEPT_BYTES, _LARGEST_KEPT = 128 << 20, 32 << 20  # in all, and of one piece, which is the most that glibc allows
_GROWN_BYTES = 64 << 20  # beyond what an epoch usually takes


def limit_bytes() -> float:
    """How much one lookup may ask for: ``CFCORE_MEMORY_LIMIT_MB`` (default 2000), and never more than is free now."""
    wanted = os.environ.get("CFCORE_MEMORY_LIMIT_MB", str(DEFAULT_LIMIT_MB))
    try:
        limit = float(wanted) * 1e6
        if not limit > 0:  # which also refuses nan
            raise ValueError
    except ValueError:
        raise ValueError(f"CFCORE_MEMORY_LIMIT_MB must be a number of megabytes, not {wanted!r}") from None
    return min(limit, psutil.virtual_memory().available)


def lookup_bytes(lookup: str, n: int, n_users: int, n_items: int) -> int:
    """The bytes that the data of a lookup takes for ``n`` ratings, before any gradient.

    ``onehot``: an (n, U) and an (n, M) matrix of float32. ``sparse``: for each of the 2n ones two indices and a value.
    ``index``: two indices a rating. ``matrix``: ratings, mask, predictions, errors and a gradient, each (U, M).
    """
    match lookup:
        case "onehot":
            return n * (n_users + n_items) * FLOAT
        case "sparse":
            return n * 2 * (8 + 8 + FLOAT)
        case "matrix":
            return 5 * n_users * n_items * FLOAT
        case _:
            return n * 2 * 8


def check_lookup(lookup: str, n: int, n_users: int, n_items: int) -> None:
    """Refuse a lookup whose data would not fit.

    Raises:
        ValueError: it needs more than :func:`limit_bytes`; the sentence holds the bytes, and what to choose instead.
    """
    needs = lookup_bytes(lookup, n, n_users, n_items)
    limit = limit_bytes()
    if needs > limit:
        raise ValueError(
            f"the {lookup} lookup would need {needs:,} bytes ({needs / 1e9:.1f} GB) for {n:,} ratings of "
            f"{n_users:,} users and {n_items:,} movies; the limit is {limit / 1e9:.1f} GB. "
            "Choose the index lookup, which computes the same with far less"
        )


def fitting(lookup: str, n: int, n_users: int, n_items: int) -> str:
    """The lookup to take: ``index`` in place of a ``matrix`` that would not fit, for they compute the same.

    Raises:
        ValueError: any other would not fit; see :func:`check_lookup`.
    """
    if lookup == "matrix" and lookup_bytes(lookup, n, n_users, n_items) > limit_bytes():
        return "index"
    check_lookup(lookup, n, n_users, n_items)
    return lookup


def reuse_freed_memory() -> None:
    """Let this process keep what it frees, up to 128 MB, for the next that it asks for.

    A step of a training frees tensors of megabytes and asks for as many again. glibc gives them back to the system in
    between (in Dask's workers at once, by ``MALLOC_TRIM_THRESHOLD_``), and each page that comes anew is a fault: two
    thirds of an epoch. Does nothing where malloc is not glibc's.
    """
    mallopt = _of_malloc("mallopt")
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)


def give_back_freed_memory() -> None:
    """Return to the system what :func:`reuse_freed_memory` kept: for a process that has nothing to do for a while."""
    trim = _of_malloc("malloc_trim")
    if trim is not None:
        trim(0)


class GiveBackWhenGrown:
    """Gives freed memory back, when called, wherever the process has grown by ``most_bytes`` since.

    For the end of each epoch, and for the process of the pages, whose many threads leave gaps that nothing else closes.
    What an epoch keeps lies between pieces that it frees, which are then too small for the next one: with
    :func:`reuse_freed_memory`, 150 epochs of ``scratch`` grew from 0.54 to 1.3 GB.
    """

    def __init__(self, most_bytes: float = _GROWN_BYTES) -> None:
        self._process, self._most = psutil.Process(), most_bytes
        self._usual: float | None = None  # bytes, at the first call since something was given back

    def __call__(self) -> None:
        held = self._process.memory_info().rss
        if self._usual is None:
            self._usual = held
        elif held > self._usual + self._most:
            give_back_freed_memory()
            self._usual = None


def _of_malloc(name: str) -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


class LastUsed:
    """Values by key, those used last, as many as fit into ``most_bytes``: entries differ by a factor of a thousand.

    What nobody has used for ``seconds`` is let go at the next call: what a class looked at an hour ago is gone.
    Safe from several threads; a value that alone is too large is made and not kept.
    """

    def __init__(
        self, most_bytes: float, seconds: float = math.inf, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._seconds, self._clock, self._lock = most_bytes, seconds, clock, threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[float, dict[str, np.ndarray]]] = OrderedDict()  # used when, and what
        self._bytes = 0

    def get(self, key: Hashable, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """The arrays of ``key``, made now unless they are kept."""
        with self._lock:
            if (kept := self._kept.pop(key, None)) is not None:
                self._kept[key] = self._clock(), kept[1]
            self._let_go()
            if kept is not None:
                return kept[1]
        arrays = make()  # outside the lock: nobody else need wait for this file
        size = _bytes(arrays)
        with self._lock:
            if size <= self._most and key not in self._kept:  # another thread may have made them too
                self._kept[key] = self._clock(), arrays
                self._bytes += size
                self._let_go()
        return arrays

    def _let_go(self) -> None:
        """Drop those used longest ago, while they are too many or too old."""
        oldest = self._clock() - self._seconds
        while self._kept and (self._bytes > self._most or next(iter(self._kept.values()))[0] < oldest):
            self._bytes -= _bytes(self._kept.popitem(last=False)[1][1])


def _bytes(arrays: Mapping[str, np.ndarray]) -> int:
    return sum(values.nbytes for values in arrays.values())


class PeakMemory:
    """Samples this process's resident memory while a block runs; ``mb`` is the highest seen, in 10^6 bytes.

    The system's own high-water mark would not do: it never falls, so a long-lived worker would report the
    peak of an earlier run.
    """

    def __init__(self, every_seconds: float = 0.01) -> None:
        self.mb = 0.0
        self._every = every_seconds
        self._process = psutil.Process()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)

    def __enter__(self) -> PeakMemory:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._done.wait(self._every):
            self._look()

    def _look(self) -> None:
        self.mb = max(self.mb, self._process.memory_info().rss / 1e6)
