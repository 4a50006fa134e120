"""A sweep: one or two settings, a few values of each, and a picture of where the error is lowest.

The form holds text and turns it into requests on every run; what cannot be trained gets a sentence, never a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from cfcore.approaches import FIELDS, describe
from cfcore.charts.sweep import value_text
from cfcore.config import RunRequest, SplitConfig
from cfcore.ratings import Ratings
from cfcore.sweep import MOST_RUNS, Axis, parse_values, plan, suggest, swept_settings
from cfcore.ui import draft
from cfcore.ui.compare import state as cs
from cfcore.ui.compare.start import ground, one_at_a_time, price_of, price_text, queue, seed
from cfcore.ui.result import config_line
from cfcore.ui.words import plain, sentence

NOTHING = "nothing else"
_PREFERRED = ("learning_rate", "embedding_size")
_HOW_MANY = (4, 3)  # values suggested for the first and for the second setting


def sweep_form(ratings: Ratings) -> None:
    """Approach, settings, values; what the runs would take; and the button."""
    form = _form()
    approach = _select("Approach", "approach", draft.CHOICES, lambda key: describe(key).title)
    settings = swept_settings(approach)
    firsts = [name for name in _PREFERRED if name in settings]
    form["first"] = form["first"] if form["first"] in settings else firsts[0]
    first = _select("First setting", "first", settings, lambda name: FIELDS[name].label)
    others = [NOTHING, *(name for name in settings if name != first)]
    if form["second"] not in others:
        form["second"] = next((name for name in firsts if name != first), NOTHING)
    problems: list[str] = []
    axes = [_values(approach, first, 0, problems)]
    second = _select("Second setting", "second", others, lambda name: FIELDS[name].label if name in FIELDS else name)
    if second != NOTHING:
        axes.append(_values(approach, second, 1, problems))
    split = ground(ratings)
    requests = _requests(approach, ratings, split, [axis for axis in axes if axis], problems)
    price, refused = price_of(requests, ratings)
    problems += [refused] if refused else []
    busy = cs.under_way()
    st.button(
        f"Start {len(requests)} runs" if requests else "Start the sweep",
        key="compare:sweep",
        type="primary",
        icon=":material/grid_on:",
        width="stretch",
        disabled=not requests or price is None or bool(problems or busy),
        on_click=_start,
        args=(requests, ratings.about.title),
    )
    for problem in problems:
        st.error(sentence(problem), icon=":material/error:")
    if busy:
        one_at_a_time(busy)
    elif price is not None and not problems:
        st.caption(f"{price_text(len(requests), price)} At most {MOST_RUNS} runs.")
    if price is not None and not problems:
        _rest(requests[0], [axis.name for axis in axes if axis])


def _form() -> dict[str, Any]:
    """What the form holds; texts by approach and setting."""
    empty = {"approach": draft.approach(), "first": "", "second": "", "texts": {}}
    return st.session_state.setdefault("compare-sweep", empty)


def _select(label: str, name: str, options: Sequence[str], show: Any) -> str:
    """A select box that is filled from the form and writes to it."""
    form, key = _form(), f"compare:sweep:{name}"
    st.session_state[key] = form[name]
    st.selectbox(
        label, options, format_func=show, key=key, on_change=lambda: form.update({name: st.session_state[key]})
    )
    return form[name]


def _values(approach: str, name: str, place: int, problems: list[str]) -> Axis | None:
    """The text field with the values of one setting; gives the axis, or says in ``problems`` why there is none."""
    texts = _form()["texts"]
    key = f"compare:values:{approach}:{name}"
    suggested = suggest(describe(approach).preset, name, _HOW_MANY[place])
    st.session_state[key] = texts.get(key, ", ".join(map(value_text, suggested)))
    st.text_input(
        f"Values of {FIELDS[name].label.lower()}",
        key=key,
        help=f"{FIELDS[name].help} Separate values by commas.",
        on_change=lambda: texts.update({key: st.session_state[key]}),
    )
    try:
        return Axis(name=name, values=parse_values(describe(approach), name, st.session_state[key]))
    except ValueError as problem:
        problems.append(str(problem))
        return None


def _requests(
    approach: str, ratings: Ratings, split: SplitConfig | None, axes: Sequence[Axis], problems: list[str]
) -> tuple[RunRequest, ...]:
    """The runs of the sweep around the settings that Train has for this approach; none where there is a problem."""
    if problems or split is None:
        return ()
    try:
        config = draft.config(approach, ratings).with_settings(seed=seed())
        return plan(RunRequest(dataset=ratings.about.name, split=split, config=config), axes)
    except ValueError as problem:
        problems.append(str(problem))
        return ()


def _rest(request: RunRequest, swept: Sequence[str]) -> None:
    """The settings that are held still, and where to change them."""
    approach = request.config.approach
    names = [name for name in describe(approach).settings if name not in swept]
    kept = config_line(request.config.with_settings(**dict.fromkeys(swept)))
    if names:
        st.caption(f"Held still, as they stand on Train: {plain(kept)}.")
    st.page_link(
        "pages/train.py",
        label="Change them on Train",
        icon=":material/model_training:",
        query_params={"approach": approach},
    )


def _start(requests: Sequence[RunRequest], title: str) -> None:
    kept = cs.memory()  # first: once runs are queued, a look at the session may end this
    runs = cs.runs_of(queue(requests, title))
    if runs:
        kept["group"] = runs[0].group
