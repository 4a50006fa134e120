"""Compare: many runs side by side, as a table, as curves, and as a sweep over settings."""

from collections.abc import Sequence

import streamlit as st

from cfcore.ratings import Ratings
from cfcore.runs import Run
from cfcore.ui import doctor, state
from cfcore.ui.compare import state as cs
from cfcore.ui.compare.actions import actions, undo_notice
from cfcore.ui.compare.curves import curves, difference_table
from cfcore.ui.compare.export import exports
from cfcore.ui.compare.grid import sweep_picture
from cfcore.ui.compare.rows import names_of
from cfcore.ui.compare.start import five_ways_form
from cfcore.ui.compare.sweep import sweep_form
from cfcore.ui.compare.table import choose_by_name, filters, table
from cfcore.ui.components import shows
from cfcore.ui.frame import arrived, page

VIEWS = {"runs": ":material/table_chart: Runs and curves", "sweep": ":material/grid_on: Sweep"}


def choose_view() -> str:
    """Runs, or a sweep."""
    st.segmented_control(
        "View",
        list(VIEWS),
        required=True,
        format_func=VIEWS.__getitem__,
        label_visibility="collapsed",
        **shows("compare:view", cs.memory()["view"], lambda view: cs.memory().update(view=view)),
    )
    return cs.memory()["view"]


def runs_view(ratings: Ratings, runs: Sequence[Run]) -> None:
    five_ways_form(ratings)
    undo_notice()
    if not runs:
        nothing_yet()
        return
    filters()
    table(runs)
    names = names_of(runs)
    choose_by_name(runs, names)
    chosen = cs.chosen_of(runs)
    state.store().look_at(*(run.id for run in chosen))
    actions(chosen)
    if not chosen:
        st.info(
            "Tick one or more runs in the table, or choose them by name: their curves are drawn here.",
            icon=":material/check_box:",
        )
        return
    st.subheader("Curves", anchor=False)
    curves(chosen, names)
    difference_table(chosen, names)
    doctor.findings_of_many(chosen, names)
    exports(chosen, names)


def nothing_yet() -> None:
    with st.container(border=True):
        st.markdown(
            "**Nothing to compare yet.** Press *Five ways, one split* to train all five approaches on the same ratings "
            "and watch their curves over each other, or train runs of your own: each is listed here."
        )
        st.page_link("pages/train.py", label="Train a run of your own", icon=":material/model_training:")


def sweep_view(ratings: Ratings, runs: Sequence[Run]) -> None:
    left, right = st.columns([1, 2.3], gap="medium")
    with left:
        sweep_form(ratings)
    with right:
        undo_notice()
        sweep_picture(runs)


with page("Compare", "Which approach, and which settings, predict held-out ratings best?") as ratings:
    if arrived():
        cs.read_address()
    runs = cs.all_runs()
    if choose_view() == "sweep":
        sweep_view(ratings, runs)
    else:
        runs_view(ratings, runs)
    cs.write_address(cs.chosen_of(runs))
