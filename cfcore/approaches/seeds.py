"""A seed for a block of code that draws from the global random generators.

PyTorch's layers and fastai's loaders take no generator of their own. Inside this block the global generators start
at the seed; after it they go on as if nothing had happened.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    state = random.getstate()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(state)
