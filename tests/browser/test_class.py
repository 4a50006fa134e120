"""Several people at once: whose run is whose, also after a reload, and what somebody is told who has to wait."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Server
from tests.browser.test_training import LONG, expect_epoch, open_train, press_train, stop_button, stored


@pytest.fixture
def neighbour(new_person: Callable[..., Page]) -> Page:
    """A page of somebody else, in a browser of their own."""
    return new_person()


def test_a_reload_and_another_tab_are_the_same_person_and_a_neighbour_is_not(
    server: Server, page: Page, neighbour: Page
) -> None:
    """Without the browser's own name, a reload would take a person's runs from them, and their Stop."""
    open_train(page, server, LONG)
    run_id = press_train(page)
    expect_epoch(page)

    neighbour.goto(f"{server.url}/train?run={run_id}")
    expect_epoch(neighbour)  # to look at
    expect(stop_button(neighbour)).to_be_disabled()
    neighbour.goto(f"{server.url}/compare?runs={run_id}")
    expect(neighbour.get_by_text("1 chosen run is of somebody else")).to_be_visible()
    expect(neighbour.get_by_role("button", name="Delete")).to_be_disabled()

    page.reload()
    expect(stop_button(page)).to_be_enabled()
    tab = page.context.new_page()
    tab.goto(f"{server.url}/compare")
    expect(tab.get_by_role("button", name="Stop 1")).to_be_enabled()
    tab.close()
    stop_button(page).click()
    expect(page.get_by_text(re.compile("^Stopped ·"))).to_be_visible()
    assert stored(server, run_id).status == "stopped"
    assert all(cookie.get("value", "") not in page.url for cookie in page.context.cookies())


def test_who_waits_is_told_their_place_and_when_it_will_be_their_turn(
    new_server: Callable[..., Server], page: Page, neighbour: Page
) -> None:
    server = new_server()  # of its own: a long run stays behind
    open_train(page, server, LONG)
    press_train(page)
    expect_epoch(page)
    open_train(page, server, LONG.replace("100", "99"))
    press_train(page)
    expect(page.get_by_text(re.compile("Next in the queue · starts in about"))).to_be_visible()

    open_train(neighbour, server, "approach=als&epochs=2")
    press_train(neighbour)
    expect(neighbour.get_by_text(re.compile("Next in the queue · starts in about"))).to_be_visible()
    expect(page.get_by_text(re.compile("Number 2 in the queue · starts in about"))).to_be_visible()
    stop_button(page).click()
    expect(page.get_by_text(re.compile("^Stopped ·"))).to_be_visible()
