"""From a million ratings to 25 million: what each step costs, and whether it grows faster than the rows."""

from __future__ import annotations

import itertools
import json
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import psutil

from benchmarks.scale_run import STAGES
from benchmarks.simulated import Size
from benchmarks.table import Figure, Line, Section
from cfcore.charts.scales import from_unit, spread, to_unit
from cfcore.outcome import MOST_PREDICTIONS
from cfcore.training import SNAPSHOT_LIMIT

ROOT = Path(__file__).parents[1]
MILLION = Size(n_users=6_040, n_items=3_900, n_ratings=1_000_000)  # about as many of each as MovieLens 1M has
QUICK = (Size(n_users=2_500, n_items=2_500, n_ratings=300_000), MILLION)
FULL = (
    MILLION,
    Size(n_users=72_000, n_items=10_700, n_ratings=10_000_000),
    Size(n_users=138_000, n_items=27_000, n_ratings=25_000_000),
)
MOST_MB = 2500
ROW_BYTES = 30  # of a rating in the file, generously
NOISE = 1.15  # by which time may grow faster than the rows: two runs of one size differ by as much on a busy machine
TURNS = 2
HEIGHT = 280  # pixels of a plot
COLOURS = ["#0072B2", "#10202E", "#D55E00", "#007A5E", "#B0529A", "#A66F00", "#3D8FBF", "#6B6B6B"]
TITLE = "A million ratings to 25 million"


def scale(*, quick: bool) -> Section:
    """Every size in fresh processes; a size for which disk or memory is missing is named and left out."""
    sizes, runs, missing = QUICK if quick else FULL, [], []
    for size in sizes:
        lacks = _lacks(size)
        if lacks:
            missing.append(f"{_millions(size.n_ratings)} was not measured: {lacks}.")
        else:
            runs.append(_measure(size, 1 if quick else TURNS))
    how = (
        "Simulated ratings in the layout of MovieLens 25M (`benchmarks/zipf.py`), written to a scratch file; each size "
        "in fresh processes. Read by the app's reader, split, an epoch of `als` and of `mf` with the default settings, "
        "evaluation, PCA of the films, and the charts as JSON. Memory is the most that the process ever held, "
        f"libraries included; time is that of {'one run' if quick else f'the faster of {TURNS} runs, stage by stage'}. "
        f"{' '.join(missing)}"
    ).strip()
    if not runs:
        return Section(title=TITLE, how=how, lines=[])
    lines = [*map(_memory, runs), *_growth(runs), _reading(runs[-1]), *_bounded(runs)]
    return Section(title=TITLE, how=how, lines=lines, figure=_figure(runs))


def _lacks(size: Size) -> str:
    """What is missing for a size, in words."""
    disk, memory = shutil.disk_usage(tempfile.gettempdir()).free, psutil.virtual_memory().available
    if disk < size.n_ratings * ROW_BYTES:
        return f"its file takes {size.n_ratings * ROW_BYTES / 1e9:.1f} GB and {disk / 1e9:.1f} GB of the disk are free"
    if memory < 1.1e6 * MOST_MB and size.n_ratings > 3_000_000:
        return f"it may take {MOST_MB / 1000} GB of memory and {memory / 1e9:.1f} GB are free"
    return ""


def _measure(size: Size, turns: int) -> dict[str, Any]:
    """A run of the size in which every stage is the fastest and the memory the highest of some turns."""
    with tempfile.TemporaryDirectory() as folder:
        _python("benchmarks.zipf", folder, *(str(n) for n in (size.n_ratings, size.n_users, size.n_items)))
        runs = [json.loads(_python("benchmarks.scale_run", "stages", folder)) for _ in range(turns)]
        reading = json.loads(_python("benchmarks.scale_run", "read", folder, "3"))
    seconds = {name: min(run["seconds"][name] for run in runs) for name in STAGES}
    mb = {name: max(run["mb"][name] for run in runs) for name in STAGES}
    peak = max(run["peak_mb"] for run in runs)
    return runs[0] | {"seconds": seconds, "mb": mb, "peak_mb": peak, "reading": reading}


def _python(module: str, *words: str) -> str:
    """What a module prints, run in a process of its own."""
    command = [sys.executable, "-m", module, *words]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def _memory(run: dict[str, Any]) -> Line:
    last = run["rows"] == FULL[-1].n_ratings
    return Line(
        what=f"{_millions(run['rows'])}: peak memory",
        ours=f"{run['users']:,} users, {run['films']:,} films in {_total(run):.3g} s",
        theirs=f"RMSE after one epoch of `mf` {run['rmse']:.3f}, user + movie bias {run['bias_rmse']:.3f}",
        value=run["peak_mb"],
        bound="at most",
        wanted=MOST_MB if last else None,
        unit="MB",
        note=", ".join(f"{name} {run['seconds'][name]:.2g} s and {run['mb'][name]:,.0f} MB" for name in STAGES) + ".",
    )


def _growth(runs: Sequence[dict[str, Any]]) -> list[Line]:
    """Between neighbouring sizes: how many times the time, divided by how many times the rows."""
    lines = []
    for small, large in itertools.pairwise(runs):
        rows = large["rows"] / small["rows"]
        stages = ", ".join(f"{name} {large['seconds'][name] / small['seconds'][name] / rows:.2f}" for name in STAGES)
        lines.append(
            Line(
                what=f"{_millions(small['rows'])} to {_millions(large['rows'])}: growth of the time beside the rows'",
                ours=f"{_total(small):.3g} s to {_total(large):.3g} s",
                theirs=f"{rows:.3g} times the rows",
                value=_total(large) / _total(small) / rows,
                bound="at most",
                wanted=NOISE,
                note=f"by stage {stages}. The target allows {NOISE - 1:.0%} for noise; films and users grow as well.",
            )
        )
    return lines


def _reading(run: dict[str, Any]) -> Line:
    ours, plain = (statistics.median(run["reading"][name]) for name in ("ours", "plain"))
    return Line(
        what=f"{_millions(run['rows'])}: reading, checks and numbering included, beside `pyarrow.csv.read_csv`",
        ours=f"{ours:.3g} s",
        theirs=f"{plain:.3g} s",
        value=run["reading"]["ratio"],
        bound="at most",
        wanted=1.5 if run["rows"] == FULL[-1].n_ratings else None,
    )


def _bounded(runs: Sequence[dict[str, Any]]) -> list[Line]:
    """What is kept of a run and sent to the browser, which must not grow with the rows."""
    large = runs[-1]
    most = (SNAPSHOT_LIMIT + 12 * MOST_PREDICTIONS) / 1e6
    return [
        Line(
            what=f"{_millions(large['rows'])}: snapshots and validation predictions kept of a run",
            ours=f"{large['predictions']:,} of {large['rows'] // 5:,} predictions",
            theirs=f"{_millions(runs[0]['rows'])}: {runs[0]['kept_mb']:.3g} MB",
            value=large["kept_mb"],
            bound="at most",
            wanted=most,
            unit="MB",
        ),
        Line(
            what=f"{_millions(large['rows'])}: all charts as JSON, beside {_millions(runs[0]['rows'])}",
            ours=f"{large['sent_mb']:.3g} MB",
            theirs=f"{runs[0]['sent_mb']:.3g} MB",
            value=large["sent_mb"] / runs[0]["sent_mb"],
            bound="at most",
            wanted=1.5,
        ),
    ]


def _figure(runs: Sequence[dict[str, Any]]) -> Figure:
    """Time and peak memory against the rows, both axes logarithmic; a dotted line grows as the rows do."""
    first, last = runs[0], runs[-1]
    even = [_total(first) * run["rows"] / first["rows"] for run in runs]
    times = {"all": [_total(run) for run in runs]} | {
        name: [run["seconds"][name] for run in runs] for name in sorted(STAGES)
    }
    memory = {"peak memory": [run["peak_mb"] for run in runs]}
    rows = [run["rows"] for run in runs]
    return Figure(
        name="benchmarks-scale.svg",
        chart=alt.hconcat(
            _chart(rows, times, even, "Seconds (dotted: as the rows grow)"),
            _chart(rows, memory, [MOST_MB] * len(rows), f"Peak memory, MB (dotted: {MOST_MB:,})"),
        ).resolve_scale(color="independent"),
        alt=f"Time and peak memory against ratings, both axes logarithmic: {_millions(last['rows'])} take "
        f"{_total(last):.0f} s and {last['peak_mb']:,.0f} MB",
    )


def _chart(rows: Sequence[int], lines: dict[str, list[float]], dotted: Sequence[float], title: str) -> Any:
    """One line a name, named at its end, moved just enough not to touch its neighbours."""
    every = [value for values in (*lines.values(), dotted) for value in values]
    low, high = min(every) / 1.2, max(every) * 1.2
    places = spread([to_unit(values[-1], low, high, log=True) for values in lines.values()], 14 / HEIGHT)
    names = pd.DataFrame(
        {"rows": rows[-1], "name": list(lines), "value": [from_unit(place, low, high, log=True) for place in places]}
    )
    table = pd.DataFrame([(at, name, v) for name in lines for at, v in zip(rows, lines[name], strict=True)])
    points = alt.Chart(table.set_axis(["rows", "name", "value"], axis=1))
    ticks = alt.Axis(format="~s", values=list(rows))
    x = alt.X("rows:Q", title="Ratings", scale=alt.Scale(type="log", nice=False, padding=12), axis=ticks)
    y = alt.Y("value:Q", title=None, scale=alt.Scale(type="log", domain=[low, high]), axis=alt.Axis(format="~r"))
    colour = alt.Color("name:N", legend=None, scale=alt.Scale(domain=list(lines), range=COLOURS))
    limit = alt.Chart(pd.DataFrame({"rows": rows, "value": dotted})).mark_line(strokeDash=[2, 3], color="#76828D")
    layers = [
        limit.encode(x=x, y=y),
        points.mark_line(point=True).encode(x=x, y=y, color=colour),
        alt.Chart(names).mark_text(align="left", dx=8).encode(x=x, y=y, color=colour, text="name:N"),
    ]
    return alt.layer(*layers, title=title).properties(width=330, height=HEIGHT)


def _total(run: dict[str, Any]) -> float:
    return math.fsum(run["seconds"].values())


def _millions(rows: int) -> str:
    return f"{rows / 1e6:g}M"
