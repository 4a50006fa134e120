"""Data sets of any size that nobody gave, in the layout of MovieLens, and runs whose vectors nobody trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cfcore.approaches import make_config
from cfcore.config import RunRequest, SplitConfig
from cfcore.models import DotModel
from cfcore.outcome import outcome_of
from cfcore.ratings import Ratings, make_split
from cfcore.runs import RunStore
from cfcore.training import EpochResult, Metrics, Snapshots, Trained
from tests.layouts import into_folder, ml_latest

GENRES = ("Action", "Animation", "Comedy", "Crime", "Drama", "Horror", "Musical", "Romance", "Sci-Fi", "War", "Western")
SYLLABLES = ("Al", "ber", "ca", "dor", "el", "fin", "gar", "hol", "is", "jun", "kel", "lo", "mar", "ne", "os", "pra")
N_FACTORS, N_EPOCHS = 50, 10


@dataclass(frozen=True, kw_only=True)
class Size:
    """About so many films and ratings as a real data set has."""

    n_users: int
    n_items: int
    n_ratings: int


SIZES = (  # of MovieLens 100K and latest small
    Size(n_users=943, n_items=1682, n_ratings=100_000),
    Size(n_users=610, n_items=9742, n_ratings=100_836),
)


def write_ratings(size: Size, folder: Path, seed: int = 0) -> Path:
    """Ratings with a long tail, each film rated at least once, and titles as long as real ones, as files."""
    rng = np.random.default_rng(seed)
    fame = 1 / (np.arange(size.n_items) + 20.0) ** 1.1
    once_each = zip(rng.integers(size.n_users, size=size.n_items).tolist(), range(size.n_items), strict=True)
    users = rng.integers(size.n_users, size=size.n_ratings - size.n_items)
    items = rng.choice(size.n_items, size=len(users), p=fame / fame.sum())
    chosen = sorted({*once_each, *zip(users.tolist(), items.tolist(), strict=True)})
    stars = rng.integers(1, 6, size=len(chosen))
    rows = [
        (u + 1, i + 1, float(r), 880_000_000 + at) for at, ((u, i), r) in enumerate(zip(chosen, stars, strict=True))
    ]
    films = {
        item + 1: (_title(rng), list(rng.choice(GENRES, rng.integers(1, 4), False))) for item in range(size.n_items)
    }
    return into_folder(ml_latest(rows, films), folder)


def _title(rng: np.random.Generator) -> str:
    words = ["".join(rng.choice(SYLLABLES, rng.integers(1, 4))).capitalize() for _ in range(rng.integers(1, 5))]
    return f"{' '.join(words)} ({rng.integers(1930, 2020)})"


def factors(n: int, seed: int = 0) -> np.ndarray:
    """``n`` vectors (n, N_FACTORS) float32 whose directions differ in width, as learned ones do."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(N_FACTORS, N_FACTORS)))
    return ((rng.normal(size=(n, N_FACTORS)) * np.linspace(1, 0.1, N_FACTORS) ** 2) @ turn).astype(np.float32)


def add_run(store: RunStore, dataset: Path, ratings: Ratings) -> str:
    """A finished run of this data set in the store, as if trained; gives its id."""
    request = RunRequest(dataset=str(dataset), split=SplitConfig.of("random"), config=make_config("fastai_dot"))
    split = make_split(ratings, request.split)
    run = store.create(request, dataset_title=f"{ratings.n_items:,} films")
    store.start(
        run.id,
        split_how=split.how,
        n_train=len(split.train),
        n_valid=len(split.valid),
        baseline_mean_mse=2.0,
        baseline_bias_mse=2.0,
    )
    store.finish(run.id, outcome_of(_trained(ratings, len(split.valid)), split.valid))
    return run.id


def _trained(ratings: Ratings, n_valid: int) -> Trained:
    users, items = factors(ratings.n_users, seed=1), factors(ratings.n_items)
    bias = items[:, 0]
    path = np.linspace(0, 1, N_EPOCHS + 1)[:, None, None] * items
    return Trained(
        status="done",
        message="",
        history=tuple(
            EpochResult(epoch=at, train_loss=1 / at, valid_loss=1 / at, seconds=1.0) for at in range(1, N_EPOCHS + 1)
        ),
        metrics=Metrics(
            valid_mse=2.0,
            valid_rmse=2.0**0.5,
            valid_mae=1.2,
            baseline_mean_rmse=1.4,
            baseline_mean_mae=1.2,
            baseline_bias_rmse=1.4,
            baseline_bias_mae=1.2,
        ),
        fit_seconds=10.0,
        peak_memory_mb=500.0,
        model=DotModel(user_factors=users, item_factors=items, item_bias=bias),
        user_factors=users,
        item_factors=items,
        user_bias=None,
        item_bias=bias,
        valid_predictions=np.full(n_valid, 3, dtype=np.float32),
        snapshots=Snapshots(
            epochs=np.arange(N_EPOCHS + 1, dtype=np.int32),
            item_idx=np.arange(ratings.n_items),
            factors=path.astype(np.float16),
        ),
    )
