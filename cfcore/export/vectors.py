"""What a run has learned, as files: vectors with their movies, and the factors as arrays.

The TensorFlow Embedding Projector (https://projector.tensorflow.org, Load) takes two files of tab-separated values with
a line for each vector: the numbers, without a header, and what is known about each, with one (it must have a header as
soon as it has two columns). Both leave out the movies that no training rating touched: their numbers mean nothing.

The arrays keep every row, so that row i belongs to id i; rows that were never trained are NaN. In a dot model the
prediction is ``offset + user_bias + item_bias + user_factors @ item_factors.T``, within ``y_range`` by a sigmoid.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

import numpy as np

from cfcore.export.cells import one_line, safe
from cfcore.ratings import Ratings

FACTORS = ("user_factors", "item_factors", "user_bias", "item_bias", "model_offset", "model_y_range")
_HEADER = ("title", "year", "genres", "ratings", "mean_rating", "movie_id")


def vectors_tsv(item_factors: np.ndarray) -> str:
    """The vectors of the trained movies of ``item_factors`` (M, k), one line each, without a header.

    Nine digits, so that every float32 reads back as it was.

    Raises:
        ValueError: nothing was trained.
    """
    rows = item_factors[_trained(item_factors)]
    return "".join("\t".join(f"{number:.9g}" for number in row) + "\n" for row in rows.tolist())


def metadata_tsv(item_factors: np.ndarray, ratings: Ratings) -> str:
    """Title, year, genres, number of ratings, mean rating and id of the same movies in the same order, with a header.

    Raises:
        ValueError: nothing was trained, or ``ratings`` are not those of the run.
    """
    items, trained = ratings.items, _trained(item_factors)
    _check_size(len(item_factors), ratings.n_items, "movies")
    n = np.bincount(ratings.item_idx, minlength=ratings.n_items)
    mean = np.bincount(ratings.item_idx, ratings.rating, ratings.n_items) / np.maximum(n, 1)
    genres = items.genre_text()
    ids_are_numbers = items.item_id.dtype.kind in "iu"
    lines = ["\t".join(_HEADER)]
    for i in np.flatnonzero(trained):
        year = str(items.year[i]) if items.year[i] else ""
        title, genre = safe(one_line(items.title[i])), safe(one_line(genres[i]))
        item_id = items.item_id[i] if ids_are_numbers else safe(one_line(items.item_id[i]))
        lines.append(f"{title}\t{year}\t{genre}\t{n[i]}\t{mean[i]:.4f}\t{item_id}")
    return "\n".join(lines) + "\n"


def factors_npz(arrays: Mapping[str, np.ndarray], ratings: Ratings) -> bytes:
    """Factors and biases with the ids of their rows (``user_id``, ``item_id``), as a numpy ``.npz`` file.

    Raises:
        ValueError: ``ratings`` are not those of the run.
    """
    out = io.BytesIO()
    np.savez_compressed(out, allow_pickle=False, **_named(arrays, ratings), **_ids(ratings))
    return out.getvalue()


def factors_safetensors(arrays: Mapping[str, np.ndarray], ratings: Ratings, about: Mapping[str, str]) -> bytes:
    """The same as a ``.safetensors`` file; ``about`` says in its header which run this is.

    Ids that are text, which the format does not know, stand in the header as JSON.

    Raises:
        ValueError: ``ratings`` are not those of the run.
    """
    from safetensors.numpy import save

    tensors, header = _named(arrays, ratings), {**about, "untrained": "rows of NaN"}
    for name, ids in _ids(ratings).items():
        if ids.dtype.kind in "iu":
            tensors[name] = ids
        else:
            header[name] = json.dumps(ids.tolist())
    return save({name: np.asarray(values, order="C") for name, values in tensors.items()}, metadata=header)


def _trained(factors: np.ndarray) -> np.ndarray:
    """(M,) bool: the rows that hold nothing but numbers."""
    trained = np.isfinite(factors).all(axis=1) & (factors.shape[1] > 0)
    if not trained.any():
        raise ValueError("this run has no trained vectors to export")
    return trained


def _named(arrays: Mapping[str, np.ndarray], ratings: Ratings) -> dict[str, np.ndarray]:
    for name, n, what in (("user_factors", ratings.n_users, "users"), ("item_factors", ratings.n_items, "movies")):
        _check_size(len(arrays[name]), n, what)
    return {name.removeprefix("model_"): arrays[name] for name in FACTORS if name in arrays}


def _ids(ratings: Ratings) -> dict[str, np.ndarray]:
    """The raw ids by row: whole numbers where they are, else text of a fixed width, never objects."""
    ids = {"user_id": ratings.users.user_id, "item_id": ratings.items.item_id}
    return {name: values if values.dtype.kind in "iu" else values.astype(str) for name, values in ids.items()}


def _check_size(given: int, known: int, what: str) -> None:
    if given != known:
        raise ValueError(
            f"the run has learned {given:,} {what} and the data set now has {known:,}: it has changed, train again"
        )
