"""A data set of titles that are markup, in a real browser: no element is made of one, and each is read as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from cfcore.runs import Run, RunStore
from tests import planted
from tests.browser.conftest import Server
from tests.browser.test_data import open_data, upload
from tests.pages_support import FakeJobs

# Whatever a title could have become: each of these would be an element of the page.
ELEMENTS = (
    "#planted, img[src='x'], img[src*='evil'], a[href*='evil'], a[href^='mailto:'], script:text('planted'), "
    "strong:text-is('strong'), em:text-is('slanted'), del:text-is('gone'), .katex, "
    "h1:text('heading'), span[style*='color']:text-is('coloured')"
)


@pytest.fixture
def run(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The planted data and a run on it, in the folders of the server."""
    monkeypatch.setenv("CFCORE_DATA_DIR", str(server.folder / "data"))
    store = RunStore(server.folder / "runs")
    yield planted.plant(FakeJobs(store))
    store.close()


def read_as(text: str) -> re.Pattern[str]:
    """``text`` as a reader sees it: signs without width may stand in it."""
    return re.compile("\u2060?".join(re.escape(mark).replace("/", r"\/") for mark in text))


def nothing_was_made(page: Page) -> None:
    """Also not where it takes the browser a moment: the title of the page would have changed by then."""
    expect(page.locator("[data-testid='stStatusWidget']")).to_have_count(0)
    assert page.locator(ELEMENTS).count() == 0
    assert "planted" not in page.title()


def test_an_upload_of_markup_is_shown_as_text(server: Server, page: Page) -> None:
    """Without ``plain`` its name would be bold, an image, or a formula; its films stand in a grid and in charts."""
    open_data(page, server)
    upload(page, planted.FILE, planted.table())
    expect(page.get_by_text(f"{planted.FILE} · 269 ratings")).to_be_visible()
    expect(page.get_by_text("**mine** $x$.csv", exact=False).first).to_be_visible()
    page.get_by_label("Search titles and genres").fill("<img")
    expect(page.get_by_text("1 movie;")).to_be_visible()
    nothing_was_made(page)


def test_titles_are_read_as_they_are_wherever_they_stand(server: Server, page: Page, run: Run) -> None:
    """A title above the panel of a film, in a list to choose from, in a sentence; and the name of a run."""
    page.goto(f"{server.url}/explore?run={run.id}&film=%3Ci%3E0%3C%2Fi%3E")
    expect(page.get_by_role("heading", name=read_as(planted.MARKUP[0]))).to_be_visible()
    nothing_was_made(page)
    page.goto(f"{server.url}/explore?run={run.id}&film=%3Ci%3E4%3C%2Fi%3E")
    expect(page.get_by_role("heading", name=read_as(planted.MARKUP[4]))).to_be_visible()  # its signs are still signs
    nothing_was_made(page)

    page.goto(f"{server.url}/recommend?run={run.id}")
    expect(page.get_by_text(re.compile(r"User =\*\*u\d+\*\* <img id=planted src=x>")).first).to_be_visible()
    page.get_by_role("radio", name="One pair").click()
    expect(page.get_by_text(re.compile(r"for user =\*\*u\d+\*\* <img id=planted src=x>"))).to_be_visible()
    nothing_was_made(page)
    films = page.get_by_role("combobox", name="Film")
    films.click()
    expect(page.get_by_role("option", name=read_as(planted.MARKUP[3]))).to_be_visible()
    nothing_was_made(page)

    page.goto(f"{server.url}/compare?runs={run.id}")
    expect(page.get_by_text(read_as(planted.MARKUP[0])).first).to_be_visible()
    nothing_was_made(page)
    page.goto(f"{server.url}/learn?lesson=meaning")
    expect(page.get_by_role("heading", name="Learn", exact=True)).to_be_visible()
    nothing_was_made(page)
