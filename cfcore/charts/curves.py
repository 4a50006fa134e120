"""Loss by epoch: train solid, valid dashed with points, baselines thin and dotted, each named at its end."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import altair as alt
import numpy as np
import pandas as pd

from cfcore.charts.scales import Picture, exactly, from_unit, limits, log_ticks, round_up, short, spread, to_unit
from cfcore.training import EpochResult

History = Sequence[EpochResult]
Error = Literal["mse", "rmse"]
Across = Literal["epoch", "seconds"]

LOSS_HEIGHT = 380  # pixels; pages reserve the same before any data arrives
AXES_HEIGHT = 62  # title, tick labels and axis title: what the plot itself does not get
LABEL_HEIGHT = 15
QUIET = "#76828D"  # legible on the light and on the dark background
NAMES: dict[str, Any] = {"align": "left", "dx": 8, "baseline": "middle", "fontSize": 12, "clip": False}
AXIS_TITLE = {"mse": "Loss (MSE), lower is better", "rmse": "Error in stars (RMSE), lower is better"}


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """All of a loss chart but its data: what stays the same while a run grows, so that it is built once."""

    runs: tuple[str, ...]
    error: Error
    x: Across
    log: bool
    x_limits: tuple[float, float]
    y_limits: tuple[float, float]
    height: int


def loss_curves(
    histories: Mapping[str, History],
    baselines: Mapping[str, float | None],
    *,
    error: Error = "mse",
    x: Across = "epoch",
    log: bool = False,
    n_epochs: int | None = None,
    height: int = LOSS_HEIGHT,
) -> Picture:
    """Draw the training and validation curves of one or more runs, with the baselines as horizontal lines.

    Args:
        histories: the epochs so far of each run, by the name that tells it apart.
        baselines: MSE on the validation rows by baseline; ``None`` where it is not known yet.
        error: ``mse`` draws the losses as they are, ``rmse`` their square roots.
        x: ``epoch``, or ``seconds`` of training since the run began.
        n_epochs: how many epochs are planned, so that the x axis does not grow with the run.
    """
    frame, tables = _compute(histories, baselines, error, x, log, n_epochs, height)
    return _draw(frame).properties(datasets={name: table.to_dict("records") for name, table in tables.items()})


def loss_spec(
    histories: Mapping[str, History],
    baselines: Mapping[str, float | None],
    *,
    error: Error = "mse",
    x: Across = "epoch",
    log: bool = False,
    n_epochs: int | None = None,
    height: int = LOSS_HEIGHT,
) -> dict[str, Any]:
    """The same chart as a Vega-Lite specification, with data frames under ``datasets``.

    Many times cheaper than :func:`loss_curves` while a run grows, because only the data is new: building and checking
    an Altair chart takes about 0.1 s, and a live page draws one twice a second for everybody who watches.
    """
    frame, tables = _compute(histories, baselines, error, x, log, n_epochs, height)
    return {**json.loads(_drawn(frame)), "datasets": tables}


def loss_alt(histories: Mapping[str, History], baselines: Mapping[str, float | None], *, error: Error = "mse") -> str:
    """The loss chart in a sentence or two, for whoever cannot see it."""
    parts = []
    for name, history in histories.items():
        if history:
            last = history[-1]
            train, valid = as_error(last.train_loss, error), as_error(last.valid_loss, error)
            parts.append(f"{name} after {len(history)} epochs: train {train:.3f}, valid {valid:.3f}.")
    parts += [
        f"Baseline {name}: {as_error(value, error):.3f}." for name, value in baselines.items() if value is not None
    ]
    return f"Line chart of {error.upper()} by epoch. " + (" ".join(parts) or "Nothing has been trained yet.")


def _compute(
    histories: Mapping[str, History],
    baselines: Mapping[str, float | None],
    error: Error,
    x: Across,
    log: bool,
    n_epochs: int | None,
    height: int,
) -> tuple[_Frame, dict[str, pd.DataFrame]]:
    """The axes' limits, and the data of every layer by name."""
    points = _points(histories, error, x)
    known = {
        name: as_error(value, error) for name, value in baselines.items() if value is not None and math.isfinite(value)
    }
    x_limits = _x_limits(histories, x, n_epochs)
    y_limits = limits([*points["value"], *known.values()], log=log)
    frame = _Frame(
        runs=tuple(histories) or ("run",),
        error=error,
        x=x,
        log=log,
        x_limits=x_limits,
        y_limits=y_limits,
        height=height,
    )
    # An unseen name as wide as the widest to come: the plot keeps its width when the real one arrives.
    room = pd.DataFrame({"x": [x_limits[1]], "place": [y_limits[0]], "text": [_widest(histories, known)]})
    return frame, {
        "points": points,
        "rules": rules_table(known, *x_limits),
        "ends": _line_ends(points, known, frame),
        "room": room,
    }


@lru_cache(maxsize=256)
def _drawn(frame: _Frame) -> str:
    return _draw(frame).to_json()


def _draw(frame: _Frame) -> Picture:
    """The layers of the chart over named data that is still to come."""
    error, x, log = frame.error, frame.x, frame.log
    whole: dict[str, Any] = {"tickMinStep": 1, "format": "d"} if x == "epoch" else {"format": "~g"}
    x_axis = alt.X(
        "x:Q",
        title="Epoch" if x == "epoch" else "Seconds of training",
        scale=exactly(frame.x_limits),
        axis=alt.Axis(grid=False, tickCount=10, **whole),
    )
    y_axis = value_axis(frame.y_limits, log=log)
    # No range: the theme's categories, which change with light and dark.
    colour = alt.Color("run:N", legend=None, scale=alt.Scale(domain=list(frame.runs)))
    value = alt.Tooltip("value:Q", title=error.upper(), format=".3f")
    tooltip = [
        alt.Tooltip("run:N", title="Run"),
        alt.Tooltip("part:N", title="Part"),
        alt.Tooltip("epoch:Q", title="Epoch"),
        value,
        alt.Tooltip("seconds:Q", title="Seconds", format=".2s"),
    ]
    base = alt.Chart(alt.NamedData("points")).encode(x=x_axis, y=y_axis, color=colour)
    train = base.transform_filter("datum.part == 'train'").mark_line(strokeWidth=2.25)
    valid = base.transform_filter("datum.part == 'valid'").mark_line(strokeWidth=2, strokeDash=[6, 4])
    dots = base.transform_filter("datum.dot").mark_point(filled=True, size=34, opacity=1)
    hover = base.mark_point(size=180, opacity=0).encode(tooltip=tooltip)
    rules = baseline_lines(error)
    at: dict[str, Any] = {"x": "x:Q", "y": "place:Q", "text": "text:N"}
    ends = alt.Chart(alt.NamedData("ends")).encode(**at)
    quiet_names = ends.transform_filter("datum.run == ''").mark_text(**NAMES, color=QUIET)
    run_names = ends.transform_filter("datum.run != ''").mark_text(**NAMES, fontWeight=600).encode(color=colour)
    room = alt.Chart(alt.NamedData("room")).mark_text(**NAMES, opacity=0).encode(**at)
    layers = alt.layer(rules, train, valid, dots, hover, quiet_names, run_names, room)
    return layers.properties(height=frame.height, title=value_title(error))


def value_axis(y_limits: tuple[float, float], *, log: bool) -> alt.Y:
    """The axis of the losses."""
    ticks: dict[str, Any] = {"values": log_ticks(*y_limits)} if log else {"tickCount": 5}
    return alt.Y(
        "value:Q",
        title=None,
        scale=exactly(y_limits, log=log),
        axis=alt.Axis(format="~g" if y_limits[1] < 1e5 else ".3~g", **ticks),
    )


def value_title(error: Error) -> alt.Title:
    """What stands over the plot instead of along its axis, where it would be read sideways."""
    return alt.Title(AXIS_TITLE[error], anchor="start", fontSize=13, fontWeight="normal", offset=10)


def baseline_lines(error: Error) -> alt.Chart:
    """The baselines of the data set ``rules``, thin and dotted."""
    return (
        alt.Chart(alt.NamedData("rules"))
        .mark_line(strokeWidth=1.25, strokeDash=[1, 3], color=QUIET)
        .encode(
            x="x:Q",
            y="value:Q",
            detail="name:N",
            tooltip=[
                alt.Tooltip("name:N", title="Baseline"),
                alt.Tooltip("value:Q", title=error.upper(), format=".3f"),
            ],
        )
    )


def as_error(mse: float, error: Error) -> float:
    """A loss as it is, or its root."""
    return math.sqrt(mse) if error == "rmse" and mse >= 0 else mse


def _points(histories: Mapping[str, History], error: Error, x: str) -> pd.DataFrame:
    """One row for each run, part and epoch; ``dot`` marks the points that are drawn (all of them when they are few)."""
    rows = []
    for run, history in histories.items():
        elapsed = np.cumsum([result.seconds for result in history])
        stride = max(1, len(history) // 30)
        for k, (result, seconds) in enumerate(zip(history, elapsed, strict=True)):
            for part, loss in (("train", result.train_loss), ("valid", result.valid_loss)):
                if math.isfinite(loss) and loss > 0:
                    dot = (part == "valid" or len(history) == 1) and (k % stride == 0 or k == len(history) - 1)
                    at = result.epoch if x == "epoch" else float(seconds)
                    rows.append((run, part, result.epoch, float(seconds), at, as_error(loss, error), dot))
    return _table(rows, run=str, part=str, epoch=float, seconds=float, x=float, value=float, dot=bool)


def _table(rows: Sequence[tuple], **columns: type) -> pd.DataFrame:
    """Rows as a data frame. Column by column: for a live page's few rows, a third of the time of a list of rows."""
    values = zip(*rows, strict=True) if rows else [()] * len(columns)
    return pd.DataFrame(
        {
            name: np.array(column, dtype=kind) if kind is not str else list(column)
            for (name, kind), column in zip(columns.items(), values, strict=True)
        }
    )


def _x_limits(histories: Mapping[str, History], x: str, n_epochs: int | None) -> tuple[float, float]:
    longest = max((len(history) for history in histories.values()), default=0)
    planned = max(n_epochs or 0, longest, 2)
    if x == "epoch":
        return 1, planned
    totals = [0.0]
    for history in histories.values():
        total = sum(result.seconds for result in history)
        totals.append(total * (n_epochs or len(history)) / len(history) if history else 0.0)
    return 0, round_up(max(totals)) if max(totals) > 0 else 1


def rules_table(known: Mapping[str, float], x_low: float, x_high: float) -> pd.DataFrame:
    """The data set ``rules``: each baseline from one end of the x axis to the other."""
    rows = [(name, x, value) for name, value in known.items() for x in (x_low, x_high)]
    return _table(rows, name=str, x=float, value=float)


def _line_ends(points: pd.DataFrame, known: Mapping[str, float], frame: _Frame) -> pd.DataFrame:
    """The name of every line: at its end, moved up or down just enough not to touch its neighbours."""
    several = len(set(points["run"])) > 1
    x_high, (low, high), log = frame.x_limits[1], frame.y_limits, frame.log
    plot_height = max(frame.height - AXES_HEIGHT, 1)
    rows = [("", x_high, value, f"{name} {short(value)}") for name, value in known.items()]
    last = {(run, part): (x, value) for run, part, x, value in points[["run", "part", "x", "value"]].values}
    for (run, part), (x, value) in last.items():
        rows.append((run, x, value, f"{f'{run}, ' if several else ''}{part} {short(value)}"))
    places = [min(max(to_unit(value, low, high, log=log), 0.0), 1.0) for _, _, value, _ in rows]
    apart = spread(places, LABEL_HEIGHT / plot_height)
    placed = zip(rows, (from_unit(place, low, high, log=log) for place in apart), strict=True)
    return _table(
        [(run, x, text, place) for (run, x, _, text), place in placed], run=str, x=float, text=str, place=float
    )


def _widest(histories: Mapping[str, History], known: Mapping[str, float]) -> str:
    names = [f"{run}, valid" for run in histories] if len(histories) > 1 else ["valid"]
    return max([*names, *known, "user + movie bias"], key=len) + " 0.0000"
