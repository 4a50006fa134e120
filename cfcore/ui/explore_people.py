"""People on the map of films: all of them faintly, or one among the films they rated highest.

A dot model multiplies a user's factors with a film's, so both live in one space and a user can be placed by the same
projection. A net has no such space; there a person stands at the mean of the films they liked best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from cfcore.charts.map_tables import people_table
from cfcore.models import DotModel
from cfcore.ui.components import user_names
from cfcore.ui.explore_space import Learned
from cfcore.ui.explore_view import View
from cfcore.ui.runs import Chosen
from cfcore.ui.words import count

FAVOURITES = 10
MOST_PEOPLE = 400  # drawn at once: those with the most ratings


@dataclass(frozen=True, eq=False, kw_only=True)
class People:
    """``table`` for the map, and ``words`` that say how people are placed.

    ``liked`` rows are the chosen person's favourites, ``person`` is where that person stands, and the name.
    """

    table: pd.DataFrame
    liked: np.ndarray
    words: str
    person: tuple[float, float, str] | None = None


def choose_people(chosen: Chosen, learned: Learned, view: View) -> People:
    """The controls, and the people that they put on the map."""
    ratings = chosen.ratings
    n_ratings = np.bincount(ratings.user_idx[chosen.split.train], minlength=ratings.n_users)
    known = np.argsort(-n_ratings, kind="stable")
    known = known[n_ratings[known] > 0]
    names = dict(zip(user_names(ratings, known), known.tolist(), strict=True))
    if st.session_state.get("explore-person") not in (None, *names):
        st.session_state["explore-person"] = None
    one = st.selectbox(
        "A person",
        list(names),
        index=None,
        key="explore-person",
        persist_state="session",
        placeholder="Nobody",
        format_func=lambda name: f"{name} · {count(int(n_ratings[names[name]]))} ratings",
        filter_mode="contains",
        help="Puts one person on the map, among the films they rated highest.",
    )
    everybody = st.toggle("All people", key="explore-people", persist_state="session")
    person = names.get(one) if one is not None else None
    users = known[:MOST_PEOPLE] if everybody else known[:0]
    if person is not None and person not in users:
        users = np.append(users, person)
    if len(users) == 0:
        return People(table=people_table(np.zeros((0, 2)), []), liked=known[:0], words="")
    everywhere, how = _place(chosen, learned, view)
    xy = everywhere[users]
    there = np.isfinite(xy).all(axis=1)
    users, xy = users[there], xy[there]
    at = np.flatnonzero(users == person) if person is not None else np.zeros(0, dtype=np.int64)
    liked = favourites(chosen, learned, person) if person is not None else np.zeros(0, dtype=np.int64)
    table = people_table(xy, user_names(ratings, users), int(at[0]) if len(at) else None)
    one_of_them = (float(xy[at[0], 0]), float(xy[at[0], 1]), str(one)) if len(at) else None
    return People(table=table, liked=liked, words=how, person=one_of_them)


def favourites(chosen: Chosen, learned: Learned, user: int) -> np.ndarray:
    """The rows of the films that this user rated highest in training, the better known first among equals."""
    best = _favourites(chosen.version, chosen, learned)
    return best.rows[np.searchsorted(best.users, user) : np.searchsorted(best.users, user, side="right")]


@dataclass(frozen=True, eq=False, kw_only=True)
class _Favourites:
    """Each user's favourites, one row each: ``users`` (n,) ascending, ``rows`` (n,) of the space."""

    users: np.ndarray
    rows: np.ndarray


@st.cache_resource(max_entries=4, show_spinner=False)
def _favourites(version: str, _chosen: Chosen, _learned: Learned) -> _Favourites:
    users, items, stars = _chosen.split.part(_chosen.split.train)
    rows = _learned.space.rows_of(items)
    users, rows, stars = users[rows >= 0], rows[rows >= 0], stars[rows >= 0]
    order = np.lexsort((-_learned.facts.n_ratings[rows], -stars, users))
    users, rows = users[order], rows[order]
    rank = np.arange(len(users)) - np.searchsorted(users, users)  # 0 is this user's first
    return _Favourites(users=users[rank < FAVOURITES], rows=rows[rank < FAVOURITES])


def _place(chosen: Chosen, learned: Learned, view: View) -> tuple[np.ndarray, str]:
    """Where every user stands (U, 2), NaN where nobody knows, and how that was found, in words."""
    if view.place is not None and isinstance(chosen.model, DotModel):
        xy = view.place(chosen.arrays["user_factors"].astype(np.float64))
        zero = view.place(np.zeros((1, chosen.arrays["user_factors"].shape[1])))[0]
        return xy, (
            "A person stands where a film with their factors would. What suits them is a direction: from where all "
            f"factors are 0 ({_signed(zero[0])} across, {_signed(zero[1])} up on this map) through them and on."
        )
    best, n = _favourites(chosen.version, chosen, learned), chosen.ratings.n_users
    with np.errstate(invalid="ignore"):
        xy = np.column_stack(
            [
                np.bincount(best.users, view.xy[best.rows, axis], n) / np.bincount(best.users, minlength=n)
                for axis in (0, 1)
            ]
        )
    return xy, "A person stands in the middle of the films they rated highest."


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
