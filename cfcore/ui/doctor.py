"""What the run doctor found, in the page: each verdict with the button that applies its fix and trains again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import streamlit as st

from cfcore import datasets
from cfcore.approaches import describe
from cfcore.charts import MOST_CURVES
from cfcore.config import RunRequest
from cfcore.datasets import DataError
from cfcore.doctor import VECTORS, Finding, Fix, diagnose
from cfcore.runs import Run, StoreError
from cfcore.ui import state
from cfcore.ui.compare import state as cs
from cfcore.ui.queue import class_refusal
from cfcore.ui.result import train_with
from cfcore.ui.words import number, plain, sentence

TALL = 6  # findings; with more of them the list scrolls
HEIGHT = 420  # pixels


def findings_of(run: Run) -> tuple[Finding, ...]:
    """The verdicts on a run of anybody's; those that need its arrays are left out where it has none."""
    try:
        arrays = {} if run.active else state.run_arrays(run.id, *VECTORS)
    except StoreError:
        arrays = {}
    try:
        scale = _scale(run.request.dataset) if datasets.on_disk(run.request.dataset) else None
    except DataError:
        scale = None
    return diagnose(run, arrays, scale)


@st.cache_data(max_entries=64, show_spinner=False)
def _scale(name: str) -> tuple[float, float]:
    """The lowest and the highest rating of a data set, kept for longer than its ratings are.

    Raises:
        DataError: it is not on disk, or cannot be read.
    """
    return state.ratings(name).scale


def findings(run: Run) -> None:
    """All verdicts on an ended run, under its errors; nothing for one that is under way."""
    found = findings_of(run)
    if not found:
        return
    with st.container(border=True):
        st.markdown(":material/stethoscope: **Run doctor**")
        for k, finding in enumerate(found):
            _finding(finding, f"**{finding.title}.**", run, first=k == 0, then=lambda run_id: None)


def findings_of_many(chosen: Sequence[Run], names: Mapping[str, str]) -> None:
    """The same for several runs, each by its name; those that nothing is wrong with share one line."""
    judged = {run.id: findings_of(run) for run in chosen[:MOST_CURVES]}
    wrong = [(run, each) for run in chosen for each in judged.get(run.id, ()) if each.kind != "healthy"]
    well = [names[run_id] for run_id, found in judged.items() if any(each.kind == "healthy" for each in found)]
    if not wrong and not well:
        return
    st.subheader("Run doctor", anchor=False)
    if wrong:
        with st.container(border=True, height=HEIGHT if len(wrong) > TALL else "content"):
            for run, each in wrong:
                _finding(each, f"**{plain(names[run.id])}: {each.title.lower()}.**", run, first=False, then=_choose_too)
    if well:
        st.caption(f":material/check_circle: Nothing is wrong with {plain('; '.join(well))}.")


def _finding(finding: Finding, title: str, run: Run, *, first: bool, then: Callable[[str], None]) -> None:
    left, right = st.columns([3, 1], vertical_alignment="center") if finding.fix else (st.container(), None)
    left.markdown(f"{title} {finding.sentence}")
    if finding.fix and right:
        barred = class_refusal([_request(run, finding.fix)])
        right.button(
            finding.fix.label,
            key=f"fix:{run.id}:{finding.kind}",
            type="primary" if first else "secondary",
            width="stretch",
            disabled=bool(barred),
            help=sentence(barred) if barred else _what_it_does(finding.fix, run),
            on_click=_apply,
            args=(run.id, finding.fix, then),
        )
    if finding.why and first:
        st.caption(finding.why)


def _what_it_does(fix: Fix, run: Run) -> str:
    """The settings that the button changes, with their values."""
    settings = describe(run.request.config.approach).settings
    changes = [f"{settings[name].label.lower()} {number(value)}" for name, value in fix.changes.items()]
    changed = f" with {plain(', '.join(changes))}" if changes else ""
    return f"Take over this run's settings{changed}{' on all the data' if fix.split else ''}, and train."


def _request(run: Run, fix: Fix) -> RunRequest:
    """What the button would train."""
    config = run.request.config.with_settings(**fix.changes)
    return replace(run.request, config=config, split=fix.split or run.request.split)


def _apply(run_id: str, fix: Fix, then: Callable[[str], None]) -> None:
    train_with(run_id, fix.changes, fix.split)
    then(st.session_state.get("run", run_id))


def _choose_too(run_id: str) -> None:
    """Draw the new run beside those that were chosen."""
    cs.choose([*(run.id for run in cs.chosen_of(cs.all_runs()) if run.id != run_id), run_id])
