"""The half of :mod:`benchmarks.explore` that needs a browser: what a person waits for on the page."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from benchmarks.simulated import add_run
from cfcore.ratings import Ratings
from cfcore.runs import RunStore
from tests.browser.conftest import FLAGS, Server

CHART = "[data-testid=stVegaLiteChart]"
# The map's text for those who cannot see it changes with the answer of the server; after that the picture is waited
# for, until it is another one than before and the same in two frames. A picture is looked at in every frame, so the
# look must cost nothing: a hash of a small copy of it (its data URL takes longer to write than the map to draw).
_LOOK = """
    const look = (drawn) => {
        if (drawn?.tagName !== "CANVAS") return drawn?.innerHTML ?? "";
        const [wide, high] = [240, 160];
        const small = new OffscreenCanvas(wide, high).getContext("2d", {willReadFrequently: true});
        small.drawImage(drawn, 0, 0, wide, high);
        return new Uint32Array(small.getImageData(0, 0, wide, high).data.buffer).reduce((h, v) => (31 * h + v) | 0, 0);
    };
"""
_SETTLED = f"""([chart, wanted]) => {{
    {_LOOK}
    const map = document.querySelector(chart), seen = window.seen;
    const drawn = map?.querySelector("canvas, svg"), label = map?.getAttribute("aria-label");
    if (!drawn || label === seen.label || !new RegExp(wanted).test(label)) return false;
    const picture = look(drawn), settled = picture === seen.last && picture !== seen.before;
    seen.last = picture;
    return settled;
}}"""
_REMEMBER = f"""(chart) => {{
    {_LOOK}
    const map = document.querySelector(chart);
    window.seen = {{before: look(map?.querySelector("canvas, svg")), label: map?.getAttribute("aria-label")}};
}}"""


def in_browser(
    places: Sequence[Path], data: Sequence[Ratings], folder: Path, repeat: int
) -> list[dict[str, list[float]]]:
    """Seconds that each step takes on a map of each data set."""
    store = RunStore(folder / "runs")
    runs = [add_run(store, place, ratings) for place, ratings in zip(places, data, strict=True)]
    store.close()
    server = Server(folder).start()
    expect.set_options(timeout=60_000)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            newcomer = lambda: browser.new_page(viewport={"width": 1440, "height": 900})  # noqa: E731
            results = [
                _steps(newcomer, f"{server.url}/explore?run={run}", ratings.n_items, repeat)
                for run, ratings in zip(runs, data, strict=True)
            ]
            browser.close()
    finally:
        server.stop()
    return results


def _steps(newcomer: Callable[[], Page], url: str, n_films: int, repeat: int) -> dict[str, list[float]]:
    open_map(newcomer(), url)  # the first visitor's server reads the data and finds the components
    seconds: dict[str, list[float]] = {"open": [open_map(newcomer(), url) for _ in range(repeat)]}
    page = newcomer()
    open_map(page, url)
    for shown, component in (("300 films", 3), ("all films", 5)):
        if shown == "all films":
            _show_all(page, n_films)
        seconds[f"click, {shown}"] = [click_film(page, at) for at in range(repeat)]
        seconds[f"other axes, {shown}"] = [_other_axis(page, component + at % 2) for at in range(repeat)]
    page.close()
    return seconds


def _timed(page: Page, act: Callable[[], object], wanted: str) -> float:
    """Seconds from ``act`` until the map is another one, and its text matches ``wanted``."""
    page.evaluate(_REMEMBER, CHART)
    start = time.perf_counter()
    act()
    page.wait_for_function(_SETTLED, arg=[CHART, wanted], polling="raf", timeout=60_000)
    return time.perf_counter() - start


def open_map(page: Page, url: str) -> float:
    start = time.perf_counter()
    page.goto(url)
    page.evaluate("() => { window.seen = {}; }")
    page.wait_for_function(_SETTLED, arg=[CHART, "^Map of"], polling="raf", timeout=60_000)
    return time.perf_counter() - start


def click_film(page: Page, at: int) -> float:
    """Click on a film that is not the chosen one, and wait for the lines to its neighbours."""
    chosen = page.get_by_test_id("stMain").get_by_role("heading", level=3)
    before = chosen.inner_text() if chosen.count() else ""
    x, y = _film(page, at, before)
    seconds = _timed(page, lambda: page.mouse.click(x, y), "Chosen: ")
    expect(chosen).not_to_have_text(before)
    return seconds


def _film(page: Page, at: int, but: str) -> tuple[float, float]:
    """A point of the page under which a film other than ``but`` lies: the map shows its tooltip there."""
    box = page.locator(CHART).first.bounding_box()
    assert box is not None
    for step in range(400):
        across, up = (at * 0.37 + step * 0.0618) % 1, (at * 0.23 + step * 0.0931) % 1
        x, y = box["x"] + box["width"] * (0.2 + 0.6 * across), box["y"] + box["height"] * (0.25 + 0.5 * up)
        page.mouse.move(x, y)
        tooltip = page.evaluate("() => document.querySelector('#vg-tooltip-element.visible')?.textContent ?? ''")
        if tooltip and (not but or but not in tooltip):
            return x, y
    raise RuntimeError("no film was found on the map")


def _other_axis(page: Page, number: int) -> float:
    page.get_by_role("combobox", name=re.compile("^Across|Across$")).first.click()
    option = page.get_by_role("option", name=re.compile(f"^PC{number} "))
    expect(option).to_be_visible()
    return _timed(page, option.click, f"Across PC{number}\\b")


def _show_all(page: Page, n_films: int) -> None:
    page.get_by_text("Number, size, people").click()
    page.get_by_role("slider", name="Films with the most ratings").focus()
    page.keyboard.press("End")
    expect(page.locator(CHART).first).to_have_attribute("aria-label", re.compile(f"^Map of {n_films:,} films"))
    page.get_by_text("Number, size, people").click()
