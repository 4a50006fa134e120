"""Axes that stay still while a run grows: round limits, and labels that keep apart.

Limits are chosen here rather than by Vega because a line's name has to be placed against the same limits, and
because a limit that moves with every new point makes the whole picture jump.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import altair as alt

Picture: TypeAlias = "alt.Chart | alt.LayerChart | alt.FacetChart"  # what altair's own methods are declared to return

_LEDGES = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)


def round_up(value: float) -> float:
    """The next round number at or above ``value`` (> 0)."""
    power = 10.0 ** math.floor(math.log10(value))
    return next((ledge * power for ledge in _LEDGES if ledge * power >= value * (1 - 1e-9)), 10 * power)


def limits(values: Sequence[float], *, log: bool) -> tuple[float, float]:
    """Round limits of an axis that holds ``values``, all positive; (0, 2) where there are none."""
    if not values:
        return (0.5, 2.0) if log else (0.0, 2.0)
    low, high = min(values), max(values)
    if log:
        low, high = max(low, 1e-12) / 1.05, high * 1.05
        return 10 ** (math.floor(math.log10(low) * 10) / 10), 10 ** (math.ceil(math.log10(high) * 10) / 10)
    span = max(high - low, 0.05 * abs(high), 1e-9)
    step = round_up(span / 5)
    bottom = math.floor((low - 0.04 * span) / step) * step
    return max(0.0, bottom), math.ceil((high + 0.04 * span) / step) * step


def exactly(limits: tuple[float, float], *, log: bool = False) -> dict[str, Any]:
    """A scale with these limits and no others; Vega warns of a ``zero`` that a logarithm has no place for."""
    kind = {"type": "log"} if log else {"type": "linear", "zero": False}
    return {"domain": list(limits), "nice": False, **kind}


def log_ticks(low: float, high: float) -> list[float]:
    """Round tick values of a logarithmic axis: 1, 2, 5 and tens, or even steps within less than a decade."""
    if high / low < 8:
        step = round_up((high - low) / 6)
        first = math.ceil(low / step - 1e-9)
        return [round(k * step, 12) for k in range(max(first, 1), math.floor(high / step + 1e-9) + 1)]
    powers = [10.0**k for k in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    for ledges in ((1, 2, 5), (1, 3), (1,)):
        ticks = [round(ledge * power, 12) for power in powers for ledge in ledges]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= 8:
            return ticks
    return ticks[:: 1 + len(ticks) // 8]


def short(value: float) -> str:
    """An error to three decimals; with an exponent once it is so large that decimals mean nothing."""
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.3g}"


def against(value: float | None, baseline: float | None, name: str) -> str:
    """How an error compares with a baseline's: ``12% better than user + movie bias``."""
    if value is None or not baseline or not math.isfinite(value):
        return f"cannot be compared with {name}"
    change = (baseline - value) / baseline
    if abs(change) < 0.0005:
        return f"the same as {name}"
    digits = 1 if abs(change) < 0.1 else 0
    return f"{abs(change):.{digits}%} {'better' if change > 0 else 'worse'} than {name}"


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Move ``positions`` as little as it takes for all to lie in [0, 1] and ``gap`` apart, keeping their order.

    More labels than fit are spaced evenly.
    """
    n = len(positions)
    if n < 2:
        return [min(max(p, 0.0), 1.0) for p in positions]
    gap = min(gap, 1 / (n - 1))
    order = sorted(range(n), key=lambda k: positions[k])
    placed = [min(max(positions[k], 0.0), 1.0) for k in order]
    for _ in range(50):  # push close pairs apart half and half; a few sweeps settle a handful of labels
        for k in range(n - 1):
            lack = gap - (placed[k + 1] - placed[k])
            if lack > 0:
                placed[k] -= lack / 2
                placed[k + 1] += lack / 2
        placed = [min(max(p, k * gap), 1 - (n - 1 - k) * gap) for k, p in enumerate(placed)]
    for k in range(1, n):  # what half-and-half has not settled to the last digit
        placed[k] = max(placed[k], placed[k - 1] + gap)
    over = max(0.0, placed[-1] - 1)
    placed = [p - over for p in placed]
    result = [0.0] * n
    for place, k in zip(placed, order, strict=True):
        result[k] = place
    return result


def to_unit(value: float, low: float, high: float, *, log: bool) -> float:
    """Where ``value`` lies on the axis: 0 at ``low``, 1 at ``high``."""
    if log:
        return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
    return (value - low) / (high - low)


def from_unit(share: float, low: float, high: float, *, log: bool) -> float:
    """The value that lies at ``share`` of the axis: the inverse of :func:`to_unit`."""
    if log:
        return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    return low + share * (high - low)
