"""What one visit may ask of this server, and when that is too much; set by environment.

The defaults suit a laptop and a small host alike: they refuse what would hold the only worker for hours or end it for
want of memory, and nothing that a lesson needs. ``python -m cfcore limits`` prints them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cfcore.config import RunConfig

PREFIX = "CFCORE_MAX_"


class LimitError(ValueError):
    """More than a visit may ask for; the sentence names the limit."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """``running`` and ``waiting`` count one visit's requests; a sweep or a comparison, queued together, is one.

    ``work`` is rows x epochs x embedding size, ``run_mb`` what a training may take, in 10^6 bytes. Runs are kept for
    ``days`` after they ended or were last looked at, and as long as all together take no more than ``store_mb``. There
    are at most ``rooms`` classes; where one more is opened, the one that nobody has looked at for longest goes.
    """

    running: int = 1
    waiting: int = 5
    work: float = 1e11
    run_mb: float = math.inf
    days: float = math.inf
    store_mb: float = 5000.0
    rooms: int = 200

    @classmethod
    def from_environment(cls) -> Limits:
        """Read ``CFCORE_MAX_RUNNING`` and so on, a variable for each.

        Raises:
            ValueError: one of them is no number that makes sense.
        """
        values: dict[str, Any] = {name: _read(name, default) for name, default in asdict(cls()).items()}
        return cls(**values)

    def check_turn(self, has: int) -> None:
        """Refuse another request of a visit that ``has`` so many in training or waiting.

        Raises:
            LimitError: it would be one too many.
        """
        if has >= self.running + self.waiting:
            raise LimitError(
                f"you have {has} runs in training or waiting, and a visit may have {self.running} in training and "
                f"{self.waiting} waiting on this server: wait until one has ended, or stop one"
            )

    def refusal(self, config: RunConfig, n_rows: int, memory_mb: float) -> str | None:
        """Why a run of this size would not be started; ``None`` where it would."""
        work = work_of(config, n_rows)
        if work > self.work:
            return (
                f"this run is too long for this server: {n_rows:,} ratings x {config.epochs:,} epochs x embedding size "
                f"{config.embedding_size or 1:,} is {work:.2g}, and the limit is {self.work:.2g} "
                f"({variable('work')}): choose fewer epochs, a smaller embedding or a smaller data set"
            )
        if memory_mb > self.run_mb:
            return (
                f"this run would take about {memory_mb:,.0f} MB of memory, and a run may take {self.run_mb:,.0f} MB on "
                f"this server ({variable('run_mb')}): choose a smaller embedding, a smaller batch or fewer ratings"
            )
        return None


def variable(name: str) -> str:
    """The environment variable that sets a limit."""
    return PREFIX + name.upper()


def work_of(config: RunConfig, n_rows: int) -> float:
    """Rows x epochs x embedding size: what the time of a training grows with. 0 for a baseline."""
    return float(n_rows) * (config.epochs or 0) * (config.embedding_size or 1)


MEANING: Mapping[str, str] = {
    "running": "runs of one visit that train at the same time",
    "waiting": "runs of one visit that wait in the queue; a sweep counts as one",
    "work": "ratings x epochs x embedding size of a run",
    "run_mb": "memory that a run is estimated to take, in MB",
    "days": "days that a run or a class is kept after somebody last looked at it",
    "store_mb": "room on the disk that all runs take together, in MB; the oldest go first",
    "rooms": "classes at the same time; the one that nobody looked at for longest goes first",
}


def _read(name: str, default: float) -> float:
    text = os.environ.get(variable(name), "").strip()
    if not text:
        return default
    whole, from_one = isinstance(default, int), name in ("running", "rooms")
    try:
        value = int(text) if whole else float(text)
        if not (value >= 0 if name == "waiting" else value > 0):  # which nan is not either
            raise ValueError
    except ValueError:
        least = "a whole number from 1" if from_one else "a whole number" if whole else "a positive number"
        raise ValueError(f"{variable(name)} must be {least}, not {text!r}") from None
    return value
