"""How a page queues runs: once, however often its button is pressed, and all of a group or none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.elements.widgets.button import ButtonMixin
from streamlit.testing.v1 import AppTest

from cfcore.approaches import make_config
from cfcore.config import RunRequest
from cfcore.runs import STOPPING, Run
from cfcore.ui import queue, state, you
from cfcore.ui.recommend.exchange import Id
from tests.pages_support import FakeJobs, button, finished, open_page


class Watched(dict):
    """A session that says who looks at it, and does with a look what Streamlit does where another press is waiting."""

    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self.seen, self.waiting = seen, False

    def look(self) -> None:
        self.seen.append("looked")
        if self.waiting:
            raise KeyboardInterrupt

    def get(self, key: str, default: object = None) -> object:
        self.look()
        return super().get(key, default)

    def setdefault(self, key: str, default: object = None) -> object:
        self.look()
        return super().setdefault(key, default)

    def __getitem__(self, key: str) -> object:
        self.look()
        return super().__getitem__(key)

    def __setitem__(self, key: str, value: object) -> None:
        self.look()
        super().__setitem__(key, value)

    def __contains__(self, key: object) -> bool:
        self.look()
        return super().__contains__(key)


def test_two_presses_in_a_row_train_once(jobs: FakeJobs) -> None:
    """The second may come before the page has shown that there is a run, with its button still to be pressed."""

    def twice() -> None:
        from cfcore.approaches import make_config
        from cfcore.config import RunRequest
        from cfcore.ui import result

        for _ in range(2):
            result.submit(RunRequest(dataset="sample", config=make_config("als")), "Sample")

    app = AppTest.from_function(twice, default_timeout=60).run()
    assert not app.exception
    (run,) = jobs.store.list()
    assert app.session_state["run"] == run.id
    known = {"split_how": "", "n_train": 1, "n_valid": 1, "baseline_mean_mse": None, "baseline_bias_mse": None}
    jobs.store.start(run.id, **known)
    jobs.store.note(run.id, STOPPING)  # what is being stopped is not what was asked for
    app.run()
    assert len(jobs.store.list()) == 2  # once it has ended, it can be trained again; and that, too, once


def pressed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on every press of a button is two, the second before the page has been drawn again."""

    def button(self: DeltaGenerator, *args: Any, on_click: Callable[..., None] | None = None, **kwargs: Any) -> bool:
        def both(*args: Any, **kwargs: Any) -> None:
            assert on_click is not None
            on_click(*args, **kwargs)
            on_click(*args, **kwargs)

        return drawn(self, *args, on_click=both if on_click else None, **kwargs)

    drawn = ButtonMixin.button
    monkeypatch.setattr(ButtonMixin, "button", button)
    monkeypatch.setattr(st, "button", st._main.button)


def test_what_two_presses_deleted_can_be_taken_back(jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second finds nothing to delete; with that as what was deleted last there was no Undo."""
    app = open_page("pages/compare.py")
    ids = {finished(jobs, visitor=app.session_state["visitor"], rmse=rmse).id for rmse in (0.9, 0.95)}
    pressed_twice(monkeypatch)
    app.run()
    (delete,) = [each for each in app.button if each.label.startswith("Delete") and not each.disabled]
    delete.click().run()
    assert jobs.store.list() == []
    button(app, "Undo").click().run()
    assert {run.id for run in jobs.store.list()} == ids


def test_your_stars_survive_two_presses_on_the_offer_of_a_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second found no offer, and put nothing in the place of your ratings; so did the way back."""
    mine: dict[Id, float] = {1: 5.0, 2: 1.0}
    theirs: dict[Id, float] = {3: 4.0}
    monkeypatch.setattr(st, "session_state", {"you-offered": {"dataset": "sample", "ratings": theirs}})
    you.keep("sample", mine)
    for _ in range(2):
        you.take_offered("sample")
        assert you.ratings_of_you("sample") == theirs
    for _ in range(2):
        you.bring_back("sample", 1)
        assert you.ratings_of_you("sample") == mine


def test_another_press_leaves_no_run_half_queued(jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit ends a callback at its next look at the session where another press waits: some of the runs would be
    queued, or all, and the page would show none of them."""
    seen: list[str] = []
    session, submit = Watched(seen), jobs.submit

    def watched(*args: Any, **kwargs: Any) -> Run:
        seen.append("queued")
        return submit(*args, **kwargs)

    monkeypatch.setattr(st, "session_state", session)
    monkeypatch.setattr(jobs, "submit", watched)
    requests = [RunRequest(dataset="sample", config=make_config("als", epochs=n)) for n in (1, 2, 3)]
    assert len(queue.enqueue(requests, "Sample", group="together")) == 3
    assert "looked" in seen
    assert seen[seen.index("queued") :] == ["queued"] * 3

    box, session.waiting = state.box(), True
    with pytest.raises(KeyboardInterrupt):
        state.keep(box, "run", "of the first press")
    session.waiting = False
    state.take_kept()
    assert session["run"] == "of the first press"
    assert state.box() == {}
