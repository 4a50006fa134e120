"""Train: pick an approach, tune it, watch it learn. Settings on the left, the run on the right."""

import streamlit as st

from cfcore.config import RunRequest
from cfcore.runs import Run
from cfcore.ui import doctor, draft, link, start, state
from cfcore.ui.batch import batch_and_predictions
from cfcore.ui.frame import arrived, page
from cfcore.ui.progress import live_run
from cfcore.ui.result import code_that_ran, heading, outcome, recent_runs, use_settings, where_next
from cfcore.ui.take_home import take_home


def read_address() -> None:
    """On arrival, take approach, settings and run from the address."""
    params = st.query_params.to_dict()
    draft.read_link(params)
    if "run" in params:
        st.session_state["run"] = params["run"]
    elif "approach" in params:  # a card or a link to an approach: an old result would only be in its way
        run = shown_run()
        if run is None or not run.active:
            st.session_state.pop("run", None)


def shown_run() -> Run | None:
    return state.store().get(st.session_state.get("run", ""))


def write_address() -> None:
    """Put what is chosen into the address, so that it can be shared and survives a reload."""
    key = draft.approach()
    params = link.to_params(key, draft.settings(key), draft.split(key))
    if "run" in st.session_state:
        params["run"] = st.session_state["run"]
    state.write_address(params)


def run_column(request: RunRequest | None) -> None:
    """The run that is shown, or the empty state."""
    run = shown_run()
    if run is not None:
        state.store().look_at(run.id)
    if run is None and "run" in st.session_state:
        st.warning(
            "There is no run with this link here: it was deleted, or it ran on another server.",
            icon=":material/link_off:",
        )
        st.session_state.pop("run")
    heading(run)
    live_run(run, request)
    if run is None:
        if request:
            code_that_ran(request, "The code that will run")
        return
    outcome(run)
    doctor.findings(run)
    where_next(run)
    if run.request != request:
        use_settings(run)
    batch_and_predictions(run)
    code_that_ran(run.request, "The code that will run" if run.status == "queued" else "The code that ran")
    take_home(run, "train")


with page("Train", "How fast, and how far, does each approach learn to predict held-out ratings?") as ratings:
    if arrived():
        read_address()
    left, right = st.columns([1, 2.3], gap="medium")
    with left:
        request = start.settings_column(ratings)
    with right:
        run_column(request)
        recent_runs()
    write_address()
