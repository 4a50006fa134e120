"""Titles on a map that do not overlap: which of them are shown, and on which side of their point.

Greedy, the most important first: a title takes the first of four sides (right, left, above, below) where its box lies
inside the plot and touches no other box; where there is none it is left out. The server does not know how wide the
plot is, so titles are placed for several widths, and each placement says between which widths it is to be drawn: the
chart filters by its own ``width``. Boxes move with their points in straight lines as a plot widens, so two that stand
apart on the same side of each other at both ends of a range stand apart throughout it.

Source: Christensen, Marks and Shieber, An empirical study of algorithms for point-feature label placement (1995).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FONT_SIZE = 11.5  # pixels
WIDTHS = (240, 310, 410, 540, 700, 900, 1200)  # of the plot, pixels: titles are placed for each
LONGEST = 28  # characters
_LINE = 13.0  # pixels: the height of a title's box
_SAFETY = 1.06  # kerning, and fonts that are not the one measured
_POINT = 4.0  # pixels: half the side of the square that a titled point keeps free, at least
_AREA = 7000  # square pixels of plot for each title at most: more of them is a list, not a map
_MARGIN = 2.0
_WIDEST = 1e5  # pixels: the end of the last range

# Advances of Source Sans, in thousandths of the font size, for the characters from space to tilde.
_ADVANCES = np.fromstring(
    """
    200 289 426 497 497 824 609 249 303 303 418 497 249 311 249 350 497 497 497 497 497 497 497 497 497 497 249
    249 497 497 497 425 847 543 588 571 615 527 494 617 652 263 479 579 486 727 647 664 566 664 569 534 536 645
    515 786 513 476 539 303 350 303 497 500 542 504 553 456 555 496 292 504 544 246 247 495 255 829 547 542 555
    555 347 419 338 544 467 719 446 467 425 303 241 303 497
    """,
    dtype=np.int64,
    sep=" ",
)
_ARTICLE = re.compile(r"^(?P<name>.*), (?P<article>The|A|An|Les|La|Le|Il|Das|Der|Die|El|L')(?P<rest> \(.*)?$")
_YEAR = re.compile(r"\s*\(\d{4}\)\s*$")
_OTHER_NAME = re.compile(r"\s*\([^)]*\)\s*$")


@dataclass(frozen=True, eq=False, kw_only=True)
class Placed:
    """Titles with a place, one row for each title and width: (p,) each.

    ``row`` counts the candidates; ``dx``, ``dy`` are pixels from the point to where the text is anchored, ``align`` is
    ``left``, ``right`` or ``center``; it holds where the plot is at least ``least`` and less than ``below`` wide.
    """

    row: np.ndarray
    dx: np.ndarray
    dy: np.ndarray
    align: np.ndarray
    least: np.ndarray
    below: np.ndarray


def short_title(title: str, longest: int = LONGEST) -> str:
    """A title as people say it: ``Empire Strikes Back, The (1980)`` becomes ``The Empire Strikes Back``."""
    text = _OTHER_NAME.sub("", _YEAR.sub("", title)) or title
    found = _ARTICLE.match(text)
    if found:
        space = "" if found["article"].endswith("'") else " "
        text = f"{found['article']}{space}{found['name']}"
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip(' ,:;-')}…"


def text_width(text: str, font_size: float = FONT_SIZE) -> float:
    """How wide ``text`` is drawn, in pixels; a little too much rather than too little."""
    thousandths = 0
    for character in unicodedata.normalize("NFKD", text):
        code = ord(character)
        if 32 <= code < 127:
            thousandths += int(_ADVANCES[code - 32])
        elif not unicodedata.combining(character):
            thousandths += 1000 if unicodedata.east_asian_width(character) in "WF" else 700
    return thousandths / 1000 * font_size * _SAFETY


def place_titles(
    xy: np.ndarray,
    texts: Sequence[str],
    radius: np.ndarray,
    *,
    heights: Sequence[float],
    always: int = 0,
    widths: Sequence[float] = WIDTHS,
) -> Placed:
    """Place titles for every one of ``widths``.

    Args:
        xy: (n, 2) the points, most important first, as shares of the plot: (0, 0) is the lower left corner, (1, 1) the
            upper right. Points outside get no title.
        texts: (n,) the titles.
        radius: (n,) of the points, in pixels.
        heights: of the plot at each of ``widths``, in pixels; the real one must not be less.
        always: so many of the first titles count for nothing towards the limit on how many are shown.
    """
    sizes = np.array([[text_width(text), _LINE] for text in texts]).reshape(-1, 2)
    inside = np.flatnonzero(((xy >= 0) & (xy <= 1)).all(axis=1))
    parts = []
    for least, below, height in zip(widths, [*widths[1:], _WIDEST], heights, strict=True):
        most = int(least * height / _AREA) + always
        rows, sides = _place(xy, sizes, radius, inside, np.array([[least, height], [below, height]]), most)
        parts.append((rows, sides, np.full(len(rows), 0 if least == widths[0] else least), np.full(len(rows), below)))
    row, side, least, below = (np.concatenate(each) for each in zip(*parts, strict=True))
    gap = radius[row] + 3
    sign = np.select([side == 0, side == 1], [1, -1], 0)
    up = np.select([side == 2, side == 3], [1, -1], 0)
    return Placed(
        row=row,
        dx=sign * gap,
        dy=-up * (gap + _LINE / 2 - 2),  # pixels count downwards
        align=np.array(["left", "right", "center", "center"], dtype=object)[side],
        least=least.astype(float),
        below=below.astype(float),
    )


def _place(
    xy: np.ndarray,
    sizes: np.ndarray,
    radius: np.ndarray,
    candidates: np.ndarray,
    plots: np.ndarray,
    most: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The rows of ``xy`` (n, 2) that get a title, and the side (0 right, 1 left, 2 above, 3 below).

    ``plots`` (2, 2) is the smallest and the largest plot, width and height. ``taken`` holds the boxes of the titles so
    far, and after each that of its point; a box is (left, bottom, right, top) in each of the plots.
    """
    at = xy[:, None] * plots  # (n, plots, 2): in pixels upwards
    boxes = np.stack([_boxes(at[:, plot], sizes, radius) for plot in range(len(plots))], axis=2)  # (n, 4, plots, 4)
    within = np.all((boxes[..., :2] >= _MARGIN) & (boxes[..., 2:] <= plots - _MARGIN), axis=(2, 3))  # (n, 4)
    half = np.maximum(_POINT, 0.7 * radius)[:, None, None]
    points = np.concatenate([at - half, at + half], axis=2)  # (n, plots, 4)
    taken = np.full((2 * most, *points.shape[1:]), np.nan)
    rows: list[int] = []
    sides: list[int] = []
    for row in candidates:
        if len(rows) == most:
            break
        others = taken[: 2 * len(rows)]
        if not within[row].any() or _touch(points[row, None], others[::2])[0]:
            continue  # under a title: whose would this one be?
        fits = within[row] & ~_touch(boxes[row], others)
        side = int(fits.argmax())
        if fits[side]:
            taken[2 * len(rows)], taken[2 * len(rows) + 1] = boxes[row, side], points[row]
            rows.append(int(row))
            sides.append(side)
    return np.array(rows, dtype=np.int64), np.array(sides, dtype=np.int64)


def _boxes(at: np.ndarray, size: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """(n, 4, 4) the box of every title on each side of its point."""
    (x, y), (w, h), gap = at.T, size.T, radius + 3
    left = np.stack([x + gap, x - gap - w, x - w / 2, x - w / 2], axis=1)
    bottom = np.stack([y - h / 2, y - h / 2, y + gap - 2, y - gap + 2 - h], axis=1)
    return np.stack([left, bottom, left + w[:, None], bottom + h[:, None]], axis=2)


def _touch(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(a,) whether each of ``boxes`` (a, plots, 4) meets any of ``others`` (b, plots, 4) in or between the plots.

    It does not where it lies on the same side of it in all of them: left or below, right or above.
    """
    a, b = boxes[:, None], others[None]
    before = np.all(a[..., 2:] <= b[..., :2], axis=2)  # (a, b, 2): across and up
    after = np.all(b[..., 2:] <= a[..., :2], axis=2)
    apart = np.logical_or(before, after).any(axis=2)
    return np.logical_not(apart.all(axis=1))
