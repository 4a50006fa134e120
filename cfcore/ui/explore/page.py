"""Explore: one run, seen as a map, by its axes, its biases, its way through the epochs, and against the truth."""

from __future__ import annotations

import streamlit as st

from cfcore.ui.explore import film
from cfcore.ui.explore.bias import bias_tab
from cfcore.ui.explore.ends import components_table
from cfcore.ui.explore.flight import flight_tab
from cfcore.ui.explore.map import map_tab
from cfcore.ui.explore.space import learned
from cfcore.ui.explore.truth import truth_tab
from cfcore.ui.runs import Chosen
from cfcore.ui.words import error, sentence

MAP, AXES, BIAS, FLIGHT, TRUTH = "Map", "Axes", "Bias", "Trajectories", "True tastes"


def explore(chosen: Chosen) -> None:
    """The tabs; only the open one is computed."""
    try:
        space = learned(chosen)
    except ValueError as problem:
        st.warning(sentence(str(problem)), icon=":material/blur_off:")
        return
    film.read_address(space)
    _if_it_learned_nothing(chosen)
    names = [MAP, AXES, BIAS, FLIGHT] + [TRUTH] * bool(chosen.ratings.truth)
    tabs = dict(zip(names, st.tabs(names, key="explore-tab", on_change="rerun"), strict=True))
    with tabs[MAP]:
        if tabs[MAP].open:
            map_tab(chosen)
    with tabs[AXES]:
        if tabs[AXES].open:
            components_table(space)
    with tabs[FLIGHT]:
        if tabs[FLIGHT].open:
            flight_tab(chosen, space)
    with tabs[BIAS]:
        if tabs[BIAS].open:
            bias_tab(space)
    if TRUTH in tabs and tabs[TRUTH].open:
        with tabs[TRUTH]:
            truth_tab(chosen, space)


def _if_it_learned_nothing(chosen: Chosen) -> None:
    """Say so of a finished model that predicts no better than one number for all: or its map would be believed."""
    metrics = chosen.run.metrics
    if chosen.live or metrics is None or metrics.valid_rmse is None:
        return
    if metrics.valid_rmse >= metrics.baseline_mean_rmse:
        st.warning(
            f"This model predicts no better than the global mean (RMSE {error(metrics.valid_rmse)} against "
            f"{error(metrics.baseline_mean_rmse)}): what is seen here is mostly the noise that it began with. The run "
            "doctor on Train says what to change.",
            icon=":material/blur_on:",
        )
