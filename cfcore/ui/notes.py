"""What to know about an approach before believing its curve, and a change of settings that is worth trying."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cfcore.config import RunConfig


@dataclass(frozen=True, kw_only=True)
class Note:
    """A sentence or two, and settings that show the point; ``label`` names the button that applies them."""

    text: str
    label: str = ""
    fix: Mapping[str, Any] = field(default_factory=dict)

    def applies(self, config: RunConfig) -> bool:
        """Whether the configuration still has what the note is about: a learning rate well below the fix."""
        wanted = self.fix.get("learning_rate")
        return wanted is None or (config.learning_rate or 0) < wanted / 3


NOTES: Mapping[str, Note] = {
    "scratch": Note(
        text="Small steps of plain descent from random weights end far above both baselines. The gradient is a mean "
        "over all ratings, so each user and each movie moves very little: it takes a much larger step.",
        label="Try a learning rate of 30",
        fix={"learning_rate": 30.0},
    ),
    "pytorch": Note(
        text="With all ratings in one batch an epoch is a single step, and fifty Adam steps of 0.001 hardly move the "
        "weights: the article's run has not begun to learn when it ends.",
        label="Try a learning rate of 0.05",
        fix={"learning_rate": 0.05},
    ),
}

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
