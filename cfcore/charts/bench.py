"""What lookups cost, over more and more ratings: a line for each way, both axes logarithmic, each named at its end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cfcore.charts.lessons import SCHEMA, titled
from cfcore.charts.scales import from_unit, limits, log_ticks, spread, to_unit

_SHAPES = ["circle", "square", "triangle-up", "diamond", "cross"]


def bench_spec(
    n: np.ndarray,
    values: Mapping[str, np.ndarray],
    refused: Mapping[str, np.ndarray],
    title: str,
    labels: Sequence[str],
) -> dict[str, Any]:
    """What each way costs, over the number of ratings ``n`` (s,), both axes logarithmic.

    ``values`` (s,) by the name of the way, NaN where there is none; ``refused`` (s,) bool, whose points are hollow;
    ``labels`` what the last value of each way is, in words.
    """
    names = list(values)
    table = pd.DataFrame(
        [
            (name, int(size), float(value), bool(no))
            for name in names
            for size, value, no in zip(n, values[name], refused[name], strict=True)
            if math.isfinite(value)
        ],
        columns=["way", "n", "value", "refused"],
    )
    low, high = limits(table["value"].tolist(), log=True)
    last = table.groupby("way", sort=False).tail(1).set_index("way").reindex(names).dropna()
    places = spread([to_unit(value, low, high, log=True) for value in last["value"]], 0.075)
    ends = pd.DataFrame(
        {
            "way": last.index,
            "n": last["n"].to_numpy(dtype=float),
            "place": [from_unit(place, low, high, log=True) for place in places],
            "text": [label for name, label in zip(names, labels, strict=True) if name in last.index],
        }
    )
    ends["n"] = float(max(n))
    x = {
        "field": "n",
        "type": "quantitative",
        "title": "Ratings",
        "scale": {"type": "log", "domain": [float(min(n)), float(max(n))], "nice": False},
        "axis": {"grid": False, "values": [int(size) for size in n], "format": "~s"},
    }
    y = {
        "field": "value",
        "type": "quantitative",
        "title": None,
        "scale": {"type": "log", "domain": [low, high], "nice": False},
        "axis": {"values": log_ticks(low, high), "format": "~s"},
    }
    colour = {"field": "way", "type": "nominal", "legend": None, "scale": {"domain": names}}
    shape = {"field": "way", "type": "nominal", "legend": None, "scale": {"domain": names, "range": _SHAPES}}
    tooltip = [
        {"field": "way", "type": "nominal", "title": "Lookup"},
        {"field": "n", "type": "quantitative", "title": "Ratings", "format": ","},
        {"field": "value", "type": "quantitative", "title": title, "format": ".3s"},
        {"field": "refused", "type": "nominal", "title": "Refused"},
    ]
    base = {"x": x, "y": y, "color": colour}
    return {
        "$schema": SCHEMA,
        "height": 300,
        "title": titled(title),
        "datasets": {"points": table, "ends": ends},
        "layer": [
            {"data": {"name": "points"}, "mark": {"type": "line", "strokeWidth": 2}, "encoding": base},
            {
                "data": {"name": "points"},
                "mark": {"type": "point", "size": 60, "opacity": 1, "strokeWidth": 2},
                "encoding": {
                    **base,
                    "shape": shape,
                    "tooltip": tooltip,
                    "fill": {"condition": {"test": "datum.refused", "value": "transparent"}, **colour},
                },
            },
            {
                "data": {"name": "ends"},
                "mark": {"type": "text", "align": "left", "dx": 9, "fontSize": 12, "fontWeight": 600, "clip": False},
                "encoding": {
                    "x": {**x, "field": "n"},
                    "y": {**y, "field": "place"},
                    "text": {"field": "text", "type": "nominal"},
                    "color": colour,
                },
            },
        ],
    }
