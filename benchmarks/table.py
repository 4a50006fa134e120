"""What a benchmark says: a figure of ours beside another's, the ratio that was asked for, and whether it is reached."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import altair as alt

_HOLDS: dict[str, Callable[[float, float], bool]] = {"at least": operator.ge, "at most": operator.le}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One comparison: ``ours`` and ``theirs`` in words, their ``value`` (a ratio or an error), and its target.

    ``wanted`` is ``None`` where nothing was asked for; ``value`` is NaN where it could not be measured, and ``note``
    says why.
    """

    what: str
    ours: str
    theirs: str
    value: float
    bound: Literal["at least", "at most"] = "at least"
    wanted: float | None = None
    unit: str = "×"
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the target holds; ``None`` without a target."""
        return None if self.wanted is None else _HOLDS[self.bound](self.value, self.wanted)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A picture that a section brings: the ``chart``, the file's ``name`` and what it shows in words."""

    name: str
    chart: alt.LayerChart | alt.HConcatChart
    alt: str


@dataclass(frozen=True, kw_only=True)
class Section:
    """A table with its ``title``, in words ``how`` it was measured and what was not, and a ``figure`` it may bring."""

    title: str
    how: str
    lines: Sequence[Line]
    figure: Figure | None = None


def to_markdown(section: Section) -> str:
    """The section as a heading, a paragraph and a table."""
    rows = [
        "| | ours | beside it | ratio or value | target | reached |",
        "|---|---|---|---|---|---|",
        *(
            f"| {each.what} | {each.ours} | {each.theirs} | {_figure(each.value, each.unit)} | {_target(each)} "
            f"| {_REACHED[each.reached]} |"
            for each in section.lines
        ),
    ]
    notes = [f"- {each.what}: {each.note}" for each in section.lines if each.note]
    figure = [f"![{section.figure.alt}]({section.figure.name})", ""] if section.figure else []
    return "\n".join([f"## {section.title}", "", section.how, "", *figure, *rows, "", *notes, *([""] if notes else [])])


_REACHED = {True: "yes", False: "**no**", None: "–"}


def _target(line: Line) -> str:
    return "–" if line.wanted is None else f"{line.bound} {_figure(line.wanted, line.unit)}"


def _figure(value: float, unit: str) -> str:
    if not math.isfinite(value):
        return "not measured"
    return f"{value:.3g}{unit}" if unit == "×" else f"{value:.4g} {unit}".strip()
