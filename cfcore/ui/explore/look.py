"""How the map is coloured, how many films it shows and who stands on it: the controls, and what they choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from cfcore.charts.map_style import MOST_CATEGORIES, Colour
from cfcore.charts.map_tables import first_group
from cfcore.ui.explore.space import Learned
from cfcore.ui.words import count

GENRE, YEAR, MEAN, COUNT, BIAS, NONE = (
    "Genre",
    "Release year",
    "Mean rating",
    "Number of ratings",
    "Learned bias",
    "None",
)
SHOWN = (50, 100, 200, 300, 500, 1000, 2000, 5000)
DEFAULT_SHOWN = 300


@dataclass(frozen=True, eq=False, kw_only=True)
class Look:
    """``rows`` to show, best known first; ``group`` or ``value`` (m,) colours every film, as ``colour`` says."""

    rows: np.ndarray
    colour: Colour
    group: np.ndarray | None
    value: np.ndarray | None
    by_popularity: bool


def choose_colour(learned: Learned, *, live: bool) -> tuple[str, list[str]]:
    """What colours the films, and by which genres where it is the genre."""
    facts = learned.facts
    offered = [GENRE] * bool(facts.genre_names) + [YEAR] * bool(np.isfinite(facts.year).any())
    offered += [MEAN, COUNT] + [BIAS] * (facts.bias is not None) + [NONE]
    by = _one("Colour by", offered, "explore-colour")
    return by, _genres(learned, live) if by == GENRE else []


def choose_look(learned: Learned, by: str, wanted: list[str]) -> Look:
    """The controls of number and size; the colours are those of :func:`choose_colour`."""
    facts = learned.facts
    rows = learned.known[: _how_many(len(learned))]
    by_popularity = st.toggle(
        "Size by popularity", value=True, key="explore-size", persist_state="session", help="By the training ratings."
    )
    group = None
    if by == GENRE and wanted:
        group = np.empty(len(learned), dtype=object)
        group[:] = first_group(facts.genres, facts.genre_names, wanted)
    value = _value(by, learned)
    colour = _colour(by, wanted, value, rows)
    value = value if colour.limits else None
    return Look(rows=rows, colour=colour, group=group, value=value, by_popularity=by_popularity)


def _one(label: str, options: list[str], key: str) -> str:
    if st.session_state.get(key, options[0]) not in options:  # another run, which has no biases for example
        st.session_state[key] = options[0]
    return st.selectbox(label, options, key=key, persist_state="session")


def _genres(learned: Learned, live: bool) -> list[str]:
    """The genres that get a colour: until the reader changes them, those that this run tells apart best."""
    key, names = "explore-genres", learned.facts.genre_names
    usual = list(learned.common_genres if live else learned.telling_genres)  # which would change at each epoch
    if st.session_state.get(key) in (None, st.session_state.get(f"{key}:usual")):
        st.session_state[key] = st.session_state[f"{key}:usual"] = usual
    st.session_state[key] = [name for name in st.session_state[key] if name in names]
    return st.multiselect(
        "Genres",
        sorted(names),
        key=key,
        max_selections=MOST_CATEGORIES,
        select_all=False,
        persist_state="session",
        help="A film of several of these takes the rarest of them. At first, those that the model sets apart most.",
    )


def _how_many(n: int) -> int:
    """How many of the best known films to show."""
    options = [each for each in SHOWN if each < n] + [n]
    key = "explore-shown"
    if st.session_state.get(key, DEFAULT_SHOWN) not in options:
        st.session_state[key] = n  # "all" of another run, or fewer films than the default
    return st.select_slider(
        "Films with the most ratings",
        options,
        value=min(DEFAULT_SHOWN, n),
        key=key,
        format_func=lambda each: f"all {count(each)}" if each == n else count(each),
        persist_state="session",
    )


def _value(by: str, learned: Learned) -> np.ndarray | None:
    facts = learned.facts
    values: dict[str, Any] = {
        YEAR: facts.year,
        MEAN: facts.mean_rating,
        COUNT: facts.n_ratings.astype(np.float64),
        BIAS: facts.bias,
    }
    return values.get(by)


def _colour(by: str, genres: list[str], value: np.ndarray | None, rows: np.ndarray) -> Colour:
    if by == GENRE and genres:
        return Colour(title="Genre", categories=tuple(genres))
    shown = np.zeros(0) if value is None else value[rows]
    shown = shown[np.isfinite(shown)]
    if by == NONE or len(shown) == 0:
        return Colour()
    # A few outliers must not take the whole ramp, nor old films, of which there are few.
    low, high = np.quantile(shown, [0.1 if by == YEAR else 0.02, 0.98])
    if low == high:
        low, high = low - 0.5, high + 0.5
    if by == YEAR:
        return Colour(title="Release year", limits=(np.floor(low), np.ceil(high)), format="d")
    if by == COUNT:
        return Colour(title="Training ratings", limits=(max(1.0, float(low)), float(high)), log=True, format="~s")
    if by == BIAS:
        reach = float(np.abs([low, high]).max())
        return Colour(title="Learned bias", limits=(-reach, reach), middle=0.0, format="+.2~f")
    middle = float(np.median(shown))
    reach = max(middle - low, high - middle)
    title = f"Mean rating (middle: {middle:.2f} stars)"
    return Colour(title=title, limits=(middle - reach, middle + reach), middle=middle, format=".1f")
