"""What the teacher of a class sees beside its board: how to get in, what it trains, whose name is shown, its end."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import streamlit as st

from cfcore import datasets
from cfcore.approaches import FIELDS, describe
from cfcore.config import FOLDS, SplitConfig
from cfcore.datasets import SOURCES
from cfcore.export.board import board_csv
from cfcore.export.tables import runs_json
from cfcore.rooms import Room, Rules
from cfcore.ui import draft, state
from cfcore.ui.classroom.board import forget, read_board
from cfcore.ui.classroom.door import SECRETS, title_of
from cfcore.ui.components import shows
from cfcore.ui.frame import guard
from cfcore.ui.settings import SPLIT_TITLES
from cfcore.ui.words import plain, sentence

PEOPLE_SECONDS = 5.0  # between two looks at who has joined


def teacher_panel(room: Room, link: str) -> None:
    _way_in(room, link)
    _rules_form(room)
    st.fragment(_people_and_export, run_every=PEOPLE_SECONDS)(room)  # people come and train while nobody presses
    _end(room)


def _way_in(room: Room, link: str) -> None:
    with st.container(border=True):
        st.metric("Code of this class", room.code)
        if room.closed:
            st.info("Closed: nobody new joins, no run is added. The board stays.", icon=":material/lock:")
        st.caption("[To the board](#board)")  # on a phone it lies far below
        st.caption("A link for your students:")
        st.code(link, language=None, wrap_lines=True)
        if urlsplit(link).hostname in ("localhost", "127.0.0.1", "::1"):
            st.caption("It works on this computer only: for others, put its name or address on the network into it.")
        _secret(room)


def _secret(room: Room) -> None:
    """Behind a press, because the class may be looking at this page."""
    given = st.session_state.setdefault(SECRETS, {})
    with st.popover("Your secret", icon=":material/key:"):
        if room.code in given:
            st.markdown(
                "With it you can teach this class from another browser. Write it down, then press the button: "
                "after that nobody can see it."
            )
            st.code(given[room.code], language=None, wrap_lines=True)
            st.button("Written down", on_click=given.pop, args=(room.code, None))
        else:
            st.markdown(
                "It was shown when the class was opened. A new one takes its place: the old one is then of no use, "
                "and whoever else teaches this class no longer does."
            )
            st.button("Make a new secret", on_click=_new_secret, args=(room.code,))


def _new_secret(code: str) -> None:
    given = st.session_state.setdefault(SECRETS, {})  # first: the callback may be ended at a look at the session
    given[code] = state.store().rooms.new_secret(code, state.visitor())


def _rules_form(room: Room) -> None:
    """Data, split, approaches and controls; nothing changes before the button is pressed."""
    rules = room.rules
    here = [name for name in SOURCES if datasets.on_disk(name)]
    here += [rules.dataset] if rules.dataset not in here else []  # an upload, or one that has left the disk
    kinds = _kinds(rules.dataset)
    with st.form("class-rules"):
        st.markdown("**What this class trains**")
        dataset = st.selectbox(
            "Data set",
            here,
            index=here.index(rules.dataset),
            format_func=title_of,
            help="The Data page downloads others.",
        )
        kind = st.selectbox(
            "Validation split",
            kinds,
            index=kinds.index(rules.split.kind) if rules.split.kind in kinds else 0,
            format_func=SPLIT_TITLES.__getitem__,
            help="Runs compare on one split only: the board shows those on this one.",
        )
        approaches = st.pills(
            "Approaches",
            draft.CHOICES,
            selection_mode="multi",
            default=[key for key in draft.CHOICES if key in rules.approaches],
            format_func=lambda key: describe(key).title,
        )
        controls = st.pills(
            "Settings that students may change",
            list(FIELDS),
            selection_mode="multi",
            default=[name for name in FIELDS if name in rules.controls],
            format_func=lambda name: FIELDS[name].label,
            help="All others stand at their usual values.",
        )
        st.caption("Nothing changes for anybody before you press the button.")
        pressed = st.form_submit_button("Set for everybody", icon=":material/check:", width="stretch")
    if not pressed:
        return
    if not approaches:
        st.error("Choose at least one approach: a class has to train something.", icon=":material/error:")
        return
    if kind not in _kinds(dataset):
        st.error(
            f"{plain(title_of(dataset))} has no split {plain(SPLIT_TITLES[kind])}: choose another split first.",
            icon=":material/error:",
        )
        return
    changed = Rules(dataset=dataset, split=_split(rules, kind), approaches=tuple(approaches), controls=tuple(controls))
    state.store().rooms.change(room.code, rules=changed)
    st.toast("Set for everybody in the class.", icon=":material/check:")
    st.rerun()


def _split(rules: Rules, kind: str) -> SplitConfig:
    return rules.split if rules.split.kind == kind else SplitConfig.of(kind)


def _kinds(dataset: str) -> list[str]:
    """The splits of a data set; of one that cannot be read, those that every set has."""
    try:
        return list(state.ratings(dataset).split_kinds())
    except ValueError:
        return [kind for kind in SPLIT_TITLES if kind not in FOLDS]


def _people_and_export(room: Room) -> None:
    with guard():
        _names(room)
        _export(room)


def _names(room: Room) -> None:
    people = state.store().rooms.people(room.code)
    names = {person.number: person.name for person in people}
    with st.container(border=True):
        st.markdown("**Names**")
        st.toggle(
            "Show names on the board",
            help="Otherwise everybody is Person 1, Person 2, and so on.",
            **shows(f"class:named:{room.code}", room.named, partial(_show_names, room.code)),
        )
        hidden = [person.number for person in people if person.hidden]
        st.multiselect(
            "Names to hide",
            list(names),
            format_func=lambda number: names[number],
            placeholder="None hidden",
            disabled=not people or not room.named,
            **shows(f"class:hidden:{room.code}", hidden, partial(_hide, room.code, frozenset(hidden))),
        )
        with st.popover("Remove somebody", icon=":material/person_remove:", disabled=not people):
            st.markdown("Puts a person out of the class, and their runs off the board.")
            number = st.selectbox(
                "Who",
                list(names),
                index=None,  # nobody stands there to be removed by a second press
                format_func=lambda number: names[number],
                placeholder="Choose a person",
                key="class:who",
            )
            st.button("Remove", type="primary", disabled=number is None, on_click=_remove, args=(room.code, number))


def _show_names(code: str, named: bool) -> None:
    state.store().rooms.change(code, named=named)


def _hide(code: str, before: Collection[int], now: Collection[int]) -> None:
    """Only what this press has changed: another teacher may have hidden somebody meanwhile."""
    for number in {*before} ^ {*now}:
        state.store().rooms.hide(code, number, hidden=number in now)
    forget()


def _remove(code: str, number: int) -> None:
    st.session_state["class:who"] = None
    state.store().rooms.remove(code, number)
    forget()


def _clear(code: str) -> None:
    state.store().rooms.clear(code)
    forget()


def _export(room: Room) -> None:
    """Downloads are read when they are pressed, so that they hold what the board shows then."""
    empty = not read_board(room).runs
    options: dict[str, Any] = {"on_click": "ignore", "width": "stretch", "disabled": empty}
    left, right = st.columns(2, gap="small")
    left.download_button(
        "Board, CSV",
        data=partial(_csv, room.code),
        file_name=f"class-{room.code}.csv",
        mime="text/csv",
        icon=":material/download:",
        help="One line a run: rank and name of its person, settings, errors.",
        **options,
    )
    right.download_button(
        "Runs, JSON",
        data=partial(_json, room.code),
        file_name=f"class-{room.code}.json",
        mime="application/json",
        icon=":material/data_object:",
        help="Every run on the board with every epoch, without names.",
        **options,
    )


def _csv(code: str) -> str:
    room = state.store().rooms.get(code)
    if room is None:
        return ""
    seen = read_board(room)
    return board_csv(seen.places, state.store().get_many([run.id for run in seen.runs]))


def _json(code: str) -> str:
    room = state.store().rooms.get(code)
    runs = state.store().get_many([run.id for run in read_board(room).runs]) if room else []
    return runs_json([replace(run, name="") for run in runs])


def _end(room: Room) -> None:
    rooms = state.store().rooms
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Open again" if room.closed else "Close",
            icon=":material/lock_open:" if room.closed else ":material/lock:",
            help="Students can join and train for it again."
            if room.closed
            else "Nobody joins any more, no run is added, and students may train what they like. The board stays.",
            on_click=rooms.change,
            args=(room.code,),
            kwargs={"closed": not room.closed},
        )
        with st.popover("Clear the board", icon=":material/cleaning_services:"):
            st.markdown("Takes every run off the board. The runs stay with the people who trained them.")
            st.button("Take all off", type="primary", on_click=_clear, args=(room.code,))
        with st.popover("Delete the class", icon=":material/delete:"):
            st.markdown("The code stops working and the board is gone. The runs stay with the people.")
            st.button("Delete it", type="primary", on_click=_delete, args=(room.code,))


def _delete(code: str) -> None:
    state.store().rooms.delete(code)
    st.session_state.pop("class", None)
    state.tell(sentence(f"class {code} is deleted"))
