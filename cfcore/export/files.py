"""What the command line leaves after a training: a JSON file, and a folder of tables and factors."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cfcore.config import RunConfig, SplitConfig
from cfcore.export.cells import cell, safe
from cfcore.ratings import Ratings, Split
from cfcore.training import Trained


def to_json(split: Split, split_config: SplitConfig, config: RunConfig, trained: Trained) -> dict[str, Any]:
    """A run as JSON: what was asked for, every epoch, and the errors; what means nothing is ``null``."""
    ratings = split.ratings
    return {
        "approach": config.approach,
        "dataset": {
            "name": ratings.about.name,
            "title": ratings.about.title,
            "n_users": ratings.n_users,
            "n_items": ratings.n_items,
            "n_ratings": len(ratings),
        },
        "split": {**split_config.to_json(), "how": split.how, "n_train": len(split.train), "n_valid": len(split.valid)},
        "config": config.to_json(),
        "history": [
            {
                "epoch": result.epoch,
                "train_loss": result.train_loss,
                "valid_loss": result.valid_loss,
                "seconds": result.seconds,
                "learning_rate": result.learning_rate,
            }
            for result in trained.history
        ],
        "metrics": asdict(trained.metrics),
        "fit_seconds": trained.fit_seconds,
        "peak_memory_mb": trained.peak_memory_mb,
        "status": trained.status,
        "message": trained.message,
    }


def write_folder(folder: Path, split: Split, trained: Trained, result: dict[str, Any]) -> None:
    """Write ``predictions.csv`` (the validation rows), ``movies.csv``, ``movie_factors.npy`` and ``run.json``.

    Row i of ``movie_factors.npy`` (M, k) float32 belongs to line i of ``movies.csv``, and is NaN where no training
    rating touched that movie.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_predictions(folder / "predictions.csv", split, trained.valid_predictions)
    _write_movies(folder / "movies.csv", split.ratings)
    np.save(folder / "movie_factors.npy", trained.item_factors, allow_pickle=False)
    (folder / "run.json").write_text(json.dumps(result, indent=2, allow_nan=False) + "\n")


def _write_predictions(path: Path, split: Split, predictions: np.ndarray) -> None:
    ratings = split.ratings
    users = ratings.users.user_id[ratings.user_idx[split.valid]]
    movies = ratings.items.item_id[ratings.item_idx[split.valid]]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "movie_id", "rating", "prediction"])
        given = ratings.rating[split.valid]
        writer.writerows(
            (cell(user), cell(movie), f"{rating:.9g}", f"{prediction:.9g}")
            for user, movie, rating, prediction in zip(users, movies, given, predictions, strict=True)
        )


def _write_movies(path: Path, ratings: Ratings) -> None:
    items = ratings.items
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["movie_id", "title", "year", "genres"])
        writer.writerows(
            (cell(item_id), safe(title), int(year) or "", safe(genres))
            for item_id, title, year, genres in zip(
                items.item_id, items.title, items.year, items.genre_text(), strict=True
            )
        )
