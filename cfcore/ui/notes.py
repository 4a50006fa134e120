"""What to know about an approach before believing its curve, and a change of settings that is worth trying."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cfcore.approaches import describe
from cfcore.config import RunConfig, SplitConfig


@dataclass(frozen=True, kw_only=True)
class Note:
    """A sentence or two about the article's settings, and others that show the point.

    ``label`` names the button that trains with ``fix``, on the split ``split`` where it is given.
    """

    text: str
    label: str
    fix: Mapping[str, Any]
    split: SplitConfig | None = None

    def applies(self, config: RunConfig) -> bool:
        """Whether the configuration is what the note is about: it learns no faster and no longer than the article's."""
        preset = describe(config.approach).preset
        return config.learning_rate <= preset.learning_rate and config.epochs <= preset.epochs


NOTES: Mapping[str, Note] = {
    "scratch": Note(
        text="A product of two random numbers from 0 to 1 is about a quarter, and the article's fifty add up to "
        "12.5, far above any rating. The gradient is a mean over all ratings, so each user and each movie moves very "
        "little a step. Fewer factors start nearer, and a larger rate moves them.",
        label="Try 8 factors at a rate of 10",
        fix={"learning_rate": describe("scratch").good_rate, "embedding_size": 8},
    ),
    "pytorch": Note(
        text="With all ratings in one batch an epoch is a single step, and fifty Adam steps of 0.001 move no weight by "
        "more than 0.05: the article's run ends while its loss still falls steeply. It also sees only a tenth of the "
        "data.",
        label="Try 0.05 on all the data",
        fix={"learning_rate": describe("pytorch").good_rate},
        split=SplitConfig.of("random"),
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
