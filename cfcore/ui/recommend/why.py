"""Why a film is recommended: the terms of its prediction where it is a sum, and the liked films that it is like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from cfcore.charts.reasons import terms_alt, terms_spec
from cfcore.models import DotModel, Model
from cfcore.recommend import Films, Terms, liked_by, nearest_liked, terms
from cfcore.ui.components import show_table
from cfcore.ui.recommend.facts import catalogue, stars
from cfcore.ui.runs import Chosen
from cfcore.ui.words import plain
from cfcore.ui.you import You

ROW = 35  # pixels: one row of a table


@dataclass(frozen=True, eq=False, kw_only=True)
class Person:
    """Somebody to recommend films to: ``user_idx`` in ``model``, how they are called, and what they rated.

    ``whose`` begins a sentence about their things; ``item_idx`` (n,) and ``rating`` (n,) are the ratings that the model
    knows, ``known`` (m,) all films that need not be recommended to them any more.
    """

    model: Model
    user_idx: int
    who: str
    whose: str
    item_idx: np.ndarray
    rating: np.ndarray
    known: np.ndarray

    def stars_for(self, item: int) -> float:
        return float(self.rating[np.flatnonzero(self.item_idx == item)[0]])


def person_of_you(chosen: Chosen, found: You) -> Person:
    """You as somebody to recommend to; your row must be known."""
    return Person(
        model=found.model(chosen),
        user_idx=0,
        who="you",
        whose="your",
        item_idx=found.item_idx,
        rating=found.rating,
        known=found.item_idx,
    )


def like_what(chosen: Chosen, person: Person, films: Films) -> list[str]:
    """For each film the liked film nearest to it, in a few words."""
    names = catalogue(chosen.run.request.dataset).names
    liked = liked_by(person.item_idx, person.rating, chosen.ratings.scale)
    found, cosines = nearest_liked(chosen.arrays["item_factors"], films.item_idx, liked, n=1)
    if not found.shape[1]:
        return [""] * len(films.item_idx)
    return [
        f"{names[film]} ({cosine:.2f})" if cosine > 0 else ""  # also where it is NaN
        for film, cosine in zip(found[:, 0], cosines[:, 0], strict=True)
    ]


def why(chosen: Chosen, person: Person, item: int) -> None:
    """Both kinds of reasons for one film, side by side."""
    left, right = st.columns([1.15, 1], gap="medium")
    with left:
        if isinstance(person.model, DotModel):
            _terms(person, terms(person.model, person.user_idx, item))
        else:
            predicted = person.model.predict(np.array([person.user_idx]), np.array([item]))[0]
            st.markdown("**How the number comes about**")
            st.markdown(
                f"The network mixes {person.whose} row and the film's in its layers and says {predicted:.2f}. No "
                "single number carries it, so there are no terms to show: the films at the side are the reason by "
                "example."
            )
    with right:
        _examples(chosen, person, item)


def _terms(person: Person, found: Terms) -> None:
    st.markdown("**How the number comes about**")
    st.vega_lite_chart(spec=terms_spec(found), width="stretch", alt=terms_alt(found))
    if found.y_range is not None:
        low, high = found.y_range
        st.markdown(
            f"The sum goes through a sigmoid into the scale: {low:g} + {high - low:g} · sigmoid({found.score:.2f}) "
            f"= **{found.prediction:.2f}** stars."
        )
    else:
        st.markdown(f"The sum is the prediction: **{found.prediction:.2f}** stars.")
    st.caption(
        f"A factor's term is {person.whose} number for it times the film's: above zero where both point the same way."
    )


def _examples(chosen: Chosen, person: Person, item: int) -> None:
    """The liked films nearest to this one, with their cosines as bars."""
    st.markdown("**Liked films it is most like**")
    liked = liked_by(person.item_idx, person.rating, chosen.ratings.scale)
    found, cosines = nearest_liked(chosen.arrays["item_factors"], np.array([item]), liked, n=5)
    films = [(film, cosine) for film, cosine in zip(found[0], cosines[0], strict=True) if cosine > 0]
    names = catalogue(chosen.run.request.dataset).names
    if not films:
        st.markdown(f"No film that {plain(person.who)} liked points the same way as this one.")
        return
    table = pd.DataFrame(
        {
            "Film": [names[film] for film, _ in films],
            "Stars": [stars(person.stars_for(film)) for film, _ in films],
            "Likeness": [float(cosine) for _, cosine in films],
        }
    )
    show_table(
        table,
        hide_index=True,
        height="content",
        row_height=ROW,
        column_config={
            "Film": st.column_config.TextColumn(width=230),
            "Stars": st.column_config.TextColumn(width=44),
            "Likeness": st.column_config.ProgressColumn(min_value=0, max_value=1, format="%.2f", width=110),
        },
        alt=f"The films {person.who} liked that are most like {names[item]}, with their cosines.",
    )
    best = names[films[0][0]]
    st.caption(
        f"By cosine in all {chosen.arrays['item_factors'].shape[1]} item factors, as everywhere here: 1 is the same "
        f"direction. Nearest: {plain(best)}."
    )
