"""The pictures of a printed report as SVG: loss curves, and a map of the films.

Written by hand rather than by a plotting library: that would cost the page's process 36 MB and a second, and these
need a few lines and a few words. Limits, ticks and the places of names come from the app's own charts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

import numpy as np

from cfcore.charts.labels import place_titles, short_title
from cfcore.charts.scales import limits, log_ticks, round_up, short, spread, to_unit
from cfcore.training import EpochResult

WIDTH = 700  # of a picture, as of the text on the page
ACCENT, INK, QUIET, LINE = "#0072B2", "#1B2530", "#5B6670", "#D8DEE4"
COLOURS, DASHED = {"train": ACCENT, "valid": "#D55E00"}, 'stroke-dasharray="5 4"'
_LOG_FROM = 8  # the highest loss in terms of the lowest, from which the axis is logarithmic


def loss_picture(history: Sequence[EpochResult], baselines: Mapping[str, float | None], height: int = 185) -> str:
    """Train (solid) and valid (dashed, with points) loss by epoch, and the baselines (dotted), each named at its end.

    Losses that are not finite are left out; without any there is no picture. A loss of 0 has no place on a logarithmic
    axis: the axis is linear then.
    """
    lines = {
        name: [(each.epoch, loss) for each in history if math.isfinite(loss := getattr(each, f"{name}_loss"))]
        for name in COLOURS
    }
    rules = {name: value for name, value in baselines.items() if value is not None and math.isfinite(value)}
    values = [value for points in lines.values() for _, value in points] + list(rules.values())
    if not values:
        return ""
    log = max(values) > _LOG_FROM * min(values) > 0
    low, high = limits(values, log=log)
    last = max((result.epoch for result in history), default=1)
    left, right, top, bottom = 38, WIDTH - 170, 8, height - 34

    def x(epoch: float) -> float:
        return left + (right - left) * (0.5 if last == 1 else (epoch - 1) / (last - 1))

    def y(value: float) -> float:
        return bottom - (bottom - top) * to_unit(value, low, high, log=log)

    parts = [_grid(log_ticks(low, high) if log else _ticks(low, high), y, left, right)]
    step = max(1, round(round_up(last / 10)))
    for epoch in sorted({1, *range(step, last + 1, step)}):
        parts.append(_text(x(epoch), bottom + 16, str(epoch), "middle", QUIET))
    parts.append(_text((left + right) / 2, height - 4, "epoch", "middle", QUIET))
    for value in rules.values():
        parts.append(_path([(left, y(value)), (right, y(value))], QUIET, 'stroke-width="1" stroke-dasharray="1 3"'))
    for name, points in lines.items():
        at, dashed = [(x(epoch), y(value)) for epoch, value in points], name == "valid"
        parts.append(_path(at, COLOURS[name], f'stroke-width="1.6" {DASHED if dashed else ""}'))
        parts.append(_dots(at if dashed else at[-1:], COLOURS[name], 5))
    ends = {name: (points[-1][1], COLOURS[name]) for name, points in lines.items() if points}
    ends |= {name: (value, QUIET) for name, value in rules.items()}
    places = spread([(bottom - y(value)) / (bottom - top) for value, _ in ends.values()], 13 / (bottom - top))
    for (name, (value, colour)), place in zip(ends.items(), places, strict=True):
        parts.append(_text(right + 8, bottom - place * (bottom - top) + 4, f"{name} {short(value)}", "start", colour))
    return _svg(parts, height, "Loss by epoch")


def film_map(scores: np.ndarray, titles: Sequence[str], shares: np.ndarray, height: int = 285) -> str:
    """The films at their ``scores`` (m, 2), best known first: those are named where there is room.

    ``shares`` (2,) of the variance are what the axes explain.
    """
    left, right, top, bottom = 14, WIDTH - 4, 4, height - 20
    span = scores.max(axis=0) - scores.min(axis=0)
    unit = 0.03 + 0.94 * (scores - scores.min(axis=0)) / np.where(span > 0, span, 1)  # (m, 2)
    size = np.array([right - left, bottom - top])
    xy = np.array([left, bottom]) + unit * size * np.array([1, -1])
    shown = [short_title(title) for title in titles[:400]]
    placed = place_titles(
        unit[: len(shown)], shown, np.full(len(shown), 2.0), heights=[size[1]] * 2, widths=(size[0], size[0] + 1)
    )
    parts = [
        f'<rect x="{left}" y="{top}" width="{size[0]}" height="{size[1]}" fill="none" stroke="{LINE}"/>',
        _dots(xy, ACCENT, 3.4, 'stroke-opacity="0.45"'),
    ]
    anchor = {"left": "start", "right": "end", "center": "middle"}
    for at in np.flatnonzero(placed.below == size[0] + 1):
        row = placed.row[at]
        (px, py), dx, dy = xy[row], placed.dx[at], placed.dy[at]
        parts.append(_dots([(px, py)], INK, 4))
        parts.append(_text(px + dx, py + dy + 3.5, shown[row], anchor[placed.align[at]], INK, halo=True))
    names = [f"PC{axis + 1}, {share:.0%} of the variance" for axis, share in enumerate(shares)]
    parts.append(_text((left + right) / 2, height - 4, names[0], "middle", QUIET))
    if len(names) > 1:
        middle = (top + bottom) / 2
        parts.append(_text(10, middle, names[1], "middle", QUIET, turn=f"rotate(-90 10 {middle:g})"))
    return _svg(parts, height, "Map of films")


def _ticks(low: float, high: float) -> list[float]:
    step = round_up((high - low) / 6)
    return [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _grid(ticks: Iterable[float], y, left: float, right: float) -> str:
    rows = [
        _path([(left, y(tick)), (right, y(tick))], LINE, 'stroke-width="0.7"')
        + _text(left - 6, y(tick) + 3.5, f"{tick:.4g}", "end", QUIET)
        for tick in ticks
    ]
    return "".join(rows)


def _path(points: Iterable[Sequence[float]], colour: str, style: str) -> str:
    steps = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
    return f'<polyline points="{steps}" fill="none" stroke="{colour}" {style}/>' if steps else ""


def _dots(points: Iterable[Sequence[float]], colour: str, width: float, style: str = "") -> str:
    """Many points as one path: a line of no length with round ends is a dot."""
    steps = "".join(f"M{px:.1f} {py:.1f}h0" for px, py in points)
    return f'<path d="{steps}" stroke="{colour}" stroke-width="{width}" stroke-linecap="round" {style}/>'


def _text(px: float, py: float, words: str, anchor: str, colour: str, *, halo: bool = False, turn: str = "") -> str:
    more = ' class="halo"' if halo else ""
    more += f' transform="{turn}"' if turn else ""
    return f'<text x="{px:.1f}" y="{py:.1f}" text-anchor="{anchor}" fill="{colour}"{more}>{escape(words)}</text>'


def _svg(parts: Iterable[str], height: int, name: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(name)}">{"".join(parts)}</svg>'
