"""Comparing in the browser: five ways at once, ticks and curves, rename and undo, a sweep, and files taken away."""

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
from playwright.sync_api import Download, Locator, Page, expect

from cfcore.approaches import describe
from cfcore.charts.scales import short
from cfcore.export.cells import unsafe
from cfcore.runs import Run, RunStore
from cfcore.sweep import FIVE, grid_of
from tests.browser.conftest import WAIT, Server, holds_torch

ROW = 35  # pixels of a row of the table; its header is as high
FEW = {"learning_rate": "3, 10", "embedding_size": "4, 8"}


def open_compare(page: Page, server: Server, query: str = "") -> None:
    page.goto(f"{server.url}/compare?{query}")
    expect(page.get_by_role("heading", name="Compare", exact=True)).to_be_visible()


def five_ways(page: Page) -> None:
    page.get_by_role("button", name="Five ways, one split").click()


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


def sweep_form(page: Page, approach: str, **values: str) -> None:
    page.get_by_role("textbox", name="Values of learning rate").fill(values["learning_rate"])
    page.get_by_role("textbox", name="Values of learning rate").press("Enter")
    page.get_by_role("textbox", name="Values of embedding size").fill(values["embedding_size"])
    page.get_by_role("textbox", name="Values of embedding size").press("Enter")


@pytest.fixture(scope="module")
def five(server: Server, browser) -> list[str]:
    """The ids of five ways that one visitor has trained to the end, seen arriving on the page."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    expect.set_options(timeout=WAIT)
    open_compare(page, server)
    expect(page.get_by_text("Nothing to compare yet.")).to_be_visible()
    five_ways(page)
    page.wait_for_url(re.compile(r"[?&]runs="))
    expect(curves(page)).to_have_attribute("aria-label", re.compile(r"fastai, dot product: no epoch yet"))
    expect(curves(page)).to_have_attribute("aria-label", re.compile(r"From scratch after \d+ epochs"))
    expect(page.get_by_role("button", name=re.compile(r"^Stop \d"))).to_be_enabled()
    last = re.compile(r"fastai, dot product after 5 epochs")
    expect(curves(page)).to_have_attribute("aria-label", last, timeout=3 * WAIT)
    expect(page.get_by_test_id("stMain").get_by_role("button", name="Stop", exact=True)).to_be_disabled()
    ids = ids_in(page)
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


def test_a_sweep_fills_and_marks_the_best_of_the_store(server: Server, new_person: Callable[..., Page]) -> None:
    page = new_person()
    open_compare(page, server, "view=sweep")
    expect(page.get_by_text("No sweep yet.")).to_be_visible()
    sweep_form(page, "scratch", **FEW)
    page.get_by_role("button", name="Start 4 runs").click()
    heat_map = chart(page, "Heat map of the validation RMSE")
    expect(heat_map).to_have_attribute("aria-label", re.compile("4 of 4 runs have a result"))
    page.wait_for_url(re.compile(r"[?&]group="))
    (group,) = ids_in(page, "group")
    runs = RunStore(server.folder / "runs").list(group=group)
    grid = grid_of(list(runs))
    assert grid is not None
    assert grid.best is not None
    best = short(grid.best.rmse or 0)
    expect(heat_map).to_have_attribute("aria-label", re.compile(f"The best is {re.escape(best)} at learning rate"))
    for cell in grid.cells:
        expect(heat_map.locator("text").filter(has_text=short(cell.rmse or 0)).first).to_be_attached()
    expect(heat_map.locator("text").filter(has_text="best")).to_have_count(1)
    other = new_person()
    other.goto(page.url)
    same = chart(other, "Heat map")
    expect(same).to_have_attribute("aria-label", re.compile(f"The best is {re.escape(best)}"))
    expect(other.get_by_role("button", name="Delete the sweep")).to_be_disabled()
    other.get_by_role("button", name="Curves of the best 4").click()
    expect(curves(other)).to_have_attribute("aria-label", re.compile("of 4 runs"))


def test_a_sweep_can_be_stopped_as_a_whole(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/train?approach=scratch&epochs=500&lookup=onehot")
    expect(page.get_by_role("heading", name="Train", exact=True)).to_be_visible()
    page.get_by_role("link", name="Compare", exact=True).click()
    page.get_by_role("radio", name=re.compile("Sweep")).click()
    expect(
        page.get_by_text(re.compile("Held still, as they stand on Train: epochs 500 · lookup onehot"))
    ).to_be_visible()
    sweep_form(page, "scratch", learning_rate="1, 2", embedding_size="100, 200")
    page.get_by_role("button", name="Start 4 runs").click()
    expect(page.get_by_text(re.compile("[0-3] of 4 runs have ended"))).to_be_visible()
    only_one = page.get_by_text("One group at a time")
    expect(only_one).to_be_visible()
    expect(page.get_by_role("button", name="Start 4 runs")).to_be_disabled()
    page.get_by_role("radio", name=re.compile("Runs and curves")).click()
    expect(page.get_by_role("button", name="Five ways, one split")).to_be_disabled()
    page.get_by_role("button", name="Show it").click()
    expect(page.get_by_text(re.compile("[0-3] of 4 runs have ended"))).to_be_visible()
    page.get_by_role("button", name="Stop all").click()
    expect(only_one).to_have_count(0)
    expect(page.get_by_role("button", name="Start 4 runs")).to_be_enabled()
    expect(page.get_by_role("button", name="Stop all")).to_have_count(0)
    page.wait_for_url(re.compile(r"[?&]group="))
    (group,) = ids_in(page, "group")
    assert {run.status for run in RunStore(server.folder / "runs").list(group=group)} == {"stopped"}


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


def test_what_cannot_be_swept_gets_a_sentence(server: Server, page: Page) -> None:
    open_compare(page, server, "view=sweep")
    sweep_form(page, "scratch", learning_rate="1, many", embedding_size="4")
    expect(page.get_by_text("Learning rate takes numbers such as 0.001, 0.003, 0.01, not 'many'.")).to_be_visible()
    expect(page.get_by_role("button", name="Start the sweep")).to_be_disabled()


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
    server: Server, five: list[str], page: Page
) -> None:
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
