"""What stands under a finished run: its errors against both baselines, in words, and what to do next."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from cfcore import datasets
from cfcore.approaches import acting, describe, make_config
from cfcore.config import FOLDS, RunConfig, RunRequest, SplitConfig
from cfcore.runs import Run
from cfcore.ui import draft, state
from cfcore.ui.notes import LESSONS
from cfcore.ui.progress import BIAS, MEAN
from cfcore.ui.queue import enqueue
from cfcore.ui.words import against, error, memory, number, plain, seconds, sentence

MOMENT = 0.2  # seconds
MEANING = (
    "RMSE and MAE are typical errors in stars; RMSE, the square root of the loss, weighs large misses more. The global "
    "mean predicts the mean training rating for everybody; user + movie bias adds how generous the user is and how "
    "well liked the movie."
)


def heading(run: Run | None) -> None:
    """Which run this is: approach, data, split and every setting, in two lines; or that there is none yet."""
    if run is None:
        st.subheader("Nothing trained here yet", anchor="run")
        st.caption("The dotted lines are the errors to beat: predicting without any learned factor.")
        return
    info = describe(run.request.config.approach)
    title = f"{plain(run.name or info.title)} on {plain(run.dataset_title or run.request.dataset)}"
    st.subheader(title, anchor="run")
    split = f" · {plain(run.split_how)}" if run.split_how else ""
    st.caption(f"{plain(config_line(run.request.config))}{split}")


def config_line(config: RunConfig) -> str:
    """Every setting of a configuration that acts, in one line of text, not escaped."""
    values = ((setting.label.lower(), getattr(config, name)) for name, setting in acting(config).items())
    return " · ".join(f"{label} {number(value)}" for label, value in values if value is not None)


def outcome(run: Run) -> None:
    """How the run ended, and its errors where it has any; what to do about it the run doctor says."""
    if run.status == "failed":
        with st.container(horizontal=True, vertical_alignment="center"):
            message = run.message or "The worker was lost before the run ended."
            st.error(sentence(message), icon=":material/error:", width="stretch")
            st.button("Run again", icon=":material/refresh:", on_click=run_again, args=(run.id,))
    elif run.status == "stopped":
        st.info(sentence(run.message or "Stopped."), icon=":material/stop_circle:")
    elif run.status == "done" and run.message:
        st.info(sentence(run.message), icon=":material/history:")
    if run.status in ("done", "stopped"):
        _errors(run)


def where_next(run: Run) -> None:
    """The pages that show what a run has learned, also while it is still learning."""
    if run.status not in ("running", "done", "stopped"):
        return
    with st.container(horizontal=True, gap="small"):
        for path, label, icon, param in (
            ("pages/explore.py", "Explore what it learned", ":material/bubble_chart:", "run"),
            ("pages/recommend.py", "Ask it for recommendations", ":material/thumb_up:", "run"),
            ("pages/compare.py", "Compare it with others", ":material/compare_arrows:", "runs"),
        ):
            st.page_link(path, label=label, icon=icon, query_params={param: run.id})


def use_settings(run: Run) -> None:
    """Offer to draft what this run ran with, where the draft says something else."""
    st.button(
        "Use these settings",
        icon=":material/input:",
        on_click=_use,
        args=(run.id,),
        help="Copy this run's approach, settings and split to the left.",
    )


def code_that_ran(request: RunRequest, label: str = "The code that ran") -> None:
    """The approach's own file, and the command that does the same without a browser; once somebody opens it.

    Sent folded away, it would cost every page its highlighter, a megabyte and a half of script.
    """
    info = describe(request.config.approach)
    panel = st.expander(label, icon=":material/code:", key="code-that-ran", on_change="rerun")
    if not panel.open:
        return
    with panel:
        if request.config.approach in LESSONS:
            st.markdown(LESSONS[request.config.approach])
        st.markdown("The same run without a browser, in the project's folder and its environment:")
        st.code(command(request), language="bash", wrap_lines=True)
        names = [source.name for source in info.sources]
        st.markdown(
            "The lesson, as it stands, and the parts it shares with others:" if len(names) > 1 else "The lesson:"
        )
        for tab, source in zip(st.tabs(names), info.sources, strict=True):
            tab.code(source.read_text(encoding="utf-8"), language="python", line_numbers=True, height=520)


def command(request: RunRequest) -> str:
    """The command line that does the same; settings that are the preset's are left out."""
    config, split = request.config, request.split
    preset = make_config(config.approach).with_settings(y_range=None)  # which follows the data: always spell it out
    words = ["python", "-m", "cfcore", "train", "--approach", config.approach, "--dataset", request.dataset]
    words += ["--split", split.kind]
    if split.kind not in FOLDS and split.valid_fraction is not None:
        words += ["--valid-fraction", number(split.valid_fraction)]
    for name in describe(config.approach).settings:
        value = getattr(config, name)
        if value is not None and value != getattr(preset, name):
            words += [f"--{name.replace('_', '-')}", *number(value).split(", ")]
    if split.seed is not None and split.seed != config.seed:  # or the seed of the weights would be the split's as well
        words += ["--split-seed", str(split.seed)]
    return shlex.join(words)


def recent_runs() -> None:
    """The latest runs of this visit, to open again."""
    runs = state.store().list(visitor=state.visitor(), limit=6)
    if len(runs) < 2:
        return
    st.markdown("**Your recent runs**")
    for run in runs:
        config, m = run.request.config, run.metrics
        error = f"RMSE {m.valid_rmse:.3f}" if m and m.valid_rmse else run.status
        label = [run.name or describe(config.approach).title, run.dataset_title or run.request.dataset]
        label += [f"learning rate {number(config.learning_rate)}"] if config.learning_rate is not None else []
        label += [f"epochs {config.epochs}"] if config.epochs is not None else []
        st.button(
            plain(" · ".join([*label, error])),
            key=f"open:{run.id}",
            type="tertiary",
            icon=":material/show_chart:",
            disabled=run.id == st.session_state.get("run"),
            help=plain(config_line(config)),
            on_click=lambda run_id=run.id: st.session_state.update(run=run_id),
        )


def run_again(run_id: str) -> None:
    """Start the same request as a new run of this visit, and show that."""
    run = state.store().get(run_id)
    if run is not None:
        submit(run.request, run.dataset_title)


def submit(request: RunRequest, dataset_title: str) -> None:
    """Queue a run of this visit and show it; where that is refused, say why."""
    box = state.box()
    for run in enqueue([request], dataset_title):
        state.keep(box, "run", run.id)
        _give_it_a_moment(run.id)


def _give_it_a_moment(run_id: str) -> None:
    """Wait for the first epoch, but hardly: when it is as quick as that, the page is drawn with it at once."""
    give_up = time.monotonic() + MOMENT
    while time.monotonic() < give_up:
        run = state.store().get(run_id)
        if run is None or run.history or not run.active:
            return
        time.sleep(0.02)


def _use(run_id: str) -> None:
    """Draft this run's settings."""
    run = state.store().get(run_id)
    if run is not None:
        _draft(run.request)


def _draft(request: RunRequest) -> None:
    draft.take(request)
    if datasets.on_disk(request.dataset):
        state.choose(request.dataset)


def train_with(run_id: str, changes: Mapping[str, Any], split: SplitConfig | None = None) -> None:
    """Draft this run's settings with some changed, train them, and show that run."""
    run = state.store().get(run_id)
    if run is None:
        return
    config = run.request.config.with_settings(**changes)
    describe(config.approach).check(config)
    request = replace(run.request, config=config, split=split or run.request.split)
    _draft(request)
    submit(request, run.dataset_title)


def _errors(run: Run) -> None:
    """RMSE and MAE of the run and of both baselines, and the difference in words."""
    m = run.metrics
    if m is None or m.valid_rmse is None:
        return
    rows = {
        "": ["**This run**", BIAS.capitalize(), MEAN.capitalize()],
        "RMSE, stars": [error(m.valid_rmse), error(m.baseline_bias_rmse), error(m.baseline_mean_rmse)],
        "MAE, stars": [error(m.valid_mae), error(m.baseline_bias_mae), error(m.baseline_mean_mae)],
        "By RMSE, this run is": [
            "",
            _compared(m.valid_rmse, m.baseline_bias_rmse),
            _compared(m.valid_rmse, m.baseline_mean_rmse),
        ],
    }
    st.table(rows, hide_index=True)
    counts = f"{run.n_train:,} ratings trained, {run.n_valid:,} held out · " if run.n_train and run.n_valid else ""
    st.caption(f"{counts}{seconds(run.fit_seconds)} of training · peak memory {memory(run.peak_memory_mb)}")
    st.caption(MEANING)


def _compared(value: float | None, baseline: float) -> str:
    return against(value, baseline, "").replace(" than ", "").replace("the same as ", "the same").strip()
