"""How fast the map of films answers: ``python -m benchmarks.explore [--repeat N] [--tsne] [--no-browser]``.

On simulated data sets with as many films as MovieLens 100K and latest small, prints medians of N tries. The engine, in
milliseconds, by itself:

    PCA           all components of 50 factors, once for a run
    facts         year, ratings, means and genres, once for a run
    axes named    what each of the 50 components follows, over all films, once for a run
    other axes    pick two columns and place the titles: what a change of axes costs
    own axis      the line between two sets of films, and what it follows
    neighbours    the ten nearest in the full space, by cosine and by distance
    biases        the table of learned biases
    flight        11 epochs on two axes
    t-SNE         (with --tsne) in seconds

The page, in seconds, in a real browser (needs chromium), with 300 films shown and with all of them:

    open          from asking for a link to a run to its map
    click         from a click on a film on the map to its neighbours in the panel, and their lines on the map
    other axes    from choosing another component to the redrawn map
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.simulated import N_EPOCHS, N_FACTORS, SIZES, factors, write_ratings
from cfcore import datasets
from cfcore.charts.film_map import limits_of
from cfcore.charts.labels import WIDTHS, short_title
from cfcore.charts.map_tables import Drawn, map_tables, point_sizes
from cfcore.config import SplitConfig
from cfcore.embeddings import (
    bias_table,
    describe_axes,
    describe_axis,
    film_facts,
    fit_pca,
    line_between,
    make_space,
    neighbours,
    trajectories,
    tsne,
)
from cfcore.ratings import Ratings, make_split

Seconds = Mapping[str, list[float]]
SHOWN, PLOT_HEIGHT = 300, 460


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=7, metavar="N")
    parser.add_argument("--tsne", action="store_true", help="time t-SNE as well, once: it takes minutes")
    parser.add_argument("--no-browser", action="store_true", help="only the engine")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        places = [write_ratings(size, Path(folder) / f"{size.n_items}-films") for size in SIZES]
        data = [datasets.load(place) for place in places]
        _print("engine, ms", [engine(ratings, options.repeat) for ratings in data], 1000)
        if options.tsne:
            _print("engine, s", [slow(ratings) for ratings in data])
        if not options.no_browser:
            from benchmarks.explore_browser import in_browser  # needs chromium

            _print("page, s", in_browser(places, data, Path(folder) / "server", options.repeat))


def engine(ratings: Ratings, repeat: int) -> Seconds:
    """Seconds that each part of the engine takes on the films of ``ratings``."""
    split = make_split(ratings, SplitConfig.of("random"))
    vectors = factors(ratings.n_items)
    space, item_bias = make_space(vectors), vectors[:, 0]
    pca, facts = fit_pca(space.vectors), film_facts(split, space, item_bias)
    known = np.argsort(-facts.n_ratings, kind="stable")
    titles = np.array([short_title(str(title)) for title in ratings.items.title])
    ends = known[:3], known[3:6]
    snapshots = np.linspace(0, 1, N_EPOCHS + 1)[:, None, None] * vectors
    epochs, items, kept = np.arange(N_EPOCHS + 1), space.item_idx, snapshots.astype(np.float16)
    work: dict[str, Callable[[], object]] = {
        "PCA": lambda: fit_pca(space.vectors),
        "facts": lambda: film_facts(split, space, item_bias),
        "axes named": lambda: describe_axes(pca.scores, facts, [f"PC{n}" for n in range(1, N_FACTORS + 1)]),
        f"other axes, {SHOWN} films": lambda: picture(pca.scores[:, [2, 3]], known[:SHOWN], titles, facts.n_ratings),
        "other axes, all films": lambda: picture(pca.scores[:, [2, 3]], known, titles, facts.n_ratings),
        "own axis": lambda: describe_axis(line_between(space.vectors, *ends), facts),
        "neighbours, cosine": lambda: neighbours(space.vectors, int(known[0])),
        "neighbours, distance": lambda: neighbours(space.vectors, int(known[0]), 10, "euclidean"),
        "biases": lambda: bias_table(facts),
        "flight": lambda: trajectories(pca, (0, 1), epochs, items, kept, space),
    }
    return {name: [_seconds(act) for _ in range(repeat)] for name, act in work.items()}


def slow(ratings: Ratings) -> Seconds:
    inputs = {"vectors": factors(ratings.n_items), "perplexity": 30, "seed": 0}
    return {"t-SNE": [_seconds(lambda: tsne.run(inputs))]}


def picture(xy: np.ndarray, rows: np.ndarray, titles: np.ndarray, n_ratings: np.ndarray) -> object:
    """All the data of a map of these films, titles in their places."""
    drawn = Drawn(item=rows, xy=xy[rows], title=titles[rows], size=point_sizes(n_ratings[rows], by_popularity=True))
    facts = pd.DataFrame({"title": titles[rows], "Movie id": rows})
    return map_tables(drawn, facts, limits_of(drawn.xy), None, [PLOT_HEIGHT] * len(WIDTHS))


def _seconds(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def _print(what: str, columns: Sequence[Seconds], unit: float = 1) -> None:
    """One row a measurement, one column a data set."""
    print(f"{what:26}" + "".join(f"{f'{size.n_items:,} films':>14}" for size in SIZES), flush=True)
    for name in columns[0]:
        print(f"{name:26}" + "".join(f"{unit * statistics.median(each[name]):14.2f}" for each in columns), flush=True)
    print()


if __name__ == "__main__":
    main()
