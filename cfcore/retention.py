"""Which runs are let go: trash after a day, others by age and by room, the oldest first.

Rooms of a class go by the same age. Never a run that has not ended, and never one that somebody is looking at: pages
say which runs they show (:meth:`Retention.look_at`), and a look counts for a while. Ages are by the clock on the wall,
which somebody may set: once it has jumped against the steady one, nothing is too old for a day, and no run counts as
ended after a later one.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Sequence

from cfcore.arrays import ArrayFiles
from cfcore.database import Database, StoreError
from cfcore.limits import Limits
from cfcore.room_store import Rooms

TRASH_SECONDS = 24 * 3600
LOOKING_SECONDS = 600  # that a look counts: somebody who reads a page does not reload it
NOTE_SECONDS = 60  # a look is written down at most so often
TIDY_SECONDS = 300
JUMP_SECONDS = 600  # that the clocks may drift apart between two looks at them
DOUBT_SECONDS = 24 * 3600
_IDLE = "status NOT IN ('queued', 'running') AND coalesce(looked, 0) NOT BETWEEN ? AND ?"
_USED = "max(coalesce(finished, created), coalesce(looked, 0))"
_IN_TURN = "min(coalesce(finished, created)) OVER (ORDER BY rowid DESC)"  # when it ended, or a later one did

logger = logging.getLogger(__name__)


class Retention:
    """What becomes of the runs in ``db`` with their ``files``."""

    def __init__(self, db: Database, files: ArrayFiles) -> None:
        self._db, self._files = db, files
        self._noted: dict[str, float] = {}  # run id: when its last look was written down
        self._tidied = -math.inf
        self._clocks, self._doubt_until = (time.time(), _steady()), -math.inf

    def look_at(self, run_ids: Sequence[str]) -> None:
        """Note that somebody is looking at these runs."""
        clock = time.monotonic()
        self._noted = {run_id: noted for run_id, noted in self._noted.items() if clock - noted < NOTE_SECONDS}
        new = [run_id for run_id in run_ids if run_id not in self._noted]
        if new:
            self._noted = self._noted | dict.fromkeys(new, clock)  # another page may be reading the one before
            # A full disk is no reason not to show the page.
            with contextlib.suppress(StoreError), self._db.transaction(write=True) as db:
                db.executemany("UPDATE runs SET looked = ? WHERE id = ?", [(time.time(), run_id) for run_id in new])

    def tidy_now_and_then(self) -> None:
        """Tidy up, but not more often than every few minutes, under the limits that the environment sets."""
        if time.monotonic() - self._tidied < TIDY_SECONDS:
            return
        self._tidied = time.monotonic()
        try:
            limits = Limits.from_environment()
        except ValueError:  # the pages say so; what nobody understands must delete nothing
            limits = Limits(store_mb=math.inf)
        self.tidy(limits)

    def tidy(self, limits: Limits) -> Sequence[str]:
        """Let go of old trash, of runs that are too old, and of the oldest where all take too much; gives their ids."""
        gone = []
        if self._ages_hold():
            gone = self._let_go(self._old_trash()) + self._let_go(self._too_old(limits.days))
            Rooms(self._db).tidy(limits.days)
        gone += self._let_go(self._too_much(limits.store_mb * 1e6))
        if gone:
            logger.info("let go of %d runs: %s", len(gone), ", ".join(gone))
        return gone

    def _ages_hold(self) -> bool:
        """Whether the clock on the wall has been going like the steady one; else it was set."""
        (wall, steady), self._clocks = self._clocks, (time.time(), _steady())
        if abs((self._clocks[0] - wall) - (self._clocks[1] - steady)) > JUMP_SECONDS:
            self._doubt_until = self._clocks[1] + DOUBT_SECONDS
        return self._clocks[1] >= self._doubt_until

    def _let_go(self, run_ids: Sequence[str]) -> list[str]:
        """Remove these runs, but for those that somebody has begun to look at since; gives the ids of what is gone."""
        gone = []
        for run_id in run_ids:
            with self._db.transaction(write=True) as db:
                removed = db.execute(f"DELETE FROM runs WHERE id = ? AND {_IDLE}", (run_id, *_looking_now())).rowcount
            if removed:
                self._files.delete(run_id)
                gone.append(run_id)
        return gone

    def _old_trash(self) -> list[str]:
        with self._db.transaction() as db:
            rows = db.execute("SELECT id FROM runs WHERE trashed < ?", (time.time() - TRASH_SECONDS,)).fetchall()
        return [row["id"] for row in rows]

    def _too_old(self, days: float) -> list[str]:
        with self._db.transaction() as db:
            rows = db.execute(
                f"SELECT id FROM runs WHERE trashed IS NULL AND {_IDLE} AND {_USED} < ?",
                (*_looking_now(), time.time() - days * 24 * 3600),
            ).fetchall()
        return [row["id"] for row in rows]

    def _too_much(self, most_bytes: float) -> list[str]:
        sizes = self._files.sizes()
        with self._db.transaction() as db:
            known = {row["id"] for row in db.execute("SELECT id FROM runs")}
            rows = db.execute(
                f"SELECT id FROM runs WHERE {_IDLE} ORDER BY max({_IN_TURN}, iif(looked <= ?, looked, 0)), rowid",
                (*_looking_now(), time.time()),
            ).fetchall()
        # Without those of a store that was set aside: no run here would make room for them.
        too_many = sum(size for run_id, size in sizes.items() if run_id in known) - most_bytes
        gone = []
        for row in rows:
            if too_many <= 0:
                break
            if row["id"] in sizes:  # a run without arrays takes no room
                too_many -= sizes[row["id"]]
                gone.append(row["id"])
        return gone


def _steady() -> float:
    """Seconds that nobody sets, and that go on while the machine sleeps, as those on the wall do."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _looking_now() -> tuple[float, float]:
    """From when until when a look counts; one that is dated later was noted before the clock was set back."""
    now = time.time()
    return now - LOOKING_SECONDS, now
