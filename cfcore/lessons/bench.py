"""What a lookup costs: bytes and milliseconds of one forward and backward pass, over more and more ratings.

All ways compute the same loss of the same factors; they differ in how they find the rows. Runs on a worker.

bytes          every tensor that exists between forward and backward, each storage once: the lookup's own data (one-hot
               rows, indices, rating matrix), the factors, and what autograd keeps for the backward pass
milliseconds   the fastest of a few passes, after one that is not counted: other work on the machine can
               only make a pass slower

A pair of user and movie that comes twice is one cell of the rating matrix. So beyond the ratings that the data has the
masked matrix no longer grows, and its loss is no longer that of the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from cfcore.approaches.scratch import LOOKUPS, Loss
from cfcore.memory import check_lookup, lookup_bytes

WAYS = {
    "onehot": "one-hot, dense",
    "sparse": "one-hot, sparse",
    "index": "index",
    "embedding": "nn.Embedding",
    "matrix": "masked matrix",
}
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
FACTORS = 50  # as in the article
_MOST, _SECONDS = 15, 0.25  # passes of each way: so many, or as many as fit into this time, and at least one


def run(inputs: Mapping[str, Any], on_progress: Callable[[float], None] = lambda share: None) -> dict[str, Any]:
    """Measure every way at every size.

    Args:
        inputs: ``users``, ``movies``, ``ratings`` (N,) of the data, ``n_users``, ``n_items``; optionally ``sizes`` and
            ``factors``.
        on_progress: told how much is done, from 0 to 1; what it raises ends the work.

    Returns:
        ``ways`` (w,) their keys and ``names``, ``n`` (s,) ratings; (w, s) each: ``milliseconds`` and ``loss``, NaN
        where it was refused, ``bytes``, where it was refused those of its data alone, ``refused`` bool; ``why`` the
        refusals in words; ``distinct``, how many ratings the data has: beyond them they come more than once;
        ``threads``.

    Raises:
        ValueError: there are no ratings.
    """
    users, movies, ratings = (np.asarray(inputs[name]) for name in ("users", "movies", "ratings"))
    if not len(ratings):
        raise ValueError("there are no ratings to measure with")
    n_users, n_items = int(inputs["n_users"]), int(inputs["n_items"])
    sizes, k = tuple(inputs.get("sizes", SIZES)), int(inputs.get("factors", FACTORS))
    shape = (len(WAYS), len(sizes))
    found = {name: np.full(shape, np.nan) for name in ("milliseconds", "bytes", "loss")}
    refused, why = np.zeros(shape, dtype=bool), []
    for s, n in enumerate(sizes):
        rows = np.resize(np.random.default_rng(0).permutation(len(ratings)), n)  # over again where they do not suffice
        tensors = [
            torch.tensor(users[rows], dtype=torch.int64),
            torch.tensor(movies[rows], dtype=torch.int64),
            torch.tensor(ratings[rows], dtype=torch.float32),
        ]
        for w, way in enumerate(WAYS):
            on_progress((s * len(WAYS) + w) / (len(sizes) * len(WAYS)))
            try:
                check_lookup(way, n, n_users, n_items)
            except ValueError as reason:
                refused[w, s], found["bytes"][w, s] = True, lookup_bytes(way, n, n_users, n_items)
                why.append(str(reason))
                continue
            measured = _measure(way, tensors, n_users, n_items, k)
            for name, value in measured.items():
                found[name][w, s] = value
    return {
        **found,
        "ways": list(WAYS),
        "names": list(WAYS.values()),
        "n": np.array(sizes),
        "refused": refused,
        "why": why,
        "distinct": len(ratings),
        "threads": torch.get_num_threads(),
    }


def embedding(users: Tensor, movies: Tensor, ratings: Tensor, n_users: int, n_movies: int) -> Loss:
    """The lookup by ``nn.Embedding``; its weights are the factors that all ways are given."""
    user_rows, movie_rows = nn.Embedding(1, 1), nn.Embedding(1, 1)

    def loss(U: Tensor, V: Tensor) -> Tensor:
        user_rows.weight, movie_rows.weight = cast(nn.Parameter, U), cast(nn.Parameter, V)
        predictions = (user_rows(users) * movie_rows(movies)).sum(1)  # (n,)
        return (predictions - ratings).square().mean()

    return loss


def held_bytes(loss_of: Loss, U: Tensor, V: Tensor) -> int:
    """The bytes of all tensors that exist between forward and backward pass, each storage counted once."""
    storages: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        for part in (tensor._indices(), tensor._values()) if tensor.is_sparse else (tensor,):
            storages[part.untyped_storage().data_ptr()] = part.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = loss_of(U, V)  # lives until all is counted: a storage that were freed could lend its place to another
        for tensor in (U, V, loss, *_tensors_in(loss_of)):
            keep(tensor)
    return sum(storages.values())


def _measure(way: str, rows: list[Tensor], n_users: int, n_items: int, k: int) -> dict[str, float]:
    """``milliseconds``, ``bytes`` and ``loss`` of one way with these ``rows``: users, movies, ratings (n,) each."""
    random = torch.Generator().manual_seed(0)
    U, V = (nn.Parameter(torch.rand(n, k, generator=random)) for n in (n_users, n_items))
    users, movies, ratings = rows
    loss_of = (LOOKUPS | {"embedding": embedding})[way](users, movies, ratings, n_users, n_items)
    held = held_bytes(loss_of, U, V)
    seconds: list[float] = []
    loss = loss_of(U, V)
    loss.backward()  # not counted: it allocates
    while sum(seconds) < _SECONDS and len(seconds) < _MOST:
        U.grad = V.grad = None
        begun = time.perf_counter()
        loss = loss_of(U, V)
        loss.backward()
        seconds.append(time.perf_counter() - begun)
    return {"milliseconds": 1000 * min(seconds), "bytes": float(held), "loss": loss.item()}


def _tensors_in(function: Callable) -> Iterable[Tensor]:
    """The tensors that a function made inside another one has taken along."""
    contents = (cell.cell_contents for cell in function.__closure__ or ())
    return (each for each in contents if isinstance(each, Tensor))
