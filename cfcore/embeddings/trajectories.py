"""How the movies moved while the model learned: the snapshot of every epoch, on one pair of axes.

The axes are the principal components of the *last* epoch. Fitted anew at each epoch they would turn and flip between
frames, and movies would seem to move that only the axes did.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cfcore.embeddings.pca import Projection
from cfcore.embeddings.space import Space


@dataclass(frozen=True, eq=False, kw_only=True)
class Frames:
    """``xy`` (s, m, 2) places the movies ``item_idx`` (m,) as they were after ``epochs`` (s,); 0 is before training."""

    epochs: np.ndarray
    item_idx: np.ndarray
    xy: np.ndarray


def trajectories(
    projection: Projection,
    axes: tuple[int, int],
    snapshot_epochs: np.ndarray,
    snapshot_item_idx: np.ndarray,
    snapshot_factors: np.ndarray,
    space: Space,
    most: int | None = None,
    only: np.ndarray | None = None,
) -> Frames:
    """Project every snapshot on two components of the last epoch's PCA.

    Args:
        projection: fitted on ``space``.
        axes: which two components, from 0.
        snapshot_epochs: (s,) ascending.
        snapshot_item_idx: (m',) the movies that were kept.
        snapshot_factors: (s, m', k) float16, so frames stand up to a thousandth beside ``projection.scores``.
        space: movies outside it are left out, and so are epochs whose factors had left float16's range.
        most: so many frames at most, spread over the training, its start and its end among them.
        only: (n,) the movies to follow, by index; all of ``space`` by default.

    Raises:
        ValueError: the run kept no snapshots of these movies, or there is no such component.
    """
    c = len(projection.components)
    if not all(0 <= axis < c for axis in axes):
        raise ValueError(f"there is no component {max(axes) + 1}: this model has {c}")
    kept = np.isin(snapshot_item_idx, space.item_idx if only is None else np.intersect1d(only, space.item_idx))
    n = len(snapshot_epochs) if most is None else min(most, len(snapshot_epochs))
    frames = np.linspace(0, len(snapshot_epochs) - 1, n).round().astype(int)
    xy = np.array([_place(projection, axes, snapshot_factors[frame][kept]) for frame in frames])  # (s, m, 2)
    if not kept.any() or len(xy) == 0:
        raise ValueError("this run kept no picture of its epochs: train it again to see its movies move")
    finite = np.isfinite(xy).all(axis=(1, 2))
    return Frames(epochs=snapshot_epochs[frames][finite], item_idx=snapshot_item_idx[kept], xy=xy[finite])


def _place(projection: Projection, axes: tuple[int, int], factors: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # inf - inf, where float16 was too small: such a frame is dropped
        return (factors.astype(np.float64) - projection.mean) @ projection.components[list(axes)].T
