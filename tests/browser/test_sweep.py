"""A sweep in the browser: its heat map fills, it is stopped as a whole, and what cannot be swept is said."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from cfcore.charts.scales import short
from cfcore.runs import RunStore
from cfcore.sweep import grid_of
from tests.browser.conftest import Server
from tests.browser.test_compare import chart, curves, ids_in, keep_busy, open_compare
from tests.browser.test_training import stop_button

FEW = {"learning_rate": "3, 10", "embedding_size": "4, 8"}


def sweep_form(page: Page, **values: str) -> None:
    page.get_by_role("textbox", name="Values of learning rate").fill(values["learning_rate"])
    page.get_by_role("textbox", name="Values of learning rate").press("Enter")
    page.get_by_role("textbox", name="Values of embedding size").fill(values["embedding_size"])
    page.get_by_role("textbox", name="Values of embedding size").press("Enter")


def test_a_sweep_fills_and_marks_the_best_of_the_store(server: Server, new_person: Callable[..., Page]) -> None:
    page = new_person()
    open_compare(page, server, "view=sweep")
    expect(page.get_by_text("No sweep yet.")).to_be_visible()
    sweep_form(page, **FEW)
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
    expect(other.get_by_text("4 of 4 runs have ended")).to_be_visible()
    same = chart(other, "Heat map")
    expect(same).to_have_attribute("aria-label", re.compile(f"The best is {re.escape(best)}"))
    expect(other.get_by_role("button", name="Delete the sweep")).to_be_disabled()
    other.get_by_role("button", name="Curves of the best 4").click()
    expect(curves(other)).to_have_attribute("aria-label", re.compile("of 4 runs"))


def test_a_sweep_can_be_stopped_as_a_whole(server: Server, new_person: Callable[..., Page]) -> None:
    ahead, page = new_person(), new_person()
    keep_busy(ahead, server)
    page.goto(f"{server.url}/train?approach=scratch&epochs=500&lookup=onehot")
    expect(page.get_by_role("heading", name="Train", exact=True)).to_be_visible()
    page.get_by_role("link", name="Compare", exact=True).click()
    page.get_by_role("radio", name=re.compile("Sweep")).click()
    expect(
        page.get_by_text(re.compile("Held still, as they stand on Train: epochs 500 · lookup onehot"))
    ).to_be_visible()
    sweep_form(page, learning_rate="1, 2", embedding_size="100, 200")
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
    stop_button(ahead).click()


def test_what_cannot_be_swept_gets_a_sentence(server: Server, page: Page) -> None:
    open_compare(page, server, "view=sweep")
    sweep_form(page, learning_rate="1, many", embedding_size="4")
    expect(page.get_by_text("Learning rate takes numbers such as 0.001, 0.003, 0.01, not 'many'.")).to_be_visible()
    expect(page.get_by_role("button", name="Start the sweep")).to_be_disabled()
