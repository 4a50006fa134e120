"""Rooms of a class: who gets in and under which name, who teaches, what is trained there, and what is on the board."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfcore.approaches import make_config
from cfcore.config import RunRequest, SplitConfig
from cfcore.limits import Limits
from cfcore.room_store import LOOKING_SECONDS, MOST_SHOWN, Rooms
from cfcore.rooms import CODE_LENGTH, LETTERS, NAME_LENGTH, RoomError, Rules, alike, tidy_code, tidy_name
from cfcore.runs import RunStore

SPLIT = SplitConfig.of("random")
RULES = Rules(dataset="sample", split=SPLIT, approaches=("mf", "als"), controls=("learning_rate", "epochs"))
REQUEST = RunRequest(dataset="sample", split=SPLIT, config=make_config("mf"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    store = RunStore(tmp_path)
    yield store
    store.close()


@pytest.fixture
def rooms(store: RunStore) -> Rooms:
    return store.rooms


def age(store: RunStore, code: str, days: float) -> None:
    """Make the last look at a room so many days older."""
    with sqlite3.connect(store.root / "runs.sqlite3") as db:
        db.execute("UPDATE rooms SET looked = looked - ? WHERE code = ?", (days * 86400, code))


def test_a_code_is_short_and_random_and_typed_as_one_likes(rooms: Rooms) -> None:
    codes = {rooms.open(RULES, "tess")[0].code for _ in range(50)}
    assert len(codes) == 50
    assert all(len(code) == CODE_LENGTH and set(code) <= set(LETTERS) for code in codes)
    code = codes.pop()
    found = rooms.get(f" {code[:3].lower()}-{code[3:]} ")
    assert found is not None
    assert (found.code, found.rules, found.closed, found.named) == (code, RULES, False, True)
    assert rooms.get("") is None


@given(st.text(max_size=40))
def test_whatever_is_typed_as_a_code_is_letters_of_a_code(text: str) -> None:
    assert set(tidy_code(text)) <= set(LETTERS)


@given(st.text(max_size=60))
def test_a_name_is_one_visible_line_or_refused(text: str) -> None:
    try:
        name = tidy_name(text)
    except RoomError:
        return
    assert 1 <= len(name) <= NAME_LENGTH
    assert name.isprintable()
    assert name == " ".join(name.split())
    assert tidy_name(name) == name


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("  Ann \n Lee ", "Ann Lee"),
        ("A\u202enna", "Anna"),  # or the rest of the line would run the other way
        ("e\u0301va", "éva"),
        ("<b>Bo</b>", "<b>Bo</b>"),  # a name is text: pages escape it
    ],
)
def test_names_are_tidied(typed: str, name: str) -> None:
    assert tidy_name(typed) == name


@pytest.mark.parametrize("typed", ["", "   ", "\u200b\u202e", "!!!", "x" * (NAME_LENGTH + 1)])
def test_what_is_no_name_is_refused(typed: str) -> None:
    with pytest.raises(RoomError, match=r"name"):
        tidy_name(typed)


def test_only_the_secret_lets_somebody_teach_and_it_is_not_kept(rooms: Rooms, store: RunStore) -> None:
    room, secret = rooms.open(RULES, "tess")
    assert rooms.teaches(room.code, "tess")
    assert not rooms.teaches(room.code, "sam")
    for code, tried in ((room.code, "guess"), (room.code, ""), ("ZZZZZZ", secret)):
        with pytest.raises(RoomError, match="no class has this code and this teacher's secret"):
            rooms.teach(code, tried, "sam")
    assert not rooms.teaches(room.code, "sam")
    assert secret.encode() not in b"".join(path.read_bytes() for path in store.root.glob("runs.sqlite3*"))
    assert rooms.teach(room.code.lower(), f" {secret} ", "sam").code == room.code
    assert [each.code for each in rooms.taught_by("sam")] == [room.code]
    another = rooms.new_secret(room.code)
    with pytest.raises(RoomError):
        rooms.teach(room.code, secret, "eve")
    assert rooms.teach(room.code, another, "eve")


def test_people_join_under_names_of_their_own_and_come_back_as_the_same(rooms: Rooms) -> None:
    room, _ = rooms.open(RULES, "tess")
    other, _ = rooms.open(RULES, "tess")
    for visitor, name in (("a", "Ann"), ("b", "Bo")):
        rooms.join(room.code, visitor, name)
    with pytest.raises(RoomError, match="somebody in this class is called ANN already"):
        rooms.join(room.code, "c", "ANN")
    with pytest.raises(RoomError, match="no class with the code"):
        rooms.join("QQQQQQ", "c", "Cy")
    assert [(each.number, each.name) for each in rooms.people(room.code)] == [(1, "Ann"), (2, "Bo")]
    rooms.join(other.code, "a", "Ann")  # out of the first
    found = rooms.of("a")
    assert found is not None
    assert found[0].code == other.code
    rooms.leave("a")
    assert rooms.of("a") is None
    rooms.join(room.code, "a", "Anna")
    found = rooms.of("a")
    assert found is not None
    assert (found[1].number, found[1].name) == (1, "Anna")
    rooms.change(room.code, closed=True)
    with pytest.raises(RoomError, match="closed"):
        rooms.join(room.code, "c", "Cy")


def test_names_can_be_hidden_one_by_one_or_all(rooms: Rooms) -> None:
    room, _ = rooms.open(RULES, "tess")
    for visitor, name in (("a", "Ann"), ("b", "Rude")):
        rooms.join(room.code, visitor, name)
    rooms.hide(room.code, [2])
    ann, rude = rooms.people(room.code)
    assert (ann.called(named=True), rude.called(named=True)) == ("Ann", "Person 2")
    assert (ann.called(named=False), rude.called(named=False)) == ("Person 1", "Person 2")
    rooms.hide(room.code, [])
    assert [each.hidden for each in rooms.people(room.code)] == [False, False]
    rooms.change(room.code, named=False)
    changed = rooms.get(room.code)
    assert changed is not None
    assert not changed.named


def test_a_room_survives_its_store(store: RunStore) -> None:
    room, secret = store.rooms.open(RULES, "tess")
    store.rooms.join(room.code, "a", "Ann")
    run = store.create(REQUEST, visitor="a")
    store.rooms.show([run.id], "a")
    store.close()
    again = RunStore(store.root)
    assert again.rooms.get(room.code) == room
    assert again.rooms.of("a") == (room, again.rooms.people(room.code)[0])
    assert again.rooms.shown(room.code) == {run.id: "a"}
    assert again.rooms.teach(room.code, secret, "b") == room
    again.close()


def test_the_board_holds_what_was_started_in_the_room_until_it_is_taken_off(store: RunStore, rooms: Rooms) -> None:
    room, _ = rooms.open(RULES, "tess")
    rooms.show([store.create(REQUEST, visitor="a").id], "a")
    assert rooms.shown(room.code) == {}  # who is not in a room has no board
    rooms.join(room.code, "a", "Ann")
    runs = [store.create(REQUEST, visitor="a").id for _ in range(MOST_SHOWN + 2)]
    for run_id in runs:
        rooms.show([run_id], "a")
    assert list(rooms.shown(room.code)) == runs[2:]  # the oldest make room
    rooms.take_off(runs[-1])
    store.delete(runs[-2])
    assert list(rooms.shown(room.code)) == runs[2:-2]
    rooms.change(room.code, closed=True)
    rooms.show([runs[-1]], "a")
    assert runs[-1] not in rooms.shown(room.code)
    rooms.clear(room.code)
    assert rooms.shown(room.code) == {}
    rooms.delete(room.code)
    assert rooms.get(room.code) is None
    assert rooms.of("a") is None
    assert store.get(runs[0]) is not None


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (replace(REQUEST, dataset="ml-100k"), "other data or another split"),
        (replace(REQUEST, split=SplitConfig.of("random", seed=1)), "other data or another split"),
        (replace(REQUEST, config=make_config("bayes")), "does not train Variational Bayes: choose from"),
        (replace(REQUEST, config=make_config("mf", embedding_size=30, batch_size=64)), "embedding size, batch size"),
    ],
)
def test_what_the_room_does_not_train_is_refused(request_: RunRequest, said: str) -> None:
    with pytest.raises(RoomError, match=said):
        RULES.check(request_)


def test_what_is_open_may_be_changed() -> None:
    RULES.check(replace(REQUEST, config=make_config("mf", learning_rate=0.01, epochs=3)))
    RULES.check(replace(REQUEST, config=make_config("als", epochs=3)))
    assert RULES.closed("als") == ["embedding_size", "weight_decay", "seed"]
    assert Rules.from_json(RULES.to_json()) == RULES


def test_old_rooms_go_but_not_one_where_somebody_trains(store: RunStore, rooms: Rooms) -> None:
    codes = [rooms.open(RULES, "tess")[0].code for _ in range(3)]
    rooms.join(codes[2], "a", "Ann")
    run = store.create(REQUEST, visitor="a", server="")
    rooms.show([run.id], "a")
    for code in codes[1:]:
        age(store, code, 10)
    store._retention.tidy(Limits(days=5))
    assert [code for code in codes if rooms.get(code)] == [codes[0], codes[2]]
    store.fail(run.id, "it ended.")
    assert rooms.tidy(days=5) == [codes[2]]
    assert rooms.tidy(days=float("inf")) == []


def test_a_full_server_lets_the_room_go_that_nobody_looks_at(store: RunStore, rooms: Rooms) -> None:
    first, second = (rooms.open(RULES, "tess", most=2)[0].code for _ in range(2))
    with pytest.raises(RoomError, match="2 classes, and people are in all of them"):
        rooms.open(RULES, "tess", most=2)
    for code, days in ((first, 1), (second, 2)):
        age(store, code, days)
    third, _ = rooms.open(RULES, "tess", most=2)
    assert rooms.get(first) is not None
    assert rooms.get(second) is None
    rooms.look_at(first)
    age(store, third.code, 1)
    rooms.open(RULES, "tess", most=2)
    assert rooms.get(first) is not None
    assert rooms.get(third.code) is None
    assert time.time() > LOOKING_SECONDS


def test_names_that_read_alike_are_alike() -> None:
    assert alike("ＡNN") == alike("ann")
