"""The peers in a process of their own environment: a request a line comes in, an answer a line goes out.

A request is JSON: ``who``, the ``data`` (an .npz with ``train_users``, ``train_items``, ``train_ratings`` and the same
for ``test``) and ``settings``. The answer has the ``seconds`` of the fit alone (the library's own reading of the data
is not counted) and the ``rmse`` on the test ratings. A film without a training rating gets the mean and the user's own
bias from each of them, as Surprise does by itself; predictions are cut off at the ends of the scale. Nothing here
imports this project.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np

# These libraries are not in the environment of the app, where pyright runs.
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

Arrays = dict[str, np.ndarray]
PACKAGES = {"Surprise SVD": "scikit-surprise", "LensKit ALS": "lenskit", "Cornac MF": "cornac"}


def surprise_svd(data: Arrays, settings: dict[str, Any]) -> tuple[float, np.ndarray]:
    import pandas as pd
    from surprise import SVD, Dataset, Reader

    table = pd.DataFrame({name: data[f"train_{name}"] for name in ("users", "items", "ratings")})
    scale = float(data["train_ratings"].min()), float(data["train_ratings"].max())
    trainset = Dataset.load_from_df(table, Reader(rating_scale=scale)).build_full_trainset()
    began = time.perf_counter()
    model = SVD(random_state=0, **settings).fit(trainset)
    taken = time.perf_counter() - began
    pairs = zip(data["test_users"].tolist(), data["test_items"].tolist(), strict=True)
    return taken, np.array([model.predict(user, item).est for user, item in pairs])


def lenskit_als(data: Arrays, settings: dict[str, Any]) -> tuple[float, np.ndarray]:
    import pandas as pd
    from lenskit.als import BiasedMFScorer
    from lenskit.data import ItemList, from_interactions_df
    from lenskit.training import TrainingOptions

    table = pd.DataFrame({f"{name}_id": data[f"train_{name}s"] for name in ("user", "item")})
    ratings = from_interactions_df(table.assign(rating=data["train_ratings"]))
    scorer = BiasedMFScorer(**settings)
    began = time.perf_counter()
    scorer.train(ratings, TrainingOptions(rng=42))
    taken = time.perf_counter() - began
    found = np.empty(len(data["test_users"]))
    for user in np.unique(data["test_users"]):
        rows = np.flatnonzero(data["test_users"] == user)
        items = ItemList(item_ids=data["test_items"][rows])
        scores, without_factors = scorer(int(user), items).scores(), scorer.bias.compute_for_items(items, int(user))[0]
        found[rows] = np.where(np.isfinite(scores), scores, without_factors)
    return taken, found


def cornac_mf(data: Arrays, settings: dict[str, Any]) -> tuple[float, np.ndarray]:
    from cornac.data import Dataset
    from cornac.models import MF

    rows = zip(*(data[f"train_{name}"].tolist() for name in ("users", "items", "ratings")), strict=True)
    ratings = Dataset.from_uir(list(rows), seed=42)
    model = MF(verbose=False, seed=42, **settings)
    began = time.perf_counter()
    model.fit(ratings)
    taken = time.perf_counter() - began

    def rate(user: int, item: int) -> float:
        u, i = ratings.uid_map.get(user), ratings.iid_map.get(item)
        if i is not None:
            return float(model.score(len(ratings.uid_map) if u is None else u, i))  # beyond the last: not known
        return float(model.global_mean + (0 if u is None else model.u_biases[u]))

    pairs = zip(data["test_users"].tolist(), data["test_items"].tolist(), strict=True)
    return taken, np.array([rate(user, item) for user, item in pairs])


PEERS: dict[str, Callable[[Arrays, dict[str, Any]], tuple[float, np.ndarray]]] = {
    "Surprise SVD": surprise_svd,
    "LensKit ALS": lenskit_als,
    "Cornac MF": cornac_mf,
}


def main() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")  # the libraries may print what they like
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["who"] == "versions":
            answer: dict[str, Any] = {who: version(package) for who, package in PACKAGES.items()}
        else:
            with np.load(asked["data"]) as file:
                data = dict(file)
            seconds, predictions = PEERS[asked["who"]](data, asked["settings"])
            errors = (
                np.clip(predictions, data["train_ratings"].min(), data["train_ratings"].max()) - data["test_ratings"]
            )
            answer = {"seconds": seconds, "rmse": float(np.sqrt(np.mean(errors**2)))}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
