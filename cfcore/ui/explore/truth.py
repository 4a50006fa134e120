"""The True tastes tab, for simulated ratings only: how much of what lies behind them the learned space tells."""

from __future__ import annotations

import numpy as np
import streamlit as st

from cfcore.embeddings import Recovery, recovery, truth_of
from cfcore.runs import StoreError
from cfcore.ui import state
from cfcore.ui.components import show_table
from cfcore.ui.explore.space import Learned
from cfcore.ui.frame import guard
from cfcore.ui.runs import Chosen
from cfcore.ui.words import sentence

SHUFFLES = 2  # of the cross-validation on the page; each takes a while, and more hardly change two decimals


def truth_tab(chosen: Chosen, learned: Learned) -> None:
    """A row for each true taste, of films and of people."""
    with guard():
        st.markdown(
            "These ratings are simulated, so the tastes behind them are known, and no model was told. How much of each "
            "can be read from the learned vectors? R² is measured on films and people that the reading was not fitted "
            "on: 1 is all of it, 0 nothing."
        )
        try:
            films, people, before = _measured(chosen.version, chosen, learned)
            names = truth_of(chosen.ratings, learned.space.item_idx).names
        except ValueError as problem:
            st.info(sentence(str(problem)), icon=":material/science:")
            return
        _table(names, films, people, before)
        first = ", ".join(f"{value:.2f}" for value in films.canonical[: len(names)])
        st.caption(
            "Quality is how well a film is liked by all, generosity how many stars a person gives to all. Canonical "
            f"correlations of the films' vectors with the truth, from the best direction on: {first}."
        )


def _table(names: tuple[str, ...], films: Recovery, people: Recovery | None, before: Recovery | None) -> None:
    columns: dict[str, object] = {"Taste": [*names[:-1], "quality; generosity"], "Films": _share(films.r2)}
    if before is not None:
        columns["Films before training"] = _share(before.r2)
    if people is not None:
        columns["People"] = _share(people.r2)
    bar = {
        name: st.column_config.ProgressColumn(f"{name}, R²", min_value=0.0, max_value=1.0, format="%.2f")
        for name in columns
        if name != "Taste"
    }
    best = int(np.argmax(films.r2))
    show_table(
        columns,
        hide_index=True,
        column_config={"Taste": st.column_config.TextColumn(width="small"), **bar},
        alt=f"Table of {len(names)} true tastes. For films, R2 from {films.r2.min():.2f} to {films.r2.max():.2f}; "
        f"best {names[best]}.",
    )


def _share(r2: np.ndarray) -> np.ndarray:
    """A little below 0 is what a space that knows nothing gets: no bar can show that."""
    return np.clip(r2, 0, 1)


@st.cache_resource(max_entries=8, show_spinner="Asking the simulation for the truth")
def _measured(version: str, _chosen: Chosen, _learned: Learned) -> tuple[Recovery, Recovery | None, Recovery | None]:
    """Of the films, of the people, and of the films before training, where that is known."""
    users = _chosen.arrays["user_factors"]
    known = np.flatnonzero(np.isfinite(users).all(axis=1))
    truth = truth_of(_chosen.ratings, known, "users").values
    people = recovery(users[known], truth, shuffles=1) if users.shape[1] else None
    return recovered(version, _chosen, _learned), people, _before(_chosen)


@st.cache_resource(max_entries=8, show_spinner="Asking the simulation for the truth")
def recovered(version: str, _chosen: Chosen, _learned: Learned) -> Recovery:
    """How much of each true taste can be read from the films' vectors, on films that the reading was not fitted on.

    Raises:
        ValueError: there are too few films to measure it on.
    """
    truth = truth_of(_chosen.ratings, _learned.space.item_idx)
    return recovery(_learned.space.vectors, truth.values, shuffles=SHUFFLES)


def _before(chosen: Chosen) -> Recovery | None:
    if chosen.live:
        return None
    try:
        arrays = state.run_arrays(chosen.run.id, "snapshot_epochs", "snapshot_item_idx", "snapshot_factors")
    except StoreError:
        return None
    if len(arrays["snapshot_epochs"]) == 0 or arrays["snapshot_epochs"][0] != 0:
        return None
    items = arrays["snapshot_item_idx"]
    return recovery(
        arrays["snapshot_factors"][0].astype(np.float64), truth_of(chosen.ratings, items).values, shuffles=1
    )
