"""Many runs at once: five approaches on one split, or one approach over a grid of settings.

A sweep trains every combination of the values of one or two settings, with everything else held still. It is the
plainest search there is (a grid), and its picture is the point: where the valley lies, and where training diverges.
Source: Bergstra and Bengio, "Random search for hyper-parameter optimization" (2012), also on why not to do more of it.

The runs share a group id; the grid itself is not kept anywhere, because the requests of the group say all of it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cfcore.approaches import ARTICLE, FIELDS, ApproachInfo, Setting, describe, make_config
from cfcore.config import RunConfig, RunRequest, SplitConfig
from cfcore.estimate import estimate
from cfcore.runs import Run

MOST_RUNS = 16  # a sweep shares its worker with everybody else on the server
FIVE = ARTICLE
_SWEPT = ("int", "float", "choice")  # kinds of settings: lists of lists would not fit into a text field
_LADDER = (1.0, 3.0)  # of a logarithmic scale: 0.001, 0.003, 0.01, ...

# Settings that learn, and soon. The article's hardly train the first two; larger batches take the other three to a like
# error in a third of the time (docs/decisions.md).
THAT_LEARN: Mapping[str, Mapping[str, Any]] = {
    "scratch": {"learning_rate": describe("scratch").good_rate, "embedding_size": 8},
    "pytorch": {"learning_rate": describe("pytorch").good_rate},
    "fastai_custom": {"learning_rate": 0.01, "batch_size": 256, "epochs": 8},
    "fastai_nn": {"learning_rate": 0.005, "batch_size": 512, "weight_decay": 0.3},
    "fastai_dot": {"learning_rate": 0.01, "batch_size": 512},
}


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One swept setting and its values, ascending where they are numbers."""

    name: str
    values: tuple[Any, ...]

    @property
    def label(self) -> str:
        return FIELDS[self.name].label


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of a sweep: its value on each axis, and its validation RMSE so far, ``None`` where there is none.

    ``final`` says whether that is the error of a run that has ended well.
    """

    run: Run
    values: tuple[Any, ...]
    rmse: float | None
    final: bool


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A sweep as far as it has come: one or two axes, and the runs that there are."""

    axes: tuple[Axis, ...]
    cells: tuple[Cell, ...]

    @property
    def best(self) -> Cell | None:
        """The ended run with the lowest error."""
        return min((cell for cell in self.cells if cell.final), key=lambda cell: cell.rmse or 0.0, default=None)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What several runs take together: ``seconds`` on one worker, the memory of the largest, and why one cannot be."""

    seconds: float
    memory_mb: float
    refused: str | None


def five_ways(
    dataset: str, split: SplitConfig, *, seed: int, scale: tuple[float, float], that_learn: bool
) -> tuple[RunRequest, ...]:
    """All five approaches on the same data, split and seed, with the article's settings or with settings that learn."""
    changes: Mapping[str, Mapping[str, Any]] = THAT_LEARN if that_learn else {}
    return tuple(
        RunRequest(
            dataset=dataset,
            split=split,
            config=make_config(key, scale=scale, **{**changes.get(key, {}), "seed": seed}),
        )
        for key in FIVE
    )


def swept_settings(approach: str) -> tuple[str, ...]:
    """The settings of ``approach`` that a sweep can go through."""
    return tuple(name for name, setting in describe(approach).settings.items() if setting.kind in _SWEPT)


def suggest(config: RunConfig, name: str, n: int = 4) -> tuple[Any, ...]:
    """``n`` values of a setting worth trying around the usual one: evenly apart on a logarithmic scale."""
    info = describe(config.approach)
    setting = info.settings[name]
    if setting.kind == "choice":
        return setting.choices[:n]
    if name == "seed":
        return tuple(range(1, n + 1))
    centre = THAT_LEARN.get(config.approach, {}).get(name) or getattr(config, name) or 32
    steps = range(-(n // 2), n - n // 2)
    if setting.kind == "int":
        power = round(math.log2(centre))
        wanted: list[Any] = [2 ** (power + step) for step in steps]
    else:
        half_tens = round(2 * math.log10(max(centre, 1e-4)))
        wanted = [_rung(half_tens + step) for step in steps]
    kept = [value for value in wanted if setting.minimum <= value <= setting.maximum]
    return tuple(kept or [centre])


def parse_values(info: ApproachInfo, name: str, text: str) -> tuple[Any, ...]:
    """The values that a person typed, separated by commas or blanks: sorted, and each once.

    Raises:
        ValueError: there is none, or one is not a value of the setting, or out of its range.
    """
    setting = info.settings[name]
    words = text.replace(",", " ").replace(";", " ").split()
    if not words:
        raise ValueError(f"{setting.label} needs values to try, such as {_example(setting)}")
    values = [_parse(setting, word) for word in words]
    for value in values:
        make_config(info.key, **{name: value})
    return tuple(dict.fromkeys(values)) if setting.kind == "choice" else tuple(sorted(set(values)))


def plan(base: RunRequest, axes: Sequence[Axis]) -> tuple[RunRequest, ...]:
    """The requests of a sweep around ``base``: every combination of the axes' values, the last axis fastest.

    Raises:
        ValueError: fewer than two combinations, more than :data:`MOST_RUNS`, or one that cannot be trained.
    """
    names = [axis.name for axis in axes]
    if len(set(names)) < len(names):
        raise ValueError("the two settings of a sweep must be different ones")
    n_runs = math.prod(len(axis.values) for axis in axes)
    if n_runs < 2:
        raise ValueError("a sweep needs at least two values of a setting")
    if n_runs > MOST_RUNS:
        product = " x ".join(str(len(axis.values)) for axis in axes)
        raise ValueError(
            f"{f'{product} values are ' if len(axes) > 1 else ''}{n_runs} runs, and a sweep may have {MOST_RUNS}: "
            "leave some values out"
        )
    requests = []
    for values in itertools.product(*(axis.values for axis in axes)):
        config = base.config.with_settings(**dict(zip(names, values, strict=True)))
        describe(config.approach).check(config)
        requests.append(RunRequest(dataset=base.dataset, split=base.split, config=config))
    return tuple(requests)


def cost(requests: Sequence[RunRequest], *, n_train: int, n_valid: int, n_users: int, n_items: int) -> Cost:
    """What these runs take together, one after the other."""
    sizes = {"n_train": n_train, "n_valid": n_valid, "n_users": n_users, "n_items": n_items}
    each = [estimate(request.config, **sizes) for request in requests]
    return Cost(
        seconds=sum(one.seconds for one in each),
        memory_mb=max((one.memory_mb for one in each), default=0.0),
        refused=next((one.refused for one in each if one.refused), None),
    )


def grid_of(runs: Sequence[Run]) -> Grid | None:
    """The sweep that these runs are; ``None`` where they differ in more than two settings, or in anything else."""
    if len(runs) < 2 or len({(r.request.dataset, r.request.split, r.request.config.approach) for r in runs}) > 1:
        return None
    names = [name for name in FIELDS if len({getattr(run.request.config, name) for run in runs}) > 1]
    if not 1 <= len(names) <= 2 or not set(names) <= set(swept_settings(runs[0].request.config.approach)):
        return None
    axes = tuple(Axis(name=name, values=_distinct(runs, name)) for name in names)
    return Grid(axes=axes, cells=tuple(_cell(run, names) for run in runs))


def _cell(run: Run, names: Sequence[str]) -> Cell:
    """``rmse`` is that of the finished model; of a run under way, that of its last epoch."""
    values = tuple(getattr(run.request.config, name) for name in names)
    final = run.metrics.valid_rmse if run.metrics and run.status in ("done", "stopped") else None
    if final is not None:
        return Cell(run=run, values=values, rmse=final, final=True)
    last = run.history[-1].valid_loss if run.active and run.history else math.nan
    return Cell(run=run, values=values, rmse=math.sqrt(last) if last >= 0 else None, final=False)


def _distinct(runs: Sequence[Run], name: str) -> tuple[Any, ...]:
    values = {getattr(run.request.config, name) for run in runs}
    return tuple(
        sorted(values, key=lambda value: (value is None, str(value) if isinstance(value, str) else value or 0))
    )


def _parse(setting: Setting, word: str) -> Any:
    try:
        return {"int": int, "float": float}.get(setting.kind, str)(word)
    except ValueError:
        wanted = "whole numbers" if setting.kind == "int" else "numbers"
        raise ValueError(f"{setting.label} takes {wanted} such as {_example(setting)}, not {word!r}") from None


def _example(setting: Setting) -> str:
    if setting.kind == "choice":
        return ", ".join(setting.choices[:2])
    return "8, 16, 32" if setting.kind == "int" else "0.001, 0.003, 0.01"


def _rung(half_tens: int) -> float:
    """The step of the ladder 1, 3, 10, 30, ... at half a power of ten each."""
    tens, rest = divmod(half_tens, 2)
    return float(f"{_LADDER[rest]}e{tens}")
