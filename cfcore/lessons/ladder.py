"""An ablation ladder: fastai's dot product with one part more on each rung, everything else held still.

    dot product       r = p.q
    + range           r = low + (high - low) sigmoid(p.q)
    + bias            r = low + (high - low) sigmoid(p.q + b_u + b_m)
    + weight decay    the same, and every step first shrinks each weight: w <- w - lr wd w

What is left for taste is read from the finished model. The factors also carry what is the same for everybody: with
p' and q' their means over the training ratings,

    p.q = p.q' + p'.q - p'.q'  +  (p - p').(q - q')
          of one user, of one film     of this user and this film: taste

so the score splits into a part that adds up (the biases and the first three) and taste. With mean the error of the mean
training rating, the share of the gain that needs no taste is (mean^2 - adding^2) / (mean^2 - all^2).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cfcore.approaches import make_config
from cfcore.config import RunRequest, SplitConfig
from cfcore.metrics import rmse
from cfcore.models import DotModel, Model
from cfcore.ratings import Split

# Settings under which the first rung learns as well: from weights near 0 it takes an epoch or two to get going.
_ALL: Mapping[str, Any] = {"learning_rate": 0.01, "epochs": 6, "embedding_size": 20}
_DECAY = 0.2
_STEPS = 160  # an epoch, so that the rate and the decay mean the same on a small data set and on a large one


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One run of the ladder: its ``name``, its ``formula`` in TeX, and the settings that differ from the others'."""

    name: str
    formula: str
    settings: Mapping[str, Any]


RUNGS = (
    Rung(
        name="Dot product",
        formula=r"p_u \cdot q_m",
        settings={"bias": "none", "sigmoid": "no", "weight_decay": 0.0},
    ),
    Rung(
        name="+ range",
        formula=r"\text{low} + (\text{high} - \text{low})\,\sigma(p_u \cdot q_m)",
        settings={"bias": "none", "sigmoid": "yes", "weight_decay": 0.0},
    ),
    Rung(
        name="+ bias",
        formula=r"\text{low} + (\text{high} - \text{low})\,\sigma(p_u \cdot q_m + b_u + b_m)",
        settings={"bias": "learned", "sigmoid": "yes", "weight_decay": 0.0},
    ),
    Rung(
        name="+ weight decay",
        formula=r"\text{the same; each step first } w \leftarrow w - \eta\,\lambda\,w",
        settings={"bias": "learned", "sigmoid": "yes", "weight_decay": _DECAY},
    ),
)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """RMSE on the validation ratings, in their unit.

    ``mean`` of the mean training rating, ``biases`` of the biases alone, ``adding`` with what the factors add for
    everybody, ``all`` of the whole model.
    """

    mean: float
    biases: float
    adding: float
    all: float

    @property
    def share(self) -> float | None:
        """How much of what the model gains on the mean, in squared error, needs no taste; ``None`` without a gain."""
        gained = self.mean**2 - self.all**2
        return (self.mean**2 - self.adding**2) / gained if gained > 0 else None


def requests(
    dataset: str, split: SplitConfig, *, n_train: int, scale: tuple[float, float], seed: int = 42
) -> tuple[RunRequest, ...]:
    """The runs of the ladder, from the lowest rung up; they differ in nothing but what the rung brings."""
    batch = 2 ** round(math.log2(max(n_train / _STEPS, 1)))
    shared = {**_ALL, "batch_size": min(max(batch, 16), 65_536), "seed": seed}
    return tuple(
        RunRequest(
            dataset=dataset,
            split=split,
            config=make_config("fastai_dot", scale=scale, **shared, **rung.settings),
        )
        for rung in RUNGS
    )


def parts_of(model: Model, split: Split) -> Parts:
    """How far the mean, the biases, all that adds up, and the whole ``model`` are from the validation ratings.

    Raises:
        ValueError: the model has no biases.
    """
    if not isinstance(model, DotModel) or model.user_bias is None or model.item_bias is None:
        raise ValueError("this model has no biases to look at: choose a dot product with bias")
    users, movies, truth = split.part(split.valid)
    mean = float(split.ratings.rating[split.train].mean(dtype=np.float64))
    P, Q = model.user_factors, model.item_factors
    trained_users, trained_movies, _ = split.part(split.train)
    p, q = P[trained_users].mean(axis=0, dtype=np.float64), Q[trained_movies].mean(axis=0, dtype=np.float64)  # (k,)
    alone = replace(model, user_factors=P[:, :0], item_factors=Q[:, :0])
    adding = replace(
        alone, user_bias=model.user_bias + P @ q, item_bias=model.item_bias + Q @ p, offset=model.offset - float(p @ q)
    )
    return Parts(
        mean=rmse(np.full(len(truth), mean), truth),
        biases=rmse(alone.predict(users, movies), truth),
        adding=rmse(adding.predict(users, movies), truth),
        all=rmse(model.predict(users, movies), truth),
    )
