"""The form of the Train page: approach, split, and one field for every setting that the approach really has.

Every widget is filled from the draft on every run and writes to it through its callback; see :mod:`cfcore.ui.draft`.
Number fields have no bounds of their own: with them, Streamlit shows what was typed but goes on with the old value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import streamlit as st

from cfcore.approaches import ARTICLE, FIELDS, Setting, describe, make_config
from cfcore.config import FOLDS, RunConfig, SplitConfig
from cfcore.ratings import Ratings
from cfcore.ui import draft, link
from cfcore.ui.components import shows
from cfcore.ui.rate_finder import finder
from cfcore.ui.words import number, plain, sentence

SPLIT_TITLES = {
    "random": "Random",
    "first10": "First 10% of the file",
    "time": "Each user's last ratings",
    **{fold: f"Published fold {fold}" for fold in FOLDS},
}
_MANTISSAS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)


def approach_picker(choices: Sequence[str] = draft.CHOICES) -> str:
    """Let the person choose one of these approaches; gives its key."""
    if draft.approach() not in choices:
        draft.choose_approach(choices[0])
    st.radio(
        "Approach",
        choices,
        format_func=lambda choice: describe(choice).title,
        captions=[describe(choice).summary for choice in choices],
        **shows("approach", draft.approach(), draft.choose_approach),
    )
    return draft.approach()


def settings_form(approach: str, ratings: Ratings, closed: Collection[str] = ()) -> RunConfig | None:
    """The fields of ``approach``; gives the configuration, or ``None`` where a field cannot be used, and says so.

    Settings that are ``closed`` in the person's class have no field, and stand at their usual values.
    """
    preset = make_config(approach, scale=ratings.scale)
    changed = {name: value for name, value in draft.settings(approach).items() if name not in closed}
    for name in closed:
        draft.wrong().pop(draft.field_key(approach, name), None)
    values = {name: changed.get(name, getattr(preset, name)) for name in describe(approach).settings}
    fields = {name: setting for name, setting in describe(approach).settings.items() if name not in closed}
    fine = True
    if "learning_rate" in fields:
        rate = fields.pop("learning_rate")
        fine = _learning_rate(approach, rate, values["learning_rate"])
        finder(approach, ratings, rate, values["learning_rate"])
    for pair in _pairs(list(fields.values())):
        for column, setting in zip(st.columns(2, gap="small"), pair, strict=False):
            with column:
                fine = _field(approach, setting, values[setting.name]) and fine
    if closed:
        kept = (f"{FIELDS[name].label.lower()} {number(values[name])}" for name in closed if values[name] is not None)
        st.caption(f"Kept by your class: {plain(', '.join(kept))}.")
    if not fine:
        return None
    try:
        return draft.config(approach, ratings, closed)
    except ValueError as problem:
        st.error(sentence(str(problem)), icon=":material/error:")
        return None


def split_form(approach: str, ratings: Ratings) -> SplitConfig | None:
    """How the ratings are divided, by the kinds that the data set allows; ``None`` where a field cannot be used."""
    config = draft.split_config(approach, ratings)
    kinds = ratings.split_kinds()
    st.selectbox(
        "Validation split",
        kinds,
        format_func=lambda kind: SPLIT_TITLES[kind],
        help="Which ratings are held out. The model never trains on them; the valid error is measured there.",
        **shows(draft.split_key(approach, "kind"), config.kind, partial(draft.change_split, approach, "kind")),
    )
    if config.kind in FOLDS:
        return config
    if config.kind == "first10":
        st.caption("Only the first tenth of the file is used, and a share of it held out, as in the article.")
    left, right = st.columns(2, gap="small")
    with left:
        of_what = "that tenth" if config.kind == "first10" else "the ratings"
        help_text = f"The share of {of_what} that is held out for validation."
        fine = _split_field(approach, "valid_fraction", "Held out", config.valid_fraction, 0.05, help_text)
    if config.seed is not None:
        with right:
            help_text = "The same seed always holds out the same ratings."
            fine = _split_field(approach, "seed", "Split seed", config.seed, 1, help_text) and fine
    return config if fine else None


def split_words(split: SplitConfig) -> str:
    """A split in words: ``Random, 20% held out, seed 42``."""
    words = [SPLIT_TITLES[split.kind]]
    words += [f"{split.valid_fraction * 100:.3g}% held out"] if split.valid_fraction is not None else []
    words += [f"seed {split.seed}"] if split.seed is not None else []
    return ", ".join(words)


def article_button(approach: str) -> None:
    """Put the approach back to its preset, split included: the article's, or ours where the article has none."""
    as_is = draft.is_article(approach)
    article = approach in ARTICLE
    whose = "the article's" if article else "its usual"
    st.button(
        "As in the article" if article else "Usual settings",
        icon=":material/restart_alt:",
        width="stretch",
        disabled=as_is,
        help=f"Every field already has {whose} value."
        if as_is
        else f"Set every field and the split to {whose} values.",
        on_click=draft.as_in_the_article,
        args=(approach,),
    )


def log_steps(low: float, high: float) -> list[float]:
    """Round values from ``low`` to ``high``, evenly spread on a logarithmic scale."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = [float(f"{mantissa}e{power}") for power in powers for mantissa in _MANTISSAS]
    return [step for step in steps if low <= step <= high]


def steps_with(value: float, steps: list[float]) -> list[float]:
    """The steps, and ``value`` among them: a slider that stood beside it would name another number."""
    return sorted([*(step for step in steps if not math.isclose(step, value)), value])


def _learning_rate(approach: str, setting: Setting, value: float) -> bool:
    """A slider with a logarithmic scale, and the exact number; says whether what they hold can be used."""
    steps = steps_with(value, log_steps(setting.minimum, setting.maximum))
    exact = draft.field_key(approach, setting.name)
    left, right = st.columns([1.5, 1], gap="small", vertical_alignment="bottom")
    left.select_slider(
        setting.label,
        steps,
        format_func=number,
        help=f"{setting.help} The scale is logarithmic.",
        **shows(f"{exact}:slider", value, partial(draft.change, approach, setting.name)),
    )
    with right:
        _number_input(
            "Exact learning rate",
            exact,
            float(value),
            step=10.0 ** math.floor(math.log10(value) - 0.31),  # up to 2 a tenth, from there 1; so never down to 0
            label_visibility="collapsed",
            take=partial(_take, approach, setting),
        )
    return _explain(exact)


def _field(approach: str, setting: Setting, value: Any) -> bool:
    """Draw the widget of one setting; says whether what it holds can be used."""
    key = draft.field_key(approach, setting.name)
    if setting.optional:
        _leave_out(approach, setting, value is None)
        if value is None:
            return True

    take = partial(_take, approach, setting)
    if setting.kind == "choice":
        st.selectbox(setting.label, setting.choices, help=setting.help, **shows(key, value, take))
    elif setting.kind in ("layers", "range"):
        wrong = draft.wrong().get(key)
        text = wrong[0] if wrong else number(value)
        st.text_input(setting.label, help=setting.help, **shows(key, text, take))
    else:
        whole = setting.kind == "int"
        _number_input(
            setting.label,
            key,
            int(value) if whole else float(value),
            step=1 if whole else 0.01,
            help=setting.help,
            label_visibility="collapsed" if setting.optional else "visible",
            take=take,
        )
    return _explain(key)


def _leave_out(approach: str, setting: Setting, left_out: bool) -> None:
    """The switch of a setting that may be left out."""

    def take(out: bool) -> None:
        draft.change(approach, setting.name, None if out else setting.usual)

    st.caption(setting.label)
    st.toggle(
        setting.left_out,
        help=f"{setting.help} {setting.left_out}: {setting.when_left_out}.",
        **shows(f"{draft.field_key(approach, setting.name)}:auto", left_out, take),
    )


def _split_field(approach: str, name: str, label: str, value: float | None, step: float, help_text: str) -> bool:
    """One number of the split; says whether it can be used."""
    key = draft.split_key(approach, name)
    _number_input(label, key, value, step=step, help=help_text, take=partial(_take_split, approach, name))
    return _explain(key)


def _number_input(
    label: str, key: str, value: float | None, *, step: float, take: Callable[[Any], None], **options: Any
) -> None:
    """A number field that lets any number arrive, and shows the wrong one for as long as it is wrong.

    ``value=None`` makes an emptied or unreadable field arrive as ``None``, not as zero.
    """
    wrong = draft.wrong().get(key)
    options |= shows(key, wrong[0] if wrong else value, take)
    st.number_input(label, value=None, step=step, format="%d" if isinstance(step, int) else "%g", **options)


def _explain(key: str) -> bool:
    """Say under a field why what it holds cannot be used; true where it can."""
    wrong = draft.wrong().get(key)
    if wrong:
        st.error(wrong[1])
    return wrong is None


def _take(approach: str, setting: Setting, value: Any) -> None:
    """Draft what a field holds, or remember why not; an emptied number field goes back to what it was before."""
    key = draft.field_key(approach, setting.name)
    if value is None:
        draft.wrong().pop(key, None)
        return
    try:
        read = link.parse(setting, value) if isinstance(value, str) else value
        make_config(approach, **{setting.name: read})
    except ValueError as problem:
        allowed = f"{setting.label} must be from {number(setting.minimum)} to {number(setting.maximum)}."
        draft.wrong()[key] = (value, allowed if setting.kind in ("int", "float") else sentence(str(problem)))
    else:
        draft.change(approach, setting.name, read)


def _take_split(approach: str, name: str, value: float | None) -> None:
    """The same for a number of the split."""
    key = draft.split_key(approach, name)
    if value is None:
        draft.wrong().pop(key, None)
        return
    try:
        SplitConfig.from_json({"valid_fraction": 0.2, "seed": 42, name: value})
    except ValueError as problem:
        draft.wrong()[key] = (value, sentence(str(problem)))
    else:
        draft.change_split(approach, name, value)


def _pairs(settings: list[Setting]) -> list[list[Setting]]:
    return [settings[k : k + 2] for k in range(0, len(settings), 2)]
