"""What a run will roughly cost, before it starts.

A gradient step costs a fixed overhead, plus work that grows with what it touches: the numbers it looks up, the products
it computes, and (Adam) every weight once. The constants were measured on two cores of a server; another machine may
take twice as long, or half.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import psutil

from cfcore.config import RunConfig
from cfcore.limits import LimitError, Limits
from cfcore.memory import FLOAT, fitting, lookup_bytes
from cfcore.ratings import Split

LEAST_SECONDS = 0.2  # to start and to report, whatever the data
PROCESS_MB = 450  # a worker with torch and fastai imported
STEP = {
    "pytorch": 6e-4,
    "fastai_custom": 2.4e-3,
    "fastai_nn": 2.8e-3,
    "fastai_dot": 1.8e-3,
    "mf": 1e-3,
}  # seconds of overhead a minibatch
ALS_NUMBERS = 2**22  # rows of factors that als gathers at a time, as it says itself
BAYES_NUMBERS = 2**22  # in the matrices of the rows that bayes solves for at a time, as it says itself
MF_STEPS = 2000  # that an epoch of mf takes at most, as it says itself
PER_RATING = 28  # bytes of a rating while its data set is in memory: user, movie, stars, time, row of the split
PER_WEIGHT = 6e-9  # seconds for Adam to update one weight
PER_PRODUCT = 8e-11  # seconds for one multiply-add of a dense product, there and back
PER_SUM = 2e-10  # seconds to add one number of a matrix to a sum
PER_LOOKUP = 3e-9  # seconds to fetch one number of a row and to add its gradient back


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """``seconds`` of training, the process's peak ``memory_mb``, and why it would be ``refused``, if it would.

    ``instead`` says what takes the place of a setting that does not fit.
    """

    seconds: float
    memory_mb: float
    refused: str | None = None
    instead: str = ""


def estimate(config: RunConfig, *, n_train: int, n_valid: int, n_users: int, n_items: int) -> Estimate:
    """Time and memory of training ``config`` on ``n_train`` ratings, validated on ``n_valid`` after every epoch.

    Refused is what this machine has no memory for, and what this server does not allow (:mod:`cfcore.limits`).
    """
    cost = _cost(config, n_train, n_valid, n_users, n_items)
    if cost.refused is not None:
        return cost
    try:
        refused = Limits.from_environment().refusal(config, n_train + n_valid, cost.memory_mb)
    except ValueError as problem:
        refused = str(problem)
    return replace(cost, refused=refused)


def check(config: RunConfig, split: Split, limits: Limits) -> None:
    """Refuse what these limits do not allow, in the words of :func:`estimate`.

    Raises:
        LimitError: it is too much.
    """
    n_train, n_valid, ratings = len(split.train), len(split.valid), split.ratings
    memory_mb = _cost(config, n_train, n_valid, ratings.n_users, ratings.n_items).memory_mb
    refused = limits.refusal(config, n_train + n_valid, memory_mb)
    if refused is not None:
        raise LimitError(refused)


def _cost(config: RunConfig, n_train: int, n_valid: int, n_users: int, n_items: int) -> Estimate:
    n = n_train + n_valid / 3  # validation has no backward pass
    if config.approach == "scratch":
        return _scratch(config, n, n_train + n_valid, n_users, n_items)
    if config.epochs is None:  # a baseline: a few sums over the ratings
        return _estimate(n * 3e-7, 0)
    if config.approach == "als":
        return _als(config, n, n_train + n_valid, n_users, n_items)
    if config.approach == "bayes":
        return _bayes(config, n, n_train + n_valid, n_users, n_items)
    user_width, item_width, layers = _shape(config, n_users, n_items)
    width = user_width + item_width
    inputs = (width, *layers)
    products = sum(a * b for a, b in zip(inputs, (*layers, 1), strict=True)) if layers else width
    weights = n_users * user_width + n_items * item_width + products
    batch = min(_batch_size(config, n_train) or n_train, n_train)
    steps = math.ceil(n_train / batch)
    seconds = steps * (STEP.get(config.approach, 0) + weights * PER_WEIGHT)
    seconds += n * (width * PER_LOOKUP + products * PER_PRODUCT)
    memory = (n_train + n_valid) * PER_RATING + (n * 32 if config.approach == "mf" else 0)
    memory += FLOAT * (4 * weights + 3 * batch * (width + sum(layers)))  # weights, gradient, two of Adam's moments
    instead = ""
    if config.batch_size and batch > config.batch_size:
        instead = (
            f"Batches of {batch:,} ratings in place of {config.batch_size:,}, so that an epoch takes no more than "
            f"{MF_STEPS:,} steps: each of them moves all rows."
        )
    return replace(_estimate(config.epochs * seconds, memory), instead=instead)


def _batch_size(config: RunConfig, n_train: int) -> int | None:
    """The ratings of a step; ``None`` are all."""
    if config.approach != "mf":
        return config.batch_size
    return max(config.batch_size or 1, (n_train - n_train // 20) // MF_STEPS)  # one in twenty is kept aside


def _estimate(seconds: float, memory: float, refused: str | None = None) -> Estimate:
    """``memory`` are the bytes beyond those of the process; refused also where they are not to be had."""
    free = psutil.virtual_memory().available
    if refused is None and memory > free:
        refused = (
            f"this run would need about {memory / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free: "
            "choose a smaller embedding, a smaller batch or a smaller data set"
        )
    return Estimate(seconds=max(seconds, LEAST_SECONDS), memory_mb=PROCESS_MB + memory / 1e6, refused=refused)


def _scratch(config: RunConfig, n: float, n_all: int, n_users: int, n_items: int) -> Estimate:
    wanted, k, epochs = config.lookup or "index", config.embedding_size or 0, config.epochs or 1
    lookup, refused, instead = wanted, None, ""
    try:
        lookup = fitting(wanted, n_all, n_users, n_items)
    except ValueError as reason:
        refused = str(reason)
    if lookup != wanted:
        needs = lookup_bytes(wanted, n_all, n_users, n_items) / 1e9
        instead = f"The matrix of all pairs would need {needs:.1f} GB: the index, which computes the same, is used."
    match lookup:
        case "onehot":
            seconds = n * (n_users + n_items) * k * PER_PRODUCT
        case "matrix":
            seconds = n_users * n_items * (k + 60) * PER_PRODUCT
        case _:
            seconds = n * 2 * k * PER_LOOKUP
    data = lookup_bytes(lookup, n_all, n_users, n_items) + (n_all * k * 4 * FLOAT if lookup != "matrix" else 0)
    return replace(_estimate(epochs * seconds, data, refused), instead=instead)


def _als(config: RunConfig, n: float, n_all: int, n_users: int, n_items: int) -> Estimate:
    """Every rating enters the normal equations of its user and of its movie, and every row solves its own."""
    width = (config.embedding_size or 0) + 1
    seconds = 2 * n * width * (4 * PER_LOOKUP + 2 * width * PER_PRODUCT)
    seconds += (n_users + n_items) * width**3 * PER_PRODUCT
    rows = FLOAT * 3 * (n_users + n_items) * width
    return _estimate((config.epochs or 1) * seconds, rows + n * 40 + n_all * PER_RATING + 4 * FLOAT * ALS_NUMBERS)


def _bayes(config: RunConfig, n: float, n_all: int, n_users: int, n_items: int) -> Estimate:
    """Every rating adds a matrix to those of its user and of its movie; every row inverts its own, and keeps it."""
    width = (config.embedding_size or 0) + 2
    rows = n_users + n_items
    seconds = (config.epochs or 1) * (2 * n * width**2 * PER_SUM + rows * width**3 * PER_PRODUCT * 6)
    seconds += n_all * (config.implicit_size or 0) * 1e-7
    matrices = FLOAT * (rows * width**2 + 8 * BAYES_NUMBERS)
    return _estimate(seconds, matrices + n * 40 + n_all * PER_RATING)


def _shape(config: RunConfig, n_users: int, n_items: int) -> tuple[int, int, tuple[int, ...]]:
    """The width of a user's and of an item's embedding row, and of the layers above them."""
    k = config.embedding_size
    if config.approach in ("pytorch", "fastai_custom"):
        return 2 * (k or 0), 2 * (k or 0), (config.hidden_size or 0,)
    if config.approach == "fastai_nn":
        rule = [min(600, round(1.6 * n**0.56)) for n in (n_users + 1, n_items + 1)]
        return (k or rule[0]), (k or rule[1]), config.layers or ()
    return (k or 0) + 1, (k or 0) + 1, ()
