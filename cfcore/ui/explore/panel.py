"""Beside the map: the chosen film with its nearest neighbours, and the films of a region."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from cfcore.charts.film_map import Limits
from cfcore.embeddings import Metric, neighbours
from cfcore.ui.components import how_many, show_table, table_size
from cfcore.ui.explore import film
from cfcore.ui.explore.look import Look
from cfcore.ui.explore.space import Learned
from cfcore.ui.explore.view import View
from cfcore.ui.words import count, percent, plain

N = 10
COSINE, EUCLIDEAN = "Cosine", "Euclidean"
METRICS: dict[str, Metric] = {COSINE: "cosine", EUCLIDEAN: "euclidean"}


@dataclass(frozen=True, eq=False, kw_only=True)
class Near:
    """The chosen ``row``, its nearest ``rows`` (n,), and ``values`` (n,): cosine similarities or distances.

    ``bars`` (n,) from 0 to 1 say how near; ``metric`` is the label that was chosen; ``n_among`` films were compared.
    """

    row: int
    rows: np.ndarray
    values: np.ndarray
    bars: np.ndarray
    metric: str
    n_among: int


def find_nearest(learned: Learned, row: int | None, look: Look) -> Near | None:
    """The heading of the panel with the choice of a metric, and the nearest films by it; a hint without a film."""
    if row is None:
        _hint()
        return None
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(plain(learned.title[row]), anchor=False)
        st.space("stretch")
        st.button(
            "Close",
            icon=":material/close:",
            key="film:close",
            type="tertiary",
            on_click=film.choose_film,
            args=(learned, None),
        )
    st.caption(_about(learned, row))
    label = st.segmented_control(
        "Nearest by",
        list(METRICS),
        default=COSINE,
        required=True,
        key="explore-metric",
        persist_state="session",
        help="Cosine compares directions, Euclidean distance also lengths.",
    )
    known_only = st.toggle(
        "Only among the films shown",
        key="explore-among",
        persist_state="session",
        help="A film with few ratings has hardly left its random start, and may be near to anything by chance.",
    )
    among = np.union1d(look.rows, [row]) if known_only else np.arange(len(learned))
    return _nearest(learned, row, among, label or COSINE)


def _nearest(learned: Learned, row: int, among: np.ndarray, label: str) -> Near:
    """The nearest of the rows ``among`` (n,), ascending, to ``row``, which is one of them; in the full space."""
    vectors = learned.space.vectors[among]
    at = int(np.searchsorted(among, row))
    found = neighbours(vectors, at, N, METRICS[label])
    bars = found.values
    if METRICS[label] == "euclidean":
        farthest = float(np.sqrt(np.square(vectors - vectors[at]).sum(axis=1)).max())
        bars = 1 - found.values / max(farthest, 1e-12)
    return Near(row=row, rows=among[found.rows], values=found.values, bars=bars, metric=label, n_among=len(among))


def film_panel(learned: Learned, view: View | None, near: Near) -> None:
    """The table of the nearest films, and how little of it the picture shows."""
    similarity = near.metric == COSINE
    table: dict[str, Any] = {"Film": learned.title[near.rows], "Near": np.clip(near.bars, 0, 1)}
    table["Value"] = near.values  # a bar cannot show a similarity below 0, nor a distance
    key = f"near:{near.row}:{near.metric}:{near.n_among}"

    def follow() -> None:
        picked = st.session_state[key].selection.rows
        if picked:
            film.choose_film(learned, int(near.rows[picked[0]]))

    show_table(
        table,
        hide_index=True,
        **table_size(len(near.rows)),
        column_config={
            "Film": st.column_config.TextColumn("Film", width=135),
            "Near": st.column_config.ProgressColumn(
                "Similarity" if similarity else "Nearness",
                min_value=0.0,
                max_value=1.0,
                width=68,
                format=" ",
                help="From no likeness, or none, to the same direction."
                if similarity
                else "From as far as the farthest film to the same place.",
            ),
            "Value": st.column_config.NumberColumn(
                "Cosine" if similarity else "Distance",
                format="%.2f",
                width=62,
                help="Cosine of the angle between the two vectors: 1 is the same direction, 0 none in common."
                if similarity
                else "Euclidean distance between the two vectors.",
            ),
        },
        key=key,
        on_select=follow,
        selection_mode="single-row",
        alt=_near_alt(learned, near),
    )
    st.caption(_full_space(learned, view, near))


def region_panel(learned: Learned, view: View, look: Look) -> None:
    """The films in the region, and the way to give one by numbers."""
    region = film.region()
    if region is None:
        _by_numbers(view, None)
        return
    x0, x1, y0, y1 = region
    xy = view.xy[look.rows]
    rows = look.rows[(xy[:, 0] >= x0) & (xy[:, 0] <= x1) & (xy[:, 1] >= y0) & (xy[:, 1] <= y1)]
    st.markdown(f"**In the region: {how_many(len(rows), 'film', 'films')}**")
    if len(rows):
        facts = learned.facts
        show_table(
            {"Film": learned.title[rows], "Mean": facts.mean_rating[rows], "Ratings": facts.n_ratings[rows]},
            hide_index=True,
            **table_size(len(rows), most=320),
            column_config={
                "Film": st.column_config.TextColumn(width=190),
                "Mean": st.column_config.NumberColumn(format="%.2f", width=60),
                "Ratings": st.column_config.NumberColumn(format="localized", width=65),
            },
            alt=f"Table of the {how_many(len(rows), 'film', 'films')} in the region, best known first.",
        )
    with st.container(horizontal=True, gap="small"):
        st.button("Zoom to it", icon=":material/zoom_in:", on_click=film.start_anew, kwargs={"shown": region})
        st.button("Clear", icon=":material/close:", on_click=film.start_anew, kwargs={"region": None})
    _by_numbers(view, region)


def _by_numbers(view: View, region: Limits | None) -> None:
    """A region without a pointer: four numbers."""
    low, high = view.xy.min(axis=0), view.xy.max(axis=0)
    now = region or (low[0], high[0], low[1], high[1])
    keys = [f"region:{name}:{value:.6g}" for name, value in zip(("x0", "x1", "y0", "y1"), now, strict=True)]

    def take() -> None:
        values = [float(st.session_state[key]) for key in keys]
        (a, b), (c, d) = sorted(values[:2]), sorted(values[2:])
        st.session_state["region:wrong"] = a == b or c == d
        if a < b and c < d:
            film.start_anew(region=(a, b, c, d))

    with st.popover("Region by numbers", icon=":material/keyboard:"), st.form("region", border=False):
        left, right = st.columns(2, wrap=False)
        places, labels = (left, right, left, right), ("Across from", "to", "Up from", "up to")
        for place, label, value, key in zip(places, labels, now, keys, strict=True):
            place.number_input(label, value=float(value), format="%.2f", key=key)
        st.form_submit_button("List the films", on_click=take)
        if st.session_state.pop("region:wrong", False):
            st.warning("A region needs two different numbers each way.", icon=":material/crop_free:")


def _hint() -> None:
    st.markdown("**Find a film, or tap one**")
    st.caption(
        "Its nearest films are listed here and linked on the map. Drag to move, turn the wheel to zoom, "
        "or switch to Select and drag a region to list what is in it."
    )


def _about(learned: Learned, row: int) -> str:
    facts = learned.facts
    words = [plain(learned.genre_text[row])] if learned.genre_text[row] else []
    words.append(f"{how_many(int(facts.n_ratings[row]), 'training rating', 'training ratings')}")
    words.append(f"mean {facts.mean_rating[row]:.2f}")
    if facts.bias is not None:
        words.append(f"bias {facts.bias[row]:+.2f}".replace("-", "−"))
    return " · ".join(words)


def _full_space(learned: Learned, view: View | None, near: Near) -> str:
    """That the list is true of the full space, and how far the picture agrees."""
    dimensions = learned.space.vectors.shape[1]
    words = f"Nearest in the full space of {count(dimensions)} dimensions, not in the picture."
    if view is None:
        return words
    distance = np.square(view.xy - view.xy[near.row]).sum(axis=1)
    distance[near.row] = np.inf
    seen = len(np.intersect1d(np.argsort(distance, kind="stable")[: len(near.rows)], near.rows))
    held = f"The two axes hold {percent(view.held)} of the variance: " if view.held is not None else ""
    words += f" {held}{seen} of these {len(near.rows)} are also among the nearest on the map."
    return words


def _near_alt(learned: Learned, near: Near) -> str:
    first = ", ".join(
        f"{learned.title[row]} {value:.2f}" for row, value in zip(near.rows[:3], near.values, strict=False)
    )
    return (
        f"Table of the {len(near.rows)} films nearest to {learned.title[near.row]} by {near.metric.lower()}: {first}."
    )
