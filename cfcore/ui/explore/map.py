"""The Map tab: controls on the left, the map in the middle, the chosen film or region on the right. One fragment."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from cfcore.charts.film_map import MANY, SELECTIONS, Drag, Limits, MapFrame, film_map_spec, limits_of
from cfcore.charts.film_map import plot_height as height_at
from cfcore.charts.labels import WIDTHS
from cfcore.charts.map_tables import Drawn, map_tables, point_sizes
from cfcore.ui.explore import film
from cfcore.ui.explore.ends import axis_ends
from cfcore.ui.explore.look import Look, choose_colour, choose_look
from cfcore.ui.explore.panel import Near, film_panel, find_nearest, region_panel
from cfcore.ui.explore.people import People, choose_people
from cfcore.ui.explore.space import Learned, learned, plain_id
from cfcore.ui.explore.view import View, choose_view
from cfcore.ui.explore.words import map_alt
from cfcore.ui.frame import guard
from cfcore.ui.runs import Chosen, look_again
from cfcore.ui.words import count, sentence

MOVE, SELECT = "Move", "Select"
ZOOM = 1.6


def map_tab(chosen: Chosen) -> None:
    """The map; it keeps up with a run that trains."""
    st.fragment(_draw, run_every=chosen.refresh)(chosen)


def _draw(chosen: Chosen) -> None:
    with guard():
        chosen = look_again(chosen)
        try:
            space = learned(chosen)
        except ValueError as problem:  # a run that trains may diverge while it is looked at
            st.warning(sentence(str(problem)), icon=":material/blur_off:")
            return
        left, middle, right = st.columns([1.05, 2.75, 1.4], gap="medium")
        with left:
            film.search_box(space, "map")
            view = choose_view(chosen, space, middle)
            colour_by, genres = choose_colour(space, live=chosen.live)
            with st.expander("Number, size, people", icon=":material/tune:"):
                look = choose_look(space, colour_by, genres)
                people = choose_people(chosen, space, view) if view is not None else None
        row = film.chosen_film(space)
        with right:
            first, second = st.container(), st.container()
            film_place, region_place = (second, first) if film.region_is_latest() else (first, second)
            with film_place:
                near = find_nearest(space, row, look)
        if view is not None and people is not None:
            with middle:  # before the words beside it: it is what a click waits for
                _map(chosen, space, view, look, people, near)
        if near is not None:
            with film_place:
                film_panel(space, view, near)
        if view is not None:
            with region_place:
                region_panel(space, view, look)
        axis_ends(space, view)
        film.write_address(chosen.run.id, space)


def _map(chosen: Chosen, space: Learned, view: View, look: Look, people: People, near: Near | None) -> None:
    base = f"{chosen.run.id}:{view.name}"
    start = film.start_of(base)
    if film.seen() and film.map_key() not in st.session_state:  # the reader was on another tab: the widget is gone
        film.start_anew()
        start = film.start_of(base)
    rows = _rows(look, people, near)
    drawn = _drawn(space, view, look, people, near, rows)
    xy = np.concatenate([drawn.xy, people.table[["x", "y"]].to_numpy()])
    limits = limits_of(xy)
    now = f" · training, epoch {chosen.epoch} of {chosen.run.request.config.epochs}" if chosen.live else ""
    drag = _bar(film.shown(start) or limits, f"{count(len(look.rows))} films{now}")
    frame = MapFrame(
        x_title=view.titles[0],
        y_title=view.titles[1],
        colour=look.colour,
        drag=drag,
        many=len(rows) > MANY,
        ticks=view.axes is not None,
        shown=start["shown"],
        region=start["region"],
    )
    heights = [height_at(frame, width) for width in WIDTHS]
    tables = map_tables(drawn, _facts(space, rows), limits, film.shown(start), heights)
    st.vega_lite_chart(
        spec=film_map_spec(frame, {**tables, "people": people.table}),
        width="stretch",
        key=film.map_key(),
        on_select=lambda: film.take_from_map(space),
        selection_mode=SELECTIONS,
        alt=map_alt(space, view, look, rows, near),
    )
    if people.words:
        st.caption(people.words)


def _bar(shown: Limits, words: str) -> Drag:
    """What dragging does, and buttons for whoever has no wheel."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="map-bar"):
        mode = st.segmented_control(
            "Dragging",
            [MOVE, SELECT],
            default=MOVE,
            required=True,
            key="explore-drag",
            label_visibility="collapsed",
            persist_state="session",
            help="What dragging on the map does. With Shift it does the other.",
        )
        for icon, label, factor in (("zoom_in", "In", 1 / ZOOM), ("zoom_out", "Out", ZOOM)):
            st.button(
                label,
                icon=f":material/{icon}:",
                key=f"zoom:{icon}",
                on_click=lambda by=factor: film.start_anew(shown=_zoomed(shown, by)),
            )
        st.button(
            "Whole map",
            icon=":material/fit_screen:",
            key="zoom:all",
            on_click=lambda: film.start_anew(shown=None),
        )
        st.caption(words, width="content")
    return "select" if mode == SELECT else "move"


def _zoomed(shown: Limits, factor: float) -> Limits:
    x0, x1, y0, y1 = shown
    (x, y), (w, h) = ((x0 + x1) / 2, (y0 + y1) / 2), (factor * (x1 - x0) / 2, factor * (y1 - y0) / 2)
    return x - w, x + w, y - h, y + h


def _rows(look: Look, people: People, near: Near | None) -> np.ndarray:
    """The rows that are drawn, best known first: those asked for, and whatever stands out."""
    also = [] if near is None else [near.row, *near.rows]
    missing = np.setdiff1d(np.array([*also, *people.liked], dtype=np.int64), look.rows)
    return np.concatenate([look.rows, missing])


def _drawn(space: Learned, view: View, look: Look, people: People, near: Near | None, rows: np.ndarray) -> Drawn:
    at = {int(row): position for position, row in enumerate(rows)}
    return Drawn(
        item=_ids(space, rows),
        xy=view.xy[rows],
        title=space.short[rows],
        size=point_sizes(space.facts.n_ratings[rows], by_popularity=look.by_popularity),
        group=None if look.group is None else look.group[rows],
        value=None if look.value is None else look.value[rows],
        chosen=None if near is None else at[near.row],
        near=np.array([at[int(row)] for row in near.rows] if near is not None else [], dtype=np.int64),
        liked=np.array([at[int(row)] for row in people.liked], dtype=np.int64),
        person=people.person,
        way=people.way,
    )


def _facts(space: Learned, rows: np.ndarray) -> pd.DataFrame:
    """What the tooltips say; ``title`` becomes their heading."""
    facts = space.facts
    year = [f"{value:.0f}" if np.isfinite(value) else "unknown" for value in facts.year[rows]]
    table = {"title": space.title[rows], "Year": year, "Genres": space.genre_text[rows]}
    table["Ratings"] = facts.n_ratings[rows]
    table["Mean rating"] = [f"{value:.2f}" for value in facts.mean_rating[rows]]
    if facts.bias is not None:
        table["Learned bias"] = [f"{value:+.2f}" for value in facts.bias[rows]]
    table["Movie id"] = _ids(space, rows)
    if not facts.genre_names:
        del table["Genres"]
    return pd.DataFrame(table)


def _ids(space: Learned, rows: np.ndarray) -> np.ndarray:
    ids = [plain_id(item) for item in space.item_id[rows]]
    return np.array(ids, dtype=object if any(isinstance(item, str) for item in ids) else np.int64)
