"""Which run a page looks at: chosen from this visit's runs or by link, finished or still training.

Explore and Recommend share one run with Train, under ``session_state["run"]``. Of a finished run the vectors come from
the store, of one that trains from its worker, as of the last epoch.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import streamlit as st

from cfcore.approaches import describe, make_config
from cfcore.config import RunRequest
from cfcore.datasets import DataError
from cfcore.models import Model, from_arrays
from cfcore.ratings import Ratings, Split
from cfcore.runs import Run, StoreError
from cfcore.ui import state
from cfcore.ui.components import shows
from cfcore.ui.frame import arrived, guard
from cfcore.ui.progress import progress_line
from cfcore.ui.queue import price
from cfcore.ui.result import submit
from cfcore.ui.words import count, error, number, plain, seconds, sentence

LIVE_SECONDS = 1.0  # between two looks at a run that trains
MOST_RUNS = 40  # of this visit, in the select box
QUICK = "fastai_dot"  # trained where there is nothing to look at yet: good in seconds
ENDED_WELL = ("done", "stopped")


@dataclass(frozen=True, eq=False, kw_only=True)
class Chosen:
    """A run and what it has learned; ``arrays`` are those of :func:`cfcore.outcome.run_arrays`, without snapshots.

    While the run trains (``live``) they are as of ``epoch``, and a page looks again every ``refresh`` seconds.
    """

    run: Run
    ratings: Ratings
    split: Split
    arrays: dict[str, np.ndarray]
    epoch: int

    @property
    def live(self) -> bool:
        return self.run.active

    @property
    def version(self) -> str:
        """Changes whenever ``arrays`` do: what a page computes from them is cached under it.

        Not the epoch alone: a run that was stopped within an epoch ends with other weights than its last epoch's.
        """
        return f"{self.run.id}:{self.run.status}:{self.epoch}"

    @property
    def refresh(self) -> float | None:
        return LIVE_SECONDS if self.live else None

    @cached_property
    def model(self) -> Model:
        return from_arrays(self.arrays)


def choose_run(key: str) -> Chosen | None:
    """Let the reader choose a run; where there is none to look at, say what to do, and give ``None``."""
    if arrived() and "run" in st.query_params:
        st.session_state["run"] = st.query_params["run"]
    runs = _candidates()
    wanted = st.session_state.get("run", "")
    if wanted and all(run.id != wanted for run in runs):
        _why_not(wanted)
    if not runs:
        _nothing_yet()
        return None
    run = next((run for run in runs if run.id == wanted), runs[0])
    _select(key, runs, run)
    if st.query_params.get("run") != run.id:
        st.query_params["run"] = run.id
    try:
        chosen = look(run)
    except (DataError, StoreError) as problem:
        st.error(sentence(str(problem)), icon=":material/error:")
        return None
    if chosen is None:
        _wait_for(run)
    elif chosen.ratings.about.name != state.dataset():
        st.caption(
            f":material/database: This run learned from {plain(chosen.ratings.about.title)}; what is shown here is of "
            "that data set, not of the one named above."
        )
    return chosen


def look(run: Run) -> Chosen | None:
    """The run with what it has learned so far; ``None`` while that is nothing.

    Raises:
        DataError: the run's data set cannot be read here.
        StoreError: its arrays are gone, or are not of this data set.
    """
    state.store().look_at(run.id)
    arrays = state.jobs().peek(run.id) if run.active else state.run_arrays(run.id)
    if arrays is None:
        return None
    ratings = state.ratings(run.request.dataset)
    if (len(arrays["user_factors"]), len(arrays["item_factors"])) != (ratings.n_users, ratings.n_items):
        raise StoreError(
            f"run {run.id} learned from other ratings than {ratings.about.title} holds by now: train it again"
        )
    split = state.split(run.request.dataset, run.request.split.to_json())
    epoch = int(arrays["epoch"]) if run.active else len(run.history)
    return Chosen(run=run, ratings=ratings, split=split, arrays=arrays, epoch=epoch)


def look_again(chosen: Chosen) -> Chosen:
    """For a page's fragment: the same run as it is now; runs the whole page once more when its training has ended."""
    if not chosen.live:
        return chosen
    run = state.store().get(chosen.run.id)
    if run is None or not run.active:
        st.rerun()
    return look(run) or chosen


def label(run: Run) -> str:
    """A run in a line: its name or approach, what sets it apart, and how good it is."""
    config, metrics = run.request.config, run.metrics
    parts = [run.name or describe(config.approach).title]
    parts += [f"{config.embedding_size} factors"] if config.embedding_size is not None else []
    parts += [f"rate {number(config.learning_rate)}"] if config.learning_rate is not None else []
    parts += [f"lookup {config.lookup}"] if config.lookup not in (None, "index") else []
    parts += [run.dataset_title or run.request.dataset]
    if run.active:
        parts.append(f"training, epoch {len(run.history)} of {config.epochs}" if run.history else "about to start")
    elif metrics is not None and metrics.valid_rmse is not None:
        parts.append(f"RMSE {error(metrics.valid_rmse)}")
    return " · ".join(parts)


def _candidates() -> Sequence[Run]:
    """This visit's runs that have vectors or will have them, newest first, after the one in use if it is another's."""
    mine = state.store().list(visitor=state.visitor(), limit=MOST_RUNS)
    linked = state.store().get_many([st.session_state.get("run", "")])
    others = [run for run in linked if all(run.id != own.id for own in mine)]
    return [run for run in (*others, *mine) if run.active or run.status in ENDED_WELL]


def _select(key: str, runs: Sequence[Run], run: Run) -> None:
    """The select box, filled from the session on every run, so that Train, a link or a button can change it."""
    labels: dict[str, str] = {each.id: label(each) for each in runs}
    st.selectbox(
        "Run",
        list(labels),
        format_func=labels.__getitem__,
        help="Your runs, newest first. A link with ?run=... shows anybody's.",
        **shows(f"choose-run:{key}", run.id, lambda run_id: st.session_state.update(run=run_id)),
    )


def _why_not(run_id: str) -> None:
    run = state.store().get(run_id)
    if run is None:
        words = "There is no run with this link here: it was deleted, or it ran on another server."
    else:
        words = f"The run that was asked for {run.status}, so it has learned nothing that could be shown here."
    st.warning(words, icon=":material/link_off:")
    st.session_state.pop("run", None)


def _nothing_yet() -> None:
    """What to do where nothing has been trained: train something right here, or go to Train."""
    ratings, rules = state.chosen_ratings(), state.rules()
    key = QUICK if rules is None or QUICK in rules.approaches else rules.approaches[0]
    config = make_config(key, scale=ratings.scale)
    split = rules.split if rules else describe(key).preset_split
    request = RunRequest(dataset=ratings.about.name, split=split, config=config)
    cost = price(request)
    refused = cost.refused if cost else None
    n_train, _ = state.split_sizes(request.dataset, request.split.to_json())
    with st.container(border=True):
        st.subheader("Nothing has been trained yet", anchor=False)
        st.markdown(
            "This page shows what a model has learned. Train one here, with its usual settings, or choose "
            "approach and settings yourself on the Train page."
        )
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.button(
                "Train a model now",
                type="primary",
                icon=":material/play_arrow:",
                on_click=submit,
                args=(request, ratings.about.title),
                disabled=refused is not None,
            )
            st.page_link("pages/train.py", label="To the Train page", icon=":material/model_training:")
        st.caption(
            f"{describe(key).title} on the {count(n_train)} training ratings of {plain(ratings.about.title)}: "
            f"roughly {seconds(cost.seconds if cost else None)} on two cores."
        )
        if refused:
            st.error(sentence(refused), icon=":material/error:")


def _wait_for(run: Run) -> None:
    """The progress of a run that has nothing to show yet; the whole page runs once more when it has."""
    st.fragment(_wait, run_every=LIVE_SECONDS)(run.id)


def _wait(run_id: str) -> None:
    with guard():
        run = state.store().get(run_id)
        if run is None or not run.active or state.jobs().peek(run_id) is not None:
            st.rerun()
        share, words = progress_line(run, time.time())
        st.progress(share, text=words)
        st.caption("What it learns is shown here after its first epoch; of a very large model, when it is finished.")
