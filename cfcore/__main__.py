"""The same engine without a browser: ``python -m cfcore approaches | datasets | limits | train | export | doctor``.

Exit status: 0 done, 1 the run diverged or failed, 2 bad arguments or input; each with one clear line on stderr.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

from cfcore import approaches, datasets
from cfcore.approaches import APPROACHES, BASELINES
from cfcore.checkup import add_doctor
from cfcore.config import LOOKUPS, SPLIT_KINDS, RunConfig, SplitConfig
from cfcore.export import to_json, write_folder
from cfcore.export.command import add_export
from cfcore.limits import MEANING, Limits, variable
from cfcore.ratings import Ratings, Split, make_split
from cfcore.training import EpochResult, Trained

SETTINGS = {  # the option's name and type for each setting an approach may have
    "epochs": int,
    "learning_rate": float,
    "embedding_size": int,
    "batch_size": int,
    "weight_decay": float,
    "hidden_size": int,
    "implicit_size": int,
    "seed": int,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        print("cfcore: interrupted", file=sys.stderr)
        return 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One clear line rather than the usage and then the line; ``--help`` shows the usage."""
        self.exit(2, f"cfcore: {message}\n")


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = _Parser(prog="python -m cfcore", description="Train collaborative filtering without a browser.")
    commands = top.add_subparsers(required=True, metavar="approaches | datasets | limits | train | export | doctor")
    for name, run, text in (
        ("approaches", _approaches, "the approaches, their settings and the article's values"),
        ("datasets", _datasets, "the data sets, and whether they are on disk"),
        ("limits", _limits, "what a visit of the app may ask for, and the variables that set it"),
    ):
        command = commands.add_parser(name, help=text, description=f"List {text}.")
        command.add_argument("--json", action="store_true", help="print JSON")
        command.set_defaults(run=run)

    train = commands.add_parser("train", help="train one approach", description="Train one approach and measure it.")
    train.add_argument("--approach", required=True, metavar="KEY", help=", ".join(APPROACHES))
    train.add_argument(
        "--dataset",
        metavar="NAME_OR_PATH",
        help=f"{', '.join(datasets.SOURCES)}, a folder, zip or CSV; default: ml-100k when on disk, else sample",
    )
    train.add_argument("--split", metavar="KIND", help=f"{', '.join(SPLIT_KINDS)}; default: the approach's preset")
    train.add_argument("--split-seed", type=int, metavar="S", help="the seed of a random split; default: --seed, or 42")
    train.add_argument("--valid-fraction", type=float, metavar="X", help="the share of ratings held out")
    for name, kind in SETTINGS.items():
        option = f"--{name.replace('_', '-')}"
        train.add_argument(option, type=kind, metavar=name.upper()[:1], help=approaches.FIELDS[name].label.lower())
    train.add_argument("--layers", type=int, nargs="+", metavar="H", help="widths of the hidden layers")
    train.add_argument("--y-range", type=float, nargs=2, metavar=("LOW", "HIGH"), help="the sigmoid's range")
    train.add_argument("--lookup", metavar="L", help=", ".join(LOOKUPS))
    train.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    train.add_argument(
        "--out", type=Path, metavar="FOLDER", help="write predictions.csv, movies.csv, movie_factors.npy and run.json"
    )
    train.set_defaults(run=_train)
    add_export(commands)
    add_doctor(commands)
    return top


def _approaches(options: argparse.Namespace) -> int:
    if options.json:
        print(json.dumps([_approach_json(key) for key in APPROACHES], indent=2))
        return 0
    for key, info in APPROACHES.items():
        print(f"{key:14} {info.summary}")
        if info.settings:
            values = ", ".join(f"{name} {getattr(info.preset, name)}" for name in info.settings)
            print(f"{'':14} preset: {values}; split {info.preset_split.kind}")
    return 0


def _approach_json(key: str) -> dict[str, Any]:
    info = APPROACHES[key]
    return {
        "key": key,
        "title": info.title,
        "summary": info.summary,
        "baseline": key in BASELINES,
        "preset": info.preset.to_json(),
        "split": info.preset_split.to_json(),
        "settings": {
            name: {
                "kind": s.kind,
                "minimum": s.minimum,
                "maximum": s.maximum,
                "choices": list(s.choices),
                "help": s.help,
            }
            for name, s in info.settings.items()
        },
    }


def _datasets(options: argparse.Namespace) -> int:
    rows = [
        {
            "name": name,
            "title": source.title,
            "n_ratings": source.n_ratings,
            "size_mb": source.size_mb,
            "on_disk": datasets.on_disk(name),
            "simulated": source.simulated,
            "licence": source.licence,
        }
        for name, source in datasets.SOURCES.items()
    ]
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        where = "built in" if row["simulated"] else "on disk" if row["on_disk"] else "not downloaded"
        print(f"{row['name']:16} {row['n_ratings']:>12,} ratings   {where:15} {row['title']}")
    return 0


def _limits(options: argparse.Namespace) -> int:
    try:
        limits = Limits.from_environment()
    except ValueError as problem:
        return _say(str(problem), 2)
    rows = [
        {"variable": variable(name), "limit": value if math.isfinite(value) else None, "meaning": MEANING[name]}
        for name, value in asdict(limits).items()
    ]
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        limit = "none" if row["limit"] is None else f"{row['limit']:,.0f}"
        print(f"{row['variable']:20} {limit:>16}   {row['meaning']}")
    return 0


def _train(options: argparse.Namespace) -> int:
    try:
        config, split_config = requested(options)
        _check_writable(options)
        ratings = _load(options.dataset)
        config = approaches.make_config(config.approach, scale=ratings.scale, **_given(options))
        split = make_split(ratings, split_config)
    except ValueError as error:
        return _say(str(error), 2)

    print(f"{APPROACHES[config.approach].title} on {ratings.about.title}: {len(split.train):,} ratings to train on,")
    print(f"{len(split.valid):,} to validate ({split.how})")
    try:
        trained = _train_with_progress(split, config)
    except ValueError as error:  # settings that only the data can refuse, such as a lookup that would not fit
        return _say(str(error), 2)
    except (MemoryError, RuntimeError) as error:  # torch reports a lack of memory as the latter
        reason = next(iter(str(error).splitlines()), "")
        return _say(f"failed: the training broke off ({reason or type(error).__name__}); try smaller settings", 1)
    print(_table(trained))
    result = to_json(split, split_config, config, trained)
    try:
        if options.json:
            options.json.write_text(json.dumps(result, indent=2, allow_nan=False) + "\n")
        if options.out:
            write_folder(options.out, split, trained, result)
    except OSError as error:
        return _say(f"cannot write {error.filename}: {error.strerror}", 1)
    if trained.status == "done":
        return _say(trained.message, 0) if trained.message else 0
    return _say(f"{trained.status}: {trained.message}", 1)


def _check_writable(options: argparse.Namespace) -> None:
    """Find out before an hour of training, not after it; raises ``ValueError`` when a result could not be written."""
    try:
        if options.json is not None:
            options.json.parent.mkdir(parents=True, exist_ok=True)
            new = not options.json.exists()
            with options.json.open("a"):
                pass
            if new:
                options.json.unlink()
        if options.out is not None:
            options.out.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=options.out):
                pass
    except OSError as error:
        raise ValueError(f"cannot write to {error.filename or options.out}: {error.strerror}") from error


def requested(options: argparse.Namespace) -> tuple[RunConfig, SplitConfig]:
    """The configuration and the split that the options ask for; raises ``ValueError`` where they cannot be."""
    config = approaches.make_config(options.approach, **_given(options))
    preset = APPROACHES[options.approach].preset_split
    seeds = (seed for seed in (options.split_seed, options.seed, 42) if seed is not None)
    split = SplitConfig.of(options.split or preset.kind, valid_fraction=options.valid_fraction, seed=next(seeds))
    return config, split


def _given(options: argparse.Namespace) -> dict[str, Any]:
    names = (*SETTINGS, "layers", "y_range", "lookup")
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def _load(wanted: str | None) -> Ratings:
    if wanted is None:
        wanted = "ml-100k" if datasets.on_disk("ml-100k") else "sample"
    if wanted in datasets.SOURCES and not datasets.on_disk(wanted):
        source = datasets.SOURCES[wanted]
        with tqdm(total=round(source.size_mb * 1e6), unit="B", unit_scale=True, desc=wanted, disable=None) as bar:

            def show(done: int, total: int) -> None:
                bar.total = total or bar.total
                bar.update(done - bar.n)

            datasets.fetch(wanted, show)
    return datasets.load(wanted)


def _train_with_progress(split: Split, config: RunConfig) -> Trained:
    steps = math.ceil(len(split.train) / config.batch_size) if config.batch_size else 1
    total = steps * (config.epochs or 1)
    with tqdm(total=total, unit="step", disable=None, leave=False) as bar:  # disable=None: only on a terminal

        def on_epoch(result: EpochResult) -> None:
            bar.write(
                f"epoch {result.epoch:>3}   train loss {result.train_loss:.4f}   "
                f"valid loss {result.valid_loss:.4f}   {result.seconds:.2g} s"
            )

        def on_batch(loss: float) -> None:
            bar.update()

        return approaches.train(split, config, on_epoch, on_batch)


def _table(trained: Trained) -> str:
    m = trained.metrics
    rows = [
        ("this run", m.valid_rmse, m.valid_mae),
        ("user + movie bias", m.baseline_bias_rmse, m.baseline_bias_mae),
        ("global mean", m.baseline_mean_rmse, m.baseline_mean_mae),
    ]
    lines = [f"{'validation, in stars':22} {'RMSE':>8} {'MAE':>8}"]
    for name, rmse, mae in rows:
        shown = [f"{value:8.3f}" if value is not None else f"{'-':>8}" for value in (rmse, mae)]
        lines.append(f"{name:22} {' '.join(shown)}")
    if m.valid_mse is not None:
        lines.append(f"valid loss (MSE) {m.valid_mse:.4f}")
    lines.append(f"fitted in {trained.fit_seconds:.2g} s, peak memory {trained.peak_memory_mb:,.0f} MB")
    return "\n".join(lines)


def _say(sentence: str, status: int) -> int:
    """Print one line of what is wrong, and give the exit status."""
    print(f"cfcore: {sentence}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
