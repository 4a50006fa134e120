"""Small things that every lesson with PyTorch needs: seeds and threads for a block of code, and weights as arrays."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch._dynamo  # the first optimizer would import it, and its seconds would count as training
from torch import Tensor

LARGE_BATCH = 4096  # ratings in a batch from which on a second thread pays


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Start the global random generators at ``seed`` in this block; after it they go on as if nothing had happened.

    PyTorch's layers and fastai's loaders take no generator of their own.
    """
    state = random.getstate()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(state)


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Let PyTorch use at most ``n`` threads for one operation in this block.

    Operations on a few thousand numbers gain nothing from a second thread, and on a busy machine its threads wait for
    each other: with both cores taken, an epoch of minibatches took up to 30 times as long with two as with one.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(min(n, before))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def cores(batch_size: int | None) -> int:
    """How many threads pay for steps of this many ratings; ``None`` are all of them."""
    return 1 if batch_size is not None and batch_size < LARGE_BATCH else torch.get_num_threads()


def array(weights: Tensor) -> np.ndarray:
    """The numbers of a tensor, sharing its memory."""
    return weights.detach().numpy()
