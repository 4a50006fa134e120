"""Two pictures of lesson 4: how far the same step ends apart, and what a loss without ``squeeze(1)`` learns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
import pandas as pd

from cfcore.charts.curves import AXES_HEIGHT, LABEL_HEIGHT, NAMES, QUIET
from cfcore.charts.lessons import titled
from cfcore.charts.scales import Picture, exactly, from_unit, limits, log_ticks, spread, to_unit

APART_HEIGHT, LOSS_HEIGHT = 340, 280  # pixels
RIGHT, BROADCAST = "with squeeze", "without"
_MOST_TICKS = 12  # distinct ratings that an axis names one by one
_SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right"]


def apart_chart(difference: Mapping[str, np.ndarray]) -> Picture:
    """The greatest difference of a weight after each step (steps,), a line for each name, on a logarithmic axis.

    What is exactly 0 has no place on it, so that a line begins where there is a difference; say so in words beside it.
    """
    drawn = {name: values for name, values in difference.items() if (values > 0).any()}
    table = pd.DataFrame(
        [
            (name, step, float(value))
            for name, values in drawn.items()
            for step, value in enumerate(values, start=1)
            if value > 0
        ],
        columns=["way", "step", "value"],
    )
    steps = max((len(values) for values in difference.values()), default=1)
    low, high = _decades(table["value"].to_numpy(dtype=float))
    y = alt.Y(
        "value:Q",
        title=None,
        scale=exactly((low, high), log=True),
        axis=alt.Axis(format="~e", values=_tens(low, high)),
    )
    ends = _ends(table, (low, high), APART_HEIGHT, log=True)
    return _lines(table, ends, y, steps, list(drawn)).properties(
        height=APART_HEIGHT, title=alt.TitleParams(**titled("Greatest difference of a weight"))
    )


def losses_chart(losses: Mapping[str, np.ndarray], lowest: float) -> Picture:
    """Each way's own loss (steps + 1,) from before the first step on; ``lowest`` is the least without ``squeeze``."""
    table = pd.DataFrame(
        [(name, step, float(value)) for name, values in losses.items() for step, value in enumerate(values)],
        columns=["way", "step", "value"],
    )
    table = table.query("value > 0")
    low, high = limits([*table["value"], *([lowest] if lowest > 0 else [])], log=True)
    axis = alt.Axis(format="~g", values=log_ticks(low, high))
    y = alt.Y("value:Q", title=None, scale=exactly((low, high), log=True), axis=axis)
    ends = _ends(table, (low, high), LOSS_HEIGHT, log=True)
    lines = _lines(table, ends, y, len(next(iter(losses.values()))) - 1, list(losses), first=0)
    named = {"value": [lowest], "text": ["variance of the ratings"], "step": [0.55 * table["step"].max()]}
    rule = alt.Chart(pd.DataFrame(named)).encode(y=y)
    name = rule.mark_text(align="left", dy=11, fontSize=12, color=QUIET).encode(x="step:Q", text="text:N")
    return alt.layer(rule.mark_rule(strokeDash=[1, 3], color=QUIET), name, lines).properties(
        height=LOSS_HEIGHT, title=alt.TitleParams(**titled("Loss (MSE) as each way computes it"))
    )


def guesses_chart(ratings: np.ndarray, predictions: Mapping[str, np.ndarray], mean: float) -> Picture:
    """What each way predicts (n,) for each rating (n,), the ``mean`` of the ratings as a line."""
    step = _least_step(ratings)
    sides = np.linspace(-0.14, 0.14, len(predictions)) * step  # side by side, so that none hides another
    jitter = np.random.default_rng(0).uniform(-0.1, 0.1, len(ratings)) * step
    table = pd.concat(
        [
            pd.DataFrame({"way": name, "rating": ratings + side + jitter, "given": ratings, "predicted": values})
            for side, (name, values) in zip(sides, predictions.items(), strict=True)
        ]
    )
    names, distinct = list(predictions), np.unique(ratings).tolist()
    axis = alt.Axis(grid=False, values=distinct) if len(distinct) <= _MOST_TICKS else alt.Axis(grid=False)
    points = (
        alt.Chart(table)
        .mark_point(size=26, opacity=0.75, strokeWidth=1.3)
        .encode(
            x=alt.X("rating:Q", title="Rating given", scale=alt.Scale(zero=False), axis=axis),
            y=alt.Y("predicted:Q", title=None, scale=alt.Scale(zero=False)),
            color=alt.Color("way:N", title=None, scale=alt.Scale(domain=names), legend=alt.Legend(orient="bottom")),
            shape=alt.Shape("way:N", title=None, scale=alt.Scale(domain=names, range=_SHAPES[: len(names)])),
            tooltip=[
                alt.Tooltip("way:N", title="Loss"),
                alt.Tooltip("given:Q", title="Rating"),
                alt.Tooltip("predicted:Q", title="Prediction", format=".2f"),
            ],
        )
    )
    rule = alt.Chart(pd.DataFrame({"mean": [mean]})).mark_rule(strokeDash=[1, 3], color=QUIET).encode(y="mean:Q")
    return alt.layer(rule, points).properties(
        height=LOSS_HEIGHT, title=alt.TitleParams(**titled("Predictions after the last step; dotted: the mean rating"))
    )


def apart_alt(difference: Mapping[str, np.ndarray]) -> str:
    """The first chart in a sentence."""
    parts = [f"{name} {'exactly 0' if not values[-1] else f'{values[-1]:.1e}'}" for name, values in difference.items()]
    steps = max(len(values) for values in difference.values())
    return f"Line chart of the greatest difference of a weight by step. After {steps} steps: {', '.join(parts)}."


def _lines(
    table: pd.DataFrame, ends: pd.DataFrame, y: alt.Y, last: int, names: Sequence[str], first: int = 1
) -> Picture:
    """A line with points of its own shape for each way, named at its end."""
    x = alt.X(
        "step:Q",
        title="Step",
        scale=alt.Scale(domain=[first, last], nice=False),
        axis=alt.Axis(grid=False, tickMinStep=1, format="d"),
    )
    colour = alt.Color("way:N", legend=None, scale=alt.Scale(domain=list(names)))
    shape = alt.Shape("way:N", legend=None, scale=alt.Scale(domain=list(names), range=_SHAPES[: len(names)]))
    base = alt.Chart(table).encode(x=x, y=y, color=colour)
    stride = max(1, math.ceil((last - first + 1) / 15))
    points = base.transform_filter(f"datum.step % {stride} == 0 || datum.step == {first}")
    tooltip = [
        alt.Tooltip("way:N", title="Way"),
        alt.Tooltip("step:Q", title="Step"),
        alt.Tooltip("value:Q", title="Value", format=".3~g"),
    ]
    marks = points.mark_point(filled=True, size=46, opacity=1).encode(shape=shape, tooltip=tooltip)
    labels = (
        alt.Chart(ends).mark_text(**NAMES, fontWeight=600).encode(x="step:Q", y="place:Q", text="way:N", color=colour)
    )
    return alt.layer(base.mark_line(strokeWidth=1.8), marks, labels)


def _ends(table: pd.DataFrame, span: tuple[float, float], height: int, *, log: bool) -> pd.DataFrame:
    """Where each name stands: level with its line's end, apart from its neighbours."""
    last = table.groupby("way", sort=False).tail(1)
    apart = spread([to_unit(v, *span, log=log) for v in last["value"]], LABEL_HEIGHT / (height - AXES_HEIGHT))
    return last.assign(step=table["step"].max(), place=[from_unit(share, *span, log=log) for share in apart])


def _decades(values: np.ndarray) -> tuple[float, float]:
    """Whole powers of ten around ``values``, all positive."""
    if not len(values):
        return 1e-8, 1.0
    return 10.0 ** math.floor(math.log10(values.min())), 10.0 ** math.ceil(math.log10(values.max()) + 1e-9)


def _tens(low: float, high: float) -> list[float]:
    first, last = round(math.log10(low)), round(math.log10(high))
    return [10.0**k for k in range(first, last + 1, 1 + (last - first) // 9)]


def _least_step(ratings: np.ndarray) -> float:
    """How far apart two ratings are at least; 1 where all are the same."""
    distinct = np.unique(ratings)
    return float(np.diff(distinct).min()) if len(distinct) > 1 else 1.0
