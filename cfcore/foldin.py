"""Folding in: the row of a person whom the model has never seen, from a few ratings, with everything else frozen.

Training has found a row x_u for every user. For a new one we ask which row explains the ratings given, and is a row
that a user might have: the most probable one when rows and ratings both vary normally,

    x ~ N(m, S)    r_i ~ N(f(x, y_i), s^2)        minimise  sum_i (r_i - f(x, y_i))^2 / s^2  +  (x - m)' S^-1 (x - m)

where f is the model's prediction for item i. m and S are the mean and the covariance of the trained users' rows, s^2
is the mean squared error on held-out ratings. With few ratings the answer stays near the average user, with many it
follows the ratings; nothing is left to tune. With x = m + L w and L L' = S, the second term is |w|^2:

dot    x = [p ; b], y_i = [q_i ; 1]: f is linear in x, so this is ridge regression with lambda = s^2, solved at once.
       n ratings speak of n directions of w only, so the system is no larger than n, however many factors there are.
       Under a sigmoid into y_range f bends: Gauss-Newton, a ridge regression on its tangent at a time, a handful of
       times. (Ridge on the logits of the ratings would be one solve, but a rating at the end of the range has none.)
net    f is a network: gradient steps (Adam) on w, for this person's inputs alone, and Gauss-Newton to settle.

What each rating does: it is left out, and w found anew from where it is with all of them.

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

MOST_LEFT_OUT, MOST_LEFT_OUT_OF_NETS = 50, 25  # ratings up to which each is left out once: n fits of n ratings
_NOISE_ROWS = 50_000  # held-out ratings that suffice to know the noise
_RIDGES, _RIDGES_OF_NETS = 20, 4  # Gauss-Newton steps at most; a dot model needs about six, a net only settles
_HALVINGS = 8  # of a step, at most
_STEPS, _RATE = 150, 0.2  # of Adam, in units of the prior's standard deviation
_STEPS_ON, _RATE_ON = 40, 0.05  # the same, from the row of all ratings to the one without one of them

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
    model: Model,
    prior: Prior,
    item_idx: np.ndarray,
    rating: np.ndarray,
    *,
    leave_out: bool = True,
    row: np.ndarray | None = None,
) -> dict[str, Any]:
    """All that :func:`run` needs, as plain values and arrays: the rated items' side, the layers and the prior.

    ``item_idx`` (n,) and ``rating`` (n,) are what the person has rated; ``leave_out`` asks what each of them does.
    ``row`` (a,) is the row of all ratings where it is known already: a network's is then not looked for again.
    """
    inputs: dict[str, Any] = {
        "rating": np.asarray(rating, dtype=np.float64),
        "mean": prior.mean,
        "spread": prior.spread,
        "noise": prior.noise,
        "y_range": model.y_range,
        "leave_out": leave_out,
        "row": row,
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
    are few enough (:func:`can_leave_out`).
    ``on_progress`` is told how much is done, from 0 to 1; what it raises ends the work.
    """
    n, net = len(inputs["rating"]), "weights" in inputs
    leave_out = inputs["leave_out"] and can_leave_out(n, net=net)
    w = _fit_net(inputs, leave_out, on_progress) if net else _fit_dot(inputs, leave_out)
    on_progress(1.0)
    return {"rows": inputs["mean"] + w @ inputs["spread"].T}


def can_leave_out(n: int, *, net: bool) -> bool:
    """Whether each of ``n`` ratings is left out in turn: for a dot model up to where that takes about 0.1 seconds."""
    return 0 < n <= (MOST_LEFT_OUT_OF_NETS if net else MOST_LEFT_OUT)


def _fit_dot(inputs: Mapping[str, Any], leave_out: bool) -> np.ndarray:
    """The dot model's w (1 or 1 + n, a). What n ratings say of w lies in n directions: only these are looked at.

    With X' = Q R, where X (n, a) is what one unit of w does to each score, w = Q v has X w = R' v and |w| = |v|.
    """
    n = len(inputs["rating"])
    Q, R = np.linalg.qr((inputs["items"] @ inputs["spread"]).T)
    base = inputs["items"] @ inputs["mean"] + inputs["known"]
    b = Q.shape[1]  # the smaller of n and a
    small = {**inputs, "items": R.T, "known": base, "mean": np.zeros(b), "spread": np.eye(b)}
    v = _gauss_newton(small, np.ones((1, n), dtype=bool), np.zeros((1, b)), _RIDGES)
    if leave_out:  # without one rating the answer is near the one with all
        v = np.vstack([v, _gauss_newton(small, ~np.eye(n, dtype=bool), np.repeat(v, n, axis=0), _RIDGES)])
    return v @ Q.T


def _fit_net(inputs: Mapping[str, Any], leave_out: bool, on_progress: Progress) -> np.ndarray:
    """A network's w (1 or 1 + n, a): gradient steps first, which a network's many kinks cannot hold up."""
    n = len(inputs["rating"])
    share = 0.5 if leave_out else 1.0
    if inputs["row"] is None:
        everything = np.ones((1, n), dtype=bool)
        start = np.zeros((1, len(inputs["mean"])))
        w = _descend(inputs, everything, start, _STEPS, _RATE, lambda done: on_progress(share * done))
        w = _gauss_newton(inputs, everything, w, _RIDGES_OF_NETS)
    else:  # in coordinates of w; a direction without spread has none
        w = np.linalg.lstsq(inputs["spread"], inputs["row"] - inputs["mean"], rcond=None)[0][None]
    if not leave_out:
        return w
    others = ~np.eye(n, dtype=bool)
    found = _descend(
        inputs, others, np.repeat(w, n, axis=0), _STEPS_ON, _RATE_ON, lambda done: on_progress(0.5 + 0.5 * done)
    )
    return np.vstack([w, _gauss_newton(inputs, others, found, _RIDGES_OF_NETS)])


def _gauss_newton(inputs: Mapping[str, Any], keep: np.ndarray, w: np.ndarray, steps: int) -> np.ndarray:
    """The best ``w`` (f, a) near the given ones, for the fits whose ratings are ``keep`` (f, n), all side by side.

    Each step is a ridge regression on the tangent, halved for those fits that it would make worse.
    """
    rating, noise, linear = inputs["rating"], inputs["noise"], inputs["y_range"] is None and "weights" not in inputs

    def cost(w: np.ndarray) -> np.ndarray:
        miss = np.where(keep, rating - _forward(inputs, w)[0], 0)
        return np.square(miss).sum(axis=1) / noise + np.square(w).sum(axis=1)

    here = cost(w)
    for _ in range(1 if linear else steps):
        prediction, J = _tangent(inputs, w)
        J = np.where(keep[:, :, None], J, 0)
        miss = np.where(keep, rating - prediction, 0) + (J @ w[:, :, None])[:, :, 0]
        step = _ridge(J, miss, noise) - w
        there = cost(w + step)
        for _ in range(_HALVINGS):
            worse = there > here
            if not worse.any():
                break
            step[worse] /= 2  # too far along a bend
            there = cost(w + step)
        better = there < here
        gain = np.where(better, here - there, 0)
        w, here = np.where(better[:, None], w + step, w), np.where(better, there, here)
        if (gain < 1e-9 * (1 + here)).all():
            break
    return w


def _ridge(J: np.ndarray, target: np.ndarray, noise: float) -> np.ndarray:
    """Minimise |target - J w|^2 / noise + |w|^2 for each fit: ``J`` (f, n, a), ``target`` (f, n), gives (f, a).

    (J'J + s^2 I)^-1 J' = J' (JJ' + s^2 I)^-1 (Woodbury): the smaller of the two systems is solved, n x n or a x a.
    """
    Jt, target = J.transpose(0, 2, 1), target[:, :, None]
    n, a = J.shape[1:]
    if n < a:
        return (Jt @ np.linalg.solve(J @ Jt + noise * np.eye(n), target))[:, :, 0]
    return np.linalg.solve(Jt @ J + noise * np.eye(a), Jt @ target)[:, :, 0]


def _forward(inputs: Mapping[str, Any], w: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """At ``w`` (f, a) the predictions (f, n), their slopes (f, n), and a net's layers before each ReLU (f, n, h)."""
    rows = inputs["mean"] + w @ inputs["spread"].T
    if "weights" not in inputs:
        return *_squeezed(rows @ inputs["items"].T + inputs["known"], inputs["y_range"]), []
    weights, biases, a = inputs["weights"], inputs["biases"], rows.shape[1]
    items = inputs["items"] @ weights[0][a:] + biases[0]  # (n, h)
    layers = [(rows @ weights[0][:a])[:, None, :] + items[None, :, :]]
    for weight, bias in zip(weights[1:], biases[1:], strict=True):
        layers.append(np.maximum(layers[-1], 0) @ weight + bias)
    return *_squeezed(layers[-1][:, :, 0], inputs["y_range"]), layers[:-1]


def _tangent(inputs: Mapping[str, Any], w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The predictions (f, n) at ``w`` (f, a), and what one unit of each coordinate does to them (f, n, a)."""
    prediction, slope, layers = _forward(inputs, w)
    if "weights" not in inputs:
        return prediction, slope[:, :, None] * (inputs["items"] @ inputs["spread"])
    return prediction, _back(inputs, layers, slope) @ _first(inputs)


def _back(inputs: Mapping[str, Any], layers: list[np.ndarray], back: np.ndarray) -> np.ndarray:
    """``back`` (f, n) at the scores, carried to the net's first layer (f, n, h), by hand."""
    back = back[:, :, None]
    for weight, before in zip(inputs["weights"][:0:-1], layers[::-1], strict=True):
        back = (back @ weight.T) * (before > 0)
    return back


def _first(inputs: Mapping[str, Any]) -> np.ndarray:
    """(h, a): what one unit of each coordinate does to a net's first layer."""
    return inputs["weights"][0][: len(inputs["mean"])].T @ inputs["spread"]


def _squeezed(score: np.ndarray, y_range: Range) -> tuple[np.ndarray, np.ndarray]:
    """The predictions, and how fast each grows with its score."""
    if y_range is None:
        return score, np.ones_like(score)
    low, high = y_range
    share = 0.5 * (1 + np.tanh(score / 2))  # the sigmoid, without overflow
    return low + (high - low) * share, (high - low) * share * (1 - share)


def _descend(
    inputs: Mapping[str, Any], keep: np.ndarray, w: np.ndarray, steps: int, rate: float, on_progress: Progress
) -> np.ndarray:
    """A network's w (f, a) for the fits whose ratings are ``keep`` (f, n), by gradient steps from the given one.

    Adam (Kingma and Ba, 2015): each coordinate's step is its mean gradient over its typical size.
    """
    mean, square, first = np.zeros_like(w), np.zeros_like(w), _first(inputs)
    for step in range(1, steps + 1):
        prediction, slope, layers = _forward(inputs, w)
        miss = np.where(keep, prediction - inputs["rating"], 0)
        gradient = _back(inputs, layers, miss * slope / inputs["noise"]).sum(axis=1) @ first + w  # half of it
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.99 * square + 0.01 * gradient**2
        size = rate * (1 - (step - 1) / steps)  # to nothing, so that it settles
        w = w - size * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-8)
        on_progress(step / steps)
    return w
