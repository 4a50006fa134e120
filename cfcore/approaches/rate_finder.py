"""The learning-rate finder: one short training at rates that grow from far too small to far too large.

    rate_i = low (high / low)^(i / n)        i = 0 .. n - 1, one step each

While the rate is too small the loss stays flat, then it falls, and once every step overshoots it rises. The sweep ends
when the loss passes four times its lowest. It looks at the training loss alone: of overfitting it knows nothing.

The three fastai approaches do what ``learn.lr_find()`` does. Each of their batches holds other ratings, so fastai
smooths the loss before its rules read it. The others do the same sweep by hand with all ratings at once; every step of
theirs sees the same ratings, there is no noise, and nothing is smoothed. Four rules are fastai's own, the last two are
ours:

    valley      half way along the longest fall of the loss, rises on the way left out (fastai's choice)
    steep       where it falls fastest for a step of log rate
    minimum     a tenth of the rate where it is lowest
    slide       before the slope settles, looking back from the end
    fifth       a fifth of the rate where it is lowest (both without the last five steps, as fastai has it)
    restrained  the valley over (the run's steps / the sweep's steps)^0.6, for a run of more steps than the sweep

Which to trust depends on the noise, and on what the first steps can see. Without noise the loss falls from the first
step on, so the valley begins far too early, but the lowest point does not depend on the batch: a fifth of its rate is
offered. (Measured with 2 to 50 factors and up to 200 epochs: it ended lower than a tenth; at a third some trainings
swung up and down.) With noise the lowest point is a matter of chance where the curve is flat, and the valley is
offered. ``fastai_dot`` is restrained: its factors begin near zero, where the gradient of a product is near zero as
well, so that for a hundred steps it is mostly the biases that learn. They bear a rate at which the factors, once they
have grown, learn the training ratings by heart. ``mf`` is swept with all ratings at once and offered ``minimum``: its
run takes many more steps. ``pytorch`` with a batch size is swept by its batches, smoothed and offered the valley.

Source: Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), section 3.3; fastai's
``callback/schedule.py``, ``LRFinder``.
"""

from __future__ import annotations

import itertools
import math
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from fastai.callback.core import Callback, CancelFitException
from fastai.callback.schedule import minimum, slide, steep, valley
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from cfcore.approaches import describe, load, mf, pytorch, scratch
from cfcore.approaches.torch_parts import cores, seeded, threads
from cfcore.config import RunConfig
from cfcore.ratings import Split

# fastai fills in a callback's learner at run time, and its rules take tensors though they say lists.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

STEPS = 100  # as fastai
SMOOTH = 0.98  # as fastai
RESTRAINT = 0.6  # how fast the best rate of the dot product falls with the steps to come, as measured
DIVERGED = 4  # times the lowest loss, as fastai
MOST_ROWS = 50_000  # of a full batch: more of them draw the same curve, only slower
MOST_WORK = 4e8  # multiplications a step of a full batch: wide networks see fewer rows for it
_UNITS = 25  # hidden units that take as long as the lookup and gradient of the factors alone, as scratch has them
MOST_SECONDS, _JUDGED_FROM = 30, 3  # of a sweep: no run can start beside it; and from when on its pace is judged
RULES = (valley, steep, minimum, slide)
_SLIDE_NEEDS = 16  # points

Progress = Callable[[float], object]
Curve = tuple[np.ndarray, np.ndarray, np.ndarray]


def run(inputs: Mapping[str, Any], on_progress: Progress) -> dict[str, Any]:
    """Sweep the learning rate of ``inputs["config"]`` on the training rows of ``inputs["split"]``.

    Returns:
        ``rates`` (s,), the loss of each step ``raw`` (s,) and what the rules read, ``smooth`` (s,); whether it
        ``diverged`` and so has fewer than ``STEPS`` steps; what each rule has ``suggested``, by its name, empty where
        the sweep was too short; and the name of the one to be ``offered``. Every loss is finite.

    Raises:
        ValueError: the sweep would take longer than ``MOST_SECONDS``.
    """
    split, config = inputs["split"], inputs["config"]
    on_progress = in_time(on_progress)
    learns = hasattr(load(config.approach), "make_learner")
    curve = (sweep_learner if learns else sweep_by_hand)(split, config, on_progress)
    finite = np.cumprod(np.isfinite(curve).all(axis=0)).astype(bool)  # up to the first that is no number
    rates, raw, smooth = np.array(curve)[:, finite]
    rule = "valley" if by_batches(config) else describe(config.approach).rate_rule
    steps = math.ceil(len(split.train) / (config.batch_size or len(split.train))) * config.epochs
    return {
        "rates": rates,
        "raw": raw,
        "smooth": smooth,
        "diverged": len(rates) < STEPS,
        "suggested": suggestions(rates, smooth, rule, steps),
        "offered": rule,
    }


def in_time(on_progress: Progress) -> Progress:
    """``on_progress``, which ends a sweep that goes on for too long: all runs wait for it, and nobody can stop it."""
    begun = time.monotonic()

    def tell(share: float) -> None:
        on_progress(share)
        taken = time.monotonic() - begun
        if taken > _JUDGED_FROM and taken / share > MOST_SECONDS:
            raise ValueError(
                f"a sweep of these settings would take about {taken / share:.0f} s, and no run could start beside it: "
                "try fewer factors or hidden units, or a smaller batch"
            )

    return tell


def sweep_learner(split: Split, config: RunConfig, on_progress: Progress) -> Curve:
    """``learn.lr_find()`` as fastai has it, with the settings of ``config``: rates, losses, smoothed losses."""
    watch = Watch(on_progress)
    with seeded(config.seed), threads(cores(config.batch_size)), tempfile.TemporaryDirectory() as folder:
        learn = untrained(split, config)
        learn.path = Path(folder)  # where lr_find keeps the weights that it puts back at its end
        with learn.no_bar(), learn.added_cbs(watch):
            learn.lr_find(num_it=STEPS, suggest_funcs=None, show_plot=False)
    if watch.refusal is not None:
        raise watch.refusal
    recorder = learn.recorder
    return np.array(recorder.lrs), np.array(watch.losses), np.array([float(loss) for loss in recorder.losses])


def untrained(split: Split, config: RunConfig) -> Any:
    """The learner of a fastai approach; unlike ``fit_one_cycle``, ``lr_find`` takes weight decay from the learner."""
    learn, _ = load(config.approach).make_learner(split, config)
    learn.wd = config.weight_decay
    return learn


class Watch(Callback):
    """Keeps the loss of every step, which fastai's Recorder only has smoothed."""

    def __init__(self, on_progress: Progress) -> None:
        super().__init__()
        self.on_progress, self.losses, self.refusal = on_progress, [], None

    def after_batch(self) -> None:
        self.losses.append(self.learn.loss.item())
        try:
            self.on_progress(len(self.losses) / STEPS)
        except ValueError as refusal:  # fastai would put words of its own before it
            self.refusal = refusal
            raise CancelFitException from refusal


def by_batches(config: RunConfig) -> bool:
    """Whether a sweep by hand goes by the run's own batches, noisy as fastai's, and not with all ratings at once."""
    return config.approach == "pytorch" and config.batch_size is not None


def sweep_by_hand(split: Split, config: RunConfig, on_progress: Progress) -> Curve:
    """The same sweep without a Learner, over the range of the learning-rate setting."""
    setting = describe(config.approach).settings["learning_rate"]
    rates = np.geomspace(setting.minimum, setting.maximum, STEPS)
    noisy = by_batches(config)
    with threads(cores(config.batch_size if noisy else None)):
        losses = sweep(*first_loss(split, config), rates, on_progress)
    return rates[: len(losses)], losses, smoothed(losses) if noisy else losses


def smoothed(losses: np.ndarray) -> np.ndarray:
    """fastai's moving average: 0.98 of what came before, freed from the zero that it began with."""
    return pd.Series(losses).ewm(alpha=1 - SMOOTH).mean().to_numpy()


def sweep(loss: Callable[[], Tensor], optimizer: Optimizer, rates: np.ndarray, on_progress: Progress) -> np.ndarray:
    """The loss before each step, one step at each of ``rates`` (n,), until it diverges."""
    losses: list[float] = []
    for rate in rates:
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
        on_progress(len(losses) / len(rates))
        if not losses[-1] <= DIVERGED * min(losses):  # so also when it is no number
            break
    return np.array(losses)


def first_loss(split: Split, config: RunConfig) -> tuple[Callable[[], Tensor], Optimizer]:
    """The training loss of an untrained model without a Learner, at its present weights, and what takes its steps."""
    rows = split.train
    width = 2 * config.embedding_size * (config.hidden_size or _UNITS)
    most = min(MOST_ROWS, int(MOST_WORK / width))
    if len(rows) > most and not by_batches(config):
        rows = np.random.default_rng(config.seed).choice(rows, most, replace=False)
    if config.approach == "mf":
        return table_of_rows(split, config, rows)
    if config.approach == "pytorch":
        return network(split, config, rows)
    users, movies, ratings = scratch.tensors(split, rows)
    n_users, n_movies = split.ratings.n_users, split.ratings.n_items
    U, V = scratch.first_factors(n_users, n_movies, config)
    loss = scratch.index(users, movies, ratings, n_users, n_movies)  # all lookups compute the same
    return lambda: loss(U, V), SGD([U, V], lr=config.learning_rate)  # which is w -= lr * w.grad


def network(split: Split, config: RunConfig, rows: np.ndarray) -> tuple[Callable[[], Tensor], Optimizer]:
    """The loss of ``pytorch`` on its next batch of ``rows``, on all of them without a batch size, and its Adam."""
    users, movies, ratings = scratch.tensors(split, rows)
    model, optimizer = pytorch.make_model(split, config)
    random, mse = torch.Generator().manual_seed(config.seed), nn.MSELoss()
    epochs = (pytorch.batches(len(ratings), config.batch_size, random) for _ in itertools.count())
    batches = itertools.chain.from_iterable(epochs)

    def loss() -> Tensor:
        at = next(batches)
        return mse(model(users[at], movies[at]).squeeze(1), ratings[at])

    return loss, optimizer


def table_of_rows(split: Split, config: RunConfig, rows: np.ndarray) -> tuple[Callable[[], Tensor], Optimizer]:
    """The loss of ``mf`` on ``rows`` at once, in stars, and its Adam."""
    pairs, ratings = mf.tensors(split, rows, torch.device("cpu"))
    mean, unit = ratings.mean(), ratings.std()
    n = split.ratings.n_users + split.ratings.n_items
    W = mf.first_rows(n, config.embedding_size, torch.Generator().manual_seed(config.seed)).requires_grad_()
    optimizer = Adam([W], lr=config.learning_rate, betas=(0.9, 0.99))

    def loss() -> Tensor:
        found = W.index_select(0, pairs.flatten()).view(*pairs.shape, -1)
        return (mean + unit * mf.product(found) - ratings).square().mean()

    return loss, optimizer


def suggestions(rates: np.ndarray, losses: np.ndarray, rule: str = "valley", steps: int = STEPS) -> dict[str, float]:
    """What fastai's rules make of a curve, without its first tenth and last five steps as in ``lr_find``.

    And ``rule`` where it is one of ours; ``steps`` are those of the run to come.
    """
    lrs, values = (torch.tensor(each[STEPS // 10 : -5], dtype=torch.float32) for each in (rates, losses))
    if len(lrs) < 2:
        return {}
    rules = [each for each in RULES if each is not slide or len(lrs) >= _SLIDE_NEEDS]
    found = {each.__name__: float(each(lrs, values, STEPS)[0]) for each in rules}
    if rule == "fifth":
        found[rule] = float(lrs[values.argmin()]) / 5
    elif rule == "restrained":
        found[rule] = found["valley"] / max(1, steps / STEPS) ** RESTRAINT
    return found
