"""What stands around the lessons: which is open, the way from one to the next, and what a teacher hides by link."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest

from cfcore.ui.learn.page import LESSONS
from tests.pages_support import button, now, open_page, param, texts

pytestmark = pytest.mark.usefixtures("jobs")


def labels(app) -> list[str]:
    return [each.label for each in app.button]


def test_the_first_lesson_opens_and_next_and_previous_lead_through_all() -> None:
    app = open_page("pages/learn.py")
    for lesson in LESSONS.values():
        assert lesson.title in " ".join(each.value for each in app.subheader)
        forward = [each for each in app.button if each.label.startswith("Next: ")]
        if forward:
            forward[0].click().run()
            assert not app.exception
    assert not forward
    button(app, f"Previous: {LESSONS['ladder'].title}").click().run()
    assert param(app, "lesson") == "ladder"


def test_a_lesson_opens_by_link_and_by_the_list() -> None:
    app = open_page("pages/learn.py", lesson="step")
    assert "3. One gradient step" in [each.value for each in app.subheader]
    app.pills(key=now(app, "learn:lesson")).set_value("meaning").run()
    assert param(app, "lesson") == "meaning"
    assert "6. What the factors mean" in [each.value for each in app.subheader]


def test_a_link_to_no_lesson_says_which_there_are() -> None:
    app = open_page("pages/learn.py", lesson="*nonsense*")
    assert "There is no lesson ‘\\*nonsense\\*’; there are guess, lookup, step, levels, ladder, meaning." in texts(app)
    assert "1. Guess a rating" in [each.value for each in app.subheader]


def test_what_is_hidden_by_link_is_gone_and_the_rest_stays() -> None:
    everything = open_page("pages/learn.py", lesson="guess")
    assert "Another corner" in labels(everything)
    app = open_page("pages/learn.py", lesson="guess", hide="corner,nothing-known")
    assert "The link asks to hide nothing\\-known: there is no such control" in texts(app)
    assert "Another corner" not in labels(app)
    assert any(label.startswith("Next: ") for label in labels(app))
    assert param(app, "hide") == "corner"


def test_without_the_list_a_class_stays_in_its_lesson() -> None:
    app = open_page("pages/learn.py", lesson="guess", hide="lessons,teacher")
    assert not [label for label in labels(app) if label.startswith(("Next", "Previous"))]
    assert not app.multiselect
    assert param(app, "hide") == "lessons,teacher"


def test_a_teacher_makes_a_link_that_keeps_what_is_hidden() -> None:
    app = open_page("pages/learn.py", lesson="guess", hide="corner,hands")
    hide = app.multiselect(key="learn:hide:guess")
    assert hide.value == ["corner"]
    hide.set_value(["corner", "rate"]).run()
    link = parse_qs(app.code[0].value.partition("?")[2])
    assert link["lesson"] == ["guess"]
    assert set(link["hide"][0].split(",")) == {"corner", "rate", "hands"}
    assert param(app, "hide") == "corner,hands"  # only whoever opens the link
