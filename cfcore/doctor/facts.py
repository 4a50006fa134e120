"""What the verdicts look at: the losses of a run, its baselines and the spread of its predictions, and what they give.

Everything is a number that a reader could find on the page; nothing is read from the ratings themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cfcore.approaches import describe
from cfcore.config import RunConfig, SplitConfig
from cfcore.runs import Run
from cfcore.sweep import THAT_LEARN

FEW = 100  # held-out ratings below which an error is mostly chance
MARGIN = 0.99  # of the MSE of user + movie bias: half a percent of an error, which is what a seed makes
EDGE = 0.05  # of the rating range, from either end: there the sigmoid's slope is under a fifth of its greatest

TITLES: Mapping[str, str] = {
    "rate_too_high": "Learning rate too high",
    "too_large": "Ratings too large",
    "collapsed": "Collapsed to the mean",
    "saturated": "Sigmoid saturated",
    "rate_too_low": "Learning rate too low",
    "too_short": "Too few epochs",
    "too_little_data": "Too little data for so many factors",
    "overfitting": "Overfitting",
    "no_better": "No better than user + movie bias",
    "too_few": "Too few held-out ratings",
    "healthy": "Nothing is wrong",
}


@dataclass(frozen=True, kw_only=True)
class Fix:
    """A change of settings that should mend a run: ``label`` names the button, ``split`` the data where it changes."""

    label: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    split: SplitConfig | None = None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One verdict: its ``kind``, a sentence with the evidence, a ``fix`` where there is one, and why it came so.

    ``why`` is a word on the article's own settings, empty for all others.
    """

    kind: str
    sentence: str
    fix: Fix | None = None
    why: str = ""

    @property
    def title(self) -> str:
        return TITLES[self.kind]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A run in numbers. ``train`` and ``valid`` (epochs,) are its losses, ``None`` stands for what is not known.

    ``mean`` and ``bias`` are the MSE of the baselines, ``spread`` the standard deviation of the held-out predictions
    and ``at_edge`` the share of them within :data:`EDGE` of an end of the rating range; ``n_factors`` counts the
    numbers in the trained rows of both factor matrices; ``scale`` is the lowest and the highest rating there can be.
    """

    config: RunConfig
    split: SplitConfig
    status: str
    train: np.ndarray
    valid: np.ndarray
    annealed: bool
    mean: float | None
    bias: float | None
    rmse: float | None
    n_train: int | None
    n_valid: int | None = None
    spread: float | None = None
    at_edge: float | None = None
    n_factors: int | None = None
    scale: tuple[float, float] | None = None

    @property
    def usual_rate(self) -> float:
        """A learning rate that is known to learn, with this approach."""
        key = self.config.approach
        return THAT_LEARN.get(key, {}).get("learning_rate", describe(key).preset.learning_rate)

    @property
    def measured(self) -> bool:
        """Whether that rate was measured on ratings like these."""
        return describe(self.config.approach).good_rate_holds(self.config, scale=self.scale, n_train=self.n_train)

    @property
    def few(self) -> bool:
        """Whether so few ratings were held out that their losses say little."""
        return self.n_valid is not None and self.n_valid < FEW

    @property
    def best(self) -> int:
        """The epoch, from 1, after which the valid loss was lowest."""
        return int(self.valid.argmin()) + 1

    @property
    def final(self) -> float:
        """The valid loss of the model that is kept, which need not be the last epoch's."""
        return float(self.valid[-1]) if self.rmse is None else self.rmse**2

    @property
    def fits(self) -> bool:
        """Whether it knows its training ratings better than user + movie bias knows the held-out ones."""
        return self.bias is None or bool(self.train[-1] < self.bias)

    @property
    def hopeless(self) -> bool:
        """Whether it fits, and yet its lowest valid loss is not even 1% below that of user + movie bias."""
        return self.fits and self.bias is not None and bool(self.valid.min() > MARGIN * self.bias)

    @property
    def beats_bias(self) -> bool:
        """Whether the loss of its model is at least 1% below that of user + movie bias."""
        return self.bias is not None and self.final <= MARGIN * self.bias

    @property
    def unlearned(self) -> bool:
        """Whether it knows less than the global mean of its training ratings and of others."""
        return self.mean is not None and self.final > self.mean and not self.fits

    @property
    def still_falls(self) -> bool:
        """Whether both losses fell by 2% or more over the last tenth of the epochs, at a rate that was not annealed."""
        last = max(1, len(self.train) // 10)
        if self.annealed or len(self.train) < 5:
            return False
        return all(losses[-1] <= 0.98 * losses[-1 - last] for losses in (self.train, self.valid))

    @property
    def odd_rate(self) -> bool:
        """Whether the learning rate is over one and a half times, or under half, the usual one."""
        rate = self.config.learning_rate
        return rate is not None and not 0.5 <= rate / self.usual_rate <= 1.5

    @property
    def article(self) -> bool:
        """Whether it learns no faster and no longer than the article's own run."""
        preset = describe(self.config.approach).preset
        if self.config.learning_rate is None:
            return False
        return self.config.learning_rate <= preset.learning_rate and self.config.epochs <= preset.epochs


def facts_of(run: Run, arrays: Mapping[str, np.ndarray], scale: tuple[float, float] | None = None) -> Facts:
    """The facts of a run whose approach has epochs; ``arrays`` may lack any of :data:`VECTORS`."""
    config = run.request.config
    rates = [result.learning_rate for result in run.history if result.learning_rate is not None]
    predictions = arrays.get("valid_predictions")
    if predictions is not None and not (len(predictions) and np.isfinite(predictions).all()):
        predictions = None
    return Facts(
        config=config,
        split=run.request.split,
        status=run.status,
        train=np.array([result.train_loss for result in run.history]),
        valid=np.array([result.valid_loss for result in run.history]),
        annealed=bool(rates) and rates[-1] < max(rates) / 10,
        mean=run.baseline_mean_mse,
        bias=run.baseline_bias_mse,
        rmse=run.metrics.valid_rmse if run.metrics else None,
        n_train=run.n_train,
        n_valid=run.n_valid,
        spread=None if predictions is None else float(predictions.std(dtype=np.float64)),
        at_edge=None if predictions is None else _at_edge(predictions, config),
        n_factors=_n_factors(arrays),
        scale=scale,
    )


def _at_edge(predictions: np.ndarray, config: RunConfig) -> float | None:
    if config.y_range is None or config.sigmoid == "no":
        return None
    low, high = config.y_range
    share = (predictions - low) / (high - low)  # the sigmoid's own value, from 0 to 1
    return float(np.mean((share < EDGE) | (share > 1 - EDGE)))


def _n_factors(arrays: Mapping[str, np.ndarray]) -> int | None:
    tables = [arrays[name] for name in ("user_factors", "item_factors") if name in arrays]
    return int(sum(np.isfinite(table).sum() for table in tables)) if len(tables) == 2 else None


def number(value: float) -> str:
    """A setting as it would be typed: ``0.005``, ``0.00001``, ``10``."""
    return np.format_float_positional(value, trim="-")


def loss(value: float) -> str:
    """A loss to three decimals, and to three figures once it is large."""
    if value < 100:
        return f"{value:.3f}"
    return f"{float(f'{value:.3g}'):,.0f}" if value < 1e7 else f"{value:.1e}"


def epochs(n: int) -> str:
    return "1 epoch" if n == 1 else f"{n} epochs"


def factors(n: int) -> str:
    return "1 factor" if n == 1 else f"{n} factors"
