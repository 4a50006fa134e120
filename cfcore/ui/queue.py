"""How a page puts runs into the queue and takes them out: within the limits of a visit, and only its own."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from cfcore.config import RunRequest
from cfcore.datasets import DataError
from cfcore.estimate import Estimate, estimate
from cfcore.limits import LimitError
from cfcore.rooms import RoomError, Rules
from cfcore.runs import STOPPING, Run
from cfcore.ui import state
from cfcore.ui.words import sentence

_LATEST = 20  # of a visit's runs, among which one that has not ended is looked for


def price(request: RunRequest) -> Estimate | None:
    """What a run would take, and why it would be refused; ``None`` where only a worker has its data.

    Raises:
        ValueError: its data does not allow its split.
    """
    try:
        ratings = state.ratings(request.dataset)
    except DataError:
        return None
    n_train, n_valid = state.split_sizes(request.dataset, request.split.to_json())
    return estimate(request.config, n_train=n_train, n_valid=n_valid, n_users=ratings.n_users, n_items=ratings.n_items)


def enqueue(requests: Sequence[RunRequest], dataset_title: str, group: str = "") -> list[Run]:
    """Queue runs of this visit; gives none, and says why, where one is refused. Buttons are only its first line.

    A second press before the page has shown the first finds the run of that one. Once there are runs, nothing here
    looks at the session: where another press is waiting, Streamlit ends a callback at its next look, half done.
    """
    state.keep_dataset()
    visitor, jobs = state.visitor(), state.jobs()
    queued: list[Run] = []
    try:
        joined = state.classroom()
        if refusal := class_refusal(requests):
            raise RoomError(refusal)
        queued = [] if group else _asked_before(requests, visitor)
        if not queued:
            for request, cost in zip(requests, _prices(requests), strict=True):
                seconds = cost.seconds if cost else 0.0
                queued.append(
                    jobs.submit(request, visitor=visitor, dataset_title=dataset_title, group=group, seconds=seconds)
                )
    except ValueError as refusal:
        for run in queued:  # all or none
            jobs.stop(run.id)
        state.tell(sentence(str(refusal)))
        return []
    if joined is not None and joined[1].shows:
        _show_the_class(queued, visitor, joined[0].rules)
    return queued


def _prices(requests: Sequence[RunRequest]) -> list[Estimate | None]:
    """What each run would take.

    Raises:
        ValueError: one of them would be refused; its data does not allow its split.
    """
    prices = [price(request) for request in requests]
    for cost in prices:
        if cost is not None and cost.refused:
            raise LimitError(cost.refused)
    return prices


def _asked_before(requests: Sequence[RunRequest], visitor: str) -> list[Run]:
    """The runs of this visit that a press for these very requests has started, where none of them has ended."""
    latest = state.store().list(visitor=visitor, limit=_LATEST)
    active = [run for run in latest if run.active and not run.group and run.message != STOPPING]
    found = [next((run for run in active if run.request == request), None) for request in requests]
    return [run for run in found if run is not None] if all(found) else []


def class_refusal(requests: Sequence[RunRequest]) -> str:
    """Why this visit's class does not train one of these; empty where it does, and outside of a class."""
    rules = state.rules()
    if rules is None:
        return ""
    try:
        for request in requests:
            rules.check(request, state.ratings(rules.dataset).scale)
    except RoomError as refusal:
        return str(refusal)
    return ""


def _show_the_class(runs: Sequence[Run], visitor: str, rules: Rules) -> None:
    """Put runs on the board of this visit's class."""
    try:
        state.store().rooms.show([run.id for run in runs], visitor, state.ratings(rules.dataset).scale)
    except ValueError as problem:  # the runs are queued all the same
        state.tell(sentence(str(problem)))


def is_mine(run: Run) -> bool:
    """Whether this visit has started the run, and may therefore stop, rename and delete it."""
    return run.visitor == state.visitor()


def stop(*run_ids: str) -> None:
    """End those of these runs that are this visit's and have not ended."""
    visitor, jobs, stopping = state.visitor(), state.jobs(), st.session_state.setdefault("stopping", [])
    for run in state.store().get_many(run_ids):  # from here on nothing looks at the session, see enqueue
        if run.active and run.visitor == visitor:
            stopping.append(run.id)
            jobs.stop(run.id)
