"""Lessons 4 to 6 in the browser: the same step, the missing squeeze, the ladder, and on into Explore."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

import pytest
from playwright.sync_api import Locator, Page, expect

from cfcore.runs import RunStore
from tests.browser.conftest import WAIT, Server

WIDTHS = "() => [document.scrollingElement.scrollWidth, document.scrollingElement.clientWidth]"


def button(page: Page, name: str) -> Locator:
    return page.get_by_test_id("stMain").get_by_role("button", name=name)


def said(page: Page, start: str) -> Locator:
    """The sentence to take away that begins like this."""
    return page.get_by_test_id("stAlert").get_by_text(re.compile(f"^{start}"))


def assert_fits(page: Page) -> None:
    """On a phone nothing reaches beyond the page's right edge."""
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("() => window.innerWidth === 390")
    scrolled, seen = page.evaluate(WIDTHS)
    assert scrolled <= seen
    page.set_viewport_size({"width": 1440, "height": 900})


CONTENT = {  # what a lesson shows before anything is pressed
    "guess": "1 step",
    "lookup": "Measure",
    "step": "Rating",
    "levels": "Take the steps",
    "ladder": "Climb the ladder",
    "meaning": "Train it",
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_lesson_fits_a_desk_and_a_phone(
    server: Server, new_person: Callable[..., Page], scheme: Literal["light", "dark"]
) -> None:
    page = new_person(color_scheme=scheme, viewport={"width": 390, "height": 844})
    for name, content in CONTENT.items():
        page.goto(f"{server.url}/learn?lesson={name}")
        expect(page.get_by_test_id("stMain").get_by_text(content, exact=True).first).to_be_visible()
        expect(
            page.get_by_test_id("stMain").get_by_role("button", name=re.compile("^(Next|Previous)")).first
        ).to_be_visible()
        for width in (390, 1440):
            page.set_viewport_size({"width": width, "height": 844})
            wide, screen = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            assert wide <= screen, (name, width)
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.get_by_test_id("stException").count() == 0, name


def test_from_the_same_step_over_the_ladder_to_the_map(server: Server, new_person: Callable[..., Page]) -> None:
    page = new_person(color_scheme="dark")
    page.goto(f"{server.url}/learn?lesson=levels")
    button(page, "Take the steps").click()
    expect(said(page, "In 12 steps")).to_be_visible()  # the worker may still be loading fastai
    expect(page.locator("[data-testid=stVegaLiteChart] svg").get_by_text("+ Adam")).to_be_visible()
    button(page, "Train it both ways").click()
    expect(said(page, "Without squeeze")).to_be_visible()
    expect(page.locator("[data-testid=stVegaLiteChart] svg").get_by_text("variance of the ratings")).to_be_visible()
    assert_fits(page)

    button(page, "Next: Bias, range, weight decay").click()
    button(page, "Climb the ladder").click()
    expect(said(page, "From the bare dot product")).to_be_visible(timeout=2 * WAIT)
    expect(said(page, "Of what the model gains")).to_be_visible()
    assert_fits(page)
    runs = list(RunStore(server.folder / "runs").list(limit=4))[::-1]  # the newest
    assert [(run.name, run.status) for run in runs] == [
        (name, "done") for name in ("Dot product", "+ range", "+ bias", "+ weight decay")
    ]

    button(page, "Next: What the factors mean").click()
    expect(page.get_by_text("Read from + weight decay")).to_be_visible()
    expect(page.get_by_text("standard deviations apart")).to_be_visible()
    assert_fits(page)
    button(page, "See every taste").click()
    expect(page.get_by_role("tab", name="True tastes")).to_have_attribute("aria-selected", "true")
    expect(page).to_have_url(re.compile(f"run={runs[-1].id}"))
    page.get_by_role("link", name="Learn").click()
    button(page, "See it on the map").click()
    expect(page.locator("[class*='st-key-film-map'] .marks")).to_be_visible()
    expect(page.get_by_role("combobox", name="Film", exact=True)).not_to_have_value("")
    expect(page).to_have_url(re.compile("film="))

    page.get_by_role("link", name="Learn").click()  # what was computed is still there
    page.get_by_role("radio", name="4. From lists to fastai").click()
    expect(said(page, "In 12 steps")).to_be_visible()
    expect(said(page, "Without squeeze")).to_be_visible()
