"""What to know about an approach before reading its code."""

from __future__ import annotations

from collections.abc import Mapping

_LOADER = (
    "fastai's own loader for tables draws rows with replacement, so that one epoch misses more than a third of them. "
    "This run uses a loader that gives every training row exactly once."
)

LESSONS: Mapping[str, str] = {
    "scratch": "The article holds nothing out here; this run always does, so the valid curve is new. The four lookups "
    "compute the same thing: their losses agree to about 0.000001, not to the last digit, because sums are taken in "
    "another order.",
    "pytorch": "The article's loop subtracts ratings of shape (n,) from predictions of shape (n, 1). That broadcasts "
    "to (n, n): every prediction is compared with every rating. For 75,000 ratings each such array takes 22.5 GB, and "
    "the model is pulled towards the mean. Here `squeeze(1)` makes both (n,), which takes 0.3 MB.",
    "fastai_custom": _LOADER,
    "fastai_nn": _LOADER,
    "fastai_dot": _LOADER,
}
