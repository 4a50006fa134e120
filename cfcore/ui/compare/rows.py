"""Runs as the rows of a table: names that tell them apart, what differs between them, and which is best at what.

Pure functions: no Streamlit here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from cfcore.approaches import FIELDS, describe
from cfcore.config import FOLDS, RunRequest, SplitConfig
from cfcore.metrics import Ranking
from cfcore.runs import Run
from cfcore.ui.words import error, number, percent, plain

MEAN, BIAS = "Global mean", "User + movie bias"
RANKED = ("NDCG@10", "Precision@10", "Recall@10", "Hit rate", "Coverage")
_SHORT = {"learning_rate": "rate", "embedding_size": "k", "batch_size": "batch", "weight_decay": "decay"}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One measured column: ``better`` is ``low``, ``high``, or empty where neither is; ``show`` writes a number."""

    name: str
    better: str
    show: Callable[[float | None], str]
    help: str


def _amount(value: float | None) -> str:
    """Two significant figures, or a whole number from 100."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.2g}"


def _percent(value: float | None) -> str:
    return "–" if value is None else percent(value)


COLUMNS = (
    Column(name="Best loss", better="low", show=error, help="The lowest validation loss (MSE) of any epoch."),
    Column(name="Last loss", better="low", show=error, help="The validation loss (MSE) of the last epoch."),
    Column(name="RMSE", better="low", show=error, help="The typical error of the finished model in stars."),
    Column(name="MAE", better="low", show=error, help="The mean absolute error of the finished model in stars."),
    Column(name="NDCG@10", better="high", show=error, help="How good the order of each user's ten best films is."),
    Column(name="Precision@10", better="high", show=error, help="How many of each user's ten best films they liked."),
    Column(name="Recall@10", better="high", show=error, help="How many of the films they liked are among the ten."),
    Column(
        name="Hit rate", better="high", show=_percent, help="Users with at least one film they liked among the ten."
    ),
    Column(
        name="Coverage", better="", show=_percent, help="Films that anybody is recommended. More is not always better."
    ),
    Column(name="Seconds", better="low", show=_amount, help="Time of training, without waiting in the queue."),
    Column(name="Memory, MB", better="low", show=_amount, help="The most memory the worker held, libraries included."),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the table: a run, or a baseline (``run_id`` empty).

    ``place`` is what it was measured on, ``ranked`` for how many users its first ten films were.
    """

    run_id: str
    name: str
    approach: str
    settings: str
    data: str
    split: str
    status: str
    place: tuple[str, str]
    ranked: int | None = None
    values: Mapping[str, float | None] = field(default_factory=dict)


def rows_of(runs: Sequence[Run], names: Mapping[str, str]) -> list[Row]:
    """A row for every run, and both baselines after those that were measured on the same data and split."""
    rows, apart = [], _what_sets_apart(runs)
    for place in dict.fromkeys(place_of(run.request) for run in runs):
        here = [run for run in runs if place_of(run.request) == place]
        rows += [_run_row(run, names[run.id]) for run in here] + _baseline_rows(here, apart)
    return rows


def best_cells(rows: Sequence[Row]) -> set[tuple[int, str]]:
    """Row number and column of the best in each column, among the rows measured on the same data and split.

    Rankings compare only where they were measured for the same users: among the rows of :func:`ranked_users`.
    Where only one row has a number, or all have the same, there is nothing to be best of.
    """
    best, users = set(), ranked_users(rows)
    for column in COLUMNS:
        for place in _places(rows):
            numbers = []
            for k, row in enumerate(rows):
                value = row.values[column.name]
                alike = row.place == place and (column.name not in RANKED or row.ranked == users.get(place))
                if alike and value is not None and math.isfinite(value):
                    numbers.append((value, k))
            if not column.better or len({value for value, _ in numbers}) < 2:
                continue
            top = (min if column.better == "low" else max)(value for value, _ in numbers)
            best |= {(k, column.name) for value, k in numbers if value == top}
    return best


def ranked_users(rows: Sequence[Row]) -> dict[tuple[str, str], int]:
    """By place, for how many users most of its rows were ranked; of two equally common numbers, the larger."""
    counts = {
        place: Counter(row.ranked for row in rows if row.place == place and row.ranked) for place in _places(rows)
    }
    return {place: max(n, key=lambda users: (n[users], users)) for place, n in counts.items() if n}


def ranked_apart(rows: Sequence[Row]) -> list[Row]:
    """The rows whose rankings are not compared, because they were measured for another number of users."""
    users = ranked_users(rows)
    return [row for row in rows if row.ranked and row.ranked != users[row.place]]


def names_of(runs: Sequence[Run]) -> dict[str, str]:
    """A name for every run that no other has: its own, else its approach, with what differs where that repeats."""
    names: dict[str, str] = {}
    by_title = sorted(runs, key=lambda run: (_title(run), run.created))
    for title, same in groupby(by_title, key=_title):
        alike = list(same)
        differing = [name for name in FIELDS if len({getattr(run.request.config, name) for run in alike}) > 1]
        apart = _what_sets_apart(alike)
        for run in alike:
            wanted = [f"{_SHORT.get(name, FIELDS[name].label.lower())} {_text(run, name)}" for name in differing]
            wanted += [part(run) for part in apart]
            names[run.id] = ", ".join([title, *wanted]) if len(alike) > 1 and len(wanted) <= 2 else title
    repeated = {name for name, n in Counter(names.values()).items() if n > 1}
    counts: Counter[str] = Counter()
    for run in by_title:
        name = names[run.id]
        if name in repeated:
            counts[name] += 1
            names[run.id] = f"{name} ({counts[name]})"
    return names


def differences(runs: Sequence[Run]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """What differs between the runs (setting to one value a run), and what they share (setting to value).

    A setting that an approach does not have is a dash.
    """
    columns = {
        "Data": [_data(run) for run in runs],
        "Split": [_split(run) for run in runs],
        "Approach": [describe(run.request.config.approach).title for run in runs],
    }
    columns |= {setting.label: [_text(run, name) for run in runs] for name, setting in FIELDS.items()}
    differing = {name: values for name, values in columns.items() if len(set(values)) > 1}
    shared = {name: values[0] for name, values in columns.items() if len(set(values)) == 1 and values[0] != "–"}
    return differing, shared


def kept_earlier_text(named: Iterable[tuple[str, Run]]) -> str:
    """Which of these runs, by name, have kept the weights of an earlier epoch than their line ends at; mostly ''."""
    apart = [
        f"{plain(name)} (RMSE {error(run.metrics.valid_rmse)})"
        for name, run in named
        if run.kept_earlier and run.metrics
    ]
    if not apart:
        return ""
    return f"The model is that of an earlier epoch than the line ends at: {', '.join(apart)}."


def split_text(split: SplitConfig) -> str:
    """A split in a few words: ``random 20%, seed 42``."""
    if split.kind in FOLDS:
        return f"published fold {split.kind}"
    share = f"{100 * (split.valid_fraction or 0):.3g}%"
    if split.kind == "time":
        return f"each user's last {share}"
    start = "first 10%, " if split.kind == "first10" else ""
    return f"{start}random {share}, seed {split.seed}"


def place_of(request: RunRequest) -> tuple[str, str]:
    """What a run is measured on: errors compare only where this is the same."""
    return request.dataset, split_text(request.split)


def places(runs: Iterable[Run]) -> set[tuple[str, str]]:
    return {place_of(run.request) for run in runs}


def baselines_of(runs: Sequence[Run]) -> dict[str, float | None]:
    """The MSE of both baselines by name where all runs share one data set and split and it is known, else nothing."""
    if len(places(runs)) != 1:
        return {}
    known = next((run for run in runs if run.baseline_bias_mse is not None), None)
    if known is None:
        return {}
    return {MEAN.lower(): known.baseline_mean_mse, BIAS.lower(): known.baseline_bias_mse}


def status_text(run: Run) -> str:
    """How far a run is, in words."""
    if run.status in ("running", "stopped", "diverged", "failed"):
        return f"{run.status}, {len(run.history)} of {run.request.config.epochs or 1}"
    return "waiting" if run.status == "queued" else run.status


def settings_text(run: Run) -> str:
    """Every setting but the seed in one short line."""
    names = [name for name in describe(run.request.config.approach).settings if name != "seed"]
    return " · ".join(f"{_SHORT.get(name, FIELDS[name].label.lower())} {_text(run, name)}" for name in names)


def _run_row(run: Run, name: str) -> Row:
    losses = [result.valid_loss for result in run.history if math.isfinite(result.valid_loss)]
    ended_well = run.status in ("done", "stopped", "running")
    metrics = run.metrics
    ranking = metrics.ranking if metrics else None
    return Row(
        run_id=run.id,
        name=name,
        approach=describe(run.request.config.approach).title,
        settings=settings_text(run),
        data=_data(run),
        split=_split(run),
        status=status_text(run),
        place=place_of(run.request),
        ranked=ranking.n_users if ranking else None,
        values={
            "Best loss": min(losses, default=None) if ended_well else None,
            "Last loss": losses[-1] if losses and ended_well else None,
            "RMSE": metrics.valid_rmse if metrics else None,
            "MAE": metrics.valid_mae if metrics else None,
            **_ranking_values(ranking),
            "Seconds": run.fit_seconds,
            "Memory, MB": run.peak_memory_mb,
        },
    )


def _baseline_rows(runs: Sequence[Run], apart: Sequence[Callable[[Run], str]]) -> list[Row]:
    """Both baselines of runs on one split, as soon as one of them knows; their names say what sets the split apart."""
    known = sorted((run for run in runs if run.baseline_bias_mse is not None), key=lambda run: run.metrics is None)
    if not known:
        return []
    run, m = known[0], known[0].metrics
    rows = []
    for title, mse, mae, ranking in (
        (BIAS, run.baseline_bias_mse, m.baseline_bias_mae if m else None, m.baseline_bias_ranking if m else None),
        (MEAN, run.baseline_mean_mse, m.baseline_mean_mae if m else None, None),
    ):
        values = {column.name: None for column in COLUMNS} | {"Best loss": mse, "Last loss": mse, "MAE": mae}
        values |= {"RMSE": math.sqrt(mse) if mse is not None else None, **_ranking_values(ranking)}
        rows.append(
            Row(
                run_id="",
                name=", ".join([title, *(part(run) for part in apart)]),
                approach="Baseline",
                settings="",
                data=_data(run),
                split=split_text(run.request.split),
                status="baseline",
                place=place_of(run.request),
                ranked=ranking.n_users if ranking else None,
                values=values,
            )
        )
    return rows


def _what_sets_apart(runs: Sequence[Run]) -> list[Callable[[Run], str]]:
    """What to say of each run's data and split, so that these runs are told apart; nothing where all are the same."""
    parts: list[Callable[[Run], str]] = []
    if len({run.request.dataset for run in runs}) > 1:
        parts.append(_data)
    splits = {run.request.split for run in runs}
    if len(splits) > 1:
        only_seed = len({(split.kind, split.valid_fraction) for split in splits}) == 1
        parts.append((lambda run: f"split {run.request.split.seed}") if only_seed else _split)
    return parts


def _data(run: Run) -> str:
    return run.dataset_title or run.request.dataset


def _split(run: Run) -> str:
    return split_text(run.request.split)


def _places(rows: Sequence[Row]) -> set[tuple[str, str]]:
    return {row.place for row in rows}


def _ranking_values(ranking: Ranking | None) -> dict[str, float | None]:
    names = ("ndcg", "precision", "recall", "hit_rate", "coverage")
    return {column: getattr(ranking, name) if ranking else None for column, name in zip(RANKED, names, strict=True)}


def _title(run: Run) -> str:
    return run.name or describe(run.request.config.approach).title


def _text(run: Run, name: str) -> str:
    value = getattr(run.request.config, name)
    if value is not None:
        return number(value)
    setting = describe(run.request.config.approach).settings.get(name)
    return setting.left_out.lower() if setting is not None and setting.optional else "–"
