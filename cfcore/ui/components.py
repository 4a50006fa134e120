"""Parts that more than one page shows."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from cfcore.ratings import Ratings
from cfcore.ui.words import cell, count, percent, plain

if TYPE_CHECKING:
    from cfcore.charts.scales import Picture

ROW = 35  # pixels of a table's row


def how_many(n: int, one: str, more: str) -> str:
    """A count with its noun: ``1 movie``, ``1,682 movies``."""
    return f"{count(n)} {one if n == 1 else more}"


def four_places() -> list[DeltaGenerator]:
    """Four places side by side, two above two on a phone."""
    halves = st.columns(2, gap="small")
    return [place for half in halves for place in half.columns(2, gap="small", wrap=False)]


def at_a_glance(ratings: Ratings) -> None:
    """How many ratings, users and movies there are, and how full the matrix is."""
    ratings_place, users_place, movies_place, filled_place = four_places()
    ratings_place.metric("Ratings", count(len(ratings)), border=True)
    users_place.metric("Users", count(ratings.n_users), border=True)
    movies_place.metric("Movies", count(ratings.n_items), border=True)
    filled_place.metric(
        "Filled",
        percent(ratings.density),
        border=True,
        help="The share of the user x movie matrix that holds a rating.",
    )


@st.cache_data(max_entries=24, show_spinner=False)
def spec_of(key: str, _draw: Callable[[], Picture]) -> dict[str, Any]:
    """The specification of a chart that is the same for all visits under this key: Altair checks each for long."""
    return _draw().to_dict()


def terms_of_use(ratings: Ratings) -> None:
    """Licence and citation of the data set, as small print."""
    about = ratings.about
    parts = [about.licence and f"Licence: {about.licence}", about.citation and f"Cite: {about.citation}"]
    text = " ".join(_with_links(part) for part in parts if part)
    if about.simulated:
        text = f"These ratings are simulated: no person gave them. {text}"
    if text:
        st.caption(text)


def _with_links(text: str) -> str:
    """Our own small print as Markdown, its addresses as links; every other text goes through :func:`plain` alone."""
    pieces = re.split(r"(https://\S*[^\s.,;)])", text)  # every second one is an address
    return " ".join(f"<{piece}>" if k % 2 else plain(piece) for k, piece in enumerate(pieces)).strip()


def user_names(ratings: Ratings, user_idx: np.ndarray) -> list[str]:
    return [f"user {ratings.users.user_id[index]}" for index in user_idx]


def titles(ratings: Ratings, item_idx: np.ndarray, limit: int = 22) -> list[str]:
    """Movie titles, cut to ``limit`` characters, for a chart's axis (which shows text as it is)."""
    return [_cut(str(ratings.items.title[index]), limit) for index in item_idx]


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"


def shows(key: str, value: Any, take: Callable[[Any], None]) -> dict[str, Any]:
    """Options of a widget that shows ``value``, whoever changed it, and hands what the person chooses to ``take``.

    Where the page changed it, the widget gets a new key. While the page is on its way to the browser, a timer there may
    still send what the widget held before; under the old key that would count as a choice, and undo the change.
    """
    numbers = st.session_state.setdefault("widget-numbers", {})
    n = numbers.setdefault(key, 0)
    if st.session_state.get(_numbered(key, n), value) != value:
        n = numbers[key] = n + 1
    st.session_state[_numbered(key, n)] = value

    def on_change() -> None:
        if numbers[key] == n:
            take(st.session_state[_numbered(key, n)])

    return {"key": _numbered(key, n), "on_change": on_change}


def _numbered(key: str, n: int) -> str:
    return f"{key}~{n}" if n else key


def show_table(data: Any, *, place: DeltaGenerator | None = None, **options: Any) -> Any:
    """``st.dataframe``, whose text no spreadsheet takes for a formula: a person can save every table as CSV."""
    frame = pd.DataFrame(data)
    frame = frame.rename(index=cell, columns=cell)
    for name in frame.columns[[not pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]]:
        frame[name] = frame[name].map(cell)
    return (place or st).dataframe(frame, **options)


def table_size(n: int, most: float = math.inf) -> dict[str, Any]:
    """The options of a table that shows all of its ``n`` rows, or as many as ``most`` pixels hold."""
    return {"height": int(min(ROW * (n + 1) + 3, most)), "row_height": ROW}


def choose_one(label: str, names: Mapping[Any, str], key: str, default: Any = None) -> Any:
    """A row of buttons of which exactly one is pressed: the option whose name it bears, at first ``default``."""
    default = next(iter(names)) if default is None else default
    chosen = st.segmented_control(
        label,
        list(names),
        default=default,
        required=True,
        format_func=names.__getitem__,
        key=key,
        label_visibility="collapsed",
        persist_state="session",
    )
    return chosen or default
