"""MovieLens 100K where it can be had, else ratings of its size that nobody gave; never a row of it in the project."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from benchmarks.simulated import SIZES, write_ratings
from cfcore import datasets
from cfcore.datasets import DataError
from cfcore.ratings import Ratings

HERE = Path(__file__).parents[2] / "shared" / "data"  # a copy beside the project, where there is one


@cache
def movielens() -> tuple[Ratings, str]:
    """The ratings, and what they are in words."""
    if (HERE / "ml-100k").exists():
        return datasets.load(str(HERE / "ml-100k")), "MovieLens 100K"
    try:
        datasets.fetch("ml-100k")
        return datasets.load("ml-100k"), "MovieLens 100K"
    except DataError:
        with tempfile.TemporaryDirectory() as folder:
            return datasets.load(str(write_ratings(SIZES[0], Path(folder)))), "Simulated ratings of the size of 100K"
