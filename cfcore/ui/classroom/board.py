"""The board of a class: who predicts best, the curves of the best runs, and how the best error fell."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from cfcore.approaches import describe
from cfcore.charts import MOST_CURVES
from cfcore.charts.board import BEST_HEIGHT, Record, best_alt, best_spec
from cfcore.charts.compare import Curve, View, compare_alt, compare_spec
from cfcore.export.tables import updates_an_epoch
from cfcore.rooms import Room
from cfcore.runs import Run
from cfcore.standings import Standing, best_so_far, on_the_board, standings
from cfcore.ui import state
from cfcore.ui.compare.rows import baselines_of, status_text
from cfcore.ui.components import how_many, table_size
from cfcore.ui.frame import guard
from cfcore.ui.result import config_line
from cfcore.ui.words import error, percent

LIVE_SECONDS = 2.0
CURVES_HEIGHT = 360
MOST_PIXELS = 460  # of the table: about twelve people, the rest by scrolling in it


def board(room: Room) -> None:
    """The board, which keeps itself up to date for as long as the class is open."""
    st.fragment(_board, run_every=None if room.closed else LIVE_SECONDS)(room.code)


@st.cache_resource(ttl=LIVE_SECONDS / 2, max_entries=64, show_spinner=False, hash_funcs={Room: repr})
def on(room: Room) -> tuple[list[Standing], list[Run], int]:
    """The standings, the runs they are made of, and how many shown runs are on other data or another split.

    Read once for all who look at the class in the same second: thirty browsers ask every other one.
    """
    rooms = state.store().rooms
    shown = rooms.shown(room.code)
    runs = state.store().get_many(list(shown))
    fitting = on_the_board(room, shown, runs)
    return standings(room, rooms.people(room.code), shown, runs), fitting, len(runs) - len(fitting)


def forget() -> None:
    """Read the boards anew, because what they show has changed."""
    on.clear()


def _board(code: str) -> None:
    with guard():
        room = state.store().rooms.get(code)
        if room is None:
            st.rerun()
        state.store().rooms.look_at(code)
        places, runs, others = on(room)
        state.store().look_at(*(run.id for run in runs))
        _summary(room, places, others)
        if not runs:
            st.info("Nothing on the board yet: train a run, and it appears here.", icon=":material/leaderboard:")
            return
        _table(places)
        curves, best = st.columns([1.5, 1], gap="medium")
        with curves:
            _curves(places)
        with best:
            _best(places, runs)


def _summary(room: Room, places: Sequence[Standing], others: int) -> None:
    people = how_many(len(state.store().rooms.people(room.code)), "person", "people")
    training = sum(each.training is not None for each in places)
    words = [f"{people} joined", f"{how_many(sum(each.n_runs for each in places), 'run', 'runs')} on the board"]
    words += [f"{training} in training or waiting"] if training else []
    words += [f"{how_many(others, 'run', 'runs')} on other data or another split not shown"] if others else []
    st.caption(" · ".join(words))


def _table(places: Sequence[Standing]) -> None:
    rows = [_row(each) for each in places]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config={
            "#": st.column_config.TextColumn(width=44, pinned=True),
            "Name": st.column_config.TextColumn(width=150, pinned=True),
            "RMSE, stars": st.column_config.TextColumn(width=95),
            "User + movie bias": st.column_config.TextColumn(width=130, help="How far below its error, or above."),
            "Approach": st.column_config.TextColumn(width=180),
            "Settings": st.column_config.TextColumn(width=320),
            "Runs": st.column_config.NumberColumn(width=60),
            "Now": st.column_config.TextColumn(width=260),
        },
        alt=f"Leaderboard of {how_many(len(rows), 'person', 'people')}, the lowest error first.",
        **table_size(len(rows), MOST_PIXELS),
    )


def _row(each: Standing) -> dict[str, object]:
    best, m = each.best, each.best.metrics if each.best else None
    below = "–"
    if m is not None and m.valid_rmse is not None:
        share = 1 - m.valid_rmse / m.baseline_bias_rmse
        below = f"{percent(abs(share))} {'below' if share >= 0 else 'above'}"
    return {
        "#": str(each.rank or "–"),
        "Name": each.who,
        "RMSE, stars": error(each.rmse),
        "User + movie bias": below,
        "Approach": describe(best.request.config.approach).title if best else "–",
        "Settings": config_line(best.request.config) if best else "–",
        "Runs": each.n_runs,
        "Now": f"{describe(each.training.request.config.approach).title}: {status_text(each.training)}"
        if each.training
        else "",
    }


def _curves(places: Sequence[Standing]) -> None:
    """The held-out error by epoch of the best runs, each named as its person."""
    drawn = [
        Curve(
            name=each.who,
            slot=slot,
            history=each.best.history,
            planned=len(each.best.history),
            updates=updates_an_epoch(each.best.request, each.best.n_train),
        )
        for slot, each in enumerate([each for each in places if each.best][:MOST_CURVES])
        if each.best is not None
    ]
    view = View(error="rmse", log=True, parts="valid")
    st.markdown(f"**Held-out error by epoch**, of the best {how_many(len(drawn), 'run', 'runs')}, one a person")
    with st.container(height=CURVES_HEIGHT + 16, border=False):
        if not drawn:
            st.caption("No run has ended yet.")
            return
        spec = compare_spec(
            drawn, baselines_of([each.best for each in places if each.best]), view, height=CURVES_HEIGHT
        )
        st.vega_lite_chart(spec=spec, width="stretch", key="class:curves", alt=compare_alt(drawn, view))


def _best(places: Sequence[Standing], runs: Sequence[Run]) -> None:
    """How the best error of the class fell."""
    names = {each.visitor: each.who for each in places}
    records = [
        Record(who=names.get(run.visitor, "Somebody"), at=run.finished or 0.0, rmse=run.metrics.valid_rmse)
        for run in best_so_far(runs)
        if run.metrics is not None and run.metrics.valid_rmse is not None
    ]
    st.markdown("**The best so far**, in minutes since the first run")
    with st.container(height=BEST_HEIGHT + 16, border=False):
        if not records:
            st.caption("No run has ended yet.")
            return
        began = min(run.started or run.created for run in runs)
        st.vega_lite_chart(
            spec=best_spec(records, began), width="stretch", key="class:best", alt=best_alt(records, began)
        )
