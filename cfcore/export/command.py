"""``python -m cfcore export``: runs that a page has trained, as files.

The runs are those of the store (``CFCORE_RUNS_DIR``); their ids stand in a page's address.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from cfcore import datasets
from cfcore.export.cells import unsafe
from cfcore.export.home import HOME, home_file, home_name
from cfcore.export.tables import epochs_csv, runs_csv, runs_json
from cfcore.export.vectors import FACTORS, factors_npz, factors_safetensors, metadata_tsv, vectors_tsv
from cfcore.runs import Run, RunStore

FORMATS = ("csv", "json", "tsv", "npz", "safetensors", *HOME)
_TABLES: dict[str, dict[str, Callable[[Sequence[Run]], str]]] = {
    "csv": {"runs.csv": runs_csv, "epochs.csv": epochs_csv},
    "json": {"runs.json": runs_json},
}


def add_export(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of the command line."""
    command = commands.add_parser(
        "export",
        help="write runs of the store as files",
        description="Write runs of the store (CFCORE_RUNS_DIR) as files. An id that starts with - goes after --.",
    )
    command.add_argument("run_ids", nargs="+", metavar="RUN_ID", help="the id of a run, from a page's address")
    command.add_argument("--format", choices=FORMATS, nargs="+", default=["csv", "json"], help="default: csv json")
    command.add_argument("--out", type=Path, default=Path(), metavar="FOLDER", help="default: this folder")
    command.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> int:
    try:
        for path in write_runs(RunStore(), [unsafe(run_id) for run_id in options.run_ids], options.format, options.out):
            print(path)
    except ValueError as error:
        print(f"cfcore: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"cfcore: cannot write {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def write_runs(store: RunStore, run_ids: Sequence[str], formats: Sequence[str], folder: Path) -> list[Path]:
    """Write these runs to ``folder``: the tables for all of them together, the other formats for each.

    Raises:
        ValueError: there is no such run, it has not learned anything, or its data set is not here.
        OSError: a file cannot be written.
    """
    runs = store.get_many(list(run_ids))
    missing = sorted(set(run_ids) - {run.id for run in runs})
    if missing:
        raise ValueError(f"there is no run {', '.join(missing)} in {store.root}")
    files: dict[str, str | bytes] = {}
    for kind in formats:
        for name, write in _TABLES.get(kind, {}).items():
            files[name] = write(runs)
        for run in runs if kind not in _TABLES else ():
            files |= _of_one(store, run, kind)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return [folder / name for name in files]


def _of_one(store: RunStore, run: Run, kind: str) -> dict[str, str | bytes]:
    stem = f"{run.request.config.approach}-{run.id}"
    if kind in HOME:
        return {home_name(run, kind, stem): home_file(store, run, kind, stem)}
    arrays, ratings = store.arrays(run.id, *FACTORS), datasets.load(run.request.dataset)
    if kind == "tsv":
        items = arrays["item_factors"]
        return {f"{stem}-vectors.tsv": vectors_tsv(items), f"{stem}-metadata.tsv": metadata_tsv(items, ratings)}
    if kind == "npz":
        return {f"{stem}.npz": factors_npz(arrays, ratings)}
    about = {"run": run.id, "approach": run.request.config.approach, "dataset": run.dataset_title}
    return {f"{stem}.safetensors": factors_safetensors(arrays, ratings, about)}
