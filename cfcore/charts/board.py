"""How the best error of a class fell: a step for every run that was better than all before it, named at its point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cfcore.charts.curves import QUIET, value_title
from cfcore.charts.scales import limits, round_up, short

BEST_HEIGHT = 360  # pixels
_MOST_NAMES = 8  # of the latest: more would lie over each other


@dataclass(frozen=True, kw_only=True)
class Record:
    """A run that was the best when it ended: ``at`` in unix seconds, ``rmse`` in stars."""

    who: str
    at: float
    rmse: float


def best_spec(records: Sequence[Record], began: float, until: float) -> dict[str, Any]:
    """The chart as a Vega-Lite specification, from ``began``, its minute 0, to ``until`` (unix seconds)."""
    minutes = [max(0.0, record.at - began) / 60 for record in records]
    last = max(*minutes, (until - began) / 60)
    end = round_up(max(last, 1 / 6))  # ten seconds at least
    low, high = limits([record.rmse for record in records], log=False)
    table = pd.DataFrame(
        {
            "minutes": minutes,
            "rmse": [record.rmse for record in records],
            "text": [f"{record.who} {short(record.rmse)}" for record in records],
            "right": [minute > 0.6 * end for minute in minutes],  # there a name stands before its point
        }
    )
    steps = pd.concat([table, table.tail(1).assign(minutes=last)], ignore_index=True)
    x = {
        "field": "minutes",
        "type": "quantitative",
        "title": "Minutes",
        "scale": {"domain": [0, end], "nice": False},
        "axis": {"grid": False, "tickCount": 6},
    }
    y = {
        "field": "rmse",
        "type": "quantitative",
        "title": None,
        "scale": {"domain": [low, high], "nice": False, "zero": False},
        "axis": {"tickCount": 6},
    }
    names = {"field": "text", "type": "nominal"}
    named: dict[str, Any] = {"data": {"name": "records"}, "encoding": {"x": x, "y": y, "text": names}}
    tooltip = [
        {"field": "text", "type": "nominal", "title": "Best"},
        {"field": "minutes", "type": "quantitative", "title": "Minute", "format": ".1f"},
    ]
    return {
        "height": BEST_HEIGHT,
        "title": value_title("rmse"),
        "datasets": {"steps": steps, "records": table.tail(_MOST_NAMES)},
        "layer": [
            {
                "data": {"name": "steps"},
                "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2},
                "encoding": {"x": x, "y": y},
            },
            {
                **named,
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
                "encoding": {"x": x, "y": y, "tooltip": tooltip},
            },
            {
                **named,
                "mark": {"type": "text", "align": "left", "dx": 6, "dy": -9, "color": QUIET, "fontSize": 12},
                "transform": [{"filter": "!datum.right"}],
            },
            {
                **named,
                "mark": {"type": "text", "align": "right", "dx": -6, "dy": 13, "color": QUIET, "fontSize": 12},
                "transform": [{"filter": "datum.right"}],
            },
        ],
    }


def best_alt(records: Sequence[Record], began: float, until: float) -> str:
    """The chart in words."""
    last = max(0.0, max(until, *(each.at for each in records)) - began) / 60
    steps = [f"{each.who} {short(each.rmse)} after {max(0.0, each.at - began) / 60:.1f} minutes" for each in records]
    return f"Step chart of the best RMSE so far: {'; '.join(steps)}. The last run ended after {last:.1f}."
