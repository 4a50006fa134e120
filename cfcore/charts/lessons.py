"""Pictures of the lessons: a lookup as cells, and the loss along one gradient.

Vega-Lite specifications rather than Altair charts: they change with every touch, and checking an Altair chart costs
about 0.1 s. Nothing is told by colour alone: cells carry their number, lines their name and a shape.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cfcore.charts.scales import limits, log_ticks, round_up, short

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
_QUIET = "#76828D"  # legible on the light and on the dark background
_DIVERGING = ["#B35806", "#F1A340", "#F7F1E3", "#7FB7DE", "#0B4F87"]
_DARK_INK, _LIGHT_INK = "#10202E", "#FFFFFF"
_ROW = 30  # pixels
FLOOR = 1e-6  # a loss that is as good as none


def lookup_spec(
    names: Sequence[str], one_hot: np.ndarray, matrix: np.ndarray, product: np.ndarray, row: np.ndarray
) -> dict[str, Any]:
    """One-hot times matrix as cells: a column of zeros and one 1, the rows that they weigh, the sum, and the row.

    ``names`` (r,) of the users shown, ``one_hot`` (r,), ``matrix`` (r, k), ``product`` and ``row`` (k,).
    """
    k = matrix.shape[1]
    lines = [*names, "sum", "lookup"]
    cells = [
        (at, factor, float(value), f"{value:.2f}", 1.0 if one_hot[at] else 0.16)
        for at, line in enumerate(matrix)
        for factor, value in enumerate(line, start=1)
    ]
    cells += [
        (len(names) + at, factor, float(value), f"{value:.2f}", 1.0)
        for at, line in enumerate((product, row))
        for factor, value in enumerate(line, start=1)
    ]
    table = pd.DataFrame(cells, columns=["line", "column", "value", "label", "weight"])
    reach = float(np.abs(table["value"].to_numpy()).max()) or 1.0
    table["label"] = table["label"].str.replace("-", "\u2212")
    table["ink"] = np.where(table["value"].abs() > 0.7 * reach, _LIGHT_INK, _DARK_INK)
    table.loc[table["weight"] < 1, "ink"] = _QUIET
    ones = pd.DataFrame({"line": range(len(names)), "column": 0, "label": [f"{value:g}" for value in one_hot]})
    ones["on"] = [bool(value) for value in one_hot]
    headings = ["one-hot", *(f"{factor}" for factor in range(1, k + 1))]
    x = {"field": "column", "type": "ordinal", "title": None, "scale": {"domain": list(range(k + 1))}}
    x["axis"] = _named(headings, orient="top")
    y = {"field": "line", "type": "ordinal", "title": None, "scale": {"domain": list(range(len(lines)))}}
    y["axis"] = _named(lines)
    ramp = {"domain": [-reach, reach], "range": _DIVERGING, "interpolate": "rgb", "clamp": True}
    place = {"x": x, "y": y}
    rect = {"type": "rect", "cornerRadius": 3, "stroke": "white", "strokeOpacity": 0.25}
    shade = {"field": "weight", "type": "quantitative", "scale": None, "legend": None}
    value = {"field": "value", "type": "quantitative", "scale": ramp, "legend": None}
    text = {"field": "label", "type": "nominal"}
    ink = {"field": "ink", "type": "nominal", "scale": None}
    return {
        "$schema": SCHEMA,
        "height": _ROW * len(lines),
        "datasets": {"cells": table, "ones": ones},
        "layer": [
            {"data": {"name": "cells"}, "mark": rect, "encoding": {**place, "color": value, "opacity": shade}},
            {
                "data": {"name": "cells"},
                "mark": {"type": "text", "fontSize": 12},
                "encoding": {**place, "text": text, "color": ink},
            },
            {
                "data": {"name": "ones"},
                "mark": {**rect, "color": _QUIET},
                "encoding": {**place, "opacity": {"condition": {"test": "datum.on", "value": 0.9}, "value": 0.14}},
            },
            {
                "data": {"name": "ones"},
                "mark": {"type": "text", "fontSize": 13, "color": _QUIET},
                "encoding": {
                    **place,
                    "text": text,
                    "color": {"condition": {"test": "datum.on", "value": _LIGHT_INK}, "value": _QUIET},
                },
            },
        ],
        "resolve": {"scale": {"color": "independent"}},
    }


def lookup_alt(name: str, row: np.ndarray, equal: bool) -> str:
    """The cells in a sentence."""
    numbers = ", ".join(f"{value:.2f}" for value in row)
    return (
        f"Cells: a column that is 1 for {name} and 0 for the others, the rows of the matrix beside it, "
        f"their weighted sum, and the row that is looked up: {numbers}. They are {'equal' if equal else 'not equal'}."
    )


def along_spec(
    rates: np.ndarray, losses: np.ndarray, marks: Mapping[str, tuple[float, float]], chosen: tuple[float, float]
) -> dict[str, Any]:
    """The loss (n,) after one step over its learning rate (n,), with named ``marks`` and the ``chosen`` rate."""
    start = float(losses[0])
    top = max(1.8 * start, 1e-9)
    inside = losses <= 1.02 * top
    line = pd.DataFrame({"rate": rates[inside], "loss": np.minimum(losses[inside], top)})
    points = pd.DataFrame([(name, *at) for name, at in marks.items()], columns=["name", "rate", "loss"])
    points["low"] = points["loss"] < 0.5 * start
    here = pd.DataFrame(
        [(chosen[0], min(chosen[1], top), f"your step: {short(chosen[1])}")], columns=["rate", "loss", "name"]
    )
    x = {
        "field": "rate",
        "type": "quantitative",
        "title": "Learning rate of one step",
        "scale": {"domain": [0, float(rates[-1])], "nice": False},
        "axis": {"grid": False, "tickCount": 6, "format": "~g"},
    }
    y = {
        "field": "loss",
        "type": "quantitative",
        "title": None,
        "scale": {"domain": [-0.13 * top, top], "nice": False},  # room for a name under the lowest point
        "axis": {"values": [k * round_up(top / 5) for k in range(5)], "format": ".3~s" if top >= 1e4 else ".3~r"},
    }
    at = {"x": x, "y": y}
    word = {"type": "text", "fontSize": 12, "clip": False}
    name = {"text": {"field": "name", "type": "nominal"}}
    return {
        "$schema": SCHEMA,
        "height": 300,
        "title": titled("Loss after one step"),
        "datasets": {"line": line, "marks": points, "here": here},
        "layer": [
            {
                "mark": {"type": "rule", "strokeDash": [1, 3], "color": _QUIET},
                "data": {"values": [{"loss": start}]},
                "encoding": {"y": y},
            },
            {"data": {"name": "line"}, "mark": {"type": "line", "strokeWidth": 2.25}, "encoding": at},
            {
                "data": {"name": "marks"},
                "mark": {"type": "point", "size": 70, "strokeWidth": 2, "color": _QUIET, "opacity": 1},
                "encoding": at,
            },
            *(
                {
                    "data": {"name": "marks"},
                    "transform": [{"filter": f"datum.low === {low}"}],
                    "mark": {**word, "color": _QUIET, **placed},
                    "encoding": {**at, **name},
                }
                for low, placed in (
                    ("true", {"dy": 15, "align": "center"}),
                    ("false", {"dy": -9, "dx": -8, "align": "right"}),
                )
            ),
            {
                "data": {"name": "here"},
                "mark": {"type": "rule", "strokeWidth": 1.5, "strokeDash": [5, 4], "color": "#D0701F"},
                "encoding": {"x": x},
            },
            {
                "data": {"name": "here"},
                "mark": {"type": "point", "filled": True, "size": 130, "color": "#D0701F", "opacity": 1},
                "encoding": at,
            },
            {
                "data": {"name": "here"},
                "mark": {**word, "color": "#D0701F", "fontWeight": 600, "align": "left", "dx": 9, "dy": 14},
                "encoding": {"x": x, "y": {"value": 4}, **name},
            },
        ],
    }


def repeated_spec(losses: Sequence[float], floor: float = FLOOR) -> dict[str, Any]:
    """The loss after each of some steps, the start first, on a logarithmic axis; the line ends above ``floor``."""
    below = next((at for at, loss in enumerate(losses) if loss <= floor), len(losses))
    shown = [max(loss, floor) for loss in losses[: max(below, 1)]]
    table = pd.DataFrame({"step": range(len(shown)), "shown": shown, "loss": losses[: len(shown)]})
    low, high = limits(shown, log=True)
    steps = max(len(losses) - 1, 1)
    x = {
        "field": "step",
        "type": "quantitative",
        "title": "Step",
        "scale": {"domain": [0, steps], "nice": False},
        "axis": {"grid": False, "tickMinStep": 1, "format": "d"},
    }
    y = {
        "field": "shown",
        "type": "quantitative",
        "title": None,
        "scale": {"type": "log", "domain": [low, high], "nice": False},
        "axis": {"values": log_ticks(low, high), "format": ".3~g", "minExtent": 48},  # or labels move the plot
    }
    tooltip = [
        {"field": "step", "type": "quantitative", "title": "Step"},
        {"field": "loss", "type": "quantitative", "title": "Loss", "format": ".4~g"},
    ]
    encoding = {"x": x, "y": y, "tooltip": tooltip}
    return {
        "$schema": SCHEMA,
        "height": 300,
        "title": titled("Loss over repeated steps at this rate, as far as a millionth"),
        "datasets": {"steps": table},
        "data": {"name": "steps"},
        "layer": [
            {"mark": {"type": "line", "strokeWidth": 2, "color": "#D0701F"}, "encoding": encoding},
            {
                "mark": {"type": "point", "filled": True, "size": 55, "color": "#D0701F", "opacity": 1},
                "encoding": encoding,
            },
        ],
    }


def titled(text: str) -> dict[str, Any]:
    """What stands over the plot instead of along its axis, where it would be read sideways."""
    return {"text": text, "anchor": "start", "fontSize": 13, "fontWeight": "normal", "offset": 10}


def _named(names: Sequence[str], **more: Any) -> dict[str, Any]:
    """An axis that shows ``names`` for the positions 0, 1, ..."""
    return {
        "labelExpr": f"{json.dumps([str(name) for name in names])}[datum.value]",
        "labelAngle": 0,
        "labelLimit": 90,
        "labelOverlap": False,
        "labelFlush": False,
        "labelBound": False,
        "labelFontSize": 12,
        "ticks": False,
        "domain": False,
        **more,
    }
