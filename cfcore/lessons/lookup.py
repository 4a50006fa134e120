"""One-hot times matrix is a row of the matrix, and where the two differ after all. Runs on a worker.

    (0 ... 0 1 0 ... 0) W = W[u]        because every product but one is by zero, and zeros add nothing

In floating point "zeros add nothing" has three exceptions: a sum that contains +0 cannot be -0, 0 times infinity is not
a number, and a gradient is a sum whose last digits depend on the order in which it is taken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from cfcore.approaches.scratch import LOOKUPS

WIDTH = 6  # factors of the matrix that is shown
ROWS_SHOWN = 7  # of the matrix, around the chosen user
MOST_RATINGS = 2000  # whose gradients are compared: the dense one-hot matrices then take megabytes


def run(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The row of ``user`` by one-hot product, by index and by ``nn.Embedding``, and the exceptions.

    Args:
        inputs: ``n_users``, ``user`` (an index), ``seed`` of the matrix; ``users``, ``movies``, ``ratings`` (n,), some
            ratings of the data.

    Returns:
        ``rows`` (r,), the users around the chosen one, with their ``one_hot`` (r,) and rows ``W`` (r, k); ``product``,
        ``row`` and ``embedding`` (k,); ``equal``, whether all three agree to the bit; ``products`` and ``by_zero``,
        how many multiplications the product takes; and what :func:`exceptions` and :func:`order_of_sums` return.

    Raises:
        ValueError: there is no such user.
    """
    n_users, user = int(inputs["n_users"]), int(inputs["user"])
    if not 0 <= user < n_users:
        raise ValueError(f"the user must be from 0 to {n_users - 1:,}, not {user:,}")
    W = torch.randn(n_users, WIDTH, generator=torch.Generator().manual_seed(int(inputs["seed"])))
    one_hot = torch.zeros(n_users)
    one_hot[user] = 1
    product, row = one_hot @ W, W[user]
    embedding = nn.Embedding.from_pretrained(W)(torch.tensor(user))
    first = max(0, min(user - ROWS_SHOWN // 2, n_users - ROWS_SHOWN))
    rows = np.arange(first, min(first + ROWS_SHOWN, n_users))
    return {
        "rows": rows,
        "one_hot": one_hot[rows].numpy(),
        "W": W[rows].numpy(),
        "product": product.numpy(),
        "row": row.numpy().copy(),
        "embedding": embedding.numpy().copy(),
        "equal": torch.equal(product, row) and torch.equal(product, embedding),
        "products": n_users * WIDTH,
        "by_zero": int((one_hot == 0).sum()) * WIDTH,
        **exceptions(),
        **order_of_sums(inputs["users"], inputs["movies"], inputs["ratings"]),
    }


def exceptions() -> dict[str, Any]:
    """Two matrices of three users, with -0.0 and with infinity in them, and row 1 by product and by index.

    ``zero_W``, ``inf_W`` (3,); ``zero_product``, ``zero_row``, ``inf_product``, ``inf_row``; ``zero_equal`` and
    ``zero_same_sign``: ``torch.equal`` calls 0.0 and -0.0 equal, their signs tell them apart.
    """
    one_hot = torch.tensor([0.0, 1.0, 0.0])
    zero, infinite = torch.tensor([0.5, -0.0, 1.5]), torch.tensor([math.inf, 2.0, 1.5])
    return {
        "zero_W": zero.numpy(),
        "zero_product": (one_hot @ zero).item(),
        "zero_row": zero[1].item(),
        "zero_equal": torch.equal(one_hot @ zero, zero[1]),
        "zero_same_sign": bool(torch.signbit(one_hot @ zero) == torch.signbit(zero[1])),
        "inf_W": infinite.numpy(),
        "inf_product": (one_hot @ infinite).item(),
        "inf_row": infinite[1].item(),
        "inf_equal": torch.equal(one_hot @ infinite, infinite[1]),
    }


def order_of_sums(users: np.ndarray, movies: np.ndarray, ratings: np.ndarray) -> dict[str, Any]:
    """The gradient of the users' factors by dense one-hot and by index on the same ratings (n,).

    ``gradient_n`` ratings were used; ``gradient_differ`` of ``gradient_size`` numbers differ, by ``gradient_most`` at
    most, which is the share ``gradient_share`` of the largest of them.
    """
    few = slice(0, MOST_RATINGS)
    (seen_users, u), (seen_movies, m) = (np.unique(each[few], return_inverse=True) for each in (users, movies))
    stars = torch.tensor(np.asarray(ratings)[few], dtype=torch.float32)
    gradients = []
    for name in ("onehot", "index"):
        random = torch.Generator().manual_seed(0)
        U = torch.rand(len(seen_users), WIDTH, generator=random, requires_grad=True)
        V = torch.rand(len(seen_movies), WIDTH, generator=random, requires_grad=True)
        LOOKUPS[name](torch.tensor(u), torch.tensor(m), stars, len(U), len(V))(U, V).backward()
        gradients.append(U.grad)
    apart = (gradients[0] - gradients[1]).abs()
    largest = gradients[1].abs().max().item()
    return {
        "gradient_n": len(stars),
        "gradient_size": apart.numel(),
        "gradient_differ": int((apart > 0).sum()),
        "gradient_most": apart.max().item(),
        "gradient_share": apart.max().item() / largest if largest else 0.0,
    }
