"""The Class page and what a class changes on the others, for its teacher, its students and whoever is in none."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from cfcore.approaches import describe, make_config
from cfcore.config import RunRequest, SplitConfig
from cfcore.rooms import Room, Rules
from cfcore.runs import Run
from cfcore.ui import draft, frame, state
from cfcore.ui.classroom import board, door, student
from cfcore.ui.words import cell
from tests.pages_support import FakeJobs, button, finished, now, open_page, param, texts

CLASS = "pages/classroom.py"
SPLIT = SplitConfig.of("random")
RULES = Rules(dataset="sample", split=SPLIT, approaches=("mf", "als"), controls=("epochs", "learning_rate"))

pytestmark = pytest.mark.usefixtures("jobs")


def as_(visitor: str, page: str = CLASS, **query: str) -> AppTest:
    """The page as this visitor sees it."""
    app = open_page("app.py")
    app.session_state["visitor"] = visitor
    app.switch_page(page)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def box(app: AppTest, label: str, at: int = 0):
    return [each for each in app.text_input if each.label == label][at]


def fitting(jobs: FakeJobs, visitor: str, rmse: float, approach: str = "mf") -> Run:
    """A finished run on the class's split, on its board."""
    run = finished(jobs, rmse=rmse, approach=approach, visitor=visitor)
    jobs.store.rooms.show([run.id], visitor)
    return run


@pytest.fixture
def room(jobs: FakeJobs) -> Room:
    room, _ = jobs.store.rooms.open(RULES, "tess")
    jobs.store.rooms.join(room.code, "ann", "Ann *1*")
    return room


def test_a_class_is_opened_with_a_code_a_link_and_a_secret_that_is_shown_once(jobs: FakeJobs) -> None:
    app = as_("tess")
    button(app, "Open a class").click().run()
    assert not app.exception
    (room,) = jobs.store.rooms.taught_by("tess")
    codes = [each.value for each in app.code]
    assert codes[0].endswith(f"/classroom?room={room.code}")
    secret = codes[1]
    assert jobs.store.rooms.teach(room.code, secret, "other") == room
    assert param(app, "room") == room.code
    assert all(secret not in str(value) for value in app.query_params.values())
    button(as_("tess"), "Open a class").click().run()  # as a second press, before the page has shown the class
    assert jobs.store.rooms.taught_by("tess") == [room]
    button(app, "Written down").click().run()
    assert all(secret not in each.value for each in app.code)
    again = as_("tess", room=room.code)  # after a reload
    assert all(secret not in each.value for each in again.code)
    button(again, "Make a new secret").click().run()
    assert jobs.store.rooms.teach(room.code, again.code[1].value, "another") == room
    assert not jobs.store.rooms.teaches(room.code, "other"), "who taught with the old one no longer does"


def test_a_link_lets_a_student_in_and_they_are_still_in_after_a_reload(
    room: Room, jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[str] = []
    for module in (door, student):
        monkeypatch.setattr(module, "forget", lambda: (forgotten.append(room.code), board.forget()))
    app = as_("bo", room=room.code)
    assert "1 person joined" in texts(as_("tess", room=room.code))
    assert box(app, "Code").value == room.code
    box(app, "Your name on the board").input("Bo")
    button(app, "Join").click().run()
    assert not app.exception
    assert "2 people joined" in texts(app), "not as it was read for others a moment ago"
    assert forgotten == [room.code]
    assert f"You are **Bo** in class **{room.code}**" in texts(app)
    assert "Train one of these" in texts(app)
    assert "Kept at their usual values: embedding size" in texts(app)
    again = as_("bo")
    assert "You are **Bo**" in texts(again)
    assert not any(each.label == "Close" for each in again.button), "a student does not teach"
    button(again, "Leave the class").click().run()
    assert jobs.store.rooms.of("bo") is None
    assert len(forgotten) == 2
    assert box(again, "Your name on the board").value == ""


@pytest.mark.parametrize(
    ("code", "name", "said"),
    [
        ("ZZZZZZ", "Bo", "There is no class with the code ZZZZZZ"),
        ("", "Bo", "Type the code of your class"),
        (None, "", "Type a name with at least one letter"),
        (None, "Ann *1*", "is called Ann"),
    ],
)
def test_whoever_cannot_be_let_in_is_told_why(code: str | None, name: str, said: str, room: Room) -> None:
    app = as_("bo", room=room.code)
    box(app, "Code").input(room.code if code is None else code)
    box(app, "Your name on the board").input(name)
    button(app, "Join").click().run()
    assert not app.exception
    assert any(said in each.value for each in app.error)


def test_a_wrong_secret_teaches_nothing_and_the_right_one_does(jobs: FakeJobs) -> None:
    room, secret = jobs.store.rooms.open(RULES, "tess")
    app = as_("eve", room=room.code)
    for tried, teaches in (("wrong", False), (secret, True)):
        box(app, "Teacher's secret").input(tried)
        button(app, "Teach").click().run()
        assert jobs.store.rooms.teaches(room.code, "eve") is teaches
        assert any("No class has this code and this teacher's secret" in each.value for each in app.error) != teaches
    assert button(app, "Close")


@pytest.mark.parametrize("value", ["", "nothing", "../../x", "<b>AB</b>", "9" * 500, "🙂"])
def test_any_code_in_the_address_gives_a_valid_page(value: str) -> None:
    app = as_("bo", room=value)
    assert app.title[0].value == "Class"
    assert box(app, "Your name on the board").value == ""


def test_the_board_ranks_people_and_hides_the_names_that_the_teacher_hides(room: Room, jobs: FakeJobs) -> None:
    jobs.store.rooms.join(room.code, "bo", "=Bo")
    fitting(jobs, "ann", 0.8)
    fitting(jobs, "bo", 0.7)
    fitting(jobs, "bo", 0.9, approach="als")
    table = as_("tess", room=room.code).dataframe[0].value
    assert table["Name"].tolist() == [cell("=Bo"), "Ann *1*"]
    assert cell("=Bo") != "=Bo", "a person may save the table as CSV, and this would be a formula there"
    assert table["#"].tolist() == ["1", "2"]
    assert table["Vs user + movie bias"].tolist() == ["22.2% better", "11.1% better"]
    app = as_("tess", room=room.code)
    jobs.store.rooms.hide(room.code, 1)  # by another teacher, since this page was drawn
    hidden = f"class:hidden:{room.code}"
    app.multiselect(now(app, hidden)).set_value([2]).run()
    assert {each.number for each in jobs.store.rooms.people(room.code) if each.hidden} == {1, 2}
    app.multiselect(now(app, hidden)).set_value([2]).run()
    assert app.dataframe[0].value["Name"].tolist() == ["Person 2", "Ann *1*"]
    app.toggle(now(app, f"class:named:{room.code}")).set_value(False).run()
    assert app.dataframe[0].value["Name"].tolist() == ["Person 2", "Person 1"]
    assert as_("ann").dataframe[0].value["Name"].tolist() == ["Person 2", "Person 1 (you)"]
    button(app, "Take all off").click().run()
    assert "Nothing on the board yet" in texts(app)
    assert len(jobs.store.list()) == 3
    assert button(app, "Remove").disabled, "nobody is chosen yet"
    app.selectbox("class:who").set_value(1).run()
    button(app, "Remove").click().run()
    assert [each.name for each in jobs.store.rooms.people(room.code)] == ["=Bo"]
    assert button(app, "Remove").disabled, "nobody else stands there for a second press"


def test_a_class_on_data_that_is_not_in_the_catalogue_keeps_it(jobs: FakeJobs) -> None:
    """Set for everybody would otherwise put the first of the catalogue in its place, and empty the board."""
    rules = Rules(dataset="upload-0123456789abcdef", split=SPLIT, approaches=("mf",))
    room, _ = jobs.store.rooms.open(rules, "tess")
    app = as_("tess", room=room.code)
    button(app, "Set for everybody").click().run()
    assert not app.exception
    changed = jobs.store.rooms.get(room.code)
    assert changed is not None
    assert changed.rules.dataset == rules.dataset


def test_the_teacher_sets_what_is_trained_closes_and_deletes(room: Room, jobs: FakeJobs) -> None:
    app = as_("tess", room=room.code)
    approaches, controls = app.button_group[:2]
    approaches.set_value(["als"])
    controls.set_value(["epochs"])
    button(app, "Set for everybody").click().run()
    assert not app.exception
    changed = jobs.store.rooms.get(room.code)
    assert changed is not None
    assert changed.rules == Rules(dataset="sample", split=SPLIT, approaches=("als",), controls=("epochs",))
    app.button_group[0].set_value([])
    button(app, "Set for everybody").click().run()
    assert any("Choose at least one approach" in each.value for each in app.error)
    button(app, "Close").click().run()
    assert "This class is closed" in texts(as_("ann"))
    button(app, "Open again").click().run()
    button(app, "Delete it").click().run()
    assert not app.exception
    assert jobs.store.rooms.get(room.code) is None
    assert "You are" not in texts(as_("ann"))


@pytest.mark.parametrize("page", ["app.py", "pages/train.py", CLASS])
def test_what_the_teacher_changes_is_said_on_any_page_once(page: str, room: Room, jobs: FakeJobs) -> None:
    app, said = as_("ann", page), "Your teacher has changed what this class trains"
    assert said not in texts(app)
    jobs.store.rooms.change(room.code, rules=replace(room.rules, approaches=("als",)))
    assert said in texts(app.run())
    assert said not in texts(app.run())


def test_runs_that_came_to_nothing_do_not_fill_the_list_of_ones_own(room: Room, jobs: FakeJobs) -> None:
    good = fitting(jobs, "ann", 0.9)
    for _ in range(12):
        jobs.store.fail(jobs.store.create(good.request, visitor="ann").id, "ended")
    mine = [each.key for each in as_("ann").button if (each.key or "").startswith("class:mine:")]
    assert mine == [f"class:mine:{good.id}"]


@pytest.mark.parametrize("page", ["app.py", "pages/train.py", CLASS])
def test_who_is_in_a_class_no_more_is_told_on_any_page(
    page: str, room: Room, jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = as_("ann", page)
    said = f"You are no longer in class {room.code}"
    assert not any(said in each.value for each in app.info)
    jobs.store.rooms.remove(room.code, 1)
    app.run()
    assert not app.exception
    for _ in range(2):
        assert any(said in each.value for each in app.run().info), "also when the page is drawn again at once"
    monkeypatch.setattr(frame, "GONE_SECONDS", 0.0)
    assert not any(said in each.value for each in app.run().info)


def test_who_has_left_is_not_told_that_they_were_put_out(room: Room) -> None:
    app = as_("ann")
    button(app, "Leave the class").click().run()
    assert not app.exception
    assert "You are no longer" not in texts(app)
    assert any(f"You have left class {room.code}" in each.value for each in app.warning)


def test_who_is_hidden_is_told_what_the_board_calls_them(room: Room, jobs: FakeJobs) -> None:
    assert "The board calls you" not in texts(as_("ann"))
    jobs.store.rooms.hide(room.code, 1)
    assert "The board calls you Person 1: your teacher has hidden your name." in texts(as_("ann"))
    jobs.store.rooms.hide(room.code, 1, hidden=False)
    jobs.store.rooms.change(room.code, named=False)
    assert "The board calls you Person 1: your teacher has hidden all names." in texts(as_("ann"))


def test_home_invites_to_nothing_that_the_class_does_not_train(room: Room) -> None:
    def closed(app: AppTest) -> dict[str, bool]:
        links = {each.proto.label: each.proto.disabled for each in app.get("page_link")}
        return {title: links[f"**{title}**"] for title in (describe(key).title for key in draft.CHOICES)}

    assert {title for title, off in closed(as_("ann", "app.py")).items() if not off} == {
        describe(key).title for key in RULES.approaches
    }
    assert not any(closed(as_("bo", "app.py")).values())


def test_a_student_finds_only_what_is_open_on_the_train_page(room: Room, jobs: FakeJobs) -> None:
    app = as_("ann", "pages/train.py", approach="scratch", epochs="7")
    picker = app.radio(now(app, "approach"))
    assert (picker.value, len(picker.options)) == ("mf", 2)
    labels = {each.label for each in app.number_input}
    assert "Epochs" in labels
    assert not labels & {"Embedding size", "Batch size", "Seed"}
    assert "Kept by your class: embedding size 20" in texts(app)
    assert "Your class's split: Random, 20% held out, seed 42" in texts(app)
    assert not any(each.label == "Validation split" for each in app.selectbox)
    button(app, "Train").click().run()
    (run,) = jobs.store.list(visitor="ann")
    assert run.request == RunRequest(dataset="sample", split=SPLIT, config=make_config("mf"))
    assert jobs.store.rooms.shown(room.code) == {run.id: "ann"}


def test_what_is_closed_is_refused_in_the_queue_and_not_only_by_the_form(room: Room, jobs: FakeJobs) -> None:
    """Buttons elsewhere, such as Run again and the doctor's, know nothing of classes."""
    other = finished(jobs, "diverged", rmse=None, approach="scratch", visitor="ann")
    jobs.store.fail(jobs.submit(other.request, visitor="ann").id, "The worker was lost.")
    lost = next(run for run in jobs.store.list() if run.status == "failed")
    app = as_("ann", "pages/train.py", run=lost.id)
    before = len(jobs.store.list())
    button(app, "Run again").click().run()
    assert any("Your class does not train From scratch" in each.value for each in app.warning)
    assert len(jobs.store.list()) == before
    jobs.store.rooms.change(room.code, closed=True)
    button(app, "Run again").click().run()
    assert len(jobs.store.list()) == before + 1
    assert jobs.store.rooms.shown(room.code) == {}


def test_whoever_wants_no_run_shown_has_none_shown_and_may_show_one(room: Room, jobs: FakeJobs) -> None:
    app = as_("ann")
    app.toggle("class:shows").set_value(False).run()
    train = as_("ann", "pages/train.py")
    button(train, "Train").click().run()
    assert jobs.store.rooms.shown(room.code) == {}
    app = as_("ann")
    (mine,) = [each for each in app.button if str(each.key).startswith("class:mine:")]
    mine.click().run()
    (run,) = jobs.store.list(visitor="ann")
    assert jobs.store.rooms.shown(room.code) == {run.id: "ann"}
    next(each for each in app.button if str(each.key).startswith("class:mine:")).click().run()
    assert jobs.store.rooms.shown(room.code) == {}


def test_a_class_has_its_own_data_and_the_chosen_set_waits(
    room: Room, jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state.datasets, "on_disk", lambda name: True)
    app = as_("ann", "pages/train.py", dataset="ml-100k")
    assert not app.exception
    assert re.search(r"Sample \\\(simulated\\\) · [\d,]+ ratings", texts(app))
    assert param(app, "dataset") == "sample"
    assert not any("Your class works" in each.value for each in app.warning), "who follows a link has chosen nothing"
    app.session_state["dataset"] = "ml-100k"
    button(app, "Train").click().run()
    assert [run.request.dataset for run in jobs.store.list(visitor="ann")] == ["sample"]
    assert app.session_state["dataset"] == "ml-100k"  # for when they have left


def test_what_a_class_keeps_closed_is_not_lost(room: Room, jobs: FakeJobs) -> None:
    app = as_("ann", "pages/train.py", approach="mf", embedding_size="7")
    assert "Kept by your class: embedding size 20" in texts(app)
    jobs.store.rooms.leave("ann")
    app.run()
    assert next(each.value for each in app.number_input if each.label == "Embedding size") == 7


def test_a_run_that_is_gone_or_not_allowed_is_not_shown_and_nothing_breaks(room: Room, jobs: FakeJobs) -> None:
    run = fitting(jobs, "ann", 0.8)
    other = finished(jobs, rmse=0.7, approach="bayes", visitor="ann")
    jobs.store.rooms.take_off(run.id, "ann")
    app = as_("ann")
    boxes = {each.key: each for each in app.button if str(each.key).startswith("class:mine:")}
    assert len(boxes) == 2
    boxes[f"class:mine:{other.id}"].click().run()
    assert any("does not train Variational Bayes" in each.value for each in app.warning)
    jobs.store.delete(run.id)
    next(each for each in app.button if each.key == f"class:mine:{run.id}").click().run()
    assert not app.exception
    assert jobs.store.rooms.shown(room.code) == {}


def test_names_are_text_wherever_they_stand(jobs: FakeJobs) -> None:
    room, _ = jobs.store.rooms.open(RULES, "tess")
    name = "**x** :red[y] <b>"
    jobs.store.rooms.join(room.code, "ann", name)
    fitting(jobs, "ann", 0.8)
    app = as_("ann")
    assert r"You are **\*\*x\*\* \:red\[y\] \<b\>** in class" in texts(app)
    assert app.dataframe[0].value["Name"].tolist() == [f"{name} (you)"]
