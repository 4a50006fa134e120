"""Giving stars: well-known films to begin with, a search over all, and what was rated so far.

Every star widget shows what stands in your ratings and writes there when it is clicked, so that the same film may stand
in two places, and a link or a file shows at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import streamlit as st

from cfcore.ui import you
from cfcore.ui.components import how_many
from cfcore.ui.recommend.exchange import Id
from cfcore.ui.recommend.facts import Catalogue, catalogue, first_films, n_trained, star_scale, stars, steps
from cfcore.ui.runs import Chosen
from cfcore.ui.words import plain

BATCH = 8  # films to begin with, at a time
SHOWN = 10  # of your ratings, the latest
_HALF = "−½"
_NONE = "–"
_T = TypeVar("_T")


def rate_column(chosen: Chosen) -> None:
    """Search, suggestions and your ratings, one under the other."""
    films = catalogue(chosen.run.request.dataset)
    for part in (_search, _suggestions, _yours):
        with st.container():  # of its own: what comes after must not move with it, or an open expander would close
            part(chosen, films)


def _search(chosen: Chosen, films: Catalogue) -> None:
    """A film that was searched for stays at the top until another is."""
    dataset = chosen.run.request.dataset
    found = st.selectbox(
        "Search a film",
        films.order,
        index=None,
        format_func=films.names.__getitem__,
        key=f"you-search:{dataset}",
        persist_state="session",
        placeholder="Part of a title",
        filter_mode="contains",
    )
    if found is not None:
        _row(chosen, films, found, "found")


def _suggestions(chosen: Chosen, films: Catalogue) -> None:
    """A batch of well-known films; it stays where it is while you rate, and another comes when asked for."""
    known = first_films(chosen)
    n_batches = max(1, -(-len(known) // BATCH))
    batch = st.session_state.get("you-batch", 0) % n_batches
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Well known: rate what you have seen**", width="stretch")
        st.button(
            "Others",
            icon=":material/refresh:",
            on_click=lambda: st.session_state.update({"you-batch": batch + 1}),
            help="Show other well-known films.",
        )
    for item in known[batch * BATCH : (batch + 1) * BATCH]:
        _row(chosen, films, item, "known")


def _yours(chosen: Chosen, films: Catalogue) -> None:
    dataset = chosen.run.request.dataset
    mine = [item for item in you.ratings_of_you(dataset) if item in films.index]
    if not mine:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**Your {how_many(len(mine), 'rating', 'ratings')}**, the latest first", width="stretch")
        st.button("Clear", icon=":material/delete:", on_click=you.clear, args=(dataset,), help="Remove all stars.")
    all_of_them = len(mine) > SHOWN and st.toggle(f"Show all {len(mine)}", key="you-all", persist_state="session")
    for item in mine[::-1] if all_of_them else mine[: -SHOWN - 1 : -1]:
        _row(chosen, films, films.index[item], "yours")


def _row(chosen: Chosen, films: Catalogue, film: int, place: str) -> None:
    """A film and its stars."""
    dataset, item = chosen.run.request.dataset, films.ids[film]
    given = you.ratings_of_you(dataset).get(item)
    key = f"stars:{place}:{dataset}:{film}"
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"row-{place}-{film}"):
        note = "" if n_trained(chosen)[film] else " · not in the training part, so it changes nothing"
        st.markdown(f"{plain(films.names[film])}{note}", width="stretch")
        if star_scale(chosen.ratings):
            with st.container(horizontal=True, vertical_alignment="center", gap="small", width="content", wrap=False):
                _five_stars(dataset, item, given, key, films.halves or (given or 0) % 1 != 0)
        else:
            _any_scale(dataset, item, given, key, {stars(step): step for step in steps(chosen.ratings)})


def _five_stars(dataset: str, item: Id, given: float | None, key: str, halves: bool) -> None:
    """Five stars to click, the last one again to take them back; on a scale with halves, half a star less beside it."""
    default = _show(key, None if given is None else int(-(-given // 1)) - 1)

    def take() -> None:
        whole = st.session_state[key]
        less = 0.5 if st.session_state.get(f"{key}:half") else 0.0
        you.rate(dataset, item, None if whole is None else whole + 1 - less)

    if halves:
        half = given is not None and given % 1 > 0
        st.markdown(stars(given) if given is not None and half else "", width="content")
        st.pills(
            "Half a star less",
            [_HALF],
            default=_show(f"{key}:half", _HALF if half else None),
            key=f"{key}:half",
            on_change=take,
            disabled=given is None,
            label_visibility="collapsed",
            help="Half a star less",
        )
    st.feedback("stars", default=default, key=key, on_change=take)


def _any_scale(dataset: str, item: Id, given: float | None, key: str, values: Mapping[str, float]) -> None:
    """A select box for scales that are not stars."""
    if given is not None and stars(given) not in values:  # from a link: any number on the scale will do
        values = {**values, stars(given): given}
    options = [_NONE, *values]
    default = _show(key, _NONE if given is None else stars(given))

    def take() -> None:
        chosen = st.session_state[key]
        you.rate(dataset, item, None if chosen == _NONE else values[chosen])

    st.selectbox(
        "Rating",
        options,
        index=options.index(default or _NONE),
        key=key,
        on_change=take,
        label_visibility="collapsed",
        width=110,
        filter_mode=None,
    )


def _show(key: str, value: _T) -> _T | None:
    """Make the widget ``key`` show ``value``; gives its default, for a browser that draws it anew.

    What is written to the session goes to the browser, over a star that was clicked there since: of three quick clicks
    one would be lost. So it is written only where the widget shows something else.
    """
    if key in st.session_state and st.session_state[key] != value:
        st.session_state[key] = value
        return None
    return value
