"""Recommendations in the browser: from nothing to a list of one's own, with a network, on a phone, by keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import WAIT, Server
from tests.browser.test_training import LONG, expect_epoch

SCRATCH = "approach=scratch&learning_rate=10&embedding_size=6&epochs=60"
NETWORK = "approach=pytorch&learning_rate=0.05&epochs=20"
FIRST = re.compile("^First on the list: ")
LINK = "1:5,2:1,3:4,4:2,5:5"  # films of the sample by their ids


def train(page: Page, server: Server, query: str) -> str:
    """Train on the Train page and give the run's id."""
    page.goto(f"{server.url}/train?{query}")
    page.get_by_role("button", name="Train", exact=True).click()
    page.wait_for_url(re.compile(r"[?&]run="))
    return parse_qs(urlparse(page.url).query)["run"][0]


@pytest.fixture(scope="module")
def run_id(server: Server, browser: Browser) -> str:
    """A run that everybody can open by its link."""
    with browser.new_context() as context:
        page = context.new_page()
        found = train(page, server, SCRATCH)
        expect(page.get_by_text(re.compile(r"^Done · 60 of 60 epochs"))).to_be_visible(timeout=WAIT)
    return found


def open_recommend(page: Page, server: Server, run_id: str, section: str = "A user", **query: str) -> None:
    extra = "".join(f"&{name}={value}" for name, value in query.items())
    page.goto(f"{server.url}/recommend?run={run_id}{extra}")
    choose(page, section)


def choose(page: Page, section: str) -> None:
    button = page.get_by_role("radiogroup", name="Section").get_by_role("radio", name=section, exact=True)
    expect(button).to_be_visible()
    if button.get_attribute("aria-checked") != "true":
        button.click()
    expect(button).to_have_attribute("aria-checked", "true")


def suggestion(page: Page, n: int) -> Locator:
    """The n-th of the well-known films to begin with."""
    return page.locator("[class*='st-key-row-known-']").nth(n)


def give(page: Page, row: Locator, stars: int) -> None:
    star = row.get_by_role("radio", name=f"{stars} out of 5 stars")
    star.click()
    expect(star).to_have_attribute("aria-checked", "true")


def first_film(page: Page) -> str:
    line = page.get_by_text(FIRST)
    expect(line).to_be_visible()
    return line.inner_text()


def test_from_nothing_to_a_list_of_ones_own(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/recommend")
    expect(page.get_by_text("Nothing has been trained yet")).to_be_visible()
    page.get_by_role("button", name="Train a model now").click()
    choose(page, "You")
    expect(page.get_by_text("this is the list of the average user")).to_be_visible()
    before = first_film(page)
    for n, stars in enumerate((1, 1, 2, 1, 1)):
        give(page, suggestion(page, n), stars)
        expect(page.get_by_text(re.compile(f"^{n + 1} ratings?: the list"))).to_be_visible()
    expect(page.get_by_text("5 ratings: the list is yours.")).to_be_visible()
    expect(page.get_by_text(FIRST)).not_to_have_text(before)
    expect(page.get_by_text("Which rating moved you most:")).to_be_visible()
    expect(page.get_by_label(re.compile("^Map of .* You are at "))).to_be_visible()


def test_each_star_moves_you_on_the_map_and_changes_the_address(server: Server, page: Page, run_id: str) -> None:
    open_recommend(page, server, run_id, "You")
    place = ""
    for n, stars in enumerate((5, 1)):
        give(page, suggestion(page, n), stars)
        expect(page.get_by_text(re.compile(f"^{n + 1} ratings?: the list begins"))).to_be_visible()
        figure = page.get_by_label(re.compile("^Map of .* You are at "))
        expect(figure).not_to_have_attribute("aria-label", re.compile(re.escape(place) if place else "not on it yet"))
        place = re.findall(r"You are at [^,]+, \S+", figure.get_attribute("aria-label") or "")[0]
    expect(page).to_have_url(re.compile(r"[?&]you=\d+%3A5%2C\d+%3A1(&|$)"))  # comes after the map, so: wait for it


def test_a_reload_keeps_the_stars_and_a_link_takes_them_along(
    server: Server, new_person: Callable[..., Page], run_id: str
) -> None:
    page = new_person()
    open_recommend(page, server, run_id, "You")
    give(page, suggestion(page, 0), 4)
    expect(page).to_have_url(re.compile(r"[?&]you="))
    line = first_film(page)
    page.reload()
    expect(page.get_by_text("Your 1 rating")).to_be_visible()
    assert first_film(page) == line
    page.get_by_text("Keep, share or bring ratings").click()
    link = page.get_by_test_id("stCode").inner_text().strip()
    assert link.startswith(f"{server.url}/recommend?run={run_id}")
    other = new_person()
    other.goto(link)
    expect(other.get_by_text("Your 1 rating")).to_be_visible()
    assert first_film(other) == line


def test_a_link_with_mistakes_uses_the_rest(server: Server, page: Page, run_id: str) -> None:
    open_recommend(page, server, run_id, "You", you=f"{LINK},99999:3,7:high")
    expect(page.get_by_text("Your 5 ratings")).to_be_visible()
    expect(page.get_by_text("names the movie ‘99999’, which is not in this data set")).to_be_visible()
    expect(page.get_by_text("gives movie ‘7’ the rating ‘high’, which is no number")).to_be_visible()


def test_ratings_go_out_as_csv_and_come_back(
    server: Server, new_person: Callable[..., Page], run_id: str, tmp_path: Path
) -> None:
    page = new_person()
    open_recommend(page, server, run_id, "You", you=LINK)
    page.get_by_text("Keep, share or bring ratings").click()
    with page.expect_download() as download:
        page.get_by_test_id("stDownloadButton").get_by_role("button").click()
    kept = tmp_path / "mine.csv"
    download.value.save_as(kept)
    lines = kept.read_text(encoding="utf-8-sig").splitlines()
    assert lines[0] == "movie_id,title,rating"
    assert len(lines) == 6
    kept.write_text("\n".join([*lines, "no film,,3"]), encoding="utf-8")
    other = new_person()
    open_recommend(other, server, run_id, "You")
    other.get_by_text("Keep, share or bring ratings").click()
    other.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(kept)
    expect(other.get_by_text("5 ratings were taken from mine.csv.")).to_be_visible()
    expect(other.get_by_text("Line 7 names the movie ‘no film’")).to_be_visible()
    expect(other.get_by_text("Your 5 ratings")).to_be_visible()


def test_a_network_folds_you_in_on_its_worker(server: Server, page: Page) -> None:
    run_id = train(page, server, NETWORK)
    expect(page.get_by_text(re.compile(r"^Done · 20 of 20 epochs"))).to_be_visible()
    page.get_by_role("link", name="Recommend", exact=True).click()
    choose(page, "You")
    expect(page).to_have_url(re.compile(f"run={run_id}"))
    before = first_film(page)
    for n in range(3):
        give(page, suggestion(page, n), 1)
    expect(page.get_by_text("3 ratings: the list begins to be yours")).to_be_visible()
    expect(page.get_by_text(FIRST)).not_to_have_text(before)
    expect(page.get_by_text("the mean of the films you liked")).to_be_visible()
    expect(page.get_by_text("Which rating moved you most:")).to_be_visible()  # the worker's second task
    expect(page.get_by_text("The network mixes your row and the film's")).to_be_visible()


def test_a_run_that_still_trains_can_be_asked(server: Server, page: Page) -> None:
    train(page, server, LONG)
    expect_epoch(page, 2)
    page.get_by_role("link", name="Recommend", exact=True).click()
    told = page.get_by_text(re.compile(r"After epoch \d+, and still training"))
    expect(told).to_have_count(1)
    expect(told).not_to_have_text(told.text_content() or "")  # a later epoch
    choose(page, "You")
    give(page, suggestion(page, 0), 5)
    expect(page.get_by_text("1 rating: the list begins to be yours")).to_be_visible()
    first_film(page)
    page.get_by_role("link", name="Train", exact=True).click()
    page.get_by_test_id("stMain").get_by_role("button", name="Stop").click()
    expect(page.get_by_text(re.compile(r"^Stopped · \d+ of 100 epochs"))).to_be_visible()


def test_another_user_and_why(server: Server, page: Page, run_id: str) -> None:
    open_recommend(page, server, run_id)
    box = page.get_by_role("combobox", name="User")
    box.click()
    box.fill("user 12 ")
    page.get_by_role("option").first.click()
    expect(page.get_by_text(re.compile("^User 12 rated "))).to_be_visible()
    expect(page.locator("[data-stale='true']")).to_have_count(0)
    why = page.get_by_role("combobox", name="Why this film")
    chart = page.get_by_label(re.compile("^Bars that add up to a score of "))
    before = chart.get_attribute("aria-label")
    why.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "Enter"):
        why.press(key)
    expect(chart).not_to_have_attribute("aria-label", before or "")


def test_one_pair_and_the_ranking(server: Server, page: Page, run_id: str) -> None:
    open_recommend(page, server, run_id, "One pair", you=LINK)
    choose(page, "One pair")
    expect(page.get_by_test_id("stMetric").filter(has_text="User + movie bias")).to_be_visible()
    page.get_by_test_id("stMain").get_by_role("radio", name="You", exact=True).nth(1).click()
    expect(page.get_by_text(re.compile("for you. You "))).to_be_visible()
    choose(page, "Ranking quality")
    expect(page.get_by_test_id("stMetric").filter(has_text="NDCG@10")).to_be_visible()
    page.get_by_text("Formulas and definitions").click()
    expect(page.get_by_text("How many of ten recommended films were right.")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_screen(
    server: Server, new_person: Callable[..., Page], run_id: str, scheme: str
) -> None:
    page = new_person(viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True)
    open_recommend(page, server, run_id, "You", you=LINK)
    for section in ("You", "A user", "One pair", "Ranking quality"):
        choose(page, section)
        expect(page.get_by_test_id("stMain").get_by_text("Recommend", exact=True).first).to_be_visible()
        expect(page.locator("[data-stale='true']")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    choose(page, "You")
    star = suggestion(page, 1).get_by_role("radio", name="4 out of 5 stars")
    star.tap()
    expect(star).to_have_attribute("aria-checked", "true")


def test_stars_are_given_by_keyboard(server: Server, page: Page, run_id: str) -> None:
    open_recommend(page, server, run_id, "You")
    suggestion(page, 0).get_by_role("radio").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Your 1 rating")).to_be_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "1 out of 5 stars"
