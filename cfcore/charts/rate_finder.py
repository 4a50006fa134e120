"""A learning-rate sweep: the loss at each rate on a log axis, with the rates that the rules suggest.

Each suggestion is a line that rises from the curve to its name. The names stand in rows of their own above the curve,
so that none covers another however close the rates are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from cfcore.charts.curves import AXES_HEIGHT, LABEL_HEIGHT, NAMES, QUIET
from cfcore.charts.scales import Picture, exactly, from_unit, limits, log_ticks, round_up, short, spread, to_unit

RATE_HEIGHT = 330  # pixels
_DIVERGED = 4  # times the lowest loss: higher than that, and than the first loss, the picture need not reach
_NOISE = 1.5  # times the smoothed loss: what one batch may be above it by chance
_LOG_FROM = 8  # so many times the lowest loss, and only a logarithmic axis shows both
NOW = "now"
_ACCENT = alt.Color("accent:N", legend=None, scale=alt.Scale(domain=["it"]))  # the theme's first, in light and dark
_LOOKS: dict[str, dict[str, Any]] = {
    "other": {"strokeWidth": 1, "strokeDash": [1, 3], "color": QUIET},
    NOW: {"strokeWidth": 1.25, "strokeDash": [6, 4], "color": QUIET},
    "offered": {"strokeWidth": 2},
}


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """All of the chart but its data."""

    x_limits: tuple[float, float]
    y_limits: tuple[float, float]  # of the curve; the names stand above
    log: bool
    smoothed: bool
    rows: int

    @property
    def top(self) -> float:
        """The upper end of the axis, with room for the rows of names."""
        room = (self.rows * LABEL_HEIGHT + 4) / (RATE_HEIGHT - AXES_HEIGHT)
        return from_unit(1 / (1 - room), *self.y_limits, log=self.log)

    def at_row(self, row: int) -> float:
        """The height of a row of names on the axis; 0 is the highest."""
        share = 1 - (row + 0.5) * LABEL_HEIGHT / (RATE_HEIGHT - AXES_HEIGHT)
        return from_unit(share, self.y_limits[0], self.top, log=self.log)


def rate_spec(
    rates: np.ndarray,
    raw: np.ndarray,
    smooth: np.ndarray,
    suggested: Mapping[str, float],
    offered: str,
    *,
    now: float | None = None,
    diverged: bool = False,
) -> dict[str, Any]:
    """Draw a sweep as a Vega-Lite specification, with data frames under ``datasets``.

    Args:
        rates: (s,) the rate of each step, growing.
        raw: (s,) its loss; the same as ``smooth`` where nothing was smoothed.
        smooth: (s,) the loss that the rules have read.
        suggested: rates by the name of their rule; ``offered`` is the one that stands out.
        now: the rate in use.
        diverged: whether the sweep ended because the loss exploded.
    """
    marks = {name: rate for name, rate in suggested.items() if rates[0] <= rate <= rates[-1]}
    if now is not None and rates[0] <= now <= rates[-1] and not np.isclose(now, marks.get(offered, 0), rtol=0.05):
        marks[NOW] = now
    most = max(float(smooth[0]), _DIVERGED * float(smooth.min()))
    shown = np.concatenate([smooth, raw[raw <= _NOISE * smooth]])  # how far single batches explode is of no interest
    shown = shown[(shown > 0) & (shown <= most)]
    log = bool(len(shown)) and shown.max() > _LOG_FROM * shown.min()
    frame = _Frame(
        x_limits=(float(rates[0]), float(rates[-1])),
        y_limits=limits([float(each) for each in shown], log=log),
        log=log,
        smoothed=not np.array_equal(raw, smooth),
        rows=len(marks),
    )
    seen = (raw > 0) & (smooth > 0)  # a logarithm has no place for others
    curve = pd.DataFrame({"x": rates[seen], "raw": raw[seen], "smooth": smooth[seen]}).astype(float)
    top = frame.y_limits[1]  # neither line runs into the names: of the smoothed one the rise is seen up to here
    curve = curve.assign(line=curve["smooth"].clip(upper=top), thin=curve["raw"].where(curve["raw"] <= top))
    datasets = {
        "curve": curve,
        "marks": _marks(marks, offered, rates, smooth, frame),
        "ends": _ends(curve, frame, diverged),
    }
    return {**json.loads(_drawn(frame)), "datasets": datasets}


def rate_alt(
    rates: np.ndarray, smooth: np.ndarray, suggested: Mapping[str, float], offered: str, *, diverged: bool
) -> str:
    """The sweep in a few sentences, for whoever cannot see it."""
    lowest = int(np.argmin(smooth))
    end = "where it diverges" if diverged else "the end of the sweep"
    words = (
        f"Line chart of the loss by learning rate, from {rates[0]:.2g} to {rates[-1]:.2g}, {end}. The loss begins at "
        f"{short(float(smooth[0]))} and is lowest, {short(float(smooth[lowest]))}, at a rate of {rates[lowest]:.2g}."
    )
    if not suggested:
        return words
    listed = ", ".join(f"{name} {rate:.2g}" for name, rate in suggested.items())
    return f"{words} Suggested: {listed}; offered is {offered}."


def _marks(
    marks: Mapping[str, float], offered: str, rates: np.ndarray, smooth: np.ndarray, frame: _Frame
) -> pd.DataFrame:
    """One row a mark: its place on the curve, and that of its name above, the leftmost highest.

    Names run to the right, so none meets the line of another: those further right end lower.
    """
    low, high = frame.y_limits
    rows = []
    for row, name in enumerate(sorted(marks, key=marks.__getitem__)):
        loss = float(np.interp(math.log(marks[name]), np.log(rates), smooth))
        kind = "offered" if name == offered else NOW if name == NOW else "other"
        text = f"{name} {marks[name]:.2g}"
        rows.append((text, kind, marks[name], min(max(loss, low), high), frame.at_row(row)))
    table = pd.DataFrame(rows, columns=["text", "kind", "x", "loss", "place"])
    return table.astype({"x": float, "loss": float, "place": float})


def _ends(curve: pd.DataFrame, frame: _Frame, diverged: bool) -> pd.DataFrame:
    """The name of each line at its end, inside the curve's own limits."""
    names = {"smooth": "diverges" if diverged else "smoothed" if frame.smoothed else "loss"}
    if frame.smoothed:
        names["raw"] = "each batch"
    shares = []
    for part in names:
        share = to_unit(float(curve[part].iloc[-1]), *frame.y_limits, log=frame.log) if len(curve) else 0.5
        shares.append(min(max(share, 0.0), 1.0))
    room = RATE_HEIGHT - AXES_HEIGHT - frame.rows * LABEL_HEIGHT
    values = [from_unit(share, *frame.y_limits, log=frame.log) for share in spread(shares, LABEL_HEIGHT / room)]
    rows = [(part, frame.x_limits[1], value, text) for (part, text), value in zip(names.items(), values, strict=True)]
    return pd.DataFrame(rows, columns=["part", "x", "place", "text"])


@lru_cache(maxsize=64)
def _drawn(frame: _Frame) -> str:
    return _draw(frame).to_json()


def _draw(frame: _Frame) -> Picture:
    """The layers of the chart over named data that is still to come."""
    ends = alt.Chart(alt.NamedData("ends")).encode(x=_x(frame), y=_y("place", frame), text="text:N")
    title = "Loss (MSE), of each batch and smoothed" if frame.smoothed else "Loss (MSE) of each step"
    return alt.layer(*_lines(frame), *_suggestions(frame), ends.mark_text(**NAMES, color=QUIET)).properties(
        height=RATE_HEIGHT,
        title=alt.Title(title, anchor="start", fontSize=13, fontWeight="normal", offset=10),
    )


def _lines(frame: _Frame) -> list[alt.Chart]:
    """The loss as the rules read it and, where that is smoothed, thin beneath it as it was."""
    curve = alt.Chart(alt.NamedData("curve")).encode(x=_x(frame)).transform_calculate(accent="'it'")
    smooth = _y("line", frame)
    tooltip = [
        alt.Tooltip("x:Q", title="Learning rate", format=".2~g"),
        alt.Tooltip("smooth:Q", title="Smoothed loss" if frame.smoothed else "Loss", format=".4~g"),
    ]
    below = []
    if frame.smoothed:
        below = [curve.mark_line(strokeWidth=1, color=QUIET, opacity=0.7, clip=True).encode(y=_y("thin", frame))]
        tooltip.append(alt.Tooltip("raw:Q", title="Loss of the batch", format=".4~g"))
    line = curve.mark_line(strokeWidth=2.25, clip=True).encode(y=smooth, color=_ACCENT)
    return [*below, line, curve.mark_point(size=160, opacity=0, clip=True).encode(y=smooth, tooltip=tooltip)]


def _suggestions(frame: _Frame) -> list[alt.Chart]:
    """A point on the curve, a line that rises from it, and the name at the line's end."""
    marks = alt.Chart(alt.NamedData("marks")).encode(x=_x(frame)).transform_calculate(accent="'it'")
    layers = []
    for kind, look in _LOOKS.items():
        these = marks.transform_filter(f"datum.kind == '{kind}'")
        if kind == "offered":
            these = these.encode(color=_ACCENT)
        ink: dict[str, Any] = {"fontWeight": 600} if kind == "offered" else {"color": QUIET}
        point: dict[str, Any] = {} if kind == "offered" else {"color": QUIET}
        layers.append(these.mark_rule(**look).encode(y=_y("loss", frame), y2="place:Q"))
        layers.append(these.mark_point(filled=True, size=50, opacity=1, **point).encode(y=_y("loss", frame)))
        named = these.encode(y=_y("place", frame), text="text:N")
        layers.append(named.mark_text(align="left", dx=5, baseline="middle", fontSize=12, **ink))
    return layers


def _x(frame: _Frame) -> alt.X:
    axis = alt.Axis(grid=False, values=_decades(*frame.x_limits), format="~g", labelOverlap="greedy")
    return alt.X("x:Q", title="Learning rate (logarithmic)", scale=exactly(frame.x_limits, log=True), axis=axis)


def _y(field: str, frame: _Frame) -> alt.Y:
    low, high = frame.y_limits
    step = round_up((high - low) / 4)
    even = [round(k * step, 12) for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    axis = alt.Axis(format=".3~g", values=log_ticks(low, high) if frame.log else even)
    return alt.Y(f"{field}:Q", title=None, scale=exactly((low, frame.top), log=frame.log), axis=axis)


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten from ``low`` to ``high``; every second one where they are many."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    step = 1 if last - first < 6 else 2
    return [float(f"1e{power}") for power in range(first, last + 1, step)]
