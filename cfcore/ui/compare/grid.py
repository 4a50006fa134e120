"""The picture of a sweep, which fills while its runs come in, and what to do with what it shows."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import streamlit as st

from cfcore.approaches import describe
from cfcore.charts import MOST_CURVES
from cfcore.charts.sweep import sweep_alt, sweep_height, sweep_spec, value_text
from cfcore.runs import Run
from cfcore.sweep import Grid, grid_of
from cfcore.ui import link, state
from cfcore.ui.compare import state as cs
from cfcore.ui.compare.rows import BIAS, MEAN, baselines_of, split_text
from cfcore.ui.components import how_many
from cfcore.ui.frame import guard
from cfcore.ui.queue import is_mine
from cfcore.ui.words import against, error, plain


def sweep_picture(runs: Sequence[Run]) -> None:
    """The sweep in use: which one, its picture, and what can be done with it."""
    group = _choose(runs)
    if not group:
        _nothing_yet()
        return
    members = cs.group_of(group)
    state.store().look_at(*(run.id for run in members))
    active = any(run.active for run in members)
    st.fragment(_live, run_every=cs.LIVE_SECONDS if active else None)(group, tuple(r.id for r in members if r.active))
    _actions(members)


def sweeps_of(runs: Sequence[Run]) -> dict[str, str]:
    """The sweeps among these runs, newest first: group to a title."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if run.group:
            groups.setdefault(run.group, []).append(run)
    grids = {group: grid_of(members) for group, members in groups.items()}
    return {group: _title(grid) for group, grid in grids.items() if grid is not None}


def _title(grid: Grid) -> str:
    run = grid.cells[0].run
    settings = " x ".join(axis.label.lower() for axis in grid.axes)
    at = time.strftime("%H:%M", time.localtime(run.created))
    return f"{describe(run.request.config.approach).title}: {settings}, {len(grid.cells)} runs, {at}"


def _choose(runs: Sequence[Run]) -> str:
    """The group to show: the one in use, else the newest sweep; a select box where there are several."""
    titles = sweeps_of(runs)
    group = cs.memory()["group"]
    if group not in titles:
        linked = sweeps_of(cs.group_of(group)) if group else {}
        titles = linked | titles
        group = next(iter(titles), "")
        cs.memory()["group"] = group
    if len(titles) > 1:
        key = "compare:group"
        st.session_state[key] = group
        st.selectbox(
            "Sweep",
            list(titles),
            format_func=titles.__getitem__,
            key=key,
            on_change=lambda: cs.memory().update(group=st.session_state[key]),
        )
    return group


def _nothing_yet() -> None:
    with st.container(border=True):
        st.markdown(
            "**No sweep yet.** Which learning rate, how many factors? Try a few of each and see where the error "
            "is lowest, where training diverges, and how much it matters at all."
        )
        st.caption(
            "Each cell of the picture is a run of its own on the same ratings, split and seed. Best means best on "
            "this one split: a difference in the third decimal is chance."
        )


def _live(group: str, was_active: tuple[str, ...]) -> None:
    with guard():
        members = cs.group_of(group)
        grid = grid_of(members)
        if tuple(run.id for run in members if run.active) != was_active:
            st.rerun()  # the buttons below follow
        if grid is None:
            st.info("What is left of this sweep is no grid any more.", icon=":material/grid_off:")
            return
        run = members[0]
        st.markdown(f"**{plain(_title(grid))}**")
        st.caption(f"Validation RMSE on {plain(run.dataset_title)}, {plain(split_text(run.request.split))}.")
        baselines = {name: math.sqrt(mse) for name, mse in baselines_of(members).items() if mse is not None}
        ended = sum(not member.active for member in members)
        # Full, it stays: what stands under it would move up at the end.
        st.progress(ended / len(members), text=f"{ended} of {len(members)} runs have ended")
        with st.container(height=sweep_height(grid) + 16, border=False):
            st.vega_lite_chart(
                spec=sweep_spec(grid, baselines), width="stretch", key="compare:grid", alt=sweep_alt(grid)
            )
        _say(grid, baselines)


def _say(grid: Grid, baselines: dict[str, float]) -> None:
    best = grid.best
    if best is not None:
        where = ", ".join(f"{a.label.lower()} {value_text(v)}" for a, v in zip(grid.axes, best.values, strict=True))
        compared = against(best.rmse, baselines.get(BIAS.lower()), BIAS.lower())
        so_far = " so far" if any(cell.run.active for cell in grid.cells) else ""
        st.markdown(f"Best{so_far}: **{error(best.rmse)}** at {plain(where)}, {plain(compared)}.")
    diverged = sum(cell.run.status == "diverged" for cell in grid.cells)
    words = []
    if len(grid.axes) == 2:
        mean = baselines.get(MEAN.lower(), math.inf)
        worse = any(cell.final and cell.rmse is not None and cell.rmse > mean for cell in grid.cells)
        words.append(f"Darker is better.{f' The palest are no better than the {MEAN.lower()}.' if worse else ''}")
    if diverged:
        words.append(f"{how_many(diverged, 'run', 'runs')} diverged: the learning rate is too high there.")
    words.append("Best means best on this one split; a difference in the third decimal is chance.")
    st.caption(" ".join(words))


def _actions(members: Sequence[Run]) -> None:
    mine = [run.id for run in members if is_mine(run)]
    active = [run.id for run in members if run.active and is_mine(run)]
    grid = grid_of(members)
    best = grid.best if grid else None
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        if active:
            st.button(
                "Stop all", icon=":material/stop_circle:", key="compare:stop-all", on_click=cs.stop, args=(active,)
            )
        if best is not None:
            request = best.run.request
            key = request.config.approach
            settings = {name: getattr(request.config, name) for name in describe(key).settings}
            changed = {n: v for n, v in settings.items() if v is not None and v != getattr(describe(key).preset, n)}
            st.page_link(
                "pages/train.py",
                label="Best settings in Train",
                icon=":material/model_training:",
                query_params=link.to_params(key, changed, {}),
            )
        cells = [cell for cell in grid.cells if cell.rmse is not None] if grid else []
        ids = [cell.run.id for cell in sorted(cells, key=lambda cell: cell.rmse or 0.0)][:MOST_CURVES]
        st.button(
            f"Curves of the best {len(ids)}" if ids else "Curves",
            icon=":material/show_chart:",
            disabled=not ids,
            on_click=cs.look_at,
            args=(ids,),
        )
        st.button(
            "Delete the sweep",
            icon=":material/delete:",
            key="compare:delete-sweep",
            disabled=not mine,
            on_click=cs.delete,
            args=(mine,),
        )
