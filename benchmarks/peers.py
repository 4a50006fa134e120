"""How well and how fast ``mf`` and ``als`` learn, beside Surprise, LensKit and Cornac."""

from __future__ import annotations

import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import platformdirs

from benchmarks.data import movielens
from benchmarks.table import Line, Section
from benchmarks.timing import ratio
from cfcore import approaches
from cfcore.approaches import describe, make_config
from cfcore.config import FOLDS, SplitConfig
from cfcore.metrics import rmse
from cfcore.ratings import Split, make_split

ROOT = Path(__file__).parents[1]
OURS = ("mf", "als")
THEIRS = ("Surprise SVD", "LensKit ALS", "Cornac MF")
HELD_OUT = 0.1  # of u1's training ratings, to choose settings on

# Where the search for settings begins: where each of us stands as it comes. Least squares have no learning rate.
SEARCHED: Mapping[str, Mapping[str, float]] = {
    "mf": {"embedding_size": 20, "weight_decay": 1.0, "epochs": 8, "learning_rate": 0.04},
    "als": {"embedding_size": 20, "weight_decay": 1.2, "epochs": 6},
    "Surprise SVD": {"n_factors": 100, "reg_all": 0.02, "n_epochs": 20, "lr_all": 0.005},
    "LensKit ALS": {"features": 50, "regularization": 0.1, "epochs": 10},
    "Cornac MF": {"k": 10, "lambda_reg": 0.02, "max_iter": 20, "learning_rate": 0.01},
}
WHOLE = {"embedding_size", "epochs", "n_factors", "n_epochs", "features", "k", "max_iter"}  # numbers of something
FACTORS = {"embedding_size", "n_factors", "features", "k"}
STEP, STEP_OF_FACTORS = 1.5, 2.0  # times as large, or as small
MOST_FACTORS = 200  # for any of us
GAIN = 1e-4  # stars: a step that gains less ends the way in its direction


@dataclass(frozen=True)
class Fit:
    """One fit: its seconds, its RMSE on the held-out ratings, and by epoch both so far (of ours)."""

    seconds: float
    rmse: float
    so_far: tuple[tuple[float, float], ...] = ()


class Peers:
    """The process that fits the peers, in an environment of their own; the data goes there once, as a file."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [str(environment()), str(ROOT / "benchmarks" / "peer.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": ""},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._folder.cleanup()

    def versions(self) -> dict[str, str]:
        return self._ask({"who": "versions"})

    def fit(self, who: str, name: str, split: Split, settings: Mapping[str, Any]) -> Fit:
        """``name`` is that of the split."""
        path = Path(self._folder.name) / f"{name}.npz"
        if not path.exists():
            parts = {"train": split.part(split.train), "test": split.part(split.valid)}
            names = ("users", "items", "ratings")
            arrays = {
                f"{part}_{name}": values
                for part, three in parts.items()
                for name, values in zip(names, three, strict=True)
            }
            np.savez(path, **arrays)  # pyright: ignore[reportArgumentType]
        answer = self._ask({"who": who, "data": str(path), "settings": dict(settings)})
        return Fit(answer["seconds"], answer["rmse"])

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{json.dumps(request)}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(
                f"the process of the peers ended at {request}: run benchmarks/peer.py by hand to see why"
            )
        return json.loads(answer)


def environment() -> Path:
    """The Python of the peers: ``CFCORE_PEERS``, or an environment in the user's cache that is made where it is not."""
    named = os.environ.get("CFCORE_PEERS")
    if named:
        return Path(named)
    folder = Path(platformdirs.user_cache_dir("latent-lab")) / "peers"
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    marker = folder / "installed"
    wanted = (ROOT / "requirements-peers.txt").read_text(encoding="utf-8")
    if not marker.exists() or marker.read_text(encoding="utf-8") != wanted:
        venv.create(folder, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "-q", "-r", str(ROOT / "requirements-peers.txt")]
        subprocess.run(install, check=True, stdout=sys.stderr)
        marker.write_text(wanted, encoding="utf-8")
    return python


def peers(*, quick: bool) -> Section:
    """Time to the error of Surprise's SVD, error and time at the end of the default run, and all of us tuned."""
    ratings, name = movielens()
    if not set(FOLDS) <= set(ratings.folds):
        how = "Not measured: the published folds of MovieLens 100K could not be had."
        return Section(title=TITLE, how=how, lines=[])
    splits = {fold: make_split(ratings, SplitConfig.of(fold)) for fold in FOLDS}
    repeat = 1 if quick else 5
    with Peers() as process:

        def fit(who: str, split: str, settings: Mapping[str, Any] | None = None) -> Fit:
            if who in OURS:
                return fit_ours(who, splits[split], settings or {})
            return process.fit(who, split, splits[split], settings or {})

        versions = ", ".join(f"{who} {version}" for who, version in process.versions().items())
        turns = [{who: fit(who, "u1") for who in (*OURS, *THEIRS)} for _ in range(repeat + 1)][1:]
        folds = {
            who: [turns[0][who].rmse, *(fit(who, fold).rmse for fold in FOLDS[1:] if who in OURS or not quick)]
            for who in (*OURS, *THEIRS)
        }
        lines = [*_to_svd(turns), *_at_the_end(turns, folds)]
        if not quick:
            splits["inner"] = inner(splits["u1"])
            lines += [_tuned(who, fit, turns, folds) for who in (*OURS, *THEIRS)]
    return Section(
        title=TITLE,
        how=f"{name}, the published folds u1 to u5. {versions}. Seconds of the fit alone, on u1, ours with all their "
        "reports" + (QUICKLY if quick else FULLY.format(repeat=repeat, most=MOST_FACTORS)),
        lines=lines,
    )


TITLE = "The tuned approaches, beside the peers"
CUT = "All predictions are cut off at the ends of the scale."
QUICKLY = f", once each. {CUT} Left out with `--quick`: the peers on u2 to u5, and all of us tuned."
FULLY = (
    f", the median of {{repeat}} turns. {CUT} Tuned, by the error on a tenth of u1's training ratings: from the "
    "settings as it comes, one setting at a time goes up or down, factors twofold (to {most} at most, for all of us), "
    "others one and a half times, for as long as that gains 0.0001 stars, and so on until no step gains; then trained "
    "anew on all of u1's training ratings. No test rating was looked at for it. u1 is the clean one: its training "
    "ratings, on which our defaults were chosen, are the test ratings of u2 to u5. Surprise's SVD is charged its whole "
    "fit: it tells no error before its end."
)


def fit_ours(who: str, split: Split, settings: Mapping[str, Any]) -> Fit:
    """An approach of ours with these settings in the place of its own, its predictions cut off as the peers' are."""
    trained = approaches.train(split, make_config(who, scale=split.ratings.scale, **settings))
    spent = itertools.accumulate(epoch.seconds for epoch in trained.history)
    so_far = tuple((taken, math.sqrt(epoch.valid_loss)) for taken, epoch in zip(spent, trained.history, strict=True))
    predictions = np.clip(trained.valid_predictions, *split.ratings.scale)
    return Fit(trained.fit_seconds, rmse(predictions, split.part(split.valid)[2]), so_far)


def climb(error: Callable[[Mapping[str, Any]], float], searched: Mapping[str, float]) -> tuple[dict[str, Any], int]:
    """The settings from which no step of one of them lowers ``error`` by :data:`GAIN`, and how many were tried.

    ``searched`` has the first value of each setting.
    """
    tried: dict[tuple[float, ...], float] = {}

    def tell(settings: Mapping[str, Any]) -> float:
        key = tuple(settings.values())
        if key not in tried:
            tried[key] = error(settings)
        return tried[key]

    best: dict[str, Any] = dict(searched)
    while True:
        before = best
        for name in searched:
            step = STEP_OF_FACTORS if name in FACTORS else STEP
            for factor in (step, 1 / step):
                stood = best
                while (there := {**best, name: _moved(name, best[name], factor)}) != best:
                    if not tell(there) < tell(best) - GAIN:
                        break
                    best = there
                if best is not stood:
                    break  # what lies the other way is where it came from
        if best is before:
            return best, len(tried)


def _moved(name: str, value: float, factor: float) -> float:
    """A setting one step on: whole numbers stay whole, and factors within :data:`MOST_FACTORS`."""
    if name not in WHOLE:
        return float(f"{value * factor:.4g}")
    return max(1, min(round(value * factor), MOST_FACTORS if name in FACTORS else 10**9))


def inner(split: Split) -> Split:
    """The training ratings alone, a tenth of them held out: what settings may be chosen on."""
    shuffled = np.random.default_rng(0).permutation(split.train)
    n = round(HELD_OUT * len(shuffled))
    return replace(split, valid=np.sort(shuffled[:n]), train=np.sort(shuffled[n:]))


def _to_svd(turns: Sequence[Mapping[str, Fit]]) -> list[Line]:
    """How long ours take to the error at which Surprise's SVD ends, beside its fit."""
    lines = []
    for who in OURS:
        aim = turns[0]["Surprise SVD"].rmse
        seconds = {
            "ours": [next((taken for taken, rmse in turn[who].so_far if rmse <= aim), math.nan) for turn in turns],
            "svd": [turn["Surprise SVD"].seconds for turn in turns],
        }
        lines.append(
            Line(
                what=f"`{who}`: time to the RMSE of Surprise's SVD on u1 ({aim:.4f}), beside its fit",
                ours=_seconds(seconds["ours"]),
                theirs=_seconds(seconds["svd"]),
                value=ratio(seconds, "ours", "svd"),
                bound="at most",
                wanted=0.5,
            )
        )
    return lines


def _at_the_end(turns: Sequence[Mapping[str, Fit]], folds: Mapping[str, Sequence[float]]) -> list[Line]:
    lines = []
    for who in OURS:
        seconds = {name: [turn[name].seconds for turn in turns] for name in (who, "LensKit ALS")}
        lines.append(
            Line(
                what=f"`{who}`, default run: mean RMSE over u1 to u5",
                ours=f"{statistics.mean(folds[who]):.4f}",
                theirs="; ".join(f"{name} {_mean_rmse(folds[name])}" for name in THEIRS),
                value=statistics.mean(folds[who]),
                bound="at most",
                wanted=0.915,
                unit="stars",
            )
        )
        lines.append(
            Line(
                what=f"`{who}`, default run: time of its fit on u1 beside LensKit's ALS",
                ours=_seconds(seconds[who]),
                theirs=_seconds(seconds["LensKit ALS"]),
                value=ratio(seconds, who, "LensKit ALS"),
                bound="at most",
                wanted=2.0,
            )
        )
    return lines


def _tuned(who: str, fit: Any, turns: Sequence[Mapping[str, Fit]], folds: Mapping[str, Sequence[float]]) -> Line:
    """The best settings by the inner split, and what they give on u1's test ratings."""
    best, n_tried = climb(lambda settings: fit(who, "inner", settings).rmse, SEARCHED[who])
    tuned = fit(who, "u1", best)
    titles = {key: describe(key).title for key in OURS}
    words = ", ".join(f"{name} {value:g}" for name, value in best.items())
    said = (
        f"{tuned.rmse:.4f} in {tuned.seconds:.2g} s; as it comes {folds[who][0]:.4f} in "
        f"{_seconds([turn[who].seconds for turn in turns])}"
    )
    return Line(
        what=f"{titles.get(who, who)}: RMSE on u1, tuned ({words}; {n_tried} settings tried)",
        ours=said if who in OURS else "–",
        theirs="–" if who in OURS else said,
        value=tuned.rmse,
        bound="at most",
        unit="stars",
    )


def _mean_rmse(of_folds: Sequence[float]) -> str:
    return f"{statistics.mean(of_folds):.4f}{'' if len(of_folds) == len(FOLDS) else ' (u1 alone)'}"


def _seconds(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2g} s"
