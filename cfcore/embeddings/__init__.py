"""What a model has learned about the movies, read from its vectors, by numpy alone.

:mod:`space` keeps the trained movies, :mod:`pca` draws them, :mod:`neighbours` compares them, :mod:`facts` and
:mod:`axes` put names to directions, :mod:`bias` sets learned biases beside plain means, :mod:`trajectories` shows the
epochs, :mod:`recovery` asks simulated data for the truth, and :mod:`tsne` draws neighbourhoods. The last needs more
than numpy, and runs on a worker: scikit-learn would cost the process that serves pages a second and 76 MB.

A *row* counts the movies of a space from 0; an ``item_idx`` counts those of the data set.
"""

from __future__ import annotations

from cfcore.embeddings.axes import Axis, describe_axes, describe_axis
from cfcore.embeddings.bias import BiasTable, bias_table
from cfcore.embeddings.facts import Facts, film_facts
from cfcore.embeddings.neighbours import METRICS, Metric, Neighbours, neighbours
from cfcore.embeddings.pca import Projection, fit_pca, line_between, project
from cfcore.embeddings.recovery import Recovery, Truth, recovery, truth_of
from cfcore.embeddings.space import Space, liked_centre, make_space
from cfcore.embeddings.trajectories import Frames, trajectories

__all__ = [
    "METRICS",
    "Axis",
    "BiasTable",
    "Facts",
    "Frames",
    "Metric",
    "Neighbours",
    "Projection",
    "Recovery",
    "Space",
    "Truth",
    "bias_table",
    "describe_axes",
    "describe_axis",
    "film_facts",
    "fit_pca",
    "liked_centre",
    "line_between",
    "make_space",
    "neighbours",
    "project",
    "recovery",
    "trajectories",
    "truth_of",
]
