"""What the Recommend page knows about a data set and a run, kept between reruns and shared by all visits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from cfcore.approaches import fit_baseline
from cfcore.foldin import Prior, fit_prior
from cfcore.models import DotModel, Model
from cfcore.ratings import Ratings, Split
from cfcore.recommend import favourite_genres, well_known
from cfcore.ui import state
from cfcore.ui.recommend.exchange import Id
from cfcore.ui.runs import Chosen
from cfcore.ui.words import count

MOST_USERS, MOST_FILMS = 5_000, 12_000  # offered in a select box: the browser gets every one of them
HALF = 0.5


@dataclass(frozen=True, eq=False, kw_only=True)
class People:
    """``order`` (n,) users, those with the most ratings first; ``lines`` (U,) each in a line, no two alike."""

    order: list[int]
    lines: list[str]


@dataclass(frozen=True, eq=False, kw_only=True)
class Catalogue:
    """``order`` (n,) films, best known first; ``names`` (M,) no two alike; ``index`` from a raw id to its film."""

    order: list[int]
    names: list[str]
    ids: list[Id]
    index: dict[Id, int]
    by_text: dict[str, Id]
    halves: bool


@st.cache_resource(max_entries=3, show_spinner=False)
def people(name: str) -> People:
    """Everybody of data set ``name``, with what they like in a line."""
    ratings = state.ratings(name)
    n = np.bincount(ratings.user_idx, minlength=ratings.n_users)
    # Seconds on millions of ratings: there people are told apart by id and count alone.
    genres = favourite_genres(ratings) if len(ratings) <= state.BASELINE_LIMIT else [""] * ratings.n_users
    lines = [
        f"user {user_id} · {count(n[user])} ratings{f', likes {genres[user]}' if genres[user] else ''}"
        for user, user_id in enumerate(ratings.users.user_id)
    ]
    return People(order=np.argsort(-n, kind="stable")[:MOST_USERS].tolist(), lines=lines)


@st.cache_resource(max_entries=3, show_spinner=False)
def catalogue(name: str) -> Catalogue:
    """The films of data set ``name``: a select box and a CSV file need a name for each that no other has."""
    ratings = state.ratings(name)
    n = np.bincount(ratings.item_idx, minlength=ratings.n_items)
    titles = [str(title) for title in ratings.items.title]
    times = Counter(titles)
    ids: list[Id] = [item.item() if isinstance(item, np.generic) else item for item in ratings.items.item_id]
    return Catalogue(
        order=np.argsort(-n, kind="stable")[:MOST_FILMS].tolist(),
        names=[f"{title} [{item}]" if times[title] > 1 else title for title, item in zip(titles, ids, strict=True)],
        ids=ids,
        index={item: row for row, item in enumerate(ids)},
        by_text={str(item): item for item in ids},
        halves=bool((ratings.rating % 1 == HALF).any()),
    )


def n_trained(chosen: Chosen) -> np.ndarray:
    """(M,) how many training ratings each film of the run's data set has."""
    return _n_trained(chosen.run.request.dataset, chosen.run.request.split.to_json(), chosen.split)


@st.cache_resource(max_entries=8, show_spinner=False)
def _n_trained(name: str, split: dict, _split: Split) -> np.ndarray:
    return np.bincount(_split.ratings.item_idx[_split.train], minlength=_split.ratings.n_items)


def first_films(chosen: Chosen) -> list[int]:
    """Films to begin rating with."""
    return _first_films(chosen.run.request.dataset, chosen.run.request.split.to_json(), chosen.split)


@st.cache_data(max_entries=8, show_spinner=False)
def _first_films(name: str, split: dict, _split: Split) -> list[int]:
    return well_known(_split).tolist()


def bias_model(chosen: Chosen) -> DotModel:
    """User + movie bias, fitted to the run's training ratings."""
    return _bias_model(chosen.run.request.dataset, chosen.run.request.split.to_json(), chosen.split)


@st.cache_resource(max_entries=4, show_spinner="Fitting user + movie bias")
def _bias_model(name: str, split: dict, _split: Split) -> DotModel:
    return fit_baseline("bias", _split)


def prior(chosen: Chosen) -> Prior:
    """The prior for folding into the run's model as it is now.

    Raises:
        ValueError: the model has diverged.
    """
    return _prior(chosen.version, chosen.model, chosen.split)


@st.cache_resource(max_entries=8, show_spinner=False)
def _prior(version: str, _model: Model, _split: Split) -> Prior:
    return fit_prior(_model, _split)


def stars(value: float) -> str:
    """A rating as it is given: ``4``, ``3.5``."""
    return f"{value:g}"


def star_scale(ratings: Ratings) -> bool:
    """Whether ratings are one to five stars, with or without halves."""
    low, high = ratings.scale
    return high == 5 and low in (0.5, 1)


def steps(ratings: Ratings) -> Sequence[float]:
    """The ratings that can be given on a scale that is not stars: those that were given, or eleven evenly spaced."""
    given = np.unique(ratings.rating)
    low, high = ratings.scale
    return (given if len(given) <= 21 else np.linspace(low, high, 11)).round(6).tolist()
