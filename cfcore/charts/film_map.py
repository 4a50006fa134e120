"""The map of films as a Vega-Lite specification: points, titles that do not overlap, lines to the nearest films.

Everything that changes from one click to the next is data; the specification stays the same for as long as axes, colour
and mode do. So the browser keeps its view, zoom included, and only refills it. Three selections come back: ``picked``
(the raw index ``item`` of a film that was tapped), ``region`` (a rectangle that was drawn) and ``grid`` (what part of
the map is in sight).

Colours follow the theme in the browser: every one is a pair, chosen by the brightness of ``background``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from cfcore.charts.map_style import Colour, colour_encoding, ink, legend_columns

Drag = Literal["move", "select"]
Limits = tuple[float, float, float, float]  # x from, x to, y from, y to

MAP_HEIGHT = 600  # pixels, legend and axes included; pages reserve it
SELECTIONS = ("grid", "picked", "region")
MANY = 1000  # films: beyond, what is evaluated for each point at each step of a zoom is kept to a minimum

_AXIS, _LEGEND, _LEGEND_ROW = 100, 46, 21  # pixels: x axis with two lines of title, legend, each further row of it
_PERSON = (
    "M-0.24,-0.26a0.24,0.24 0 1,0 0.48,0a0.24,0.24 0 1,0 -0.48,0z"
    "M-0.5,0.5c0,-0.36 0.22,-0.46 0.5,-0.46s0.5,0.1 0.5,0.46z"
)
# A tap is a press and a release without a drag between them: moving the map must not pick a film.
_TAP = "[pointerdown, window:pointermove[abs(event.movementX) + abs(event.movementY) > 2]] > pointerup"
_DRAG = "[pointerdown[{}event.shiftKey], window:pointerup] > window:pointermove!"


@dataclass(frozen=True, kw_only=True)
class MapFrame:
    """All of a map but its data.

    ``shown`` is the part in sight at first, ``None`` for the whole map; ``region`` is the one drawn at first.
    """

    x_title: str
    y_title: str
    colour: Colour
    drag: Drag = "move"
    many: bool = False
    ticks: bool = True
    shown: Limits | None = None
    region: Limits | None = None
    height: int = MAP_HEIGHT


def film_map_spec(frame: MapFrame, tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """The map with its data; ``tables`` as :mod:`cfcore.charts.map_tables` makes them."""
    layers = [_corners(), _way(), _links(), _films(frame), _people(), _rings(), *title_layers(tapped=True)]
    for layer in layers:
        layer["encoding"] = {"x": _position("x", frame), "y": _position("y", frame), **layer["encoding"]}
    return {
        "height": frame.height,
        "view": {"cursor": "move" if frame.drag == "move" else "crosshair"},
        "layer": layers,
        "config": {"axis": {"labelPadding": 6, "titlePadding": 8, "gridOpacity": 0.7}},
        "usermeta": {"embedOptions": {"renderer": "canvas" if frame.many else "svg"}},
        "datasets": dict(tables),
    }


def plot_height(frame: MapFrame, width: float) -> float:
    """How high the plot itself is, at least, where it is ``width`` pixels wide; titles are placed for it."""
    rows = 1
    if frame.colour.categories:
        rows = math.ceil((len(frame.colour.categories) + 1) / legend_columns(width))
    legend = _LEGEND + _LEGEND_ROW * (rows - 1) if frame.colour.title else 0
    return frame.height - _AXIS - legend - 16


def limits_of(xy: np.ndarray) -> Limits:
    """What part of the plane holds every one of ``xy`` (n, 2), with a little room around."""
    low, high = xy.min(axis=0), xy.max(axis=0)
    room = np.maximum(high - low, 1e-9) * 0.04
    return float(low[0] - room[0]), float(high[0] + room[0]), float(low[1] - room[1]), float(high[1] + room[1])


def _corners() -> dict[str, Any]:
    return {"data": {"name": "frame"}, "mark": {"type": "point", "opacity": 0, "tooltip": None}, "encoding": {}}


def _films(frame: MapFrame) -> dict[str, Any]:
    opacity: dict[str, Any] = {"field": "alpha", "type": "quantitative", "scale": None}
    if not frame.many:
        opacity = {"condition": {"test": {"not": {"param": "region"}}, "value": 0.12}, **opacity}
    encoding: dict[str, Any] = {
        "size": {"field": "size", "type": "quantitative", "scale": None},
        "opacity": opacity,
    } | colour_encoding(frame.colour)
    return {
        "data": {"name": "films"},
        # the whole row of facts becomes the tooltip: an object that is looked up, not built for every point and frame
        "transform": [{"lookup": "item", "from": {"data": {"name": "facts"}, "key": "Movie id"}, "as": "facts"}],
        "params": _selections(frame),
        "mark": {
            "type": "point",
            "filled": True,
            "cursor": "pointer",
            "tooltip": {"expr": "datum.facts"},
            **({} if frame.many else {"stroke": {"expr": "background"}, "strokeWidth": 0.8}),
        },
        "encoding": encoding,
    }


def _selections(frame: MapFrame) -> list[dict[str, Any]]:
    """Dragging moves the map and dragging with Shift draws a region, or the other way round."""
    plain, shifted = _DRAG.format("!"), _DRAG.format("")
    move = frame.drag == "move"
    grid: dict[str, Any] = {
        "name": "grid",
        "select": {"type": "interval", "encodings": ["x", "y"], "translate": plain if move else shifted},
        "bind": "scales",
    }
    if frame.shown:
        grid["value"] = {"x": list(frame.shown[:2]), "y": list(frame.shown[2:])}
    region: dict[str, Any] = {
        "name": "region",
        "select": {
            "type": "interval",
            "encodings": ["x", "y"],
            "on": shifted if move else plain,
            "translate": False,
            "zoom": False,
            "mark": {"fill": "#76828D", "fillOpacity": 0.08, "stroke": "#76828D", "strokeDash": [4, 3]},
        },
    }
    if frame.region:
        region["value"] = {"x": list(frame.region[:2]), "y": list(frame.region[2:])}
    picked = {
        "name": "picked",
        "select": {"type": "point", "fields": ["item"], "on": _TAP, "toggle": False, "clear": False},
    }
    return [grid, region, picked]


def _links() -> dict[str, Any]:
    return {
        "data": {"name": "links"},
        "mark": {"type": "rule", "strokeWidth": 1.4, "stroke": ink(), "opacity": 0.45, "tooltip": None},
        "encoding": {"x2": {"field": "x2"}, "y2": {"field": "y2"}},
    }


def _way() -> dict[str, Any]:
    """The direction of a person, under everything else."""
    return {
        "data": {"name": "way"},
        "mark": {"type": "rule", "strokeDash": [5, 4], "stroke": ink(), "opacity": 0.6, "clip": True, "tooltip": None},
        "encoding": {"x2": {"field": "x2"}, "y2": {"field": "y2"}},
    }


def _rings() -> dict[str, Any]:
    """A ring around the chosen film and, thinner, around its nearest and around a person's favourites."""
    return {
        "data": {"name": "rings"},
        "mark": {"type": "point", "filled": False, "fill": None, "stroke": ink(), "tooltip": None},
        "encoding": {
            "size": {"field": "size", "type": "quantitative", "scale": None},
            "strokeWidth": {"field": "stroke", "type": "quantitative", "scale": None},
        },
    }


def _people() -> dict[str, Any]:
    return {
        "data": {"name": "people"},
        "params": _alive("people"),
        "mark": {
            "type": "point",
            "shape": _PERSON,
            "filled": True,
            "fill": ink(),
            "stroke": {"expr": "background"},
            "strokeWidth": 0.5,
        },
        "encoding": {
            "size": {"field": "size", "type": "quantitative", "scale": None},
            "opacity": {"field": "alpha", "type": "quantitative", "scale": None},
            "tooltip": {"field": "name", "type": "nominal"},
        },
    }


def title_layers(*, tapped: bool = False) -> list[dict[str, Any]]:
    """Each title twice: a halo in the colour of the background, and the text; ``tapped`` where a tap means its film."""
    mark: dict[str, Any] = {
        "type": "text",
        "align": {"expr": "datum.align"},
        "dx": {"expr": "datum.dx"},
        "dy": {"expr": "datum.dy"},
        "fontSize": 11.5,
        "baseline": "middle",
        "cursor": "pointer",
        "tooltip": None,
    }
    layer = {
        "data": {"name": "titles"},
        "transform": [{"filter": "width >= datum.least && width < datum.below"}],
        "encoding": {"text": {"field": "text", "type": "nominal"}},
    }
    halo = {"stroke": {"expr": "background"}, "strokeWidth": 3, "strokeJoin": "round", "fill": {"expr": "background"}}
    weight = {"expr": "datum.strong ? 600 : 400"}
    return [
        {**layer, "mark": {**mark, **halo, "opacity": 0.85, "fontWeight": weight}, "encoding": dict(layer["encoding"])},
        {
            **layer,
            "mark": {**mark, "fill": ink(), "fontWeight": weight, "opacity": {"expr": "datum.alpha"}},
            "encoding": dict(layer["encoding"]),
            **({"params": _alive("titles")} if tapped else {}),
        },
    ]


def _alive(name: str) -> list[dict[str, Any]]:
    """A selection that selects nothing: beside a layer with selections, only layers with some of their own are felt."""
    return [{"name": f"over_{name}", "select": {"type": "point", "fields": ["item"], "on": "dblclick", "clear": False}}]


def _position(axis: Literal["x", "y"], frame: MapFrame) -> dict[str, Any]:
    title = frame.x_title if axis == "x" else frame.y_title
    return {
        "field": axis,
        "type": "quantitative",
        "scale": {
            "domain": {"expr": f"[data('frame')[0].{axis}, data('frame')[1].{axis}]"},
            "zero": False,
            "nice": False,
        },
        "axis": {"title": title.split("\n"), "tickCount": 5, "labels": frame.ticks, "format": "~g"},
    }
