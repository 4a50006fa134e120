"""The verdicts, one function each, in the order of their importance; every threshold says where it comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from cfcore.approaches import describe
from cfcore.doctor import fixes
from cfcore.doctor.facts import EDGE, MARGIN, Facts, Finding, Fix, epochs, facts_of, loss, number
from cfcore.doctor.why import why
from cfcore.runs import Run

VECTORS = ("user_factors", "item_factors", "valid_predictions")  # the arrays of a run that are looked at


def diagnose(
    run: Run, arrays: Mapping[str, np.ndarray], scale: tuple[float, float] | None = None
) -> tuple[Finding, ...]:
    """What is wrong with a run that has ended, the gravest first; one ``healthy`` finding where nothing is.

    Args:
        run: as the store knows it. Baselines (without epochs) and runs under way have no findings.
        arrays: those of :data:`VECTORS` that it has; none for a run that failed.
        scale: the lowest and the highest rating that can be given, where it is known.
    """
    if run.active or run.request.config.epochs is None:
        return ()
    facts = facts_of(run, arrays, scale)
    if run.status == "diverged":
        return (diverged(facts),)
    if not run.history:
        return ()
    if facts.few:
        return tuple(each for each in (oscillates(facts), too_few(facts)) if each)
    for verdict in (oscillates, collapsed):  # each explains whatever else the numbers say
        found = verdict(facts)
        if found:
            return (found,)
    flat = saturated(facts)
    fit = too_little_data(facts) or overfitting(facts) or (None if flat else too_low(facts))
    found = [each for each in (flat, fit) if each]
    if not found and run.status != "failed":
        return (no_better(facts) or healthy(facts),)
    return tuple(found)


def overfitting_of(run: Run) -> Finding | None:
    """The verdict on overfitting alone, which needs nothing but the history."""
    facts = facts_of(run, {})
    return overfitting(facts) if run.history and not facts.few else None


def diverged(facts: Facts) -> Finding:
    """The loss stopped being a number, which ended the run.

    A step longer than 2 / curvature lands farther from the valley than it began, and the next one farther still.
    """
    rate, losses = facts.config.learning_rate, facts.train
    rose = f", after a train loss of {loss(losses[-1])}" if len(losses) else ""
    sentence = f"The loss stopped being a number in epoch {len(losses) + 1}{rose}"
    if rate is None:  # then it is the ratings: nothing else could have
        return Finding(kind="too_large", sentence=f"{sentence}: these ratings are too large for single precision.")
    return Finding(
        kind="rate_too_high",
        sentence=f"{sentence}: a learning rate of {number(rate)} is too high here.",
        fix=fixes.lower(facts),
    )


def oscillates(facts: Facts) -> Finding | None:
    """The train loss itself went up: by at least 30% of all its way, or to 20% above where it had been.

    A model may get worse on other ratings while it learns its own; worse on its own it gets only by steps that are too
    long. Adam's first overshoots take 5 to 10% of the way in runs that learn well, and 22% in the worst that still did;
    runs at four times the usual rate and more have 41% to 98%, or end 40% above their lowest.
    """
    if facts.config.learning_rate is None:
        return None
    steps = np.diff(facts.train)
    ups = steps[steps > 0]
    swings = len(ups) > 0 and ups.sum() >= 0.3 * np.abs(steps).sum()
    if not swings and facts.train[-1] <= 1.2 * facts.train.min():
        return None
    worst = int(steps.argmax())
    times = {1: "once", 2: "twice"}.get(len(ups), f"{len(ups)} times")
    return Finding(
        kind="rate_too_high",
        sentence=f"The train loss rose {times} in {epochs(len(facts.train))}, at worst from "
        f"{loss(facts.train[worst])} to {loss(facts.train[worst + 1])}, and ended at {loss(facts.train[-1])}: steps at "
        f"a learning rate of {number(facts.config.learning_rate)} overshoot.",
        fix=fixes.lower(facts),
    )


def collapsed(facts: Facts) -> Finding | None:
    """The predictions are nearly the same for everybody: their standard deviation is under a fifth of the ratings'.

    The ratings' is the error of the global mean. A model that learned has .3 (user + movie bias) to .7 of it. Weight
    decay does this where it is stronger than the article's; so do rates so high that a ReLU network dies at once and
    gives every input its last bias. A rate far below the usual leaves a model where it began, which is :func:`too_low`.
    """
    if facts.fits or facts.spread is None or not facts.mean or facts.spread >= 0.2 * math.sqrt(facts.mean):
        return None
    config, preset = facts.config, describe(facts.config.approach).preset
    spreads = (
        f"The held-out predictions spread by only {facts.spread:.2f} (standard deviation), the ratings by "
        f"{math.sqrt(facts.mean):.2f}"
    )
    rate = config.learning_rate
    if rate is not None and rate >= 5 * facts.usual_rate:
        why = f"a learning rate of {number(config.learning_rate)} broke the model in its first steps."
        return Finding(kind="collapsed", sentence=f"{spreads}: {why}", fix=fixes.lower(facts))
    decay = config.weight_decay
    if decay is None or decay <= preset.weight_decay or (rate is not None and rate <= facts.usual_rate / 10):
        return None
    return Finding(
        kind="collapsed",
        sentence=f"{spreads}: a weight decay of {number(decay)} pulls every factor to zero, and the mean is left.",
        fix=fixes.set_decay(preset.weight_decay),
    )


def saturated(facts: Facts) -> Finding | None:
    """At least a tenth of the held-out predictions lie where the sigmoid has under a fifth of its greatest slope.

    sigmoid' = s (1 - s) is 0.25 in the middle and 0.0475 at s = 0.05: there the gradient hardly reaches the weights.
    Runs that learned well have 0 to 5% of their predictions there; a range narrower than the ratings gives about 20%,
    a rate ten times too high 50 to 98%.
    """
    if facts.at_edge is None or facts.at_edge < 0.1:
        return None
    low, high = facts.config.y_range
    sentence = (
        f"{facts.at_edge:.0%} of the held-out predictions lie within {EDGE:.0%} of an end of the range "
        f"{number(low)} to {number(high)}, where the sigmoid is flat and hardly passes a gradient on"
    )
    if facts.config.learning_rate >= 5 * facts.usual_rate:
        rate = f": a learning rate of {number(facts.config.learning_rate)} drove them there."
        return Finding(kind="saturated", sentence=sentence + rate, fix=fixes.lower(facts))
    given = ""
    if facts.scale is not None and (low > facts.scale[0] or high < facts.scale[1]):
        given = f"; ratings go from {number(facts.scale[0])} to {number(facts.scale[1])}"
    return Finding(kind="saturated", sentence=f"{sentence}{given}.", fix=fixes.widen(facts) or fixes.lower(facts))


def too_low(facts: Facts) -> Finding | None:
    """It fits too little and was still on its way down: the rate was too low, or there were too few epochs.

    Either both losses fell by 2% or more over the last tenth of the epochs, at a rate that was not annealed (one-cycle
    ends flat whatever was learned); or the run ended worse than the global mean, without having risen. The article's
    runs of ``scratch`` and ``pytorch`` fall by 5 to 8%, settings that learn by at most 1.1%. Who beats user + movie
    bias is not told so: a constant rate may be stopped at its lowest valid loss while that still falls steeply, and
    more epochs would overfit (``pytorch`` on -10 to 10).
    """
    if facts.status != "done" or len(facts.train) < 2 or facts.train[-1] > 1.01 * facts.train.min():
        return None
    steep, unlearned = facts.still_falls and not facts.beats_bias, facts.unlearned
    if not steep and not unlearned:
        return None
    last = max(1, len(facts.train) // 10)
    said = []
    if steep:
        over = f"over the last {epochs(last) if last > 1 else 'epoch'}"
        said.append(f"the train loss still fell by {1 - facts.train[-1] / facts.train[-1 - last]:.0%} {over}")
    if unlearned:
        said.append(
            f"after {epochs(len(facts.train))} the valid loss of {loss(facts.final)} is above the "
            f"{loss(facts.mean or 0)} of predicting the mean for everybody"
        )
    sentence = ", and ".join(said)
    fix, kind = fixes.faster(facts), "rate_too_low"
    if fix is None:
        fix, kind = fixes.longer(facts), "too_short"
    return Finding(
        kind=kind,
        sentence=f"{sentence[0].upper()}{sentence[1:]}.",
        fix=fix,
        why=why(facts) if facts.article else "",
    )


def too_little_data(facts: Facts) -> Finding | None:
    """It knows its training ratings well and even at its best was no better than user + movie bias on others.

    So stopping earlier would not help. That best must lie before the last epoch, or it might only be too short. There
    must be fewer than one training rating for each factor, a valid loss a quarter above the train loss, and a rate
    between half the usual one and one and a half times it. Many more factors than ratings do no harm to models that
    weight decay or a short one-cycle restrains, which is why the count alone is no verdict.
    """
    if not facts.hopeless or facts.odd_rate or facts.bias is None or not facts.n_train or not facts.n_factors:
        return None
    if facts.best == len(facts.valid):
        return None
    share = facts.n_train / facts.n_factors
    if share >= 1 or facts.final <= 1.25 * facts.train[-1]:
        return None
    return Finding(
        kind="too_little_data",
        sentence=f"{facts.n_train:,} training ratings are {share:.2f} for each of {facts.n_factors:,} factors: the "
        f"train loss went to {loss(facts.train[-1])}, but the valid loss never below {loss(facts.valid.min())}, and "
        f"user + movie bias has {loss(facts.bias)}.",
        fix=fixes.restrain(facts),
    )


def overfitting(facts: Facts) -> Finding | None:
    """The valid loss ended at least 1% above its lowest, while the train loss went on falling.

    1% of a loss is half a percent of an error, some 0.005 stars; on 20,000 held-out ratings, differences below that
    come and go with the seed. The fix is to stop there: at a constant rate that gives the lowest loss itself. A
    one-cycle run gets more weight decay first, since fewer epochs squeeze its schedule. Where even that loses to user +
    movie bias it would not help: a one-cycle run at an odd rate gets settings that learn, any other more data, more
    decay or fewer factors.
    """
    if not len(facts.valid) or not facts.fits:
        return None
    best = facts.best - 1
    if not facts.valid[-1] > 1.01 * facts.valid[best] or not facts.train[-1] < facts.train[best]:
        return None
    if not facts.final > 1.01 * facts.valid[best]:
        return None  # it kept the weights of an epoch before that
    fix = (fixes.hold_back(facts) if facts.annealed else None) or fixes.shorter(facts)
    if facts.hopeless:
        fix = (fixes.usual(facts) if facts.annealed and facts.odd_rate else None) or fixes.restrain(facts)
    return Finding(
        kind="overfitting",
        sentence=f"The valid loss was lowest in epoch {facts.best} ({loss(facts.valid[best])}) and rose to "
        f"{loss(facts.valid[-1])}, while the train loss fell from {loss(facts.train[best])} to "
        f"{loss(facts.train[-1])}: from there on the model learned the training ratings by heart.",
        fix=fix,
    )


def no_better(facts: Facts) -> Finding | None:
    """The finished model is less than half a percent better than user + movie bias, and no other verdict says why.

    A baseline without any factor is what factors must beat: Koren, "Factor in the Neighbors" (2010), section 2.1. Who
    fits and is worse even than the mean overfits; who was best in the last epoch may only lack epochs.
    """
    if facts.rmse is None or not facts.bias or facts.rmse <= math.sqrt(MARGIN * facts.bias):
        return None
    bias, mean = math.sqrt(facts.bias), math.sqrt(facts.mean or math.inf)
    worst = facts.rmse > max(mean, bias)
    narrower = fixes.narrow(facts)
    if facts.status == "stopped":
        fix = Fix(label=f"Train all {epochs(facts.config.epochs)}")
    elif narrower:
        fix = narrower
    elif worst and facts.fits:
        fix = fixes.restrain(facts)
    else:
        more, known = fixes.longer(facts), fixes.usual(facts)
        fix = (known or more) if facts.odd_rate or facts.best < len(facts.valid) else (more or known)
    better = "hardly" if facts.rmse < bias else "no"
    than = f"{better} better than the {bias:.3f} of user + movie bias, which has no factors at all"
    if worst:
        than = f"worse than the {mean:.3f} of predicting the mean for everybody; user + movie bias has {bias:.3f}"
        if facts.fits:
            than += f". On its training ratings it has {math.sqrt(facts.train[-1]):.3f}: it learned them by heart"
    if narrower and facts.scale:
        ends = (*facts.config.y_range, *facts.scale)
        than += ". Its range goes from {} to {}, ratings only from {} to {}".format(*map(number, ends))
    return Finding(kind="no_better", sentence=f"The held-out error of {facts.rmse:.3f} is {than}.", fix=fix)


def too_few(facts: Facts) -> Finding:
    """So few ratings were held out that no verdict on them would mean much."""
    held_out = "rating was" if facts.n_valid == 1 else "ratings were"
    return Finding(
        kind="too_few",
        sentence=f"Only {facts.n_valid} {held_out} held out: errors measured on so few say little. Use more data.",
        fix=fixes.all_data(facts),
    )


def healthy(facts: Facts) -> Finding:
    """None of the verdicts applies; the sentence says what was looked at."""
    within = " within 1% of" if facts.final <= 1.01 * facts.valid.min() else f" at {loss(facts.final)};"
    said = [f"the valid loss ended{within} its lowest ({loss(facts.valid.min())}, epoch {facts.best})"]
    if facts.rmse is not None and facts.bias:
        said.append(f"the error is {1 - facts.rmse / math.sqrt(facts.bias):.1%} below that of user + movie bias")
    if facts.spread is not None and facts.mean:
        said.append(f"predictions spread by {facts.spread:.2f} where ratings spread by {math.sqrt(facts.mean):.2f}")
    *first, last = said
    sentence = f"{', '.join(first)}, and {last}" if first else last
    more = " Both losses still fell: more epochs may lower them further." if facts.still_falls else ""
    return Finding(kind="healthy", sentence=f"{sentence[0].upper()}{sentence[1:]}.{more}")
