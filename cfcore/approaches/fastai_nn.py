"""fastai's neural network for collaborative filtering, built by ``collab_learner(use_nn=True)``.

    x = [p_u ; q_m]                                  embedding sizes by fastai's rule, min(600, 1.6 n^0.56)
    x = batchnorm(relu(W x))                         once for each hidden layer; its shift does the work of a bias
    r = low + (high - low) * sigmoid(w . x + c)

User and movie may have embeddings of different sizes here, for nothing is multiplied row by row: the layers mix them.

Source: fastai's ``collab.py``, ``EmbeddingNN``, and ``tabular/model.py``, ``TabularModel``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from fastai.collab import collab_learner
from fastai.learner import Learner
from torch import nn

from cfcore.approaches.fastai_parts import embedding_rows, fit, lean, make_loaders
from cfcore.approaches.torch_parts import array, seeded
from cfcore.config import RunConfig
from cfcore.models import NetModel
from cfcore.ratings import Split
from cfcore.training import OnBatch, OnEpoch, OnStart


def make_learner(split: Split, config: RunConfig) -> tuple[Learner, Callable[[], NetModel]]:
    """The learner, and what gives its weights as arrays."""
    size = config.embedding_size  # None leaves it to fastai's rule; n_factors would only set a layer's width
    emb_szs = None if size is None else {"user": size, "movie": size}
    dls = make_loaders(split, config.batch_size)
    learn = collab_learner(dls, use_nn=True, emb_szs=emb_szs, layers=list(config.layers), y_range=config.y_range)
    lean(learn)  # the same steps, with less around each batch
    user_rows = embedding_rows(dls, "user", split.ratings.n_users)
    movie_rows = embedding_rows(dls, "movie", split.ratings.n_items)

    def as_model() -> NetModel:
        users, movies = learn.model.embeds
        weights, biases = fold_batchnorm(learn.model.layers)
        return NetModel(
            user_inputs=array(users.weight)[user_rows],
            item_inputs=array(movies.weight)[movie_rows],
            weights=weights,
            biases=biases,
            n_factors=(users.embedding_dim, movies.embedding_dim),
            y_range=config.y_range,
        )

    return learn, as_model


def train(split: Split, config: RunConfig, on_start: OnStart, on_epoch: OnEpoch, on_batch: OnBatch) -> NetModel:
    with seeded(config.seed):
        learn, as_model = make_learner(split, config)
        fit(learn, config, as_model, on_start, on_epoch, on_batch)  # learn.fit_one_cycle(epochs, lr, wd=wd)
    return as_model()


def fold_batchnorm(layers: nn.Module) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Weights (in, out) and biases (out,) of the linear layers, with each batch norm folded into the layer after it.

    When it only predicts, a batch norm is x * scale + shift, and W (x * scale + shift) + b is again linear in x.
    """
    weights, biases = [], []
    scale: np.ndarray = np.ones(1, np.float32)
    shift: np.ndarray | None = None
    for layer in layers.modules():
        if isinstance(layer, nn.Linear):
            weight = array(layer.weight).T  # (in, out)
            bias = np.zeros(weight.shape[1], np.float32) if layer.bias is None else array(layer.bias)
            if shift is not None:
                bias = bias + shift @ weight
            weights.append(weight * np.reshape(scale, (-1, 1)))
            biases.append(bias)
        elif isinstance(layer, nn.BatchNorm1d):
            norm = {name: array(values) for name, values in layer.state_dict().items()}
            scale = norm["weight"] / np.sqrt(norm["running_var"] + layer.eps)
            shift = norm["bias"] - norm["running_mean"] * scale
    return tuple(weights), tuple(biases)
