"""Every chart of the app, as pure functions: arrays in, an Altair chart out, and a sentence that says what it shows.

Colours are left to the theme's own category list wherever the background may be light or dark. Nothing is told by
colour alone: lines differ in their stroke and are named at their ends, cells carry their number or a tooltip.
"""

from cfcore.charts.curves import LOSS_HEIGHT, Across, Error, History, loss_alt, loss_curves, loss_spec
from cfcore.charts.data import (
    factor_matrix,
    factor_matrix_alt,
    matrix_corner,
    matrix_corner_alt,
    popularity_alt,
    popularity_curve,
    rating_histogram,
    rating_histogram_alt,
)

__all__ = [
    "LOSS_HEIGHT",
    "Across",
    "Error",
    "History",
    "factor_matrix",
    "factor_matrix_alt",
    "loss_alt",
    "loss_curves",
    "loss_spec",
    "matrix_corner",
    "matrix_corner_alt",
    "popularity_alt",
    "popularity_curve",
    "rating_histogram",
    "rating_histogram_alt",
]
