"""The curves of the chosen runs over each other, and what differs between their settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from cfcore.charts import MOST_CURVES
from cfcore.charts.compare import COMPARE_HEIGHT, Curve, View, compare_alt, compare_spec
from cfcore.export.tables import updates_an_epoch
from cfcore.runs import Run
from cfcore.ui import state
from cfcore.ui.compare import state as cs
from cfcore.ui.compare.rows import baselines_of, differences, kept_earlier_text, places
from cfcore.ui.components import choose_one, show_table
from cfcore.ui.frame import guard
from cfcore.ui.words import plain

ROW = 35  # pixels of a table's row
SMOOTHING_HELP = (
    r"An exponential moving average, corrected for its start: $m_t = s\,m_{t-1} + (1-s)\,x_t$, drawn is "
    r"$m_t / (1 - s^t)$. The faint line is what was measured, and so are the numbers at the ends."
)


def curves(chosen: Sequence[Run], names: Mapping[str, str]) -> None:
    """The chart, live while one of the runs on it has not ended; ``names`` by run id."""
    drawn = chosen[:MOST_CURVES]
    active = any(run.active for run in drawn)
    st.fragment(_curves, run_every=cs.LIVE_SECONDS if active else None)([run.id for run in drawn], names)
    if len(chosen) > MOST_CURVES:
        st.caption(f"At most {MOST_CURVES} curves: these are the first {MOST_CURVES} of {len(chosen)} chosen runs.")
    if len(places(drawn)) > 1:
        st.warning(
            "These runs were measured on different data or splits, so the heights of their curves do not compare, "
            "and no baseline is drawn.",
            icon=":material/balance:",
        )


def difference_table(chosen: Sequence[Run], names: Mapping[str, str]) -> None:
    """One row a run, one column a setting, and only those settings in which the runs differ."""
    if len(chosen) < 2:
        return
    differing, shared = differences(chosen)
    st.markdown("**What differs**")
    if not differing:
        st.info("These runs asked for exactly the same.", icon=":material/drag_handle:")
    else:
        show_table(
            pd.DataFrame({"Run": [names[run.id] for run in chosen], **differing}),
            hide_index=True,
            height=min(ROW * (len(chosen) + 1) + 3, 330),
            column_config={"Run": st.column_config.TextColumn(pinned=True)},
            alt=f"Table of the settings in which {len(chosen)} runs differ: {', '.join(differing).lower()}.",
        )
    if shared:
        st.caption("The same in all: " + plain(" · ".join(f"{name.lower()} {value}" for name, value in shared.items())))


def _curves(run_ids: Sequence[str], names: Mapping[str, str]) -> None:
    with guard():
        runs = [run for run in state.store().get_many(list(run_ids)) if run.id in names]
        slots = cs.slots(runs)
        view = _view()
        drawn = [
            Curve(
                name=names[run.id],
                slot=slots[run.id],
                history=run.history,
                planned=(run.request.config.epochs or 1) if run.active else len(run.history),
                updates=updates_an_epoch(run.request, run.n_train),
            )
            for run in runs
        ]
        with st.container(height=COMPARE_HEIGHT + 16, border=False):
            st.vega_lite_chart(
                spec=compare_spec(drawn, baselines_of(runs), view),
                width="stretch",
                key="compare:curves",
                alt=compare_alt(drawn, view),
            )
        _read(view)
        if apart := kept_earlier_text((names[run.id], run) for run in runs):
            st.caption(apart)


def _view() -> View:
    """The chart's options, in one line that wraps on a phone."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="compare-options"):
        x = choose_one("Across", {"epoch": "Epochs", "update": "Updates", "seconds": "Seconds"}, "compare:x", "epoch")
        log_x = st.toggle("Log across", key="compare:log-x", persist_state="session", help="A logarithmic axis across.")
        error = choose_one("Error", {"mse": "MSE", "rmse": "RMSE"}, "compare:error", "mse")
        log = choose_one("Scale", {"linear": "Linear", "log": "Log"}, "compare:log", "log")
        parts = choose_one(
            "Parts", {"both": "Train and valid", "valid": "Valid", "train": "Train"}, "compare:parts", "both"
        )
        smoothing = st.slider(
            "Smoothing",
            0.0,
            0.95,
            0.0,
            0.05,
            key="compare:smoothing",
            help=SMOOTHING_HELP,
            persist_state="session",
            width=170,
        )
    return View(error=error, x=x, log=log == "log", log_x=log_x, smoothing=smoothing, parts=parts)


def _read(view: View) -> None:
    words = {
        "both": "Solid: train. Dashed with points: valid.",
        "valid": "Held-out ratings.",
        "train": "Trained ratings.",
    }
    updates = ""
    if view.x == "update":
        updates = " An update is one gradient step: a full batch makes one an epoch, small batches make thousands."
    smooth = f" Smoothed with s = {view.smoothing:g}; faint: as measured." if view.smoothing else ""
    st.caption(f"{words[view.parts]}{updates}{smooth}")
