"""The board of a class: who predicts best, the curves of the best runs, and how the best error fell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
from cfcore.ui.compare.rows import baselines_of, kept_earlier_text, status_text
from cfcore.ui.components import how_many, show_table, table_size
from cfcore.ui.frame import guard
from cfcore.ui.result import config_line
from cfcore.ui.words import error, percent

LIVE_SECONDS, CLOSED_SECONDS = 2.0, 10.0
CURVES_HEIGHT = 360
AGAINST = "Vs user + movie bias"
MOST_PIXELS = 460  # of the table: about twelve people, the rest by scrolling in it


@dataclass(frozen=True, eq=False, kw_only=True)
class Board:
    """What a board shows: ``runs`` on the class's data and split, and how many ``others`` are shown and are not.

    The runs of ``places`` that are drawn, and those in training, have their histories; ``n_people`` have joined.
    """

    places: Sequence[Standing]
    runs: Sequence[Run]
    others: int
    n_people: int


def board(room: Room) -> None:
    """The board, which keeps itself up to date; slowly, once the class is closed."""
    st.fragment(_board, run_every=CLOSED_SECONDS if room.closed else LIVE_SECONDS)(room)


@st.cache_resource(ttl=LIVE_SECONDS / 2, max_entries=64, show_spinner=False, hash_funcs={Room: repr})
def read_board(room: Room) -> Board:
    """Read once for all who look at the class in the same second: thirty browsers ask every other one."""
    store = state.store()
    shown, people = store.rooms.shown(room.code), store.rooms.people(room.code)
    runs = store.get_many(list(shown), histories=False)
    fitting = on_the_board(room, shown, runs)
    places = standings(room, people, fitting)
    drawn = [each.best.id for each in places if each.best][:MOST_CURVES]
    training = [each.training.id for each in places if each.training]
    whole = {run.id: run for run in store.get_many([*drawn, *training])}
    return Board(
        places=[
            replace(
                each,
                best=each.best and whole.get(each.best.id, each.best),
                training=each.training and whole.get(each.training.id, each.training),
            )
            for each in places
        ],
        runs=fitting,
        others=len(runs) - len(fitting),
        n_people=len(people),
    )


def forget() -> None:
    """Read the boards anew, because what they show has changed."""
    read_board.clear()


def _board(room: Room) -> None:
    with guard():
        if state.store().rooms.get(room.code) != room:
            st.rerun()  # the whole page: what its left side says has changed
        state.store().rooms.look_at(room.code)
        seen = read_board(room)
        state.store().look_at(*(run.id for run in seen.runs))
        st.subheader("Board", anchor="board")
        _summary(seen)
        if not seen.runs:
            st.info("Nothing on the board yet: train a run, and it appears here.", icon=":material/leaderboard:")
            return
        _table(seen.places)
        curves, best = st.columns([1.5, 1], gap="medium")
        with curves:
            _curves(seen.places)
        with best:
            _best(room, seen)


def _summary(seen: Board) -> None:
    training = sum(each.training is not None for each in seen.places)
    words = [f"{how_many(seen.n_people, 'person', 'people')} joined"]
    words += [f"{how_many(len(seen.runs), 'run', 'runs')} on the board"]
    words += [f"{training} in training or waiting"] if training else []
    words += [f"{how_many(seen.others, 'run', 'runs')} on other data or another split not shown"] if seen.others else []
    st.caption(" · ".join(words))


def _table(places: Sequence[Standing]) -> None:
    rows = [_row(each) for each in places]
    show_table(
        rows,
        hide_index=True,
        column_config={
            "#": st.column_config.TextColumn(width=44, pinned=True),
            "Name": st.column_config.TextColumn(width=150, pinned=True),
            "RMSE, stars": st.column_config.TextColumn(width=95),
            AGAINST: st.column_config.TextColumn(width=165, help="How much lower the error is than without factors."),
            "Approach": st.column_config.TextColumn(width=180),
            "Now": st.column_config.TextColumn(width=150),
            "Runs": st.column_config.NumberColumn(width=60),
            "Settings": st.column_config.TextColumn(width=320),  # last: the longest, and the least to be missed
        },
        alt=f"Leaderboard of {how_many(len(rows), 'person', 'people')}, the lowest error first.",
        **table_size(len(rows), MOST_PIXELS),
    )


def _row(each: Standing) -> dict[str, object]:
    m, shown = each.best.metrics if each.best else None, each.best or each.training
    against = "–"
    if m is not None and m.valid_rmse is not None:
        share = 1 - m.valid_rmse / m.baseline_bias_rmse
        against = f"{percent(abs(share))} {'better' if share >= 0 else 'worse'}"
    return {
        "#": str(each.rank or "–"),
        "Name": f"{each.who} (you)" if each.visitor == state.visitor() else each.who,
        "RMSE, stars": error(each.rmse),
        AGAINST: against,
        "Approach": describe(shown.request.config.approach).title if shown else "–",
        "Now": status_text(each.training) if each.training else "",
        "Runs": each.n_runs,
        "Settings": config_line(shown.request.config) if shown else "–",
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
    if apart := kept_earlier_text([(each.who, each.best) for each in places if each.best][:MOST_CURVES]):
        st.caption(apart)


def _best(room: Room, seen: Board) -> None:
    """How the best error of the class fell."""
    names = {each.visitor: each.who for each in seen.places}
    records = [
        Record(who=names.get(run.visitor, "Somebody"), at=run.finished or 0.0, rmse=run.metrics.valid_rmse)
        for run in best_so_far(seen.runs)
        if run.metrics is not None and run.metrics.valid_rmse is not None
    ]
    st.markdown("**The best so far**, in minutes since the first run")
    with st.container(height=BEST_HEIGHT + 16, border=False):
        if not records:
            st.caption("No run has ended yet.")
            return
        began = max(room.created, min(run.started or run.created for run in seen.runs))
        until = max(run.finished or began for run in seen.runs)  # of those that were not the best, too
        spec, alt = best_spec(records, began, until), best_alt(records, began, until)
        st.vega_lite_chart(spec=spec, width="stretch", key="class:best", alt=alt)
