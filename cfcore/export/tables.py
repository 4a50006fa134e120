"""Runs as tables: one row a run, one row an epoch, or everything as JSON.

Numbers are written with all their digits, so that they read back as they were; what means nothing is an empty cell, or
``null``.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

from cfcore.approaches import FIELDS
from cfcore.config import RunRequest
from cfcore.export.cells import cell
from cfcore.metrics import Ranking
from cfcore.runs import Run

_ERRORS = ("valid_mse", "valid_rmse", "valid_mae", "baseline_mean_rmse", "baseline_bias_rmse")
_RANKING = tuple(field.name for field in fields(Ranking))
_EPOCH = ("epoch", "train_loss", "valid_loss", "seconds", "learning_rate")


def updates_an_epoch(request: RunRequest, n_train: int | None) -> int | None:
    """How many gradient steps an epoch takes; ``None`` while it is not known how many ratings train."""
    if request.config.batch_size is None:
        return 1
    return math.ceil(n_train / request.config.batch_size) if n_train else None


def runs_csv(runs: Iterable[Run]) -> str:
    """One line a run: what was asked for, how it ended, its errors and its cost."""
    rows = [run_row(run) for run in runs]
    return write_csv(list(run_row_names()), rows)


def epochs_csv(runs: Iterable[Run]) -> str:
    """One line an epoch of every run: losses (MSE), seconds, and how many gradient steps had been taken by its end."""
    rows = []
    for run in runs:
        each = updates_an_epoch(run.request, run.n_train)
        start = {"run_id": run.id, "name": run.name, "approach": run.request.config.approach}
        for result in run.history:
            updates = result.epoch * each if each is not None else None
            rows.append({**start, "updates": updates} | {name: _finite(getattr(result, name)) for name in _EPOCH})
    return write_csv(["run_id", "name", "approach", "epoch", "updates", *_EPOCH[1:]], rows)


def runs_json(runs: Sequence[Run]) -> str:
    """Every run with every epoch, as a JSON list; a number that is not finite is ``null``."""
    return json.dumps([_run_json(run) for run in runs], indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def run_row_names() -> tuple[str, ...]:
    """The columns of :func:`runs_csv`."""
    asked = ("run_id", "name", "approach", "dataset", "dataset_title", "split", "valid_fraction", "split_seed")
    ended = ("status", "message", "epochs_done", "best_epoch", "best_valid_loss", "last_train_loss", "last_valid_loss")
    cost = ("n_train", "n_valid", "fit_seconds", "peak_memory_mb", "created", "group")
    ranking = (f"{name}_at_10" if name != "n_users" else "ranked_users" for name in _RANKING)
    return (*asked, *FIELDS, *ended, *_ERRORS, *ranking, *cost)


def run_row(run: Run) -> dict[str, Any]:
    """What one line of :func:`runs_csv` holds, by column."""
    config, split = run.request.config, run.request.split
    best = min(run.history, key=lambda result: result.valid_loss, default=None)
    last = run.history[-1] if run.history else None
    row: dict[str, Any] = {
        "run_id": run.id,
        "name": run.name,
        "approach": config.approach,
        "dataset": run.request.dataset,
        "dataset_title": run.dataset_title,
        "split": split.kind,
        "valid_fraction": split.valid_fraction,
        "split_seed": split.seed,
        "status": run.status,
        "message": run.message,
        "epochs_done": len(run.history),
        "best_epoch": best.epoch if best else None,
        "best_valid_loss": best.valid_loss if best else None,
        "last_train_loss": last.train_loss if last else None,
        "last_valid_loss": last.valid_loss if last else None,
        "n_train": run.n_train,
        "n_valid": run.n_valid,
        "fit_seconds": run.fit_seconds,
        "peak_memory_mb": run.peak_memory_mb,
        "created": _when(run.created),
        "group": run.group,
    }
    row |= {name: _setting(getattr(config, name)) for name in FIELDS}
    row |= {name: getattr(run.metrics, name) if run.metrics else None for name in _ERRORS}
    ranking = run.metrics.ranking if run.metrics else None
    for name in _RANKING:
        row[f"{name}_at_10" if name != "n_users" else "ranked_users"] = getattr(ranking, name) if ranking else None
    return {name: _finite(value) for name, value in row.items()}


def _run_json(run: Run) -> dict[str, Any]:
    metrics = asdict(run.metrics) if run.metrics else None
    return {
        "id": run.id,
        "name": run.name,
        "approach": run.request.config.approach,
        "dataset": {"name": run.request.dataset, "title": run.dataset_title},
        "split": {
            **run.request.split.to_json(),
            "how": run.split_how,
            "n_train": run.n_train,
            "n_valid": run.n_valid,
        },
        "config": run.request.config.to_json(),
        "history": [{name: _finite(getattr(result, name)) for name in _EPOCH} for result in run.history],
        "metrics": _all_finite(metrics),
        "fit_seconds": run.fit_seconds,
        "peak_memory_mb": run.peak_memory_mb,
        "status": run.status,
        "message": run.message,
        "created": _when(run.created),
        "group": run.group,
    }


def write_csv(names: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    """A table; no text in it is a formula to a spreadsheet, not even an id, which may begin with a minus."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, names)
    writer.writeheader()
    writer.writerows({name: cell(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def _setting(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, tuple) else value


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _all_finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _all_finite(each) for name, each in value.items()}
    return _finite(value)


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
