"""What the Compare page remembers: which runs are chosen, which came by link, which sweep is shown, what was deleted.

Plain values in one dictionary of the session, read from the address on arrival and written to it afterwards:
``?runs=id,id`` are the chosen runs, ``?group=id`` the sweep, ``?view=sweep`` the side of the page. Whoever opens the
link sees the same runs, and may do nothing to those of others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from cfcore.charts import MOST_CURVES
from cfcore.runs import Run
from cfcore.sweep import grid_of
from cfcore.ui import queue, state
from cfcore.ui.words import plain

MOST_LINKED = 50  # runs taken from one address
LIVE_SECONDS, TABLE_SECONDS = 0.5, 1.0  # between two looks at runs under way: at curves, and at the larger table
FIRST = 5  # runs that are chosen until the person chooses
VIEWS = ("runs", "sweep")


def memory() -> dict[str, Any]:
    """This visit's own dictionary. ``selected`` is ``None`` until somebody chooses."""
    empty = {"selected": None, "linked": [], "slots": {}, "group": "", "view": "runs", "deleted": [], "leaving": []}
    return st.session_state.setdefault("compare", empty)


def read_address() -> None:
    """On arrival, take what the address asks for, and say what of it is not here."""
    asked = [run_id for run_id in dict.fromkeys(st.query_params.get("runs", "").split(",")) if run_id][:MOST_LINKED]
    if asked:
        found = [run.id for run in state.store().get_many(asked)]
        memory()["selected"] = found
        memory()["linked"] = found + [run_id for run_id in memory()["linked"] if run_id not in found]
        _tell_missing([run_id for run_id in asked if run_id not in found])
    group = st.query_params.get("group", "")
    if group and group != memory()["group"]:
        if state.store().list(group=group, limit=1):
            memory()["group"] = group
        else:
            state.tell("There is no sweep with this link here: it was deleted, or it ran on another server.")
    if group or st.query_params.get("view") == "sweep":
        memory()["view"] = "sweep"
    elif asked:
        memory()["view"] = "runs"


def write_address(chosen: Sequence[Run]) -> None:
    """Put what is shown into the address, so that it can be shared and survives a reload."""
    params = {"runs": ",".join(run.id for run in chosen)} if chosen else {}
    if memory()["view"] == "sweep":
        params |= {"view": "sweep"} | ({"group": memory()["group"]} if memory()["group"] else {})
    state.write_address(params)


def all_runs() -> list[Run]:
    """The runs of this visit and those that came by link, newest first, without what is being deleted."""
    mine = list(state.store().list(visitor=state.visitor()))
    ids = {run.id for run in mine}
    runs = mine + [run for run in state.store().get_many(memory()["linked"]) if run.id not in ids]
    runs = [run for run in runs if run.id not in memory()["leaving"]]
    return sorted(runs, key=lambda run: -run.created)


def runs_of(run_ids: Sequence[str]) -> list[Run]:
    """These runs, as far as there are any."""
    return list(state.store().get_many(list(run_ids)))


def group_of(group: str) -> list[Run]:
    """The runs that were queued together, in the order in which they will run."""
    runs = [run for run in state.store().list(group=group) if run.id not in memory()["leaving"]]
    return runs[::-1]


def under_way() -> list[Run]:
    """The runs of this visit that were queued together and have not ended, without those that are being deleted."""
    runs = state.store().list(visitor=state.visitor())
    return [run for run in runs if run.group and run.active and run.id not in memory()["leaving"]]


def show_group(group: str) -> None:
    """Turn to the side of the page that shows runs queued together: the picture of a sweep, or their curves."""
    runs = group_of(group)
    if grid_of(runs) is None:
        look_at([run.id for run in runs])
    else:
        memory().update(group=group, view="sweep")


def chosen_of(runs: Sequence[Run]) -> list[Run]:
    """The chosen ones among ``runs``, in the order in which they were chosen; at first, the newest few."""
    selected = memory()["selected"]
    if selected is None:
        return [run for run in runs if run.history or run.active][:FIRST]
    by_id = {run.id: run for run in runs}
    return [by_id[run_id] for run_id in selected if run_id in by_id]


def choose(run_ids: Sequence[str]) -> None:
    """Choose exactly these runs."""
    memory()["selected"] = list(dict.fromkeys(run_ids))


def look_at(run_ids: Sequence[str]) -> None:
    """Choose these runs, whosever they are, and turn to the page's side with the curves."""
    linked = memory()["linked"]
    memory()["linked"] = linked + [run_id for run_id in run_ids if run_id not in linked]
    memory()["view"] = "runs"
    choose(run_ids)


def slots(chosen: Sequence[Run]) -> dict[str, int]:
    """A colour for each of the runs that are drawn, which stays with it as others come and go."""
    drawn = [run.id for run in chosen[:MOST_CURVES]]
    kept = {run_id: slot for run_id, slot in memory()["slots"].items() if run_id in drawn}
    free = iter(slot for slot in range(MOST_CURVES) if slot not in kept.values())
    memory()["slots"] = kept | {run_id: next(free) for run_id in drawn if run_id not in kept}
    return memory()["slots"]


def rename(run_id: str, name: str) -> None:
    """Give a run of this visit another name."""
    if _mine([run_id]):
        state.store().rename(run_id, " ".join(name.split()))


def delete(run_ids: Sequence[str]) -> None:
    """Delete runs of this visit, so that it can be undone; those under way are stopped first."""
    kept = memory()
    mine = [run.id for run in _mine(run_ids) if run.id not in kept["leaving"]]
    if not mine:  # a second press: the first is what can be undone
        return
    queue.stop(*mine)
    kept["leaving"] = [*kept["leaving"], *mine]
    kept["deleted"] = mine
    settle()


def undo() -> None:
    """Bring back what was deleted last."""
    back = memory()["deleted"]
    memory()["leaving"] = [run_id for run_id in memory()["leaving"] if run_id not in back]
    for run_id in back:
        state.store().restore(run_id)
    memory()["deleted"] = []


def forget_deleted() -> None:
    """Offer no way back any more."""
    memory()["deleted"] = []


def settle() -> None:
    """Put away what is being deleted as soon as it has ended."""
    memory()["leaving"] = [run.id for run in state.store().get_many(memory()["leaving"]) if not _put_away(run)]


def stop(run_ids: Sequence[str]) -> None:
    """Stop those of these runs that belong to this visit and have not ended."""
    queue.stop(*run_ids)


def _put_away(run: Run) -> bool:
    return not run.active and state.store().trash(run.id)


def _mine(run_ids: Sequence[str]) -> list[Run]:
    return [run for run in state.store().get_many(list(run_ids)) if queue.is_mine(run)]


def _tell_missing(run_ids: Sequence[str]) -> None:
    if run_ids:
        named = ", ".join(plain(run_id[:24]) for run_id in run_ids[:3])
        more = f" and {len(run_ids) - 3} more" if len(run_ids) > 3 else ""
        runs = "a run that is" if len(run_ids) == 1 else "runs that are"
        state.tell(f"The link names {runs} not here ({named}{more}): deleted, or trained on another server.")
