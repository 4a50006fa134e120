"""A word on the article's own settings, where a verdict meets them: by approach and kind of split."""

from __future__ import annotations

from collections.abc import Mapping

from cfcore.config import SPLIT_KINDS

_SCRATCH = (
    "A product of two random numbers from 0 to 1 is about a quarter, and the article's fifty add up to 12.5, far above "
    "any rating. The gradient is a mean over all ratings, so each user and each movie moves very little a step. Fewer "
    "factors start nearer, and a larger rate moves them."
)
_PYTORCH = (
    "With all ratings in one batch an epoch is a single step, and fifty Adam steps of 0.001 move no weight by more "
    "than 0.05: the article's run ends while its loss still falls steeply."
)

WHY: Mapping[tuple[str, str], str] = {
    **{("scratch", kind): _SCRATCH for kind in SPLIT_KINDS},
    **{("pytorch", kind): _PYTORCH for kind in SPLIT_KINDS},
    ("pytorch", "first10"): f"{_PYTORCH} It also sees only a tenth of the data.",
}
