"""Same weights, same step: three ways to write one model, and what each switch changes.

The model is a dot product, r(u, m) = sum over k of U[u, k] V[m, k], its loss the mean squared error of a batch, and a
step U <- U - lr dL/dU, V <- V - lr dL/dV. Written three times, from the same weights and through the same batches:

    scratch     the loss function of the lesson "from scratch" under autograd, and the step by hand
    embedding   two ``nn.Embedding``, ``nn.MSELoss`` and ``torch.optim.SGD``
    plain       the learner of fastai's dot product, its biases zero and fixed, no sigmoid, under plain SGD

What differs after a step is rounding: ``w -= rate * grad`` rounds the product before it subtracts, an optimizer does
both in one (``w.add_(grad, alpha=-rate)``, a fused multiply-add), and by hand one can as well (``one_rounding``).

Then one thing at a time is switched on in the third: biases (which start at 0), the sigmoid, Adam (at the same rate),
the one-cycle schedule. Source: fastai's ``collab.py`` and ``optimizer.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.optimizer import SGD, Adam
from torch import Tensor, nn

from cfcore.approaches.fastai_dot import make_learner
from cfcore.approaches.fastai_parts import embedding_rows
from cfcore.approaches.scratch import LOOKUPS
from cfcore.approaches.torch_parts import array, seeded, threads
from cfcore.config import RunConfig
from cfcore.ratings import Split

# A gradient is None only before the first backward(), and fastai fills in a callback's learner at run time.
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false, reportOperatorIssue=false
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

FACTORS, BATCH, STEPS, SEED = 8, 64, 12, 42
SWITCHES: Mapping[str, Mapping[str, Any]] = {  # settings of `fastai_dot`, or ways to fit
    "bias": {"bias": "learned"},
    "sigmoid": {"sigmoid": "yes"},
    "adam": {"opt_func": Adam},
    "one_cycle": {"one_cycle": True},
}

Batch = tuple[Tensor, Tensor, Tensor]  # users, movies, ratings: each (b,)
Weights = tuple[np.ndarray, np.ndarray]  # U (n_users, k) and V (n_movies, k)


def run(inputs: Mapping[str, Any], on_progress: Callable[[float], None] = lambda share: None) -> dict[str, Any]:
    """Take the first steps every way, on the ``split`` of ``inputs["request"]``, whose ``config`` is of `fastai_dot`.

    Returns ``ways`` (w,) the names of all but ``plain``, ``difference`` (w, steps) the greatest difference of a weight
    from ``plain`` after each step, ``moved`` (steps,) how far a weight of ``plain`` has moved at most since the start,
    ``rates`` (steps,) of one-cycle, and ``rate``, ``batch`` and ``factors``.
    """
    split = few(inputs["split"])
    steps = min(STEPS, len(split.train))
    batch, rate, start = len(split.train) // steps, gentle_rate(split.ratings.scale), first_weights(split)
    batches = batches_of(split, steps)
    ways: dict[str, Sequence[Weights]] = {}
    rates: dict[str, list[float]] = {}
    with threads(1):
        ways["scratch"] = scratch(batches, start, rate)
        ways["one_rounding"] = scratch(batches, start, rate, one_rounding=True)
        ways["embedding"] = embedding(batches, start, rate)
        plain, _ = fastai(split, inputs["config"], batch, start, rate)
        for done, (name, switch) in enumerate(SWITCHES.items(), start=1):
            on_progress(done / (len(SWITCHES) + 1))
            ways[name], rates[name] = fastai(split, inputs["config"], batch, start, rate, **switch)
    seen = (split.seen_users, split.seen_items)  # fastai has no row for what these ratings do not hold
    apart_by = [[apart(one, other, seen) for one, other in zip(way, plain, strict=True)] for way in ways.values()]
    return {
        "ways": list(ways),
        "difference": np.array(apart_by),
        "moved": np.array([apart(weights, start, seen) for weights in plain]),
        "rates": np.array(rates["one_cycle"]),
        "rate": rate,
        "batch": batch,
        "factors": FACTORS,
    }


def few(split: Split) -> Split:
    """The training rows that make these few batches, in the order of the steps; the validation rows are not used."""
    n = min(STEPS * BATCH, len(split.train))
    n -= n % min(STEPS, n)  # batches of the same length
    rows = np.random.default_rng(SEED).permutation(split.train)[:n]
    return replace(split, train=rows, valid=split.valid[:1])


def batches_of(split: Split, steps: int) -> list[Batch]:
    """Users, movies and ratings of each step."""
    parts = [split.part(rows) for rows in np.array_split(split.train, steps)]
    return [(torch.from_numpy(u), torch.from_numpy(m), torch.from_numpy(r)) for u, m, r in parts]


def gentle_rate(scale: tuple[float, float]) -> float:
    """A learning rate at which descent is stable from these weights, even if one user gave all ratings of a batch."""
    rate = 0.5 / max(abs(end) for end in scale)
    return float(f"{rate:.1g}")


def first_weights(split: Split) -> Weights:
    """Random weights like those of `scratch`, stretched so that a prediction is about the mean rating."""
    ratings, random = split.ratings, np.random.default_rng(SEED)
    mean = abs(float(ratings.rating[split.train].mean())) or 1.0
    stretch = np.float32(math.sqrt(4 * mean / FACTORS))  # the mean of a product of two numbers in [0, 1) is 1/4
    U = random.random((ratings.n_users, FACTORS), dtype=np.float32) * stretch
    V = random.random((ratings.n_items, FACTORS), dtype=np.float32) * stretch
    return U, V


def scratch(batches: Sequence[Batch], start: Weights, rate: float, *, one_rounding: bool = False) -> list[Weights]:
    """The weights after each step as the lesson "from scratch" takes it."""
    U, V = (torch.tensor(weights, requires_grad=True) for weights in start)
    after = []
    for users, movies, ratings in batches:
        loss = LOOKUPS["index"](users, movies, ratings, len(U), len(V))(U, V)
        loss.backward()
        with torch.no_grad():
            for w in (U, V):
                if one_rounding:
                    w.add_(w.grad, alpha=-rate)
                else:
                    w -= rate * w.grad
                w.grad.zero_()
        after.append(copied(U, V))
    return after


def embedding(batches: Sequence[Batch], start: Weights, rate: float) -> list[Weights]:
    """The weights after each step with PyTorch's own lookup, loss and optimizer."""
    users_of, movies_of = (nn.Embedding.from_pretrained(torch.tensor(weights), freeze=False) for weights in start)
    optimizer = torch.optim.SGD([users_of.weight, movies_of.weight], lr=rate)
    mse = nn.MSELoss()
    after = []
    for users, movies, ratings in batches:
        loss = mse((users_of(users) * movies_of(movies)).sum(dim=1), ratings)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        after.append(copied(users_of.weight, movies_of.weight))
    return after


def fastai(
    split: Split,
    config: RunConfig,
    batch: int,
    start: Weights,
    rate: float,
    opt_func: Callable[..., Any] = SGD,
    one_cycle: bool = False,
    **settings: str,
) -> tuple[list[Weights], list[float]]:
    """The weights after each step of fastai's learner, and the learning rate of each."""
    config = config.with_settings(
        embedding_size=FACTORS, batch_size=batch, **{"bias": "none", "sigmoid": "no", **settings}
    )
    with seeded(SEED):  # fastai draws weights of its own before we put ours in their place
        learn, as_model = make_learner(split, config)
    model = learn.model
    with torch.no_grad():
        for layer, column, weights in (("u_weight", "user", start[0]), ("i_weight", "movie", start[1])):
            rows = embedding_rows(learn.dls, column, len(weights))
            known = np.flatnonzero(rows)
            getattr(model, layer).weight[torch.from_numpy(rows[known])] = torch.tensor(weights[known])
    for bias in (model.u_bias, model.i_bias):
        nn.init.zeros_(bias.weight)
    learn.opt_func = opt_func
    learn.dls.train.shuffle = False  # the batches in the order of the rows
    steps = Steps(lambda: (as_model().user_factors, as_model().item_factors))
    with learn.no_bar(), learn.no_logging():
        (learn.fit_one_cycle if one_cycle else learn.fit)(1, rate, wd=0.0, cbs=steps)
    return steps.after, steps.rates


class Steps(Callback):
    """Keeps the weights after each training step, and its learning rate."""

    def __init__(self, weights: Callable[[], Weights]) -> None:
        super().__init__()
        self.weights = weights
        self.after: list[Weights] = []
        self.rates: list[float] = []

    def after_batch(self) -> None:
        if self.training:
            self.after.append(self.weights())  # copies: the learner's rows in the order of our indices
            self.rates.append(float(self.learn.opt.hypers[-1]["lr"]))


def copied(U: Tensor, V: Tensor) -> Weights:
    return array(U).copy(), array(V).copy()


def apart(one: Weights, other: Weights, seen: tuple[np.ndarray, np.ndarray]) -> float:
    """The greatest difference between two weights, over the rows that are ``seen``."""
    return max(float(np.abs(a[rows] - b[rows]).max()) for a, b, rows in zip(one, other, seen, strict=True))
