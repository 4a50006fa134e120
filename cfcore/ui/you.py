"""You: the ratings that this visit's person has given, and the row that they make in a run's model.

The ratings live in ``st.session_state["you"]``, by data set and raw movie id, for as long as the visit; the address
carries them as ``?you=``. The row is found anew for every state of a run and set of ratings: here for dot models, which
takes milliseconds, on a worker for the networks. What each rating does is asked for after that, as work of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import streamlit as st

from cfcore import foldin
from cfcore.models import DotModel, Model
from cfcore.ratings import Ratings
from cfcore.recommend import person_among_films
from cfcore.ui import state
from cfcore.ui.recommend.exchange import Id, from_link, to_link
from cfcore.ui.recommend.facts import catalogue, n_trained, prior
from cfcore.ui.runs import Chosen
from cfcore.ui.words import sentence

FEW = 5  # ratings from which the list is mostly one's own
_MOMENT = 0.25  # seconds to wait for a worker before the page is drawn without its answer
_LESS = 0.1  # the same for what a rating does, which comes second


@dataclass(frozen=True, eq=False, kw_only=True)
class You:
    """You in a run's model: what you rated, ``item_idx`` (n,) and ``rating`` (n,), and the row that it makes.

    ``rows`` (1, a): yours; of :func:`without_each` (1 + n, a), then those without each rating. ``None`` until a worker
    has answered, or when it cannot (``problem``). ``pending`` says that a worker is still at it; what is given then is
    you as you were, where that is known.
    """

    item_idx: np.ndarray
    rating: np.ndarray
    rows: np.ndarray | None
    problem: str = ""
    pending: bool = False

    def model(self, chosen: Chosen) -> Model:
        """The run's model with you as its user 0, and after you the one without each of your ratings."""
        if self.rows is None:
            raise ValueError("your row is not known yet")
        return foldin.with_users(chosen.model, self.rows)


def ratings_of_you(dataset: str) -> dict[Id, float]:
    """The stars that you gave, by raw movie id, in the order in which you gave them."""
    return dict(st.session_state.get("you", {}).get(dataset, {}))


def rate(dataset: str, item: Id, stars: float | None) -> None:
    """Give a film stars, or take them back."""
    mine = ratings_of_you(dataset)
    mine.pop(item, None) if stars is None else mine.update({item: float(stars)})
    keep(dataset, mine)


def keep(dataset: str, mine: dict[Id, float]) -> None:
    """Keep these ratings in place of those that were there."""
    st.session_state["you"] = {**st.session_state.get("you", {}), dataset: mine}


def clear(dataset: str) -> None:
    """Remove all stars; :func:`bring_back` undoes it."""
    if ratings_of_you(dataset):  # else it is a second press
        _replace(dataset, {})


def take_link(ratings: Ratings, text: str) -> list[str]:
    """Take the ratings of a link; gives a sentence for each bad part.

    Where you have rated something already, the link's are only offered, see :func:`offered`; not even that where it
    holds nothing new, as on the way back through the browser's history.
    """
    name = ratings.about.name
    read = from_link(text, catalogue(name).by_text, ratings.scale)
    mine = ratings_of_you(name)
    if mine:
        new = read.ratings.items() - mine.items()
        st.session_state["you-offered"] = {"dataset": name, "ratings": read.ratings} if new else None
        return []
    if read.ratings:
        _replace(name, read.ratings)
    return read.told()


def offered(dataset: str) -> dict[Id, float]:
    """The ratings of a link that came when you had rated something already; empty where there are none."""
    link = st.session_state.get("you-offered")
    return dict(link["ratings"]) if link and link["dataset"] == dataset else {}


def take_offered(dataset: str) -> None:
    """Take the link's ratings in place of yours, which :func:`bring_back` brings again."""
    theirs = offered(dataset)
    if not theirs:  # a second press
        return
    _replace(dataset, theirs)
    decline(dataset)


def decline(dataset: str) -> None:
    """Forget what a link offered."""
    st.session_state["you-offered"] = None


def befores(dataset: str) -> list[dict[str, Any]]:
    """What can be brought back, the latest last: your ``ratings``, and those of a link that were ``taken`` in their
    place; none where you cleared them."""
    return [each for each in st.session_state.get("you-before") or () if each["dataset"] == dataset]


def bring_back(dataset: str, n: int) -> None:
    """The latest of the ``n`` :func:`befores` again, with the stars that you have given since."""
    kept = befores(dataset)
    if len(kept) != n:  # a second press
        return
    last = kept.pop()
    since = {item: stars for item, stars in ratings_of_you(dataset).items() if last["taken"].get(item) != stars}
    keep(dataset, {**last["ratings"], **since})
    _set_befores(dataset, kept)


def forget_before(dataset: str, n: int) -> None:
    """Bring the latest of the ``n`` :func:`befores` back no more."""
    if len(befores(dataset)) == n:  # else it is a second press
        _set_befores(dataset, befores(dataset)[:-1])


def _set_befores(dataset: str, kept: list[dict[str, Any]]) -> None:
    others = [each for each in st.session_state.get("you-before") or () if each["dataset"] != dataset]
    st.session_state["you-before"] = [*others, *kept]


def _replace(dataset: str, taken: dict[Id, float]) -> None:
    """Take these ratings in place of yours, or of those that you have just cleared, which can be brought back."""
    mine, kept = ratings_of_you(dataset), befores(dataset)
    if not mine and kept and not kept[-1]["taken"]:
        mine = kept.pop()["ratings"]
    entry = {"dataset": dataset, "ratings": mine, "taken": taken}
    if mine and mine != taken and kept[-1:] != [entry]:
        kept.append(entry)
    _set_befores(dataset, kept)  # first: a callback may be ended half-way
    keep(dataset, taken)


def address(chosen: Chosen) -> dict[str, str]:
    """The run and your ratings as an address; without the ratings where there are none, or too many."""
    text = to_link(ratings_of_you(chosen.run.request.dataset))
    return {"run": chosen.run.id, **({"you": text} if text else {})}


def you_in(chosen: Chosen, *, again: bool = False) -> You:
    """You in the run's model as it is now; ``again`` asks the worker once more after a failure."""
    dataset = chosen.run.request.dataset
    index = catalogue(dataset).index
    mine = {item: stars for item, stars in ratings_of_you(dataset).items() if item in index}
    item_idx = np.array([index[item] for item in mine], dtype=np.int64)
    rating = np.array(list(mine.values()), dtype=np.float64)
    trained = n_trained(chosen)[item_idx] > 0  # what was never trained has noise in its place
    you = You(item_idx=item_idx[trained], rating=rating[trained], rows=None)
    return _found(chosen, you, None, again)


def without_each(chosen: Chosen, you: You, *, again: bool = False) -> You:
    """You, and you without each of your ratings in turn; without rows where they are too many to be left out.

    ``you`` is what :func:`you_in` gave, with the row known and not ``pending``.
    """
    if you.rows is None or not foldin.can_leave_out(len(you.rating), net=not isinstance(chosen.model, DotModel)):
        return replace(you, rows=None)
    return _found(chosen, replace(you, rows=None), you.rows[0], again)


def your_vector(chosen: Chosen) -> np.ndarray | None:
    """Where you stand among the films (k,): your factors in a dot model, in a net the mean of the films you liked.

    ``None`` while you have rated nothing, or where the model has diverged.
    """
    if isinstance(chosen.model, DotModel):
        you = you_in(chosen)
        k = chosen.model.item_factors.shape[1]
        return None if you.rows is None or not len(you.item_idx) else you.rows[0, :k]
    index = catalogue(chosen.run.request.dataset).index
    mine = ratings_of_you(chosen.run.request.dataset)
    films = np.array([index[item] for item in mine if item in index], dtype=np.int64)
    rated = np.array([stars for item, stars in mine.items() if item in index])
    return person_among_films(chosen.arrays["item_factors"], films, rated, chosen.ratings.scale)


def key_of(chosen: Chosen, you: You, purpose: str) -> str:
    """A name for something made of these ratings and the run's model as it is now."""
    digest = hashlib.sha256(you.item_idx.tobytes() + you.rating.tobytes()).hexdigest()[:24]
    return f"{purpose}:{chosen.version}:{digest}"


def _found(chosen: Chosen, you: You, row: np.ndarray | None, again: bool) -> You:
    """``you`` with your row; where that is given as ``row`` (a,), with the one without each rating as well."""
    purpose = "you" if row is None else "you-without"
    key = key_of(chosen, you, purpose)

    def inputs() -> dict[str, Any]:
        leave_out = row is not None
        return foldin.inputs_of(chosen.model, prior(chosen), you.item_idx, you.rating, leave_out=leave_out, row=row)

    try:
        if isinstance(chosen.model, DotModel):
            return replace(you, rows=_rows_here(key, inputs))
        return _from_worker(chosen, you, purpose, key, inputs, again)
    except ValueError as refusal:
        return replace(you, problem=sentence(str(refusal)))


def _from_worker(
    chosen: Chosen, you: You, purpose: str, key: str, inputs: Callable[[], dict[str, Any]], again: bool
) -> You:
    """Your rows in a network; the last ones are kept for the visit, as workers forget old tasks."""
    last = st.session_state.get(f"{purpose}-last", {})
    if last.get("key") == key:
        return replace(you, rows=last["rows"])
    # A newer task of the same owner ends the one before: nobody waits for who you were a star ago.
    task = state.jobs().compute("fold_in", key, inputs(), again=again, owner=f"{state.visitor()}:{purpose}")
    if not task.wait(_MOMENT if purpose == "you" else _LESS):
        if purpose == "you" and last.get("run") == chosen.run.id:
            return You(item_idx=last["item_idx"], rating=last["rating"], rows=last["rows"], pending=True)
        return replace(you, pending=True)
    if task.result is None:
        return replace(you, problem=sentence(task.message))
    rows = task.result["rows"]
    last = {"run": chosen.run.id, "key": key, "item_idx": you.item_idx, "rating": you.rating, "rows": rows}
    st.session_state[f"{purpose}-last"] = last
    return replace(you, rows=rows)


@st.cache_resource(max_entries=64, show_spinner=False)
def _rows_here(key: str, _inputs: Callable[[], dict[str, Any]]) -> np.ndarray:
    return foldin.run(_inputs())["rows"]
