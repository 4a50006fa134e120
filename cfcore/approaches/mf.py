"""Biased matrix factorization, tuned to be good: minibatches, Adam, one-cycle, and the weights of the best epoch.

    r(u, m) = mean + b_u + b_m + p_u . q_m

The same dot product as fastai's, with three things done differently. There is no sigmoid. The rows are pulled to zero
not by the same amount at every step, but in proportion to the root of how often they are rated: the loss is

    sum over the ratings of (r(u, m) - r)^2 + decay |x_u|^2 / sqrt(n_u) + decay |y_m|^2 / sqrt(n_m),

where x_u = (p_u, b_u), y_m = (q_m, b_m), and a bias counts half. Summed over the n_u ratings of a user that is
sqrt(n_u) |x_u|^2: who rated much is freer than who rated little, though not n_u times as free. The learning rate rises
and falls once (one-cycle), large while the valley is far and small when it is near. And one rating in twenty is kept
aside: the run ends with the weights of the epoch that predicted these best. Ending at the first epoch that makes them
worse would be early stopping as well, but at the height of the rate epochs often do, before its fall makes up for it.

Source: Koren, Bell and Volinsky, "Matrix factorization techniques for recommender systems" (2009); Smith and Topin,
"Super-convergence" (2018).
"""

from __future__ import annotations

import math
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor
from torch.optim import Adam
from torch.optim.lr_scheduler import OneCycleLR

from cfcore.approaches.torch_parts import threads
from cfcore.config import RunConfig
from cfcore.models import DotModel
from cfcore.ratings import Split
from cfcore.training import EpochResult, OnBatch, OnEpoch, OnStart, StopTraining, Stopwatch

ASIDE = 0.05  # of the training ratings, to see which epoch was best
FIRST = 0.05  # standard deviation of the first factors
MOST_STEPS = 2000  # an epoch: every step of Adam moves all rows, so with millions of ratings batches are larger
AT_ONCE = 2**18  # ratings whose errors are computed together: the rows of all would take ten times what the data does


def train(split: Split, config: RunConfig, on_start: OnStart, on_epoch: OnEpoch, on_batch: OnBatch) -> DotModel:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    n_users, n_movies, k = split.ratings.n_users, split.ratings.n_items, config.embedding_size
    random = torch.Generator().manual_seed(config.seed)

    kept, aside = (part.numpy() for part in torch.randperm(len(split.train), generator=random).split(parts(split)))
    pairs, ratings = tensors(split, split.train[kept], device)  # (n, 2), (n,)
    aside_pairs, aside_ratings = tensors(split, split.train[aside], device)
    valid_pairs, valid_ratings = tensors(split, split.valid, device)
    mean, unit = ratings.mean().item(), ratings.std().item() or 1.0  # learned in units of the ratings' own spread
    targets = (ratings - mean) / unit

    count = torch.bincount(pairs.flatten(), minlength=n_users + n_movies)  # of one table: users first, then movies
    W = first_rows(count.cpu(), k, random).to(device).requires_grad_()  # (n_users + n_movies, k + 1)
    pull = pulls(count, config.weight_decay)
    batch_size = max(config.batch_size, len(ratings) // MOST_STEPS)
    n_batches = math.ceil(len(ratings) / batch_size)
    optimizer = Adam([W], lr=config.learning_rate, betas=(0.9, 0.99), fused=True)
    schedule = OneCycleLR(optimizer, config.learning_rate, total_steps=n_batches * config.epochs)

    def loss(pairs: Tensor, ratings: Tensor) -> float:
        blocks = zip(pairs.split(AT_ONCE), ratings.split(AT_ONCE), strict=True)
        with torch.no_grad():
            return sum((mean + unit * product(W[p]) - r).square().sum().item() for p, r in blocks) / len(ratings)

    def model() -> DotModel:
        rows, size = W.detach().cpu().numpy(), np.float32(unit)
        return DotModel(
            user_factors=rows[:n_users, :k] * size,
            item_factors=rows[n_users:, :k],
            user_bias=rows[:n_users, k] * size,
            item_bias=rows[n_users:, k] * size,
            offset=mean,
        )

    on_start(model())
    watch, lowest, best_rows = Stopwatch(), math.inf, W.detach()
    with suppress(StopTraining), threads(1):  # whoever stops a run keeps what it has learned so far
        for epoch in range(1, config.epochs + 1):
            met = 0.0
            for rows in torch.randperm(len(ratings), generator=random).to(device).split(batch_size):
                chosen = pairs[rows]  # (b, 2)
                factors = W.index_select(0, chosen.flatten()).view(*chosen.shape, k + 1)  # (b, 2, k + 1)
                errors = (product(factors) - targets[rows]).square()  # (b,)
                on_batch(batch_loss := unit**2 * errors.mean().item())
                met += batch_loss * len(rows)
                optimizer.zero_grad()
                (errors + (pull[chosen] * lengths(factors)).sum(1)).mean().backward()
                optimizer.step()
                schedule.step()
            if (aside_loss := loss(aside_pairs, aside_ratings)) < lowest:
                lowest, best_rows = aside_loss, W.detach().clone()
            on_epoch(
                EpochResult(
                    epoch=epoch,
                    train_loss=met / len(ratings),
                    valid_loss=loss(valid_pairs, valid_ratings),
                    aside_loss=aside_loss,
                    seconds=watch.lap(),
                    learning_rate=float(schedule.get_last_lr()[0]),
                    model=model(),
                )
            )
        with torch.no_grad():
            W.copy_(best_rows)
    return model()


def first_rows(count: Tensor, k: int, random: torch.Generator) -> Tensor:
    """A row of k small random factors and a bias of 0 for each of ``count`` (n,), the numbers of their ratings."""
    rows = torch.cat([FIRST * torch.randn(len(count), k, generator=random), torch.zeros(len(count), 1)], 1)
    rows[count == 0] = 0  # nobody rated them: nothing would correct these
    return rows


def product(rows: Tensor) -> Tensor:
    """b_u + b_m + p_u . q_m for pairs of rows (n, 2, k + 1)."""
    users, movies = rows.unbind(1)
    return (users[:, :-1] * movies[:, :-1]).sum(1) + users[:, -1] + movies[:, -1]


def pulls(count: Tensor, decay: float) -> Tensor:
    """How hard each of a row's ``count`` ratings pulls it to zero, (n,): together by decay times the root of count."""
    return decay / count.clamp(min=1).sqrt()


def lengths(rows: Tensor) -> Tensor:
    """The squared lengths (n, 2) of pairs of rows (n, 2, k + 1), of which a bias counts half."""
    return rows[..., :-1].square().sum(2) + rows[..., -1].square() / 2


def tensors(split: Split, rows: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """The rows of the table that each rating is about, (n, 2), and the ratings (n,)."""
    users, movies, ratings = map(torch.from_numpy, split.part(rows, np.int32))
    return torch.stack([users, movies + split.ratings.n_users], 1).to(device), ratings.to(device)


def parts(split: Split) -> list[int]:
    """How many training ratings train, and how many are kept aside: at least one of each.

    Raises:
        ValueError: there is only one.
    """
    if len(split.train) < 2:
        raise ValueError(
            "one training rating is too few, because some are kept aside: hold fewer out, or use more data"
        )
    n_aside = max(1, round(ASIDE * len(split.train)))
    return [len(split.train) - n_aside, n_aside]
