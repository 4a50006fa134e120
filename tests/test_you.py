"""What is left of your ratings after Clear, a link and their Undo, in any order: nothing is lost, nothing is mixed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import streamlit as st

from cfcore.ui import you
from cfcore.ui.recommend.exchange import Id

MINE: dict[Id, float] = {1: 5.0, 2: 1.0}
SINCE: dict[Id, float] = {2: 3.0, 4: 2.0}
THEIRS: dict[Id, float] = {3: 4.0}


@pytest.fixture(autouse=True)
def session(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    session: dict[str, Any] = {}
    monkeypatch.setattr(st, "session_state", session)
    you.keep("sample", MINE)
    return session


def mine() -> dict[Id, float]:
    return you.ratings_of_you("sample")


def offer(session: dict[str, Any], theirs: dict[Id, float] = THEIRS) -> None:
    session["you-offered"] = {"dataset": "sample", "ratings": theirs}


def open_link(monkeypatch: pytest.MonkeyPatch, theirs: dict[Id, float]) -> None:
    monkeypatch.setattr(you, "from_link", lambda *_: SimpleNamespace(ratings=theirs, told=list))
    monkeypatch.setattr(you, "catalogue", lambda _: SimpleNamespace(by_text={}))
    about = SimpleNamespace(name="sample")
    you.take_link(cast(Any, SimpleNamespace(about=about, scale=None)), "")


def undo() -> None:
    """One press on Undo."""
    you.bring_back("sample", len(you.befores("sample")))


def test_two_presses_on_clear_and_two_on_undo_are_one() -> None:
    for _ in range(2):
        you.clear("sample")
        assert mine() == {}
    for _ in range(2):
        you.bring_back("sample", 1)
        assert mine() == MINE


def test_stars_given_since_stay() -> None:
    you.clear("sample")
    you.keep("sample", SINCE)
    undo()
    assert mine() == {**MINE, **SINCE}


def test_what_was_cleared_twice_comes_back_in_two_steps() -> None:
    you.clear("sample")
    you.keep("sample", THEIRS)
    you.clear("sample")
    undo()
    assert mine() == THEIRS
    undo()
    assert mine() == {**MINE, **THEIRS}


def test_what_is_dismissed_is_the_step_that_was_named() -> None:
    you.clear("sample")
    you.keep("sample", THEIRS)
    you.clear("sample")
    for _ in range(2):  # two presses on one button
        you.forget_before("sample", 2)
    undo()
    assert mine() == MINE


def test_clear_after_a_link_leaves_the_way_back_from_the_link(session: dict[str, Any]) -> None:
    offer(session)
    you.take_offered("sample")
    you.clear("sample")
    undo()
    assert mine() == THEIRS
    you.rate("sample", 9, 2.0)
    undo()
    assert mine() == {**MINE, 9: 2.0}, "a star that was given since is not the link's"


def test_a_callback_that_was_ended_half_way_leaves_one_step(session: dict[str, Any]) -> None:
    offer(session)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(you, "keep", lambda *_: None)  # where it was ended
        you.take_offered("sample")
    assert mine() == MINE
    offer(session)
    you.take_offered("sample")
    undo()
    assert (mine(), you.befores("sample")) == (MINE, [])


def test_a_link_of_which_nothing_can_be_used_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    you.clear("sample")
    open_link(monkeypatch, {})
    you.keep("sample", SINCE)
    undo()
    assert mine() == {**MINE, **SINCE}


def test_a_declined_link_takes_nothing_along(session: dict[str, Any]) -> None:
    you.clear("sample")
    you.keep("sample", SINCE)
    offer(session)
    you.decline("sample")
    undo()
    assert mine() == {**MINE, **SINCE}


def test_undo_never_mixes_yours_with_a_links(session: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    you.clear("sample")
    open_link(monkeypatch, THEIRS)
    assert mine() == THEIRS
    undo()
    assert mine() == MINE
    you.clear("sample")
    offer(session)
    you.take_offered("sample")
    undo()
    assert mine() == MINE


def test_a_link_to_what_was_cleared_brings_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the browser's way back does."""
    you.clear("sample")
    open_link(monkeypatch, MINE)
    assert mine() == MINE
    assert you.befores("sample") == []


def test_the_way_back_on_other_data_stays() -> None:
    you.keep("other", THEIRS)
    you.clear("sample")
    you.clear("other")
    undo()
    assert mine() == MINE
    you.bring_back("other", 1)
    assert you.ratings_of_you("other") == THEIRS
