"""A user of the data: what they rated beside what the model says, and what to show them next."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from cfcore.metrics import rmse
from cfcore.recommend import Films, Rated, rated_by, top_n, unseen
from cfcore.ui.components import how_many, show_table
from cfcore.ui.frame import guard
from cfcore.ui.recommend.facts import MOST_USERS, catalogue, n_trained, people, stars
from cfcore.ui.recommend.why import ROW, Person, like_what, why
from cfcore.ui.runs import Chosen, look_again
from cfcore.ui.words import count, error, plain

N = 10  # films to recommend
HEIGHT = ROW * (N + 1) + 2
LEAST = (1, 5, 10, 20, 50, 100)
HELD_OUT, TRAINED = "held out", "trained on"
DIVERGED = "This model has diverged: its predictions are no numbers any more. Choose another run, or a lower rate."


def user_section(chosen: Chosen) -> None:
    """The section of one user; it keeps up with a run that trains."""
    st.fragment(_user, run_every=chosen.refresh)(chosen)


def _user(chosen: Chosen) -> None:
    with guard():
        chosen = look_again(chosen)
        user = choose_user(chosen, "recommend-user")
        if user is None:
            return
        rated = rated_by(chosen.model, chosen.split, user)
        if not np.isfinite(rated.prediction).all():
            st.warning(DIVERGED, icon=":material/trending_up:")
            return
        _how_well(chosen, rated, user)
        left, right = st.columns([1, 1.15], gap="medium")
        with left:
            _ratings(chosen, rated, user)
        with right:
            films, person = _recommendations(chosen, rated, user)
        if person is not None and len(films.item_idx):
            explain(chosen, person, films, "recommend-why-user")


def choose_user(chosen: Chosen, key: str) -> int | None:
    """A search over the users of the run's data; ``None`` where nobody of that id is there."""
    name = chosen.run.request.dataset
    everybody = people(name)
    ids = chosen.ratings.users.user_id
    some = len(ids) > MOST_USERS
    key = f"{key}:{name}"
    if isinstance(st.session_state.get(key), str) and not some:
        st.session_state.pop(key)
    found = st.selectbox(
        "User",
        everybody.order,
        format_func=lambda user: everybody.lines[user] if isinstance(user, int) else str(user),
        key=key,
        persist_state="session",
        filter_mode="contains",
        accept_new_options=some,
        help="Type a user id or a genre."
        + (f" The {count(MOST_USERS)} busiest are listed; type any other id." if some else ""),
    )
    if isinstance(found, str):
        same = np.flatnonzero(ids.astype(str) == found.removeprefix("user").strip())
        if not len(same):
            st.warning(f"There is no user {plain(found[:40])} in this data set.", icon=":material/person_off:")
            return None
        return int(same[0])
    return found


def known_user(chosen: Chosen, user: int, rated: Rated, *, held_out_too: bool) -> Person:
    """A user of the data as somebody to recommend to; their held-out films are ranked when ``held_out_too``."""
    trained = ~rated.held_out
    return Person(
        model=chosen.model,
        user_idx=user,
        who=f"user {chosen.ratings.users.user_id[user]}",
        whose="the user's",
        item_idx=rated.item_idx[trained],
        rating=rated.rating[trained],
        known=rated.item_idx[trained] if held_out_too else rated.item_idx,
    )


def explain(chosen: Chosen, person: Person, films: Films, key: str) -> None:
    """Choose one of the films of a list and say why it is on it."""
    names = catalogue(chosen.run.request.dataset).names
    options = films.item_idx.tolist()
    if st.session_state.get(key) not in options:
        st.session_state[key] = options[0]
    item = st.selectbox("Why this film", options, format_func=names.__getitem__, key=key, filter_mode="contains")
    why(chosen, person, item)


def at_least(chosen: Chosen) -> int:
    """How many training ratings a film must have to be recommended."""
    counts = n_trained(chosen)
    options = [n for n in LEAST if int((counts >= n).sum()) >= 5 * N] or [1]
    key = "recommend-least"
    if st.session_state.get(key) not in options:
        st.session_state[key] = max(n for n in options if n <= 20)
    return st.selectbox(
        "Films with at least",
        options,
        format_func=lambda n: how_many(n, "training rating", "training ratings"),
        key=key,
        persist_state="session",
        help="A film with few ratings has factors that say little. The ranking quality is measured with all of them.",
    )


def film_table(chosen: Chosen, person: Person, films: Films, also: dict[str, list[str]]) -> None:
    """A numbered list of films with what is predicted for them and what they are like; ``also`` adds columns."""
    names = catalogue(chosen.run.request.dataset).names
    low, high = chosen.ratings.scale
    table = pd.DataFrame(
        {
            "Rank": np.arange(1, len(films.item_idx) + 1),
            "Film": [names[item] for item in films.item_idx],
            "Predicted": films.prediction.astype(float),
            **also,
            "Most like": like_what(chosen, person, films),
        }
    )
    show_table(
        table,
        hide_index=True,
        height="content",
        row_height=ROW,
        column_config={
            "Rank": st.column_config.NumberColumn("", width=24),
            "Film": st.column_config.TextColumn(width=230),
            "Predicted": st.column_config.NumberColumn(format="%.2f", width=62),
            "Moved": st.column_config.TextColumn(width=48, help="Ranks up or down since the last star."),
            "Rated": st.column_config.TextColumn(width=44, help="What they gave this film, which was held out."),
            "Most like": st.column_config.TextColumn(
                width=210, help="Of the films they liked the nearest by cosine in all item factors."
            ),
        },
        alt=f"The {len(table)} films with the highest predictions for {person.who}, the best first.",
    )
    if len(table) and (films.prediction.max() > high + 0.5 or films.prediction.min() < low - 0.5):
        st.caption(
            f"Some predictions lie outside of the scale from {low:g} to {high:g}: this model has not learned enough "
            "about these films. Ask for films with more ratings, or train longer."
        )


def _how_well(chosen: Chosen, rated: Rated, user: int) -> None:
    held_out = rated.held_out
    parts = []
    for part, name in ((~held_out, TRAINED), (held_out, HELD_OUT)):
        if part.any():
            typical = error(rmse(rated.prediction[part], rated.rating[part]))
            parts.append(f"{count(part.sum())} {name} (RMSE {typical} stars)")
    who = plain(f"User {chosen.ratings.users.user_id[user]}")
    live = f" After epoch {chosen.epoch}, and still training." if chosen.live else ""
    n = how_many(len(rated.item_idx), "film", "films")
    here = f"{n} of this split: {', '.join(parts)}" if parts else "none of the films in this split"
    st.markdown(f"**{who}** rated {here}.{live}")


def _ratings(chosen: Chosen, rated: Rated, user: int) -> None:
    st.markdown("**What they rated, worst misses first**")
    names = catalogue(chosen.run.request.dataset).names
    table = pd.DataFrame(
        {
            "Film": [names[item] for item in rated.item_idx],
            "Rated": [stars(value) for value in rated.rating],
            "Predicted": rated.prediction.astype(float),
            "Miss": (rated.prediction - rated.rating).astype(float),
            "Part": np.where(rated.held_out, f"◆ {HELD_OUT}", TRAINED),
        }
    )
    show_table(
        table,
        hide_index=True,
        height=HEIGHT + 76,
        column_config={
            "Film": st.column_config.TextColumn(width=230),
            "Rated": st.column_config.TextColumn(width=44),
            "Predicted": st.column_config.NumberColumn(format="%.2f", width=62),
            "Miss": st.column_config.NumberColumn(
                format="%+.2f", width=48, help="Predicted minus rated: above zero the model expected more."
            ),
            "Part": st.column_config.TextColumn(width=80),
        },
        alt=f"{how_many(len(table), 'rating', 'ratings')} of user {chosen.ratings.users.user_id[user]} with the "
        "model's predictions, worst misses first; held-out ratings are marked.",
    )


def _recommendations(chosen: Chosen, rated: Rated, user: int) -> tuple[Films, Person | None]:
    st.markdown("**What to show them next**")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        least = at_least(chosen)
        held_out_too = st.toggle(
            "Held-out films too",
            key="recommend-held-out",
            persist_state="session",
            help="Ranks the films that were held out as well, as the ranking quality does, and shows what was given.",
        )
    if not chosen.split.seen_users[user]:
        st.info("This user has no training rating, so the model knows nothing about them.", icon=":material/info:")
    person = known_user(chosen, user, rated, held_out_too=held_out_too)
    films = top_n(chosen.model, user, unseen(n_trained(chosen), person.known, least), N)
    if not len(films.item_idx):
        st.info("No film is left to recommend.", icon=":material/info:")
        return films, None
    also = {}
    if held_out_too:
        given = dict(zip(rated.item_idx.tolist(), rated.rating.tolist(), strict=True))
        also["Rated"] = [f"◆ {stars(given[item])}" if item in given else "" for item in films.item_idx.tolist()]
    film_table(chosen, person, films, also)
    return films, person
