"""Lesson 1: two numbers for each person and film, whose products fill a corner of the matrix; by hand, then by descent.

The worker computes the next hundred steps at once, with the loss of the from-scratch lesson; ``guess.js`` shows them.
It says where it has stopped and which number was changed by hand, and the next hundred begin there.
"""

from __future__ import annotations

import hashlib
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
import streamlit.components.v2 as components

from cfcore.charts.labels import short_title
from cfcore.charts.scales import round_up
from cfcore.lessons.corner import N_FACTORS, Corner, mse_of, pick_corner, start
from cfcore.ratings import Ratings
from cfcore.ui import state
from cfcore.ui.components import how_many
from cfcore.ui.frame import guard
from cfcore.ui.learn.ask import quick
from cfcore.ui.learn.state import aha, hidden, memory
from cfcore.ui.words import error, number

HIDEABLE = {
    "factors": "The slider that changes a factor",
    "rate": "The learning rate of the corner",
    "descent": "The buttons of gradient descent",
    "corner": "Another corner",
}
STEPS = 100  # computed at a time
KEY = "learn-corner"
_KNOWN = 0.25  # of the variance of the ratings: with a loss below it they are learned by heart, not yet with one above
_PART = Path(__file__).parent
_HTML = """
<div class="corner">
  <div class="controls" data-part="descent">
    <button type="button" data-part="play" class="main" disabled>Play 100 steps</button>
    <button type="button" data-part="ten" disabled>10 steps</button>
    <button type="button" data-part="one" disabled>1 step</button>
    <button type="button" data-part="reset">Reset</button>
    <label data-part="rates">Learning rate <select data-part="rate"></select></label>
  </div>
  <output data-part="says"></output>
  <div class="both">
    <div class="scroll"><table data-part="table"></table></div>
    <div class="side">
      <label class="edit" data-part="edit"><span data-part="which"></span>
        <input type="range" data-part="slider"></label>
      <svg data-part="curve" role="img"></svg>
    </div>
  </div>
</div>
"""


def lesson(ratings: Ratings) -> None:
    """The corner with its controls; one fragment, so that a step leaves the rest of the page alone."""
    st.fragment(_draw)(ratings)


def _draw(ratings: Ratings) -> None:
    with guard():
        kept = memory("guess", number=0)
        corner = _corner(ratings.about.name, kept["number"])
        begin(kept, corner, ratings.scale)
        st.markdown(
            "Every person and every film gets two numbers, their **factors**. A prediction is their dot product: first "
            f"times first plus second times second. {_to_do(corner)}"
        )
        picture = st.container()
        _compute(kept, corner)  # what keeps the steps away is said below the picture
        with picture:
            _component()(data=guess_data(ratings, corner, kept), key=KEY, on_moved_change=_take)
            st.caption(
                "In each cell the prediction, under it the rating that was given. Ratings in brackets are kept back: "
                "descent never sees them. Empty cells are holes, which get a prediction all the same."
            )
        _say(kept, corner)
        if not hidden("corner"):
            st.button("Another corner", icon=":material/casino:", key="learn:corner", on_click=_another)


def _to_do(corner: Corner) -> str:
    """What one can do here, without what a teacher has hidden."""
    by_hand = (
        f"Choose one of the {_n_numbers(corner)} grey numbers and move its slider: a whole row or column follows."
        if not hidden("factors")
        else ""
    )
    descent = (
        "Gradient descent moves all of them at once, each against its own gradient." if not hidden("descent") else ""
    )
    return " ".join(part for part in (by_hand, descent) if part)


def begin(kept: dict[str, Any], corner: Corner, scale: tuple[float, float]) -> None:
    """Start at random factors, unless ``kept`` holds some: ``U`` (u, 2), ``V`` (m, 2) and the ``losses`` so far.

    Also kept: the side, row and column of the number that is ``chosen`` for the slider; the ``descent``, its rate and
    the step at which it began; ``by_hand``, the loss before and after a number was changed by hand, until the next
    step; the ``frames`` of the worker, if they are there; and the ``base``, which names the factors and the rate that
    the browser shows.
    """
    kept.setdefault("rate", rates(scale)[2])
    kept.setdefault("chosen", ["U", 0, 0])
    if "U" not in kept:
        U, V = start(corner, kept["number"])
        kept |= {"U": U, "V": V, "losses": [], "frames": None, "by_hand": None}
        kept["descent"] = {"rate": None, "begun": 0}
        _note(kept, corner)


def rates(scale: tuple[float, float]) -> list[float]:
    """Learning rates from careful to too high: the larger the ratings, the steeper the loss, the smaller the rates.

    Below 1 it is no flatter: the factors begin between 0 and 1 whatever the ratings are.
    """
    usual = float(f"{1 / max(1, *map(abs, scale)):.1g}")
    return [float(f"{usual * factor:.3g}") for factor in (0.1, 0.3, 1, 3, 10)]


def move(kept: dict[str, Any], corner: Corner, told: dict[str, Any]) -> None:
    """Take over what the browser has told: how many steps it has shown, a number changed by hand, another rate."""
    if told.get("reset"):
        for name in ("U", "V"):
            kept.pop(name, None)  # so that it begins anew
        return
    if told.get("base") != kept["base"]:
        return  # of a picture that is gone
    kept["base"] = ""  # taken over: the same message once more, as when a run of the page is cut short, moves nothing
    frames = kept["frames"] or _still(kept)
    at = min(max(int(told["at"]), 0), len(frames["U"]) - 1)
    kept["chosen"] = told.get("chosen", kept["chosen"])
    if at and (kept["by_hand"] or kept["descent"]["rate"] != kept["rate"]):
        kept["descent"] = {"rate": kept["rate"], "begun": len(kept["losses"]) - 1}
    if at:
        kept["by_hand"] = None
    kept["U"], kept["V"] = frames["U"][at], frames["V"][at]
    kept["losses"] = kept["losses"] + frames["losses"][1 : at + 1]
    gone = kept["frames"] is None or told.get("edit") or told.get("rate")
    kept["frames"] = None if gone else _rest(frames, at)
    if told.get("edit"):
        side, row, factor, value = told["edit"]
        if side in ("U", "V") and math.isfinite(value):
            kept[side] = kept[side].copy()
            kept[side][int(row), int(factor)] = value
            before = kept["losses"].pop()[0]  # no step: the point moves
            _note(kept, corner)
            kept["by_hand"] = (before, kept["losses"][-1][0])
    if told.get("rate"):
        kept["rate"] = float(told["rate"])


def guess_data(ratings: Ratings, corner: Corner, kept: dict[str, Any]) -> dict[str, Any]:
    """What ``guess.js`` draws: names, ratings, and the frames from here on, at least the one that is now."""
    frames = kept["frames"] or _still(kept)
    low, high = ratings.scale
    titles = [short_title(str(ratings.items.title[item]), 24) for item in corner.item_idx]
    given = [
        [float(f"{value:.6g}") if math.isfinite(value) else None for value in row] for row in corner.rating.tolist()
    ]
    return {
        "corner": f"{ratings.about.name}:{kept['number']}",
        "base": kept["base"],
        "users": [_short(ratings.users.user_id[user]) for user in corner.user_idx],
        "films": titles,
        "ratings": given,
        "kept_back": corner.hidden.tolist(),
        "scale": [low, high],
        "reach": round_up(1.4 * math.sqrt(max(abs(low), abs(high)))),
        "U": frames["U"].round(4).tolist(),
        "V": frames["V"].round(4).tolist(),
        "P": frames["predictions"].round(4).tolist(),
        "losses": frames["losses"],
        "before": kept["losses"][:-1],
        "ready": kept["frames"] is not None,
        "diverged": bool(frames["diverged"]),
        "rate": kept["rate"],
        "rates": [[rate, number(rate)] for rate in rates(ratings.scale)],
        "chosen": kept["chosen"],
        "hide": [name for name in HIDEABLE if hidden(name)],
    }


@cache
def _component() -> Any:
    script, style = ((_PART / name).read_text(encoding="utf-8") for name in ("guess.js", "guess.css"))
    return components.component("latent_lab_guess", html=_HTML, css=style, js=script)


@st.cache_resource(max_entries=32, show_spinner=False)
def _corner(dataset: str, number: int) -> Corner:
    return pick_corner(state.ratings(dataset), number)


def _compute(kept: dict[str, Any], corner: Corner) -> None:
    """Ask the worker for the steps from here on; what is left of those before lasts until they are here."""
    users, movies = np.nonzero(corner.given)
    inputs = {"what": "descend", "users": users, "movies": movies, "ratings": corner.rating[users, movies]}
    inputs |= {"U": kept["U"], "V": kept["V"], "rate": kept["rate"], "steps": STEPS}
    values = (np.asarray(inputs[name], float).tobytes() for name in sorted(inputs) if name != "what")
    kept["base"] = hashlib.sha256(b"".join(values)).hexdigest()[:24]
    if kept["frames"] is not None and kept["frames"]["base"] == kept["base"]:
        return
    found = quick("guess", f"descend:{kept['base']}", inputs)
    if found is not None:
        kept["frames"] = {**found, "base": kept["base"], "losses": _losses(found["predictions"], corner)}


def _rest(frames: dict[str, Any], at: int) -> dict[str, Any]:
    """The frames from ``at`` on."""
    return {**frames, **{name: frames[name][at:] for name in ("U", "V", "predictions", "losses")}, "base": ""}


def _losses(predictions: np.ndarray, corner: Corner) -> list[list[float | None]]:
    """The loss of the given and of the hidden ratings in every frame of ``predictions`` (s, u, m)."""
    return [[mse_of(frame, corner, which) for which in (corner.given, corner.hidden)] for frame in predictions]


def _still(kept: dict[str, Any]) -> dict[str, Any]:
    """The one frame that needs no worker."""
    U, V = kept["U"], kept["V"]
    frame = {"U": U[None], "V": V[None], "predictions": (U @ V.T)[None], "losses": kept["losses"][-1:]}
    return {**frame, "diverged": False}


def _note(kept: dict[str, Any], corner: Corner) -> None:
    kept["losses"] = kept["losses"] + _losses((kept["U"] @ kept["V"].T)[None], corner)


def _take() -> None:
    told = st.session_state[KEY].get("moved")
    kept = memory("guess", number=0)
    if told:
        move(kept, _corner(state.dataset(), kept["number"]), told)


def _another() -> None:
    kept = memory("guess", number=0)
    kept["number"] += 1
    kept.pop("chosen", None)
    move(kept, _corner(state.dataset(), kept["number"]), {"reset": True})


def said(kept: dict[str, Any], corner: Corner) -> str:
    """What the last descent has done, or a number changed by hand after it, with its numbers."""
    if kept["by_hand"]:
        before, after = kept["by_hand"]
        return (
            f"One number changed by hand has taken the loss from {error(before)} to {error(after)}; descent has taken "
            "no step since."
        )
    begun, rate = kept["descent"]["begun"], kept["descent"]["rate"]
    first, (now, back) = kept["losses"][begun][0], kept["losses"][-1]
    steps = f"{how_many(len(kept['losses']) - 1 - begun, 'step', 'steps')} at a rate of {number(rate)}"
    if _rose(kept):
        return f"In {steps} the loss rose from {error(first)} to {error(now)}: each jumps too far."
    text = f"In {steps} the loss has gone from {error(first)} to {error(now)}, and nobody said what the numbers mean."
    if back is None:
        return text
    text += f" On the {how_many(int(corner.hidden.sum()), 'rating', 'ratings')} kept back it is {error(back)}"
    by_heart = now < _KNOWN * np.var(corner.rating[corner.given]) and back > 2 * now
    if not by_heart:
        return f"{text}, though descent never saw them." if back <= 2 * now else f"{text}."
    return (
        f"{text}: {_n_numbers(corner)} numbers can learn {int(corner.given.sum())} ratings by heart. To predict new "
        "ones takes far more ratings than numbers."
    )


def _rose(kept: dict[str, Any]) -> bool:
    """Whether the last descent ended above where it began."""
    return kept["losses"][-1][0] > kept["losses"][kept["descent"]["begun"]][0]


def _say(kept: dict[str, Any], corner: Corner) -> None:
    if len(kept["losses"]) > 1:
        words = said(kept, corner)
        if _rose(kept) and not kept["by_hand"]:
            st.warning(words, icon=":material/trending_up:")
        else:
            aha(words)
        return
    now = kept["losses"][0][0]
    st.markdown(
        f"Before any step the {_n_numbers(corner)} numbers miss {int(corner.given.sum())} ratings by "
        f"{error(math.sqrt(now))}: the root of the loss, **{error(now)}**, which is the mean of the squares."
    )


def _n_numbers(corner: Corner) -> int:
    return N_FACTORS * sum(corner.rating.shape)


def _short(user_id: object) -> str:
    text = str(user_id)
    return text if len(text) <= 8 else f"{text[:7]}…"
