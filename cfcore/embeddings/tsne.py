"""t-SNE: a picture in which neighbours stay neighbours, at the price of everything else. Runs on a worker.

    p_ij   how likely movie i would pick j as its neighbour in the full space, by a Gaussian around i that is as wide
           as it takes to reach about ``perplexity`` movies; made symmetric, and summing to 1 over all pairs
    q_ij   proportional to 1 / (1 + |y_i - y_j|^2), the same in the picture, by a distribution with heavy tails
    y      by gradient descent on KL(P || Q) = sum_ij p_ij log(p_ij / q_ij)

Only who is near whom means something. How far apart two groups lie, how large they are and what the axes are mean
nothing, and noise makes groups too. The descent starts from the first two principal components, which keeps the large
order of the map and makes two pictures alike; ``seed`` shakes that start a little, to show what of it is luck.

Distances are taken between vectors of length 1, so that near means alike by cosine, as in the table of neighbours. On
raw vectors, little-rated movies, whose vectors are short, would all be near each other.

openTSNE rather than scikit-learn because it can be watched and ended while it runs. One thread: the other cores train.
Sources: van der Maaten and Hinton (2008); Kobak and Berens, The art of using t-SNE (2019); Poličar et al. (2024).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cfcore.embeddings.pca import fit_pca

LEAST_PERPLEXITY = 2
_EARLY, _LATE = 250, 500  # steps: first with P exaggerated, so that groups can pass through each other, then without
_EXAGGERATION = 12
_EVERY = 5  # steps between two reports
_START = 1e-4  # the spread of the start: larger, and the first steps could not undo it


def most_perplexity(n_movies: int) -> int:
    """The largest perplexity that ``n_movies`` allow: three times as many neighbours are looked at."""
    return (n_movies - 1) // 3


def run(inputs: Mapping[str, Any], on_progress: Callable[[float], None] = lambda share: None) -> dict[str, np.ndarray]:
    """Lay out ``vectors`` (m, k) in the plane: ``{"xy": (m, 2) float32}``, the same for the same inputs.

    Args:
        inputs: ``vectors`` (m, k); ``perplexity`` about how many neighbours each movie keeps; ``seed``.
        on_progress: told how much is done, from 0 to 1; what it raises ends the work.

    Raises:
        ValueError: the perplexity does not suit the number of movies, or openTSNE is not installed.
    """
    vectors, perplexity, seed = np.asarray(inputs["vectors"]), int(inputs["perplexity"]), int(inputs["seed"])
    most = most_perplexity(len(vectors))
    if most < LEAST_PERPLEXITY:
        raise ValueError(f"{len(vectors)} movies are too few for t-SNE: look at their principal components")
    if not LEAST_PERPLEXITY <= perplexity <= most:
        raise ValueError(
            f"for {len(vectors):,} movies the perplexity must be from {LEAST_PERPLEXITY} to {most}, not {perplexity}"
        )
    try:
        from openTSNE import TSNEEmbedding
        from openTSNE.affinity import PerplexityBasedNN
    except ImportError:
        raise ValueError("t-SNE needs a package that is not installed here: pip install openTSNE") from None
    on_progress(0.0)
    X = _unit(vectors)
    affinities = PerplexityBasedNN(X, perplexity=perplexity, method="exact", n_jobs=1, random_state=seed)
    embedding = TSNEEmbedding(_start(X, seed), affinities, n_jobs=1, random_state=seed)
    done = 0
    for steps, exaggeration, momentum in ((_EARLY, _EXAGGERATION, 0.5), (_LATE, 1, 0.8)):
        embedding.optimize(
            n_iter=steps,
            exaggeration=exaggeration,
            momentum=momentum,
            inplace=True,
            callbacks=_Report(on_progress, done, _EARLY + _LATE),
            callbacks_every_iters=_EVERY,
        )
        done += steps
    return {"xy": np.asarray(embedding, dtype=np.float32)}


class _Report:
    """What openTSNE calls every few steps; returning something true would end the descent."""

    def __init__(self, on_progress: Callable[[float], None], done: int, planned: int) -> None:
        self._on_progress, self._done, self._planned = on_progress, done, planned

    def __call__(self, step: int, error: float, embedding: np.ndarray) -> bool:
        self._on_progress((self._done + step) / self._planned)
        return False


def _unit(vectors: np.ndarray) -> np.ndarray:
    X = np.asarray(vectors, dtype=np.float64)
    lengths = np.sqrt(np.square(X).sum(axis=1, keepdims=True))
    return X / np.where(lengths > 0, lengths, 1)


def _start(X: np.ndarray, seed: int) -> np.ndarray:
    """The first two principal components (m, 2), tiny, and shaken so that equal vectors can part."""
    scores = fit_pca(X).scores
    plane = np.zeros((len(X), 2))
    plane[:, : scores.shape[1]] = scores[:, :2]
    plane *= _START / max(plane[:, 0].std(), np.finfo(float).tiny)
    return plane + np.random.default_rng(seed).normal(scale=_START / 100, size=plane.shape)
