"""Why a film is recommended, as pictures: the terms of a prediction as a staircase, and what each rating did as bars.

Vega-Lite specifications rather than Altair charts: they change with every star, and checking an Altair chart costs
about 0.1 s. Nothing is told by colour alone: every bar carries its number with its sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from cfcore.recommend import Terms

_ROW, _AXIS = 26, 56  # pixels: a bar with the room around it, and the axis with its title
_UP, _DOWN, _QUIET = "#3A87BD", "#D0701F", "#76828D"  # each stands out from white and from near-black
_SUM = "sum"
_BAR = {"type": "bar", "height": {"band": 0.62}, "cornerRadius": 2}
_WORD = {"type": "text", "color": _QUIET, "fontSize": 12}


def terms_spec(terms: Terms) -> dict[str, Any]:
    """The terms of a dot model's prediction: each bar starts where the one above it ended, the last is their sum."""
    table = _steps(terms)
    names = list(table["name"])
    x = {
        "field": "start",
        "type": "quantitative",
        "title": "Score, added up from top to bottom",
        "axis": {"tickCount": 5, "format": "~g"},
        "scale": {"domain": _with_room(terms), "nice": False},
    }
    y = _rows("name", names, 130)
    bars = {
        "mark": _BAR,
        "encoding": {
            "x": x,
            "x2": {"field": "end"},
            "y": y,
            "color": {"field": "colour", "type": "nominal", "scale": None},
            "tooltip": [
                {"field": "name", "type": "nominal", "title": "Term"},
                {"field": "label", "type": "nominal", "title": "Adds"},
                {"field": "end", "type": "quantitative", "title": "Sum so far", "format": ".2f"},
            ],
        },
    }
    # The label stands where the bar ends, on the side that it points to.
    words = [
        {
            "transform": [{"filter": f"datum.end {test} datum.start"}],
            "mark": {**_WORD, "align": align, "dx": dx},
            "encoding": {
                "x": {"field": "end", "type": "quantitative"},
                "y": y,
                "text": {"field": "label", "type": "nominal"},
            },
        }
        for test, align, dx in ((">=", "left", 5), ("<", "right", -5))
    ]
    return _bars(table, [bars, *words])


def terms_alt(terms: Terms) -> str:
    """The staircase in a sentence."""
    parts = [f"{name} {_signed(value)}" for name, value in zip(terms.names, terms.values, strict=True)]
    return f"Bars that add up to a score of {terms.score:.2f}: {', '.join(parts)}. Prediction {terms.prediction:.2f}."


def moved_spec(titles: Sequence[str], moved: np.ndarray) -> dict[str, Any]:
    """How far each rating moved a person's predictions: ``titles`` and ``moved`` (n,) stars, the most first."""
    names = [f"{title[:38].rstrip()}…" if len(title) > 39 else title for title in titles]
    stars = np.asarray(moved, dtype=float)
    table = pd.DataFrame({"title": names, "moved": stars})
    y = _rows("title", names, 190)
    x = {
        "field": "moved",
        "type": "quantitative",
        "title": "Stars, RMS over films",
        "axis": {"tickCount": 4},
        "scale": {"domain": [0, max(1.15 * float(stars.max(initial=0)), 1e-6)], "nice": False},
    }
    tooltip = [
        {"field": "title", "type": "nominal", "title": "Film"},
        {"field": "moved", "type": "quantitative", "title": "Moved you by", "format": ".3f"},
    ]
    bars = {"mark": {**_BAR, "color": _UP}, "encoding": {"x": x, "y": y, "tooltip": tooltip}}
    words = {
        "mark": {**_WORD, "align": "left", "dx": 5},
        "encoding": {"x": x, "y": y, "text": {"field": "moved", "type": "quantitative", "format": ".2f"}},
    }
    return _bars(table, [bars, words])


def moved_alt(titles: Sequence[str], moved: np.ndarray) -> str:
    """The bars in a sentence."""
    parts = [f"{title} {value:.2f}" for title, value in zip(titles, moved, strict=True)]
    return f"Bars of how many stars each rating moved your predictions: {'; '.join(parts)}."


def _bars(table: pd.DataFrame, layers: list[dict[str, Any]]) -> dict[str, Any]:
    """A chart with one bar a row of ``table``."""
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "height": _ROW * len(table) + _AXIS,
        "autosize": {"type": "fit", "contains": "padding"},
        "data": {"name": "bars"},
        "datasets": {"bars": table},
        "layer": layers,
    }


def _rows(field: str, names: list[str], most_pixels: int) -> dict[str, Any]:
    """The axis that names the bars, in their order."""
    axis = {"ticks": False, "domain": False, "labelLimit": most_pixels, "labelOverlap": False}
    return {"field": field, "type": "nominal", "sort": names, "title": None, "axis": axis}


def _with_room(terms: Terms) -> list[float]:
    """Limits of the axis that leave room for the numbers beside the bars."""
    ends = np.concatenate([[0.0], np.cumsum(terms.values)])
    low, high = float(ends.min()), float(ends.max())
    room = 0.12 * max(high - low, 1e-6)
    return [low - (room if (terms.values < 0).any() else room / 4), high + room]


def _steps(terms: Terms) -> pd.DataFrame:
    ends = np.cumsum(terms.values)
    starts = np.concatenate([[0.0], ends[:-1]])
    return pd.DataFrame(
        {
            "name": [*terms.names, _SUM],
            "start": [*starts, 0.0],
            "end": [*ends, terms.score],
            "label": [*map(_signed, terms.values), f"{terms.score:.2f}"],
            "colour": [*np.where(terms.values >= 0, _UP, _DOWN), _QUIET],
        }
    )


def _signed(value: float) -> str:
    text = f"{value:+.2f}".replace("-", "\u2212")
    return text if text[1:] != "0.00" else "0.00"
