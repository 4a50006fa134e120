"""One size of the scale benchmark, in a process of its own, so that its memory is its own: prints one line of JSON.

``python -m benchmarks.scale_run stages FOLDER`` takes the ratings in FOLDER all the way: read, split, train an epoch
of ``als`` and of ``mf``, evaluate, PCA, draw. ``python -m benchmarks.scale_run read FOLDER TURNS`` reads them in turns
with plain pyarrow.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from benchmarks.timing import in_turns, ratio
from cfcore import approaches, charts, datasets
from cfcore.charts.film_map import MapFrame, film_map_spec, limits_of, plot_height
from cfcore.charts.labels import WIDTHS
from cfcore.charts.map_style import Colour
from cfcore.charts.map_tables import Drawn, map_tables, point_sizes
from cfcore.config import SplitConfig
from cfcore.embeddings import fit_pca, make_space
from cfcore.illustrate import random_corner, top_corner
from cfcore.memory import PeakMemory
from cfcore.outcome import run_arrays
from cfcore.ratings import Ratings, make_split
from cfcore.training import Trained

STAGES = ("read", "split", "als", "mf", "evaluate", "PCA", "draw")

T = TypeVar("T")


class Stages:
    """``seconds`` of each stage by name, and the ``mb`` of memory that the process held at most while it ran."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.mb: dict[str, float] = {}

    def run(self, name: str, work: Callable[[], T]) -> T:
        began = time.perf_counter()
        with PeakMemory() as peak:
            result = work()
        self.seconds[name], self.mb[name] = time.perf_counter() - began, peak.mb
        return result


def stages(folder: Path) -> dict[str, Any]:
    """Time and memory of every stage, and how much of each is kept and sent to the browser."""
    for key in ("als", "mf", *approaches.BASELINES):
        approaches.load(key)  # torch: a worker imports it before the first run comes
    done = Stages()
    ratings = done.run("read", lambda: datasets.load(folder))
    split = done.run("split", lambda: make_split(ratings, SplitConfig.of("random")))
    evaluate, trained = 0.0, None
    for key in ("als", "mf"):
        config = approaches.make_config(key, scale=ratings.scale, epochs=1)
        trained = done.run(f"evaluate {key}", lambda config=config: approaches.train(split, config))
        done.seconds[key], done.mb[key] = trained.fit_seconds, trained.peak_memory_mb
        evaluate += done.seconds.pop(f"evaluate {key}") - trained.fit_seconds
    done.seconds["evaluate"] = evaluate
    done.mb["evaluate"] = max(done.mb.pop(f"evaluate {key}") for key in ("als", "mf"))
    assert trained
    space = make_space(trained.item_factors)
    xy = done.run("PCA", lambda: fit_pca(space.vectors)).scores[:, :2]
    sent = done.run("draw", lambda: draw(ratings, trained, space.item_idx, xy))
    arrays = run_arrays(trained, split.valid)
    return {
        "rows": len(ratings),
        "users": ratings.n_users,
        "films": ratings.n_items,
        "seconds": {name: done.seconds[name] for name in STAGES},
        "mb": {name: done.mb[name] for name in STAGES},
        "peak_mb": high_water_mb(),
        "rmse": trained.metrics.valid_rmse,
        "bias_rmse": trained.metrics.baseline_bias_rmse,
        "sent_mb": sent / 1e6,
        "predictions": len(arrays["valid_predictions"]),
        "kept_mb": sum(arrays[name].nbytes for name in arrays if name.startswith(("valid_", "snapshot_"))) / 1e6,
    }


def draw(ratings: Ratings, trained: Trained, item_idx: np.ndarray, xy: np.ndarray) -> int:
    """The loss chart, the map of films and the charts of the Data page; gives their bytes as JSON."""
    n = np.bincount(ratings.item_idx, minlength=ratings.n_items)
    baselines = {"user + movie bias": trained.metrics.baseline_bias_rmse**2}
    loss = charts.curves.loss_spec({"mf": trained.history}, baselines)
    specs = [loss, film_map(ratings, item_idx, xy, n[item_idx])]
    pictures = [charts.data.rating_histogram(ratings.rating), charts.data.popularity_curve(n)]
    for corner in (top_corner(ratings, 15, 20), random_corner(ratings, 15, 20)):
        names = [str(each) for each in ratings.users.user_id[corner.user_idx]]
        titles = [str(each) for each in ratings.items.title[corner.item_idx]]
        pictures.append(charts.data.matrix_corner(corner.matrix, names, titles, scale=ratings.scale))
    return sum(len(json.dumps(spec, default=_records)) for spec in specs) + sum(
        len(each.to_json()) for each in pictures
    )


def film_map(ratings: Ratings, item_idx: np.ndarray, xy: np.ndarray, n_ratings: np.ndarray) -> dict[str, Any]:
    """The map as the Explore page draws it, best known films first."""
    order = np.argsort(-n_ratings, kind="stable")
    items = item_idx[order]
    drawn = Drawn(
        item=ratings.items.item_id[items],
        xy=xy[order],
        title=ratings.items.title[items],
        size=point_sizes(n_ratings[order], by_popularity=True),
    )
    facts = pd.DataFrame({"Movie id": drawn.item, "Film": drawn.title, "Ratings": n_ratings[order]})
    frame = MapFrame(x_title="PC1", y_title="PC2", colour=Colour(), many=True)
    return film_map_spec(frame, map_tables(drawn, facts, limits_of(xy), None, [plot_height(frame, w) for w in WIDTHS]))


def _records(value: Any) -> Any:
    return value.to_dict("records") if isinstance(value, pd.DataFrame) else value.item()


def high_water_mb() -> float:
    """The most memory that this process ever held, libraries included, in 10^6 bytes.

    Not ``ru_maxrss`` on Linux: a process inherits it from the one that started it, here from earlier benchmarks.
    """
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) * 1024 / 1e6
    if os.name == "nt":
        import psutil

        return psutil.Process().memory_info().peak_wset / 1e6  # pyright: ignore[reportAttributeAccessIssue]
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def read(folder: Path, turns: int) -> dict[str, Any]:
    """Seconds of our reader, all that it checks and builds included, and of ``pyarrow.csv.read_csv``, in turns."""
    from pyarrow.csv import read_csv

    def plain() -> None:
        read_csv(folder / "ratings.csv")

    def ours() -> None:
        datasets.load(folder)

    seconds = in_turns({"ours": ours, "plain": plain}, turns)
    return {**seconds, "ratio": ratio(seconds, "ours", "plain")}


if __name__ == "__main__":
    what, folder = sys.argv[1], Path(sys.argv[2])
    print(json.dumps(stages(folder) if what == "stages" else read(folder, int(sys.argv[3]))))
