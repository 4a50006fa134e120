"""fastai's default for collaborative filtering: dot product, biases, and a sigmoid.

    r(u, m) = low + (high - low) * sigmoid(p_u . q_m + b_u + b_m)

The biases say how generous a user is and how well liked a movie, so that the factors only have to explain what is
left: taste. The sigmoid keeps every prediction on the rating scale. ``collab_learner`` builds all of it in one line.

Source: fastai's ``collab.py``, ``EmbeddingDotBias``.
"""

from __future__ import annotations

from fastai.collab import collab_learner

from cfcore.approaches.fastai_parts import embedding_rows, fit, make_loaders
from cfcore.approaches.torch_parts import array, seeded
from cfcore.config import RunConfig
from cfcore.models import DotModel
from cfcore.ratings import Split
from cfcore.training import OnBatch, OnEpoch, OnStart


def train(split: Split, config: RunConfig, on_start: OnStart, on_epoch: OnEpoch, on_batch: OnBatch) -> DotModel:
    with seeded(config.seed):
        dls = make_loaders(split, config.batch_size)
        learn = collab_learner(dls, n_factors=config.embedding_size, y_range=config.y_range)
        user_rows = embedding_rows(dls, "user", split.ratings.n_users)
        movie_rows = embedding_rows(dls, "movie", split.ratings.n_items)

        def as_model() -> DotModel:
            return DotModel(
                user_factors=array(learn.model.u_weight.weight)[user_rows],
                item_factors=array(learn.model.i_weight.weight)[movie_rows],
                user_bias=array(learn.model.u_bias.weight)[user_rows, 0],
                item_bias=array(learn.model.i_bias.weight)[movie_rows, 0],
                y_range=config.y_range,
            )

        fit(learn, config, as_model, on_start, on_epoch, on_batch)  # learn.fit_one_cycle(epochs, lr, wd=wd)
    return as_model()
