"""Text in the cells of a table that a spreadsheet may open.

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-`` or ``@``, also in their wide forms, for a formula, and a
formula can call out. Such text gets an apostrophe in front, which spreadsheets hide. Source: OWASP, "CSV Injection".
"""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")


def safe(text: object) -> str:
    """``text`` as a cell that no spreadsheet takes for a formula."""
    words = str(text)
    return f"'{words}" if is_formula(words) else words


def is_formula(text: str) -> bool:
    """Whether a spreadsheet may take ``text`` for a formula."""
    return text.lstrip(" ").startswith(_FORMULA)


def cell(value: object) -> object:
    """``value`` as it may be written: text is made safe, numbers stay numbers, negative ones too."""
    return safe(value) if isinstance(value, str) else value


def unsafe(text: str) -> str:
    """An id as it was before :func:`safe`: none begins with an apostrophe of its own."""
    return text.removeprefix("'")


def one_line(text: object) -> str:
    """``text`` without tabs, line breaks and other control characters, for a file with a record on each line."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in str(text)).split())
