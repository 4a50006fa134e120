"""Where every film stands: on two principal components, on an axis of the reader's own, or by t-SNE."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from cfcore.charts.film_map import MAP_HEIGHT
from cfcore.embeddings import Axis, describe_axis, line_between
from cfcore.ui import state
from cfcore.ui.explore.space import Learned
from cfcore.ui.frame import guard
from cfcore.ui.runs import Chosen
from cfcore.ui.words import percent, sentence

PCA, OWN, TSNE = "PCA", "Own axis", "t-SNE"
PERPLEXITIES = (5, 15, 30, 50)
SEED = 42
LOOK_SECONDS = 0.5
STAGE_HEIGHT = MAP_HEIGHT + 56  # pixels: the bar above the map included
_NUMBER = re.compile(r"PC(\d+)")


@dataclass(frozen=True, eq=False, kw_only=True)
class View:
    """``xy`` (m, 2) places the films; ``name`` tells this pair of axes from others.

    ``titles`` stand at the axes, in a line or two, and ``axes`` say what they follow (``None`` where an axis means
    nothing). ``place`` puts other vectors (n, k) on the same axes (n, 2), where that is possible. ``held`` is the share
    of the variance that the picture shows, where it is one of the two.
    """

    name: str
    xy: np.ndarray
    titles: tuple[str, str]
    axes: tuple[Axis, Axis] | None
    place: Callable[[np.ndarray], np.ndarray] | None
    held: float | None = None


def choose_view(chosen: Chosen, learned: Learned, stage: DeltaGenerator) -> View | None:
    """The controls of the axes and the view that they make; while there is none, ``stage`` says what is missing."""
    kind = st.segmented_control(
        "Axes",
        [PCA, OWN, TSNE],
        default=PCA,
        required=True,
        key="explore-axes",
        persist_state="session",
        help="Principal components show where the films differ most. An axis of your own runs from some films to "
        "others. t-SNE keeps neighbours together and gives up directions.",
    )
    if kind == OWN:
        return _own(learned, stage)
    if kind == TSNE:
        return _tsne(chosen, learned, stage)
    x = choose_component("Across", learned, "explore-x", 0)
    y = choose_component("Up", learned, "explore-y", 1)
    return components(learned, x, y)


def components(learned: Learned, x: int, y: int) -> View:
    """The films on components ``x`` and ``y``, which count from 0."""
    pca = learned.pca
    return View(
        name=f"pc{x + 1}-{y + 1}",
        xy=pca.scores[:, [x, y]],
        titles=(component_title(learned, x), component_title(learned, y)),
        axes=(learned.axes[x], learned.axes[y]),
        place=lambda vectors: (vectors - pca.mean) @ pca.components[[x, y]].T,
        held=float(pca.shares[[x, y]].sum()) if x != y else float(pca.shares[x]),
    )


def component_title(learned: Learned, at: int) -> str:
    """A component's share of the variance and, on a line of its own, what it follows where it does."""
    name, share = f"PC{at + 1}", percent(float(learned.pca.shares[at]))
    follows = said(learned.axes[at], name).removeprefix(name).strip()
    return f"{name} · {share} of the variance" + (f"\n{follows}" if follows else "")


def said(axis: Axis, name: str) -> str:
    """The strongest thing that an axis follows, in a few words; only its name where it follows nothing known."""
    if not axis.follows:
        return name
    what, r = axis.follows[0]
    return f"{name} {'follows' if r > 0 else 'runs against'} {what}, r = {r:.2f}".replace("-", "−")


def choose_component(label: str, learned: Learned, key: str, default: int) -> int:
    """A component, counted from 0. The texts change while a run trains: only the number in them is kept."""
    n = len(learned.axes)
    at = min(st.session_state.get(key, default), n - 1)  # another run may have fewer factors
    texts = [_option(learned, each) for each in range(n)]
    widget = f"{key}:widget"
    st.session_state[widget] = texts[at]

    def take() -> None:
        number = _NUMBER.match(str(st.session_state[widget]))
        if number:
            st.session_state[key] = int(number[1]) - 1

    st.selectbox(label, texts, key=widget, on_change=take)
    return at


def _option(learned: Learned, at: int) -> str:
    name, share = f"PC{at + 1}", percent(float(learned.pca.shares[at]))
    follows = said(learned.axes[at], name).removeprefix(name).strip()
    return f"{name} · {share}" + (f" · {follows}" if follows else "")


def _own(learned: Learned, stage: DeltaGenerator) -> View | None:
    """An axis from one set of films to another, with a component upwards."""
    rows = [_end(learned, "From", "explore-from"), _end(learned, "To", "explore-to")]
    y = choose_component("Up", learned, "explore-own-y", 0)
    if not all(rows):
        with _instead(stage):
            st.markdown(
                ":material/linear_scale: Choose a film or more for each end: every film is then placed on the line "
                "between them, by all its factors."
            )
        return None
    vectors, pca = learned.space.vectors, learned.pca
    try:
        x = line_between(vectors, rows[0], rows[1])
    except ValueError as problem:
        with _instead(stage):
            st.warning(sentence(str(problem)), icon=":material/swap_horiz:")
        return None
    axis = describe_axis(x, learned.facts, "This axis", learned.known[: max(100, len(learned) // 2)])
    ends = [str(learned.short[each[0]]) + (f" + {len(each) - 1}" if len(each) > 1 else "") for each in rows]

    def place(others: np.ndarray) -> np.ndarray:
        together = line_between(np.concatenate([vectors, others]), rows[0], rows[1])[len(vectors) :]
        return np.column_stack([together, (others - pca.mean) @ pca.components[y]])

    return View(
        name=f"own-{rows}-{y + 1}",
        xy=np.column_stack([x, pca.scores[:, y]]),
        titles=(f"from {ends[0]} (0)\nto {ends[1]} (1)", component_title(learned, y)),
        axes=(axis, learned.axes[y]),
        place=place,
    )


def _end(learned: Learned, label: str, key: str) -> list[int]:
    """The films at one end, as rows."""
    if key in st.session_state:  # another run may know other films
        st.session_state[key] = [text for text in st.session_state[key] if text in learned.offered]
    texts = st.multiselect(
        label,
        learned.offered,
        key=key,
        persist_state="session",
        placeholder="One film or more",
        filter_mode="contains",
        select_all=False,
    )
    return [learned.options[text] for text in texts]


def _tsne(chosen: Chosen, learned: Learned, stage: DeltaGenerator) -> View | None:
    perplexity = st.select_slider(
        "Perplexity",
        PERPLEXITIES,
        value=30,
        key="explore-perplexity",
        persist_state="session",
        help="About how many neighbours each film tries to keep close.",
    )
    if chosen.live:
        with _instead(stage):
            st.info("t-SNE takes a while: it can be had when the training has ended.", icon=":material/hourglass_top:")
        return None
    key = f"tsne:{chosen.run.id}:{perplexity}"
    inputs = {"vectors": learned.space.vectors, "perplexity": perplexity, "seed": SEED}
    task = state.jobs().compute("tsne", key, inputs)
    if task.state == "failed":

        def again() -> None:
            state.jobs().compute("tsne", key, inputs, again=True)

        with _instead(stage):
            st.error(sentence(task.message), icon=":material/error:")
            st.button("Try again", icon=":material/refresh:", on_click=again)
        return None
    if task.state != "done" or task.result is None:
        with _instead(stage):
            st.fragment(_watch, run_every=LOOK_SECONDS)(key, inputs)
        return None
    return View(
        name=f"tsne-{perplexity}",
        xy=np.asarray(task.result["xy"], dtype=np.float64),
        titles=("t-SNE: only who is near whom means something", ""),
        axes=None,
        place=None,
    )


def _instead(stage: DeltaGenerator) -> DeltaGenerator:
    """A place as high as the map, for what stands there instead of it."""
    return stage.container(height=STAGE_HEIGHT, border=True, vertical_alignment="center", key="no-map")


def _watch(key: str, inputs: dict) -> None:
    """The progress of a t-SNE; the whole page runs once more at its end."""
    with guard():
        task = state.jobs().compute("tsne", key, inputs)
        if task.state in ("done", "failed"):
            st.rerun()
        words = "Placing the films" if task.state == "running" else "Waiting for a worker"
        st.progress(task.progress, text=f"{words}: {task.progress:.0%}")
