"""Lesson 5: one model in four versions, each with one part more; what each brings, and what the biases hold."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
from cfcore.ui.components import choose_one
from cfcore.ui.frame import guard
from cfcore.ui.learn.ladder_bias import held
from cfcore.ui.learn.state import aha, hidden, memory
from cfcore.ui.runs import ENDED_WELL
from cfcore.ui.words import error, sentence

HIDEABLE = {"climb": "The button that trains the ladder", "held": "What the biases hold"}
SPLIT = SplitConfig.of("random")
LIVE_SECONDS = 0.5
HEIGHT = 340  # pixels
ROW = 35
_VIEW = View(error="rmse", log=True, parts="valid")


def lesson(ratings: Ratings) -> None:
    """The four rungs, the button, the curves and the table, and what the biases hold."""
    st.markdown(
        "A dot product alone has to do everything: find the scale, say which films are good, and who likes what. Each "
        "rung of this ladder takes one task off it, with data, split, seed, and all else the same."
    )
    st.markdown("\n".join(f"1. **{rung.name}**: ${rung.formula}$" for rung in RUNGS))
    runs = ladder_runs()
    if not hidden("climb"):
        _start(ratings, runs)
    if not runs:
        return
    st.fragment(_live, run_every=LIVE_SECONDS if any(run.active for run in runs) else None)([run.id for run in runs])
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
    ids = queue(asked, title)
    if not ids:
        return
    for run_id, rung in zip(ids, RUNGS, strict=True):
        state.store().rename(run_id, rung.name)
    memory("ladder")["ids"] = ids


def _live(run_ids: Sequence[str]) -> None:
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
                history=run.history[first - 1 :],
                planned=run.request.config.epochs or 1,
                updates=None,
            )
            for slot, run in enumerate(runs)
        ]
        with st.container(height=HEIGHT + 16, border=False):
            st.vega_lite_chart(
                spec=compare_spec(drawn, baselines_of(runs), _VIEW, height=HEIGHT),
                width="stretch",
                key="learn:ladder-curves",
                alt=compare_alt(drawn, _VIEW),
            )
        st.caption(f"RMSE on the held-out ratings after each epoch; dotted: the baselines. {_slow_start(runs)}")
        _table(runs)


def _slow_start(runs: Sequence[Run]) -> str:
    """How far the lowest rungs are after their first epoch: without range and bias, a prediction begins at 0 stars."""
    if not runs[0].history:
        return ""
    after = math.sqrt(runs[0].history[0].valid_loss)
    return f"The bare dot product begins near 0 stars for everybody: after one epoch it is still {error(after)} off."


def errors(runs: Sequence[Run]) -> list[float]:
    """The validation RMSE of each run, NaN where it has none (yet)."""
    found = [run.metrics.valid_rmse if run.metrics and run.status in ENDED_WELL else None for run in runs]
    return [math.nan if rmse is None else rmse for rmse in found]


def change(before: float, after: float) -> str:
    """What a rung changed in the error, in stars."""
    if not (math.isfinite(before) and math.isfinite(after)):
        return "–"
    return f"{abs(before - after):.3f} {'lower' if after < before else 'higher'}"


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
    st.dataframe(
        pd.DataFrame(rows, columns=["Rung", "RMSE, stars", "Against the rung before", "State"]),
        hide_index=True,
        width="stretch",
        height=ROW * (len(rows) + 1) + 3,
        row_height=ROW,
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
    gains = -np.diff(found)
    best = int(gains.argmax())
    worse = [run.name for run, gain in zip(runs[1:], gains, strict=True) if gain < 0]
    aha(
        f"From the bare dot product to the last rung the error goes from {error(found[0])} to {error(found[-1])} "
        f"stars; the largest step is {runs[best + 1].name.removeprefix('+ ')}, {abs(gains[best]):.3f}."
        + (f" Here {' and '.join(worse)} made it worse." if worse else "")
    )
