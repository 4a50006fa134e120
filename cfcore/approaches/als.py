"""Alternating least squares: no gradient and no learning rate, each half of the problem is solved exactly.

    r(u, m) = mean + b_u + b_m + p_u . q_m

All rows at once are a hard problem, for p and q multiply each other. But hold the movies still, and what is left for
one user is linear regression: with y_m = (q_m, 1) for each of the n movies that the user rated, and the targets
t_m = r - mean - b_m, the row x_u = (p_u, b_u) that minimises

    sum over m of (x_u . y_m - t_m)^2 + sqrt(n) x_u' L x_u

is x_u = (Y'Y + sqrt(n) L)^-1 Y't: no step could be too long, or too short. Then the users are held still and every
movie gets its row the same way; both together are one epoch, and a handful of them will do. L is the ridge, the
regularization on the diagonal, half of it for the bias. It grows with sqrt(n), between the same for everybody (which
leaves whoever rated much too free) and the same for each rating (which ties them down).

Source: Zhou, Wilkinson, Schreiber and Pan, "Large-scale parallel collaborative filtering for the Netflix prize" (2008),
with sqrt(n) in the place of their n; Koren, Bell and Volinsky, "Matrix factorization techniques for recommender
systems" (2009).
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from cfcore.config import RunConfig
from cfcore.models import DotModel
from cfcore.ratings import Split
from cfcore.training import EpochResult, OnBatch, OnEpoch, OnStart, StopTraining, Stopwatch

MOST_NUMBERS = 2**22  # in the Y of users who are solved for together: 16 MB
AT_ONCE = 2**18  # ratings whose errors are computed together: the rows of all would take ten times what the data does
FIRST = 0.1  # standard deviation of the movies' first factors


def train(split: Split, config: RunConfig, on_start: OnStart, on_epoch: OnEpoch, on_batch: OnBatch) -> DotModel:
    n_users, n_movies, k = split.ratings.n_users, split.ratings.n_items, config.embedding_size
    users, movies, ratings = map(torch.from_numpy, split.part(split.train, np.int32))
    valid_users, valid_movies, valid_ratings = map(torch.from_numpy, split.part(split.valid, np.int32))
    mean, unit = ratings.mean(), ratings.std() or 1.0  # in units of their own spread, any scale wants the same ridge
    targets = (ratings - mean) / unit

    random = torch.Generator().manual_seed(config.seed)
    X, Y = torch.zeros(n_users, k + 1), torch.zeros(n_movies, k + 1)  # rows (p_u, b_u) and (q_m, b_m)
    Y[:, :k] = FIRST * torch.randn(n_movies, k, generator=random)
    Y[torch.bincount(movies, minlength=n_movies) == 0] = 0  # nobody rated them, so nothing would ever correct these
    ridge = torch.full((k + 1,), float(config.weight_decay))
    ridge[k] /= 2

    def loss(users: Tensor, movies: Tensor, ratings: Tensor) -> float:
        blocks = zip(*(each.split(AT_ONCE) for each in (users, movies, ratings)), strict=True)
        return sum((mean + unit * product(X, Y, u, m) - r).square().sum().item() for u, m, r in blocks) / len(ratings)

    def model() -> DotModel:
        x, y, size = X.numpy(), Y.numpy(), np.float32(unit)
        return DotModel(
            user_factors=x[:, :k] * size,
            item_factors=y[:, :k],
            user_bias=x[:, k] * size,
            item_bias=y[:, k] * size,
            offset=mean.item(),
        )

    halves = (
        (X, Y, movies, alike(users, n_users, k + 1)),  # for every user, the movies held still
        (Y, X, users, alike(movies, n_movies, k + 1)),  # for every movie, the users held still
    )
    on_start(model())
    watch, now = Stopwatch(), loss(users, movies, ratings)
    with suppress(StopTraining):  # whoever stops a run keeps what it has learned so far
        for epoch in range(1, config.epochs + 1):
            for sought, still, others, groups in halves:
                for owners, places in groups:
                    on_batch(now)
                    sought[owners] = solve(still, others, targets, places, ridge)
                now = loss(users, movies, ratings)
            on_epoch(
                EpochResult(
                    epoch=epoch,
                    train_loss=now,
                    valid_loss=loss(valid_users, valid_movies, valid_ratings),
                    seconds=watch.lap(),
                    model=model(),
                )
            )
    return model()


def solve(still: Tensor, others: Tensor, targets: Tensor, places: Tensor, ridge: Tensor) -> Tensor:
    """The rows (g, k + 1) of g owners, each the exact answer to its own ridge regression.

    ``places`` (g, l) are the positions of their ratings, and -1 where an owner has fewer than l. ``others`` (n,) is the
    other side of every rating, ``still`` (., k + 1) the rows of that side.
    """
    given = (places >= 0).float()[:, :, None]  # (g, l, 1)
    rows = still[others[places]]  # (g, l, k + 1)
    t = (targets[places] - rows[:, :, -1])[:, :, None] * given  # what the other side's bias has not explained
    rows[:, :, -1] = 1  # the factor that stands before the owner's own bias
    rows *= given
    A = rows.transpose(1, 2) @ rows  # (g, k + 1, k + 1), all owners' normal equations at once
    A.diagonal(dim1=1, dim2=2).add_(given.sum(1).sqrt() * ridge)
    return torch.cholesky_solve(rows.transpose(1, 2) @ t, torch.linalg.cholesky(A))[:, :, 0]


def product(X: Tensor, Y: Tensor, users: Tensor, movies: Tensor) -> Tensor:
    """b_u + b_m + p_u . q_m of the pairs (n,)."""
    x, y = X.index_select(0, users), Y.index_select(0, movies)
    return (x[:, :-1] * y[:, :-1]).sum(1) + x[:, -1] + y[:, -1]


def alike(own: Tensor, n_own: int, width: int) -> list[tuple[Tensor, Tensor]]:
    """Owners (g,) with about as many ratings each, to be solved for together, and their ratings' places (g, l)."""
    count = torch.bincount(own, minlength=n_own)
    order = torch.argsort(own, stable=True).int()  # the ratings of each owner one after the other
    first = count.cumsum(0) - count
    by_count = torch.argsort(count, descending=True, stable=True)[: int((count > 0).sum())]
    groups, start = [], 0
    while start < len(by_count):
        longest = int(count[by_count[start]])
        owners = by_count[start : start + max(1, MOST_NUMBERS // (longest * max(width, 8)))]
        at = torch.arange(longest)
        places = order[(first[owners, None] + at).clamp(max=len(own) - 1)]
        groups.append((owners, places.where(at < count[owners, None], -1)))
        start += len(owners)
    return groups
