"""Rooms of a class: what their people train, who is in them, and what may be typed as a code or a name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from cfcore.approaches import FIELDS, describe, make_config
from cfcore.approaches.configure import ARTICLE_SCALE
from cfcore.config import RunRequest, SplitConfig

LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # none is taken for another: no I, L, O, 0 and 1
CODE_LENGTH = 6  # 8.9e8 codes: with two hundred rooms, one guess in four million finds one
NAME_LENGTH = 24
_JOINERS = "\u200c\u200d"  # unseen, but part of emoji that are composed, and of words in Persian and Hindi
_JOINED = rf"[^\x00-\x7f{_JOINERS}]"  # what they may stand between: never ASCII, which has no use for them
_STRAY_JOINER = re.compile(f"(?<!{_JOINED})[{_JOINERS}]|[{_JOINERS}](?!{_JOINED})")
_VARIANTS = "\u034f\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"  # marks that show nothing by themselves
_NOT_SEEN = re.compile(f"[{_JOINERS}{_VARIANTS}]")
UNSEEN = "\u115f\u1160\u3164\uffa0\u2800"  # letters and a sign, to Unicode, that show nothing


class RoomError(ValueError):
    """A room does not let somebody in, or does not take something; the sentence says why."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the people of a room train: the data and its split, and which ``approaches`` and ``controls`` are open.

    ``controls`` are names of settings; those that are not among them stand at the approach's usual values.
    """

    dataset: str
    split: SplitConfig
    approaches: tuple[str, ...]
    controls: tuple[str, ...] = tuple(FIELDS)

    def closed(self, approach: str) -> list[str]:
        """The settings of an approach that a person of the room may not change."""
        return [name for name in describe(approach).settings if name not in self.controls]

    def concerns(self, request: RunRequest) -> bool:
        """Whether a run's error compares with the others' on the board: same data, same split."""
        return request.dataset == self.dataset and request.split == self.split

    def check(self, request: RunRequest, scale: tuple[float, float] = ARTICLE_SCALE) -> None:
        """Refuse what the room does not train; ``scale`` is the lowest and the highest rating, for usual values.

        Raises:
            RoomError: it is on other data, or changes what is closed.
        """
        config = request.config
        if not self.concerns(request):
            raise RoomError("this run is on other data or another split than your class's: leave the class to train it")
        if config.approach not in self.approaches:
            names = ", ".join(describe(key).title for key in self.approaches)
            raise RoomError(f"your class does not train {describe(config.approach).title}: choose from {names}")
        usual = make_config(config.approach, scale=scale)
        changed = [name for name in self.closed(config.approach) if getattr(config, name) != getattr(usual, name)]
        if changed:
            names = ", ".join(FIELDS[name].label.lower() for name in changed)
            raise RoomError(f"your class keeps {names} at the usual value: press Usual settings or As in the article")

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "split": self.split.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            dataset=data["dataset"],
            split=SplitConfig.from_json(data["split"]),
            approaches=tuple(data["approaches"]),
            controls=tuple(data["controls"]),
        )


@dataclass(frozen=True, kw_only=True)
class Room:
    """``closed``: nobody joins it and no run is added, its board stays; ``named``: the board says people's names."""

    code: str
    rules: Rules
    created: float
    closed: bool
    named: bool


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody in a room; ``number`` counts from 1 as they come. ``hidden``: the teacher has hidden the name.

    ``shows``: whether their runs go on the board as they are started.
    """

    visitor: str
    number: int
    name: str
    hidden: bool
    shows: bool

    def called(self, *, named: bool) -> str:
        """What the board calls this person."""
        return self.name if named and not self.hidden else f"Person {self.number}"


def tidy_code(code: str) -> str:
    """A code as it was given out, from what somebody typed: small letters, spaces and dashes do not matter."""
    return "".join(letter for letter in code.upper() if letter in LETTERS)


def tidy_name(name: str) -> str:
    """A display name on one line, without letters that are not seen or turn the line around.

    Raises:
        RoomError: nothing is left of it, or it is too long.
    """
    spaced = (" " if letter.isspace() else letter for letter in name)
    seen = (letter for letter in spaced if letter.isprintable() or letter in _JOINERS)
    name = _STRAY_JOINER.sub("", "".join(letter for letter in seen if letter not in UNSEEN))
    name = " ".join(unicodedata.normalize("NFC", name).split())
    if not any(letter.isalnum() for letter in name):
        raise RoomError("type a name with at least one letter or digit")
    if re.fullmatch(r"person \d+|somebody", alike(name)):
        raise RoomError(f"{name} is what the board calls people whose names are hidden: choose another name")
    if len(name) > NAME_LENGTH:
        raise RoomError(f"a name may have {NAME_LENGTH} letters, and this one has {len(name)}: choose a shorter one")
    return name


def alike(name: str) -> str:
    """What two names have in common that are read as the same."""
    return unicodedata.normalize("NFKC", _NOT_SEEN.sub("", name)).casefold()
