"""What colours and shapes mean on the map of films, on a light and on a dark background.

Every colour is a pair, and the browser chooses by the brightness of ``background``: one specification serves both
themes. Categories take colours like Okabe and Ito's and differ in shape as well; numbers take viridis, or run from
orange over grey to blue where they have a middle. Sources: Okabe and Ito, Color universal design (2008); Smith and van
der Walt, matplotlib's viridis (2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

OTHERS = "none of these"
MOST_CATEGORIES = 6

_LIGHT = "luminance(background) > 0.5"
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
PALETTE = (  # Okabe and Ito's, each on a light and on a dark background
    ("#0072B2", "#56B4E9"),
    ("#D55E00", "#F08A4B"),
    ("#009E73", "#2DC79B"),
    ("#CC79A7", "#E9A6CB"),
    ("#B98500", "#F0E442"),
    ("#56A0D3", "#B4D4EA"),
)
_VIRIDIS = (
    ("#FDB32F", "#5B4394"),
    ("#5DC863", "#2C728E"),
    ("#21908C", "#21A685"),
    ("#3B528B", "#8ED645"),
    ("#440154", "#FDE725"),
)
_DIVERGING = (
    ("#9E4A00", "#FFB066"),
    ("#E8963C", "#C47A33"),
    ("#B9BFC5", "#56616B"),
    ("#62A7D6", "#4A90C2"),
    ("#0B4F87", "#A5D8F8"),
)


@dataclass(frozen=True, kw_only=True)
class Colour:
    """What the colours mean: ``categories`` (with their shapes), numbers between ``limits``, or nothing.

    ``middle`` makes the ramp diverge there; ``log`` is for counts.
    """

    title: str = ""
    categories: tuple[str, ...] = ()
    limits: tuple[float, float] | None = None
    middle: float | None = None
    log: bool = False
    format: str = ".2f"


def colour_encoding(colour: Colour) -> dict[str, Any]:
    """The channels that colour the films, with their legend above the plot."""
    if colour.categories:
        names = [*colour.categories, OTHERS]
        legend = {
            "orient": "top",
            "offset": 4,
            "title": colour.title,
            "columns": {"expr": "width < 330 ? 2 : width < 480 ? 3 : width < 620 ? 4 : 7"},
            "symbolOpacity": 1,
            "symbolStrokeWidth": 0,
            "symbolSize": 90,
            "labelLimit": 130,
        }
        pairs = [*PALETTE[: len(colour.categories)], ("#B9C1C9", "#4A5763")]
        shapes = [*_SHAPES[: len(colour.categories)], "circle"]
        return {
            "fill": {
                "field": "group",
                "type": "nominal",
                "scale": {"domain": names, "range": [pair(*both) for both in pairs]},
                "legend": legend,
            },
            "shape": {
                "field": "group",
                "type": "nominal",
                "scale": {"domain": names, "range": shapes},
                "legend": legend,
            },
        }
    if colour.limits:
        scale: dict[str, Any] = {"domain": list(colour.limits), "interpolate": "rgb", "clamp": True}
        ramp = _VIRIDIS
        if colour.middle is not None:
            low, middle, high = colour.limits[0], colour.middle, colour.limits[1]
            scale["domain"], ramp = [low, (low + middle) / 2, middle, (middle + high) / 2, high], _DIVERGING
        if colour.log:
            scale["type"] = "log"
        scale["range"] = [pair(*both) for both in ramp]
        legend = {
            "orient": "top",
            "offset": 4,
            "title": colour.title,
            "format": colour.format,
            "gradientLength": 220,
            "gradientThickness": 10,
            "tickCount": 4,
        }
        return {"fill": {"field": "value", "type": "quantitative", "scale": scale, "legend": legend}}
    return {"fill": {"value": pair(*PALETTE[0])}}


def legend_columns(width: float) -> int:
    """How many entries of a legend of categories stand side by side over a plot this wide."""
    return 2 if width < 330 else 3 if width < 480 else 4 if width < 620 else 7


def pair(light: str, dark: str) -> dict[str, str]:
    """One colour on a light background, another on a dark one."""
    return {"expr": f"{_LIGHT} ? '{light}' : '{dark}'"}


def ink() -> dict[str, str]:
    """The colour of text."""
    return pair("#1B2530", "#E6EBF0")
