"""Every chart of the app, as pure functions: arrays in, an Altair chart out, and a sentence that says what it shows.

Colours are left to the theme's own category list wherever the background may be light or dark. Nothing is told by
colour alone: lines differ in their stroke and are named at their ends, cells carry their number or a tooltip.

Names are imported when they are first used (``charts.loss_spec``, not ``from cfcore.charts import loss_spec``), because
Altair takes as long to import as all else on a page takes to draw: what comes before the first chart need not wait.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cfcore.charts.curves import LOSS_HEIGHT, loss_alt, loss_curves, loss_spec
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
    from cfcore.charts.rate_finder import RATE_HEIGHT, rate_alt, rate_spec

__all__ = [
    "LOSS_HEIGHT",
    "MOST_CURVES",
    "RATE_HEIGHT",
    "factor_matrix",
    "factor_matrix_alt",
    "loss_alt",
    "loss_curves",
    "loss_spec",
    "matrix_corner",
    "matrix_corner_alt",
    "popularity_alt",
    "popularity_curve",
    "rate_alt",
    "rate_spec",
    "rating_histogram",
    "rating_histogram_alt",
]

MOST_CURVES = 8  # that one chart tells apart
_MODULES = {
    "curves": ("LOSS_HEIGHT", "loss_alt", "loss_curves", "loss_spec"),
    "rate_finder": ("RATE_HEIGHT", "rate_alt", "rate_spec"),
}  # where a name is; all others are in ``data``


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = next((module for module, names in _MODULES.items() if name in names), "data")
    return getattr(import_module(f"{__name__}.{module}"), name)
