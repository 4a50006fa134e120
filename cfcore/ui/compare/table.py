"""The table of runs: filtered, sorted by a click on a column's name, ticked to choose, with the best marked.

It is a fragment that keeps up with runs under way. What is ticked is kept by run, not by row: rows come and go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from pandas.io.formats.style import Styler

from cfcore.approaches import APPROACHES, BASELINES, describe
from cfcore.runs import STATUSES, Run
from cfcore.ui.compare import state as cs
from cfcore.ui.compare.rows import COLUMNS, Column, Row, best_cells, names_of, places, ranked_apart, rows_of
from cfcore.ui.components import how_many, shows
from cfcore.ui.frame import guard
from cfcore.ui.words import against, cell, count, error, plain

KEY = "compare:table"
ROW, HEIGHT = 35, 395  # pixels: one row, and the highest that the table may be
BEST = " ★"


def filters() -> None:
    """What the table shows: part of a name, approaches, states."""
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        st.text_input(
            "Search",
            key="compare:search",
            placeholder="Part of a name, a setting or a data set",
            label_visibility="collapsed",
            icon=":material/search:",
            live="300ms",
            width=340,
            persist_state="session",
        )
        approaches, statuses = _wanted()
        n = bool(approaches) + bool(statuses)
        with st.popover(f"Filter ({n})" if n else "Filter", icon=":material/filter_list:"):
            st.pills(
                "Approaches",
                [key for key in APPROACHES if key not in BASELINES],
                selection_mode="multi",
                format_func=lambda key: describe(key).title,
                key="compare:approaches",
                persist_state="session",
            )
            st.pills("Status", STATUSES, selection_mode="multi", key="compare:statuses", persist_state="session")


def table(runs: Sequence[Run]) -> None:
    """The table, live while one of ``runs`` has not ended."""
    active = tuple(run.id for run in runs if run.active)
    st.session_state.pop("compare:chose", None)
    if active:
        st.fragment(_live, run_every=cs.TABLE_SECONDS)(active)
    else:  # a part of the page like any other, so that a tick needs one run and not two
        _table(runs)


def choose_by_name(runs: Sequence[Run], names: Mapping[str, str]) -> None:
    """The chosen runs by name, to add to and to take from; the grid cannot be ticked by keyboard, this can."""
    st.multiselect(
        "Chosen runs",
        [run.id for run in runs],
        format_func=lambda run_id: names.get(run_id, run_id),
        placeholder="Choose runs to draw and export",
        **shows("compare:chosen", [run.id for run in cs.chosen_of(runs)], cs.choose),
    )


def visible(runs: Sequence[Run], names: dict[str, str]) -> list[Run]:
    """The runs that the filters let through."""
    approaches, statuses = _wanted()
    text = st.session_state.get("compare:search", "").strip().lower()
    rows = {row.run_id: row for row in rows_of(runs, names)}
    return [
        run
        for run in runs
        if (not approaches or run.request.config.approach in approaches)
        and (not statuses or run.status in statuses)
        and text in _words(rows[run.id])
    ]


def _wanted() -> tuple[list[str], list[str]]:
    return st.session_state.get("compare:approaches") or [], st.session_state.get("compare:statuses") or []


def _words(row: Row) -> str:
    return " ".join((row.name, row.approach, row.settings, row.data, row.split, row.status)).lower()


def _live(was_active: tuple[str, ...]) -> None:
    with guard():
        runs = cs.all_runs()
        if was_active != tuple(run.id for run in runs if run.active):
            st.rerun()  # what can be exported, stopped or started has changed with it
        _table(runs)
        if st.session_state.pop("compare:chose", False):
            st.rerun()  # the curves, the differences and the address follow


def _table(runs: Sequence[Run]) -> None:
    names = names_of(runs)
    shown = visible(runs, names)
    if not shown:
        st.info("No run fits the search and the filter.", icon=":material/filter_list_off:")
        return
    rows = rows_of(shown, names)
    chosen = [run.id for run in cs.chosen_of(runs)]
    st.session_state["compare:rows"] = [row.run_id for row in rows]
    ticked = [k for k, row in enumerate(rows) if row.run_id in chosen]
    _tick(ticked)
    st.dataframe(
        styled(rows),
        key=KEY,
        on_select=_take,
        selection_mode="multi-row",
        selection_default=_selection(ticked),  # for a browser that still loads the grid: it may miss what _tick sets
        hide_index=True,
        height=min(ROW * (len(rows) + 1) + 3, HEIGHT),
        placeholder="–",
        column_config=_config(),
        alt=f"Table of {how_many(len(shown), 'run', 'runs')} and the baselines.",
    )
    _say_what_it_means(shown, rows, chosen)


def _tick(rows: list[int]) -> None:
    """Make the table show what is chosen; only when it does not, so that a tick under way is not undone."""
    known = st.session_state.get(KEY)
    if known is None or sorted(known["selection"]["rows"]) != rows:
        st.session_state[KEY] = _selection(rows)


def _selection(rows: list[int]) -> Any:
    return {"selection": {"rows": rows, "columns": [], "cells": []}}


def _take() -> None:
    """Choose what is ticked; what was chosen and is hidden by a filter stays chosen."""
    rows, ticked = st.session_state["compare:rows"], st.session_state[KEY]["selection"]["rows"]
    now = [rows[k] for k in ticked if k < len(rows) and rows[k]]
    before = [run.id for run in cs.chosen_of(cs.all_runs())]
    kept = [run_id for run_id in before if run_id in now or run_id not in rows]
    cs.choose([*kept, *now])
    st.session_state["compare:chose"] = True


def styled(rows: Sequence[Row]) -> Styler:
    """Numbers stay numbers, so that they sort; the best of each column is bold and wears a star."""
    best = best_cells(rows)
    named = any(not row.name.startswith(row.approach) for row in rows if row.run_id)  # else the name says it
    frame = pd.DataFrame(
        [
            {"Run": cell(row.name)}
            | ({"Approach": row.approach} if named else {})
            | {"Status": row.status}
            | {column.name: row.values[column.name] for column in COLUMNS}
            | {"Settings": cell(row.settings), "Data": cell(row.data), "Split": row.split}
            for row in rows
        ]
    ).astype({column.name: float for column in COLUMNS})
    cells = [[(k, name) in best for name in frame.columns] for k in range(len(rows))]
    bold = pd.DataFrame(np.where(cells, "font-weight: 700", ""), index=frame.index, columns=frame.columns)
    table = frame.style.apply(lambda _: bold, axis=None)
    table.format({column.name: column.show for column in COLUMNS}, na_rep="–")
    alike: dict[tuple[str, ...], list[int]] = {}  # rows by the columns they are best in: each call takes milliseconds
    for k in sorted({k for k, _ in best}):
        alike.setdefault(tuple(column.name for column in COLUMNS if (k, column.name) in best), []).append(k)
    for names, which in alike.items():
        stars = {column.name: _starred(column) for column in COLUMNS if column.name in names}
        table.format(stars, subset=(which, list(names)))
    return table


def _starred(column: Column) -> Callable[[float], str]:
    return lambda value: f"{column.show(value)}{BEST}"


def _config() -> dict:
    texts = {name: st.column_config.TextColumn(width="medium") for name in ("Data", "Split")}
    texts |= {"Settings": st.column_config.TextColumn(width="large"), "Status": st.column_config.TextColumn(width=135)}
    texts["Approach"] = st.column_config.TextColumn(width=150)
    texts["Run"] = st.column_config.TextColumn(width=220, pinned=True)
    return texts | {
        column.name: st.column_config.NumberColumn(help=column.help, width=_width(column)) for column in COLUMNS
    }


def _width(column: Column) -> int:
    """Pixels for the column's name, or for a number with its star; fixed, or a star that arrives would be cut off."""
    return max(94, 24 + 8 * len(column.name))


def _which_is_best(shown: Sequence[Run], rows: Sequence[Row]) -> str:
    """The run that predicts best, against user + movie bias, and who does not beat that; '' where nothing compares."""
    measured = [(run.metrics.valid_rmse, run) for run in shown if run.metrics and run.metrics.valid_rmse is not None]
    if len(places(shown)) != 1 or not measured:
        return ""
    names = {row.run_id: plain(row.name) for row in rows}
    rmse, best = min(measured, key=lambda pair: pair[0])
    bias = best.metrics.baseline_bias_rmse if best.metrics else None
    words = f"**{names[best.id]}** predicts best: RMSE {error(rmse)}, {against(rmse, bias, 'user + movie bias')}."
    behind = [names[run.id] for value, run in measured if bias is not None and value >= bias and run.id != best.id]
    if behind:
        more = f" and {len(behind) - 4} more" if len(behind) > 4 else ""
        words += f" Not better than that baseline: {', '.join(behind[:4])}{more}."
    return words


def _say_what_it_means(shown: Sequence[Run], rows: Sequence[Row], chosen: Sequence[str]) -> None:
    best = _which_is_best(shown, rows)
    if best:
        st.markdown(best)
    words = [f"{how_many(len(shown), 'run', 'runs')}; ★ is the best of its column, baselines included."]
    if len(places(shown)) > 1:
        words.append(
            f"They were measured on {len(places(shown))} different data sets or splits, whose errors do not compare: "
            "each has its own ★ and its own baselines."
        )
    apart = ranked_apart(rows)
    if apart:
        words.append(
            f"{how_many(len(apart), 'row was', 'rows were')} ranked for another number of users, "
            "which does not compare, and no ★ is given there for NDCG, precision, recall and hits: "
            f"{', '.join(f'{plain(row.name)} for {count(row.ranked or 0)}' for row in apart[:3])}"
            f"{' and more' if len(apart) > 3 else ''}."
        )
    hidden = len(set(chosen) - {run.id for run in shown})
    if hidden:
        words.append(f"{how_many(hidden, 'chosen run is', 'chosen runs are')} hidden by the filter.")
    words.append("Tick runs to draw and export them; a click on a column's name sorts.")
    st.caption(" ".join(words))
