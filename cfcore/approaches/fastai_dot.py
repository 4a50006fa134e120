"""fastai's default for collaborative filtering: dot product, biases, and a sigmoid.

    r(u, m) = low + (high - low) * sigmoid(p_u . q_m + b_u + b_m)

The biases say how generous a user is and how well liked a movie, so that the factors only have to explain what is
left: taste. The sigmoid keeps every prediction on the rating scale. ``collab_learner`` builds all of it in one line.

To see what each part brings, both can be left out: without ``y_range`` the product stays as it is, and biases that
are zero and stay zero say nothing.

Source: fastai's ``collab.py``, ``EmbeddingDotBias``.
"""

from __future__ import annotations

from collections.abc import Callable

from fastai.collab import collab_learner
from fastai.learner import Learner
from torch import nn

from cfcore.approaches.fastai_parts import embedding_rows, fit, lean, make_loaders
from cfcore.approaches.torch_parts import array, seeded
from cfcore.config import RunConfig
from cfcore.models import DotModel
from cfcore.ratings import Split
from cfcore.training import OnBatch, OnEpoch, OnStart


def make_learner(split: Split, config: RunConfig) -> tuple[Learner, Callable[[], DotModel]]:
    """The learner, and what gives its weights as arrays."""
    dls = make_loaders(split, config.batch_size)
    y_range = config.y_range if config.sigmoid == "yes" else None
    learn = collab_learner(dls, n_factors=config.embedding_size, y_range=y_range)
    lean(learn)  # the same steps, with less around each batch
    biases = (learn.model.u_bias, learn.model.i_bias)
    if config.bias == "none":
        for bias in biases:
            nn.init.zeros_(bias.weight)
            bias.weight.requires_grad_(False)
    user_rows = embedding_rows(dls, "user", split.ratings.n_users)
    movie_rows = embedding_rows(dls, "movie", split.ratings.n_items)

    def as_model() -> DotModel:
        user_bias, movie_bias = (array(bias.weight)[:, 0] for bias in biases)
        return DotModel(
            user_factors=array(learn.model.u_weight.weight)[user_rows],
            item_factors=array(learn.model.i_weight.weight)[movie_rows],
            user_bias=None if config.bias == "none" else user_bias[user_rows],
            item_bias=None if config.bias == "none" else movie_bias[movie_rows],
            y_range=y_range,
        )

    return learn, as_model


def train(split: Split, config: RunConfig, on_start: OnStart, on_epoch: OnEpoch, on_batch: OnBatch) -> DotModel:
    with seeded(config.seed):
        learn, as_model = make_learner(split, config)
        fit(learn, config, as_model, on_start, on_epoch, on_batch)  # learn.fit_one_cycle(epochs, lr, wd=wd)
    return as_model()
