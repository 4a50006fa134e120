"""Learned bias beside what everybody can count: how often a film was rated, and its plain mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from cfcore.charts.film_map import title_layers
from cfcore.charts.labels import WIDTHS, place_titles
from cfcore.charts.map_style import ink, pair

BIAS_HEIGHT = 400  # pixels
LIKED, DISLIKED, APART, OTHER = "most liked", "least liked", "bias and mean disagree", "other"
_INSIDE = BIAS_HEIGHT - 130  # pixels: the plot itself, at least
_GROUPS = (LIKED, DISLIKED, APART)


@dataclass(frozen=True, eq=False, kw_only=True)
class Biases:
    """One value a film (m,): ``title``, learned ``bias``, ``n_ratings``, ``mean`` rating and its ``group``."""

    title: np.ndarray
    bias: np.ndarray
    n_ratings: np.ndarray
    mean: np.ndarray
    group: np.ndarray


def bias_spec(
    films: Biases, against: Literal["n_ratings", "mean"], line: Sequence[tuple[float, float]] = ()
) -> dict[str, Any]:
    """Bias against the number of ratings (logarithmic) or the mean; ``line`` is drawn through its points (x, bias)."""
    log = against == "n_ratings"
    x = films.n_ratings.astype(float) if log else films.mean
    points = pd.DataFrame(
        {"x": x, "y": films.bias, "title": films.title, "group": films.group, "n": films.n_ratings, "mean": films.mean}
    )
    points = points.iloc[np.argsort(films.group != OTHER, kind="stable")]
    limits = _limits(x, log), _limits(films.bias, False)
    axes = (
        _axis("x", "Training ratings" if log else "Mean rating, stars", limits[0], log),
        _axis("y", "Learned bias", limits[1], False),
    )
    at = {"x": axes[0], "y": axes[1]}
    layers: list[dict[str, Any]] = [
        {
            "data": {"name": "line"},
            "mark": {"type": "line", "strokeDash": [5, 4], "strokeWidth": 1.4, "stroke": ink(), "opacity": 0.6},
            "encoding": dict(at),
        },
        {"data": {"name": "points"}, "mark": {"type": "point", "filled": True}, "encoding": at | _look()},
        *({**layer, "encoding": at | layer["encoding"]} for layer in title_layers()),
    ]
    return {
        "height": BIAS_HEIGHT,
        "layer": layers,
        "usermeta": {"embedOptions": {"renderer": "canvas" if len(points) > 1000 else "svg"}},
        "datasets": {
            "points": points,
            "line": pd.DataFrame(list(line), columns=["x", "y"]).astype(float),
            "titles": _titles(films, x, limits, log),
        },
    }


def bias_alt(films: Biases, against: Literal["n_ratings", "mean"], r: float | None) -> str:
    """The scatter in two sentences."""
    best, worst = films.title[films.bias.argmax()], films.title[films.bias.argmin()]
    what = "number of training ratings" if against == "n_ratings" else "mean rating"
    along = "" if r is None else f", correlation {r:.2f}"
    return (
        f"Scatter of the learned bias of {len(films.bias):,} films against their {what}{along}. "
        f"Highest {best} ({films.bias.max():+.2f}), lowest {worst} ({films.bias.min():+.2f})."
    )


def _look() -> dict[str, Any]:
    legend = {
        "orient": "top",
        "title": None,
        "offset": 4,
        "columns": {"expr": "width < 380 ? 2 : 4"},
        "symbolOpacity": 1,
        "symbolStrokeWidth": 0,
        "labelLimit": 170,
    }
    names = [*_GROUPS, OTHER]
    colours = [pair("#0072B2", "#56B4E9"), pair("#D55E00", "#F08A4B"), pair("#009E73", "#2DC79B")]
    return {
        "fill": {
            "field": "group",
            "type": "nominal",
            "scale": {"domain": names, "range": [*colours, pair("#C3CAD1", "#465360")]},
            "legend": legend,
        },
        "shape": {
            "field": "group",
            "type": "nominal",
            "scale": {"domain": names, "range": ["triangle-up", "triangle-down", "diamond", "circle"]},
            "legend": legend,
        },
        "size": {"condition": {"test": f"datum.group === '{OTHER}'", "value": 16}, "value": 90},
        "tooltip": [
            {"field": "title", "title": "Film"},
            {"field": "y", "title": "Bias", "format": "+.2f"},
            {"field": "mean", "title": "Mean rating", "format": ".2f"},
            {"field": "n", "title": "Ratings", "format": ","},
        ],
    }


def _titles(films: Biases, x: np.ndarray, limits: tuple[tuple[float, float], ...], log: bool) -> pd.DataFrame:
    """Titles of the films of a group, the highest and the lowest first."""
    named = np.flatnonzero(films.group != OTHER)
    named = named[np.argsort(-np.abs(films.bias[named]), kind="stable")]
    unit = np.column_stack([_unit(x[named], limits[0], log), _unit(films.bias[named], limits[1], False)])
    short = films.title[named]
    placed = place_titles(unit, [str(t) for t in short], np.full(len(named), 5.5), heights=[_INSIDE] * len(WIDTHS))
    row = named[placed.row]
    return pd.DataFrame(
        {
            "x": x[row],
            "y": films.bias[row],
            "text": films.title[row],
            "dx": placed.dx,
            "dy": placed.dy,
            "align": placed.align,
            "least": placed.least,
            "below": placed.below,
            "strong": False,
        }
    )


def _axis(axis: str, title: str, limits: tuple[float, float], log: bool) -> dict[str, Any]:
    scale: dict[str, Any] = {"domain": list(limits), "nice": False}
    scale |= {"type": "log"} if log else {"zero": False}
    return {
        "field": axis,
        "type": "quantitative",
        "scale": scale,
        "axis": {"title": title, "tickCount": 5, "format": "~s" if log else "~g", "titlePadding": 8},
    }


def _limits(values: np.ndarray, log: bool) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if log:
        return max(low, 1.0) / 1.15, max(high, 2.0) * 1.15
    room = max(high - low, 1e-6) * 0.06
    return low - room, high + room


def _unit(values: np.ndarray, limits: tuple[float, float], log: bool) -> np.ndarray:
    low, high = np.log(limits) if log else limits
    return ((np.log(values) if log else values) - low) / (high - low)
