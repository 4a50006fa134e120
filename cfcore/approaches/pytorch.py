"""Collaborative filtering in PyTorch: the lookup becomes nn.Embedding, and Adam takes the steps.

What we wrote by hand before has a name here. An ``nn.Embedding`` is a factor matrix with its row lookup, ``nn.Module``
keeps all weights together, and an optimizer does ``w -= lr * grad`` for each of them, only better: Adam scales
each weight's step by how large its gradients have been. In place of the dot product stands a small neural network
(see ``EmbeddingNet``), which can learn how users and movies interact instead of being told.

Still one batch: every step sees all the training ratings, so an epoch is one step. The article's 50 steps at a learning
rate of 0.001 move each weight by about 0.05 at most, which hardly trains it: a loss still falling steeply at the last
epoch says so.
"""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import nn

from cfcore.approaches.embedding_net import EmbeddingNet
from cfcore.approaches.torch_parts import seeded
from cfcore.config import RunConfig
from cfcore.models import NetModel
from cfcore.ratings import Split
from cfcore.training import EpochResult, OnBatch, OnEpoch, OnStart, StopTraining, Stopwatch


def make_model(split: Split, config: RunConfig) -> tuple[EmbeddingNet, torch.optim.Adam]:
    """The network, and the optimizer that will move its weights."""
    with seeded(config.seed):
        model = EmbeddingNet(split.ratings.n_users, split.ratings.n_items, config.embedding_size, config.hidden_size)
    return model, torch.optim.Adam(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)


def train(split: Split, config: RunConfig, on_start: OnStart, on_epoch: OnEpoch, on_batch: OnBatch) -> NetModel:
    users, movies, ratings = map(torch.from_numpy, split.part(split.train))
    valid_users, valid_movies, valid_ratings = map(torch.from_numpy, split.part(split.valid))

    model, optimizer = make_model(split, config)
    mse = nn.MSELoss()

    on_start(model.to_model())
    watch = Stopwatch()
    with suppress(StopTraining):  # whoever stops a run keeps what it has learned so far
        for epoch in range(1, config.epochs + 1):
            model.train()
            # squeeze: (n, 1) - (n,) would broadcast to (n, n), gigabytes of wrong answers without any error
            predictions = model(users, movies).squeeze(1)  # (n, 1) -> (n,)
            loss = mse(predictions, ratings)
            on_batch(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

            model.eval()
            with torch.no_grad():
                valid_loss = mse(model(valid_users, valid_movies).squeeze(1), valid_ratings)
            on_epoch(
                EpochResult(
                    epoch=epoch,
                    train_loss=loss.item(),
                    valid_loss=valid_loss.item(),
                    seconds=watch.lap(),
                    learning_rate=config.learning_rate,
                    model=model.to_model(),
                )
            )
    return model.to_model()
