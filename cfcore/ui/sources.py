"""Choosing a data set: the catalogue with its downloads, and uploads of the person's own ratings."""

from __future__ import annotations

import psutil
import streamlit as st

from cfcore import datasets
from cfcore.datasets import SOURCES, UPLOAD_LIMIT_MB, UPLOAD_LIMIT_RATINGS, Columns, DataError
from cfcore.ui import state
from cfcore.ui.frame import guard, show_download
from cfcore.ui.words import count, memory, plain, sentence

NONE = "(none)"
BYTES_A_RATING = 100  # what reading a data set takes at its peak


def catalogue() -> None:
    """One row a source: what it is, whether it is here, and the button that uses or fetches it."""
    running = _downloading()
    st.fragment(_catalogue, run_every=0.5 if running else None)(running, state.dataset())


def _catalogue(was_running: bool, dataset: str) -> None:
    with guard():
        if (was_running, dataset) != (_downloading(), state.dataset()):
            st.rerun()  # a button in here runs only this part: the rest of the page has to follow
        for name in SOURCES:
            _row(name)
        for name, file_name in _uploads().items():
            _upload_row(name, file_name)


def _downloading() -> bool:
    downloads = (state.download(name) for name in SOURCES)
    return any(each is not None and each.state in ("waiting", "running") for each in downloads)


def _row(name: str) -> None:
    source, current, chosen = SOURCES[name], state.download(name), state.dataset() == name
    here = datasets.on_disk(name)
    needs, free = source.n_ratings * BYTES_A_RATING, psutil.virtual_memory().available
    too_large, bound = needs > free and not chosen, state.rules() is not None
    with st.container(border=True):
        words, action = st.columns([3, 1.5], vertical_alignment="center")
        with words:
            with st.container(horizontal=True, gap="small", vertical_alignment="center"):
                st.markdown(f"**{plain(source.title)}**", width="content")
                if source.simulated:
                    st.badge("simulated", icon=":material/science:", color="orange")
                if chosen:
                    st.badge("in use", icon=":material/check:", color="green")
            size = f" {source.size_mb:g} MB to download." if not here and source.size_mb else ""
            room = f" Needs about {memory(needs / 1e6)} of memory; this server has {memory(free / 1e6)} free."
            st.caption(f"{plain(source.summary)}{size}{room if too_large else ''}")
        with action:
            if here:
                st.button(
                    "Use",
                    key=f"use:{name}",
                    width="stretch",
                    disabled=chosen or too_large or bound,
                    help="Your class has a data set of its own." if bound else None,
                    on_click=state.choose,
                    args=(name,),
                )
            elif current is None or current.state == "failed":
                st.button(
                    "Download",
                    key=f"get:{name}",
                    width="stretch",
                    disabled=too_large,
                    on_click=state.start_download,
                    args=(name,),
                )
        if current is not None and current.state in ("waiting", "running"):
            show_download(name)
        elif current is not None and current.state == "failed" and not here:
            st.warning(sentence(current.message), icon=":material/error:")


def _uploads() -> dict[str, str]:
    """The uploads of this visit: data set name to file name."""
    return st.session_state.setdefault("uploads", {})


def _upload_row(name: str, file_name: str) -> None:
    chosen = state.dataset() == name
    with st.container(border=True):
        words, action = st.columns([3, 1.5], vertical_alignment="center")
        with words, st.container(horizontal=True, gap="small", vertical_alignment="center"):
            st.markdown(f"**{plain(file_name)}**", width="content")
            st.badge("uploaded", icon=":material/upload_file:", color="blue")
            if chosen:
                st.badge("in use", icon=":material/check:", color="green")
        action.button("Use", key=f"use:{name}", width="stretch", disabled=chosen, on_click=state.choose, args=(name,))


def upload() -> None:
    """Read ratings of the person's own; where the columns are not recognised, ask which is which."""
    st.markdown(
        f"A CSV file with a column each for user, movie and rating, or a zip with a MovieLens data set. "
        f"At most {UPLOAD_LIMIT_MB} MB and {count(UPLOAD_LIMIT_RATINGS)} ratings. It stays on this server."
    )
    file = st.file_uploader(
        "Ratings file", type=["csv", "tsv", "txt", "dat", "data", "zip"], label_visibility="collapsed"
    )
    if file is None:
        return
    if st.session_state.get("uploaded") == file.file_id:
        return  # read already: it stands in the list above
    refused = st.session_state.get("refused", ("", ""))
    if refused[0] == file.file_id:  # every press on the page comes by here: reading a large file again would take long
        _refuse(refused[1])
        return
    data, columns, asked = file.getvalue(), None, False
    try:
        if not file.name.lower().endswith(".zip"):
            header = datasets.read_header(data, file.name)
            columns = datasets.guess_columns(header)
            if columns is None:
                asked, columns = True, _ask(header)
                if columns is None:
                    return
        name = datasets.save_upload(data, file.name, columns)
    except DataError as problem:
        if not asked:  # with other columns the same file may do
            st.session_state["refused"] = (file.file_id, sentence(str(problem)))
        _refuse(sentence(str(problem)))
        return
    st.session_state["uploaded"] = file.file_id
    _uploads()[name] = file.name
    state.choose(name)
    st.rerun()


def _refuse(why: str) -> None:
    st.error(f"{why} The data set in use has not changed.", icon=":material/error:")


def _ask(header: list[str]) -> Columns | None:
    """Let the person name the columns; ``None`` until they have."""
    st.info("Which column is which?", icon=":material/help:")
    user = st.selectbox("User", header, index=None)
    item = st.selectbox("Movie", header, index=None)
    rating = st.selectbox("Rating", header, index=None)
    optional = [NONE, *header]
    timestamp = st.selectbox("Time, if there is one", optional)
    title = st.selectbox("Title, if there is one", optional)
    ready = user is not None and item is not None and rating is not None
    different = len({user, item, rating}) == 3
    if ready and not different:
        st.error("User, movie and rating must be three different columns.")
    if not st.button("Read it", type="primary", disabled=not (ready and different)):
        return None
    if user is None or item is None or rating is None:
        return None
    return Columns(
        user=user,
        item=item,
        rating=rating,
        timestamp=None if timestamp == NONE else timestamp,
        title=None if title == NONE else title,
    )
