"""How long a person waits: ``python -m benchmarks.pages [--repeat N]``, in a real browser (needs chromium).

Starts a server of its own on the built-in sample, and prints the median and the greatest of N tries, in seconds, of

    cold start     from asking a server that has served nobody to a page with its Train button enabled
    page switch    from a click in the menu to the other page's heading
    first point    from a click on Train (worker warm, scratch) to the first epoch in the tiles and on the chart
    stop           from a click on Stop, in a fastai run, to the word Stopped
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.conftest import FLAGS, Server

WARM = "/train?approach=scratch&learning_rate=10&embedding_size=8&epochs=60"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5, metavar="N")
    repeat = parser.parse_args().repeat
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        newcomer = lambda: browser.new_page(viewport={"width": 1440, "height": 900})  # noqa: E731
        cold = [cold_start(newcomer(), Path(folder) / str(n)) for n in range(repeat)]
        server = Server(Path(folder) / "warm").start()
        try:
            page = newcomer()
            page.goto(server.url + WARM)
            train(page)  # the first run waits for the worker's imports
            expect(page.get_by_text(re.compile("^Done ·"))).to_be_visible()
            figures = {
                "cold start": cold,
                "page switch": [seconds for _ in range(repeat) for seconds in switch_there_and_back(page)],
                "first point": [first_point(newcomer(), server) for _ in range(repeat)],
                "stop": [stop(newcomer(), server) for _ in range(repeat)],
            }
        finally:
            server.stop()
        browser.close()
    print(f"{'seconds':14} {'median':>8} {'greatest':>9}   tries")
    for name, seconds in figures.items():
        print(f"{name:14} {statistics.median(seconds):8.2f} {max(seconds):9.2f}   {len(seconds)}")


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


def cold_start(page: Page, folder: Path) -> float:
    server = Server(folder).start()
    try:
        return timed(lambda: page.goto(f"{server.url}/train"), page, "button", "Train$")
    finally:
        page.close()
        server.stop()


def switch_there_and_back(page: Page) -> list[float]:
    return [
        timed(page.get_by_role("link", name=name, exact=True).click, page, "h1", f"^{name}$")
        for name in ("Data", "Train")
    ]


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


if __name__ == "__main__":
    main()
