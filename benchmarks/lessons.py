"""How fast the five approaches train, beside the plain way of doing the same."""

from __future__ import annotations

import multiprocessing
import statistics
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pandas as pd
import torch
from fastai.collab import TabularCollab, collab_learner
from fastai.tabular.core import Categorify, TabDataLoader
from torch import nn

from benchmarks.data import movielens
from benchmarks.table import Line, Section
from benchmarks.timing import in_turns, median_time, ratio
from cfcore import approaches
from cfcore.approaches import make_config
from cfcore.approaches.embedding_net import EmbeddingNet
from cfcore.approaches.torch_parts import seeded, threads
from cfcore.config import RunConfig, SplitConfig
from cfcore.memory import PeakMemory
from cfcore.ratings import Split, make_split

# fastai fills in names at run time, where pyright does not see them.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

BATCH = 64
TURNS, QUICK_TURNS = 5, 2


def lessons(*, quick: bool) -> Section:
    """The lookups of ``scratch``, the loader of ``fastai_*`` and the loop of ``pytorch``."""
    ratings, name = movielens()
    split = make_split(ratings, SplitConfig.of("u1" if "u1" in ratings.folds else "random"))
    repeat = QUICK_TURNS if quick else TURNS
    return Section(
        title="The five approaches, beside the plain way of doing the same",
        how=f"{name}, {len(split.train):,} training and {len(split.valid):,} held-out ratings, 50 factors; seconds an "
        f"epoch with its validation, the median of {repeat} turns; ratios are taken turn by turn. Memory: the "
        "most that a fresh process holds above what it held before training.",
        lines=[*_lookups(split, quick=quick), *_loaders(split, quick=quick), _bare_loop(split, repeat)],
    )


def _lookups(split: Split, *, quick: bool) -> list[Line]:
    dense, timed, compared = (2, 10, 2) if quick else (3, 20, 5)  # epochs: one dense takes as long as fifty others
    names = ("onehot", "sparse", "index", "matrix")
    ways = {
        name: partial(_epoch_seconds, split, _scratch(name, dense if name == "onehot" else timed)) for name in names
    }
    seconds = in_turns(ways, QUICK_TURNS if quick else TURNS)
    losses = {name: _losses(split, _scratch(name, compared)) for name in names}
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as fresh:
        memory = {name: fresh.apply(_memory_mb, (split, _scratch(name, 2))) for name in ("onehot", "matrix")}
    lines = [
        Line(
            what=f"`scratch`, lookup `{name}` beside dense one-hot: speed",
            ours=median_time(seconds[name]),
            theirs=median_time(seconds["onehot"]),
            value=ratio(seconds, "onehot", name),
            wanted=wanted,
        )
        for name, wanted in (("sparse", None), ("index", 20.0), ("matrix", 60.0))
    ]
    return [
        *lines,
        _difference(losses),
        Line(
            what="`scratch`, lookup `matrix` beside dense one-hot: memory",
            ours=f"{memory['matrix']:,.0f} MB",
            theirs=f"{memory['onehot']:,.0f} MB",
            value=memory["matrix"] / memory["onehot"],
            bound="at most",
            wanted=0.2,
        ),
    ]


def _scratch(lookup: str, epochs: int) -> RunConfig:
    return make_config("scratch", lookup=lookup, epochs=epochs)


def _epoch_seconds(split: Split, config: RunConfig) -> float:
    """The median epoch but the first, which pays for what is made once."""
    history = approaches.train(split, config).history
    return statistics.median(epoch.seconds for epoch in history[1:])


def _losses(split: Split, config: RunConfig) -> np.ndarray:
    return np.array([(epoch.train_loss, epoch.valid_loss) for epoch in approaches.train(split, config).history])


def _memory_mb(split: Split, config: RunConfig) -> float:
    """The most that training holds beyond what this (fresh) process holds with everything imported."""
    train = approaches.load(config.approach).train
    with PeakMemory() as before:
        pass
    with PeakMemory() as peak:
        train(split, config, lambda model: None, lambda epoch: None, lambda loss: None)
    return peak.mb - before.mb


def _difference(losses: Mapping[str, np.ndarray]) -> Line:
    """How far the lookups' losses (epochs, 2) lie apart, relative to the loss: they are near 90 at first, and fall."""
    dense = losses["onehot"]
    apart = np.max([np.abs(each - dense) for each in losses.values()], axis=0)
    worst = int(apart.argmax())
    return Line(
        what=f"`scratch`, greatest relative difference of a loss between the lookups over {len(dense)} epochs",
        ours="all four",
        theirs="dense one-hot",
        value=float((apart / dense).max()),
        bound="at most",
        wanted=1e-5,
        unit="",
        note=f"the greatest absolute one is {apart.flat[worst]:.2g}, of a loss of {dense.flat[worst]:.0f}, where "
        f"neighbouring float32 numbers lie {np.spacing(np.float32(dense.flat[worst])):.2g} apart.",
    )


def _loaders(split: Split, *, quick: bool) -> list[Line]:
    """Our loader in fastai's Learner beside fastai's own, both with every training row once an epoch."""
    epochs, seeds = (1, 1) if quick else (5, 3)
    seconds: dict[str, list[float]] = {"ours": [], "stock": []}
    final: dict[str, list[float]] = {"ours": [], "stock": []}
    for seed in range(seeds):
        config = make_config("fastai_dot", scale=split.ratings.scale, batch_size=BATCH, epochs=epochs, seed=seed)
        history = approaches.train(split, config).history
        stock = _stock_history(split, config)
        seconds["ours"] += [epoch.seconds for epoch in history]
        seconds["stock"] += [taken for taken, _ in stock]
        final["ours"].append(history[-1].valid_loss)
        final["stock"].append(stock[-1][1])
    ours, theirs = (statistics.mean(final[name]) for name in ("ours", "stock"))
    return [
        Line(
            what=f"`fastai_dot`, batches of {BATCH}, beside fastai's loader (`dl_type=TabDataLoader`): speed",
            ours=median_time(seconds["ours"]),
            theirs=median_time(seconds["stock"]),
            value=ratio(seconds, "stock", "ours"),
            wanted=2.5,
        ),
        Line(
            what=f"`fastai_dot`, the same: difference of the final valid MSE, seeds: {seeds}, epochs: {epochs}",
            ours=f"{ours:.4f}",
            theirs=f"{theirs:.4f}",
            value=abs(ours - theirs),
            bound="at most",
            wanted=0.005,
            unit="",
        ),
    ]


def _stock_history(split: Split, config: RunConfig) -> list[tuple[float, float]]:
    """Seconds and valid MSE of each epoch, with fastai's loader and optimizer and nothing of ours but the split."""
    from fastai.callback.core import Callback

    from cfcore.training import Stopwatch

    class Lap(Callback):
        order = 60  # after the Recorder
        watch = Stopwatch()
        history: list[tuple[float, float]] = []  # noqa: RUF012

        def before_fit(self) -> None:
            self.watch.lap()

        def after_epoch(self) -> None:
            self.history.append((self.watch.lap(), float(self.learn.recorder.values[-1][1])))

    rows = np.concatenate([split.train, split.valid])
    users, movies, given = split.part(rows)
    n = len(split.train)
    with seeded(config.seed), threads(1):
        dls = TabularCollab(
            pd.DataFrame({"user": users, "movie": movies, "rating": given}),
            procs=[Categorify],
            cat_names=["user", "movie"],
            y_names=["rating"],
            splits=[list(range(n)), list(range(n, len(rows)))],
            reduce_memory=False,
        ).dataloaders(bs=config.batch_size, dl_type=TabDataLoader, device=torch.device("cpu"))
        learn = collab_learner(dls, n_factors=config.embedding_size, y_range=config.y_range)
        lap = Lap()
        with learn.no_bar(), learn.no_logging():
            learn.fit_one_cycle(config.epochs, config.learning_rate, wd=config.weight_decay, cbs=lap)
    return lap.history


def _bare_loop(split: Split, repeat: int) -> Line:
    config = make_config("pytorch", epochs=6)
    ways: dict[str, Callable[[], float]] = {
        "ours": lambda: _epoch_seconds(split, config),
        "bare": lambda: _bare_epoch_seconds(split, config),
    }
    seconds = in_turns(ways, repeat)
    return Line(
        what="`pytorch`, all ratings at once, beside the same loop without any report: time",
        ours=median_time(seconds["ours"]),
        theirs=median_time(seconds["bare"]),
        value=ratio(seconds, "ours", "bare"),
        bound="at most",
        wanted=1.1,
    )


def _bare_epoch_seconds(split: Split, config: RunConfig) -> float:
    from cfcore.training import Stopwatch

    users, movies, given = map(torch.from_numpy, split.part(split.train))
    valid_users, valid_movies, valid_given = map(torch.from_numpy, split.part(split.valid))
    with seeded(config.seed):
        model = EmbeddingNet(split.ratings.n_users, split.ratings.n_items, config.embedding_size, config.hidden_size)
    optimizer = torch.optim.Adam(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    mse, watch, laps = nn.MSELoss(), Stopwatch(), []
    for _ in range(config.epochs):
        model.train()
        optimizer.zero_grad()
        mse(model(users, movies).squeeze(1), given).backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            mse(model(valid_users, valid_movies).squeeze(1), valid_given).item()
        laps.append(watch.lap())
    return statistics.median(laps[1:])
