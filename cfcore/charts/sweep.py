"""A sweep as a picture: a heat map over two settings, a line over one; every cell says its number or its state.

Colour only repeats what the number says: darker is better. The scale ends at the error of the global mean, so that one
run that went wrong does not make all the others look alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from cfcore.charts.curves import AXES_HEIGHT, NAMES, QUIET, value_title
from cfcore.charts.scales import Picture, exactly, limits, short
from cfcore.sweep import Axis, Cell, Grid

CELL_HEIGHT = 58  # pixels
LINE_HEIGHT = 380
_RAMP = ("#0B4F87", "#2C7FB8", "#62A7D6", "#9CC8E6", "#CFE3F3")  # best to worst; each stands out from white and black
_INK = ("#FFFFFF", "#FFFFFF", "#10202E", "#10202E", "#10202E")
_BEST = "#E69F00"
_STATES = {"queued": "waiting", "running": "running", "diverged": "diverged", "failed": "failed", "stopped": "stopped"}


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """All of the chart but its data."""

    axes: tuple[Axis, ...]
    y_limits: tuple[float, float]


def sweep_spec(grid: Grid, baselines: Mapping[str, float | None]) -> dict[str, Any]:
    """The sweep as a Vega-Lite specification, with data frames under ``datasets``; cheap while runs come in.

    ``baselines`` are RMSE by name; ``global mean`` ends the colour scale.
    """
    known = {name: value for name, value in baselines.items() if value is not None}
    cells = sweep_table(grid, known.get("global mean"))
    shown = [*cells["rmse"].dropna(), *known.values()]
    frame = _Frame(axes=grid.axes, y_limits=limits(shown, log=False) if len(grid.axes) == 1 else (0, 1))
    rules = pd.DataFrame(
        [(f"{name} {short(value)}", value) for name, value in known.items()], columns=["text", "value"]
    )
    return {**json.loads(_drawn(frame)), "datasets": {"cells": cells, "rules": rules.astype({"value": float})}}


def sweep_height(grid: Grid) -> int:
    """Pixels that the chart takes with its axes, so that a page can reserve them."""
    return LINE_HEIGHT if len(grid.axes) == 1 else _heat_map_height(_across(grid.axes))


def sweep_alt(grid: Grid) -> str:
    """The sweep in a few sentences, for whoever cannot see it."""
    names = " and ".join(axis.label.lower() for axis in grid.axes)
    ended, best = sum(cell.final for cell in grid.cells), grid.best
    kind = "Heat map" if len(grid.axes) == 2 else "Line chart"
    words = f"{kind} of the validation RMSE by {names}: {ended} of {len(grid.cells)} runs have a result."
    if best is None or best.rmse is None:
        return words
    where = ", ".join(f"{axis.label.lower()} {value_text(value)}" for axis, value in _placed(grid, best))
    return f"{words} The best is {short(best.rmse)} at {where}."


def sweep_table(grid: Grid, mean_rmse: float | None = None) -> pd.DataFrame:
    """One row a cell: where it lies, its ``rmse`` (NaN where there is none), what stands in it, and its colour."""
    numbers = [cell.rmse for cell in grid.cells if cell.final and cell.rmse is not None]
    low = min(numbers, default=0.0)
    high = max(numbers, default=1.0)
    if mean_rmse is not None and mean_rmse < high:
        high = mean_rmse
    best = grid.best
    rows = []
    for cell in grid.cells:
        across = _across(grid.axes)
        by_name = {axis.name: value_text(value) for axis, value in _placed(grid, cell)}
        step = _step(cell.rmse, low, high) if cell.final else None
        rows.append(
            {
                "x": by_name[across[0].name],
                "y": by_name[across[1].name] if len(across) > 1 else "",
                "rmse": np.nan if cell.rmse is None else cell.rmse,
                "number": "" if cell.rmse is None else short(cell.rmse),
                "state": _state(cell, best),
                "fill": _RAMP[step] if step is not None else "transparent",
                "ink": _INK[step] if step is not None else QUIET,
                "best": cell is best,
                "final": cell.final,
                "series": "runs",
                "run": cell.run.id,
            }
        )
    return pd.DataFrame(rows)


def value_text(value: Any) -> str:
    """A setting's value as it would be typed; what the approach chooses by itself is ``by rule``."""
    if value is None:
        return "by rule"
    return np.format_float_positional(value, trim="-") if isinstance(value, float) else str(value)


def _state(cell: Cell, best: Cell | None) -> str:
    run = cell.run
    if cell is best:
        return "best"
    if run.status == "running" and run.history:
        return f"{len(run.history)} of {run.request.config.epochs}"
    return _STATES.get(run.status, "")


def _step(rmse: float | None, low: float, high: float) -> int | None:
    if rmse is None:
        return None
    share = (rmse - low) / (high - low) if high > low else float(rmse > high)  # where none beats the global mean: 1
    return min(int(share * len(_RAMP)), len(_RAMP) - 1)


def _across(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """x, then y: the longer of two axes runs down, where there is room on a phone."""
    return tuple(sorted(axes, key=lambda axis: len(axis.values))) if any(len(a.values) > 4 for a in axes) else axes


def _placed(grid: Grid, cell: Cell) -> list[tuple[Axis, Any]]:
    return list(zip(grid.axes, cell.values, strict=True))


@lru_cache(maxsize=64)
def _drawn(frame: _Frame) -> str:
    return (_heat_map(frame) if len(frame.axes) == 2 else _line(frame)).to_json()


def _scale(axis: Axis) -> tuple[list[str], str]:
    return [value_text(value) for value in axis.values], axis.label


def _heat_map(frame: _Frame) -> Picture:
    (x_values, x_title), (y_values, y_title) = map(_scale, _across(frame.axes))
    plain = alt.Axis(labelAngle=0, grid=False, ticks=False, domain=False, labelFontSize=12)
    base = alt.Chart(alt.NamedData("cells")).encode(
        x=alt.X("x:N", title=x_title, sort=None, scale=alt.Scale(domain=x_values), axis=plain),
        y=alt.Y("y:N", title=y_title, sort=None, scale=alt.Scale(domain=y_values[::-1]), axis=plain),
        tooltip=_tooltip(x_title, y_title),
    )
    fill, ink = alt.Fill("fill:N", scale=None, legend=None), alt.Color("ink:N", scale=None, legend=None)
    box: dict[str, Any] = {"cornerRadius": 3, "strokeWidth": 1, "stroke": QUIET, "strokeOpacity": 0.5}
    ended = base.transform_filter("datum.final").mark_rect(**box).encode(fill=fill)
    open_ = base.transform_filter("!datum.final").mark_rect(**box, strokeDash=[3, 3], fill="transparent")
    best = base.transform_filter("datum.best").mark_rect(
        cornerRadius=3, fill="transparent", stroke=_BEST, strokeWidth=4
    )
    how: dict[str, Any] = {"fontSize": 15, "fontWeight": 600}
    alone = base.transform_filter("datum.state == ''").mark_text(**how).encode(text="number:N", color=ink)
    states_too = base.transform_filter("datum.state != ''")
    numbers = states_too.mark_text(**how, dy=-8).encode(text="number:N", color=ink)
    beside = states_too.transform_filter("datum.number != ''").mark_text(fontSize=12, dy=10)
    within = states_too.transform_filter("datum.number == ''").mark_text(fontSize=12)
    states = [layer.encode(text="state:N", color=ink) for layer in (beside, within)]
    height = _heat_map_height(_across(frame.axes))
    return alt.layer(ended, open_, best, alone, numbers, *states).properties(height=height)


def _heat_map_height(across: tuple[Axis, ...]) -> int:
    return CELL_HEIGHT * len(across[1].values) + AXES_HEIGHT


def _line(frame: _Frame) -> Picture:
    values, title = _scale(frame.axes[0])
    x = alt.X(
        "x:N", title=title, sort=None, scale=alt.Scale(domain=values), axis=alt.Axis(labelAngle=0, labelFontSize=12)
    )
    y = alt.Y(
        "rmse:Q",
        title=None,
        scale=exactly(frame.y_limits),
        axis=alt.Axis(tickCount=5, format="~g"),
    )
    base = alt.Chart(alt.NamedData("cells")).encode(x=x, tooltip=_tooltip(title, ""))
    with_number = base.transform_filter("isValid(datum.rmse)").encode(y=y)
    line = with_number.transform_filter("datum.final").mark_line(strokeWidth=2)
    ended = with_number.transform_filter("datum.final").mark_point(filled=True, size=80, opacity=1)
    running = with_number.transform_filter("!datum.final").mark_point(size=80, strokeDash=[2, 2])
    best = with_number.transform_filter("datum.best").mark_point(size=330, strokeWidth=3, stroke=_BEST, opacity=1)
    # The theme's own first colour, which is legible on light and dark.
    colour = alt.Color("series:N", legend=None, scale=alt.Scale(domain=["runs"]))
    numbers = with_number.mark_text(dy=-18, fontSize=13, fontWeight=600).encode(text="number:N", color=colour)
    states = with_number.mark_text(dy=22, fontSize=12, color=QUIET).encode(text="state:N")
    without = base.transform_filter("!isValid(datum.rmse)").mark_text(fontSize=12, color=QUIET)
    without = without.encode(y=alt.value(14), text="state:N")
    rules = alt.Chart(alt.NamedData("rules"))
    baselines = rules.mark_rule(strokeWidth=1.25, strokeDash=[1, 3], color=QUIET).encode(y="value:Q")
    names = rules.mark_text(**{**NAMES, "align": "right", "dx": -4, "dy": -8}, color=QUIET).encode(
        x=alt.value("width"), y="value:Q", text="text:N"
    )
    layers = alt.layer(baselines, line, ended, running, best, numbers, states, without, names)
    return layers.properties(height=LINE_HEIGHT, title=alt.Title(**value_title("rmse")))


def _tooltip(x_title: str, y_title: str) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("x:N", title=x_title),
        *([alt.Tooltip("y:N", title=y_title)] if y_title else []),
        alt.Tooltip("number:N", title="RMSE"),
        alt.Tooltip("state:N", title="State"),
    ]
