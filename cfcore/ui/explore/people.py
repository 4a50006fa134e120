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
from cfcore.recommend import person_among_films
from cfcore.ui.components import user_names
from cfcore.ui.explore.space import Learned
from cfcore.ui.explore.view import View
from cfcore.ui.runs import Chosen
from cfcore.ui.words import count

FAVOURITES = 10
MOST_PEOPLE = 200  # drawn at once: those with the most ratings
MOST_OFFERED = 5_000  # in the select box, whose every option goes to the browser


@dataclass(frozen=True, eq=False, kw_only=True)
class People:
    """``table`` for the map, and ``words`` that say how people are placed.

    ``liked`` rows are the chosen person's favourites, ``person`` is where that person stands, and the name; ``way``
    (2, 2) goes there from where all factors are 0, in a dot model.
    """

    table: pd.DataFrame
    liked: np.ndarray
    words: str
    person: tuple[float, float, str] | None = None
    way: np.ndarray | None = None


def choose_people(chosen: Chosen, learned: Learned, view: View) -> People:
    """The controls, and the people that they put on the map."""
    ratings = chosen.ratings
    n_ratings = np.bincount(ratings.user_idx[chosen.split.train], minlength=ratings.n_users)
    known = np.argsort(-n_ratings, kind="stable")
    known = known[n_ratings[known] > 0]
    offered = known[:MOST_OFFERED]
    names = dict(zip(user_names(ratings, offered), offered.tolist(), strict=True))
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
        help="Puts one person on the map, among the films they rated highest."
        + (f" The {count(MOST_OFFERED)} with the most ratings can be chosen." if len(known) > MOST_OFFERED else ""),
    )
    everybody = st.toggle(
        "All people",
        key="explore-people",
        persist_state="session",
        help=f"Of more than {MOST_PEOPLE}, those with the most ratings.",
    )
    person = names.get(one) if one is not None else None
    users = known[:MOST_PEOPLE] if everybody else known[:0]
    if person is not None and person not in users:
        users = np.append(users, person)
    if len(users) == 0:
        return People(table=people_table(np.zeros((0, 2)), []), liked=known[:0], words="")
    xy, zero = _place(chosen, learned, view, users)
    there = np.isfinite(xy).all(axis=1)
    users, xy = users[there], xy[there]
    at = np.flatnonzero(users == person) if person is not None else np.zeros(0, dtype=np.int64)
    liked = favourites(chosen, learned, person) if person is not None else np.zeros(0, dtype=np.int64)
    table = people_table(xy, user_names(ratings, users), int(at[0]) if len(at) else None)
    one_of_them = (float(xy[at[0], 0]), float(xy[at[0], 1]), str(one)) if len(at) else None
    way = np.array([zero, xy[at[0]]]) if zero is not None and len(at) else None
    words = _words(zero, way is not None)
    if everybody and len(known) > MOST_PEOPLE:
        words += f" Shown are the {MOST_PEOPLE} people with the most ratings, of {count(len(known))}."
    return People(table=table, liked=liked, words=words, person=one_of_them, way=way)


def favourites(chosen: Chosen, learned: Learned, user: int) -> np.ndarray:
    """The rows of the films that this user rated highest in training, the better known first among equals."""
    ((items, stars),) = _rated(chosen, np.array([user]))
    rows = learned.space.rows_of(items)
    rows, stars = rows[rows >= 0], stars[rows >= 0]
    return rows[np.lexsort((-learned.facts.n_ratings[rows], -stars))[:FAVOURITES]]


def _rated(chosen: Chosen, users: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """What each of these users rated in training: ``item_idx`` (n,) and stars (n,)."""
    ratings, train = chosen.ratings, chosen.split.train
    rows = train[np.isin(ratings.user_idx[train], users)]  # one pass for all of them: there may be millions of rows
    who = ratings.user_idx[rows]
    return [(ratings.item_idx[own], ratings.rating[own]) for own in (rows[who == user] for user in users)]


def _place(chosen: Chosen, learned: Learned, view: View, users: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Where these users stand (n, 2), NaN where nobody knows; in a dot model, also where all factors are 0 (2,)."""
    if view.place is not None and isinstance(chosen.model, DotModel):
        factors = chosen.arrays["user_factors"].astype(np.float64)
        return view.place(factors[users]), view.place(np.zeros((1, factors.shape[1])))[0]
    places = np.full((chosen.ratings.n_items, 2), np.nan)
    places[learned.space.item_idx] = view.xy
    found = [person_among_films(places, *rated, chosen.ratings.scale) for rated in _rated(chosen, users)]
    xy = np.array([(np.nan, np.nan) if place is None else place for place in found]).reshape(-1, 2)
    return xy, None


def _words(zero: np.ndarray | None, one: bool) -> str:
    """How people are placed."""
    if zero is None:
        return "A person stands in the middle of the films they liked."
    words = "A person stands where a film with their factors would, and what suits them is a direction"
    if one:
        return f"{words}, the dashed line: from where all factors are 0 through them and on."
    across, up = (f"{value:.2f}".replace("-", "−") for value in zero)
    return f"{words}: from where all factors are 0 ({across} across, {up} up on this map) through them and on."
