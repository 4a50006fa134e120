"""Every ratio that has a target, as a share of it, on one logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd

from benchmarks.table import Section


def save_chart(sections: Sequence[Section], path: Path) -> None:
    """Write the picture; right of the line at 1 a target is reached, by the factor that the axis says."""
    rows = [
        (section.title, line.what.replace("`", ""), _share(line.value, line.wanted, line.bound))
        for section in sections
        for line in section.lines
        if line.wanted is not None and math.isfinite(line.value) and line.value > 0
    ]
    table = pd.DataFrame(rows, columns=["section", "what", "share"])
    table["reached"] = np.where(table["share"] >= 1, "reached", "not reached")
    x = alt.X("share:Q", title="times the target (right of 1: reached)", scale=alt.Scale(type="log"))
    y = alt.Y("what:N", title=None, sort=None, axis=alt.Axis(labelLimit=520))
    order = ["reached", "not reached"]
    points = (
        alt.Chart(table)
        .mark_point(filled=True, size=90, opacity=1)
        .encode(
            x=x,
            y=y,
            color=alt.Color("reached:N", title=None, scale=alt.Scale(domain=order, range=["#0072B2", "#D55E00"])),
            shape=alt.Shape("reached:N", title=None, scale=alt.Scale(domain=order, range=["circle", "cross"])),
        )
    )
    rule = alt.Chart(pd.DataFrame({"share": [1.0]})).mark_rule(strokeDash=[4, 4]).encode(x="share:Q")
    (rule + points).properties(width=420).configure(background="white").save(str(path))


def _share(value: float, wanted: float | None, bound: str) -> float:
    wanted = wanted or math.nan
    return value / wanted if bound == "at least" else wanted / value
