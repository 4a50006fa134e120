"""Settings as an address: ``?approach=scratch&learning_rate=30``, read back with every mistake named.

A link holds only what differs from the article's preset. Pure functions: no Streamlit here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cfcore.approaches import APPROACHES, BASELINES, FIELDS, Setting, make_config
from cfcore.config import SPLIT_KINDS, SplitConfig
from cfcore.ui.words import number, plain, sentence

SPLIT_NAMES = {"split": "kind", "valid_fraction": "valid_fraction", "split_seed": "seed"}  # in a link: in the draft


@dataclass(kw_only=True)
class Linked:
    """What a link asks for: an approach (or ``None``), its settings and its split, and a sentence for every mistake."""

    approach: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    split: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def to_params(approach: str, settings: Mapping[str, Any], split: Mapping[str, Any]) -> dict[str, str]:
    """The address's parameters; ``settings`` and ``split`` hold only what differs from the preset."""
    params = {"approach": approach}
    params |= {name: number(value).replace(" ", "") for name, value in settings.items()}
    params |= {name: number(split[key]) for name, key in SPLIT_NAMES.items() if key in split}
    return params


def from_params(params: Mapping[str, str]) -> Linked:
    """Read an address's parameters; what is wrong is left out and named in ``problems``, unknown names are ignored."""
    linked = Linked()
    approach = params.get("approach")
    if approach is None:
        return linked
    if approach not in APPROACHES or approach in BASELINES:
        known = ", ".join(key for key in APPROACHES if key not in BASELINES)
        linked.problems.append(f"The link asks for the approach {_quoted(approach)}; there are {plain(known)}.")
        return linked
    linked.approach = approach
    info = APPROACHES[approach]
    for name, text in params.items():
        if name not in FIELDS:
            continue
        if name not in info.settings:
            linked.problems.append(
                f"{info.title} has no {FIELDS[name].label.lower()}: that part of the link is ignored."
            )
            continue
        try:
            value = parse(info.settings[name], text)
            make_config(approach, **{name: value})
        except ValueError as problem:
            linked.problems.append(
                f"{sentence(str(problem))} The link's {_quoted(text)} is ignored, the article's value used."
            )
        else:
            linked.settings[name] = value
    _read_split(params, linked)
    return linked


def parse(setting: Setting, text: str) -> Any:
    """The value that ``text`` stands for.

    Raises:
        ValueError: it is not a value of the setting's kind.
    """
    parts = [part for part in text.replace(";", ",").replace(" ", ",").split(",") if part]
    try:
        if setting.kind == "int":
            return int(text)
        if setting.kind == "float":
            return float(text)
        if setting.kind == "layers":
            return tuple(int(part) for part in parts)
        if setting.kind == "range":
            return tuple(float(part) for part in parts)
    except ValueError:
        wanted = {"int": "a whole number", "float": "a number", "layers": "whole numbers such as 100, 50"}
        needs = wanted.get(setting.kind, "two numbers such as 0.5, 5.5")
        raise ValueError(f"{setting.label} must be {needs}.") from None
    return text


def _read_split(params: Mapping[str, str], linked: Linked) -> None:
    kind = params.get("split")
    if kind is not None and kind not in SPLIT_KINDS:
        linked.problems.append(f"The link asks for the split {_quoted(kind)}; there are {', '.join(SPLIT_KINDS)}.")
        return
    if kind is not None:
        linked.split["kind"] = kind
    numbers: dict[str, Callable[[str], Any]] = {"valid_fraction": float, "split_seed": int}
    for name, convert in numbers.items():
        if name in params:
            try:
                value = convert(params[name])
                SplitConfig.from_json({"valid_fraction": 0.2, "seed": 42, SPLIT_NAMES[name]: value})
            except ValueError:
                linked.problems.append(f"The link's {name.replace('_', ' ')} {_quoted(params[name])} cannot be used.")
            else:
                linked.split[SPLIT_NAMES[name]] = value


def _quoted(text: str) -> str:
    return f"‘{plain(text[:40])}’"
