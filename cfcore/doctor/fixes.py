"""What mends a run: changes of settings that the approach allows, or ``None`` where there is none to make."""

from __future__ import annotations

from typing import Any

from cfcore.approaches import describe, make_config
from cfcore.config import SplitConfig
from cfcore.doctor.facts import Facts, Fix, epochs, factors, number
from cfcore.sweep import THAT_LEARN

HOLDS_BACK = {"fastai_dot": 0.2, "fastai_nn": 0.3}  # weight decay; see docs/decisions.md
BY_RULE = 40  # factors, about as many as fastai's own rule gives to some hundred users or movies


def widen(facts: Facts) -> Fix | None:
    """At least the article's range for these ratings, or half as much again at both ends where they are unknown.

    Not wider: on MovieLens 100K `fastai_dot` overfits sooner in 0.5 to 5.5 (valid MSE 0.899) than in 1 to 5 (0.864).
    """
    low, high = facts.config.y_range
    info, half = describe(facts.config.approach), (high - low) / 2
    usual = make_config(info.key, scale=facts.scale).y_range if facts.scale else (low - half, high + half)
    bounds = info.settings["y_range"]
    wider = (max(min(low, usual[0]), bounds.minimum), min(max(high, usual[1]), bounds.maximum))
    if wider == (low, high):
        return None
    return Fix(label=f"Try the range {number(wider[0])} to {number(wider[1])}", changes={"y_range": wider})


def narrow(facts: Facts) -> Fix | None:
    """The usual range for these ratings, where the run's is over twice as wide as they are.

    The sigmoid's slope grows with the range, so a step of the score counts as much more: as if the rate were higher.
    """
    if facts.config.y_range is None or facts.config.sigmoid == "no" or facts.scale is None:
        return None
    (low, high), (first, last) = facts.config.y_range, facts.scale
    if high - low <= 2 * (last - first):
        return None
    usual_range = make_config(facts.config.approach, scale=facts.scale).y_range
    return Fix(
        label=f"Try the range {number(usual_range[0])} to {number(usual_range[1])}", changes={"y_range": usual_range}
    )


def usual(facts: Facts) -> Fix | None:
    """The settings that are known to learn, with this run's range and seed.

    Only to a run that had another rate or batch size: no other fix leads away from these, so it is offered once.
    """
    preset = describe(facts.config.approach).preset
    names = ("learning_rate", "epochs", "batch_size", "embedding_size", "weight_decay")
    wanted = {name: getattr(preset, name) for name in names if getattr(preset, name) is not None}
    wanted |= {name: value for name, value in THAT_LEARN.get(facts.config.approach, {}).items() if name in names}
    changes = {name: value for name, value in wanted.items() if getattr(facts.config, name) != value}
    if not facts.measured or not {"learning_rate", "batch_size"} & set(changes):
        return None
    only_rate = set(changes) == {"learning_rate"}
    return Fix(
        label=f"Try a rate of {number(changes['learning_rate'])}" if only_rate else "Try settings that learn",
        changes=changes,
    )


def lower(facts: Facts) -> Fix | None:
    """A rate that is known to be good on such ratings, else a tenth, as far down as the approach goes."""
    info = describe(facts.config.approach)
    rate = max(_lower_rate(facts, facts.config.learning_rate), info.settings["learning_rate"].minimum)
    if rate >= facts.config.learning_rate:
        return None
    return Fix(label=f"Try a rate of {number(rate)}", changes={"learning_rate": rate})


def faster(facts: Facts) -> Fix | None:
    """The usual rate and, with ``scratch``, few enough factors to bear it; on all data, where it saw a tenth of it.

    On ratings on which nobody measured that rate, three times the run's own, and only while it is worse than the mean:
    a third of the rate at which ``scratch`` diverges has learned more than that (sample on 0 to 100 and -10 to 10).
    None where :func:`lower` leads back from there to this very run: it may have come that way, and would for ever.
    """
    config = facts.config
    if (
        config.learning_rate is None
        or config.learning_rate >= facts.usual_rate
        or not (facts.measured or facts.unlearned)
    ):
        return None
    rate = facts.usual_rate if facts.measured else float(f"{3 * config.learning_rate:.2g}")
    changes: dict[str, Any] = {"learning_rate": rate}
    label = f"a rate of {number(rate)}"
    size = THAT_LEARN.get(config.approach, {}).get("embedding_size")
    if facts.measured and size is not None and size < config.embedding_size:
        changes["embedding_size"], label = size, f"{factors(size)} at {label}"
    data = all_data(facts)
    if not data and len(changes) == 1 and _lower_rate(facts, rate) == config.learning_rate:
        return None
    return Fix(label=f"Try {label}{' on all the data' if data else ''}", changes=changes, split=data and data.split)


def shorter(facts: Facts) -> Fix:
    """As many epochs as it took to the lowest valid loss; one-cycle fits its whole schedule into them."""
    return Fix(label=f"Train for {epochs(facts.best)}", changes={"epochs": facts.best})


def hold_back(facts: Facts) -> Fix | None:
    """The weight decay that is known to help a one-cycle run that overfits, where it had less.

    Fewer epochs may not: they squeeze the schedule, and on the sample a run ended worse for it.
    """
    decay = HOLDS_BACK.get(facts.config.approach, 0.0)
    return set_decay(decay) if (facts.config.weight_decay or 0.0) < decay else None


def longer(facts: Facts) -> Fix | None:
    """Four times the epochs, as far as there may be so many."""
    most = int(describe(facts.config.approach).settings["epochs"].maximum)
    more = min(4 * facts.config.epochs, most)
    return Fix(label=f"Train for {epochs(more)}", changes={"epochs": more}) if more > facts.config.epochs else None


def set_decay(decay: float) -> Fix:
    return Fix(label=f"Try a weight decay of {number(decay)}", changes={"weight_decay": decay})


def _lower_rate(facts: Facts, rate: float) -> float:
    config = facts.config.with_settings(learning_rate=rate)
    return describe(config.approach).lower_rate(config, scale=facts.scale, n_train=facts.n_train)


def all_data(facts: Facts) -> Fix | None:
    """More ratings, where it saw only a tenth of them."""
    return Fix(label="Train on all the data", split=SplitConfig.of("random")) if facts.split.kind == "first10" else None


def restrain(facts: Facts) -> Fix | None:
    """More data where there is more, else the article's weight decay where it was less, else fewer factors."""
    config, preset = facts.config, describe(facts.config.approach).preset
    if facts.split.kind == "first10":
        return all_data(facts)
    if config.weight_decay is not None and config.weight_decay < preset.weight_decay:
        return set_decay(preset.weight_decay)
    size = max(1, (config.embedding_size or BY_RULE) // 4)
    if size == config.embedding_size:
        return None
    return Fix(label=f"Try {factors(size)}", changes={"embedding_size": size})
