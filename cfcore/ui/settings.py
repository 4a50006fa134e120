"""The form of the Train page: approach, split, and one field for every setting that the approach really has.

Every widget is filled from the draft on every run and writes to it through its callback; see :mod:`cfcore.ui.draft`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import streamlit as st

from cfcore.approaches import Setting, describe, make_config
from cfcore.config import FOLDS, RunConfig, SplitConfig
from cfcore.ratings import Ratings
from cfcore.ui import draft, link, state
from cfcore.ui.words import number, sentence

SPLIT_TITLES = {
    "random": "Random",
    "first10": "First 10% of the file",
    "time": "Each user's last ratings",
    **{fold: f"Published fold {fold}" for fold in FOLDS},
}
_MANTISSAS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)


def approach_picker() -> str:
    """Let the person choose one of the five approaches; gives its key."""
    key = "approach"
    st.session_state[key] = draft.approach()
    st.radio(
        "Approach",
        draft.CHOICES,
        format_func=lambda choice: describe(choice).title,
        captions=[describe(choice).summary for choice in draft.CHOICES],
        key=key,
        on_change=lambda: draft.choose_approach(st.session_state[key]),
    )
    return draft.approach()


def settings_form(approach: str, ratings: Ratings) -> RunConfig | None:
    """The fields of ``approach``; gives the configuration, or ``None`` where a field cannot be used, and says so."""
    preset = make_config(approach, scale=ratings.scale)
    changed = draft.settings(approach)
    values = {name: changed.get(name, getattr(preset, name)) for name in describe(approach).settings}
    fields = dict(describe(approach).settings)
    fine = True
    if "learning_rate" in fields:
        _learning_rate(approach, fields.pop("learning_rate"), values["learning_rate"])
    for pair in _pairs(list(fields.values())):
        for column, setting in zip(st.columns(2, gap="small"), pair, strict=False):
            with column:
                fine = _field(approach, setting, values[setting.name]) and fine
    if not fine:
        return None
    try:
        return draft.config(approach, ratings)
    except ValueError as problem:
        st.error(sentence(str(problem)), icon=":material/error:")
        return None


def split_form(approach: str, ratings: Ratings) -> SplitConfig:
    """How the ratings are divided; only the kinds that the data set allows."""
    config = draft.split_config(approach, ratings)
    kinds = ratings.split_kinds()
    _fill(f"split:{approach}:kind", config.kind)
    st.selectbox(
        "Validation split",
        kinds,
        format_func=lambda kind: SPLIT_TITLES[kind],
        key=f"split:{approach}:kind",
        help="Which ratings are held out. The model never trains on them; the valid error is measured there.",
        on_change=lambda: _take_split(approach, "kind"),
    )
    if config.kind in FOLDS:
        return config
    left, right = st.columns(2, gap="small")
    _fill(f"split:{approach}:valid_fraction", config.valid_fraction)
    left.number_input(
        "Held out",
        min_value=0.01,
        max_value=0.9,
        step=0.05,
        format="%.2f",
        key=f"split:{approach}:valid_fraction",
        help="The share of the ratings that is held out for validation.",
        on_change=lambda: _take_split(approach, "valid_fraction"),
    )
    if config.seed is not None:
        _fill(f"split:{approach}:seed", config.seed)
        right.number_input(
            "Split seed",
            min_value=0,
            max_value=2**32 - 1,
            step=1,
            key=f"split:{approach}:seed",
            help="The same seed always holds out the same ratings.",
            on_change=lambda: _take_split(approach, "seed"),
        )
    return draft.split_config(approach, ratings)


def article_button(approach: str) -> None:
    """Put the approach back to the article's preset, split included."""
    st.button(
        "As in the article",
        icon=":material/restart_alt:",
        width="stretch",
        disabled=draft.is_article(approach),
        help="Set every field and the split to the article's values.",
        on_click=draft.as_in_the_article,
        args=(approach,),
    )


def log_steps(low: float, high: float) -> list[float]:
    """Round values from ``low`` to ``high``, evenly spread on a logarithmic scale."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = [float(f"{mantissa}e{power}") for power in powers for mantissa in _MANTISSAS]
    return [step for step in steps if low <= step <= high]


def nearest_step(value: float, steps: list[float]) -> float:
    """The step nearest to ``value`` on a logarithmic scale."""
    return min(steps, key=lambda step: abs(math.log(step) - math.log(value)))


def _learning_rate(approach: str, setting: Setting, value: float) -> None:
    steps = log_steps(setting.minimum, setting.maximum)
    slider, exact = f"set:{approach}:learning_rate:slider", f"set:{approach}:learning_rate"
    _fill(slider, nearest_step(value, steps))
    _fill(exact, float(value))
    left, right = st.columns([1.5, 1], gap="small", vertical_alignment="bottom")
    left.select_slider(
        setting.label,
        steps,
        format_func=number,
        key=slider,
        help=f"{setting.help} The scale is logarithmic.",
        on_change=_taker(approach, "learning_rate", slider),
    )
    right.number_input(
        "Exact learning rate",
        min_value=float(setting.minimum),
        max_value=float(setting.maximum),
        step=float(setting.minimum) * 100,
        format="%g",
        key=exact,
        label_visibility="collapsed",
        on_change=_taker(approach, "learning_rate", exact),
    )


def _field(approach: str, setting: Setting, value: Any) -> bool:
    """Draw the widget of one setting; says whether what it holds can be used."""
    key = f"set:{approach}:{setting.name}"
    take = _taker(approach, setting.name, key)
    if setting.optional:
        _fill(f"{key}:auto", value is None)
        st.toggle(
            f"{setting.label} by fastai's rule",
            key=f"{key}:auto",
            help=f"{setting.help} Left out: {setting.when_left_out}.",
            on_change=lambda: draft.change(
                approach, setting.name, None if st.session_state[f"{key}:auto"] else _usual(setting)
            ),
        )
        if value is None:
            return True
    if setting.kind == "choice":
        _fill(key, value)
        st.selectbox(setting.label, setting.choices, key=key, help=setting.help, on_change=take)
    elif setting.kind in ("layers", "range"):
        return _text_field(approach, setting, value)
    else:
        whole = setting.kind == "int"
        convert: Callable[[Any], Any] = int if whole else float
        _fill(key, convert(value))
        st.number_input(
            setting.label,
            min_value=convert(setting.minimum),
            max_value=convert(setting.maximum),
            step=1 if whole else 0.01,
            format="%d" if whole else "%g",
            key=key,
            help=setting.help,
            label_visibility="collapsed" if setting.optional else "visible",
            on_change=take,
        )
    return True


def _text_field(approach: str, setting: Setting, value: Any) -> bool:
    """Several numbers in one line; what cannot be read stays in the field, with a sentence under it."""
    key = f"set:{approach}:{setting.name}"
    wrong = st.session_state.get("wrong", {}).get(key)
    _fill(key, wrong[0] if wrong else number(value))
    st.text_input(
        setting.label,
        key=key,
        help=setting.help,
        on_change=lambda: _take_text(approach, setting, key),
    )
    if wrong:
        st.error(wrong[1])
    return wrong is None


def _take_text(approach: str, setting: Setting, key: str) -> None:
    text = st.session_state[key]
    wrong = st.session_state.setdefault("wrong", {})
    wrong.pop(key, None)
    try:
        value = link.parse(setting, text)
        make_config(approach, **{setting.name: value})
    except ValueError as problem:
        wrong[key] = (text, sentence(str(problem)))
    else:
        draft.change(approach, setting.name, value)


def _taker(approach: str, name: str, key: str) -> Callable[[], None]:
    """A callback that copies the widget's value into the draft; an emptied field goes back to the preset's."""

    def take() -> None:
        value = st.session_state[key]
        draft.change(approach, name, value)
        if value is None:
            draft.settings(approach).pop(name)

    return take


def _take_split(approach: str, name: str) -> None:
    state.keep_dataset()
    value = st.session_state[f"split:{approach}:{name}"]
    if name == "kind":
        draft.split(approach).clear()  # another kind has its own usual fraction
    draft.split(approach)[name] = value


def _usual(setting: Setting) -> Any:
    return int(min(max(50, setting.minimum), setting.maximum))


def _fill(key: str, value: Any) -> None:
    st.session_state[key] = value


def _pairs(settings: list[Setting]) -> list[list[Setting]]:
    return [settings[k : k + 2] for k in range(0, len(settings), 2)]
