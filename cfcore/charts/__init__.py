"""Every chart of the app, as pure functions: arrays in, a chart out, and a sentence that says what it shows.

Colours are left to the theme's own category list wherever the background may be light or dark. Nothing is told by
colour alone: lines differ in their stroke and are named at their ends, cells carry their number or a tooltip.

``data`` and ``rate_finder`` are imported when they are first used, where a page says ``charts.data.…``: Altair takes
as long to import as much of a page takes to draw, and what comes before the first chart need not wait. ``curves``, on
the Train page from the start, does without it.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from cfcore.charts import curves

if TYPE_CHECKING:
    from cfcore.charts import data, rate_finder

__all__ = ["MOST_CURVES", "curves", "data", "rate_finder"]

MOST_CURVES = 8  # that one chart tells apart


def __getattr__(name: str) -> ModuleType:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
