"""A class from its first minute to its last: a teacher, three students at once, a reload, a restart, the end."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from cfcore.runs import RunStore
from tests.browser.conftest import WAIT, Server

NAMES = {"Ann": "mf", "Björn": "als", "<i>Cy</i> =1+1": "scratch"}


def table_says(page: Page, names: list[str]) -> None:
    """Wait until the leaderboard lists these people in this order (it is drawn on a canvas, with a table beneath)."""
    cells = page.locator('canvas[data-testid="data-grid-canvas"] table tbody tr td[aria-colindex="2"]')
    expect(cells).to_have_text(names, timeout=WAIT)


def join(page: Page, link: str, name: str) -> None:
    page.goto(link)
    page.get_by_role("textbox", name="Your name on the board").fill(name)
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_text("You are")).to_be_visible()


def test_a_class_is_played_through(
    new_server: Callable[..., Server], new_person: Callable[..., Page], tmp_path: Path
) -> None:
    server = new_server(CFCORE_MAX_RUNNING="1")
    teacher = new_person()
    teacher.goto(f"{server.url}/classroom")
    teacher.get_by_role("button", name="Open a class").click()
    expect(teacher.get_by_text("Code of this class")).to_be_visible()
    link = teacher.get_by_test_id("stCode").inner_text().strip()
    teacher.get_by_role("button", name="Your secret").click()
    secret = teacher.get_by_test_id("stPopoverBody").get_by_test_id("stCode").inner_text().strip()
    teacher.get_by_role("button", name="Written down").click()
    expect(teacher.get_by_text(secret)).to_have_count(0)
    teacher.keyboard.press("Escape")
    code = link.partition("room=")[2]
    assert re.fullmatch("[A-Z0-9]{6}", code)
    assert link == f"{server.url}/classroom?room={code}"
    expect(teacher.get_by_text("Nothing on the board yet")).to_be_visible()

    students = {name: new_person() for name in NAMES}
    for name, student in students.items():
        join(student, link, name)
    expect(teacher.get_by_text("3 people joined")).to_be_visible()  # without a press: the board is live
    expect(teacher.get_by_role("combobox", name="Names to hide")).to_be_enabled()  # and so is what stands beside it

    for name, student in students.items():  # all at once: one worker, fair turns
        student.goto(f"{server.url}/train?approach={NAMES[name]}")
        student.get_by_role("button", name="Train", exact=True).click()
    table_says(teacher, list(NAMES))
    expect(teacher.get_by_text("3 runs on the board")).to_be_visible()
    expect(teacher.get_by_role("button", name="Board, CSV")).to_be_enabled()
    for student in students.values():
        expect(student.get_by_text(re.compile("^Done ·"))).to_be_visible()

    ann, bjorn, _ = students.values()
    ann.goto(f"{server.url}/train?approach=pytorch")  # the teacher closes it under her hands
    expect(ann.get_by_role("button", name="Train", exact=True)).to_be_enabled()
    for title in ("From scratch", "PyTorch"):
        teacher.get_by_test_id("stMain").get_by_role("button", name=title, exact=True).click()
    teacher.get_by_role("button", name="Set for everybody").click()
    expect(teacher.get_by_role("button", name="PyTorch", exact=True, pressed=False)).to_be_visible()
    expect(ann.get_by_text("Your teacher has changed what this class trains")).to_be_visible()  # without a press
    expect(ann.get_by_role("radio", name="PyTorch", exact=True)).to_have_count(0)
    assert len(RunStore(server.folder / "runs").list()) == 3

    teacher.get_by_text("Show names on the board").click()
    bjorn.goto(f"{server.url}/classroom")
    table_says(bjorn, ["Person 1", "Person 2 (you)", "Person 3"])

    server.stop()  # the host restarts
    server.start()
    teacher.goto(f"{server.url}/classroom?room={code}")
    table_says(teacher, ["Person 1", "Person 2", "Person 3"])
    bjorn.goto(f"{server.url}/classroom")
    expect(bjorn.get_by_text("You are Björn in class")).to_be_visible()
    elsewhere = new_person()
    elsewhere.goto(f"{server.url}/classroom?room={code}")
    elsewhere.get_by_role("textbox", name="Teacher's secret").fill(secret)
    elsewhere.get_by_role("button", name="Teach", exact=True).click()
    elsewhere.get_by_text("Show names on the board").click()
    table_says(elsewhere, list(NAMES))
    assert secret not in elsewhere.url
    assert secret not in server.log()

    with elsewhere.expect_download() as download:
        elsewhere.get_by_role("button", name="Board, CSV").click()
    download.value.save_as(tmp_path / "board.csv")
    with (tmp_path / "board.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["rank"], row["person"]) for row in rows] == [(str(k), name) for k, name in enumerate(NAMES, 1)]
    assert elsewhere.locator("i", has_text="Cy").count() == 0

    teacher.goto(f"{server.url}/classroom?room={code}")
    teacher.get_by_role("button", name="Close", exact=True).click()
    expect(teacher.get_by_role("button", name="Open again")).to_be_visible()
    bjorn.goto(f"{server.url}/classroom")
    expect(bjorn.get_by_text("This class is closed")).to_be_visible()
    late = new_person()
    late.goto(f"{server.url}/classroom?room={code}")
    late.get_by_role("textbox", name="Your name on the board").fill("Late")
    late.get_by_role("button", name="Join").click()
    expect(late.get_by_text("This class is closed")).to_be_visible()
    teacher.get_by_role("button", name="Delete the class").click()
    teacher.get_by_role("button", name="Delete it").click()
    expect(teacher.get_by_text(f"Class {code} is deleted")).to_be_visible()
    assert not server.faults(), server.faults()
