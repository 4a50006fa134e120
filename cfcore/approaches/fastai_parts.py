"""What the three fastai lessons share: our split as data loaders, a report after each epoch, a fit that can stop.

The stock loaders have two traps. Their training loader draws rows *with replacement*, so that an epoch misses about a
third of the ratings, and it drops the last, incomplete batch. Ours gives every training row exactly once.

A batch of 64 ratings is so little work that most of an epoch is spent around it. The loader slices tensors instead of a
DataFrame, and :func:`lean` lets one kernel do what fastai's optimizer does in eight: the same numbers, less than half
the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pandas as pd
import torch
from fastai.callback.core import Callback, CancelFitException
from fastai.callback.schedule import Learner  # the schedule module adds fit_one_cycle to Learner
from fastai.collab import TabularCollab
from fastai.data.core import DataLoaders
from fastai.learner import CastToTensor
from fastai.losses import BaseLoss
from fastai.optimizer import OptimWrapper
from fastai.tabular.core import Categorify, ReadTabBatch, TabDataLoader
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim import AdamW

from cfcore.approaches.torch_parts import cores, threads
from cfcore.config import RunConfig
from cfcore.models import Model
from cfcore.ratings import Split
from cfcore.training import EpochResult, OnBatch, OnEpoch, OnStart, StopTraining, Stopwatch

# fastai fills in a callback's learner and its own re-exports at run time, where pyright does not see them.
# pyright: reportOptionalMemberAccess=false, reportAttributeAccessIssue=false, reportArgumentType=false

VALID_BATCH = 8192  # nothing is learned from validation rows, so larger batches only save time


class TensorBatch(ReadTabBatch):
    """Leaves a batch of tensors as it is; decodes it, for ``show_batch``, as fastai does."""

    def encodes(self, batch):
        return batch


class RatingsLoader(TabDataLoader):
    """A fastai loader that slices batches out of index tensors: every row once an epoch, none dropped.

    Half of a stock epoch goes into cutting batches out of a DataFrame. The last rows are spread over all batches
    rather than left in a short one, because batch normalization fails on a batch of one.
    """

    def __init__(self, dataset, after_batch=None, **kwargs) -> None:
        super().__init__(dataset, after_batch=[TensorBatch(dataset)], **kwargs)
        self.x = torch.tensor(dataset.cats.to_numpy(dtype=np.int64))  # (n, 2): user, movie
        self.y = torch.tensor(dataset.ys.to_numpy(dtype=np.float32))  # (n, 1), or (n, 0) without ratings

    def get_idxs(self) -> Tensor:
        return torch.randperm(self.n) if self.shuffle else torch.arange(self.n)

    def sample(self) -> Iterable[Tensor]:
        order = self.get_idxs()
        return order.tensor_split(math.ceil(self.n / self.bs)) if len(order) else ()

    def create_batches(self, samps: Iterable[Tensor]) -> Iterator[tuple[Tensor, ...]]:
        return (self.create_batch(rows) for rows in samps)

    def create_batch(self, b) -> tuple[Tensor, ...]:
        return (self.x[b], self.y[b]) if self.y.shape[1] else (self.x[b],)


def make_loaders(split: Split, batch_size: int) -> DataLoaders:
    """Our split, not a fresh one, as the loaders that ``Learner`` and ``collab_learner`` expect."""
    rows = np.concatenate([split.train, split.valid])
    users, movies, ratings = split.part(rows)
    n_train, n = len(split.train), len(rows)
    table = TabularCollab(
        pd.DataFrame({"user": users, "movie": movies, "rating": ratings}),
        procs=[Categorify],
        cat_names=["user", "movie"],
        y_names=["rating"],
        splits=[list(range(n_train)), list(range(n_train, n))],
        reduce_memory=False,
    )
    return table.dataloaders(
        bs=batch_size, val_bs=VALID_BATCH, dl_type=RatingsLoader, drop_last=False, device=torch.device("cpu")
    )


def embedding_rows(loaders: DataLoaders, column: str, n: int) -> np.ndarray:
    """The embedding row of each of our ``n`` indices; row 0 is fastai's ``#na#``, for what training never saw."""
    rows = np.zeros(n, dtype=np.int64)
    known = np.array(list(loaders.classes[column])[1:], dtype=np.int64)
    rows[known] = np.arange(1, len(known) + 1)
    return rows


class FusedAdam(OptimWrapper):
    """fastai's Adam as PyTorch's AdamW, which updates all weights in one kernel: the same defaults, the same steps.

    Like fastai, it spares the biases of layers and the batch norms, which are the weights with one dimension, from
    weight decay.
    """

    def __init__(self, params, lr: float, wd: float = 0.01) -> None:
        weights = [p for p in params if p.requires_grad]
        groups = [[p for p in weights if p.ndim > 1], [p for p in weights if p.ndim == 1]]
        settings = {"lr": lr, "betas": (0.9, 0.99), "eps": 1e-5, "weight_decay": wd, "fused": True}
        super().__init__(opt=AdamW([{"params": group} for group in groups], **settings))
        self.set_hypers(wd=wd)

    @property
    def hypers(self) -> list[dict[str, float]]:  # fastai asks several times a step, and its own takes its time
        return [
            {"lr": g["lr"], "mom": g["betas"][0], "sqr_mom": g["betas"][1], "eps": g["eps"], "wd": g["weight_decay"]}
            for g in self.opt.param_groups
        ]

    def _set_hyper(self, k: str, v) -> None:
        super()._set_hyper(k, (v[0], 0.0) if k == "wd" else v)


class PlainMSE(BaseLoss):
    """``MSELossFlat`` without fastai's tensor class, whose every operation goes through Python."""

    def __init__(self) -> None:
        super().__init__(nn.MSELoss, is_2d=False, floatify=True)

    def __call__(self, inp: Tensor, targ: Tensor, **kwargs) -> Tensor:
        return mse_loss(inp.flatten(), targ.flatten(), **kwargs)


def lean(learner: Learner) -> None:
    """Leave out of ``learner`` what only costs time around each batch: it computes what it did, up to rounding."""
    learner.opt_func, learner.loss_func = FusedAdam, PlainMSE()
    learner.remove_cb(CastToTensor)  # our loader gives plain tensors


def fit(
    learner: Learner,
    config: RunConfig,
    as_model: Callable[[], Model],
    on_start: OnStart,
    on_epoch: OnEpoch,
    on_batch: OnBatch,
) -> None:
    """``fit_one_cycle``, reporting after each epoch; ``as_model`` gives the weights in the order of our indices."""
    on_start(as_model())
    report = Report(as_model, on_epoch, on_batch)
    with learner.no_bar(), learner.no_logging(), threads(cores(config.batch_size)):
        learner.fit_one_cycle(config.epochs, config.learning_rate, wd=config.weight_decay, cbs=report)


class Report(Callback):
    """Hands each epoch's true mean losses to ``on_epoch``: fastai's own Recorder smooths the training loss."""

    def __init__(self, as_model: Callable[[], Model], on_epoch: OnEpoch, on_batch: OnBatch) -> None:
        super().__init__()
        self.as_model, self.on_epoch, self.on_batch = as_model, on_epoch, on_batch
        self.watch = Stopwatch()

    def before_fit(self) -> None:
        self.watch.lap()

    def before_epoch(self) -> None:
        self.sums = {True: 0.0, False: 0.0}  # training?: sum of squared errors
        self.rows = {True: 0, False: 0}

    def after_loss(self) -> None:
        loss, n = self.learn.loss.item(), len(self.learn.yb[0])
        self.sums[self.training] += loss * n
        self.rows[self.training] += n
        if self.training:
            self._or_cancel(self.on_batch, loss)

    def after_epoch(self) -> None:
        result = EpochResult(
            epoch=self.learn.epoch + 1,
            train_loss=self.sums[True] / self.rows[True],
            valid_loss=self.sums[False] / self.rows[False],
            seconds=self.watch.lap(),
            learning_rate=self.learn.opt.hypers[-1]["lr"],
            model=self.as_model(),
        )
        self._or_cancel(self.on_epoch, result)

    def _or_cancel(self, callback, value) -> None:
        try:
            callback(value)
        except StopTraining as stop:  # fastai ends a fit in its own words; the learner keeps its weights
            raise CancelFitException from stop
