"""How long a person waits, what a page sends, and what memory the app holds: in a real browser (needs chromium).

cold start     from asking a server that has served nobody to a page with its Train button enabled; beside it, in
               turns, a page of Streamlit with one button: what no page of ours can be faster than
page switch    from a click in the menu to the other page's heading, the page before being at rest
first point    from a click on Train (worker warm, `scratch`) to the first epoch in the tiles and on the chart
fragment       from the browser's request, twice a second while a run is on, to the end of the server's answer
click          from a click on a film of Explore's map to the lines to its neighbours
stop           from a click on Stop, in a fastai run, to the word Stopped

While a run trains, the page that watches it is open for the fragment only. For the rest it is closed: in a class that
page is drawn by the machine of whoever pressed Train, not by the one that serves and trains.
"""

from __future__ import annotations

import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page, WebSocket, expect, sync_playwright

from benchmarks.data import HERE
from benchmarks.explore_browser import click_film, open_map
from benchmarks.memory import tree_mb
from benchmarks.table import Line, Section
from benchmarks.timing import in_turns
from cfcore.approaches import APPROACHES, BASELINES
from tests.browser.conftest import FLAGS, Server

WARM = "/train?approach=scratch&learning_rate=10&embedding_size=8&epochs=60"
LONG = "/train?approach=fastai_custom&epochs=100"
BUTTON = 'import streamlit as st\nst.button("Train")\n'
PAGES = {
    "Home": "/",
    "Learn": "/learn",
    "Data": "/data",
    "Train": "/train?run={run}",
    "Compare": "/compare",
    "Explore": "/explore?run={run}",
    "Recommend": "/recommend?run={run}",
}
MEGABYTE = 1e6


def pages(*, quick: bool) -> Section:
    """The targets of the page: medians, with the 95th percentile beside them; alone, and while a run trains."""
    repeat = 2 if quick else 8
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        button = Path(folder) / "button.py"
        button.write_text(BUTTON)
        fresh = lambda: Path(tempfile.mkdtemp(dir=folder))  # noqa: E731
        cold = in_turns(
            {
                "ours": lambda: cold_start(newcomer(browser), Server(fresh()), "/train"),
                "a button": lambda: cold_start(newcomer(browser), Server(fresh(), app=button)),
            },
            1 if quick else repeat,
        )
        server = Server(Path(folder) / "warm").start()
        try:
            page = newcomer(browser)
            page.goto(server.url + WARM)
            train(page)  # the first run waits for the worker's imports
            done(page)
            alone = _waits(page, server, repeat)
            points = [first_point(newcomer(browser), server) for _ in range(repeat)]
            stops = [stop(newcomer(browser), server) for _ in range(1 if quick else 3)]
            busy = newcomer(browser)
            busy.goto(server.url + LONG)
            with Answers(busy) as answers:
                train(busy)
                expect(busy.get_by_text(re.compile("Epoch [2-9] of 100"))).to_be_visible()
                busy.wait_for_timeout(4000 if quick else 15_000)
            busy.close()
            training = _waits(page, server, repeat)
            sent = {name: received(newcomer(browser), server, path) / MEGABYTE for name, path in PAGES.items()}
            memory = Memory("the runs above, on the built-in sample", tree_mb(server))
        finally:
            server.stop()
        if not quick:
            memory = after_each_approach(browser, Path(folder) / "memory")
        browser.close()
    most = max(sent, key=sent.__getitem__)
    lines = [
        _line("cold server to the first interactive page", cold["ours"], 2.5, beside=cold["a button"]),
        _line("page switch", alone["switch"], 0.4),
        _line("page switch while a run trains", training["switch"], 0.4),
        _line("click on Train to the first point (warm)", points, 1.0),
        _line("rerun of the fragment while a run is on", answers.seconds, 0.15),
        _line("click on the map to the neighbours", alone["click"], 0.4),
        _line("click on the map to the neighbours while a run trains", training["click"], 0.4),
        _line("click on Stop to the word Stopped", stops, None),
        Line(
            what=f"most that a page sends to the browser ({most}), without the files that browsers keep",
            ours="; ".join(f"{name} {value:.2f} MB" for name, value in sent.items()),
            theirs="–",
            value=sent[most],
            bound="at most",
            wanted=2.0,
            unit="MB",
        ),
        Line(
            what=f"memory of the whole process tree after {memory.after}",
            ours=f"{memory.mb:,.0f} MB",
            theirs="–",
            value=memory.mb,
            bound="at most",
            wanted=900.0,
            unit="MB",
            note="shared pages counted once.",
        ),
    ]
    return Section(
        title="The page: how long a person waits",
        how=f"The built-in sample in Chromium on the same two cores; the median of {repeat} tries or more, the 95th "
        "percentile beside it. While a run trains, the browser that watches it is closed, as it would be on another "
        "machine. A second run waits for its turn: that is not measured.",
        lines=lines,
    )


def newcomer(browser: Browser) -> Page:
    return browser.new_page(viewport={"width": 1440, "height": 900})


def _line(what: str, seconds: Sequence[float], wanted: float | None, beside: Sequence[float] = ()) -> Line:
    p95 = float(np.percentile(seconds, 95)) if seconds else float("nan")
    median = statistics.median(seconds) if seconds else float("nan")
    return Line(
        what=what,
        ours=f"{median:.2f} s, p95 {p95:.2f} s",
        theirs=f"{statistics.median(beside):.2f} s (one button)" if beside else "–",
        value=median,
        bound="at most",
        wanted=wanted,
        unit="s",
    )


def _waits(page: Page, server: Server, repeat: int) -> dict[str, list[float]]:
    """Page switches, and clicks on the map of the newest run that has ended."""
    page.goto(server.url + "/train")
    expect(page.get_by_role("heading", name="Train", exact=True)).to_be_visible()
    switches = [seconds for _ in range(repeat) for seconds in switch_there_and_back(page)]
    page.goto(f"{server.url}/explore?run={_a_run(server)}")
    open_map(page, page.url)
    return {"switch": switches, "click": [click_film(page, at) for at in range(repeat)]}


def _a_run(server: Server) -> str:
    from cfcore.runs import RunStore

    store = RunStore(server.folder / "runs")
    try:
        return next(run.id for run in store.list() if run.status == "done")
    finally:
        store.close()


class Answers:
    """Seconds from each message that a page sends to the last that it gets before the next one it sends."""

    def __init__(self, page: Page) -> None:
        self.seconds: list[float] = []
        self._asked = self._answered = 0.0
        self._on = False
        page.on("websocket", self._watch)
        page.reload()

    def __enter__(self) -> Answers:
        self._on = True
        return self

    def __exit__(self, *error: object) -> None:
        self._on = False

    def _watch(self, socket: WebSocket) -> None:
        socket.on("framesent", lambda payload: self._sent())
        socket.on("framereceived", lambda payload: self._received())

    def _sent(self) -> None:
        if self._on and self._answered > self._asked > 0:
            self.seconds.append(self._answered - self._asked)
        self._asked = time.perf_counter()

    def _received(self) -> None:
        self._answered = time.perf_counter()


def received(page: Page, server: Server, path: str) -> float:
    """The bytes of a page's own messages, with a run to show, from asking for it to its rest."""
    total = 0

    def add(payload: str | bytes) -> None:
        nonlocal total
        total += len(payload)

    page.on("websocket", lambda socket: socket.on("framereceived", add))
    page.goto(server.url + path.format(run=_a_run(server)))
    expect(page.locator("h1")).to_be_visible()
    at_rest(page)
    page.wait_for_timeout(1000)  # for what asks again by itself
    page.close()
    return total


@dataclass(frozen=True)
class Memory:
    """The memory that the server, scheduler, nanny and worker hold together, and after what."""

    after: str
    mb: float


def after_each_approach(browser: Browser, folder: Path) -> Memory:
    """The memory of a new server after a short run of every approach that learns, on MovieLens 100K where it is."""
    dataset, title = "sample", "the built-in sample"
    if (HERE / "ml-100k").exists():
        dataset, title = "ml-100k", "MovieLens 100K"
        shutil.copytree(HERE / "ml-100k", folder / "data" / "ml-100k")
    server = Server(folder).start()
    try:
        for key in (key for key in APPROACHES if key not in BASELINES):
            page = newcomer(browser)
            page.goto(f"{server.url}/train?approach={key}&epochs=1&dataset={dataset}")
            train(page)
            done(page)
            page.close()
        return Memory(f"a run of each approach, on {title}", tree_mb(server))
    finally:
        server.stop()


def done(page: Page) -> None:
    expect(page.get_by_text(re.compile("^Done ·"))).to_be_visible(timeout=180_000)


def timed(act: Callable[[], object], page: Page, selector: str, text: str) -> float:
    """Seconds from ``act`` until an element of ``selector`` matches ``text``, looked at in every frame.

    Playwright's own ``expect`` looks after 0.1, 0.25, 0.5 and then every 1 s, which would be what is measured.
    """
    look = """([selector, text]) => [...document.querySelectorAll(selector)].some(
        (element) => !element.disabled && new RegExp(text).test(element.textContent))"""
    start = time.perf_counter()
    act()
    page.wait_for_function(look, arg=[selector, text], polling="raf", timeout=60_000)
    return time.perf_counter() - start


def cold_start(page: Page, server: Server, path: str = "/") -> float:
    server.start()
    try:
        return timed(lambda: page.goto(server.url + path), page, "button", "Train$")
    finally:
        page.close()
        server.stop()


def switch_there_and_back(page: Page) -> list[float]:
    seconds = []
    for name in ("Data", "Train"):
        at_rest(page)
        link = page.get_by_role("link", name=name, exact=True).first
        box = link.bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)  # as a hand does, before it presses
        seconds.append(timed(lambda x=x, y=y: page.mouse.click(x, y), page, "h1", f"^{name}$"))
    return seconds


def at_rest(page: Page) -> None:
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def train(page: Page) -> None:
    page.get_by_role("button", name="Train", exact=True).click()


def first_point(page: Page, server: Server) -> float:
    page.goto(server.url + WARM)
    expect(page.get_by_role("button", name="Train", exact=True)).to_be_enabled()
    seconds = timed(lambda: train(page), page, "[data-testid=stMetric]", r"Valid loss.*\d\.\d{3}")
    expect(page.get_by_text(re.compile("^Done ·"))).to_be_visible()
    page.close()
    return seconds


def stop(page: Page, server: Server) -> float:
    page.goto(f"{server.url}/train?approach=fastai_custom&epochs=100")
    train(page)
    expect(page.get_by_text(re.compile("Epoch ([2-9]|[1-9][0-9]) of 100"))).to_be_visible()
    button = page.get_by_test_id("stMain").get_by_role("button", name="Stop")
    seconds = timed(button.click, page, "p", "^Stopped ·")
    page.close()
    return seconds
