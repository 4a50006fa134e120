"""A training batch as the model sees it: what fastai's ``show_batch`` prints, and the numbers behind it.

The loaders give the model two whole numbers a rating, the embedding rows of its user and its movie. ``show_batch`` goes
the way back, from row to user and movie, by the classes that ``Categorify`` has found in the training part. Row 0 is
``#na#``, for what training has never seen, so row and index differ by one or more.

Source: fastai's ``tabular/core.py``, ``show_batch`` and ``Tabular.show``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cfcore.approaches import load
from cfcore.approaches.torch_parts import seeded

SHOWN = 10  # rows, as show_batch


def run(inputs: Mapping[str, Any], on_progress: Callable[[float], object]) -> dict[str, Any]:
    """The first rows of the first batch that a fastai run with ``inputs["config"]`` trains on.

    Returns:
        ``user_row`` (b,) and ``movie_row`` (b,), what the model sees; ``user_idx`` (b,), ``movie_idx`` (b,) and
        ``rating`` (b,), what they stand for; ``size``, the ratings in the whole batch, and ``n_batches`` of an epoch.
    """
    config = inputs["config"]
    with seeded(config.seed):
        learn, _ = load(config.approach).make_learner(inputs["split"], config)  # pyright: ignore
        loader = learn.dls.train
        batch = loader.one_batch()
    table, _, _ = loader.show_batch(batch, show=False)
    decoded = table.new(table.all_cols[:SHOWN]).decode().items  # what table.show() prints
    rows = batch[0][:SHOWN].numpy()
    return {
        "user_row": rows[:, 0],
        "movie_row": rows[:, 1],
        "user_idx": decoded["user"].to_numpy(dtype=np.int64),
        "movie_idx": decoded["movie"].to_numpy(dtype=np.int64),
        "rating": decoded["rating"].to_numpy(dtype=np.float32),
        "size": len(batch[0]),
        "n_batches": len(loader),
    }
