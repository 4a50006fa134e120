"""What the teacher of a class sees beside its board: how to get in, what it trains, whose name is shown, its end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from cfcore import datasets
from cfcore.approaches import FIELDS, describe
from cfcore.config import FOLDS, SplitConfig
from cfcore.datasets import SOURCES
from cfcore.export.board import board_csv
from cfcore.export.tables import runs_json
from cfcore.rooms import Room, Rules
from cfcore.ui import draft, state
from cfcore.ui.classroom.board import forget, on
from cfcore.ui.classroom.door import SECRETS
from cfcore.ui.settings import SPLIT_TITLES
from cfcore.ui.words import plain, sentence


def teacher_panel(room: Room, link: str) -> None:
    _way_in(room, link)
    _rules_form(room)
    _names(room)
    _export(room)
    _end(room)


def _way_in(room: Room, link: str) -> None:
    with st.container(border=True):
        st.metric("Code of this class", room.code)
        st.caption("A link for your students:")
        st.code(link, language=None, wrap_lines=True)
        secret = st.session_state.get(SECRETS, {}).get(room.code)
        if secret:
            st.caption("Your secret, to teach this class from another browser. It is shown only now: write it down.")
            st.code(secret, language=None, wrap_lines=True)
        else:
            st.button(
                "Make a new secret",
                icon=":material/key:",
                type="tertiary",
                help="It lets you teach this class from another browser; the one before it is then of no use.",
                on_click=_new_secret,
                args=(room.code,),
            )


def _new_secret(code: str) -> None:
    st.session_state.setdefault(SECRETS, {})[code] = state.store().rooms.new_secret(code)


def _rules_form(room: Room) -> None:
    """Data, split, approaches and controls; nothing changes before the button is pressed."""
    rules = room.rules
    here = [name for name in SOURCES if datasets.on_disk(name)]
    kinds = _kinds(rules.dataset)
    with st.form("class-rules"):
        st.markdown("**What this class trains**")
        dataset = st.selectbox(
            "Data set",
            here,
            index=here.index(rules.dataset) if rules.dataset in here else 0,
            format_func=lambda name: SOURCES[name].title,
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
        pressed = st.form_submit_button("Set for everybody", icon=":material/check:", width="stretch")
    if not pressed:
        return
    if not approaches:
        st.error("Choose at least one approach: a class has to train something.", icon=":material/error:")
        return
    if kind not in _kinds(dataset):
        st.error(
            f"{plain(SOURCES[dataset].title)} has no split {plain(SPLIT_TITLES[kind])}: choose another split first.",
            icon=":material/error:",
        )
        return
    changed = Rules(dataset=dataset, split=_split(rules, kind), approaches=tuple(approaches), controls=tuple(controls))
    state.store().rooms.change(room.code, rules=changed)
    st.rerun()


def _split(rules: Rules, kind: str) -> SplitConfig:
    return rules.split if rules.split.kind == kind else SplitConfig.of(kind)


def _kinds(dataset: str) -> list[str]:
    """The splits of a data set; of one that cannot be read, those that every set has."""
    try:
        return list(state.ratings(dataset).split_kinds())
    except ValueError:
        return [kind for kind in SPLIT_TITLES if kind not in FOLDS]


def _names(room: Room) -> None:
    rooms = state.store().rooms
    people = rooms.people(room.code)
    names = {person.number: person.name for person in people}
    with st.container(border=True):
        st.markdown("**Names**")
        st.toggle(
            "Show names on the board",
            value=room.named,
            key=f"class:named:{room.code}",
            on_change=lambda: rooms.change(room.code, named=st.session_state[f"class:named:{room.code}"]),
            help="Otherwise everybody is Person 1, Person 2, and so on.",
        )
        key = f"class:hidden:{room.code}"
        st.multiselect(
            "Names to hide",
            [person.number for person in people],
            default=[person.number for person in people if person.hidden],
            format_func=lambda number: names[number],
            key=key,
            placeholder="None hidden",
            on_change=_hide,
            args=(room.code, key),
            disabled=not people or not room.named,
        )


def _hide(code: str, key: str) -> None:
    state.store().rooms.hide(code, st.session_state[key])
    forget()


def _clear(code: str) -> None:
    state.store().rooms.clear(code)
    forget()


def _export(room: Room) -> None:
    places, runs, _ = on(room)
    options: dict[str, Any] = {"on_click": "ignore", "width": "stretch", "disabled": not runs}
    left, right = st.columns(2, gap="small")
    left.download_button(
        "Board, CSV",
        data=lambda: board_csv(places, runs),
        file_name=f"class-{room.code}.csv",
        mime="text/csv",
        icon=":material/download:",
        help="One line a run: rank and name of its person, settings, errors.",
        **options,
    )
    right.download_button(
        "Runs, JSON",
        data=lambda: runs_json([replace(run, visitor="") for run in runs]),
        file_name=f"class-{room.code}.json",
        mime="application/json",
        icon=":material/data_object:",
        help="Every run on the board with every epoch, without names.",
        **options,
    )


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
