"""Lesson 6: what a run has learned about the films, in three or four findings, each of which Explore opens."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import streamlit as st

from cfcore.datasets import DataError
from cfcore.embeddings import Axis, neighbours, truth_of
from cfcore.embeddings.axes import STRONG
from cfcore.ratings import Ratings
from cfcore.runs import Run, StoreError
from cfcore.ui import state
from cfcore.ui.explore.look import DEFAULT_SHOWN
from cfcore.ui.explore.page import AXES, MAP, TRUTH
from cfcore.ui.explore.space import Learned, learned
from cfcore.ui.explore.truth import recovered
from cfcore.ui.explore.view import said
from cfcore.ui.frame import draw_when
from cfcore.ui.learn.ladder import ladder_of
from cfcore.ui.learn.state import aha, hidden, memory
from cfcore.ui.progress import progress_line
from cfcore.ui.result import submit
from cfcore.ui.runs import ENDED_WELL, Chosen, label, look
from cfcore.ui.words import count, percent, plain, sentence

HIDEABLE = {"tastes": "How well the true tastes were found"}
EXPLORE = "pages/explore.py"
N_NEAR = 5
_MAP = {"explore-tab": MAP, "explore-axes": None, "explore-shown": None, "explore-x": 0, "explore-y": 1}
TOLD = {"mean rating", "popularity"}  # facts of the very ratings that a run is trained on
_MOST_RUNS = 40  # of this visit, looked through for one with vectors


def lesson(ratings: Ratings) -> None:
    """The findings of the newest finished run, on the ladder or from Train; else a button that trains one."""
    st.markdown(
        "Nobody told the model a genre, a year or a name. A film's factors are whatever made the ratings come out "
        "right, so what they mean has to be found afterwards, by looking where the films ended up."
    )
    run = newest(ratings)
    if run is None:
        _train_one(ratings)
        return
    if run.active:
        _wait_for(run)
        return
    st.caption(f":material/model_training: Read from {plain(label(run))}.")
    try:
        chosen = look(run)
        if chosen is None:
            return
        space = learned(chosen)
    except (DataError, StoreError, ValueError) as problem:
        st.warning(sentence(str(problem)), icon=":material/blur_off:")
        return
    _first_axis(run, space)
    _near(run, space)
    _second_axis(run, space)
    if ratings.truth and not hidden("tastes"):
        _tastes(run, chosen, space)
    _point(space)


def newest(ratings: Ratings) -> Run | None:
    """This visit's newest finished run on these ratings that has vectors; one under way if it was started here."""
    runs = state.store().list(visitor=state.visitor(), limit=_MOST_RUNS)
    own = [run for run in runs if run.request.dataset == ratings.about.name]
    here = [run for run in own if run.id == memory("meaning").get("run") and run.active]
    done = [run for run in own if run.status in ENDED_WELL and _has_vectors(run)]
    return next(iter([*here, *done]), None)


def _has_vectors(run: Run) -> bool:
    return bool(run.request.config.embedding_size or run.request.config.layers)


def _train_one(ratings: Ratings) -> None:
    """Where nothing has been trained: the last rung of the ladder, right here."""
    try:
        request = ladder_of(ratings)[-1]
    except ValueError as problem:
        st.error(sentence(str(problem)), icon=":material/error:")
        return

    def start() -> None:
        submit(request, ratings.about.title)
        memory("meaning")["run"] = st.session_state.get("run")

    with st.container(border=True):
        st.markdown("Nothing has been trained on these ratings yet. Train the last rung of the ladder, and look at it.")
        st.button("Train it", type="primary", icon=":material/play_arrow:", key="learn:train", on_click=start)


def _wait_for(run: Run) -> None:
    share, words = progress_line(run, time.time())
    st.progress(share, text=words)

    def moved() -> bool:
        now = state.store().get(run.id)
        return now is None or not now.active or len(now.history) > len(run.history)

    draw_when(moved)


def _first_axis(run: Run, space: Learned) -> None:
    axis, pca = space.axes[0], space.pca
    with st.container(border=True):
        st.markdown(
            f"**1. The first axis.** {plain(said(axis, 'PC1'))}."
            if axis.follows
            else f"**1. The first axis.** {plain(axis.words)}."
        )
        st.markdown(
            f"PC1 is the direction in which the films differ most: it holds {percent(float(pca.shares[0]))} of their "
            f"variance in {count(space.space.vectors.shape[1])} factors. At one end {_list(space, axis.high[:3])}; at "
            f"the other {_list(space, axis.low[:3])}."
        )
        _open("See every axis", "axes", run, {"explore-tab": AXES})


def _near(run: Run, space: Learned) -> None:
    row = int(space.known[0])
    among = space.known[:DEFAULT_SHOWN]
    found = neighbours(space.space.vectors, row, N_NEAR, among=among)
    similar = ", ".join(
        f"{plain(space.spoken[other])} ({value:.2f})" for other, value in zip(found.rows, found.values, strict=True)
    )
    with st.container(border=True):
        st.markdown(f"**2. The nearest films.** Nearest to {plain(space.spoken[row])}, by cosine: {similar}.")
        st.markdown(
            f"It has the most ratings here, {count(int(space.facts.n_ratings[row]))} to train on. The cosine of two "
            "films is 1 where their factors point the same way, 0 where they have nothing in common. It is measured in "
            f"all factors, not in a picture, among the {count(len(among))} films with the most ratings."
        )
        _open("See it on the map", "near", run, {**_MAP, "explore-among": True}, film=space.item_id[row])


def _second_axis(run: Run, space: Learned) -> None:
    if len(space.axes) < 2:
        return
    axis, scores = space.axes[1], space.pca.scores[:, 1]
    low, high = int(axis.low[0]), int(axis.high[0])
    apart = (scores[high] - scores[low]) / scores.std()
    follows = f" {plain(said(axis, 'PC2'))}." if axis.follows else f" {plain(axis.words)}."
    with st.container(border=True):
        st.markdown(
            f"**3. Two films far apart.** On PC2 {plain(space.spoken[low])} and {plain(space.spoken[high])} stand "
            f"{apart:.1f} standard deviations apart.{follows}"
        )
        st.markdown(
            "Do you know both? Think of a name for what sets them apart, then look who stands between them. On the map "
            f"{plain(space.spoken[high])} is marked, at the top; {plain(space.spoken[low])} stands at the bottom."
        )
        _open("See PC2 on the map", "apart", run, _MAP, film=space.item_id[high])


def _tastes(run: Run, chosen: Chosen, space: Learned) -> None:
    """On simulated ratings only: what was really behind them."""
    try:
        found = recovered(chosen.version, chosen, space)
    except ValueError:  # too few films to measure it on: Explore says so
        return
    names = truth_of(chosen.ratings, space.space.item_idx).names
    order = np.argsort(-found.r2)
    best, worst = int(order[0]), int(order[-1])
    with st.container(border=True):
        st.markdown(
            f"**4. The truth.** These ratings are simulated, so the tastes behind them are known. From the factors one "
            f"can read {plain(names[best])} with R² = {found.r2[best]:.2f} and {plain(names[worst])} with "
            f"{found.r2[worst]:.2f}, on films that the reading was not fitted on."
        )
        _open("See every taste", "tastes", run, {"explore-tab": TRUTH})


def _list(space: Learned, rows: np.ndarray) -> str:
    return ", ".join(plain(space.spoken[row]) for row in rows)


def _open(words: str, name: str, run: Run, shown: Mapping[str, Any], film: Any = None) -> None:
    """A button into Explore on this run, which shows just that: a tab, axes, a film.

    ``shown`` are values of Explore's in the session; ``None`` puts a widget back to what it begins with, as one that
    has a default of its own must not be given a value.
    """
    if st.button(words, icon=":material/bubble_chart:", key=f"learn:open:{name}"):
        for key, value in shown.items():
            if value is None:
                st.session_state.pop(key, None)
            else:
                st.session_state[key] = value
        st.switch_page(EXPLORE, query_params={"run": run.id} | ({} if film is None else {"film": str(film)}))


def beyond_chance(axes: Sequence[Axis], *, told: bool) -> list[tuple[int, str, float]]:
    """Which of the ``axes``, from 0, goes along with what, and its r, the strongest first.

    With year and genres; with what a run was ``told``, mean rating and popularity, where that is asked for.

    Beyond chance over all axes together: the best of T comparisons on each of c meaningless axes exceeds the limit
    once in twenty such spaces, not once in twenty axes.
    """
    found = []
    for at, axis in enumerate(axes):
        usable = [(what, r) for what, r in axis.correlations if (what in TOLD) == told]
        if usable and abs(usable[0][1]) >= max(STRONG, _chance(axis, len(usable) * len(axes))):
            found.append((at, *usable[0]))
    return sorted(found, key=lambda each: -abs(each[2]))


def _chance(axis: Axis, n_compared: int) -> float:
    """The |r| that the best of ``n_compared`` meaningless comparisons exceeds once in twenty times; see `axes`."""
    if axis.chance >= 1:
        return 1.0
    once, all_of_them = (NormalDist().inv_cdf(1 - 0.05 / (2 * n)) for n in (len(axis.correlations), n_compared))
    return math.tanh(math.atanh(axis.chance) * all_of_them / once)


def _point(space: Learned) -> None:
    """What the model has found out, and apart from it what was in the ratings it was given."""
    found, told = (beyond_chance(space.axes, told=told) for told in (False, True))
    ratings = f"From {count(int(space.facts.n_ratings.sum()))} ratings alone"
    if found:
        at, what, r = found[0]
        verb = "goes" if len(found) == 1 else "go"
        aha(
            f"{ratings}, {len(found)} of {len(space.axes)} axes {verb} along with a year or a genre, which the model "
            f"was never told; the strongest is {plain(what)} on PC{at + 1}, r = {_r(r)}."
        )
    elif all(what in TOLD for axis in space.axes for what, _ in axis.correlations):
        aha("Neither years nor genres are known of these films, so nothing here can tell what an axis has found out.")
    else:
        aha(
            f"{ratings}, no axis of this run goes along with a year or a genre beyond chance: train longer, or on more "
            "ratings, and look again."
        )
    if told:
        listed = ", ".join(f"PC{at + 1}" for at, *_ in sorted(told))
        st.markdown(
            f"Along with mean rating or popularity {'goes' if len(told) == 1 else 'go'} {listed}. Both are computed "
            "from the ratings that the model was trained on, so this is a summary of them and no discovery."
        )


def _r(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
