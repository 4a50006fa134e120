"""The run doctor: what went wrong in a run, in one sentence with the evidence, and settings that mend it.

A run is judged by four losses: the train loss at its end, the lowest and the last valid loss, and those of both
baselines on the same held-out ratings,

    mean = MSE of the global mean, the variance of the held-out ratings          bias = MSE of user + movie bias.

A train loss above ``bias`` says that the model has not even learned who is generous and what is liked. It fits too
little, because its steps were too large, too small or too few, because weight decay holds it at zero, or because its
sigmoid has no slope left. A train loss below ``bias`` with a valid loss that is not says that it fits too much.

Source: Ng, "Machine Learning Yearning" (2018), chapters 20 to 32, on reading both curves; Smith, "A disciplined
approach to neural network hyper-parameters" (2018), on what rate and weight decay do to them. The thresholds are our
own, from runs of all five approaches on the sample and on MovieLens 100K (docs/decisions.md).
"""

from cfcore.doctor.facts import Finding, Fix
from cfcore.doctor.verdicts import VECTORS, diagnose, overfitting_of

__all__ = ["VECTORS", "Finding", "Fix", "diagnose", "overfitting_of"]
