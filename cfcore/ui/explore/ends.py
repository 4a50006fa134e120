"""What the axes mean: the films at either end, and what goes along with them; and all components in a table."""

from __future__ import annotations

import numpy as np
import streamlit as st

from cfcore.embeddings import Axis
from cfcore.embeddings.axes import STRONG
from cfcore.ui.components import show_table
from cfcore.ui.explore.space import Learned
from cfcore.ui.explore.view import View
from cfcore.ui.words import plain


def axis_ends(learned: Learned, view: View | None) -> None:
    """Under the map: each axis from its low to its high end."""
    if view is None or view.axes is None:
        return
    ends = (("Left", "Right"), ("Bottom", "Top"))
    for place, axis, (low, high) in zip(st.columns(2, gap="medium"), view.axes, ends, strict=True):
        with place, st.container(border=True):
            st.markdown(f"**{plain(axis.words)}**")
            st.markdown(f"*{low}:* {_names(learned, axis.low)}")
            st.markdown(f"*{high}:* {_names(learned, axis.high)}")
            st.caption(_strongest(axis))


def components_table(learned: Learned) -> None:
    """Every component with its share, what it follows, and the films at its ends."""
    shares, axes = learned.pca.shares, learned.axes
    table = {
        "Component": [f"PC{number}" for number in range(1, len(axes) + 1)],
        "Share": shares,
        "Follows": [_follows(axis) for axis in axes],
        "At its low end": [", ".join(learned.spoken[axis.low]) for axis in axes],
        "At its high end": [", ".join(learned.spoken[axis.high]) for axis in axes],
    }
    show_table(
        table,
        hide_index=True,
        height=min(35 * (len(axes) + 1) + 3, 560),
        column_config={
            "Component": st.column_config.TextColumn(width="small", pinned=True),
            "Share": st.column_config.ProgressColumn(
                format="percent",
                min_value=0.0,
                max_value=float(shares.max(initial=1e-9)),
                width="small",
                help="Of the variance.",
            ),
            "Follows": st.column_config.TextColumn(width="medium", help="And the correlation r."),
            "At its low end": st.column_config.TextColumn(width="large"),
            "At its high end": st.column_config.TextColumn(width="large"),
        },
        alt=f"Table of {len(axes)} principal components. {axes[0].words}, {shares[0]:.1%} of the variance.",
    )
    half = int(np.searchsorted(np.cumsum(shares), 0.5)) + 1
    st.caption(
        f"It takes {half} of {len(axes)} components to hold half of the variance. The model was told no genre, no year "
        "and no popularity: a component that follows one has found it in the ratings. A component is said to follow "
        f"what it goes along with at |r| of {STRONG} or more; below {axes[0].chance:.2f} it could be chance."
    )


def _names(learned: Learned, rows: np.ndarray) -> str:
    return ", ".join(plain(learned.spoken[row]) for row in rows)


def _follows(axis: Axis) -> str:
    strong = [f"{name} {_signed(r)}" for name, r in axis.correlations if abs(r) >= max(STRONG, axis.chance)]
    return ", ".join(strong[:3]) or "nothing we know"


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _strongest(axis: Axis, n: int = 4) -> str:
    said = [f"{plain(name)} {_signed(value)}" for name, value in axis.correlations[:n]]
    return "Correlations: " + ", ".join(said) if said else ""
