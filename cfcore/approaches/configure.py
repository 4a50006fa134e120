"""From the key of an approach and a few settings to a configuration that can be trained; needs no torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cfcore.approaches.info import ApproachInfo, no_such_setting
from cfcore.approaches.registry import APPROACHES
from cfcore.approaches.settings import Setting
from cfcore.config import RunConfig

ARTICLE_SCALE = (1.0, 5.0)  # MovieLens 100k: the presets' y_range are meant for these stars


def describe(key: str) -> ApproachInfo:
    """The entry of an approach.

    Raises:
        ValueError: there is no such approach.
    """
    if key not in APPROACHES:
        raise ValueError(f"unknown approach {key!r}; choose from {', '.join(APPROACHES)}")
    return APPROACHES[key]


def acting(config: RunConfig) -> dict[str, Setting]:
    """The settings that a run of ``config`` obeys, by name: without a sigmoid there is no rating range."""
    settings = describe(config.approach).settings
    return {name: each for name, each in settings.items() if not (name == "y_range" and config.sigmoid == "no")}


def make_config(key: str, *, scale: tuple[float, float] = ARTICLE_SCALE, **settings: Any) -> RunConfig:
    """A configuration of approach ``key``: the article's values, with ``settings`` in their place where given.

    The presets' ``y_range`` are meant for one to five stars; on another rating ``scale`` they move with its ends.

    Raises:
        ValueError: the approach is unknown, has no such setting, or the value is out of range.
    """
    info = describe(key)
    for name in settings:
        if name not in info.settings:
            raise ValueError(no_such_setting(info, name))
    preset = info.preset
    if preset.y_range is not None:
        low, high = (end + shift for end, shift in zip(preset.y_range, _shift(scale), strict=True))
        preset = replace(preset, y_range=(low, high))
    config = replace(preset, **settings)
    info.check(config)
    return config


def _shift(scale: tuple[float, float]) -> tuple[float, float]:
    return scale[0] - ARTICLE_SCALE[0], scale[1] - ARTICLE_SCALE[1]
