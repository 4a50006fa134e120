"""Which film Explore looks at: found by search, by a tap on the map, in a table or by link; the last action wins.

The film is one plain value in the session, its raw id as text; everything that shows it reads it from there, and the
address carries it as ``?film=``. The map is a widget that remembers its last tap and reports only a different one. So
when the film changes by any other way, the map starts anew, with the same part in sight: then the next tap counts,
even on the film of the last one.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from cfcore.charts.film_map import Limits
from cfcore.ui import state
from cfcore.ui.explore.space import Learned
from cfcore.ui.frame import arrived
from cfcore.ui.words import count, plain

FILM, SEARCH, UNFOUND = "explore-film", "explore-search", "explore-unfound"
START, SEEN, LATEST = "explore-start", "explore-seen", "explore-latest"


def read_address(learned: Learned) -> None:
    """On arrival, take the film from the address."""
    wanted = st.query_params.get("film") if arrived() else None
    if wanted is None or wanted == st.session_state.get(FILM):
        return
    if wanted in learned.row_of:
        st.session_state[FILM] = wanted
    else:
        state.tell(f"The link asks for film {plain(wanted[:40])}, which this run has not been trained on.")


def write_address(run_id: str, learned: Learned) -> None:
    """Run and film in the address, so that a link shows the same."""
    row = chosen_film(learned)
    params = {"run": run_id} | ({} if row is None else {"film": str(learned.item_id[row])})
    state.write_address(params)


def chosen_film(learned: Learned) -> int | None:
    """The row of the chosen film, where this run knows it."""
    return learned.row_of.get(st.session_state.get(FILM, ""))


def choose_film(learned: Learned, row: int | None) -> None:
    """Look at this film from now on, by whatever way but the map itself."""
    st.session_state[FILM] = "" if row is None else str(learned.item_id[row])
    st.session_state[LATEST] = FILM
    start_anew()


def region_is_latest() -> bool:
    """Whether a region was drawn after the film was chosen: what is new stands first."""
    return st.session_state.get(LATEST) == START


def search_box(learned: Learned, where: str) -> None:
    """Find a film by typing; the box always says which one is chosen. ``where`` tells it from those of other tabs."""
    row, key = chosen_film(learned), f"{SEARCH}:{where}"
    options = learned.offered
    if row is not None and learned.option_of[row] not in options:
        options = [*options, learned.option_of[row]]
    st.session_state[key] = None if row is None else learned.option_of[row]

    def take() -> None:
        text = st.session_state[key]
        found = None if text is None else learned.find(text)
        st.session_state[UNFOUND] = text if found is None else None
        if text is None or found is not None:
            choose_film(learned, found)

    more = len(learned) > len(learned.offered)
    st.selectbox(
        "Film",
        options,
        index=None,
        key=key,
        on_change=take,
        placeholder="Search a title",
        help="Type a part of a title. On the map, a tap does the same."
        + (f" The {count(len(options))} best known are offered; type any other and press Enter." if more else ""),
        filter_mode="contains",
        accept_new_options=more,
    )
    unfound = st.session_state.pop(UNFOUND, None)
    if unfound:
        st.caption(f":material/search_off: No trained film has ‘{plain(unfound[:60])}’ in its title.")


# Where the map starts. A plain dictionary: which map it is for, a count that makes it a new widget, and what it shows.


def start_of(base: str) -> dict[str, Any]:
    """How the map ``base`` (a run and its axes) starts: ``count``, ``shown`` and ``region``; anew for another map."""
    start = st.session_state.get(START)
    if start is None or start["base"] != base:
        count = start["count"] + 1 if start else 0
        start = st.session_state[START] = {"base": base, "count": count, "shown": None, "region": None}
        st.session_state[SEEN] = {}
    return start


def map_key() -> str:
    return f"film-map-{st.session_state[START]['count']}"


def shown(start: dict[str, Any]) -> Limits | None:
    """The part of the map in sight, ``None`` for all of it."""
    now = seen()
    return _limits(now["grid"]) if "grid" in now else start["shown"]


def region() -> Limits | None:
    """The rectangle that was drawn or typed, ``None`` where there is none."""
    start = st.session_state.get(START) or {}
    now = seen()
    return _limits(now["region"]) if "region" in now else start.get("region")


def seen() -> dict[str, Any]:
    """What the map last reported, by selection."""
    return st.session_state.setdefault(SEEN, {})


def start_anew(**changes: Limits | None) -> None:
    """Make the map a new widget that shows what it showed, but for ``changes`` of ``shown`` and ``region``."""
    start = st.session_state.get(START)
    if start is None:
        return
    if "region" in changes:
        st.session_state[LATEST] = START
    keep = {"shown": shown(start), "region": region()} | changes
    st.session_state[START] = start | keep | {"count": start["count"] + 1}
    st.session_state[SEEN] = {}


def take_from_map(learned: Learned) -> None:
    """Called when the map reports something: keep it, and take the film when it is the tap that is new."""
    event = st.session_state.get(map_key())
    now = dict(event["selection"]) if event else {}
    before = seen()
    st.session_state[SEEN] = now
    item = _item(now.get("picked"))
    if item is not None and item != _item(before.get("picked")) and item in learned.row_of:
        st.session_state[FILM] = item
        st.session_state[LATEST] = FILM
    elif now.get("region") != before.get("region"):
        st.session_state[LATEST] = START


def _item(picked: Any) -> str | None:
    rows = picked if isinstance(picked, list) else []
    return str(rows[0]["item"]) if rows and "item" in rows[0] else None


def _limits(interval: Any) -> Limits | None:
    if not isinstance(interval, dict) or not {"x", "y"} <= interval.keys():
        return None
    (x0, x1), (y0, y1) = sorted(interval["x"]), sorted(interval["y"])
    return (x0, x1, y0, y1) if x0 < x1 and y0 < y1 else None
