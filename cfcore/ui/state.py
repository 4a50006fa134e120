"""What a visit remembers, and what all visits share.

A visit keeps plain values in ``st.session_state``: who it is, the data set it chose, the settings it is drafting and
the run it looks at. All visits share the store, the queue, the ratings in memory and the downloads. Instances of our
own classes stay out of the session: an edited file reloads its module, and an old instance is then of no known class.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
from collections.abc import Callable
from typing import Any

import numpy as np
import streamlit as st

from cfcore import datasets
from cfcore.approaches import baseline_predictions
from cfcore.aside import Task
from cfcore.config import SplitConfig
from cfcore.datasets import DataError, Download
from cfcore.jobs import Jobs
from cfcore.limits import Limits
from cfcore.memory import LastUsed
from cfcore.metrics import mse
from cfcore.outcome import VECTORS
from cfcore.ratings import Ratings, Split, make_split
from cfcore.rooms import Person, Room, Rules
from cfcore.runs import RunStore
from cfcore.ui.words import sentence

CLASS = "class-joined"  # in the session: the class that this visit was last seen in, its code and its rules
GONE = "class-gone"  # in the session: the code of a class that this visit was put out of, and when that was seen
PREFERRED, FALLBACK = "ml-100k", "sample"
MOST_ARRAY_BYTES = 128e6  # of runs that people look at; a run on MovieLens 100K has about 1 MB, its snapshots 1 to 8
ARRAY_SECONDS = 120  # after the last look at them, with the next look at any
FIRST_PAGE_SECONDS = 4.0  # that a browser has the cores to itself for, after its first page has been asked for
TOKEN_BYTES = 16  # of randomness in an XSRF token, so that nobody can guess another's name
BASELINE_LIMIT = 2_000_000  # ratings: above it the page waits for the worker's baselines rather than compute them here


@st.cache_resource(show_spinner=False)
def store() -> RunStore:
    """The runs of everybody who uses this server."""
    return RunStore.open()


@st.cache_resource(show_spinner=False)
def jobs() -> Jobs:
    """The queue in front of the workers; starting it returns at once, and warms a worker up when the page is there."""
    try:
        limits = Limits.from_environment()
    except ValueError:  # every estimate says so, and refuses: nothing will be queued
        limits = Limits()
    return Jobs(store(), after=FIRST_PAGE_SECONDS, limits=limits)


def computed(kept: dict[str, Any], name: str, begin: Callable[[], Task], seconds: float = 0) -> Task:
    """The task that ``begin`` gives, awaited for so long; once it has a result, ``kept`` holds that under ``name``.

    ``kept`` is a part of this visit's session. The queue forgets what it has computed after some tasks of others, and
    would compute it again for a page that only draws itself once more.
    """
    if name in kept:
        task = Task(name)
        task.end("done", result=kept[name])
        return task
    task = begin()
    if task.wait(seconds) and task.result is not None:
        kept[name] = task.result
    return task


@st.cache_resource(max_entries=3, show_spinner="Reading the ratings")
def ratings(name: str) -> Ratings:
    """The data set ``name``, read once for all visits.

    Raises:
        DataError: it is not on disk, or cannot be read.
    """
    return datasets.load(name)


@st.cache_data(max_entries=64, show_spinner=False)
def split_sizes(name: str, split: dict[str, Any]) -> tuple[int, int]:
    """How many ratings of data set ``name`` train and validate.

    Raises:
        ValueError: the data set does not allow this split.
    """
    parts = make_split(ratings(name), SplitConfig.from_json(split))
    return len(parts.train), len(parts.valid)


@st.cache_data(max_entries=64, show_spinner=False)
def baseline_losses(name: str, split: dict[str, Any]) -> dict[str, float]:
    """The MSE of both baselines on the validation rows, by key; empty where that would hold up the page."""
    data = ratings(name)
    if len(data) > BASELINE_LIMIT:
        return {}
    parts = make_split(data, SplitConfig.from_json(split))
    truth = data.rating[parts.valid]
    return {key: mse(predictions, truth) for key, predictions in baseline_predictions(parts).items()}


@st.cache_resource(max_entries=4, show_spinner=False)
def split(name: str, split: dict[str, Any]) -> Split:
    """The parts of data set ``name``, made once for all visits.

    Raises:
        ValueError: the data set does not allow this split.
    """
    return make_split(ratings(name), SplitConfig.from_json(split))


@st.cache_resource(show_spinner=False)
def _arrays_in_memory() -> LastUsed:
    return LastUsed(MOST_ARRAY_BYTES, ARRAY_SECONDS)


def run_arrays(run_id: str, *names: str) -> dict[str, np.ndarray]:
    """The arrays of a finished run, read once for all visits; without ``names`` all but its snapshots.

    Raises:
        StoreError: it has none.
    """
    return _arrays_in_memory().get((run_id, names), lambda: store().arrays(run_id, *(names or VECTORS)))


@st.cache_resource(show_spinner=False)
def _downloads() -> dict[str, Download]:
    return {}


def download(name: str) -> Download | None:
    """The download of ``name`` that was last started on this server, by anybody."""
    return _downloads().get(name)


def start_download(name: str) -> None:
    """Start fetching ``name`` in the background, unless that is under way."""
    current = download(name)
    if current is None or current.state == "failed":
        _downloads()[name] = Download(name)
        _downloads()[name].start()


def fetch_preferred_once() -> None:
    """On a server without MovieLens 100K, try once to get it; ``CFCORE_OFFLINE=1`` prevents the attempt."""
    offline = os.environ.get("CFCORE_OFFLINE", "") not in ("", "0")
    if not offline and download(PREFERRED) is None and not datasets.on_disk(PREFERRED):
        start_download(PREFERRED)


def visitor() -> str:
    """This browser's own random name, under which its runs are stored: the same after a reload and in another tab.

    Made from the token that Streamlit gives every browser against forged requests (XSRF), as random as a password and
    sent as a cookie, never in an address. Where there is none, a visit has a name of its own until it is reloaded.
    """
    if "visitor" not in st.session_state:
        cookie = st.context.cookies.get("_streamlit_xsrf")
        name = name_of(cookie) if isinstance(cookie, str) else ""  # AppTest has a mock there
        st.session_state["visitor"] = name or secrets.token_urlsafe(12)
    return st.session_state["visitor"]


def name_of(cookie: str) -> str:
    """The name that an XSRF cookie stands for; empty where it holds no token."""
    token = token_of(cookie)
    return hashlib.sha256(b"latent-lab" + token).hexdigest()[:32] if token else ""


def token_of(cookie: str) -> bytes:
    """The token in an XSRF cookie, ``2|mask|masked token|time`` in hexadecimal: the mask changes, the token stays."""
    parts = cookie.split("|")
    try:
        mask, masked = bytes.fromhex(parts[1]), bytes.fromhex(parts[2])
    except (IndexError, ValueError):
        return b""
    token = bytes(byte ^ key for byte, key in zip(masked, itertools.cycle(mask))) if mask else b""
    return token if len(token) >= TOKEN_BYTES else b""


def classroom() -> tuple[Room, Person] | None:
    """The class that this browser has joined, and who they are there."""
    return store().rooms.of(visitor())


def rules() -> Rules | None:
    """What this browser's class trains; ``None`` outside of one, and once it is closed."""
    found = classroom()
    return found[0].rules if found and not found[0].closed else None


def dataset() -> str:
    """The data set this visit works with: its class's, else the chosen one, else MovieLens 100K, else the sample."""
    bound = rules()
    if bound is not None and datasets.on_disk(bound.dataset):
        return bound.dataset
    chosen = st.session_state.get("dataset")
    return chosen or (PREFERRED if datasets.on_disk(PREFERRED) else FALLBACK)


def choose(name: str) -> None:
    """Work with data set ``name`` from now on; in a class, which has its own, say that."""
    bound = rules()
    if bound is not None and name != bound.dataset:
        tell("Your class has a data set of its own: leave the class to work with another.")
    else:
        st.session_state["dataset"] = name


def keep_dataset() -> None:
    """Stay with the present data set: somebody who has begun to work must not find other data under their settings."""
    if rules() is None:
        choose(dataset())


def chosen_ratings() -> Ratings:
    """The ratings this visit works with; falls back to the sample, and says so, when they have gone."""
    name = dataset()
    try:
        return ratings(name)
    except DataError as problem:
        tell(f"{sentence(str(problem))} Until then this is the simulated sample.")
        choose(FALLBACK)
        return ratings(FALLBACK)


def box() -> dict[str, Any]:
    """Where :func:`keep` may put something; fetched before a callback does what cannot be taken back.

    Where another press waits, Streamlit ends a callback at its next look at the session, and at every one after that.
    """
    return st.session_state.setdefault("kept", {})


def keep(box: dict[str, Any], key: str, value: Any) -> None:
    """Put something into the session; where that ends the callback, the next page does it."""
    box[key] = value
    st.session_state[key] = value
    del box[key]


def take_kept() -> None:
    """Put into the session what callbacks that were ended have kept for it."""
    kept = box()
    for key in list(kept):
        st.session_state[key] = kept.pop(key)


def tell(sentence: str) -> None:
    """Show ``sentence`` at the top of the page, once."""
    st.session_state.setdefault("to_tell", []).append(sentence)


def told() -> list[str]:
    """What was told since the last page; reading it empties it."""
    return st.session_state.pop("to_tell", [])


def address() -> dict[str, str]:
    """What of this module belongs in the address: the data set, where it was chosen from the catalogue."""
    chosen = dataset() if rules() else st.session_state.get("dataset")
    return {"dataset": chosen} if chosen is not None and chosen in datasets.SOURCES else {}


def write_address(params: dict[str, str]) -> None:
    """Put ``params`` and the data set into the address, in place of what it says, so that a link opens the same."""
    params = params | address()
    if st.query_params.to_dict() != params:
        st.query_params.from_dict(params)
