"""You: rate a few films, and see what the model makes of you. Stars on the left, recommendations on the right."""

from __future__ import annotations

import numpy as np
import streamlit as st

from cfcore.charts.reasons import moved_alt, moved_spec
from cfcore.recommend import Films, top_n, unseen
from cfcore.ui import state
from cfcore.ui.components import how_many
from cfcore.ui.frame import guard
from cfcore.ui.progress import LOADING
from cfcore.ui.recommend_facts import catalogue, n_trained, stars
from cfcore.ui.recommend_map import your_map
from cfcore.ui.recommend_rate import rate_column
from cfcore.ui.recommend_share import share
from cfcore.ui.recommend_user import N, at_least, explain, film_table
from cfcore.ui.recommend_why import Person
from cfcore.ui.runs import Chosen, look_again
from cfcore.ui.words import plain
from cfcore.ui.you import FEW, You, address, ratings_of_you, you_in

POLL_SECONDS = 0.4
MOST_BARS = 8
BEST_KNOWN = 1000  # films over which a change of your predictions is measured


def you_section(chosen: Chosen) -> None:
    """The section about the person in front of the page; each star redraws it, and nothing else."""
    st.fragment(_you, run_every=chosen.refresh)(chosen)


def _you(chosen: Chosen) -> None:
    with guard():
        chosen = look_again(chosen)
        found = you_in(chosen)
        _how_far(len(ratings_of_you(chosen.run.request.dataset)))
        first = st.container()  # on a phone the list lies far below the stars
        left, right = st.columns([1, 1.35], gap="large")
        with left:
            rate_column(chosen)
            moved = st.container()
            share(chosen)
        with right:
            films = _films(chosen, found)
            if films is not None and len(films.item_idx):
                first.markdown(f"First on the list: {_line(chosen, films)}")
        if films is not None:
            with moved:
                _moved_most(chosen, found)
            if len(films.item_idx):
                explain(chosen, _you_as_person(chosen, found), films, "recommend-why-you")
        state.write_address(address(chosen))


def _films(chosen: Chosen, found: You) -> Films | None:
    """The list and the map; ``None`` while your row is not known."""
    if found.problem:
        _failed(chosen, found)
        return None
    if found.pending:
        _waiting(chosen)
    if found.rows is None:
        return None
    least = at_least(chosen)
    person = _you_as_person(chosen, found)
    films = top_n(person.model, 0, unseen(n_trained(chosen), person.known, least), N)
    some = len(found.item_idx) > 0
    film_table(chosen, person, films, {"Moved": _moves(chosen, found, films, least)} if some else {})
    your_map(chosen, found, films)
    return films


def _line(chosen: Chosen, films: Films) -> str:
    names = catalogue(chosen.run.request.dataset).names
    best = [
        f"**{plain(names[item])}** {stars:.2f}" for item, stars in zip(films.item_idx, films.prediction, strict=True)
    ]
    return ", ".join(best[:3])


def _you_as_person(chosen: Chosen, found: You) -> Person:
    return Person(
        model=found.model(chosen),
        user_idx=0,
        who="you",
        whose="your",
        item_idx=found.item_idx,
        rating=found.rating,
        known=found.item_idx,
    )


def _how_far(n: int) -> None:
    """A bar to five ratings, and what the list is until then."""
    if n == 0:
        words = "No ratings yet: this is the list of the average user. Give a film stars and watch it change."
    elif n < FEW:
        words = f"{how_many(n, 'rating', 'ratings')}: the list begins to be yours. Rate {FEW - n} more."
    else:
        words = f"{how_many(n, 'rating', 'ratings')}: the list is yours."
    st.progress(min(n / FEW, 1.0), text=words)


def _failed(chosen: Chosen, found: You) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.warning(f"You could not be folded in. {found.problem}", icon=":material/error:", width="stretch")
        st.button("Try again", icon=":material/refresh:", on_click=_again, args=(chosen,))


def _again(chosen: Chosen) -> None:
    you_in(chosen, again=True)


def _waiting(chosen: Chosen) -> None:
    """Until a worker has found the row: say so, and look again soon."""
    starting = state.jobs().status().state == "starting"
    words = "A worker is finding your row in this network, a few gradient steps with everything else frozen."
    st.info(f"{LOADING}." if starting else words, icon=":material/hourglass_top:")
    if not chosen.live:  # else the section looks again by itself
        st.fragment(_until_known, run_every=POLL_SECONDS)(chosen)


def _until_known(chosen: Chosen) -> None:
    with guard():
        found = you_in(chosen)
        if not found.pending:
            st.rerun()


def _moves(chosen: Chosen, found: You, films: Films, least: int) -> list[str]:
    """For each film how far it moved on the list since the last star: the list before is remembered for it."""
    ranking = films.item_idx.tolist()
    of = f"{chosen.run.id}:{least}"
    key = f"{found.item_idx.tolist()}{found.rating.tolist()}"
    kept = st.session_state.get("you-lists")
    if kept is None or kept["of"] != of:
        kept = {"of": of, "key": key, "now": ranking, "before": None}
    elif kept["key"] != key:
        kept = {"of": of, "key": key, "now": ranking, "before": kept["now"]}
    st.session_state["you-lists"] = kept
    before = kept["before"]
    if before is None:
        return [""] * len(ranking)
    return [_move(before.index(item) - rank) if item in before else "new" for rank, item in enumerate(ranking)]


def _move(up: int) -> str:
    return "=" if up == 0 else f"▲ {up}" if up > 0 else f"▼ {-up}"


def _moved_most(chosen: Chosen, found: You) -> None:
    """Which of your ratings moved your predictions most: each is left out once, and the row found anew."""
    if not len(found.item_idx):
        return
    if found.rows is None or len(found.rows) < 2:
        st.caption("With so many ratings no single one of them moves you much.")
        return
    moved = _moved(chosen, found)
    order = np.argsort(-moved, kind="stable")[:MOST_BARS]
    names = catalogue(chosen.run.request.dataset).names
    first = order[0]
    film, given = names[found.item_idx[first]], stars(float(found.rating[first]))
    st.markdown(
        f"**Which rating moved you most:** {given} {'star' if given == '1' else 'stars'} for {plain(film)}. Without it "
        f"your predictions would differ by {moved[first]:.2f} stars."
    )
    if len(order) > 1:
        titles = [names[found.item_idx[k]] for k in order]
        st.vega_lite_chart(
            spec=moved_spec(titles, moved[order]), width="stretch", key="moved", alt=moved_alt(titles, moved[order])
        )


def _moved(chosen: Chosen, found: You) -> np.ndarray:
    """(n,) stars: the RMS change of your predictions for the best known films when a rating is left out."""
    model = found.model(chosen)
    counts = n_trained(chosen)
    films = np.argsort(-counts, kind="stable")[: min(BEST_KNOWN, int((counts > 0).sum()))]
    n = len(found.rows) if found.rows is not None else 0
    predictions = model.predict(np.repeat(np.arange(n), len(films)), np.tile(films, n)).reshape(n, len(films))
    return np.sqrt(np.square(predictions[1:] - predictions[0]).mean(axis=1))
