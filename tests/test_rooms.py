"""Rooms of a class: who gets in and under which name, who teaches, what is trained there, and what is on the board."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfcore import room_store
from cfcore.approaches import make_config
from cfcore.config import RunRequest, SplitConfig
from cfcore.limits import Limits
from cfcore.room_store import MOST_PEOPLE, MOST_SHOWN, MOST_TAUGHT, UNUSED_SECONDS, Rooms
from cfcore.rooms import CODE_LENGTH, LETTERS, NAME_LENGTH, RoomError, Rules, alike, tidy_code, tidy_name
from cfcore.runs import RunStore
from cfcore.training import Metrics

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


def ended(store: RunStore, visitor: str, rmse: float) -> str:
    """A finished run with this error."""
    run = store.create(REQUEST, visitor=visitor)
    with sqlite3.connect(store.root / "runs.sqlite3") as db:
        names = [field.name for field in fields(Metrics) if field.type == "float"]
        metrics = {**dict.fromkeys(names, 1.0), "valid_mse": rmse**2, "valid_rmse": rmse, "valid_mae": rmse}
        db.execute("UPDATE runs SET status = 'done', metrics = ? WHERE id = ?", (json.dumps(metrics), run.id))
    return run.id


def age(store: RunStore, code: str, days: float) -> None:
    """Make the last look at a room so many days older."""
    with sqlite3.connect(store.root / "runs.sqlite3") as db:
        db.execute("UPDATE rooms SET looked = looked - ? WHERE code = ?", (days * 86400, code))


def test_a_code_is_short_and_random_and_typed_as_one_likes(rooms: Rooms) -> None:
    codes = {rooms.open(RULES, f"teacher {k}")[0].code for k in range(50)}
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
    assert all(letter.isprintable() or letter in "\u200c\u200d" for letter in name)
    assert name == " ".join(name.split())
    assert tidy_name(name) == name


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("  Ann \n Lee ", "Ann Lee"),
        ("A\u202enna", "Anna"),  # or the rest of the line would run the other way
        ("e\u0301va", "éva"),
        ("e\u200b\u0301va", "éva"),  # composed once what cannot be seen is gone
        ("Ann\u3164", "Ann"),
        ("\U0001f469\u200d\U0001f680 Ada", "\U0001f469\u200d\U0001f680 Ada"),  # one picture of two
        ("A\u200dnn \u200c\u200dé\u200d", "Ann é"),  # where nothing is joined
        ("<b>Bo</b>", "<b>Bo</b>"),  # a name is text: pages escape it
    ],
)
def test_names_are_tidied(typed: str, name: str) -> None:
    assert tidy_name(typed) == name


def test_a_name_with_a_joiner_in_it_is_taken_like_the_one_without(rooms: Rooms) -> None:
    """Nobody sees the difference, so the second would pass for the first."""
    room, _ = rooms.open(RULES, "tess")
    rooms.join(room.code, "a", "\u00e9\u00e8")
    with pytest.raises(RoomError, match="called"):
        rooms.join(room.code, "b", "\u00e9\u200d\u00e8")


@pytest.mark.parametrize(
    "typed", ["", "   ", "\u200b\u202e", "\u3164", "!!!", "x" * (NAME_LENGTH + 1), "Person 2", "somebody"]
)
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
    other, kept = rooms.open(RULES, "sam")
    another = rooms.new_secret(room.code, "tess")
    with pytest.raises(RoomError):
        rooms.teach(room.code, secret, "eve")
    assert (rooms.teaches(room.code, "tess"), rooms.teaches(room.code, "sam")) == (True, False)
    assert rooms.teach(room.code, another, "eve")
    assert rooms.teach(room.code, another, "eve"), "a second time is no error"
    assert rooms.teach(other.code, kept, "eve"), "another room's secret is as it was"


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
    rooms.leave("a")
    assert rooms.join(room.code, "a", "Anna").closed, "who was in it may look at its board"


def test_a_full_class_takes_nobody_new(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_PEOPLE == 300
    monkeypatch.setattr(room_store, "MOST_PEOPLE", 2)
    room, _ = rooms.open(RULES, "tess")
    for visitor in "ab":
        rooms.join(room.code, visitor, visitor)
    with pytest.raises(RoomError, match="full: it has 2 people"):
        rooms.join(room.code, "c", "c")
    rooms.join(room.code, "a", "aa")
    rooms.remove(room.code, 1)
    assert rooms.of("a") is None
    rooms.join(room.code, "c", "c")
    assert [(each.number, each.name) for each in rooms.people(room.code)] == [(2, "b"), (3, "c")]


def test_who_is_put_out_leaves_no_run_on_the_board(store: RunStore, rooms: Rooms) -> None:
    room, _ = rooms.open(RULES, "tess")
    runs = {}
    for visitor in "ab":
        rooms.join(room.code, visitor, visitor)
        runs[visitor] = store.create(REQUEST, visitor=visitor).id
        rooms.show([runs[visitor]], visitor)
    rooms.remove(room.code, 1)
    assert rooms.shown(room.code) == {runs["b"]: "b"}
    assert store.get(runs["a"]) is not None


def test_names_can_be_hidden_one_by_one_or_all(rooms: Rooms) -> None:
    room, _ = rooms.open(RULES, "tess")
    for visitor, name in (("a", "Ann"), ("b", "Rude")):
        rooms.join(room.code, visitor, name)
    other, _ = rooms.open(RULES, "tess")
    for visitor, name in (("c", "Cy"), ("d", "Di")):
        rooms.join(other.code, visitor, name)
    rooms.hide(room.code, 2)
    assert not any(each.hidden for each in rooms.people(other.code)), "numbers are of one room"
    ann, rude = rooms.people(room.code)
    assert (ann.called(named=True), rude.called(named=True)) == ("Ann", "Person 2")
    assert (ann.called(named=False), rude.called(named=False)) == ("Person 1", "Person 2")
    rooms.hide(room.code, 2, hidden=False)
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
    rooms.join(room.code, "b", "Bo")
    bos = store.create(REQUEST, visitor="b").id
    rooms.show([bos], "a")
    assert rooms.shown(room.code) == {}, "only one's own"
    other, _ = rooms.open(RULES, "tess")
    rooms.join(other.code, "c", "Cy")
    cys = store.create(REQUEST, visitor="c").id
    rooms.show([cys], "c")
    runs = [ended(store, "a", 0.9 + k / 100) for k in range(MOST_SHOWN + 2)]
    for run_id in runs:
        rooms.show([run_id], "a")
    assert list(rooms.shown(room.code)) == [runs[0], *runs[3:]]  # the oldest make room, but not the best
    rooms.take_off(runs[0], "a")
    rooms.show([runs[2]], "a")
    rooms.show([bos], "b")
    assert len(rooms.shown(room.code)) == MOST_SHOWN + 1
    rooms.take_off(bos, "b")
    rooms.take_off(runs[2], "a")
    runs = [*runs[:2], *runs[3:]]
    assert list(rooms.shown(room.code)) == runs[2:]
    rooms.take_off(runs[-1], "b")
    assert runs[-1] in rooms.shown(room.code), "only one's own"
    rooms.take_off(runs[-1], "a")
    store.delete(runs[-2])
    rooms.show([runs[-2]], "a")
    assert list(rooms.shown(room.code)) == runs[2:-2]
    rooms.change(room.code, closed=True)
    rooms.show([runs[-1]], "a")
    assert runs[-1] not in rooms.shown(room.code)
    rooms.clear(room.code)
    assert rooms.shown(room.code) == {}
    assert rooms.shown(other.code) == {cys: "c"}, "of another room"
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


def test_what_the_room_does_not_train_never_gets_on_its_board(store: RunStore, rooms: Rooms) -> None:
    """Trained before joining, or while the class was closed, it would otherwise stand there and win."""
    room, _ = rooms.open(RULES, "tess")
    rooms.join(room.code, "a", "Ann")
    fine = store.create(REQUEST, visitor="a").id
    not_open = store.create(replace(REQUEST, config=make_config("bayes")), visitor="a").id
    with pytest.raises(RoomError, match="does not train Variational Bayes"):
        rooms.show([fine, not_open], "a")
    assert rooms.shown(room.code) == {}, "all or none"


def test_whether_ones_runs_are_shown_is_ones_own_choice(rooms: Rooms) -> None:
    room, _ = rooms.open(RULES, "tess")
    for visitor in "ab":
        rooms.join(room.code, visitor, visitor)
    rooms.show_from_now("a", shows=False)
    assert [each.shows for each in rooms.people(room.code)] == [False, True]


def test_thirty_join_at_once_and_get_thirty_numbers(rooms: Rooms) -> None:
    """Read and written in two transactions, two of them would be the same person."""
    room, _ = rooms.open(RULES, "tess")
    begin = threading.Barrier(30)

    def join(k: int) -> None:
        begin.wait()
        rooms.join(room.code, f"v{k}", f"n{k}")

    threads = [threading.Thread(target=join, args=(k,)) for k in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.number for each in rooms.people(room.code)] == list(range(1, 31))


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
    rooms.tidy(days=float("inf"))
    assert rooms.get(codes[2]) is not None
    rooms.tidy(days=5)
    assert rooms.get(codes[2]) is None


def test_a_full_server_lets_a_room_go_that_nobody_has_used_for_a_day(store: RunStore, rooms: Rooms) -> None:
    assert UNUSED_SECONDS == 86400
    first, second = (rooms.open(RULES, "tess", most=2)[0].code for _ in range(2))
    age(store, second, 0.9)  # between two lessons
    with pytest.raises(RoomError, match="2 classes, and all were in use within a day"):
        rooms.open(RULES, "tess", most=2)
    for code, days in ((first, 2), (second, 3)):
        age(store, code, days)
    third, _ = rooms.open(RULES, "tess", most=2)
    assert rooms.get(first) is not None
    assert rooms.get(second) is None
    rooms.look_at(first)
    age(store, third.code, 2)
    rooms.open(RULES, "tess", most=2)
    assert rooms.get(first) is not None
    assert rooms.get(third.code) is None


def test_nobody_fills_a_server_with_classes(rooms: Rooms) -> None:
    for _ in range(MOST_TAUGHT):
        rooms.open(RULES, "eve")
    with pytest.raises(RoomError, match="delete one first"):
        rooms.open(RULES, "eve")
    rooms.delete(rooms.taught_by("eve")[0].code)
    rooms.open(RULES, "eve")
    rooms.open(RULES, "tess")


def test_names_that_read_alike_are_alike() -> None:
    assert alike("ＡNN") == alike("ann")
