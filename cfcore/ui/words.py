"""Numbers and names as people read them: the one place that decides how many digits, and what is escaped."""

from __future__ import annotations

import math
import re

import numpy as np

from cfcore.charts.scales import against as against
from cfcore.charts.scales import short
from cfcore.export.cells import is_formula

_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-!|~$:&])")
_NUMBERED = re.compile(r"^(\d+)\.(?=\s|$)")  # the start of a list

# What becomes a link or an icon however its characters are escaped: www. and http:// and addresses of mail (GitHub
# flavoured Markdown links bare ones), and Streamlit's :material/home: and :streamlit:. A word joiner (it has no width,
# and no line breaks at it) takes them apart.
_JOINER = "\u2060"
_LINKED = re.compile(
    r"(?<=www)(?=\.)|(?<=http)(?=s?://)|(?<=[\w.+-])(?=@[\w-])|(?<=:)(?=material[/_]|streamlit:)", re.IGNORECASE
)

_HARMLESS = re.compile(r"[+-]?\d[\d,.]*|[=+-]")  # a number, or a sign alone
_SIGNS = re.compile(r"(?<!\S)([<>~-])(?=(?:->|-|>|=)(?!\S))")  # -> <- <-> -- >= <= ~= become other signs in the browser
_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")  # would write what follows from right to left, ours included


def plain(text: object) -> str:
    """``text`` with everything escaped that Markdown would read as markup: titles and file names are only text."""
    words = _SIGNS.sub(rf"\1{_JOINER}", " ".join(_TURNS.sub("", str(text)).split()))
    words = _MARKUP.sub(r"\\\1", _LINKED.sub(_JOINER, words))
    return _NUMBERED.sub(r"\1\\.", words)


def cell(value: object) -> object:
    """``value`` for a table, whose text the browser offers as CSV: none that a spreadsheet takes for a formula.

    What stands before such text has no width, so that it reads as it is.
    """
    risky = isinstance(value, str) and is_formula(value) and not _HARMLESS.fullmatch(value)
    return f"{_JOINER}{value}" if risky else value


def sentence(text: str) -> str:
    """An error's text as a sentence: a capital, a full stop, nothing that Markdown would read as markup."""
    text = text.strip().rstrip(".")
    if "." not in text.split(" ", 1)[0]:  # a file's name keeps its own capitals
        text = f"{text[:1].upper()}{text[1:]}"
    return f"{plain(text)}."


def count(n: float) -> str:
    """A count with thousands separators: ``100,000``."""
    return f"{n:,.0f}"


def error(value: float | None) -> str:
    """An error or a loss to three decimals; a dash where there is none, and three figures once it is huge."""
    if value is None or not math.isfinite(value):
        return "–"
    return short(value)


def seconds(value: float | None) -> str:
    """A duration to two significant figures: ``0.42 s``, ``12 s``, ``3.5 min``."""
    if value is None or not math.isfinite(value):
        return "–"
    if value < 0.001:
        return "under 1 ms"
    for limit, unit, name in ((1, 0.001, "ms"), (100, 1, "s"), (6000, 60, "min")):
        if value < limit:
            return f"{_two_figures(value / unit)} {name}"
    return f"{_two_figures(value / 3600)} h"


def memory(megabytes: float | None) -> str:
    """An amount of memory: ``540 MB``, ``1.9 GB``."""
    if megabytes is None or not math.isfinite(megabytes):
        return "–"
    return f"{_two_figures(megabytes)} MB" if megabytes < 1000 else f"{_two_figures(megabytes / 1000)} GB"


def percent(share: float) -> str:
    """A share in percent, with as many digits as small shares need: ``6.3%``."""
    return f"{share:.1%}" if share >= 0.001 else f"{share * 100:.2g}%"


def number(value: object) -> str:
    """A setting's value as it would be typed, to the last digit: ``0.005``, ``0.00001``, ``100, 50``."""
    if isinstance(value, list | tuple):
        return ", ".join(number(each) for each in value)
    return np.format_float_positional(value, trim="-") if isinstance(value, float) else str(value)


def _two_figures(value: float) -> str:
    """``value`` rounded to two significant figures, never in scientific notation."""
    if value == 0:
        return "0"
    digits = max(0, 1 - math.floor(math.log10(abs(value))))
    rounded = round(value, 1 - math.floor(math.log10(abs(value))))
    return f"{rounded:,.{digits}f}"
