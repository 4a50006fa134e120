"""A word on the article's own settings, where a verdict meets them."""

from __future__ import annotations

from cfcore.doctor.facts import Facts

SCRATCH = (
    "A product of two random numbers from 0 to 1 is about a quarter, and the article's fifty add up to 12.5, far above "
    "any rating. The gradient is a mean over all ratings, so each user and each movie moves very little a step. Fewer "
    "factors start nearer, and a larger rate moves them."
)
PYTORCH = (
    "With all ratings in one batch an epoch is a single step, and fifty Adam steps of 0.001 move no weight by much "
    "more than 0.05: the article's run ends while its loss still falls steeply."
)


def why(facts: Facts) -> str:
    """Why these settings learn so little; empty for an approach, or ratings, of which it is not so."""
    approach, top = facts.config.approach, facts.scale and facts.scale[1]
    if approach == "scratch" and facts.config.embedding_size == 50 and top is not None and top < 12.5:
        return SCRATCH
    if approach == "pytorch" and facts.config.batch_size is None:
        return f"{PYTORCH} It also sees only a tenth of the data." if facts.split.kind == "first10" else PYTORCH
    return ""
