"""You: the ratings that this visit's person has given, and the row that they make in a run's model.

The ratings live in ``st.session_state["you"]``, by data set and raw movie id, for as long as the visit; the address
carries them as ``?you=``. The row is found anew for every run, epoch and set of ratings: here for dot models, which
takes milliseconds, on a worker for the networks.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import streamlit as st

from cfcore import foldin
from cfcore.models import DotModel, Model
from cfcore.ratings import Ratings
from cfcore.recommend import liked_by
from cfcore.ui import state
from cfcore.ui.recommend_exchange import Id, from_link, to_link
from cfcore.ui.recommend_facts import catalogue, n_trained, prior
from cfcore.ui.runs import Chosen
from cfcore.ui.words import sentence

FEW = 5  # ratings from which the list is mostly one's own
_MOMENT = 0.25  # seconds to wait for a worker before the page is drawn without its answer


@dataclass(frozen=True, eq=False, kw_only=True)
class You:
    """You in a run's model: what you rated, ``item_idx`` (n,) and ``rating`` (n,), and the row that it makes.

    ``rows`` (1 or 1 + n, a): yours, then the one without each rating, where these are known; ``None`` until a worker
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


def take_link(ratings: Ratings, text: str) -> list[str]:
    """Take the ratings of a link, unless you have rated something already; gives a sentence for each bad part."""
    name = ratings.about.name
    if ratings_of_you(name):  # on the way back through the browser's history: the address is of a moment ago
        return []
    read = from_link(text, catalogue(name).by_text, ratings.scale)
    keep(name, read.ratings)
    return read.told()


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
    item_idx, rating = item_idx[trained], rating[trained]
    try:
        if isinstance(chosen.model, DotModel):
            key = _key(chosen, item_idx, rating)
            return You(item_idx=item_idx, rating=rating, rows=_rows_here(key, chosen, item_idx, rating))
        return _from_worker(chosen, item_idx, rating, again)
    except ValueError as refusal:
        return You(item_idx=item_idx, rating=rating, rows=None, problem=sentence(str(refusal)))


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
    liked = liked_by(films, rated, chosen.ratings.scale)
    vectors = chosen.arrays["item_factors"][liked].astype(np.float64)
    vectors = vectors[np.isfinite(vectors).all(axis=1)]
    return vectors.mean(axis=0) if len(vectors) else None


def _key(chosen: Chosen, item_idx: np.ndarray, rating: np.ndarray) -> str:
    digest = hashlib.sha256(item_idx.tobytes() + rating.tobytes()).hexdigest()[:24]
    return f"you:{chosen.run.id}:{chosen.epoch}:{digest}"


def _from_worker(chosen: Chosen, item_idx: np.ndarray, rating: np.ndarray, again: bool) -> You:
    """Your row in a network; the last one is kept for the visit, as workers forget old tasks."""
    key = _key(chosen, item_idx, rating)
    last = st.session_state.get("you-last", {})
    if last.get("key") == key:
        return You(item_idx=item_idx, rating=rating, rows=last["rows"])
    inputs = foldin.inputs_of(chosen.model, prior(chosen), item_idx, rating)
    task = state.jobs().compute("fold_in", key, inputs, again=again)
    if not task.wait(_MOMENT):
        if last.get("run") == chosen.run.id:
            return You(item_idx=last["item_idx"], rating=last["rating"], rows=last["rows"], pending=True)
        return You(item_idx=item_idx, rating=rating, rows=None, pending=True)
    if task.result is None:
        return You(item_idx=item_idx, rating=rating, rows=None, problem=sentence(task.message))
    rows = task.result["rows"]
    last = {"run": chosen.run.id, "key": key, "item_idx": item_idx, "rating": rating, "rows": rows}
    st.session_state["you-last"] = last
    return You(item_idx=item_idx, rating=rating, rows=rows)


@st.cache_resource(max_entries=64, show_spinner=False)
def _rows_here(key: str, _chosen: Chosen, _item_idx: np.ndarray, _rating: np.ndarray) -> np.ndarray:
    return foldin.run(foldin.inputs_of(_chosen.model, prior(_chosen), _item_idx, _rating))["rows"]
