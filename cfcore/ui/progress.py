"""The right side of the Train page: one run, from the queue to its result, read from the store.

What moves is one fragment that runs twice a second while the run is active; when it ends, the whole page runs once
more and shows what comes after.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import streamlit as st

from cfcore import charts
from cfcore.config import RunRequest
from cfcore.outlook import remaining, share_done
from cfcore.runs import Run
from cfcore.ui import state
from cfcore.ui.components import choose_one, four_places
from cfcore.ui.frame import guard
from cfcore.ui.queue import is_mine, stop
from cfcore.ui.words import against, error, seconds

if TYPE_CHECKING:
    from cfcore.charts.curves import Across, Error

LOADING = "Starting: a fresh worker first loads PyTorch, about five seconds, longer where others train"
LIVE_SECONDS = 0.4  # between two looks at the store: at least twice a second, with the time a look takes
WAITING_SECONDS = 2.0  # the same for a run that has others before it: a class that waits must not slow the page down
STATUS_HEIGHT = 76  # pixels, the same for every state
MEAN, BIAS = "global mean", "user + movie bias"


def live_run(run: Run | None, request: RunRequest | None) -> None:
    """Progress, tiles, curves and the Stop button of a run; they keep up with it by themselves while it is active.

    Where there is no run yet the same places stand empty, with the baselines of what ``request`` would train on.
    """
    every = _pace(run) if run is not None and run.active else None
    if run is not None:
        request = run.request
    st.fragment(_live, run_every=every)(run.id if run else None, run.status if run else "", every, request)


def _pace(run: Run) -> float:
    """Seconds between two looks at an active run."""
    position = state.jobs().position(run.id) if run.status == "queued" else None
    others = position is not None and (position > 1 or state.jobs().status().running > 0)
    return WAITING_SECONDS if others else LIVE_SECONDS


def baselines(run: Run | None, request: RunRequest | None) -> dict[str, float | None]:
    """The MSE of both baselines on the validation rows, by the name on the chart.

    Until the run has begun they are this page's own, so that the lines stand there from the first moment.
    """
    if run is not None and (run.baseline_bias_mse is not None or not run.active):
        return {MEAN: run.baseline_mean_mse, BIAS: run.baseline_bias_mse}
    try:
        known = state.baseline_losses(request.dataset, request.split.to_json()) if request else {}
    except ValueError:  # the worker has the data or will say what is wrong; this server need not have it
        known = {}
    return {MEAN: known.get("global_mean"), BIAS: known.get("bias")}


def _live(run_id: str | None, status: str, every: float | None, request: RunRequest | None) -> None:
    with guard():
        run = state.store().get(run_id) if run_id else None
        if every is not None and (run is None or run.status != status or _pace(run) < every):
            st.rerun()  # the whole page, once: result, settings and the list of runs change with it, or the pace
        with st.container(height=STATUS_HEIGHT, border=False, vertical_alignment="center"):
            if run is None:
                st.markdown(":material/play_circle: Choose an approach and press **Train**: its loss falls here.")
            else:
                _status(run)
        _tiles(run)
        histories = {"this run": run.history} if run else {}
        epochs = request.config.epochs if request else None
        _chart(histories, baselines(run, request), epochs, starts_high(request))


def _status(run: Run) -> None:
    if not run.active:
        planned = run.request.config.epochs or 1
        st.progress(min(1.0, len(run.history) / planned), text=_ended(run))
        return
    left, right = st.columns([5, 1], vertical_alignment="center", wrap=False)
    with right:
        mine = is_mine(run)
        st.button(
            "Stop",
            icon=":material/stop_circle:",
            width="stretch",
            key=f"stop:{run.id}",
            disabled=not mine or run.id in st.session_state.get("stopping", ()),
            help=None if mine else "This is somebody else's run.",
            on_click=stop,
            args=(run.id,),
        )
    share, words = progress_line(run, time.time())
    left.progress(share, text=words)


def progress_line(run: Run, now: float) -> tuple[float, str]:
    """How far an active run has come, from 0 to 1, and that in words."""
    return (0.0, _waiting(run)) if run.status == "queued" else (share_done(run, now), _running(run))


def _waiting(run: Run) -> str:
    workers = state.jobs().status()
    if workers.state == "starting":
        return LOADING
    position = state.jobs().position(run.id)
    if position is None or (position == 1 and not workers.running):
        return LOADING
    place = "Next in the queue" if position == 1 else f"Number {position} in the queue"
    if state.jobs().waits_for_own(run.id):
        place = "Waits for your other run to end" if is_mine(run) else "Waits for another run of the same person"
    begins = state.jobs().starts_in(run.id)
    return f"{place} · starts in about {seconds(begins)}" if begins else place


def _running(run: Run) -> str:
    planned, done = run.request.config.epochs or 1, len(run.history)
    if run.id in st.session_state.get("stopping", ()):
        return f"Stopping in epoch {min(done + 1, planned)} of {planned}"
    left = remaining(run, time.time())
    if left is None:
        return f"Epoch 1 of {planned}"
    return f"Epoch {min(done + 1, planned)} of {planned} · about {seconds(max(left, 0.1))} left"


def _ended(run: Run) -> str:
    planned, done = run.request.config.epochs or 1, len(run.history)
    took = f" · {seconds(run.fit_seconds)}" if run.fit_seconds is not None else ""
    words = {"done": "Done", "stopped": "Stopped", "diverged": "Diverged", "failed": "Failed"}
    return f"{words[run.status]} · {done} of {planned} epochs{took}"


def _tiles(run: Run | None) -> None:
    last = run.history[-1] if run and run.history else None
    tiles = four_places()
    tiles[0].metric("Train loss", error(last.train_loss if last else None), border=True, help="MSE, this epoch")
    tiles[1].metric("Valid loss", error(last.valid_loss if last else None), border=True, help="MSE, held-out ratings")
    rmse = math.sqrt(last.valid_loss) if last and last.valid_loss >= 0 else None
    words = "in stars"
    if run and rmse is not None and run.baseline_bias_mse:
        words = against(rmse, math.sqrt(run.baseline_bias_mse), "bias")
    tiles[2].metric("Valid RMSE", error(rmse), border=True, help=f"The typical error in stars: {words}.")
    speed, unit = "–", "Ratings trained on each second"
    if run and last and run.n_train and last.seconds > 0:
        speed = f"{_compact(run.n_train / last.seconds)}/s"
        unit = f"Ratings trained on each second; an epoch takes {seconds(last.seconds)}"
    tiles[3].metric("Speed", speed, border=True, help=unit)


def _compact(n: float) -> str:
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if n >= limit:
            return f"{n / limit:.2g}{unit}" if n / limit < 100 else f"{n / limit:.0f}{unit}"
    return f"{n:.0f}"


def starts_high(request: RunRequest | None) -> bool:
    """Whether the first losses are so large that only a logarithmic axis shows the last ones."""
    return request is not None and request.config.approach in ("scratch", "pytorch")


def _chart(histories: dict, baselines: dict[str, float | None], n_epochs: int | None, log: bool) -> None:
    with st.container(horizontal=True, gap="medium", key="chart-options"):
        error_kind: Error = choose_one("Error", {"mse": "MSE", "rmse": "RMSE"}, "chart-error", "mse")
        x: Across = choose_one("Across", {"epoch": "Epochs", "seconds": "Seconds"}, "chart-x", "epoch")
        scale = choose_one(
            "Scale", {"linear": "Linear", "log": "Log"}, f"chart-scale-{log}", "log" if log else "linear"
        )
    with st.container(height=charts.curves.LOSS_HEIGHT + 20, border=False):
        st.vega_lite_chart(
            spec=charts.curves.loss_spec(
                histories, baselines, error=error_kind, x=x, log=scale == "log", n_epochs=n_epochs
            ),
            width="stretch",
            key="loss",
            alt=charts.curves.loss_alt(histories, baselines, error=error_kind),
        )
