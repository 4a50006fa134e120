"""The pictures of a data set on the Data page, drawn once for all visits."""

from __future__ import annotations

import numpy as np
import streamlit as st

from cfcore import charts
from cfcore.illustrate import random_corner, top_corner
from cfcore.ratings import Ratings
from cfcore.ui.components import choose_one, spec_of, titles, user_names

CORNERS = {"Busiest corner": top_corner, "Random corner": random_corner}


def spread_of_ratings(ratings: Ratings) -> None:
    """How often each rating is given, and how many each movie gets."""
    left, right, name = *st.columns(2, gap="medium"), ratings.about.name
    with left:
        st.markdown("**Which ratings are given**")
        st.vega_lite_chart(
            spec=spec_of(f"histogram:{name}", lambda: charts.data.rating_histogram(ratings.rating)),
            width="stretch",
            alt=charts.data.rating_histogram_alt(ratings.rating),
        )
    with right:
        st.markdown("**Who gets them: ratings of each movie**")
        per_item = np.bincount(ratings.item_idx, minlength=ratings.n_items)
        st.vega_lite_chart(
            spec=spec_of(f"popularity:{name}", lambda: charts.data.popularity_curve(per_item)),
            width="stretch",
            alt=charts.data.popularity_alt(per_item),
        )
        st.caption(charts.data.popularity_alt(per_item))


def matrix(ratings: Ratings) -> None:
    """A corner of the matrix, as the person chooses."""
    st.markdown("**The user x movie matrix**")
    which = choose_one("Corner", {name: name for name in CORNERS}, "corner")
    corner = CORNERS[which](ratings, 15, 20)
    names = user_names(ratings, corner.user_idx), titles(ratings, corner.item_idx)
    st.vega_lite_chart(
        spec=spec_of(
            f"{which}:{ratings.about.name}",
            lambda: charts.data.matrix_corner(corner.matrix, *names, scale=ratings.scale),
        ),
        width="stretch",
        alt=charts.data.matrix_corner_alt(corner.matrix),
    )
    st.caption(
        f"{charts.data.matrix_corner_alt(corner.matrix)} To predict what would stand in a hole is the whole task."
    )
