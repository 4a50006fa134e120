"""Variational Bayes: alternating least squares that knows how sure it is, and what people chose to rate.

    r(u, m) = mean + b_u + b_m + p_u . q_m + noise,    noise ~ N(0, 1 / a)

`als` holds the movies still as if their rows were known. They are guesses, though, and a movie with three ratings is a
worse guess than one with three hundred. So here a row is not a point but a normal distribution: N(x_u, S_u) for a user,
with x_u = (p_u, b_u), and the same for a movie. What a half needs of the side that is held still is z_m = (q_m, 1, b_m)
on average, and E z_m z_m': the square of that average plus the covariance. With f_m = (q_m, 1) the user's row becomes

    S_u = (L + a sum over m of E f_m f_m')^-1
    x_u = S_u (L g_u + a sum over m of (t_m E f_m - E f_m b_m)),    t_m = r - mean:

ridge regression as before, in which whatever is unsure of a movie adds to the ridge. The ridge L is no setting any
more. It belongs to the prior N(g_u, L^-1), from which a row departs only as far as its ratings demand, and after every
half the prior and the noise become those that suit what was found (empirical Bayes): no learning rate, and no
regularization to choose.

The prior need not be the same for everybody. Who watched this and not that has said something before giving any star.
The matrix of who rated what, ones and zeros, divided by the fourth root of n_u n_m, has a singular value decomposition;
its largest components give every user and movie a few numbers v, and g_u = c + W v_u is fitted by ridge regression
to the rows found so far. SVD++ has a sum over the movies that a user has rated for the same purpose.

Source: Lim and Teh, "Variational Bayesian approach to movie rating prediction" (2007); Koren, "Factorization meets the
neighborhood" (2008), for what was rated; Porteous, Asuncion and Welling, "Bayesian matrix factorization with side
information" (2010), for a prior by regression.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import torch
from scipy.sparse import csr_array
from sklearn.decomposition import TruncatedSVD
from torch import Tensor
from torch.nn.functional import embedding_bag

from cfcore.config import RunConfig
from cfcore.models import DotModel
from cfcore.ratings import Split
from cfcore.training import EpochResult, OnBatch, OnEpoch, OnStart, StopTraining, Stopwatch

MOST_NUMBERS = 2**22  # in the matrices of those who are solved for together: 16 MB each
AT_ONCE = 2**18  # ratings whose errors are computed together
FIRST = 0.1  # standard deviation of the movies' first factors, and of what is not known of them
NOISE, LEAST_NOISE = 0.7, 1e-4  # 1 / a to begin with, where the ratings' variance is 1; and the least that is believed


def train(split: Split, config: RunConfig, on_start: OnStart, on_epoch: OnEpoch, on_batch: OnBatch) -> DotModel:
    n_users, n_movies, k = split.ratings.n_users, split.ratings.n_items, config.embedding_size
    users, movies, ratings = map(torch.from_numpy, split.part(split.train, np.int32))
    valid_users, valid_movies, valid_ratings = map(torch.from_numpy, split.part(split.valid, np.int32))
    mean, unit = ratings.mean(), ratings.std() or 1.0  # 1 where all are equal
    targets = (ratings - mean) / unit

    random = torch.Generator().manual_seed(config.seed)
    first = FIRST * torch.randn(n_movies, k, generator=random)
    v_users, v_movies = who_rated_what(users, movies, n_users, n_movies, config.implicit_size)
    U, M = Side(torch.zeros(n_users, k), v_users), Side(first, v_movies)
    halves = (
        (U, M, groups(users, movies, targets, n_users, k)),  # for every user, the movies held still
        (M, U, groups(movies, users, targets, n_movies, k)),  # for every movie, the users held still
    )

    def loss(users: Tensor, movies: Tensor, ratings: Tensor) -> float:
        blocks = zip(*(each.split(AT_ONCE) for each in (users, movies, ratings)), strict=True)
        return sum((mean + unit * product(U, M, u, m) - r).square().sum().item() for u, m, r in blocks) / len(ratings)

    def model() -> DotModel:
        z_users, z_movies, size = U.z.numpy(), M.z.numpy(), np.float32(unit)
        return DotModel(
            user_factors=z_users[:, :k] * size,
            item_factors=z_movies[:, :k],
            user_bias=z_users[:, k + 1] * size,
            item_bias=z_movies[:, k + 1] * size,
            offset=mean.item(),
        )

    on_start(model())
    watch, now, noise = Stopwatch(), loss(users, movies, ratings), NOISE
    with suppress(StopTraining):  # whoever stops a run keeps what it has learned so far
        for epoch in range(1, config.epochs + 1):
            for sought, still, parts in halves:
                error = targets.square().sum().item()
                for part in parts:
                    on_batch(now)
                    error += solve(sought, still, *part, noise)
                noise = max(error / len(targets), LEAST_NOISE)  # the mean squared error, over all that is unsure
                sought.learn_prior()
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


class Side:
    """The rows of all users, or of all movies, as the other side needs them, and their prior.

    ``z`` (n, d) are the means of (p, 1, b), d = k + 2; ``square`` (n, d * d) those of z z'. ``prior`` (n, k + 1) and
    ``L`` (k + 1, k + 1) are mean and inverse covariance of x = (p, b) before any rating; x stands in z at ``own``.
    """

    def __init__(self, factors: Tensor, v: Tensor):
        n, k = factors.shape
        self.own = torch.tensor([*range(k), k + 1])
        self.v = v - v.mean(0)  # (n, implicit_size)
        self.z = torch.cat([factors, torch.ones(n, 1), torch.zeros(n, 1)], 1)
        self.square = torch.empty(n, (k + 2) ** 2)
        self.prior, self.L = torch.zeros(n, k + 1), torch.eye(k + 1)
        for owners in together(n, k):
            self.put(owners, self.z[owners][:, self.own], FIRST**2 * torch.eye(k + 1))

    def put(self, owners: slice, x: Tensor, S: Tensor) -> None:
        """From now on the rows of ``owners`` are N(x, S)."""
        z = self.z[owners]
        z[:, self.own] = x
        square = z[:, :, None] * z[:, None, :]
        square[:, self.own[:, None], self.own] += S  # the mean of a square is more than the square of the mean
        self.square[owners] = square.flatten(1)

    def learn_prior(self) -> None:
        """The normal distributions that suit the rows best: means by ridge regression on v, and one covariance."""
        n, d = self.z.shape
        x = self.z[:, self.own]
        ridge = self.v.square().sum(1).mean() * torch.eye(self.v.shape[1])
        W = torch.linalg.solve(self.v.T @ self.v + ridge, self.v.T @ x)  # (implicit_size, k + 1)
        self.prior = x.mean(0) + self.v @ W
        left = x - self.prior
        squares = n * self.square.mean(0).view(d, d)[self.own[:, None], self.own]  # sum of x x' + S
        covariance = (squares - x.T @ x + left.T @ left + torch.eye(d - 1)) / (n + 1)  # as if one more row had known 1
        self.L = torch.linalg.inv(covariance)


def solve(sought: Side, still: Side, owners: slice, others: Tensor, t: Tensor, first: Tensor, noise: float) -> float:
    """Find the rows of ``owners`` (g of them) from their ratings, and what these add to the sum of squared errors.

    ``t`` (n,) are the ratings of all owners, one owner after the other, ``others`` (n,) who or what each is about, and
    ``first`` (g,) where those of each owner begin. The sum of t^2 itself is left out of the errors.
    """
    d = still.z.shape[1]
    squares = embedding_bag(others, still.square, first, mode="sum").view(-1, d, d)  # sum of E z z'
    products = embedding_bag(others, still.z, first, mode="sum", per_sample_weights=t)  # (g, d), sum of t E z
    A = sought.L + squares[:, :-1, :-1] / noise
    B = sought.prior[owners] @ sought.L + (products[:, :-1] - squares[:, :-1, -1]) / noise
    S = torch.cholesky_inverse(torch.linalg.cholesky(A))  # (g, k + 1, k + 1)
    x = (S @ B[:, :, None])[:, :, 0]  # (g, k + 1)
    sought.put(owners, x, S)
    y = torch.cat([x, torch.ones(len(x), 1)], 1)  # (p_u, b_u, 1) . (q_m, 1, b_m) is the prediction
    error = (y * ((squares @ y[:, :, None])[:, :, 0] - 2 * products)).sum() + (squares[:, :-1, :-1] * S).sum()
    return error.item()


def product(U: Side, M: Side, users: Tensor, movies: Tensor) -> Tensor:
    """b_u + b_m + p_u . q_m of the pairs (n,)."""
    z_users, z_movies = U.z.index_select(0, users), M.z.index_select(0, movies)
    return (z_users[:, :-2] * z_movies[:, :-2]).sum(1) + z_users[:, -1] + z_movies[:, -1]


def who_rated_what(users: Tensor, movies: Tensor, n_users: int, n_movies: int, size: int) -> tuple[Tensor, Tensor]:
    """The numbers v of every user (n_users, size) and every movie (n_movies, size), from the training pairs alone."""
    size = min(size, n_users - 1, n_movies - 1)
    if size < 1:
        return torch.zeros(n_users, 0), torch.zeros(n_movies, 0)
    count_users, count_movies = torch.bincount(users, minlength=n_users), torch.bincount(movies, minlength=n_movies)
    weights = (count_users[users] * count_movies[movies]).float() ** -0.25
    pattern = csr_array((weights.numpy(), (users.numpy(), movies.numpy())), shape=(n_users, n_movies))
    svd = TruncatedSVD(size, random_state=0)
    return torch.from_numpy(svd.fit_transform(pattern)), torch.from_numpy(svd.fit_transform(pattern.T))


def groups(own: Tensor, others: Tensor, t: Tensor, n_own: int, k: int) -> list[tuple[slice, Tensor, Tensor, Tensor]]:
    """Owners to be solved for together, the ``others`` and ``t`` of their ratings, and where those of each begin."""
    order = torch.argsort(own, stable=True)  # the ratings of each owner one after the other
    others, t = others[order], t[order]
    ends = [0, *torch.bincount(own, minlength=n_own).cumsum(0).tolist()]
    found = []
    for owners in together(n_own, k):
        mine = slice(ends[owners.start], ends[owners.stop])
        first = torch.tensor(ends[owners], dtype=torch.int32) - mine.start
        found.append((owners, others[mine], t[mine], first))
    return found


def together(n: int, k: int) -> list[slice]:
    """The numbers from 0 to n in slices, each of as many rows as there is room for their matrices."""
    size = max(1, MOST_NUMBERS // (k + 2) ** 2)
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
