"""Collaborative filtering in PyTorch: the lookup becomes nn.Embedding, and Adam takes the steps.

What we wrote by hand before has a name here. An ``nn.Embedding`` is a factor matrix with its row lookup, ``nn.Module``
keeps all weights together, and an optimizer does ``w -= lr * grad`` for each of them, only better: Adam scales
each weight's step by how large its gradients have been. In place of the dot product stands a small neural network
(see ``EmbeddingNet``), which can learn how users and movies interact instead of being told.

The article still makes one step of all the training ratings, so an epoch is one step. Its 50 steps at a learning rate
of 0.001 move each weight by about 0.05 at most, which hardly trains it: a loss still falling steeply at the last epoch
says so. With a batch size the same ratings make hundreds of steps: each sees only a few of them, so its gradient is
noisy, but it points the right way on average, and it costs as much less.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import torch
from torch import Tensor, nn

from cfcore.approaches.embedding_net import EmbeddingNet
from cfcore.approaches.torch_parts import cores, seeded, threads
from cfcore.config import RunConfig
from cfcore.models import NetModel
from cfcore.ratings import Split
from cfcore.training import EpochResult, OnBatch, OnEpoch, OnStart, StopTraining, Stopwatch


def make_model(split: Split, config: RunConfig) -> tuple[EmbeddingNet, torch.optim.Adam]:
    """The network, and the optimizer that will move its weights."""
    with seeded(config.seed):
        model = EmbeddingNet(split.ratings.n_users, split.ratings.n_items, config.embedding_size, config.hidden_size)
    return model, torch.optim.Adam(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )


def batches(n: int, batch_size: int | None, random: torch.Generator) -> Iterable[slice | Tensor]:
    """The rows of n ratings, each exactly once: all at once, or in a new order and cut into batches."""
    if batch_size is None:
        return [slice(None)]
    return torch.randperm(n, generator=random).split(batch_size)


def train(split: Split, config: RunConfig, on_start: OnStart, on_epoch: OnEpoch, on_batch: OnBatch) -> NetModel:
    users, movies, ratings = map(torch.from_numpy, split.part(split.train))
    valid_users, valid_movies, valid_ratings = map(torch.from_numpy, split.part(split.valid))

    model, optimizer = make_model(split, config)
    mse = nn.MSELoss()
    random = torch.Generator().manual_seed(config.seed)

    on_start(model.to_model())
    watch = Stopwatch()
    with suppress(StopTraining), threads(cores(config.batch_size)):  # a stopped run keeps what it has learned
        for epoch in range(1, config.epochs + 1):
            model.train()
            summed = 0.0
            for rows in batches(len(ratings), config.batch_size, random):
                # squeeze: (n, 1) - (n,) would broadcast to (n, n), gigabytes of wrong answers without any error
                predictions = model(users[rows], movies[rows]).squeeze(1)  # (n, 1) -> (n,)
                loss = mse(predictions, ratings[rows])
                on_batch(loss.item())
                summed += loss.item() * len(predictions)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

            model.eval()
            with torch.no_grad():
                valid_loss = mse(model(valid_users, valid_movies).squeeze(1), valid_ratings)
            on_epoch(
                EpochResult(
                    epoch=epoch,
                    train_loss=summed / len(ratings),
                    valid_loss=valid_loss.item(),
                    seconds=watch.lap(),
                    learning_rate=config.learning_rate,
                    model=model.to_model(),
                )
            )
    return model.to_model()
