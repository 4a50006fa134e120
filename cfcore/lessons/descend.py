"""Gradient descent on a corner of the rating matrix, frame by frame. Runs on a worker.

The loss is the ``index`` lookup of the from-scratch lesson, the very function that trains, and the step is its step:

    w -= lr * w.grad        for w in (U, V)

Only the numbers are float64 here, so that hand, autograd and finite difference can be told apart from rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from cfcore.approaches.scratch import LOOKUPS
from cfcore.lessons.one_step import HUGE

# A gradient is None only before the first backward(), which pyright cannot know.
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false, reportOperatorIssue=false

MOST_STEPS = 1000


def run(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The way down from ``U`` (u, k) and ``V`` (m, k) in ``steps`` steps at learning rate ``rate``.

    Args:
        inputs: ``users``, ``movies``, ``ratings`` (n,), with indices into U and V; ``U``, ``V``, ``rate``, ``steps``.

    Returns:
        ``U`` (s, u, k), ``V`` (s, m, k), ``predictions`` (s, u, m) and ``loss`` (s,), the start first; ``dU`` (u, k)
        and ``dV`` (m, k), the gradients there; ``diverged``, whether it ended early as the loss grew beyond bounds.

    Raises:
        ValueError: there are too many steps, or no ratings.
    """
    steps, lr = int(inputs["steps"]), float(inputs["rate"])
    if not 1 <= steps <= MOST_STEPS:
        raise ValueError(f"the number of steps must be from 1 to {MOST_STEPS:,}, not {steps:,}")
    if not len(inputs["ratings"]):
        raise ValueError("there is no rating to learn from")
    U, V = (torch.tensor(np.asarray(inputs[name]), dtype=torch.float64, requires_grad=True) for name in ("U", "V"))
    users, movies = (torch.tensor(np.asarray(inputs[name]), dtype=torch.int64) for name in ("users", "movies"))
    ratings = torch.tensor(np.asarray(inputs["ratings"]), dtype=torch.float64)
    loss_of = LOOKUPS["index"](users, movies, ratings, len(U), len(V))
    frames: list[dict[str, np.ndarray]] = []
    gradients: dict[str, np.ndarray] = {}
    for _ in range(steps + 1):
        loss = loss_of(U, V)
        if not loss.item() < HUGE:  # which also ends at nan
            break
        frames.append(_frame(U, V, loss))
        loss.backward()
        gradients = gradients or {"dU": _array(U.grad), "dV": _array(V.grad)}
        with torch.no_grad():
            for w in (U, V):
                w -= lr * w.grad
                w.grad.zero_()
    if not frames:
        raise ValueError("these factors are so large that the loss is beyond all bounds: reset them")
    stacked = {name: np.stack([frame[name] for frame in frames]) for name in frames[0]}
    return {**stacked, **gradients, "diverged": len(frames) <= steps}


def _frame(U: torch.Tensor, V: torch.Tensor, loss: torch.Tensor) -> dict[str, np.ndarray]:
    return {"U": _array(U), "V": _array(V), "predictions": _array(U @ V.T), "loss": _array(loss)}


def _array(values: torch.Tensor | None) -> np.ndarray:
    return values.detach().numpy().copy()
