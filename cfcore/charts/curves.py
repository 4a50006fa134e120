"""Loss by epoch: train solid, valid dashed with points, baselines thin and dotted, each named at its end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from cfcore.charts.scales import exactly, from_unit, limits, log_ticks, round_up, short, spread, to_unit
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
    """The training and validation curves of one or more runs, with the baselines as horizontal lines.

    A Vega-Lite specification with data frames under ``datasets``. Written by hand, unlike the other charts: a fresh
    server would import Altair for 0.4 s before its first page, and building and checking a chart with it takes 0.1 s,
    for what a live page draws twice a second for everybody who watches.

    Args:
        histories: the epochs so far of each run, by the name that tells it apart.
        baselines: MSE on the validation rows by baseline; ``None`` where it is not known yet.
        error: ``mse`` draws the losses as they are, ``rmse`` their square roots.
        x: ``epoch``, or ``seconds`` of training since the run began.
        n_epochs: how many epochs are planned, so that the x axis does not grow with the run.
    """
    points = _points(histories, error, x)
    known = {
        name: as_error(value, error) for name, value in baselines.items() if value is not None and math.isfinite(value)
    }
    x_limits = _x_limits(histories, x, n_epochs)
    y_limits = limits([*points["value"], *known.values()], log=log)
    # An unseen name as wide as the widest to come: the plot keeps its width when the real one arrives.
    room = pd.DataFrame({"x": [x_limits[1]], "place": [y_limits[0]], "text": [_widest(histories, known)]})
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "height": height,
        "title": value_title(error),
        "layer": _layers(list(histories) or ["run"], error, _x_axis(x, x_limits), value_axis(y_limits, log=log)),
        "datasets": {
            "points": points,
            "rules": rules_table(known, *x_limits),
            "ends": _line_ends(points, known, x_limits[1], y_limits, log=log, height=height),
            "room": room,
        },
    }


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


def _layers(runs: list[str], error: Error, across: dict[str, Any], up: dict[str, Any]) -> list[dict[str, Any]]:
    """From the lowest to the highest: baselines, curves, dots, what the pointer meets, and the names of the lines."""
    # No range: the theme's categories, which change with light and dark.
    colour = {"color": {**_name("run"), "legend": None, "scale": {"domain": runs}}}
    curve = {"x": across, "y": up, **colour}
    tooltip = [
        {**_name("run"), "title": "Run"},
        {**_name("part"), "title": "Part"},
        {**_number("epoch"), "title": "Epoch"},
        {**_number("value"), "title": error.upper(), "format": ".3f"},
        {**_number("seconds"), "title": "Seconds", "format": ".2s"},
    ]
    at = {"x": _number("x"), "y": _number("place"), "text": _name("text")}
    return [
        baseline_lines(error),
        _layer("points", {"type": "line", "strokeWidth": 2.25}, curve, "datum.part == 'train'"),
        _layer("points", {"type": "line", "strokeWidth": 2, "strokeDash": [6, 4]}, curve, "datum.part == 'valid'"),
        _layer("points", {"type": "point", "filled": True, "size": 34, "opacity": 1}, curve, "datum.dot"),
        _layer("points", {"type": "point", "size": 180, "opacity": 0}, {**curve, "tooltip": tooltip}),
        _layer("ends", {"type": "text", **NAMES, "color": QUIET}, at, "datum.run == ''"),
        _layer("ends", {"type": "text", **NAMES, "fontWeight": 600}, {**at, **colour}, "datum.run != ''"),
        _layer("room", {"type": "text", **NAMES, "opacity": 0}, at),
    ]


def _x_axis(x: Across, x_limits: tuple[float, float]) -> dict[str, Any]:
    whole: dict[str, Any] = {"tickMinStep": 1, "format": "d"} if x == "epoch" else {"format": "~g"}
    return {
        **_number("x"),
        "title": "Epoch" if x == "epoch" else "Seconds of training",
        "scale": exactly(x_limits),
        "axis": {"grid": False, "tickCount": 10, **whole},
    }


def value_axis(y_limits: tuple[float, float], *, log: bool) -> dict[str, Any]:
    """The channel ``y`` of the losses."""
    ticks: dict[str, Any] = {"values": log_ticks(*y_limits)} if log else {"tickCount": 5}
    return {
        **_number("value"),
        "title": None,
        "scale": exactly(y_limits, log=log),
        "axis": {"format": "~g" if y_limits[1] < 1e5 else ".3~g", **ticks},
    }


def value_title(error: Error) -> dict[str, Any]:
    """What stands over the plot instead of along its axis, where it would be read sideways."""
    return {"text": AXIS_TITLE[error], "anchor": "start", "fontSize": 13, "fontWeight": "normal", "offset": 10}


def baseline_lines(error: Error) -> dict[str, Any]:
    """The layer of the baselines of the data set ``rules``, thin and dotted."""
    tooltip = [
        {**_name("name"), "title": "Baseline"},
        {**_number("value"), "title": error.upper(), "format": ".3f"},
    ]
    return _layer(
        "rules",
        {"type": "line", "strokeWidth": 1.25, "strokeDash": [1, 3], "color": QUIET},
        {"x": _number("x"), "y": _number("value"), "detail": _name("name"), "tooltip": tooltip},
    )


def _layer(data: str, mark: dict[str, Any], encoding: dict[str, Any], keep: str | None = None) -> dict[str, Any]:
    """A layer over the data set of this name, of the rows for which ``keep`` holds."""
    rows = {"transform": [{"filter": keep}]} if keep else {}
    return {"data": {"name": data}, **rows, "mark": mark, "encoding": encoding}


def _number(field: str) -> dict[str, Any]:
    return {"field": field, "type": "quantitative"}


def _name(field: str) -> dict[str, Any]:
    return {"field": field, "type": "nominal"}


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


def _line_ends(
    points: pd.DataFrame,
    known: Mapping[str, float],
    x_high: float,
    y_limits: tuple[float, float],
    *,
    log: bool,
    height: int,
) -> pd.DataFrame:
    """The name of every line: at its end, moved up or down just enough not to touch its neighbours."""
    several = len(set(points["run"])) > 1
    low, high = y_limits
    plot_height = max(height - AXES_HEIGHT, 1)
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
