"""The Trajectories tab: films fly from where they began to where they ended, beside the loss.

The frames are sent once and move in the browser (``flight.js``), so that a class that plays them costs the server
nothing, and so that the motion is smooth: a page that runs again for every frame is neither.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
import streamlit.components.v2 as components

from cfcore.charts.map_style import MOST_CATEGORIES, OTHERS
from cfcore.charts.map_tables import first_group, point_sizes
from cfcore.doctor import overfitting_of
from cfcore.embeddings import Frames, trajectories
from cfcore.runs import Run, StoreError
from cfcore.training import EpochResult
from cfcore.ui import state
from cfcore.ui.explore import film
from cfcore.ui.explore.space import Learned
from cfcore.ui.explore.view import choose_component, component_title
from cfcore.ui.frame import guard
from cfcore.ui.runs import Chosen
from cfcore.ui.words import count, plain, sentence

MOST_FRAMES = 60
FILMS = (100, 300, 1000)
SECONDS = (4.0, 10.0)  # the shortest and the longest flight
SNAPSHOTS = ("snapshot_epochs", "snapshot_item_idx", "snapshot_factors")
_PART = Path(__file__).parent
_HTML = """
<div class="flight">
  <div class="controls">
    <button type="button" data-part="play"><span data-part="word">Play</span></button>
    <input type="range" min="0" step="0.01" aria-label="Epoch shown" data-part="slider">
    <output data-part="says"></output>
  </div>
  <ul data-part="legend" aria-label="Shapes and colours"></ul>
  <div class="pictures">
    <canvas class="map" role="img" data-part="map"></canvas>
    <canvas class="loss" role="img" data-part="loss"></canvas>
  </div>
</div>
"""


def flight_tab(chosen: Chosen, learned: Learned) -> None:
    """Controls and animation; one fragment, so that a change of films or axes leaves the rest of the page alone."""
    if chosen.live:
        st.info(
            "The way through the epochs can be seen when the training has ended. The map shows where it is now.",
            icon=":material/hourglass_top:",
        )
        return
    st.fragment(_draw)(chosen, learned)


def _draw(chosen: Chosen, learned: Learned) -> None:
    with guard():
        st.markdown(
            "Every film from before the first epoch to the last one, on the principal components of the **last** "
            "epoch: fitted anew for each epoch, the axes themselves would turn."
        )
        with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
            x = choose_component("Across", learned, "explore-x", 0)
            y = choose_component("Up", learned, "explore-y", 1)
            film.search_box(learned, "flight")
            n = st.segmented_control(
                "Films", FILMS, default=FILMS[1], required=True, key="flight-films", width="content"
            )
        try:
            frames = _frames(chosen, learned, (x, y))
        except (ValueError, StoreError) as problem:
            st.info(sentence(str(problem)), icon=":material/flight_takeoff:")
            return
        data = flight_data(chosen.run.history, learned, frames, n or FILMS[1])
        _component()(data=data, key="flight")
        across, up = (plain(component_title(learned, at).replace("\n", ", ")) for at in (x, y))
        st.caption(f"Across: {across}. Up: {up}. {_overfitting(chosen.run)}".strip())
        film.write_address(chosen.run.id, learned)


def flight_data(history: Sequence[EpochResult], learned: Learned, frames: Frames, n: int) -> dict[str, Any]:
    """What ``flight.js`` draws: the ``n`` best known films of ``frames``, best known first, as plain values."""
    column = {int(row): at for at, row in enumerate(learned.space.rows_of(frames.item_idx))}
    rows = [int(row) for row in learned.known if int(row) in column][:n]
    chosen = film.chosen_film(learned)
    if chosen is not None and chosen in column and chosen not in rows:
        rows.append(chosen)
    xy = frames.xy[:, [column[row] for row in rows]]  # (s, n, 2)
    names = list(learned.telling_genres[:MOST_CATEGORIES])
    facts = learned.facts
    group = first_group(facts.genres[rows], facts.genre_names, names)
    sizes = point_sizes(facts.n_ratings[rows], by_popularity=True)
    epochs = frames.epochs.tolist()
    return {
        "xy": _packed(xy),
        "epochs": epochs,
        "titles": [str(title) for title in learned.short[rows]],
        "groups": [names.index(name) if name != OTHERS else -1 for name in group],
        "names": [*names, OTHERS] if names else [],
        "radius": [round(math.sqrt(size / math.pi), 1) for size in sizes],
        "chosen": rows.index(chosen) if chosen in rows else -1,
        "speed": (len(epochs) - 1) / min(max(SECONDS[0], 0.5 * len(epochs)), SECONDS[1]),
        "loss": _loss(history),
        "said": [_said(history, epoch) for epoch in epochs],
        "alt": _alt(learned, xy, rows, epochs),
        "loss_alt": _loss_alt(history),
    }


@cache
def _component() -> Any:
    script, style = ((_PART / name).read_text(encoding="utf-8") for name in ("flight.js", "flight.css"))
    return components.component("latent_lab_flight", html=_HTML, css=style, js=script)


def _frames(chosen: Chosen, learned: Learned, axes: tuple[int, int]) -> Frames:
    arrays = state.run_arrays(chosen.run.id, *SNAPSHOTS)
    epochs, items, factors = (arrays[name] for name in SNAPSHOTS)
    shown = [*learned.known[: FILMS[-1]], film.chosen_film(learned)]  # of the others no frame is wanted
    only = learned.space.item_idx[[row for row in shown if row is not None]]
    return trajectories(learned.pca, axes, epochs, items, factors, learned.space, MOST_FRAMES, only)


def _overfitting(run: Run) -> str:
    """The run doctor's sentence where the validation loss rose again before the end."""
    found = overfitting_of(run)
    return f"{found.title}: {found.sentence[0].lower()}{found.sentence[1:]}" if found else ""


def _packed(xy: np.ndarray) -> str:
    """Positions (s, n, 2) as 16-bit shares of all the room they ever need, in base64."""
    low, high = xy.min(axis=(0, 1)), xy.max(axis=(0, 1))
    room = np.maximum(high - low, 1e-12) * 0.04
    share = (xy - low + room) / (high - low + 2 * room)
    return base64.b64encode((share * 65535).round().astype("<u2").tobytes()).decode()


def _loss(history: Sequence[EpochResult]) -> dict[str, Any]:
    usable = [each for each in history if min(each.train_loss, each.valid_loss) > 0]
    usable = [each for each in usable if math.isfinite(each.train_loss) and math.isfinite(each.valid_loss)]
    train, valid = [each.train_loss for each in usable], [each.valid_loss for each in usable]
    high, low = max([*train, *valid], default=1.0), min([*train, *valid], default=1.0)
    return {"epochs": [each.epoch for each in usable], "train": train, "valid": valid, "log": high > 10 * low}


def _said(history: Sequence[EpochResult], epoch: int) -> str:
    """The losses of an epoch, as they are read out with the slider's value."""
    found = next((each for each in history if each.epoch == epoch), None)
    return "" if found is None else f", train loss {found.train_loss:.3f}, valid loss {found.valid_loss:.3f}"


def _alt(learned: Learned, xy: np.ndarray, rows: Sequence[int], epochs: Sequence[int]) -> str:
    spread = [float(np.sqrt(frame.var(axis=0).sum())) for frame in (xy[0], xy[-1])]
    left, right = (learned.short[rows[int(at)]] for at in (xy[-1, :, 0].argmin(), xy[-1, :, 0].argmax()))
    return (
        f"Animation of {count(len(rows))} films over {len(epochs)} moments, from epoch {epochs[0]} to {epochs[-1]}. "
        f"Their spread goes from {spread[0]:.2f} to {spread[1]:.2f}. At the end {left} is farthest left, {right} right."
    )


def _loss_alt(history: Sequence[EpochResult]) -> str:
    if not history:
        return "No epoch has been recorded."
    first, last = history[0], history[-1]
    return (
        f"Line chart of the loss: train from {first.train_loss:.3f} to {last.train_loss:.3f}, "
        f"valid from {first.valid_loss:.3f} to {last.valid_loss:.3f} over {len(history)} epochs."
    )
