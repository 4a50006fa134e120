"""One pair: what the model predicts for any user, or you, and any film, beside the baseline and the truth."""

from __future__ import annotations

import numpy as np
import streamlit as st

from cfcore.models import DotModel
from cfcore.recommend import bias_for, rated_by
from cfcore.ui.frame import draw_when, guard
from cfcore.ui.recommend.facts import bias_model, catalogue, n_trained, stars
from cfcore.ui.recommend.user import DIVERGED, HELD_OUT, TRAINED, choose_user, known_user
from cfcore.ui.recommend.why import Person, person_of_you, why
from cfcore.ui.runs import Chosen, look_again
from cfcore.ui.words import error, plain
from cfcore.ui.you import ratings_of_you, you_in

WHOM = ("A user of the data", "You")


def pair_section(chosen: Chosen) -> None:
    """The section of one pair; it keeps up with a run that trains."""
    st.fragment(_pair, run_every=chosen.refresh)(chosen)


def _pair(chosen: Chosen) -> None:
    with guard():
        chosen = look_again(chosen)
        left, right = st.columns(2, gap="medium")
        with left:
            whom = st.segmented_control(
                "For whom", WHOM, default=WHOM[0], required=True, key="pair-whom", persist_state="session"
            )
            user = choose_user(chosen, "pair-user") if whom != WHOM[1] else None
        with right:
            item = _choose_film(chosen)
        if whom == WHOM[1]:
            _for_you(chosen, item)
        elif user is not None:
            _for_user(chosen, user, item)


def _choose_film(chosen: Chosen) -> int:
    films = catalogue(chosen.run.request.dataset)
    return st.selectbox(
        "Film",
        films.order,
        format_func=films.names.__getitem__,
        key=f"pair-film:{chosen.run.request.dataset}",
        persist_state="session",
        filter_mode="contains",
        help="Type part of a title.",
    )


def _for_user(chosen: Chosen, user: int, item: int) -> None:
    rated = rated_by(chosen.model, chosen.split, user)
    person = known_user(chosen, user, rated, held_out_too=True)
    at = np.flatnonzero(rated.item_idx == item)
    truth, part = (float(rated.rating[at[0]]), rated.held_out[at[0]]) if len(at) else (None, False)
    bias = float(bias_model(chosen).predict(np.array([user]), np.array([item]))[0])
    where = f"This rating was {HELD_OUT if part else TRAINED}." if truth is not None else "They did not rate this film."
    if not chosen.split.seen_users[user]:
        where += " The user has no training rating, so the model knows nothing about them."
    _answer(chosen, person, item, bias, truth, where)


def _for_you(chosen: Chosen, item: int) -> None:
    you = you_in(chosen)
    if you.problem:
        st.warning(you.problem, icon=":material/error:")
        return
    if you.rows is None or you.pending:
        st.info("A worker is finding your row in this network.", icon=":material/hourglass_top:")
        if not chosen.live:
            draw_when(lambda: not you_in(chosen).pending)
        return
    person = person_of_you(chosen, you)
    films = catalogue(chosen.run.request.dataset)
    truth = ratings_of_you(chosen.run.request.dataset).get(films.ids[item])
    bias = bias_for(bias_model(chosen), you.item_idx, you.rating, item)
    where = "You rated this film." if truth is not None else "You have not rated this film."
    if not len(you.item_idx):
        where = "You have rated nothing yet, so this is for the average user: rate some films under You."
    _answer(chosen, person, item, bias, truth, where)


def _answer(chosen: Chosen, person: Person, item: int, bias: float, truth: float | None, where: str) -> None:
    """The three numbers, what they say, and why."""
    predicted = float(person.model.predict(np.array([person.user_idx]), np.array([item]))[0])
    if not np.isfinite(predicted):
        st.warning(DIVERGED, icon=":material/trending_up:")
        return
    places = st.columns(3, gap="small")
    places[0].metric("Predicted", f"{predicted:.2f}", border=True, help="In stars, by this run's model.")
    places[1].metric("User + movie bias", f"{bias:.2f}", border=True, help="Without any factor.")
    places[2].metric("Rated", "–" if truth is None else stars(truth), border=True)
    title = plain(catalogue(chosen.run.request.dataset).names[item])
    st.markdown(f"**{title}** for {plain(person.who)}. {where} {_compared(predicted, bias, truth)}")
    if not n_trained(chosen)[item]:
        st.info("This film has no training rating: its factors are noise.", icon=":material/info:")
        return
    why(chosen, person, item)
    if isinstance(person.model, DotModel) and person.model.item_bias is None:
        st.caption("This model has no biases: its factors must also say how good a film is, and how kind a user.")


def _compared(predicted: float, bias: float, truth: float | None) -> str:
    if truth is None:
        change = predicted - bias
        if abs(change) < 0.05:
            return "The factors change nothing about the baseline's answer."
        return f"Taste makes that {error(abs(change))} stars {'more' if change > 0 else 'less'} than the baseline."
    ours, theirs = abs(predicted - truth), abs(bias - truth)
    nearer = "The model is nearer" if ours < theirs else "The baseline is nearer"
    return f"{nearer}: it misses by {min(ours, theirs):.2f} stars, the other by {max(ours, theirs):.2f}."
