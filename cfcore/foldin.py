"""Folding in: the row of a person whom the model has never seen, from a few ratings, with everything else frozen.

Training has found a row x_u for every user. For a new one we ask which row explains the ratings given, and is a row
that a user might have: the most probable one when rows and ratings both vary normally,

    x ~ N(m, S)    r_i ~ N(f(x, y_i), s^2)        minimise  sum_i (r_i - f(x, y_i))^2 / s^2  +  (x - m)' S^-1 (x - m)

where f is the model's prediction for item i. m and S are the mean and the covariance of the trained users' rows, s^2
is the mean squared error on held-out ratings. With few ratings the answer stays near the average user, with many it
follows the ratings; nothing is left to tune. With x = m + L w and L L' = S, the second term is |w|^2:

dot    x = [p ; b], y_i = [q_i ; 1]: f is linear in x, so this is ridge regression with lambda = s^2, solved at once.
       Under a sigmoid into y_range f bends: Gauss-Newton, a ridge regression on its tangent at a time, a handful of
       times. (Ridge on the logits of the ratings would be one solve, but a rating at the end of the range has none.)
net    f is a network: gradient steps (Adam) on w, for this person's inputs alone.

Source: to solve for one user with the items fixed is a step of alternating least squares (Zhou et al., "Large-scale
parallel collaborative filtering for the Netflix Prize", 2008); a normal prior with mean and covariance taken from the
fitted rows is that of Salakhutdinov and Mnih, "Bayesian probabilistic matrix factorization using MCMC" (2008).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cfcore.models import Model, NetModel
from cfcore.ratings import Split

MOST_LEFT_OUT = 100  # ratings up to which each is left out once; beyond, no single one matters
_NOISE_ROWS = 50_000  # held-out ratings that suffice to know the noise
_RIDGES = 20  # Gauss-Newton steps at most; about six are needed
_STEPS, _RATE = 150, 0.2  # of Adam, in units of the prior's standard deviation
_WIDEST = 1_000_000  # numbers in the largest array while ratings are left out of a network

Range = tuple[float, float] | None
Progress = Callable[[float], object]


@dataclass(frozen=True, eq=False, kw_only=True)
class Prior:
    """What is known of a user before any rating: ``mean`` (a,) and ``spread`` (a, a) of rows, spread spread' = S, and
    ``noise`` (stars squared), how far ratings lie from predictions."""

    mean: np.ndarray
    spread: np.ndarray
    noise: float


def fit_prior(model: Model, split: Split) -> Prior:
    """Fit the prior to the rows of the users that were trained, and to the errors on held-out ratings.

    Raises:
        ValueError: the model has diverged, so that nobody can be folded in.
    """
    rows = user_rows(model)[split.seen_users].astype(np.float64)
    held_out = split.valid
    if len(held_out) > _NOISE_ROWS:
        held_out = np.random.default_rng(0).choice(held_out, _NOISE_ROWS, replace=False)
    users, items, ratings = split.part(held_out)
    noise = float(np.mean((model.predict(users, items).astype(np.float64) - ratings) ** 2))
    if not (np.isfinite(rows).all() and np.isfinite(noise)):
        raise ValueError("this model has diverged, so nobody can be folded into it: choose another run")
    n, a = rows.shape
    mean = rows.mean(axis=0)
    covariance = (rows - mean).T @ (rows - mean) / n
    # As if a more users had been seen, alike in all directions: with few users the covariance has empty directions.
    covariance = (n * covariance + np.trace(covariance) * np.eye(a)) / (n + a)
    variances, directions = np.linalg.eigh(covariance)
    low, high = split.ratings.scale
    return Prior(
        mean=mean,
        spread=directions * np.sqrt(np.maximum(variances, 0)),
        noise=max(noise, (1e-3 * (high - low)) ** 2),  # a perfect model would leave no room to move
    )


def user_rows(model: Model) -> np.ndarray:
    """(U, a): all that the model keeps of each user, factors and then the bias or whatever else there is."""
    if isinstance(model, NetModel):
        return model.user_inputs
    return model.user_factors if model.user_bias is None else np.column_stack([model.user_factors, model.user_bias])


def with_users(model: Model, rows: np.ndarray) -> Model:
    """The same model for other users, whose rows are ``rows`` (n, a): they are ``user_idx`` 0 to n - 1."""
    rows = np.asarray(rows, dtype=np.float32)
    if isinstance(model, NetModel):
        return replace(model, user_inputs=rows)
    k = model.item_factors.shape[1]
    return replace(model, user_factors=rows[:, :k], user_bias=None if model.user_bias is None else rows[:, k])


def inputs_of(
    model: Model, prior: Prior, item_idx: np.ndarray, rating: np.ndarray, *, leave_out: bool = True
) -> dict[str, Any]:
    """All that :func:`run` needs, as plain values and arrays: the rated items' side, the layers and the prior.

    ``item_idx`` (n,) and ``rating`` (n,) are what the person has rated; ``leave_out`` asks what each of them does.
    """
    inputs: dict[str, Any] = {
        "rating": np.asarray(rating, dtype=np.float64),
        "mean": prior.mean,
        "spread": prior.spread,
        "noise": prior.noise,
        "y_range": model.y_range,
        "leave_out": leave_out,
    }
    if isinstance(model, NetModel):
        return inputs | {"items": model.item_inputs[item_idx], "weights": model.weights, "biases": model.biases}
    items = model.item_factors[item_idx].astype(np.float64)
    known = np.full(len(item_idx), model.offset, dtype=np.float64)
    if model.item_bias is not None:
        known = known + model.item_bias[item_idx]
    if model.user_bias is not None:
        items = np.column_stack([items, np.ones(len(items))])
    return inputs | {"items": items, "known": known}


def run(inputs: Mapping[str, Any], on_progress: Progress = lambda share: None) -> dict[str, np.ndarray]:
    """Fold a person in: ``rows`` (1, a), or (1 + n, a) with the row that comes of all but the first, second ... rating.

    ``inputs`` are those of :func:`inputs_of`. Ratings are left out one by one where that is asked for, and where they
    are few enough.
    ``on_progress`` is told how much is done, from 0 to 1; what it raises ends the work.
    """
    n = len(inputs["rating"])
    mean, spread = inputs["mean"], inputs["spread"]
    fit = _descend if "weights" in inputs else _solve
    keep = np.ones((1, n), dtype=bool)
    if inputs["leave_out"] and 0 < n <= MOST_LEFT_OUT and n * (n + 1) * _width(inputs) <= _WIDEST:
        keep = np.vstack([keep, ~np.eye(n, dtype=bool)])
    w = fit(inputs, keep, on_progress)
    return {"rows": mean + w @ spread.T}


def _width(inputs: Mapping[str, Any]) -> int:
    return max((weight.shape[1] for weight in inputs.get("weights", ())), default=1)


def _solve(inputs: Mapping[str, Any], keep: np.ndarray, on_progress: Progress) -> np.ndarray:
    """The dot model's w (f, a) for each fit, whose ratings are ``keep`` (f, n): Gauss-Newton."""
    X = inputs["items"] @ inputs["spread"]  # (n, a): what one unit of w does to each score
    base = inputs["items"] @ inputs["mean"] + inputs["known"]
    w = np.zeros((len(keep), X.shape[1]))
    for f, rows in enumerate(keep):
        start = w[0] if f else w[f]  # without one rating the answer is near the one with all
        w[f] = _gauss_newton(X[rows], base[rows], inputs["rating"][rows], inputs["noise"], inputs["y_range"], start)
        on_progress((f + 1) / len(keep))
    return w


def _gauss_newton(
    X: np.ndarray, base: np.ndarray, rating: np.ndarray, noise: float, y_range: Range, w: np.ndarray
) -> np.ndarray:
    """Minimise sum (rating - squeeze(base + X w))^2 / noise + |w|^2; each step is a ridge regression on the tangent."""

    def cost(w: np.ndarray) -> float:
        return float(np.square(rating - _squeezed(base + X @ w, y_range)[0]).sum() / noise + w @ w)

    here = cost(w)
    for _ in range(_RIDGES):
        prediction, slope = _squeezed(base + X @ w, y_range)
        J = X * slope[:, None]
        down = J.T @ (rating - prediction) / noise - w
        step = np.linalg.solve(J.T @ J / noise + np.eye(len(w)), down)
        size = 1.0
        while (there := cost(w + size * step)) > here and size > 1e-6:  # too far along a bend
            size /= 2
        if there > here:
            break
        w, gain, here = w + size * step, here - there, there
        if y_range is None or gain < 1e-9 * (1 + here):
            break
    return w


def _squeezed(score: np.ndarray, y_range: Range) -> tuple[np.ndarray, np.ndarray]:
    """The predictions, and how fast each grows with its score."""
    if y_range is None:
        return score, np.ones_like(score)
    low, high = y_range
    share = 0.5 * (1 + np.tanh(score / 2))  # the sigmoid, without overflow
    return low + (high - low) * share, (high - low) * share * (1 - share)


def _descend(inputs: Mapping[str, Any], keep: np.ndarray, on_progress: Progress) -> np.ndarray:
    """The network's w (f, a) for each fit, whose ratings are ``keep`` (f, n): all fits take their steps side by side.

    Adam (Kingma and Ba, 2015): each coordinate's step is its mean gradient over its typical size.
    """
    w = np.zeros((len(keep), len(inputs["mean"])))
    mean, square = np.zeros_like(w), np.zeros_like(w)
    for step in range(1, _STEPS + 1):
        gradient = _gradient(inputs, keep, w)
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.99 * square + 0.01 * gradient**2
        rate = _RATE * (1 - (step - 1) / _STEPS)  # to nothing, so that it settles
        w -= rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-8)
        on_progress(step / _STEPS)
    return w


def _gradient(inputs: Mapping[str, Any], keep: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Half the gradient of the cost at ``w`` (f, a), by hand: forwards through the layers, and back."""
    weights, biases = inputs["weights"], inputs["biases"]
    a = len(inputs["mean"])
    users = (inputs["mean"] + w @ inputs["spread"].T) @ weights[0][:a]  # (f, h)
    items = inputs["items"] @ weights[0][a:] + biases[0]  # (n, h)
    layers = [users[:, None, :] + items[None, :, :]]  # before each ReLU: (f, n, h)
    for weight, bias in zip(weights[1:], biases[1:], strict=True):
        layers.append(np.maximum(layers[-1], 0) @ weight + bias)
    prediction, slope = _squeezed(layers[-1][:, :, 0], inputs["y_range"])  # (f, n)
    back = np.where(keep, (prediction - inputs["rating"]) * slope / inputs["noise"], 0)[:, :, None]
    for weight, before in zip(weights[:0:-1], layers[-2::-1], strict=True):
        back = (back @ weight.T) * (before > 0)
    return back.sum(axis=1) @ weights[0][:a].T @ inputs["spread"] + w
