"""The one error of this package, and how its sentences quote what a file holds."""

from __future__ import annotations


class DataError(ValueError):
    """A data set cannot be used; the message says what is wrong, where, and what to do."""


def quoted(value: object) -> str:
    """``value`` in quotes for an error sentence, cut to a readable length."""
    text = str(value)
    return repr(text if len(text) <= 40 else text[:37] + "...")
