"""The map in words and numbers, for whoever cannot see it."""

from __future__ import annotations

import numpy as np

from cfcore.charts.map_style import OTHERS
from cfcore.ui.explore.look import Look
from cfcore.ui.explore.panel import Near
from cfcore.ui.explore.space import Learned
from cfcore.ui.explore.view import View
from cfcore.ui.words import count


def map_alt(learned: Learned, view: View, look: Look, rows: np.ndarray, near: Near | None) -> str:
    """How many films, on which axes, who stands at the four ends, what the colours say, and the chosen film."""
    xy, titles = view.xy[rows], learned.spoken[rows]
    left, right = titles[xy[:, 0].argmin()], titles[xy[:, 0].argmax()]
    low, high = titles[xy[:, 1].argmin()], titles[xy[:, 1].argmax()]
    axes = " and upwards ".join(title.replace("\n", ", ") for title in view.titles if title)
    words = [f"Map of {count(len(rows))} films. Across {axes}."]
    words.append(f"Farthest left {left}, right {right}, down {low}, up {high}.")
    if look.colour.categories and look.group is not None:
        counts = [(name, int((look.group[rows] == name).sum())) for name in (*look.colour.categories, OTHERS)]
        words.append("Colours and shapes are genres: " + ", ".join(f"{name} {n}" for name, n in counts) + ".")
    elif look.colour.limits:
        low_end, high_end = look.colour.limits
        words.append(f"Colour is {look.colour.title.lower()}, from {low_end:.4g} to {high_end:.4g}.")
    if near is not None:
        nearest = ", ".join(learned.spoken[near.rows[:5]])
        words.append(f"Chosen: {learned.spoken[near.row]}, linked to its nearest films: {nearest}.")
    return " ".join(words)
