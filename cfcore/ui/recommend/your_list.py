"""You: rate a few films, and see what the model makes of you. Stars on the left, recommendations on the right."""

from __future__ import annotations

import numpy as np
import streamlit as st

from cfcore.charts.reasons import moved_alt, moved_spec
from cfcore.recommend import Films, top_n, unseen
from cfcore.ui import state, you
from cfcore.ui.components import how_many
from cfcore.ui.frame import draw_when, guard
from cfcore.ui.progress import LOADING
from cfcore.ui.recommend.facts import catalogue, n_trained, stars
from cfcore.ui.recommend.map import your_map
from cfcore.ui.recommend.rate import rate_column
from cfcore.ui.recommend.share import share
from cfcore.ui.recommend.user import N, at_least, explain, film_table
from cfcore.ui.recommend.why import person_of_you
from cfcore.ui.runs import Chosen, look_again
from cfcore.ui.words import count, plain
from cfcore.ui.you import FEW, You, address, key_of, ratings_of_you, without_each, you_in

MOST_BARS = 8
BEST_KNOWN = 300  # films over which a change of your predictions is measured


def you_section(chosen: Chosen) -> None:
    """The section about the person in front of the page; each star redraws it, and nothing else."""
    st.fragment(_you, run_every=chosen.refresh)(chosen)


def _you(chosen: Chosen) -> None:
    with guard():
        chosen = look_again(chosen)
        found = you_in(chosen)
        with st.container():  # of its own: what comes after must not move with it
            _offer(chosen)
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
                explain(chosen, person_of_you(chosen, found), films, "recommend-why-you")
        state.write_address(address(chosen))


def _offer(chosen: Chosen) -> None:
    """What you cleared and can have again, a link's ratings that wait for your word, or yours that a link's replaced.

    Each step has buttons of its own: the second press on one must not be a press on the next.
    """
    dataset = chosen.run.request.dataset
    theirs, before = you.offered(dataset), you.befores(dataset)
    step = (dataset, len(before))
    if before and not before[-1]["taken"]:
        n = how_many(len(before[-1]["ratings"]), "rating was", "ratings were")
        words, icon = f"Your {n} cleared.", ":material/delete:"
        take, leave = ("Undo", ":material/undo:", you.bring_back, step), ("Dismiss", you.forget_before, step)
    elif theirs:
        n = how_many(len(theirs), "rating", "ratings")
        words = f"The link that you opened brings {n}. You have ratings of your own, so yours were kept."
        icon, once = ":material/link:", (dataset,)
        take = ("Take these instead", ":material/swap_horiz:", you.take_offered, once)
        leave = ("Keep mine", you.decline, once)
    elif before:
        n = how_many(len(before[-1]["ratings"]), "rating", "ratings")
        words, icon = f"These are the ratings of the link. Your own {n} can be brought back.", ":material/link:"
        take, leave = ("Undo", ":material/undo:", you.bring_back, step), ("Forget mine", you.forget_before, step)
    else:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.info(words, icon=icon, width="stretch")
        label, symbol, on_take, args = take
        st.button(label, icon=symbol, on_click=on_take, args=args, key=f"you-take:{label}:{step}")
        label, on_leave, args = leave
        st.button(label, on_click=on_leave, args=args, type="tertiary", key=f"you-leave:{label}:{step}")


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
    person = person_of_you(chosen, found)
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
        draw_when(lambda: not you_in(chosen).pending)


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
    if not len(found.item_idx) or found.pending:
        return
    without = without_each(chosen, found)
    if without.problem:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"Your ratings could not be left out in turn. {without.problem}", width="stretch")
            st.button("Try again", key="you-without-again", on_click=_again_without, args=(chosen,))
        return
    if without.pending:
        st.caption("A worker leaves each of your ratings out in turn, to see which moved you most.")
        if not chosen.live:
            draw_when(lambda: not without_each(chosen, you_in(chosen)).pending)
        return
    if without.rows is None:
        st.caption("Too many ratings to leave each one out in turn.")
        return
    moved = _moved(key_of(chosen, found, "moved"), chosen, without)
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
    n = len(_best_known(chosen))
    st.caption(f"Measured as the root mean square change over the {count(n)} films with the most training ratings.")


def _again_without(chosen: Chosen) -> None:
    without_each(chosen, you_in(chosen), again=True)


def _best_known(chosen: Chosen) -> np.ndarray:
    counts = n_trained(chosen)
    return np.argsort(-counts, kind="stable")[: min(BEST_KNOWN, int((counts > 0).sum()))]


@st.cache_data(max_entries=64, show_spinner=False)
def _moved(key: str, _chosen: Chosen, _without: You) -> np.ndarray:
    """(n,) stars: the RMS change of your predictions for the best known films when a rating is left out."""
    films, model = _best_known(_chosen), _without.model(_chosen)
    n = len(_without.rating) + 1
    predictions = model.predict(np.repeat(np.arange(n), len(films)), np.tile(films, n)).reshape(n, len(films))
    return np.sqrt(np.square(predictions[1:] - predictions[0]).mean(axis=1))
