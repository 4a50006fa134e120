"""The map of films: its specification is valid Vega-Lite, its titles never touch, its tables say what is drawn."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations, pairwise

import altair as alt
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cfcore.charts.bias import APART, BIAS_HEIGHT, LIKED, OTHER, Biases, bias_alt, bias_spec
from cfcore.charts.film_map import MANY, SELECTIONS, MapFrame, film_map_spec, limits_of, plot_height
from cfcore.charts.labels import FONT_SIZE, WIDTHS, Placed, place_titles, short_title, text_width
from cfcore.charts.map_style import OTHERS, Colour
from cfcore.charts.map_tables import (
    MOST_DRAWN,
    Drawn,
    first_group,
    map_tables,
    people_table,
    point_sizes,
    told_apart,
)

HEIGHTS = [400.0] * len(WIDTHS)
GENRES = Colour(title="Genre", categories=("Horror", "Comedy"))
COLOURS = {
    "genre": GENRES,
    "year": Colour(title="Release year", limits=(1950.0, 1998.0), format="d"),
    "bias": Colour(title="Learned bias", limits=(-1.0, 1.0), middle=0.0),
    "count": Colour(title="Ratings", limits=(1.0, 400.0), log=True),
    "none": Colour(),
}


def drawn(n: int = 40, seed: int = 0, **changes) -> Drawn:
    random = np.random.default_rng(seed)
    values = {
        "item": np.arange(n) + 100,
        "xy": random.normal(size=(n, 2)),
        "title": np.array([f"Film number {i}" for i in range(n)], dtype=object),
        "size": np.linspace(200, 20, n),
        "group": random.choice([*GENRES.categories, OTHERS], n),
        "value": random.normal(size=n),
    }
    return Drawn(**{**values, **changes})


def facts_of(films: Drawn) -> pd.DataFrame:
    return pd.DataFrame({"title": films.title, "Movie id": films.item})


def tables_of(films: Drawn, shown=None, people: pd.DataFrame | None = None) -> dict[str, pd.DataFrame]:
    tables = map_tables(films, facts_of(films), limits_of(films.xy), shown, HEIGHTS)
    return {**tables, "people": people_table(np.zeros((0, 2)), []) if people is None else people}


def frame(**changes) -> MapFrame:
    return MapFrame(**{"x_title": "PC1", "y_title": "PC2", "colour": GENRES, **changes})


def plain(spec: dict) -> dict:
    """The specification with its tables as records, as JSON knows them."""
    tables = {name: json.loads(table.to_json(orient="records")) for name, table in spec["datasets"].items()}
    return {**spec, "datasets": tables}


@pytest.mark.parametrize("colour", COLOURS.values(), ids=COLOURS)
@pytest.mark.parametrize(
    "how", [{}, {"drag": "select"}, {"many": True}, {"shown": (0, 1, 0, 1), "region": (0, 1, 0, 2)}]
)
def test_the_specification_is_valid_vega_lite(colour: Colour, how: dict) -> None:
    spec = film_map_spec(frame(colour=colour, **how), tables_of(drawn(chosen=0, near=np.array([1, 2]))))
    alt.Chart.from_dict(plain(spec), validate=True)


def test_a_click_changes_the_data_and_not_the_specification() -> None:
    before = film_map_spec(frame(), tables_of(drawn()))
    after = film_map_spec(frame(), tables_of(drawn(chosen=3, near=np.array([1, 2])), shown=(0, 1, 0, 1)))
    assert {**before, "datasets": None} == {**after, "datasets": None}


def test_all_selections_are_there_whatever_dragging_does() -> None:
    for drag in ("move", "select"):
        layers = film_map_spec(frame(drag=drag), tables_of(drawn()))["layer"]
        params = {param["name"]: param for layer in layers for param in layer.get("params", [])}
        assert set(SELECTIONS) <= set(params)
        moves = "[!event.shiftKey]" in params["grid"]["select"]["translate"]
        assert moves == (drag == "move")
        assert ("[!event.shiftKey]" in params["region"]["select"]["on"]) == (drag == "select")


def test_genres_differ_by_their_shapes_and_not_only_by_colour() -> None:
    films = next(layer for layer in film_map_spec(frame(), tables_of(drawn()))["layer"] if "params" in layer)
    shapes = films["encoding"]["shape"]["scale"]["range"][: len(GENRES.categories)]
    assert len(set(shapes)) == len(GENRES.categories)
    assert films["encoding"]["fill"]["field"] == films["encoding"]["shape"]["field"]


def test_many_films_are_drawn_without_what_costs_time_for_each() -> None:
    spec = film_map_spec(frame(many=True), tables_of(drawn()))
    films = next(layer for layer in spec["layer"] if layer["data"]["name"] == "films")
    assert "condition" not in films["encoding"]["opacity"]
    assert spec["usermeta"]["embedOptions"]["renderer"] == "canvas"


@pytest.mark.parametrize(
    ("title", "short"),
    [
        ("Empire Strikes Back, The (1980)", "The Empire Strikes Back"),
        ("American in Paris, An (1951)", "An American in Paris"),
        ("Shanghai Triad (Yao a yao yao dao waipo qiao) (1995)", "Shanghai Triad"),
        ("(500) Days of Summer (2009)", "(500) Days of Summer"),
        ("2001: A Space Odyssey (1968)", "2001: A Space Odyssey"),
        ("unknown", "unknown"),
        ("(1999)", "(1999)"),
        ("", ""),
    ],
)
def test_titles_are_written_as_people_say_them(title: str, short: str) -> None:
    assert short_title(title) == short


@given(st.text(max_size=80), st.integers(2, 40))
def test_a_short_title_is_never_longer_than_allowed(title: str, longest: int) -> None:
    assert len(short_title(title, longest)) <= longest


def test_a_text_is_as_wide_as_its_letters() -> None:
    assert text_width("mmm") > 2 * text_width("iii")
    assert text_width("Amélie") == text_width("Amelie")
    assert text_width("千と千尋") >= 4 * FONT_SIZE
    assert text_width("") == 0


def boxes_of(placed: Placed, at: np.ndarray, texts: list[str], width: float, height: float) -> list[tuple]:
    """Where the browser writes the titles in a plot of this size, pixels upwards: left, bottom, right, top."""
    boxes = []
    for row, dx, dy, align, least, below in zip(
        placed.row, placed.dx, placed.dy, placed.align, placed.least, placed.below, strict=True
    ):
        if least <= width < below:
            x, y, w = at[row, 0] * width + dx, at[row, 1] * height - dy, text_width(texts[row])
            left = {"left": x, "right": x - w, "center": x - w / 2}[align]
            boxes.append((left, y - FONT_SIZE / 2, left + w, y + FONT_SIZE / 2))
    return boxes


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 120), st.floats(0.02, 0.4), st.floats(250, 1800))
@example(112, 63, 0.078125, 250.0)  # the boxes of two titles come nearer to each other as this plot widens
def test_titles_never_touch_and_never_leave_the_plot(seed: int, n: int, spread: float, width: float) -> None:
    random = np.random.default_rng(seed)
    at = random.normal(0.5, spread, (n, 2))
    texts = ["x" * int(length) for length in random.integers(1, 28, n)]
    placed = place_titles(at, texts, random.uniform(2, 12, n), heights=HEIGHTS)
    boxes = boxes_of(placed, at, texts, width, 400)
    for a, b in combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    assert all(box[0] >= 0 and box[1] >= 0 and box[2] <= width and box[3] <= 400 for box in boxes)


def test_the_most_important_title_is_always_written_and_wider_plots_write_more() -> None:
    at = np.random.default_rng(1).uniform(0.2, 0.8, (100, 2))
    placed = place_titles(at, ["A title"] * 100, np.full(100, 4.0), heights=HEIGHTS)
    counts = [int(((placed.least <= width) & (width < placed.below)).sum()) for width in WIDTHS]
    assert (placed.row == 0).sum() == len(WIDTHS)
    assert counts == sorted(counts)
    assert counts[-1] > counts[0] > 0


def test_each_width_of_a_plot_has_one_set_of_titles() -> None:
    placed = place_titles(np.array([[0.5, 0.5]]), ["Only"], np.array([4.0]), heights=HEIGHTS)
    spans = sorted(zip(placed.least, placed.below, strict=True))
    assert spans[0][0] == 0
    assert all(a[1] == b[0] for a, b in pairwise(spans))


def test_nothing_to_title_gives_no_titles() -> None:
    placed = place_titles(np.zeros((0, 2)), [], np.zeros(0), heights=HEIGHTS)
    assert len(placed.row) == 0


def test_the_way_of_a_person_leads_from_zero_through_them_beyond_the_films() -> None:
    films = drawn()
    zero, person = np.array([0.5, -0.5]), np.array([0.6, -0.4])
    films = replace(films, way=np.array([zero, person]))
    (line,) = tables_of(films)["way"].to_numpy()
    start, end = line[:2], line[2:]
    assert start == pytest.approx(zero)
    assert (end - zero) / np.linalg.norm(end - zero) == pytest.approx((person - zero) / np.linalg.norm(person - zero))
    assert np.linalg.norm(end - zero) > np.ptp(films.xy, axis=0).max()


@pytest.mark.parametrize("way", [None, np.zeros((2, 2))])
def test_who_has_no_direction_gets_no_line(way: np.ndarray | None) -> None:
    assert tables_of(drawn(way=way))["way"].empty


def test_a_film_takes_the_rarest_of_the_wanted_genres_that_it_has() -> None:
    genres = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 0, 1], [0, 0, 0]], dtype=bool)
    names = ("Drama", "Comedy", "Horror")
    assert list(first_group(genres, names, ["Drama", "Comedy"])) == ["Drama", "Comedy", "Comedy", "Drama", OTHERS]
    assert list(first_group(genres, names, ["Horror"])) == [OTHERS, OTHERS, "Horror", "Horror", OTHERS]


def test_points_grow_with_popularity_and_only_then() -> None:
    counts = np.array([400, 100, 1])
    sizes = point_sizes(counts, by_popularity=True)
    assert list(sizes) == sorted(sizes, reverse=True)
    assert len(set(point_sizes(counts, by_popularity=False))) == 1
    assert point_sizes(np.arange(1, MANY + 2), by_popularity=True).max() < sizes.max()


def test_the_chosen_film_is_ringed_linked_and_named() -> None:
    films = drawn(chosen=5, near=np.array([7, 9]))
    tables = tables_of(films)
    assert list(tables["links"]["item"]) == [107, 109]
    assert tuple(tables["links"][["x", "y"]].iloc[0]) == pytest.approx(tuple(films.xy[5]))
    assert tuple(tables["links"][["x2", "y2"]].iloc[1]) == pytest.approx(tuple(films.xy[9]))
    assert list(tables["rings"]["item"]) == [105, 107, 109]
    assert tables["rings"]["stroke"].iloc[0] > tables["rings"]["stroke"].iloc[1]
    strong = tables["titles"][tables["titles"]["strong"]]
    assert set(strong["text"]) == {"Film number 5"}
    faded = dict(zip(tables["films"]["item"], tables["films"]["alpha"], strict=True))
    assert faded[105] == faded[107] > faded[101]


def test_without_a_film_there_is_no_ring_no_line_and_nothing_fades() -> None:
    tables = tables_of(drawn())
    assert len(tables["links"]) == 0
    assert len(tables["rings"]) == 0
    assert len(set(tables["films"]["alpha"])) == 1
    assert set(tables["titles"]["strong"]) == {False}


def test_titles_are_placed_for_the_part_in_sight() -> None:
    films = drawn()
    shown = (0.0, 0.5, 0.0, 0.5)
    titles = tables_of(films, shown)["titles"]
    x, y = titles["x"].to_numpy(), titles["y"].to_numpy()
    assert len(x) > 0
    assert np.all((x >= 0) & (x <= 0.5) & (y >= 0) & (y <= 0.5))


def test_every_film_is_drawn_once_and_grey_ones_first() -> None:
    films = drawn(chosen=0)
    table = tables_of(films)["films"]
    assert sorted(table["item"]) == sorted(films.item)
    assert table["item"].iloc[-1] == 100
    grey = (table["group"] == OTHERS).to_numpy()[:-1]
    assert not (np.diff(grey.astype(int)) > 0).any()


def test_a_person_is_named_and_a_tap_on_the_name_is_no_film() -> None:
    people = people_table(np.array([[0.0, 0.0], [1.0, 1.0]]), ["user 1", "user 2"], 0)
    assert people["name"].iloc[-1] == "user 1"
    tables = tables_of(drawn(person=(0.0, 0.0, "user 1")), people=people)
    named = [row for row in tables["titles"].to_dict("records") if row["text"] == "user 1"]
    assert len(named) == len(WIDTHS)
    assert all(pd.isna(row["item"]) for row in named)


def test_ids_that_are_text_stay_text() -> None:
    films = drawn(n=3, item=np.array(["a", "b", "c"], dtype=object), chosen=1, near=np.array([2]))
    tables = tables_of(films)
    assert set(tables["films"]["item"]) == {"a", "b", "c"}
    alt.Chart.from_dict(plain(film_map_spec(frame(), tables)), validate=True)


def test_the_limits_hold_every_point_with_room() -> None:
    xy = np.array([[0.0, 5.0], [2.0, 5.0]])
    x0, x1, y0, y1 = limits_of(xy)
    assert x0 < 0 < 2 < x1
    assert y0 < 5 < y1


def test_more_rows_of_the_legend_leave_less_for_the_plot() -> None:
    wide, narrow = plot_height(frame(), 900), plot_height(frame(), 250)
    assert 300 < narrow < wide < frame().height
    assert plot_height(frame(colour=Colour()), 900) > wide


BIASES = Biases(
    title=np.array(["Best", "Worst", "Odd", "Plain"], dtype=object),
    bias=np.array([0.9, -0.7, 0.1, 0.0]),
    n_ratings=np.array([300, 40, 2, 90]),
    mean=np.array([4.5, 1.8, 4.9, 3.2]),
    group=np.array([LIKED, "least liked", APART, OTHER], dtype=object),
)


@pytest.mark.parametrize("against", ["n_ratings", "mean"])
def test_the_bias_scatter_is_valid_and_draws_what_it_was_given(against) -> None:
    spec = bias_spec(BIASES, against, [(1.8, -0.7), (4.5, 0.9)])
    alt.Chart.from_dict(plain(spec), validate=True)
    points = spec["datasets"]["points"].set_index("title")
    assert points.loc["Odd", "x"] == (2 if against == "n_ratings" else 4.9)
    assert points.loc["Best", "y"] == 0.9
    assert "Plain" not in set(spec["datasets"]["titles"]["text"])
    assert spec["height"] == BIAS_HEIGHT


def test_the_bias_scatter_is_told_in_words() -> None:
    words = bias_alt(BIASES, "mean", 0.812)
    assert "4 films" in words
    assert "0.81" in words
    assert "Best (+0.90)" in words
    assert "Worst (-0.70)" in words


def test_few_films_are_all_drawn() -> None:
    xy = np.zeros((50, 2))
    assert list(told_apart(xy, limits_of(xy), None)) == list(range(50))


def test_of_many_films_the_better_known_hide_those_under_them_until_the_reader_zooms_in() -> None:
    xy = np.random.default_rng(0).normal(size=(6000, 2))
    xy[1] = xy[0] + 1e-4
    limits = limits_of(xy)
    whole = told_apart(xy, limits, None)
    assert len(whole) <= MOST_DRAWN
    assert {0} <= set(whole)
    assert 1 not in whole
    close = (xy[0, 0] - 1e-3, xy[0, 0] + 1e-3, xy[0, 1] - 1e-3, xy[0, 1] + 1e-3)
    assert {0, 1} <= set(told_apart(xy, limits, close))


@pytest.mark.parametrize("shown", [None, (-0.5, 0.5, -0.5, 0.5)])
def test_what_stands_out_is_drawn_however_many_there_are(shown) -> None:
    n = MOST_DRAWN + 500
    films = drawn(
        n=n, title=np.array(["t"] * n, dtype=object), size=np.full(n, 9.0), chosen=n - 1, near=np.array([n - 2])
    )
    tables = tables_of(films, shown)
    assert {films.item[n - 1], films.item[n - 2]} <= set(tables["films"]["item"])
    assert set(tables["films"]["item"]) == set(tables["facts"]["Movie id"])
    assert not pd.api.types.is_numeric_dtype(tables["facts"].index)  # the tooltip would show its numbers
