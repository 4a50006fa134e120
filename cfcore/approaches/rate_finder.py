"""The learning-rate finder: one short training at rates that grow from far too small to far too large.

    rate_i = low (high / low)^(i / (n - 1))        i = 0 .. n - 1, one step each

While the rate is too small the loss stays flat, then it falls, and once every step overshoots it rises. The sweep ends
when the loss passes four times its lowest. It looks at the training loss alone: of overfitting it knows nothing.

The three fastai approaches do what ``learn.lr_find()`` does. Each of their batches holds other ratings, so fastai
smooths the loss before its rules read it. The two full-batch approaches do the same sweep by hand; every step of theirs
sees the same ratings, there is no noise, and nothing is smoothed. The four rules are fastai's own for all five:

    valley    two thirds into the longest stretch over which the loss keeps falling (fastai's choice)
    steep     where it falls fastest for a step of log rate
    minimum   a tenth of the rate where it is lowest
    slide     before the slope settles, looking back from the end

Which to trust depends on the noise. Without noise the loss falls from the first step on, so the valley begins far too
early, and the minimum is certain: a tenth of it is the one offered. With noise the lowest point is a matter of chance
where the curve is flat, and the valley is offered.

Source: Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), section 3.3; fastai's
``callback/schedule.py``, ``LRFinder``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.callback.schedule import minimum, slide, steep, valley
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from cfcore.approaches import describe, load, pytorch, scratch
from cfcore.approaches.fastai_parts import LARGE_BATCH
from cfcore.approaches.torch_parts import seeded, threads
from cfcore.config import RunConfig
from cfcore.ratings import Split

# fastai fills in a callback's learner at run time, and its rules take tensors though they say lists.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

STEPS = 100  # as fastai
DIVERGED = 4  # times the lowest loss, as fastai
MOST_ROWS = 50_000  # of a full batch: more of them draw the same curve, only slower
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
    """
    split, config = inputs["split"], inputs["config"]
    learns = hasattr(load(config.approach), "make_learner")
    curve = (sweep_learner if learns else sweep_full_batch)(split, config, on_progress)
    finite = np.cumprod(np.isfinite(curve).all(axis=0)).astype(bool)  # up to the first that is no number
    rates, raw, smooth = np.array(curve)[:, finite]
    return {
        "rates": rates,
        "raw": raw,
        "smooth": smooth,
        "diverged": len(rates) < STEPS,
        "suggested": suggestions(rates, smooth),
        "offered": "valley" if learns else "minimum",
    }


def sweep_learner(split: Split, config: RunConfig, on_progress: Progress) -> Curve:
    """``learn.lr_find()`` as fastai has it, with the settings of ``config``: rates, losses, smoothed losses."""
    watch = Watch(on_progress)
    cores = 1 if config.batch_size < LARGE_BATCH else torch.get_num_threads()
    with seeded(config.seed), threads(cores), tempfile.TemporaryDirectory() as folder:
        learn = untrained(split, config)
        learn.path = Path(folder)  # where lr_find keeps the weights that it puts back at its end
        with learn.no_bar(), learn.added_cbs(watch):
            learn.lr_find(num_it=STEPS, suggest_funcs=None, show_plot=False)
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
        self.on_progress, self.losses = on_progress, []

    def after_batch(self) -> None:
        self.losses.append(self.learn.loss.item())
        self.on_progress(len(self.losses) / STEPS)


def sweep_full_batch(split: Split, config: RunConfig, on_progress: Progress) -> Curve:
    """The same sweep over the range of the learning-rate setting, every step with all the ratings."""
    setting = describe(config.approach).settings["learning_rate"]
    rates = np.geomspace(setting.minimum, setting.maximum, STEPS)
    losses = sweep(*full_batch(split, config), rates, on_progress)
    return rates[: len(losses)], losses, losses


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


def full_batch(split: Split, config: RunConfig) -> tuple[Callable[[], Tensor], Optimizer]:
    """The training loss of ``scratch`` or ``pytorch`` at its present weights, and what takes its steps."""
    rows = split.train
    if len(rows) > MOST_ROWS:
        rows = np.random.default_rng(config.seed).choice(rows, MOST_ROWS, replace=False)
    users, movies, ratings = scratch.tensors(split, rows)
    if config.approach == "pytorch":
        model, optimizer = pytorch.make_model(split, config)
        mse = nn.MSELoss()
        return lambda: mse(model(users, movies).squeeze(1), ratings), optimizer
    n_users, n_movies = split.ratings.n_users, split.ratings.n_items
    U, V = scratch.first_factors(n_users, n_movies, config)
    loss = scratch.index(users, movies, ratings, n_users, n_movies)  # all lookups compute the same
    return lambda: loss(U, V), SGD([U, V], lr=config.learning_rate)  # which is w -= lr * w.grad


def suggestions(rates: np.ndarray, losses: np.ndarray) -> dict[str, float]:
    """What fastai's rules make of a curve, without its first tenth and its last five steps, as ``lr_find`` has it."""
    lrs, values = (torch.tensor(each[STEPS // 10 : -5], dtype=torch.float32) for each in (rates, losses))
    if len(lrs) < 2:
        return {}
    rules = RULES if len(lrs) >= _SLIDE_NEEDS else [rule for rule in RULES if rule is not slide]
    return {rule.__name__: float(rule(lrs, values, STEPS)[0]) for rule in rules}
