"""The losses of several runs over each other: train solid, valid dashed with points, each run named once at its end.

Smoothing is an exponential moving average (EMA) that is corrected for its start at zero, as Adam does it:

    m_t = s m_(t-1) + (1 - s) x_t,  m_0 = 0        drawn: m_t / (1 - s^t)

With s = 0 that is x_t itself, and the first point always is x_1. Source: Kingma and Ba, "Adam" (2015), section 3.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import altair as alt
import numpy as np
import pandas as pd

from cfcore.charts import MOST_CURVES
from cfcore.charts.curves import (
    AXES_HEIGHT,
    LABEL_HEIGHT,
    NAMES,
    QUIET,
    Error,
    History,
    as_error,
    baseline_lines,
    rules_table,
    value_axis,
    value_title,
)
from cfcore.charts.scales import Picture, exactly, from_unit, limits, log_ticks, round_up, short, spread, to_unit

Axis = Literal["epoch", "update", "seconds"]
Parts = Literal["both", "valid", "train"]

COMPARE_HEIGHT = 440  # pixels
_TITLES = {"epoch": "Epoch", "update": "Updates (gradient steps)", "seconds": "Seconds of training"}
_SHAPES = ["circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "triangle-right", "triangle-left"]
_SLOTS = [str(slot) for slot in range(MOST_CURVES)]
_DOTS = 10  # points drawn on a line, so that eight lines stay lines
_FLIES_OFF = 100  # times the MSE of the worse baseline, or of the best run
_NARROW = 560  # pixels of the whole chart: below it the short names stand at the ends
_MOST_POINTS = 250  # drawn of each line: more would only be sent
_EMPTY = pd.DataFrame(
    {name: pd.Series(dtype=str) for name in ("name", "slot", "part")}
    | {name: pd.Series(dtype=float) for name in ("epoch", "update", "seconds", "x", "value", "raw")}
    | {"dot": pd.Series(dtype=bool)}
)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One run on the chart.

    ``slot`` (0 to 7) fixes its colour and the shape of its points; ``planned`` epochs make room for what is to come;
    ``updates`` are its gradient steps an epoch, ``None`` where that is not known.
    """

    name: str
    slot: int
    history: History
    planned: int
    updates: int | None


@dataclass(frozen=True, kw_only=True)
class View:
    """How to look at the curves; ``smoothing`` is s in the formula above, from 0 to below 1.

    Nothing is drawn of the epochs before ``first``.
    """

    error: Error = "mse"
    x: Axis = "epoch"
    log: bool = False
    log_x: bool = False
    smoothing: float = 0.0
    parts: Parts = "both"
    first: int = 1


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """All of the chart but its data: what stays the same while runs grow, so that it is built once."""

    view: View
    x_limits: tuple[float, float]
    y_limits: tuple[float, float]
    height: int


def ema(values: Sequence[float] | np.ndarray, smoothing: float) -> np.ndarray:
    """The debiased moving average of ``values`` (t,), all finite; see the formula above.

    Raises:
        ValueError: ``smoothing`` is not in [0, 1).
    """
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing must be at least 0 and below 1, not {smoothing:g}")
    average, out = 0.0, np.empty(len(values))
    for t, value in enumerate(values, start=1):
        average = smoothing * average + (1 - smoothing) * value
        out[t - 1] = average / (1 - smoothing**t)
    return out


def compare_spec(
    curves: Sequence[Curve], baselines: Mapping[str, float | None], view: View, *, height: int = COMPARE_HEIGHT
) -> dict[str, Any]:
    """The chart as a Vega-Lite specification, with data frames under ``datasets``; cheap while runs grow.

    ``baselines`` are MSE by name; leave them out where the runs are measured on different ratings.
    """
    points = pd.concat([_EMPTY, *(_points(curve, view) for curve in curves)], ignore_index=True)
    known = {name: as_error(mse, view.error) for name, mse in baselines.items() if mse is not None}
    x_limits = _x_limits(curves, points, view)
    y_limits = limits([*_worth_a_look(points, known, view.error), *known.values()], log=view.log)
    frame = _Frame(view=view, x_limits=x_limits, y_limits=y_limits, height=height)
    ends = _ends(points, known, frame)
    widest = [max([*column, "user + movie bias 0.000"], key=len) for column in (ends["text"], ends["brief"])]
    room = pd.DataFrame([(x_limits[1], y_limits[0], *widest)], columns=["x", "place", "text", "brief"])
    tables = {"points": points, "rules": rules_table(known, *x_limits), "ends": ends, "room": room}
    return {**json.loads(_drawn(frame)), "datasets": tables}


def compare_alt(curves: Sequence[Curve], view: View) -> str:
    """The chart in a few sentences, for whoever cannot see it."""
    parts = []
    for curve in curves:
        if curve.history:
            last = curve.history[-1]
            train, valid = as_error(last.train_loss, view.error), as_error(last.valid_loss, view.error)
            n = len(curve.history)
            epochs = "1 epoch" if n == 1 else f"{n} epochs"
            parts.append(f"{curve.name} after {epochs}: train {short(train)}, valid {short(valid)}.")
        else:
            parts.append(f"{curve.name}: no epoch yet.")
    runs = "run" if len(curves) == 1 else "runs"
    return f"Line chart of {view.error.upper()} by {view.x} of {len(curves)} {runs}. " + " ".join(parts)


def _points(curve: Curve, view: View) -> pd.DataFrame:
    """One row for each part and epoch of a run; ``value`` is what is drawn, ``raw`` the error before smoothing."""
    history = curve.history
    epoch = np.array([result.epoch for result in history], dtype=float)
    seconds = np.cumsum([result.seconds for result in history])
    update = epoch * (curve.updates if curve.updates is not None else math.nan)
    x = {"epoch": epoch, "update": update, "seconds": seconds}[view.x]
    n, stride = len(history), max(1, math.ceil(len(history) / _DOTS))
    thin = max(1, math.ceil(n / _MOST_POINTS))
    tables = [_EMPTY]
    for part in ("train", "valid") if view.parts == "both" else (view.parts,):
        losses = np.array([getattr(result, f"{part}_loss") for result in history], dtype=float)
        known = np.flatnonzero(np.isfinite(losses) & (losses > 0) & np.isfinite(x) & (epoch >= view.first))
        raw = np.sqrt(losses[known]) if view.error == "rmse" else losses[known]
        smooth = ema(raw, view.smoothing)
        kept = (known % thin == 0) | (known % stride == 0) | (known == n - 1)
        drawn = known[kept]
        shown = part == "valid" or view.parts == "train" or n == 1
        columns = {
            "name": curve.name,
            "slot": str(curve.slot),
            "part": part,
            "epoch": epoch[drawn],
            "update": update[drawn],
            "seconds": seconds[drawn],
            "x": x[drawn],
            "value": smooth[kept],
            "raw": raw[kept],
            "dot": ((drawn % stride == 0) | (drawn == n - 1)) & shown,
        }
        tables.append(pd.DataFrame(columns, index=range(len(drawn))))
    return pd.concat(tables, ignore_index=True)


def _worth_a_look(points: pd.DataFrame, known: Mapping[str, float], error: Error) -> np.ndarray:
    """The errors that the axis has to hold: all but those of a run that flies off, which would flatten all others.

    What learns begins up to some 20 times the variance of the ratings off (a dot product, at 0). The lines above the
    axis are cut; their names, with the last error, stand at its top.
    """
    values, slots = points["value"].to_numpy(dtype=float), points["slot"].to_numpy()
    if len(set(slots)) < 2:
        return values
    usual = max([*known.values(), values.min()])
    return values[values <= usual * as_error(_FLIES_OFF, error)]


def _x_limits(curves: Sequence[Curve], points: pd.DataFrame, view: View) -> tuple[float, float]:
    """Up to the longest run as it is planned, so that the axis does not move while runs grow."""
    ends = [2.0 if view.x == "epoch" else 1e-3]
    for curve in curves:
        n = len(curve.history)
        planned = max(curve.planned, n)
        if view.x == "epoch":
            ends.append(planned)
        elif view.x == "update":
            ends.append(planned * (curve.updates or 0))
        elif n:
            ends.append(round_up(sum(result.seconds for result in curve.history) * planned / n))
    high = max(ends)
    if view.x == "epoch":
        return float(view.first), max(high, view.first + 1.0)
    if not view.log_x:
        return 0.0, round_up(high)
    low = min(points["x"], default=high / 100)
    return min(low, high / 2) / 1.05, high * 1.05


def _ends(points: pd.DataFrame, known: Mapping[str, float], frame: _Frame) -> pd.DataFrame:
    """Where each run's name stands: at the right edge, level with its line's end but apart from its neighbours."""
    x_high, (low, high), view = frame.x_limits[1], frame.y_limits, frame.view
    brief = _brief([*known, *points["name"].unique()])
    rows = [
        ("", x_high, value, f"{name} {short(value)}", f"{brief[name]} {short(value)}") for name, value in known.items()
    ]
    named = points[points["part"] == ("train" if view.parts == "train" else "valid")]
    last = pd.DataFrame(named.groupby("slot", sort=False).tail(1), columns=["name", "slot", "x", "value", "raw"])
    for name, slot, x, value, raw in last.to_numpy().tolist():
        rows.append((slot, x, value, f"{name} {short(raw)}", f"{brief[name]} {short(raw)}"))
    places = [min(max(to_unit(value, low, high, log=view.log), 0.0), 1.0) for _, _, value, _, _ in rows]
    apart = spread(places, LABEL_HEIGHT / max(frame.height - AXES_HEIGHT, 1))
    table = pd.DataFrame(rows, columns=["slot", "end", "value", "text", "brief"]).astype({"end": float, "value": float})
    table["value"] = table["value"].clip(upper=high)
    place = [from_unit(share, low, high, log=view.log) for share in apart]
    return table.assign(x=x_high, place=pd.Series(place, dtype=float))


def _brief(names: Sequence[str]) -> dict[str, str]:
    """The names cut to 14 letters for a narrow screen; where that makes two alike, cut in the middle."""
    cut = {name: name if len(name) <= 14 else f"{name[:13].rstrip(' ,')}…" for name in names}
    counts = Counter(cut.values())
    return {name: few if counts[few] == 1 else f"{name[:5]}…{name[-8:].strip()}" for name, few in cut.items()}


@lru_cache(maxsize=256)
def _drawn(frame: _Frame) -> str:
    return _draw(frame).to_json()


def _draw(frame: _Frame) -> Picture:
    """The layers over named data that is still to come."""
    view = frame.view
    x_axis = _x_axis(frame)
    # No range: the theme's categories, which change with light and dark. A slot keeps its colour as runs come and go.
    colour = alt.Color("slot:N", legend=None, scale=alt.Scale(domain=_SLOTS))
    shape = alt.Shape("slot:N", legend=None, scale=alt.Scale(domain=_SLOTS, range=_SHAPES))
    value_y = alt.Y(**value_axis(frame.y_limits, log=view.log))
    base = alt.Chart(alt.NamedData("points")).encode(x=x_axis, y=value_y, color=colour)
    train = base.transform_filter("datum.part == 'train'").mark_line(strokeWidth=1.75, clip=True)
    valid = base.transform_filter("datum.part == 'valid'").mark_line(strokeWidth=2, strokeDash=[6, 4], clip=True)
    low, high = frame.y_limits
    within = base.transform_filter(f"datum.value >= {low} && datum.value <= {high}")  # a clipped dot at 1 would be half
    dots = within.transform_filter("datum.dot").mark_point(filled=True, size=46, opacity=1).encode(shape=shape)
    hover = within.mark_point(size=150, opacity=0).encode(tooltip=_tooltip(view))
    at: dict[str, Any] = {"x": "x:Q", "y": "place:Q", "text": "shown:N"}
    names = f"containerSize()[0] < {_NARROW} ? datum.brief : datum.text"
    ends = alt.Chart(alt.NamedData("ends")).transform_calculate(shown=names)
    of_runs = ends.transform_filter("datum.slot != ''")
    leaders = of_runs.mark_rule(strokeWidth=1, opacity=0.7, strokeDash=[1, 3]).encode(
        x="end:Q", y="value:Q", x2="x:Q", y2="place:Q", color=colour
    )
    run_names = of_runs.mark_text(**NAMES, fontWeight=600).encode(**at, color=colour)
    quiet_names = ends.transform_filter("datum.slot == ''").mark_text(**NAMES, color=QUIET).encode(**at)
    # An unseen name as wide as the widest: the plot keeps its width when a run ends.
    room = alt.Chart(alt.NamedData("room")).transform_calculate(shown=names).mark_text(**NAMES, opacity=0).encode(**at)
    baselines = alt.Chart.from_dict(baseline_lines(view.error))
    layers = [baselines, leaders, train, valid, dots, hover, quiet_names, run_names, room]
    if view.smoothing > 0:
        layers.insert(
            1,
            base.mark_line(strokeWidth=1, opacity=0.25, clip=True).encode(
                y=alt.Y("raw:Q", title=None), detail="part:N"
            ),
        )
    return alt.layer(*layers).properties(height=frame.height, title=alt.Title(**value_title(view.error)))


def _x_axis(frame: _Frame) -> alt.X:
    view, (low, high) = frame.view, frame.x_limits
    how: dict[str, Any] = {"format": "~g" if high < 1e4 else "~s", "tickCount": 8}
    if view.x == "epoch":
        how = {"tickMinStep": 1, "format": "d", "tickCount": 10}
    if view.log_x:
        how = {"format": how["format"], "values": log_ticks(low, high)}
    scale = exactly(frame.x_limits, log=view.log_x)
    return alt.X("x:Q", title=_TITLES[view.x], scale=scale, axis=alt.Axis(grid=False, **how))


def _tooltip(view: View) -> list[alt.Tooltip]:
    shown = [
        alt.Tooltip("name:N", title="Run"),
        alt.Tooltip("part:N", title="Part"),
        alt.Tooltip("epoch:Q", title="Epoch"),
        alt.Tooltip("update:Q", title="Updates", format=","),
        alt.Tooltip("seconds:Q", title="Seconds", format=".2s"),
        alt.Tooltip("raw:Q", title=view.error.upper(), format=".3f"),
    ]
    return [*shown, alt.Tooltip("value:Q", title="Smoothed", format=".3f")] if view.smoothing else shown
