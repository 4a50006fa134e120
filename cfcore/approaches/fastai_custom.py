"""Our PyTorch model in fastai: the training loop becomes a Learner.

``EmbeddingNet`` is the network of the PyTorch lesson, unchanged; fastai only wants the user and the movie of a rating
as two columns of one tensor. In return the loop is gone: the ``Learner`` brings minibatches, Adam with decoupled
weight decay, validation after every epoch, and with ``fit_one_cycle`` a learning rate that rises, then falls to almost
nothing (Smith, "A disciplined approach to neural network hyper-parameters", 2018).
"""

from __future__ import annotations

from collections.abc import Callable

from fastai.learner import Learner
from fastai.losses import MSELossFlat
from torch import Tensor

from cfcore.approaches.embedding_net import EmbeddingNet
from cfcore.approaches.fastai_parts import embedding_rows, fit, lean, make_loaders
from cfcore.approaches.torch_parts import seeded
from cfcore.config import RunConfig
from cfcore.models import NetModel
from cfcore.ratings import Split
from cfcore.training import OnBatch, OnEpoch, OnStart


class CollabNet(EmbeddingNet):
    def forward(self, x: Tensor) -> Tensor:  # x (batch, 2): user, movie
        return super().forward(x[:, 0], x[:, 1])


def make_learner(split: Split, config: RunConfig) -> tuple[Learner, Callable[[], NetModel]]:
    """The learner, and what gives its weights as arrays."""
    dls = make_loaders(split, config.batch_size)
    n_users, n_movies = len(dls.classes["user"]), len(dls.classes["movie"])
    model = CollabNet(n_users, n_movies, config.embedding_size, config.hidden_size)
    learn = Learner(dls, model, loss_func=MSELossFlat())
    lean(learn)  # the same steps, with less around each batch

    user_rows = embedding_rows(dls, "user", split.ratings.n_users)
    movie_rows = embedding_rows(dls, "movie", split.ratings.n_items)
    return learn, lambda: model.to_model(user_rows, movie_rows)


def train(split: Split, config: RunConfig, on_start: OnStart, on_epoch: OnEpoch, on_batch: OnBatch) -> NetModel:
    with seeded(config.seed):
        learn, as_model = make_learner(split, config)
        fit(learn, config, as_model, on_start, on_epoch, on_batch)  # learn.fit_one_cycle(epochs, lr, wd=wd)
    return as_model()
