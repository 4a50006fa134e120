"""The settings a visit is drafting: an approach, and for each approach only what differs from the article.

A plain dictionary in the session: ``{"approach": key, "settings": {key: {...}}, "splits": {key: {...}}}``. Widgets
write to it through their callbacks and are filled from it on every run, so that a preset, a link or a button can
change a setting without knowing its widget.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from cfcore.approaches import APPROACHES, BASELINES, describe, make_config
from cfcore.config import FOLDS, RunConfig, RunRequest, SplitConfig
from cfcore.ratings import Ratings
from cfcore.ui import link, state
from cfcore.ui.words import plain

CHOICES = tuple(key for key in APPROACHES if key not in BASELINES)


def draft() -> dict[str, Any]:
    """This visit's draft."""
    return st.session_state.setdefault("draft", {"approach": CHOICES[0], "settings": {}, "splits": {}})


def approach() -> str:
    return draft()["approach"]


def choose_approach(key: str) -> None:
    draft()["approach"] = key


def settings(key: str) -> dict[str, Any]:
    """What differs from the article's preset of ``key``; changing it changes the draft."""
    return draft()["settings"].setdefault(key, {})


def split(key: str) -> dict[str, Any]:
    """What differs from the article's split of ``key``: ``kind``, ``valid_fraction``, ``seed``."""
    return draft()["splits"].setdefault(key, {})


def change(key: str, name: str, value: Any) -> None:
    """Set one setting of approach ``key``."""
    state.keep_dataset()
    settings(key)[name] = value


def as_in_the_article(key: str) -> None:
    """Put every setting and the split of ``key`` back to the article's."""
    settings(key).clear()
    split(key).clear()


def is_article(key: str) -> bool:
    return not settings(key) and not split(key)


def config(key: str, ratings: Ratings) -> RunConfig:
    """The drafted configuration of ``key``, without what is the same as the preset.

    Raises:
        ValueError: two settings do not go together.
    """
    changed = settings(key)
    preset = make_config(key, scale=ratings.scale)
    for name in [name for name, value in changed.items() if getattr(preset, name) == value]:
        del changed[name]
    return make_config(key, scale=ratings.scale, **changed)


def split_config(key: str, ratings: Ratings) -> SplitConfig:
    """The drafted split of ``key``; a kind that the data set does not have becomes the article's."""
    changed, preset = split(key), describe(key).preset_split
    if changed.get("kind", preset.kind) not in ratings.split_kinds():
        state.tell(f"{plain(ratings.about.title)} has no split {changed['kind']}: the article's is used instead.")
        changed.clear()
    kind = changed.get("kind", preset.kind)
    if kind in FOLDS:
        changed.pop("valid_fraction", None)
        changed.pop("seed", None)
        return SplitConfig.of(kind)
    usual = SplitConfig.of(kind)
    chosen = SplitConfig.of(
        kind,
        valid_fraction=changed.get("valid_fraction", usual.valid_fraction),
        seed=changed.get("seed", usual.seed if usual.seed is not None else 42),
    )
    for name, default in (("kind", preset.kind), ("valid_fraction", usual.valid_fraction), ("seed", usual.seed)):
        if changed.get(name) == default:
            changed.pop(name, None)
    return chosen


def take(request: RunRequest) -> None:
    """Draft what ``request`` ran with."""
    key = request.config.approach
    if key not in CHOICES:
        return
    choose_approach(key)
    names = describe(key).settings
    draft()["settings"][key] = {name: getattr(request.config, name) for name in names}
    kind = request.split.kind
    draft()["splits"][key] = {"kind": kind, **request.split.to_json()}


def read_link(params: dict[str, str]) -> None:
    """Draft what the address asks for, and tell what in it cannot be used."""
    linked = link.from_params(params)
    for problem in linked.problems:
        state.tell(problem)
    if linked.approach is None:
        return
    choose_approach(linked.approach)
    if linked.settings or linked.split:
        draft()["settings"][linked.approach] = linked.settings
        draft()["splits"][linked.approach] = linked.split
