"""You on the map of films: the plane of the first two principal components, what you rated, and what comes next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from cfcore.charts.film_map import MapFrame, film_map_spec, limits_of, plot_height
from cfcore.charts.labels import WIDTHS
from cfcore.charts.map_style import Colour, ink
from cfcore.charts.map_tables import Drawn, map_tables, people_table, point_sizes
from cfcore.embeddings import project
from cfcore.models import DotModel
from cfcore.recommend import Films
from cfcore.ui.components import how_many
from cfcore.ui.explore.space import Learned, learned, plain_id
from cfcore.ui.recommend.facts import stars
from cfcore.ui.runs import Chosen
from cfcore.ui.words import percent, plain, sentence
from cfcore.ui.you import You, your_vector

HEIGHT = 400
FIGURE = 1300.0  # square pixels
BEST_KNOWN = 250  # films that are drawn besides yours
RATED, NEXT, OTHERS = "you rated", "recommended", "none of these"


def your_map(chosen: Chosen, found: You, films: Films) -> None:
    """The map; it is drawn anew with each star, and you move on it."""
    try:
        space = learned(chosen)
    except ValueError as problem:
        st.info(sentence(str(problem)), icon=":material/info:")
        return
    if space.pca.scores.shape[1] < 2:
        st.caption("With a single factor there is no map to draw.")
        return
    at = your_vector(chosen)
    xy = np.zeros((0, 2)) if at is None else project(space.pca, at[None])[:, :2]
    drawn, given = _drawn(space, found, films)
    if len(xy) and isinstance(chosen.model, DotModel):
        nothing = project(space.pca, np.zeros((1, space.space.vectors.shape[1])))[:, :2]
        drawn = replace(drawn, way=np.concatenate([nothing, xy]))
    frame = MapFrame(
        x_title=f"PC1, {percent(float(space.pca.shares[0]))} of the variance",
        y_title=f"PC2, {percent(float(space.pca.shares[1]))} of the variance",
        colour=Colour(title="Films", categories=(RATED, NEXT)),
        height=HEIGHT,
    )
    heights = [plot_height(frame, width) for width in WIDTHS]
    limits = limits_of(np.concatenate([drawn.xy, xy]))
    tables = map_tables(drawn, _facts(space, drawn, given), limits, None, heights)
    tables["people"] = people_table(xy, ["You"][: len(xy)], 0 if len(xy) else None).assign(size=FIGURE)
    st.markdown("**You on the map of films**")
    st.vega_lite_chart(
        spec=_with_you(film_map_spec(frame, tables)),
        width="stretch",
        key="you-map",
        alt=_alt(space, drawn, xy),
    )
    st.caption(_words(chosen, at is not None))


def _drawn(space: Learned, found: You, films: Films) -> tuple[Drawn, dict[int, str]]:
    """What is drawn, and the stars you gave by position."""
    rated, shown = space.space.rows_of(found.item_idx), space.space.rows_of(films.item_idx)
    yours = np.concatenate([rated, shown])
    rows = space.known[:BEST_KNOWN]
    rows = np.concatenate([rows, np.setdiff1d(yours[yours >= 0], rows)])
    at = {int(row): position for position, row in enumerate(rows)}
    group = np.full(len(rows), OTHERS, dtype=object)
    group[[at[row] for row in shown.tolist() if row >= 0]] = NEXT
    group[[at[row] for row in rated.tolist() if row >= 0]] = RATED
    given = {at[row]: stars(float(n)) for row, n in zip(rated.tolist(), found.rating, strict=True) if row >= 0}
    ids = [plain_id(item) for item in space.item_id[rows]]
    drawn = Drawn(
        item=np.array(ids, dtype=object if any(isinstance(item, str) for item in ids) else np.int64),
        xy=space.pca.scores[rows, :2],
        title=space.short[rows],
        size=point_sizes(space.facts.n_ratings[rows], by_popularity=True),
        group=group,
        liked=np.flatnonzero(group != OTHERS),
    )
    return drawn, given


def _facts(space: Learned, drawn: Drawn, given: dict[int, str]) -> pd.DataFrame:
    rows = [space.row_of[str(item)] for item in drawn.item]
    return pd.DataFrame(
        {
            "title": space.title[rows],
            "You gave": [given.get(position, "–") for position in range(len(rows))],
            "Ratings": space.facts.n_ratings[rows],
            "Movie id": drawn.item,
        }
    )


def _with_you(spec: dict[str, Any]) -> dict[str, Any]:
    """The map with your name at the figure, above the films, which lie thick where people are."""
    place = {axis: spec["layer"][0]["encoding"][axis] for axis in ("x", "y")}
    text: dict[str, Any] = {"type": "text", "dy": 26, "fontSize": 13, "fontWeight": 700, "tooltip": None}
    halo = {"stroke": {"expr": "background"}, "strokeWidth": 4, "fill": {"expr": "background"}}
    name = {"data": {"name": "people"}, "encoding": {**place, "text": {"field": "name", "type": "nominal"}}}
    marks = [{**name, "mark": {**text, **halo}}, {**name, "mark": {**text, "fill": ink()}}]
    figure = [layer for layer in spec["layer"] if layer.get("data") == {"name": "people"}]
    others = [layer for layer in spec["layer"] if layer.get("data") != {"name": "people"}]
    return {**spec, "layer": [*others, *figure, *marks]}


def _words(chosen: Chosen, placed: bool) -> str:
    if not placed:
        return "Rate a film and you appear on the map."
    if isinstance(chosen.model, DotModel):
        return (
            "You are the figure: your factors, projected as the films' are. What counts is their product, so it is "
            "your direction that matters, the dashed line: the further along it a film lies, the more these two "
            "components speak for it. The list uses all factors."
        )
    return (
        "You are the figure: the mean of the films you liked, for in a network users have a space of their own. The "
        "list comes from the network, not from this picture."
    )


def _alt(space: Learned, drawn: Drawn, xy: np.ndarray) -> str:
    liked = [plain(space.short[space.row_of[str(drawn.item[k])]]) for k in drawn.liked[:6]]
    you = f"You are at {xy[0, 0]:.2f}, {xy[0, 1]:.2f}. " if len(xy) else "You are not on it yet. "
    marked = f"Marked: {', '.join(liked)}{' and more' if len(drawn.liked) > 6 else ''}." if liked else ""
    return f"Map of {how_many(len(drawn.item), 'film', 'films')} by their first two components. {you}{marked}"
