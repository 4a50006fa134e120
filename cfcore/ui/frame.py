"""What every page has around it: the menu, the data set in use, the title with its question, and the notices.

``with page(title, question) as ratings:`` is the first statement of every page. Inside it an unexpected error becomes
a calm sentence for the reader and a traceback in the server's log.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import streamlit as st
import streamlit.components.v2 as components
from PIL import Image
from streamlit.runtime.scriptrunner import get_script_run_ctx

from cfcore import datasets
from cfcore.datasets import SOURCES
from cfcore.ratings import Ratings
from cfcore.runs import StoreError
from cfcore.ui import state
from cfcore.ui.downloads import let_files_last
from cfcore.ui.reruns import hear_runs_out
from cfcore.ui.words import count, plain, sentence

log = logging.getLogger(__name__)

FAILED = (
    "Something went wrong on this page. Reload it to try again; your runs are kept. "
    "If it happens again, the server's log has the details."
)
UPDATED = (
    "Something went wrong on this page: the app's files were changed while it was running, and the old and the new "
    "do not go together. Whoever runs the server should start it again. Your runs are kept."
)

GONE_SECONDS = 60.0  # for which somebody is told that they are in a class no more: pages are drawn often
CLASS_SECONDS = 5.0  # between two looks whether the teacher has changed what the class trains
FAILED_SECONDS = 5.0  # between two looks whether workers are back, which is how often they are tried

MENU = (
    ("app.py", "Home", ":material/home:"),
    ("pages/learn.py", "Learn", ":material/school:"),
    ("pages/data.py", "Data", ":material/table_view:"),
    ("pages/train.py", "Train", ":material/model_training:"),
    ("pages/compare.py", "Compare", ":material/compare_arrows:"),
    ("pages/explore.py", "Explore", ":material/bubble_chart:"),
    ("pages/recommend.py", "Recommend", ":material/thumb_up:"),
    ("pages/classroom.py", "Class", ":material/groups:"),
)


@contextmanager
def page(title: str, question: str) -> Iterator[Ratings]:
    """Set up a page: ``question`` says in one sentence what it answers. Gives the ratings this visit works with."""
    ratings = news = None
    with guard():
        begun = _begin(title, question)
        news = st.container()  # what comes and goes has one place: else all below it would be built anew each time
        with news:
            _notices()
        ratings = begun
    if ratings is None or news is None:
        st.stop()
    with guard():
        yield ratings
        with news:  # last, so that what the page itself has to tell stands here too
            for told in state.told():
                st.warning(told, icon=":material/info:")


def _begin(title: str, question: str) -> Ratings:
    st.set_page_config(page_title=f"{title} · Latent Lab", page_icon=_icon(), layout="wide")
    st.session_state["arrived"] = _arrived(title)
    let_files_last()
    hear_runs_out()
    state.take_kept()
    state.visitor()
    state.fetch_preferred_once()
    state.jobs()  # so that a worker is warm by the time somebody presses Train
    if st.session_state["arrived"]:
        _dataset_from_link()
    ratings = state.chosen_ratings()
    _menu(ratings)
    st.title(title, anchor=False)
    st.markdown(question)
    return ratings


@cache
def _address() -> Any:
    """What keeps the browser's history to pages: see ``address.js``."""
    script = Path(__file__).with_name("address.js").read_text(encoding="utf-8")
    return components.component("latent_lab_address", js=script)


def _icon() -> Image.Image:
    """A small rating matrix with holes, 64 x 64 pixels; drawn here, as a named icon would be fetched from the net."""
    blue, pale, white = (0, 114, 178), (156, 200, 230), (255, 255, 255)
    cells = np.array([[blue, white, pale], [white, blue, white], [pale, white, blue]], dtype=np.uint8)
    large = np.kron(cells, np.ones((20, 20, 1), dtype=np.uint8))
    return Image.fromarray(np.pad(large, ((2, 2), (2, 2), (0, 0)), constant_values=255))


@contextmanager
def guard() -> Iterator[None]:
    """Turn an unexpected error into a sentence; fragments need their own, because they run again outside the page's."""
    try:
        yield
    except StoreError as problem:  # in words that are meant for the person
        log.exception("the run store failed")
        st.error(sentence(str(problem)), icon=":material/error:")
    except Exception:  # the outermost boundary: whatever went wrong is logged in full, and a person sees a sentence
        log.exception("the page failed")
        st.error(UPDATED if changed_since_start() else FAILED, icon=":material/error:")


def changed_since_start(folder: Path = Path(__file__).parents[1]) -> bool:
    """Whether a file of the app is newer than this process, which then has old objects and new code side by side."""
    newest = max(path.stat().st_mtime for path in folder.rglob("*.py"))
    return newest > psutil.Process().create_time()


def arrived() -> bool:
    """Whether the reader has just come to this page, by a link, the menu or the browser's back button.

    Only then is the address read. On every other run it is only written: the browser may still be sending the address
    of a moment ago, and reading it would undo what the person has just changed.
    """
    return bool(st.session_state.get("arrived"))


def _arrived(title: str) -> bool:
    before = st.session_state.get("page")
    st.session_state["page"] = title
    return before != title or bool(getattr(get_script_run_ctx(), "is_history_navigation", False))


def _dataset_from_link() -> None:
    name = st.query_params.get("dataset")
    if name is None or name == state.dataset() or state.rules():
        return
    if name not in SOURCES:
        state.tell(
            f"The link asks for a data set that is not known here, {plain(name[:40])}; this one is used instead."
        )
    elif not datasets.on_disk(name):
        title = plain(SOURCES[name].title)
        state.tell(f"The link asks for {title}, which is not on this computer yet: the Data page can download it.")
    else:
        state.choose(name)


def _menu(ratings: Ratings) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown("**Latent Lab**", width="content")
        joined = state.classroom()
        for path, label, icon in MENU:
            mine = f" {joined[0].code}" if joined and label == "Class" else ""
            st.page_link(path, label=f"{label}{mine}", icon=icon)
        _address()(key="address", width=1, height=1)  # shows nothing: before the free space, where it moves nothing
        st.space("stretch")
        with st.container(horizontal=True, vertical_alignment="center", gap="small", width="content"):
            if ratings.about.simulated:
                st.badge("simulated", icon=":material/science:", color="orange")
            st.markdown(
                f":material/database: {plain(ratings.about.title)} · {count(len(ratings))} ratings", width="content"
            )


def _notices() -> None:
    status = state.jobs().status()
    if status.state == "failed":
        st.error(f"No worker can train at the moment. {sentence(status.message)}", icon=":material/error:")
        draw_when(lambda: state.jobs().status().state != "failed", every=FAILED_SECONDS)  # it may be back
    notice = state.store().notice()
    if notice:
        st.warning(sentence(notice), icon=":material/save:")
    _class_notice()
    _download_notice()


def _class_notice() -> None:
    """Draw the page anew when a teacher changes the class of this visit, and say it when that is gone."""
    joined = state.classroom()
    before = st.session_state.get(state.CLASS, {})
    now = {"code": joined[0].code, "rules": joined[0].rules.to_json()} if joined else {}
    st.session_state[state.CLASS] = now
    if before and now and before["code"] == now["code"] and before["rules"] != now["rules"]:
        state.tell("Your teacher has changed what this class trains: the Class page says what that is now.")
    if before and not now:
        st.session_state[state.GONE] = before["code"], time.monotonic()
    code, since = st.session_state.get(state.GONE, ("", -math.inf))
    if not now and time.monotonic() - since < GONE_SECONDS:
        st.info(
            f"You are no longer in class {code}: its teacher has deleted it or taken you out, or you left it "
            "in another window. Your runs are kept: the Compare page lists them.",
            icon=":material/groups:",
        )
    if joined:
        draw_when(lambda: state.classroom() != joined, every=CLASS_SECONDS)


def _download_notice() -> None:
    """The state of the first download of MovieLens 100K; downloads somebody asked for are shown on the Data page."""
    name = state.PREFERRED
    current = state.download(name)
    if current is None:
        return
    title = SOURCES[name].title
    if current.state in ("waiting", "running"):
        st.fragment(_watch_download, run_every=1.0)(name)
    elif current.state == "failed" and state.dataset() == state.FALLBACK:
        with st.container(horizontal=True, vertical_alignment="center"):
            reason = plain(current.message.rstrip("."))
            words = f"{title} could not be fetched, so this is the simulated sample ({reason})."
            st.warning(words, icon=":material/wifi_off:", width="stretch")
            st.button("Try again", icon=":material/refresh:", on_click=state.start_download, args=(name,))
    elif current.state == "done" and state.dataset() != name and not st.session_state.get("offered"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.info(f"{title} is ready.", icon=":material/download_done:", width="stretch")
            st.button("Use it", type="primary", on_click=_accept, args=(name,))
            st.button("Stay", on_click=_decline)


def _watch_download(name: str) -> None:
    with guard():
        current = state.download(name)
        if current is None or current.state not in ("waiting", "running"):
            st.rerun()
        show_download(name, "Until it is here, this is the simulated sample.")


def show_download(name: str, also: str = "") -> None:
    """A progress bar for the download of ``name``."""
    current = state.download(name)
    if current is None:
        return
    done, total = current.done_bytes / 1e6, (current.total_bytes or 0) / 1e6 or SOURCES[name].size_mb
    share = min(done / total, 1.0) if total else 0.0
    st.progress(share, text=f"Downloading {SOURCES[name].title}: {done:.1f} of {total:.1f} MB. {also}")


def draw_when(known: Callable[[], bool], every: float = 0.5) -> None:
    """Look every so many seconds whether what a worker is at has become ``known``, and run the page once more then."""
    st.fragment(_look, run_every=every)(known)


def _look(known: Callable[[], bool]) -> None:
    with guard():
        if known():
            st.rerun()


def _accept(name: str) -> None:
    state.choose(name)
    _decline()


def _decline() -> None:
    st.session_state["offered"] = True
