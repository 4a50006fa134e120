"""Comparing in the browser: five ways at once, ticks and curves, rename and undo, and files taken away."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import numpy as np
import psutil
import pytest
from playwright.sync_api import Browser, Download, Locator, Page, expect

from cfcore.approaches import describe
from cfcore.charts.scales import short
from cfcore.export.cells import unsafe
from cfcore.runs import Run, RunStore
from cfcore.sweep import FIVE
from tests.browser.conftest import WAIT, Server, holds_torch
from tests.browser.test_training import LONG, expect_epoch, open_train, press_train, stop_button
from tests.waiting import wait_until

ROW = 35  # pixels of a row of the table; its header is as high


def open_compare(page: Page, server: Server, query: str = "") -> None:
    page.goto(f"{server.url}/compare?{query}")
    expect(page.get_by_role("heading", name="Compare", exact=True)).to_be_visible()


def five_ways(page: Page) -> None:
    page.get_by_role("button", name="Five ways, one split").click()


def keep_busy(page: Page, server: Server) -> None:
    """Have the worker train for this page's person until they press Stop: what others start waits."""
    open_train(page, server, LONG)
    press_train(page)
    expect_epoch(page)


def ids_in(page: Page, name: str = "runs") -> list[str]:
    return ids_of(page.url, name)


def ids_of(url: str, name: str = "runs") -> list[str]:
    return parse_qs(urlparse(url).query).get(name, [""])[0].split(",")


def wait_for_runs(page: Page, run_ids: list[str]) -> None:
    """The address names these runs; it is written last, when the page has been drawn."""
    page.wait_for_url(lambda url: ids_of(url) == run_ids)


def runs_of(server: Server, ids: list[str]) -> list[Run]:
    return list(RunStore(server.folder / "runs").get_many(ids))


def curves(page: Page) -> Locator:
    return chart(page, "Line chart of")


def chart(page: Page, alt: str) -> Locator:
    """The chart whose alternative text begins so."""
    return page.locator(f'[data-testid="stVegaLiteChart"][aria-label^="{alt}"]')


def tick(page: Page, row: int) -> None:
    """Click the box of a row, counted from 0."""
    grid = page.get_by_test_id("stDataFrame").first
    grid.scroll_into_view_if_needed()
    grid.locator(".dvn-scroller").click(position={"x": 16, "y": ROW * (row + 1) + ROW // 2})


@pytest.fixture(scope="module")
def five(server: Server, browser: Browser) -> list[str]:
    """The ids of five ways that one visitor has trained to the end, seen arriving on the page.

    They wait behind somebody else's run until the page has shown them: it could be later than short runs are.
    """
    expect.set_options(timeout=WAIT)
    contexts = [browser.new_context(viewport={"width": 1440, "height": 1000}) for _ in range(2)]
    for context in contexts:
        context.set_default_timeout(WAIT)
    ahead, page = (context.new_page() for context in contexts)
    keep_busy(ahead, server)
    open_compare(page, server)
    expect(page.get_by_text("Nothing to compare yet.")).to_be_visible()
    five_ways(page)
    page.wait_for_url(re.compile(r"[?&]runs="))
    none_yet = ".*".join(f"{re.escape(describe(key).title)}: no epoch yet" for key in FIVE)
    expect(curves(page)).to_have_attribute("aria-label", re.compile(none_yet))
    expect(page.get_by_role("button", name="Stop 5", exact=True)).to_be_enabled()
    stop_button(ahead).click()
    last = re.compile(r"fastai, dot product after 5 epochs")
    expect(curves(page)).to_have_attribute("aria-label", last, timeout=3 * WAIT)
    expect(page.get_by_test_id("stMain").get_by_role("button", name="Stop", exact=True)).to_be_disabled()
    ids = ids_in(page)
    for context in contexts:
        context.close()
    return ids


def test_five_ways_train_on_the_same_split_and_beat_the_mean(server: Server, five: list[str]) -> None:
    runs = runs_of(server, five)
    assert [run.request.config.approach for run in runs] == list(FIVE)
    assert len({(run.request.split, run.request.config.seed, run.group) for run in runs}) == 1
    for run in runs:
        assert run.status == "done"
        assert run.metrics is not None
        assert run.metrics.valid_rmse is not None
        assert run.metrics.valid_rmse < run.metrics.baseline_mean_rmse


def test_the_curve_of_a_run_that_trains_grows_and_its_stop_is_here_too(server: Server, page: Page) -> None:
    open_train(page, server, LONG)
    run_id = press_train(page)
    expect_epoch(page)
    open_compare(page, server, f"runs={run_id}")
    title = describe("fastai_custom").title
    expect(curves(page)).to_have_attribute("aria-label", re.compile(rf"{title} after \d+ epoch"))
    told = curves(page).get_attribute("aria-label") or ""
    expect(curves(page)).not_to_have_attribute("aria-label", told)
    expect(curves(page)).to_have_attribute("aria-label", re.compile(rf"{title} after \d+ epoch"))
    stop_button(page).click()
    wait_until(lambda: runs_of(server, [run_id])[0].status == "stopped")
    assert len(runs_of(server, [run_id])[0].history) > 1
    expect(page.get_by_test_id("stMain").get_by_role("button", name="Stop", exact=True)).to_be_disabled()


def test_a_link_shows_the_same_curves_with_the_last_losses_of_the_store(
    server: Server, five: list[str], page: Page
) -> None:
    open_compare(page, server, f"runs={','.join(five)}")
    for run in runs_of(server, five):
        title, last = describe(run.request.config.approach).title, run.history[-1]
        told = (
            f"{title} after {len(run.history)} epochs: train {short(last.train_loss)}, valid {short(last.valid_loss)}"
        )
        expect(curves(page)).to_have_attribute("aria-label", re.compile(re.escape(told)))
        expect(curves(page).locator("text").filter(has_text=f"{title} {short(last.valid_loss)}").first).to_be_attached()
    expect(
        page.get_by_text(re.compile("5 chosen runs are of somebody else, to look at and export only"))
    ).to_be_visible()
    expect(page.get_by_role("button", name="Delete", exact=True)).to_be_disabled()


def test_ticks_choose_what_is_drawn_and_survive_a_page_change(server: Server, five: list[str], page: Page) -> None:
    open_compare(page, server, f"runs={','.join(five)}")
    expect(curves(page)).to_have_attribute("aria-label", re.compile("of 5 runs"))
    tick(page, 0)  # the newest: the last of the five
    expect(curves(page)).to_have_attribute("aria-label", re.compile("of 4 runs"))
    wait_for_runs(page, five[:4])
    page.get_by_role("link", name="Data", exact=True).click()
    expect(page.get_by_role("heading", name="Data", exact=True)).to_be_visible()
    page.get_by_role("link", name="Compare", exact=True).click()
    expect(curves(page)).to_have_attribute("aria-label", re.compile("of 4 runs"))
    wait_for_runs(page, five[:4])
    tick(page, 0)
    expect(curves(page)).to_have_attribute("aria-label", re.compile("of 5 runs"))


def test_sorting_by_a_column_leaves_the_ticks_with_their_runs(server: Server, five: list[str], page: Page) -> None:
    open_compare(page, server, f"runs={','.join(five)}")
    expect(curves(page)).to_have_attribute("aria-label", re.compile("of 5 runs"))
    grid = page.get_by_test_id("stDataFrame").first.locator(".dvn-scroller")
    grid.click(
        position={"x": 16 + 35 + 200 + 135 + 40, "y": ROW // 2}
    )  # Best loss, ascending: the best run comes first
    losses = {run.id: min(result.valid_loss for result in run.history) for run in runs_of(server, five)}
    best = min(losses, key=losses.__getitem__)
    tick(page, 0)
    wait_for_runs(page, [run_id for run_id in five if run_id != best])


def test_the_chart_follows_its_options(server: Server, five: list[str], page: Page) -> None:
    open_compare(page, server, f"runs={','.join(five)}")
    shown = curves(page)
    expect(shown.locator("text").filter(has_text=re.compile("^Epoch$"))).to_be_attached()
    page.get_by_role("radio", name="Updates").click()
    expect(shown.locator("text").filter(has_text="Updates (gradient steps)")).to_be_attached()
    page.get_by_role("radio", name="RMSE").click()
    expect(shown).to_have_attribute("aria-label", re.compile("^Line chart of RMSE by update"))
    page.get_by_role("slider", name="Smoothing").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("Smoothed with s = 0.05")).to_be_visible()


def test_rename_delete_and_undo(server: Server, page: Page) -> None:
    open_compare(page, server)
    page.get_by_role("link", name="Train", exact=True).click()
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.get_by_text(re.compile(r"^Done · "))).to_be_visible()
    page.get_by_role("link", name="Compare", exact=True).click()
    expect(curves(page)).to_have_attribute("aria-label", re.compile("of 1 run. From scratch after"))
    page.wait_for_url(re.compile(r"[?&]runs="))
    (run_id,) = ids_in(page)
    page.get_by_role("button", name="Rename").click()
    page.get_by_role("textbox", name="Name of this run").fill("My *first* run")
    page.keyboard.press("Enter")
    expect(curves(page)).to_have_attribute("aria-label", re.compile(r"My \*first\* run after"))
    assert runs_of(server, [run_id])[0].name == "My *first* run"
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Delete 1").click()
    expect(page.get_by_text("1 run deleted.")).to_be_visible()
    expect(page.get_by_text("Nothing to compare yet.")).to_be_visible()
    assert runs_of(server, [run_id]) == []
    page.get_by_role("button", name="Undo").click()
    expect(curves(page)).to_have_attribute("aria-label", re.compile(r"My \*first\* run after"))
    assert runs_of(server, [run_id])[0].status == "done"


def test_a_title_becomes_neither_link_nor_icon(server: Server, five: list[str], page: Page) -> None:
    title = "www.evil.example http://evil.example me@evil.example :material/home: &copy; 1. x"
    store, request = RunStore(server.folder / "runs"), runs_of(server, five[:1])[0].request
    ids = [store.create(request, dataset_title=title).id for _ in range(2)]
    for run_id in ids:
        store.fail(run_id, "www.evil.example")
    open_compare(page, server, f"runs={','.join(ids)}")
    same = page.get_by_text(re.compile("The same in all: data www"))
    expect(same).to_be_visible()
    assert title in same.inner_text().replace("\u2060", "")
    expect(page.locator('a[href*="evil"]')).to_have_count(0)
    expect(page.locator('a[href^="mailto:"]')).to_have_count(0)


def test_files_taken_away_hold_what_the_store_holds(server: Server, five: list[str], page: Page) -> None:
    open_compare(page, server, f"runs={','.join(five)}")
    runs = runs_of(server, five)
    table = list(csv.DictReader(io.StringIO(taken(page, "Runs, CSV").decode())))
    assert [unsafe(row["run_id"]) for row in table] == five
    assert [float(row["valid_rmse"]) for row in table] == [run.metrics and run.metrics.valid_rmse for run in runs]
    epochs = list(csv.DictReader(io.StringIO(taken(page, "Epochs, CSV").decode())))
    assert [float(row["valid_loss"]) for row in epochs] == [r.valid_loss for run in runs for r in run.history]
    assert [told["id"] for told in json.loads(taken(page, "All, JSON"))] == five
    stored = RunStore(server.folder / "runs").arrays(five[0], "item_factors")["item_factors"]
    trained = stored[np.isfinite(stored).all(axis=1)]
    vectors = np.loadtxt(io.BytesIO(taken(page, "Vectors, TSV")), delimiter="\t", dtype=np.float32)
    assert np.array_equal(vectors, trained)
    metadata = taken(page, "Metadata, TSV").decode().splitlines()
    assert len(metadata) == 1 + len(trained)
    with np.load(io.BytesIO(taken(page, "Factors, npz"))) as file:
        assert np.array_equal(file["item_factors"], stored, equal_nan=True)
    assert taken(page, "safetensors")[8:].startswith(b'{"__metadata__"')
    with zipfile.ZipFile(io.BytesIO(taken(page, "Python script"))) as archive:
        assert {Path(name).suffix for name in archive.namelist()} == {".py", ".txt", ".csv"}
    with zipfile.ZipFile(io.BytesIO(taken(page, "Notebook"))) as archive:
        (notebook,) = (name for name in archive.namelist() if name.endswith(".ipynb"))
        assert five[0] in archive.read(notebook).decode()
    assert b"Map of films" in taken(page, "Report")
    assert server.process is not None
    assert not holds_torch(psutil.Process(server.process.pid))


def taken(page: Page, label: str) -> bytes:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=label).click()
    download: Download = waiting.value
    return download.path().read_bytes()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_screen(
    server: Server, five: list[str], new_person: Callable[..., Page], scheme: str
) -> None:
    page = new_person(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    open_compare(page, server, f"runs={','.join(five)}")
    expect(curves(page).locator("text").filter(has_text="PyTorch").first).to_be_attached()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    plot = curves(page).locator(".background").first.bounding_box()
    assert plot is not None
    assert plot["width"] > 150, "the names at the ends leave room for the lines"


def test_the_keyboard_alone_chooses_runs_and_starts_and_stops_five_ways(
    server: Server, five: list[str], new_person: Callable[..., Page]
) -> None:
    ahead, page = new_person(), new_person()
    keep_busy(ahead, server)
    open_compare(page, server, f"runs={','.join(five)}")
    expect(curves(page)).to_have_attribute("aria-label", re.compile("of 5 runs"))
    page.get_by_role("combobox", name="Chosen runs").focus()
    page.keyboard.press("Backspace")  # takes the last one away
    expect(curves(page)).to_have_attribute("aria-label", re.compile("of 4 runs"))
    page.get_by_role("button", name="Five ways, one split").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name=re.compile(r"^Stop 5"))).to_be_enabled()
    page.get_by_role("button", name=re.compile(r"^Stop 5")).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("stMain").get_by_role("button", name="Stop", exact=True)).to_be_disabled()
    stop_button(ahead).click()
