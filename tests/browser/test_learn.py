"""Lessons 1 to 3 in the browser: play, pause, step, reset, change a number; measure; too large a step; on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from cfcore import datasets
from cfcore.lessons.corner import pick_corner, start
from tests.browser.conftest import Server, serve

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Server]:
    """A server with little memory, where dense one-hot is refused; it asks for the browser first."""
    yield from serve(Server(tmp_path_factory.mktemp("server"), {"CFCORE_MEMORY_LIMIT_MB": "60"}))


def open_lesson(page: Page, server: Server, name: str) -> None:
    page.goto(f"{server.url}/learn?lesson={name}")
    expect(page.get_by_role("heading", name="Learn", exact=True)).to_be_visible()


def says(page: Page, words: str) -> None:
    expect(page.locator("output")).to_contain_text(re.compile(words))


def said_loss(page: Page) -> float:
    says(page, r"loss [\d.]+")  # a picture that has just arrived has not said it yet
    found = re.search(r"loss ([\d.]+)", page.locator("output").inner_text())
    assert found is not None
    return float(found[1])


def fits(page: Page) -> None:
    """Nothing is wider than the screen: what is wide scrolls in its own box."""
    wide, screen = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= screen


def shown_loss(page: Page) -> float:
    """The loss of what stands in the cells: predictions of two decimals, against the ratings under them."""
    cells = page.locator("td.cell:not(.back)")
    read = [each.split() for each in cells.all_inner_texts()]
    pairs = [(float(each[0].replace("\u2212", "-")), float(each[1])) for each in read if len(each) == 2]
    return float(np.mean([(prediction - rating) ** 2 for prediction, rating in pairs]))


def walk_the_corner(page: Page, server: Server) -> None:
    corner = pick_corner(datasets.load("sample"))
    U, V = start(corner)
    first = float(np.mean((U @ V.T - corner.rating)[corner.given] ** 2))
    open_lesson(page, server, "guess")
    one = page.get_by_role("button", name="1 step", exact=True)
    expect(one).to_be_enabled()  # the worker has computed the steps
    says(page, f"Step 0 · loss {first:.3f}")
    one.click()
    expect(page.get_by_text("In 1 step at a rate of 0.2")).to_be_visible()
    expect(one).to_be_enabled()
    page.get_by_role("button", name="10 steps", exact=True).click()
    expect(page.get_by_text("In 11 steps at a rate of 0.2")).to_be_visible()
    assert said_loss(page) == pytest.approx(shown_loss(page), abs=0.02)
    assert said_loss(page) < first


def test_descent_steps_plays_pauses_and_resets(server: Server, page: Page) -> None:
    walk_the_corner(page, server)
    play = page.get_by_role("button", name="Play 100 steps")
    expect(play).to_be_enabled()
    play.click()
    says(page, r"Step (1[2-9]|[2-9]\d) ")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text(re.compile(r"In \d+ steps at a rate")).filter(has_not_text="In 11 steps")).to_be_visible()
    at = page.locator("output").inner_text()
    step = re.search(r"Step (\d+)", at)
    assert step is not None
    assert 12 <= int(step[1]) < 111
    expect(page.get_by_text(f"In {step[1]} steps at a rate")).to_be_visible()  # the page is where the picture stopped
    page.get_by_role("link", name="Data", exact=True).click()
    expect(page.get_by_role("heading", name="Data", exact=True)).to_be_visible()
    page.get_by_role("link", name="Learn", exact=True).click()
    says(page, re.escape(at))  # and remembers it
    page.get_by_role("button", name="Reset").click()
    says(page, "Step 0 ")


def test_a_number_changed_by_hand_moves_its_row_and_the_loss(server: Server, page: Page) -> None:
    open_lesson(page, server, "guess")
    expect(page.get_by_role("button", name="1 step", exact=True)).to_be_enabled()
    before, cells = said_loss(page), page.locator("td.cell b").all_inner_texts()
    page.locator("[data-factor='U,2,1']").click()
    slider = page.get_by_role("slider")
    slider.fill("2.5")
    expect(page.locator("[data-factor='U,2,1']")).to_have_text("2.50")
    expect(page.get_by_text(re.compile("Before any step the 22 numbers"))).not_to_contain_text(f"{before:.3f}")
    after = page.locator("td.cell b").all_inner_texts()
    changed = {at // 6 for at, (a, b) in enumerate(zip(cells, after, strict=True)) if a != b}
    assert changed == {2}
    assert said_loss(page) == pytest.approx(shown_loss(page), abs=0.02)
    expect(page.get_by_text(re.compile("Before any step"))).to_contain_text(
        f"{said_loss(page):.3f}"
    )  # as Python has it


def test_lookups_are_measured(server: Server, page: Page) -> None:
    open_lesson(page, server, "lookup")
    expect(page.get_by_text("# True")).to_be_visible()
    page.get_by_role("button", name="Measure", exact=True).click()
    expect(
        page.get_by_text(re.compile("For 100,000 ratings dense one-hot would need .* and is refused"))
    ).to_be_visible(timeout=180_000)
    expect(page.get_by_text(re.compile("the limit is 0.1 GB")).first).to_be_visible()
    expect(page.get_by_text("beyond them they are repeated")).to_be_visible()


def test_too_large_a_step_overshoots(server: Server, page: Page) -> None:
    open_lesson(page, server, "step")
    expect(page.get_by_text("Greatest difference from the formula: autograd")).to_be_visible()
    expect(page.get_by_text("from one side")).to_be_visible()
    slider = page.get_by_role("slider", name="Learning rate")
    slider.focus()
    slider.press("End")
    expect(page.get_by_text("from one side")).to_have_count(0)
    expect(page.get_by_text(re.compile("jump over|to and fro|go too far|without bound"))).to_be_visible()


def test_the_lessons_fit_a_phone(server: Server, new_person) -> None:
    page = new_person(**PHONE)
    walk_the_corner(page, server)
    fits(page)
    page.get_by_role("button", name="Next: One-hot is a lookup").click()
    expect(page.get_by_text("# True")).to_be_visible()
    fits(page)
    page.get_by_role("button", name="Next: One gradient step").click()
    expect(page.get_by_text("Greatest difference from the formula: autograd")).to_be_visible()
    fits(page)


def test_back_leads_a_page_back_with_one_press(server: Server, page: Page) -> None:
    """Pages write more into their address than a link says; each still has one entry, and each lesson its own."""

    def arrive(name: str) -> None:
        expect(page.get_by_role("heading", name=name, exact=True, level=1)).to_be_visible()

    page.goto(f"{server.url}/")
    for name in ("Train", "Learn"):
        page.get_by_role("link", name=name, exact=True).click()
        arrive(name)
        page.wait_for_url(re.compile(r"approach=scratch|lesson=guess"))
    page.get_by_role("button", name="Next: One-hot is a lookup").click()
    page.wait_for_url(re.compile("lesson=lookup"))
    page.get_by_role("link", name="Compare", exact=True).click()
    arrive("Compare")
    for address, shown in (
        ("lesson=lookup", page.get_by_role("heading", name="2. One-hot is a lookup")),
        ("lesson=guess", page.get_by_role("heading", name="1. Guess a rating")),
        ("approach=scratch", page.get_by_role("heading", name="Train", exact=True, level=1)),
    ):
        page.go_back()
        page.wait_for_url(re.compile(address))
        expect(shown).to_be_visible()
        # a press more before the page is there, and has written its address, would be answered by that page
        expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    page.go_back()
    arrive("How recommendations are learned")
