"""The 40 GB mystery: a loss without ``squeeze(1)``, what it costs, and that it can only learn the mean.

The network gives predictions of shape (n, 1), the ratings have shape (n,). Their difference broadcasts to (n, n): every
prediction is compared with every rating. In float32 that takes 4 n^2 bytes, and the loss becomes

    1/n^2 sum over i, j of (p_i - r_j)^2 = (mean p - mean r)^2 + var(p) + var(r).

No p_i meets its own r_i any more: the loss is smallest, var(r), where every prediction is the mean rating. PyTorch
raises no error, for to broadcast is exactly what was asked of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cfcore.approaches.embedding_net import EmbeddingNet

STEPS, RATE, SEED = 60, 0.02, 42
EMBEDDING, HIDDEN = 10, 50  # the article's
FIVE_STARS = 5.0


def run(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Train the article's network with and without ``squeeze(1)``, from the same weights, on the same few ratings.

    ``inputs`` are ``users``, ``movies`` (n,) indices without holes and ``ratings`` (n,). For each way, ``right`` and
    ``broadcast``, returns its own ``..._loss`` (steps + 1,) from before the first step on, and the last
    ``..._predictions`` (n,). ``..._shape`` is that of the difference; ``steps`` and ``rate`` are what was trained with.
    """
    users, movies = (torch.as_tensor(inputs[name], dtype=torch.int64) for name in ("users", "movies"))
    truth = np.asarray(inputs["ratings"], dtype=np.float32)
    # Adam's steps have the length of the rate whatever the loss: on a scale up to 100 they would never arrive.
    unit = float(max(np.abs(truth).max() / FIVE_STARS, 1e-9))
    ratings = torch.from_numpy(truth / unit)
    out: dict[str, Any] = {"steps": STEPS, "rate": RATE}
    for name, squeezed in (("right", True), ("broadcast", False)):
        losses, predictions = _train(users, movies, ratings, squeezed=squeezed)
        out[f"{name}_loss"], out[f"{name}_predictions"] = losses * unit**2, predictions * unit
        out[f"{name}_shape"] = list(difference(torch.zeros(len(truth), 1), ratings, squeezed=squeezed).shape)
    return out


def difference(predictions: Tensor, ratings: Tensor, *, squeezed: bool) -> Tensor:
    """Predictions (n, 1) less ratings (n,): (n,) where they are ``squeezed``, else (n, n)."""
    return (predictions.squeeze(1) if squeezed else predictions) - ratings


def network(n_users: int, n_movies: int) -> EmbeddingNet:
    """The article's network with random weights of its own generator: a training beside it must not notice."""
    with torch.device("meta"):  # without weights: filling them would draw from the random state of the process
        model = EmbeddingNet(n_users, n_movies, EMBEDDING, HIDDEN)
    model = model.to_empty(device="cpu")
    random = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, weights in model.named_parameters():  # as PyTorch begins: normal rows, small uniform layers
            if name.startswith(("user", "movie")):
                weights.normal_(generator=random)
            else:
                width = model.hidden.in_features if name.startswith("hidden") else model.hidden.out_features
                weights.uniform_(-(width**-0.5), width**-0.5, generator=random)
    return model


def _train(users: Tensor, movies: Tensor, ratings: Tensor, *, squeezed: bool) -> tuple[np.ndarray, np.ndarray]:
    """The loss before each step and after the last (steps + 1,), and the last predictions (n,)."""
    model = network(int(users.max()) + 1, int(movies.max()) + 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    losses = []
    predictions = model(users, movies)  # (n, 1)
    for step in range(STEPS + 1):
        loss = difference(predictions, ratings, squeezed=squeezed).square().mean()
        losses.append(loss.item())
        if step < STEPS:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            predictions = model(users, movies)
    return np.array(losses), predictions.detach()[:, 0].numpy().copy()
