"""Collaborative filtering from scratch: two matrices, a product, and gradient descent by hand.

Every user has a row of k numbers in U, every movie a row of k numbers in V. Nobody says what the numbers mean: they
are the latent factors, and training finds them. The predicted rating is the dot product of the two rows,

    r(u, m) = sum over k of U[u, k] * V[m, k],

the loss is the mean squared error over the n training ratings, and one step of gradient descent is

    U <- U - lr * dL/dU        V <- V - lr * dL/dV.

How do we get "the row of user u" by algebra alone? Write u as a one-hot vector: all zeros, with a one in place u.
One-hot times matrix is then exactly row u of the matrix, so selecting rows is a matrix product, and whatever can
differentiate a product can train an embedding. The four lookups below compute the same losses at very different cost.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from cfcore.config import RunConfig
from cfcore.memory import fitting
from cfcore.models import DotModel
from cfcore.ratings import Split
from cfcore.training import EpochResult, OnBatch, OnEpoch, OnStart, StopTraining, Stopwatch

# A gradient is None only before the first backward(), which pyright cannot know.
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false, reportOperatorIssue=false

Loss = Callable[[Tensor, Tensor], Tensor]


def train(split: Split, config: RunConfig, on_start: OnStart, on_epoch: OnEpoch, on_batch: OnBatch) -> DotModel:
    n_users, n_movies = split.ratings.n_users, split.ratings.n_items
    n = len(split.train) + len(split.valid)
    lookup = LOOKUPS[fitting(config.lookup, n, n_users, n_movies)]  # a matrix too large for the memory: the index
    train_loss = lookup(*tensors(split, split.train), n_users, n_movies)
    valid_lookup = index if lookup is matrix else lookup  # so few ratings are not worth all the pairs there could be
    valid_loss = valid_lookup(*tensors(split, split.valid), n_users, n_movies)

    lr = config.learning_rate
    U, V = first_factors(n_users, n_movies, config)

    model = DotModel(user_factors=U.detach().numpy(), item_factors=V.detach().numpy())  # views: they learn with U and V
    on_start(model)
    watch = Stopwatch()
    with suppress(StopTraining):  # whoever stops a run keeps what it has learned so far
        for epoch in range(1, config.epochs + 1):
            loss = train_loss(U, V)
            on_batch(loss.item())
            loss.backward()  # fills U.grad and V.grad
            with torch.no_grad():  # the step itself must not be differentiated
                for w in (U, V):
                    w -= lr * w.grad
                    w.grad.zero_()  # or the next gradient would be added to this one
                valid = valid_loss(U, V).item()
            on_epoch(
                EpochResult(
                    epoch=epoch,
                    train_loss=loss.item(),
                    valid_loss=valid,
                    seconds=watch.lap(),
                    learning_rate=lr,
                    model=model,
                )
            )
    return model


def first_factors(n_users: int, n_movies: int, config: RunConfig) -> tuple[Tensor, Tensor]:
    """U and V before the first step: random numbers from 0 to 1."""
    random = torch.Generator().manual_seed(config.seed)
    k = config.embedding_size
    U = torch.rand(n_users, k, generator=random, requires_grad=True)
    V = torch.rand(n_movies, k, generator=random, requires_grad=True)
    return U, V


def tensors(split: Split, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    users, movies, ratings = map(torch.from_numpy, split.part(rows))
    return users, movies, ratings  # each (n,)


def onehot(users: Tensor, movies: Tensor, ratings: Tensor, n_users: int, n_movies: int) -> Loss:
    """The article's: one-hot rows times the factors. Nearly all of the work is multiplying by zero."""
    n = len(ratings)
    user_rows, movie_rows = torch.zeros(n, n_users), torch.zeros(n, n_movies)
    user_rows[torch.arange(n), users] = 1
    movie_rows[torch.arange(n), movies] = 1

    def loss(U: Tensor, V: Tensor) -> Tensor:
        predictions = ((user_rows @ U) * (movie_rows @ V)).sum(1)  # (n, k) * (n, k) -> (n,)
        return (predictions - ratings).square().mean()

    return loss


def sparse(users: Tensor, movies: Tensor, ratings: Tensor, n_users: int, n_movies: int) -> Loss:
    """The same product, but only the ones are stored."""
    n = len(ratings)

    def one_hot(columns: Tensor, width: int) -> Tensor:
        places = torch.stack([torch.arange(n), columns])  # (2, n): the row and the column of each one
        return torch.sparse_coo_tensor(places, torch.ones(n), (n, width), check_invariants=True).coalesce()

    user_rows, movie_rows = one_hot(users, n_users), one_hot(movies, n_movies)

    def loss(U: Tensor, V: Tensor) -> Tensor:
        predictions = (torch.sparse.mm(user_rows, U) * torch.sparse.mm(movie_rows, V)).sum(1)  # (n,)
        return (predictions - ratings).square().mean()

    return loss


def index(users: Tensor, movies: Tensor, ratings: Tensor, n_users: int, n_movies: int) -> Loss:
    """No product at all: U.index_select(0, users) is U[users], with a faster gradient."""

    def loss(U: Tensor, V: Tensor) -> Tensor:
        predictions = (U.index_select(0, users) * V.index_select(0, movies)).sum(1)  # (n,)
        return (predictions - ratings).square().mean()

    return loss


def matrix(users: Tensor, movies: Tensor, ratings: Tensor, n_users: int, n_movies: int) -> Loss:
    """All pairs at once: U V^T is every rating there could be, and a mask keeps those that were given."""
    R = torch.zeros(n_users, n_movies)
    R[users, movies] = ratings
    given = torch.zeros(n_users, n_movies)
    given[users, movies] = 1

    def loss(U: Tensor, V: Tensor) -> Tensor:
        errors = given * torch.addmm(R, U, V.T, beta=-1)  # U V^T - R in one pass, then 0 where nobody rated
        return errors.flatten() @ errors.flatten() / len(ratings)  # their sum of squares

    return loss


LOOKUPS = {"onehot": onehot, "sparse": sparse, "index": index, "matrix": matrix}
