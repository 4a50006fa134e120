"""What the Home page shows: the idea in one picture, the ways to train, and what comes afterwards."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from cfcore import charts
from cfcore.approaches import ARTICLE, describe
from cfcore.illustrate import fit_factors, typical_corner
from cfcore.ratings import Ratings
from cfcore.ui import draft, state
from cfcore.ui.components import how_many, titles, user_names


def the_idea(ratings: Ratings) -> None:
    """The corner of the matrix, two factors a side fitted to it, and the corner with its holes filled."""
    drawn = _idea(ratings.about.name)
    before, between, after = st.columns([1.2, 1.1, 1.2], gap="medium")
    with before:
        st.markdown(f"**1. Ratings, with holes.** {drawn['who']}.")
        _picture(drawn["given"])
    with between:
        st.markdown("**2. Two factors for each.** Learned from the ratings alone.")
        widths = [1, 1.5]  # titles are longer than users' names
        for column, side in zip(st.columns(widths, gap="small"), ("users", "movies"), strict=True):
            with column:
                _picture(drawn[side])
        st.caption(
            "A prediction multiplies a user's two numbers with the movie's two, adds them up, and adds the mean."
        )
    with after:
        st.markdown("**3. Holes filled.** Numbers with a decimal are predictions.")
        _picture(drawn["filled"])


def _picture(drawn: tuple[dict[str, Any], str]) -> None:
    spec, alt = drawn
    st.vega_lite_chart(spec=spec, width="stretch", alt=alt)


@st.cache_data(max_entries=4, show_spinner=False)
def _idea(name: str) -> dict[str, Any]:
    """The pictures as specifications with their sentences, once for all visits: Altair checks them for 0.2 s."""
    ratings, height = state.ratings(name), 290
    corner = typical_corner(ratings, 8, 9)
    factors = fit_factors(corner.matrix)
    users, movies = user_names(ratings, corner.user_idx), titles(ratings, corner.item_idx, 20)
    filled, given = np.clip(factors.predict(), *ratings.scale), np.isfinite(corner.matrix)
    cells = partial(charts.data.matrix_corner, users=users, items=movies, scale=ratings.scale, height=height)
    sides = {
        side: (
            charts.data.factor_matrix(values, names, ["1", "2"], height=height - 82).to_dict(),
            charts.data.factor_matrix_alt(values, f"one row for each {one}"),
        )
        for side, values, names, one in (
            ("users", factors.user, users, "user"),
            ("movies", factors.item, movies, "movie"),
        )
    }
    people, films = how_many(len(users), "person", "people"), "well-known movie"
    return sides | {
        "who": f"{people}, {how_many(len(movies), films, f'{films}s')}",
        "given": (cells(corner.matrix).to_dict(), charts.data.matrix_corner_alt(corner.matrix)),
        "filled": (
            cells(np.where(given, corner.matrix, filled), given=given).to_dict(),
            f"The same grid with its {int((~given).sum())} empty cells filled by predictions.",
        ),
    }


def ways_to_train() -> None:
    """A card for each approach: the article's five, and below them those that are tuned."""
    st.subheader("Five ways to train it: choose one to begin", anchor=False)
    more = [key for key in draft.CHOICES if key not in ARTICLE]
    rules = state.rules()
    mine = rules.approaches if rules else draft.CHOICES
    for column, key in zip(st.columns(len(ARTICLE), gap="small"), ARTICLE, strict=True):
        with column:
            _approach_card(key, closed=key not in mine)
    st.subheader("Three more that the article leaves out: faster, or better", anchor=False)
    for column, key in zip(st.columns(len(more), gap="small"), more, strict=True):
        with column:
            _approach_card(key, closed=key not in mine)


def _approach_card(key: str, *, closed: bool) -> None:
    info = describe(key)
    with st.container(border=True, height="stretch"):
        st.page_link(
            "pages/train.py",
            label=f"**{info.title}**",
            icon=":material/play_circle:",
            help="Your class does not train this one." if closed else "Train it",
            disabled=closed,
            query_params={"approach": key},
            width="stretch",
        )
        st.markdown(info.summary)
        st.caption(info.teaches)


AFTERWARDS = (
    (
        "pages/explore.py",
        "Explore",
        ":material/bubble_chart:",
        "A map of films as the model sees them: neighbours, axes, biases, and how they got there.",
    ),
    (
        "pages/recommend.py",
        "Recommend",
        ":material/thumb_up:",
        "Rate five films and watch your own recommendations change with each star, and why.",
    ),
    (
        "pages/compare.py",
        "Compare",
        ":material/compare_arrows:",
        "Runs side by side: five ways on one split, or a sweep of settings.",
    ),
)


def afterwards() -> None:
    """The pages for what comes after training."""
    st.subheader("Then see what it learned, and use it", anchor=False)
    for column, (path, label, icon, words) in zip(st.columns(3, gap="small"), AFTERWARDS, strict=True):
        with column, st.container(border=True, height="stretch"):
            st.page_link(path, label=f"**{label}**", icon=icon, width="stretch")
            st.markdown(words)
