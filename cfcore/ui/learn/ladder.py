"""Lesson 5: one model in four versions, each with one part more; what each brings, and what the biases hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import streamlit as st

from cfcore.charts.compare import Curve, View, compare_alt, compare_spec
from cfcore.config import RunRequest, SplitConfig
from cfcore.lessons.ladder import RUNGS, requests
from cfcore.ratings import Ratings
from cfcore.runs import Run
from cfcore.ui import state
from cfcore.ui.compare import state as cs
from cfcore.ui.compare.rows import BIAS, MEAN, baselines_of, status_text
from cfcore.ui.compare.start import one_at_a_time, price_of, price_text, queue
from cfcore.ui.components import choose_one, how_many, show_table, table_size
from cfcore.ui.frame import guard
from cfcore.ui.learn.ladder_bias import held
from cfcore.ui.learn.state import aha, hidden, memory
from cfcore.ui.runs import ENDED_WELL
from cfcore.ui.words import error, sentence

HIDEABLE = {"climb": "The button that trains the ladder", "held": "What the biases hold"}
SPLIT = SplitConfig.of("random")
LIVE_SECONDS = 0.5
HEIGHT = 340  # pixels
_VIEW = View(error="rmse", log=True, parts="valid")
SYMBOLS = (
    "$p_u$ and $q_m$ are the factors of user $u$ and film $m$, $b_u$ and $b_m$ their biases; low and high are the ends "
    "of the scale; $\\sigma$, the sigmoid, squeezes any number into 0 to 1; a step at learning rate $\\eta$ first "
    "shrinks every weight $w$ by the share $\\eta\\lambda$, where $\\lambda$ is the weight decay."
)


def lesson(ratings: Ratings) -> None:
    """The four rungs, the button, the curves and the table, and what the biases hold."""
    st.markdown(
        "A dot product alone has to do everything: find the scale, say which films are good, and who likes what. Each "
        "rung of this ladder takes one task off it, with data, split, seed, and all else the same."
    )
    st.markdown("\n".join(f"1. **{rung.name}**: ${rung.formula}$" for rung in RUNGS))
    st.caption(SYMBOLS)
    runs = ladder_runs()
    if not hidden("climb"):
        _start(ratings, runs)
    if not runs:
        return
    live = st.fragment(_live, run_every=LIVE_SECONDS if any(run.active for run in runs) else None)
    live([run.id for run in runs], float(ratings.rating.mean(dtype=np.float64)))
    if any(run.active for run in runs):
        return
    _say(runs)
    with st.container(horizontal=True, gap="small"):
        ids = ",".join(run.id for run in runs)
        st.page_link(
            "pages/compare.py", label="Compare the four", icon=":material/compare_arrows:", query_params={"runs": ids}
        )
    if not hidden("held"):
        held(runs[-1])


def ladder_runs() -> list[Run]:
    """The visit's ladder on the chosen data, from the lowest rung up; empty where there is none, or not all of it."""
    runs = list(state.store().get_many(memory("ladder", ids=[])["ids"]))
    return runs if len(runs) == len(RUNGS) else []


def ladder_of(ratings: Ratings) -> tuple[RunRequest, ...]:
    """The requests of a ladder on these ratings.

    Raises:
        ValueError: they are too few to be split.
    """
    n_train, _ = state.split_sizes(ratings.about.name, SPLIT.to_json())
    return requests(ratings.about.name, SPLIT, n_train=n_train, scale=ratings.scale)


def _start(ratings: Ratings, runs: Sequence[Run]) -> None:
    """The button, what it takes, and why it cannot be pressed now where it cannot."""
    asked: Sequence[RunRequest] = ()
    problem = ""
    try:
        asked = ladder_of(ratings)
    except ValueError as refusal:
        problem = str(refusal)
    price, why_not = price_of(asked, ratings)
    busy = cs.under_way()
    st.button(
        "Climb it again" if runs else "Climb the ladder",
        type="secondary" if runs else "primary",
        icon=":material/stairs:",
        key="learn:climb",
        disabled=price is None or bool(busy or why_not),
        on_click=_climb,
        args=(asked, ratings.about.title),
    )
    if problem or why_not:
        st.error(sentence(problem or why_not), icon=":material/error:")
    elif busy and not any(run.active for run in runs):
        one_at_a_time(busy)
    elif price is not None and not runs:
        st.caption(price_text(len(asked), price))


def _climb(asked: Sequence[RunRequest], title: str) -> None:
    kept = memory("ladder")  # first: once runs are queued, a look at the session may end this
    ids = queue(asked, title)
    if not ids:
        return
    kept["ids"] = ids
    for run_id, rung in zip(ids, RUNGS, strict=True):
        state.store().rename(run_id, rung.name)


def _live(run_ids: Sequence[str], mean: float) -> None:
    """The curves and the table, as far as the runs have come; the whole page runs once more when all have ended."""
    with guard():
        runs = list(state.store().get_many(list(run_ids)))
        was_active = st.session_state.get("learn:climbing", False)
        st.session_state["learn:climbing"] = active = any(run.active for run in runs)
        if was_active and not active:
            st.rerun()
        first = choose_one("Epochs", {2: "From epoch 2", 1: "All epochs"}, "learn:ladder-from", 2)
        drawn = [
            Curve(
                name=run.name,
                slot=slot,
                history=run.history,
                planned=run.request.config.epochs or 1,
                updates=None,
            )
            for slot, run in enumerate(runs)
        ]
        bias = baselines_of(runs).get(BIAS.lower())  # the global mean stands in the table: it would flatten the lines
        with st.container(height=HEIGHT + 16, border=False):
            st.vega_lite_chart(
                spec=compare_spec(drawn, {BIAS.lower(): bias}, replace(_VIEW, first=first), height=HEIGHT),
                width="stretch",
                key="learn:ladder-curves",
                alt=compare_alt(drawn, _VIEW),
            )
        st.caption(
            f"RMSE on the held-out ratings after each epoch, on a logarithmic axis; dotted: {BIAS.lower()}. "
            f"{slow_start(runs, mean)}"
        )
        _table(runs)
        st.caption(
            "Each rung was trained once, with one seed. How far another seed would move its error is not measured: "
            "a small difference may be chance."
        )


def slow_start(runs: Sequence[Run], mean: float) -> str:
    """How long the bare dot product climbs from 0 to the ``mean`` rating; nothing where that is no way to go."""
    baseline = baselines_of(runs).get(MEAN.lower())  # an MSE: nearly the variance of the ratings
    losses = [epoch.valid_loss for epoch in runs[0].history]
    if baseline is None or not losses or losses[0] <= baseline or mean**2 <= baseline:
        return ""
    behind = next((n for n, loss in enumerate(losses) if loss <= baseline), len(losses))
    return (
        f"Without range and bias a prediction begins near 0, and the mean rating is {mean:.2f}: after one epoch the "
        f"bare dot product is {error(math.sqrt(losses[0]))} off, and for {how_many(behind, 'epoch', 'epochs')} worse "
        f"than the global mean. {RUNGS[1].name} begins in the middle of the scale: part of what it brings is this "
        "head start."
    )


def errors(runs: Sequence[Run]) -> list[float]:
    """The validation RMSE of each run, NaN where it has none (yet)."""
    found = [run.metrics.valid_rmse if run.metrics and run.status in ENDED_WELL else None for run in runs]
    return [math.nan if rmse is None else rmse for rmse in found]


def gain(before: float, after: float) -> float:
    """By how much the error fell, in the unit of the ratings: the difference of the two numbers as shown."""
    return round(round(before, 3) - round(after, 3), 3)


def change(before: float, after: float) -> str:
    """What a rung changed in the error, in words; where that rounds to nothing, still which way it went."""
    if not (math.isfinite(before) and math.isfinite(after)):
        return "–"
    return f"{abs(gain(before, after)):.3f} {'lower' if after < before else 'higher'}"


def _table(runs: Sequence[Run]) -> None:
    found = errors(runs)
    rows = [
        (run.name, error(rmse), change(found[at - 1], rmse) if at else "", status_text(run))
        for at, (run, rmse) in enumerate(zip(runs, found, strict=True))
    ]
    known = baselines_of(runs)
    rows += [
        (name, error(math.sqrt(mse)), "", "baseline")
        for name in (BIAS, MEAN)
        if (mse := known.get(name.lower())) is not None
    ]
    best = min((each for each in zip(found, runs, strict=True) if each[0] == each[0]), default=None, key=lambda e: e[0])
    show_table(
        pd.DataFrame(rows, columns=["Rung", "RMSE", "Against the rung before", "State"]),
        hide_index=True,
        width="stretch",
        **table_size(len(rows)),
        column_config={"Rung": st.column_config.TextColumn(width=150, pinned=True)},
        alt="Table of the error of each rung."
        + (f" The lowest is {error(best[0])}, of {best[1].name}." if best is not None else ""),
    )


def _say(runs: Sequence[Run]) -> None:
    """The sentence to take away; what went wrong instead, where a run has no error."""
    found = errors(runs)
    if any(math.isnan(rmse) for rmse in found):
        st.info("Not every rung came to its end: climb again for the whole picture.", icon=":material/info:")
        return
    short_of = beaten_by(found, baselines_of(runs))
    gains = [gain(before, after) for before, after in pairwise(found)]
    best = int(np.argmax(gains))
    worse = [rung.name for rung, brought in zip(RUNGS[1:], gains, strict=True) if brought < 0]
    way = f"From the bare dot product to the last rung the error goes from {error(found[0])} to {error(found[-1])}"
    if gains[best] <= 0:
        aha(f"{way}: on these ratings no rung brought anything.{short_of}")
        return
    aha(
        f"{way}; the largest step is {RUNGS[best + 1].name.removeprefix('+ ')}, {gains[best]:.3f}."
        + (f" Here {' and '.join(worse)} made it worse." if worse else "")
        + short_of
    )


def beaten_by(found: Sequence[float], baselines: Mapping[str, float | None]) -> str:
    """Which rungs, of ``found`` (4,) RMSE, are no better than the baselines (MSE), the harder one first."""
    said = ""
    known = {
        BIAS: "user + movie bias, which has no factor at all",
        MEAN: "the global mean, the same guess for everybody",
    }
    for name, what in known.items():
        baseline = baselines.get(name.lower())
        behind = (
            [] if baseline is None else [r.name for r, rmse in zip(RUNGS, found, strict=True) if rmse**2 >= baseline]
        )
        if baseline is not None and behind:
            who = "No rung beats" if len(behind) == len(RUNGS) else f"{' and '.join(behind)} did not beat"
            said += f" {who} {what} ({error(math.sqrt(baseline))})."
    return said
