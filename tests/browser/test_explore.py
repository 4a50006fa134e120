"""Exploring in the browser: tap, search, zoom, select, change axes, fly; by pointer, by keyboard, and on a phone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from cfcore.runs import RunStore
from tests.browser.conftest import WAIT, Server
from tests.conftest import REAL_DATA
from tests.waiting import wait_until

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
MAP = "[class*='st-key-film-map']"
TITLES = f"""() => [...document.querySelectorAll("{MAP} svg .mark-text.role-mark text")]
    .filter(text => text.getAttribute('fill') !== null && text.textContent && getComputedStyle(text).opacity !== '0')
    .map(text => ({{text: text.textContent, box: text.getBoundingClientRect().toJSON()}}))"""
TICKS = f"""() => [...document.querySelectorAll("{MAP} svg .role-axis-label text")].map(text => text.textContent)"""


@pytest.fixture(scope="module")
def run(server: Server, browser: Browser) -> Iterator[str]:
    """A run trained from the page's empty state; its address."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(WAIT)
    expect.set_options(timeout=WAIT)
    page.goto(f"{server.url}/explore")
    expect(page.get_by_text("Nothing has been trained yet")).to_be_visible()
    page.get_by_role("button", name="Train a model now").click()
    page.wait_for_url(re.compile(r"[?&]run="))
    expect(page.locator(MAP)).to_be_visible(timeout=2 * WAIT)  # it may still be training: the map is alive
    expect(page.get_by_role("combobox", name="Run")).to_have_value(re.compile("RMSE"), timeout=2 * WAIT)
    yield page.url
    context.close()


def open_map(page: Page, run: str, film: str = "") -> Page:
    page.goto(run + (f"&film={film}" if film else ""))
    expect(page.locator(f"{MAP} .marks")).to_be_visible()
    return page


def title_on_map(page: Page, title: str) -> Locator:
    return page.locator(f"{MAP} svg text", has_text=re.compile(f"^{re.escape(title)}$")).last


def heading(page: Page, title: str) -> Locator:
    return page.get_by_role("heading", name=title)


def middle(page: Page) -> tuple[float, float]:
    box = page.locator(f"{MAP} .marks").bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def cursor_over(page: Page, x: float, y: float) -> str:
    """The cursor where no film is, which says what a drag would do; it follows the pointer's next move."""
    page.mouse.move(x + 1, y)
    page.mouse.move(x, y)
    return page.evaluate(f"""() => document.querySelector("{MAP} .vega-embed").style.cursor""")


def ticks(page: Page) -> list[str]:
    return sorted(page.evaluate(TICKS))


def wait_for_other_ticks(page: Page, before: list[str]) -> list[str]:
    page.wait_for_function(f"before => JSON.stringify(({TICKS})().sort()) !== before", arg=_json(before))
    return ticks(page)


def _json(values: list[str]) -> str:
    return "[" + ",".join(f'"{value}"' for value in values) + "]"


def zoom_in(page: Page) -> list[str]:
    before = ticks(page)
    page.mouse.move(*middle(page))
    for _ in range(4):
        page.mouse.wheel(0, -150)
    return wait_for_other_ticks(page, before)


def search(page: Page, title: str) -> None:
    box = page.get_by_role("combobox", name="Film", exact=True)
    box.click()
    box.fill(title)
    expect(page.get_by_role("option").first).to_contain_text(title)
    box.press("Enter")


def opened(page: Page, box: Locator) -> Locator:
    """The first option of a box's list. While the page still moves a list closes: then it is opened once more.

    By a key rather than a click, which would close a list that has only just opened.
    """
    first = page.get_by_role("option").first

    def open_list() -> bool:
        if not first.is_visible():
            box.press("ArrowDown")
        page.wait_for_timeout(300)  # one that is going to close does so at once
        return first.is_visible()

    wait_until(open_list, what="the list to open")
    return first


def written(page: Page) -> list[dict[str, Any]]:
    """The titles on the map with their boxes, each once (a halo is drawn under it)."""
    return list({(each["text"], round(each["box"]["x"])): each for each in page.evaluate(TITLES)}.values())


def assert_apart(page: Page, least: int) -> None:
    """No title lies on another. A hair of a box may: the line is taller than its letters."""
    titles = written(page)
    assert len(titles) >= least
    for a, b in combinations(titles, 2):
        (p, q), hair = (a["box"], b["box"]), 2.5
        apart = (
            p["right"] <= q["left"] + hair
            or q["right"] <= p["left"] + hair
            or p["bottom"] <= q["top"] + hair
            or q["bottom"] <= p["top"] + hair
        )
        assert apart, (a, b)


def known_titles(page: Page) -> list[str]:
    return [each["text"] for each in written(page) if not each["text"].endswith("…")]


def test_a_tap_shows_the_nearest_films_and_keeps_the_zoom(run: str, page: Page) -> None:
    open_map(page, run)
    zoomed = zoom_in(page)
    title = known_titles(page)[0]
    title_on_map(page, title).click()
    expect(
        page.get_by_text(re.compile("Nearest in the full space of 50 dimensions, not in the picture"))
    ).to_be_visible()
    expect(page.locator(f"{MAP} svg .mark-rule.role-mark line")).to_have_count(10)
    assert ticks(page) == zoomed
    page.wait_for_url(re.compile(r"[?&]film=\d+"))
    page.reload()
    expect(page.get_by_text(re.compile("Nearest in the full space"))).to_be_visible()


def test_moving_the_map_picks_nothing(run: str, page: Page) -> None:
    open_map(page, run)
    before = ticks(page)
    x, y = middle(page)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 160, y + 90, steps=8)
    page.mouse.up()
    wait_for_other_ticks(page, before)
    expect(page.get_by_text("Find a film, or tap one")).to_be_visible()


def test_search_and_tap_do_not_fight_the_last_one_wins(run: str, page: Page) -> None:
    open_map(page, run)
    first, second = known_titles(page)[:2]
    title_on_map(page, first).click()
    expect(page.get_by_role("combobox", name="Film", exact=True)).to_have_value(re.compile(re.escape(first[:8])))
    search(page, "Fargo")
    expect(heading(page, "Fargo")).to_be_visible()
    expect(page.locator("[data-stale='true']")).to_have_count(0)  # the map is drawn after the heading
    title_on_map(page, first).click()  # the very film of the last tap
    expect(heading(page, "Fargo")).not_to_be_visible()
    search(page, "Fargo")
    expect(heading(page, "Fargo")).to_be_visible()
    assert first != second


def test_a_row_of_the_nearest_films_leads_on(run: str, page: Page) -> None:
    open_map(page, run)
    search(page, "Fargo")
    expect(heading(page, "Fargo")).to_be_visible()
    table = page.get_by_test_id("stDataFrame").first
    box = table.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 18, box["y"] + 52)
    expect(heading(page, "Fargo")).not_to_be_visible()
    expect(page.get_by_text(re.compile("Nearest in the full space"))).to_be_visible()


def test_a_region_lists_its_films_and_can_be_zoomed_to(run: str, page: Page) -> None:
    open_map(page, run)
    whole = ticks(page)
    x, y = middle(page)
    page.get_by_text("Select", exact=True).click()
    wait_until(lambda: cursor_over(page, x - 215, y + 165) == "crosshair", what="the map to take a drag for a region")
    page.mouse.move(x - 120, y - 90)
    page.mouse.down()
    page.mouse.move(x + 60, y + 60, steps=6)
    page.mouse.up()
    expect(page.get_by_text(re.compile(r"In the region: \d+ films?"))).to_be_visible()
    assert ticks(page) == whole
    page.get_by_role("button", name="Zoom to it").click()
    wait_for_other_ticks(page, whole)
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page.get_by_text(re.compile("In the region"))).not_to_be_visible()


@pytest.mark.parametrize("width", [390, 760, 1440])
def test_titles_do_not_overlap_at_any_width_nor_when_zoomed(
    run: str, new_person: Callable[..., Page], width: int
) -> None:
    page = new_person(viewport={"width": width, "height": 900})
    open_map(page, run)
    assert_apart(page, 8 if width < 500 else 15)
    page.locator(f"{MAP} .marks").scroll_into_view_if_needed()
    zoom_in(page)
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
    assert_apart(page, 3)
    search(page, "Fargo")
    expect(page.locator(f"{MAP} svg .mark-rule.role-mark line")).to_have_count(10)
    assert_apart(page, 3)


def test_axes_say_what_they_follow_and_change(run: str, page: Page) -> None:
    open_map(page, run)
    expect(page.locator(f"{MAP} svg.marks").last).to_contain_text(re.compile(r"PC1 .*of the variance"))
    across = page.get_by_role("combobox", name="Across")
    across.click()
    page.get_by_role("option", name=re.compile(r"^PC4 ")).click()
    expect(page.locator(f"{MAP} svg.marks").last).to_contain_text(re.compile(r"PC4 .*of the variance"))
    expect(page.get_by_text(re.compile("^Correlations:")).first).to_be_visible()


def test_an_axis_of_ones_own(run: str, page: Page) -> None:
    open_map(page, run)
    page.get_by_text("Own axis", exact=True).click()
    expect(page.get_by_text("Choose a film or more for each end")).to_be_visible()
    for name, title in (("From", "Star Wars"), ("To", "Fargo")):
        box = page.get_by_role("combobox", name=name, exact=True)
        box.click()
        box.fill(title)
        expect(page.get_by_role("option").first).to_contain_text(title)
        box.press("Enter")
        box.press("Escape")
    expect(page.locator(f"{MAP} svg.marks").last).to_contain_text(
        re.compile(r"from Star Wars.*\(0\).*to Fargo.*\(1\)", re.DOTALL)
    )


def test_tsne_is_computed_beside_the_page(run: str, page: Page) -> None:
    open_map(page, run)
    page.get_by_text("t-SNE", exact=True).click()
    expect(page.locator(f"{MAP} svg.marks").last).to_contain_text("t-SNE: only who is near whom means something")


def test_a_person_stands_on_the_map(run: str, page: Page) -> None:
    open_map(page, run)
    page.get_by_text("Number, size, people").click()
    box = page.get_by_role("combobox", name="A person")
    option = opened(page, box)
    name = option.inner_text().split(" ·")[0]
    option.click()
    expect(page.get_by_text(re.compile("^A person stands"))).to_be_visible()
    expect(title_on_map(page, name)).to_be_visible()


NOTE_WHAT_IS_SAID = """slider => {
  const now = () => slider.getAttribute("aria-valuetext");
  window.said = [now()];
  const note = () => { if (window.said.at(-1) !== now()) window.said.push(now()); };
  new MutationObserver(note).observe(slider, {attributeFilter: ["aria-valuetext"]});
}"""  # all of it: a test that asks now and then may come too late for what is said for a second


def test_the_films_fly_and_the_slider_says_where_they_are(run: str, page: Page) -> None:
    open_map(page, run)
    page.get_by_role("tab", name="Trajectories").click()
    slider = page.get_by_role("slider", name="Epoch shown")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"Epoch 5 of 5, train loss \d"))
    slider.evaluate(NOTE_WHAT_IS_SAID)
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("window.said.length > 1 && window.said.at(-1).startsWith('Epoch 5 of 5')")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    said = page.evaluate("window.said")
    assert [words.split()[1] for words in said] == list("5012345"), "epochs in turn, and none skipped"
    assert "before training" in said[1]
    slider.press("ArrowLeft")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"Epoch 4 of 5"))
    drawn = page.get_by_role("img", name=re.compile("Animation of 300 films")).evaluate(
        "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(value => value)"
    )
    assert drawn
    # Other films: the component is drawn anew, and plays once.
    page.get_by_role("radio", name="100", exact=True).click()
    expect(page.get_by_role("img", name=re.compile("Animation of 100 films"))).to_be_visible()
    slider.evaluate(NOTE_WHAT_IS_SAID)
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("window.said.length > 1 && window.said.at(-1).startsWith('Epoch 5 of 5')")


def test_biases_and_true_tastes(run: str, page: Page) -> None:
    open_map(page, run)
    page.get_by_role("tab", name="Bias").click()
    expect(page.get_by_text("Where bias and mean disagree most, and why")).to_be_visible()
    expect(page.get_by_test_id("stVegaLiteChart").locator("svg.marks")).to_have_count(2)
    page.get_by_role("tab", name="True tastes").click()
    expect(page.get_by_text("These ratings are simulated")).to_be_visible()
    page.get_by_role("tab", name="Map").click()
    expect(page.locator(f"{MAP} .marks")).to_be_visible()


def test_all_of_it_by_keyboard(run: str, page: Page) -> None:
    open_map(page, run)
    box = page.get_by_role("combobox", name="Film", exact=True)
    box.focus()
    page.keyboard.type("Fargo")
    expect(page.get_by_role("option").first).to_contain_text("Fargo")
    page.keyboard.press("Enter")
    expect(heading(page, "Fargo")).to_be_visible()
    whole = ticks(page)
    page.get_by_role("button", name="In", exact=True).press("Enter")
    near = wait_for_other_ticks(page, whole)
    page.get_by_role("button", name="Whole map").press("Enter")
    wait_for_other_ticks(page, near)
    page.get_by_role("button", name="Region by numbers").press("Enter")
    page.get_by_label("Across from").fill("0")
    page.get_by_role("button", name="List the films").press("Enter")
    expect(page.get_by_text(re.compile(r"In the region: \d+ films?"))).to_be_visible()


def test_a_phone_taps_a_film(run: str, new_person: Callable[..., Page]) -> None:
    page = new_person(**PHONE)
    open_map(page, run)
    wide = page.evaluate("() => document.documentElement.scrollWidth")
    assert wide <= 390
    title = title_on_map(page, known_titles(page)[0])
    title.scroll_into_view_if_needed()
    title.tap()
    expect(page.get_by_text(re.compile("Nearest in the full space"))).to_be_visible()
    for name in ("In", "Out", "Whole map"):
        box = page.get_by_role("button", name=name, exact=True).bounding_box()
        assert box is not None
        assert box["height"] >= 36


def test_the_article_preset_on_movielens_puts_star_wars_near_its_trilogy(
    new_server: Callable[..., Server], page: Page
) -> None:
    if not (REAL_DATA / "ml-100k").exists():
        pytest.skip("no copy of MovieLens 100k beside the project")
    server = new_server(CFCORE_DATA_DIR=str(REAL_DATA))
    page.goto(f"{server.url}/train?approach=fastai_dot&split=u1")
    expect(page.get_by_text("MovieLens 100K · 100,000 ratings")).to_be_visible()
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.get_by_text(re.compile(r"^Done · 5 of 5 epochs"))).to_be_visible(timeout=2 * WAIT)
    run = RunStore(server.folder / "runs").list(limit=1)[0]
    assert run.metrics is not None
    assert run.metrics.valid_mse == pytest.approx(0.879, rel=0.03)
    page.get_by_role("link", name="Explore", exact=True).click()
    search(page, "Star Wars")
    expect(heading(page, "Star Wars (1977)")).to_be_visible()
    table = page.get_by_test_id("stDataFrame").first
    expect(table).to_contain_text("Similarity")
    alike = ("Empire Strikes Back", "Return of the Jedi", "Raiders of the Lost Ark", "Indiana Jones")
    seen = table.text_content() or ""
    assert sum(title in seen for title in alike) >= 2, seen
