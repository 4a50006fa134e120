"""Rooms: a class on this server, with a short code to join by and a board of what its people have trained.

There are no accounts. Whoever opens a room gets a secret, of which only a hash is kept: who knows it teaches the room,
from any browser. Others join by the code, under a name of their own. A browser is known by its visitor's name
(:func:`cfcore.ui.state.visitor`), so that a reload, and a restart of the app, change nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import secrets
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from cfcore.approaches.configure import ARTICLE_SCALE
from cfcore.config import RunRequest
from cfcore.database import Database
from cfcore.rooms import CODE_LENGTH, LETTERS, Person, Room, RoomError, Rules, alike, tidy_code, tidy_name

MOST_PEOPLE = 300  # in a room
MOST_TAUGHT = 10  # rooms of one teacher
MOST_SHOWN = 50  # runs of one person on a board; the oldest go first, but never the best
UNUSED_SECONDS = 24 * 3600  # without a look, after which a room may make room for another
NOTE_SECONDS = 60  # a look is written down at most so often


class Rooms:
    """The rooms in ``db``."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._noted: dict[str, float] = {}  # code: when the last look at it was written down

    def open(self, rules: Rules, visitor: str, most: int = 200) -> tuple[Room, str]:
        """Open a room that ``visitor`` teaches, and give it with its secret, which cannot be had again.

        Where there are ``most`` rooms already, the one that was not looked at for longest goes, if that is a day.

        Raises:
            RoomError: all of them are in use, or this visitor teaches too many.
        """
        code, secret, now = "".join(secrets.choice(LETTERS) for _ in range(CODE_LENGTH)), _secret(), time.time()
        with self._db.transaction(write=True) as db:
            taught = db.execute("SELECT count(*) FROM teachers WHERE visitor = ?", (visitor,)).fetchone()[0]
            if taught >= MOST_TAUGHT:
                raise RoomError(f"you teach {taught} classes already: delete one first")
            _make_room(db, most)
            values = (code, _hash(code, secret), json.dumps(rules.to_json()), now, now)
            db.execute("INSERT INTO rooms (code, secret, rules, created, looked) VALUES (?, ?, ?, ?, ?)", values)
            db.execute("INSERT INTO teachers (code, visitor) VALUES (?, ?)", (code, visitor))
        return Room(code=code, rules=rules, created=now, closed=False, named=True), secret

    def get(self, code: str) -> Room | None:
        """The room with this code, however it was typed; ``None`` when there is none."""
        with self._db.transaction() as db:
            row = db.execute("SELECT * FROM rooms WHERE code = ?", (tidy_code(code),)).fetchone()
        return _room(row) if row else None

    def teach(self, code: str, secret: str, visitor: str) -> Room:
        """Let ``visitor`` teach the room as well.

        Raises:
            RoomError: there is no such room, or that is not its secret.
        """
        with self._db.transaction(write=True) as db:
            row = db.execute("SELECT * FROM rooms WHERE code = ?", (tidy_code(code),)).fetchone()
            if row is None or not hmac.compare_digest(row["secret"], _hash(row["code"], secret.strip())):
                raise RoomError("no class has this code and this teacher's secret: check both")  # never which is wrong
            db.execute("INSERT OR IGNORE INTO teachers (code, visitor) VALUES (?, ?)", (row["code"], visitor))
        return _room(row)

    def new_secret(self, code: str, visitor: str) -> str:
        """Another secret in place of the old one; of those who taught with that, only ``visitor`` goes on."""
        secret = _secret()
        with self._db.transaction(write=True) as db:
            db.execute("UPDATE rooms SET secret = ? WHERE code = ?", (_hash(code, secret), code))
            db.execute("DELETE FROM teachers WHERE code = ? AND visitor != ?", (code, visitor))
        return secret

    def teaches(self, code: str, visitor: str) -> bool:
        with self._db.transaction() as db:
            found = db.execute("SELECT 1 FROM teachers WHERE code = ? AND visitor = ?", (code, visitor)).fetchone()
        return found is not None

    def taught_by(self, visitor: str) -> list[Room]:
        """The rooms that ``visitor`` teaches, the newest first."""
        with self._db.transaction() as db:
            rows = db.execute(
                "SELECT rooms.* FROM rooms JOIN teachers USING (code) WHERE visitor = ? ORDER BY created DESC",
                (visitor,),
            ).fetchall()
        return [_room(row) for row in rows]

    def change(
        self, code: str, *, rules: Rules | None = None, closed: bool | None = None, named: bool | None = None
    ) -> None:
        """Set what is given."""
        values = {"rules": json.dumps(rules.to_json()) if rules else None, "closed": closed, "named": named}
        self._set(code, **{name: value for name, value in values.items() if value is not None})

    def clear(self, code: str) -> None:
        """Take every run off the board; the runs themselves and the people stay."""
        with self._db.transaction(write=True) as db:
            db.execute("DELETE FROM shown WHERE code = ?", (code,))

    def delete(self, code: str) -> None:
        """Remove the room and who was in it; the runs stay their people's."""
        with self._db.transaction(write=True) as db:
            db.execute("DELETE FROM rooms WHERE code = ?", (code,))

    def join(self, code: str, visitor: str, name: str) -> Room:
        """Let ``visitor`` into the room under ``name``, and out of any other.

        Raises:
            RoomError: there is no such room, it is closed or full, or the name cannot be used there.
        """
        name = tidy_name(name)
        with self._db.transaction(write=True) as db:
            row = db.execute("SELECT * FROM rooms WHERE code = ?", (tidy_code(code),)).fetchone()
            if not tidy_code(code):
                raise RoomError("type the code of your class: six letters and digits, which your teacher has")
            if row is None:
                raise RoomError(f"there is no class with the code {tidy_code(code)[:12]}: check it")
            people = db.execute("SELECT visitor, name, number FROM people WHERE code = ?", (row["code"],)).fetchall()
            new = all(each["visitor"] != visitor for each in people)
            if row["closed"] and new:
                raise RoomError("this class is closed: ask the teacher to open it again")
            if any(alike(each["name"]) == alike(name) and each["visitor"] != visitor for each in people):
                raise RoomError(
                    f"somebody in this class is called {name} already: add a letter to yours (if that is you in "
                    "another browser, go on there: a name belongs to one browser)"
                )
            if len(people) >= MOST_PEOPLE and new:
                raise RoomError(f"this class is full: it has {MOST_PEOPLE} people")
            db.execute("UPDATE people SET here = 0 WHERE visitor = ?", (visitor,))
            db.execute(
                "INSERT INTO people (code, visitor, number, name, joined) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (code, visitor) DO UPDATE SET name = excluded.name, here = 1",
                (row["code"], visitor, max((each["number"] for each in people), default=0) + 1, name, time.time()),
            )
        return _room(row)

    def leave(self, visitor: str) -> None:
        """Let ``visitor`` out of the room; what they have on its board stays there."""
        with self._db.transaction(write=True) as db:
            db.execute("UPDATE people SET here = 0 WHERE visitor = ?", (visitor,))

    def of(self, visitor: str) -> tuple[Room, Person] | None:
        """The room that ``visitor`` is in, and who they are there."""
        with self._db.transaction() as db:
            return _of(db, visitor)

    def people(self, code: str) -> list[Person]:
        """Everybody who ever joined, in the order they came."""
        with self._db.transaction() as db:
            rows = db.execute("SELECT * FROM people WHERE code = ? ORDER BY number", (code,)).fetchall()
        return [_person(row) for row in rows]

    def hide(self, code: str, number: int, *, hidden: bool = True) -> None:
        """Hide the name of the person with this number, or show it again."""
        with self._db.transaction(write=True) as db:
            db.execute("UPDATE people SET hidden = ? WHERE code = ? AND number = ?", (hidden, code, number))

    def remove(self, code: str, number: int) -> None:
        """Put a person out of the room, and their runs off its board; the runs stay theirs."""
        with self._db.transaction(write=True) as db:
            whose = "visitor = (SELECT visitor FROM people WHERE code = ? AND number = ?)"
            db.execute(f"DELETE FROM shown WHERE code = ? AND {whose}", (code, code, number))
            db.execute("DELETE FROM people WHERE code = ? AND number = ?", (code, number))

    def show_from_now(self, visitor: str, *, shows: bool) -> None:
        """Whether the runs that ``visitor`` starts in the room go on its board."""
        with self._db.transaction(write=True) as db:
            db.execute("UPDATE people SET shows = ? WHERE visitor = ? AND here", (shows, visitor))

    def show(self, run_ids: Sequence[str], visitor: str, scale: tuple[float, float] = ARTICLE_SCALE) -> None:
        """Put runs of ``visitor`` on the board of the open room that they are in; elsewhere it does nothing.

        ``scale`` is the lowest and the highest rating of the room's data.

        Raises:
            RoomError: the room does not train what one of them trained.
        """
        with self._db.transaction(write=True) as db:
            found = _of(db, visitor)
            if found is None or found[0].closed:
                return
            code, rules = found[0].code, found[0].rules
            marks = ", ".join("?" * len(run_ids))
            mine = f"SELECT id, request FROM runs WHERE visitor = ? AND id IN ({marks})"
            for row in db.execute(mine, (visitor, *run_ids)).fetchall():
                rules.check(RunRequest.from_json(json.loads(row["request"])), scale)
                db.execute(
                    "INSERT OR REPLACE INTO shown (run_id, code, visitor, since) VALUES (?, ?, ?, ?)",
                    (row["id"], code, visitor, time.time()),
                )
            _let_the_oldest_go(db, code, visitor)

    def take_off(self, run_id: str, visitor: str) -> None:
        """Take a run of ``visitor`` off the board it is on."""
        with self._db.transaction(write=True) as db:
            db.execute("DELETE FROM shown WHERE run_id = ? AND visitor = ?", (run_id, visitor))

    def shown(self, code: str) -> dict[str, str]:
        """The runs on a board, oldest first, and whose they are: run id to visitor."""
        with self._db.transaction() as db:
            rows = db.execute(
                "SELECT run_id, visitor FROM shown WHERE code = ? ORDER BY since, rowid", (code,)
            ).fetchall()
        return {row["run_id"]: row["visitor"] for row in rows}

    def look_at(self, code: str) -> None:
        """Note that somebody is looking at the room."""
        now = time.monotonic()
        if now - self._noted.get(code, -math.inf) >= NOTE_SECONDS:
            self._noted = {each: at for each, at in self._noted.items() if now - at < NOTE_SECONDS} | {code: now}
            self._set(code, looked=time.time())

    def tidy(self, days: float) -> None:
        """Let go of rooms that nobody has looked at for ``days``, unless somebody trains there."""
        if math.isfinite(days):
            with self._db.transaction(write=True) as db:
                db.execute(f"DELETE FROM rooms WHERE looked < ? AND NOT {_TRAINS}", (time.time() - days * 86400,))

    def _set(self, code: str, **values: Any) -> None:
        columns = ", ".join(f"{name} = ?" for name in values)
        with self._db.transaction(write=True) as db:
            db.execute(f"UPDATE rooms SET {columns} WHERE code = ?", (*values.values(), code))


def _of(db: sqlite3.Connection, visitor: str) -> tuple[Room, Person] | None:
    row = db.execute("SELECT * FROM people JOIN rooms USING (code) WHERE visitor = ? AND here", (visitor,)).fetchone()
    return (_room(row), _person(row)) if row else None


def _make_room(db: sqlite3.Connection, most: int) -> None:
    if db.execute("SELECT count(*) FROM rooms").fetchone()[0] < most:
        return
    gone = db.execute(
        f"DELETE FROM rooms WHERE code = (SELECT code FROM rooms WHERE looked < ? AND NOT {_TRAINS} "
        "ORDER BY looked LIMIT 1) RETURNING code",
        (time.time() - UNUSED_SECONDS,),
    ).fetchall()
    if not gone:
        raise RoomError(f"this server has {most} classes, and all were in use within a day: try again tomorrow")


def _let_the_oldest_go(db: sqlite3.Connection, code: str, visitor: str) -> None:
    """Keep a person's runs on a board to :data:`MOST_SHOWN`: what trains stays, and the best of them."""
    rows = db.execute(
        "SELECT run_id, status, json_extract(metrics, '$.valid_rmse') AS rmse FROM shown JOIN runs ON runs.id = run_id "
        "WHERE code = ? AND shown.visitor = ? ORDER BY since, shown.rowid",
        (code, visitor),
    ).fetchall()
    best = min((row for row in rows if row["rmse"] is not None), key=lambda row: row["rmse"], default=None)
    may_go = [row["run_id"] for row in rows if row is not best and row["status"] not in ("queued", "running")]
    gone = may_go[: max(0, len(rows) - MOST_SHOWN)]
    db.executemany("DELETE FROM shown WHERE run_id = ?", [(run_id,) for run_id in gone])


_TRAINS = (
    "EXISTS (SELECT 1 FROM shown JOIN runs ON runs.id = run_id "
    "WHERE shown.code = rooms.code AND runs.status IN ('queued', 'running'))"
)


def _secret() -> str:
    return secrets.token_urlsafe(16)


def _hash(code: str, secret: str) -> str:
    """A secret of 128 random bits needs no slow hash: nobody can try them all."""
    return hashlib.sha256(f"{code} {secret}".encode()).hexdigest()


def _room(row: sqlite3.Row) -> Room:
    return Room(
        code=row["code"],
        rules=Rules.from_json(json.loads(row["rules"])),
        created=row["created"],
        closed=bool(row["closed"]),
        named=bool(row["named"]),
    )


def _person(row: sqlite3.Row) -> Person:
    return Person(
        visitor=row["visitor"],
        number=row["number"],
        name=row["name"],
        hidden=bool(row["hidden"]),
        shows=bool(row["shows"]),
    )
