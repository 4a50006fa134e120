"""Find a learning rate, use it, train with it, and look at a batch of that run and at its predictions."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlparse

from playwright.sync_api import Page, expect

from cfcore.runs import RunStore
from tests.browser.conftest import Server


def test_find_a_rate_use_it_and_train(server: Server, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{server.url}/train?approach=fastai_dot&epochs=1&batch_size=512&learning_rate=0.00002")
    page.get_by_role("button", name="Find a learning rate").click()
    finder = page.locator(".st-key-rate-finder")
    use = finder.get_by_role("button", name=re.compile(r"^Use 0\.\d+$"))
    expect(use).to_be_visible()
    expect(finder.get_by_test_id("stVegaLiteChart").locator("canvas, svg").first).to_be_visible()
    room = finder.bounding_box()
    assert room is not None
    assert room["x"] >= 0
    assert room["x"] + room["width"] <= 390
    rate = use.inner_text().split()[-1]
    use.click()
    expect(page.get_by_role("spinbutton", name="Exact learning rate")).to_have_value(rate)
    expect(finder.get_by_role("button", name=f"{rate} is in use")).to_be_disabled()

    page.get_by_role("button", name="Train", exact=True).click()
    page.wait_for_url(re.compile(r"[?&]run="))
    expect(page.get_by_text(re.compile(r"^Done · 1 of 1 epochs"))).to_be_visible()
    run_id = parse_qs(urlparse(page.url).query)["run"][0]
    run = RunStore(server.folder / "runs").get(run_id)
    assert run is not None
    assert run.request.config.learning_rate == float(rate)

    page.get_by_text("A batch, and predictions against truth").click()
    expect(page.get_by_text("this one holds 507")).to_be_visible()  # 27,348 ratings in 54 even batches
    expect(page.get_by_test_id("stDataFrame")).to_have_count(2)
    page.get_by_role("radio", name="Worst first").click()
    expect(page.get_by_text("100 of 6,837 held-out ratings")).to_be_visible()
