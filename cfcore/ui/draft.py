"""The settings a visit is drafting: an approach, and for each approach only what differs from the article.

A plain dictionary in the session: ``{"approach": key, "settings": {key: {...}}, "splits": {key: {...}}}``. Widgets
write to it through their callbacks and are filled from it on every run, so that a preset, a link or a button can
change a setting without knowing its widget. What cannot be used never gets into the draft: it stays beside it, with a
sentence that says why, until the field is mended or something else sets it.
"""

from __future__ import annotations

from collections.abc import Collection
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
    wrong().clear()


def wrong() -> dict[str, tuple[Any, str]]:
    """The fields of the present approach that cannot be used: widget key to what stands there, and why not."""
    return st.session_state.setdefault("wrong", {})


def field_key(key: str, name: str) -> str:
    """The widget of a setting of approach ``key``."""
    return f"set:{key}:{name}"


def split_key(key: str, name: str) -> str:
    """The widget of ``kind``, ``valid_fraction`` or ``seed`` of approach ``key``'s split."""
    return f"split:{key}:{name}"


def settings(key: str) -> dict[str, Any]:
    """What differs from the article's preset of ``key``; changing it changes the draft."""
    return draft()["settings"].setdefault(key, {})


def split(key: str) -> dict[str, Any]:
    """What differs from the article's split of ``key``: ``kind``, ``valid_fraction``, ``seed``."""
    return draft()["splits"].setdefault(key, {})


def change(key: str, name: str, value: Any) -> None:
    """Set one setting of approach ``key``."""
    state.keep_dataset()
    wrong().pop(field_key(key, name), None)
    settings(key)[name] = value


def change_split(key: str, name: str, value: Any) -> None:
    """Set one value of the split of approach ``key``."""
    state.keep_dataset()
    wrong().pop(split_key(key, name), None)
    if name == "kind":  # another kind has its own usual fraction
        wrong().pop(split_key(key, "valid_fraction"), None)
        wrong().pop(split_key(key, "seed"), None)
        split(key).clear()
    split(key)[name] = value


def as_in_the_article(key: str) -> None:
    """Put every setting and the split of ``key`` back to the article's."""
    settings(key).clear()
    split(key).clear()
    wrong().clear()


def is_article(key: str) -> bool:
    return not settings(key) and not split(key) and not wrong()


def config(key: str, ratings: Ratings, closed: Collection[str] = ()) -> RunConfig:
    """The drafted configuration of ``key``, without what is the same as the preset; the ``closed`` settings are that.

    Raises:
        ValueError: two settings do not go together.
    """
    changed = settings(key)
    preset = make_config(key, scale=ratings.scale)
    for name in [name for name, value in changed.items() if getattr(preset, name) == value]:
        del changed[name]
    return make_config(
        key, scale=ratings.scale, **{name: value for name, value in changed.items() if name not in closed}
    )


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
