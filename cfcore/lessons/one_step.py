"""One step of gradient descent on one rating, by hand.

    prediction  p = u . v              error  e = p - r           loss  L = e^2
    gradient    dL/du = 2 e v          dL/dv = 2 e u
    step        u' = u - rate dL/du    v' = v - rate dL/dv

Both vectors move at once, so the new error is a parabola in the rate, and the loss its square:

    e(rate) = u' . v' - r = e (1 - 2 s rate + q rate^2)        s = |u|^2 + |v|^2,  q = 4 e p

From it follow the rate at which the loss is lowest and the one at which it is back to where it began. Were the loss
itself a parabola (only one of the vectors moves, or the error is small), the second would be exactly twice the first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

HUGE = 1e12  # a loss beyond it has diverged
# Of the finite difference. The loss is a parabola in each single coordinate, for which a central difference is exact at
# any width; only rounding is left, and the wider, the less of it.
H = 0.1


@dataclass(frozen=True, eq=False, kw_only=True)
class Step:
    """A step from ``u``, ``v`` (k,) to ``new_u``, ``new_v`` (k,); the loss is in stars squared."""

    u: np.ndarray
    v: np.ndarray
    rating: float
    prediction: float
    error: float
    loss: float
    du: np.ndarray
    dv: np.ndarray
    new_u: np.ndarray
    new_v: np.ndarray
    new_prediction: float
    new_error: float
    new_loss: float


def one_step(u: np.ndarray, v: np.ndarray, rating: float, rate: float) -> Step:
    """One step at learning rate ``rate`` on one ``rating``, from the vectors ``u`` and ``v`` (k,)."""
    prediction = float(u @ v)
    error = prediction - rating
    du, dv = 2 * error * v, 2 * error * u
    new_u, new_v = u - rate * du, v - rate * dv
    new_prediction = float(new_u @ new_v)
    new_error = new_prediction - rating
    return Step(
        u=u,
        v=v,
        rating=rating,
        prediction=prediction,
        error=error,
        loss=error**2,
        du=du,
        dv=dv,
        new_u=new_u,
        new_v=new_v,
        new_prediction=new_prediction,
        new_error=new_error,
        new_loss=new_error**2,
    )


def finite_difference(u: np.ndarray, v: np.ndarray, rating: float) -> tuple[np.ndarray, np.ndarray]:
    """dL/du and dL/dv (k,) without any calculus: the loss a little to the right less a little to the left."""
    ends = [(np.eye(len(u))[j] * H, np.zeros(len(u))) for j in range(len(u))]
    ends += [(right, left) for left, right in ends]
    slopes = [(((u + a) @ (v + b) - rating) ** 2 - ((u - a) @ (v - b) - rating) ** 2) / (2 * H) for a, b in ends]
    return np.array(slopes[: len(u)]), np.array(slopes[len(u) :])


def loss_along(u: np.ndarray, v: np.ndarray, rating: float, rates: np.ndarray) -> np.ndarray:
    """The loss (n,) after one step at each of ``rates`` (n,)."""
    step, moved = one_step(u, v, rating, 0.0), np.asarray(rates)[:, None]
    predictions = ((u - moved * step.du) * (v - moved * step.dv)).sum(axis=1)  # (n, k) * (n, k) -> (n,)
    return np.square(predictions - rating)


def landmarks(u: np.ndarray, v: np.ndarray, rating: float) -> tuple[float, float]:
    """The learning rate at which one step ends lowest, and the one at which its loss is back to where it began.

    Raises:
        ValueError: the prediction is exact, so that there is no gradient to go along.
    """
    p, s = float(u @ v), float(u @ u + v @ v)
    e = p - rating
    if e == 0 or s == 0:
        raise ValueError("the gradient is zero here: no step changes anything")
    q = 4 * e * p
    lowest = 1 / (s + math.sqrt(s * s - q)) if s * s >= q else s / q  # the first zero of e, or where it is smallest
    even = 2 / (s + math.sqrt(s * s - 2 * q)) if s * s >= 2 * q else 2 * s / q  # e(rate) = -e, or +e once more
    return lowest, even


def repeated(u: np.ndarray, v: np.ndarray, rating: float, rate: float, steps: int) -> list[Step]:
    """Up to ``steps`` steps, each from where the one before ended; fewer where the loss grows beyond all bounds."""
    path: list[Step] = []
    for _ in range(steps):
        path.append(one_step(u, v, rating, rate))
        u, v = path[-1].new_u, path[-1].new_v
        if not path[-1].new_loss < HUGE:  # which also ends at nan
            break
    return path


def verdict(path: list[Step]) -> str:
    """What repeated steps did: ``still``, ``falls``, ``overshoots``, ``swings`` or ``diverges``.

    ``overshoots`` jumps over the rating and still comes closer, and is never farther off than at the start; ``swings``
    is, or has come hardly closer after all its steps.
    """
    first, losses = path[0].loss, [step.new_loss for step in path]
    if first == 0 or path[0].new_error == path[0].error:
        return "still"
    if not losses[-1] < HUGE:
        return "diverges"
    if max(losses) > first:
        return "swings"
    if not any(step.error * step.new_error < 0 and step.new_loss > 1e-12 * first for step in path):
        return "falls"
    return "overshoots" if losses[-1] < 0.5 * first else "swings"
