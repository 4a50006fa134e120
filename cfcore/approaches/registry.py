"""What each approach is, which settings it has, and the article's values for them.

Nothing here needs torch: pages, the command line and the tests read this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from cfcore.approaches.settings import FIELDS, Setting
from cfcore.config import RunConfig, SplitConfig

ARTICLE_SCALE = (1.0, 5.0)  # MovieLens 100k: the presets' y_range are meant for these stars
PLENTY = 1000  # training ratings: of fewer, each weighs so much in the mean that plain gradient descent diverges sooner


@dataclass(frozen=True, kw_only=True)
class ApproachInfo:
    """One approach: its names, its file, its settings, and the article's preset for configuration and split.

    ``good_rate`` is a learning rate that works on MovieLens 100K where the article's does not; ``rate_rule`` names the
    rule by which the learning-rate finder offers one; ``parts`` names the files of this folder that the lesson shares
    with others.
    """

    key: str
    title: str
    summary: str
    module: str
    preset: RunConfig
    preset_split: SplitConfig
    settings: Mapping[str, Setting]
    teaches: str = ""
    parts: tuple[str, ...] = ()
    good_rate: float | None = None
    rate_rule: str = "valley"

    def good_rate_holds(self, scale: tuple[float, float] | None = None, n_train: int | None = None) -> bool:
        """Whether the rate known to be good may be expected to be so on ratings of this scale and number.

        Adam's steps are as long as the rate says. Those of plain gradient descent grow with the gradient, so that its
        rate holds about where it was measured: on many ratings of one to five stars. ``None`` is taken for such.
        """
        five = scale is None or (scale[1] - scale[0] <= 5 and scale[1] <= 6)
        return self.key != "scratch" or (five and (n_train is None or n_train >= PLENTY))

    def lower_rate(
        self, diverged: float, *, scale: tuple[float, float] | None = None, n_train: int | None = None
    ) -> float:
        """A learning rate to try after ``diverged`` was too high: one known to be good, else a tenth.

        On ratings for which none is known to be good, a tenth as well, but none above the article's.
        """
        tenth = float(f"{diverged / 10:.2g}")
        if not self.good_rate_holds(scale, n_train):
            return min(tenth, self.preset.learning_rate)
        good = self.good_rate or self.preset.learning_rate
        return good if good is not None and good < diverged else tenth

    @property
    def source(self) -> Path:
        """The lesson file itself, to be shown as text: importing it would import torch."""
        return Path(__file__).with_name(f"{self.module}.py")

    @property
    def sources(self) -> tuple[Path, ...]:
        """The lesson file, and after it the files of the parts that it shares with other lessons."""
        return self.source, *(Path(__file__).with_name(f"{part}.py") for part in self.parts)

    def check(self, config: RunConfig) -> None:
        """Raises ``ValueError`` when ``config`` has a setting too many, one too few, or one out of range."""
        for field in fields(config):
            value = getattr(config, field.name)
            if field.name == "approach":
                continue
            setting = self.settings.get(field.name)
            if setting is None:
                if value is not None:
                    raise ValueError(_no_such_setting(self, field.name))
            elif value is not None:
                setting.check(value)
            elif not setting.optional:
                raise ValueError(f"{self.key} needs a value for {field.name}")


def _settings(*names: str, **changes: dict[str, Any]) -> dict[str, Setting]:
    return {name: replace(FIELDS[name], **changes.get(name, {})) for name in names}


def _info(
    key: str,
    *,
    split: SplitConfig,
    settings: dict[str, Setting],
    preset: dict[str, Any],
    parts: tuple[str, ...] = (),
    good_rate: float | None = None,
    **words: str,
) -> ApproachInfo:
    return ApproachInfo(
        key=key,
        module=words.pop("module", key),
        preset=RunConfig(approach=key, **preset),
        preset_split=split,
        settings=settings,
        parts=parts,
        good_rate=good_rate,
        **words,
    )


_RANDOM = SplitConfig.of("random")

APPROACHES: Mapping[str, ApproachInfo] = {
    info.key: info
    for info in (
        _info(
            "scratch",
            good_rate=10.0,
            rate_rule="fifth",
            title="From scratch",
            summary="Two factor matrices, a lookup of their rows, and gradient descent written out by hand.",
            teaches="A one-hot row times a matrix selects a row of it: the whole model is a lookup and a dot product.",
            split=_RANDOM,
            settings=_settings(
                "learning_rate",
                "epochs",
                "embedding_size",
                "lookup",
                "seed",
                learning_rate={"minimum": 1e-3, "maximum": 1e4},
            ),
            preset={"learning_rate": 1.5, "epochs": 50, "embedding_size": 50, "lookup": "index", "seed": 42},
        ),
        _info(
            "pytorch",
            parts=("embedding_net",),
            good_rate=0.05,
            rate_rule="fifth",
            title="PyTorch",
            summary="The lookup becomes nn.Embedding, with a small neural network on top, and Adam takes the steps.",
            teaches="nn.Embedding is the lookup, nn.Module keeps the weights, and an optimizer takes the steps.",
            split=SplitConfig.of("first10"),
            settings=_settings(
                "learning_rate",
                "epochs",
                "embedding_size",
                "hidden_size",
                "weight_decay",
                "seed",
                embedding_size={"maximum": 100},  # one step is the whole epoch: larger ones could not be stopped
                hidden_size={"maximum": 200},  # within a second on MovieLens 100K
            ),
            preset={
                "learning_rate": 1e-3,
                "epochs": 50,
                "embedding_size": 10,
                "hidden_size": 50,
                "weight_decay": 1e-3,
                "seed": 42,
            },
        ),
        _info(
            "fastai_custom",
            parts=("embedding_net", "fastai_parts"),
            title="fastai, our model",
            summary="The PyTorch model in a fastai Learner: minibatches and the one-cycle schedule come for free.",
            teaches="A Learner is the training loop: data loaders, loss, schedule and metrics around any nn.Module.",
            split=_RANDOM,
            settings=_settings(
                "learning_rate",
                "epochs",
                "embedding_size",
                "hidden_size",
                "weight_decay",
                "batch_size",
                "seed",
                epochs={"maximum": 100},
            ),
            preset={
                "learning_rate": 5e-3,
                "epochs": 10,
                "embedding_size": 50,
                "hidden_size": 50,
                "weight_decay": 0.5,
                "batch_size": 64,
                "seed": 42,
            },
        ),
        _info(
            "fastai_nn",
            parts=("fastai_parts",),
            title="fastai, neural net",
            summary="collab_learner builds the net: embeddings, hidden layers, and a sigmoid into the rating range.",
            teaches="One line builds it all; fastai chooses the embedding sizes from the number of users and movies.",
            split=_RANDOM,
            settings=_settings(
                "learning_rate",
                "epochs",
                "embedding_size",
                "layers",
                "weight_decay",
                "batch_size",
                "y_range",
                "seed",
                epochs={"maximum": 100},
                embedding_size={"optional": True, "when_left_out": "fastai's rule: min(600, 1.6 n^0.56)"},
            ),
            preset={
                "learning_rate": 1e-3,
                "epochs": 5,
                "embedding_size": None,
                "layers": (100, 50),
                "weight_decay": 0.1,
                "batch_size": 64,
                "y_range": (0.5, 5.5),
                "seed": 42,
            },
        ),
        _info(
            "fastai_dot",
            parts=("fastai_parts",),
            rate_rule="restrained",
            title="fastai, dot product",
            summary="collab_learner's default: dot product plus user and movie bias, squeezed into the rating range.",
            teaches="A bias for every user and movie, and a dot product for what is left: few weights, a strong model.",
            split=_RANDOM,
            settings=_settings(
                "learning_rate",
                "epochs",
                "embedding_size",
                "weight_decay",
                "batch_size",
                "y_range",
                "sigmoid",
                "bias",
                "seed",
                epochs={"maximum": 100},
            ),
            preset={
                "learning_rate": 5e-3,
                "epochs": 5,
                "embedding_size": 50,
                "weight_decay": 0.01,
                "batch_size": 64,
                "y_range": (1.0, 5.0),
                "sigmoid": "yes",
                "bias": "learned",
                "seed": 42,
            },
        ),
        _info(
            "global_mean",
            module="baseline",
            title="Global mean",
            summary="Predicts the mean training rating for everybody and everything.",
            teaches="Whoever does not beat this has learned nothing.",
            split=_RANDOM,
            settings={},
            preset={},
        ),
        _info(
            "bias",
            module="baseline",
            title="User + movie bias",
            summary="The mean, plus how generous the user is, plus how well liked the movie is.",
            teaches="Most of what can be predicted is not taste: some movies are better, some people are kinder.",
            split=_RANDOM,
            settings={},
            preset={},
        ),
    )
}

BASELINES = ("global_mean", "bias")


def describe(key: str) -> ApproachInfo:
    """The entry of an approach.

    Raises:
        ValueError: there is no such approach.
    """
    if key not in APPROACHES:
        raise ValueError(f"unknown approach {key!r}; choose from {', '.join(APPROACHES)}")
    return APPROACHES[key]


def acting(config: RunConfig) -> dict[str, Setting]:
    """The settings that a run of ``config`` obeys, by name: without a sigmoid there is no rating range."""
    settings = describe(config.approach).settings
    return {name: each for name, each in settings.items() if not (name == "y_range" and config.sigmoid == "no")}


def make_config(key: str, *, scale: tuple[float, float] = ARTICLE_SCALE, **settings: Any) -> RunConfig:
    """A configuration of approach ``key``: the article's values, with ``settings`` in their place where given.

    The presets' ``y_range`` are meant for one to five stars; on another rating ``scale`` they move with its ends.

    Raises:
        ValueError: the approach is unknown, has no such setting, or the value is out of range.
    """
    info = describe(key)
    for name in settings:
        if name not in info.settings:
            raise ValueError(_no_such_setting(info, name))
    preset = info.preset
    if preset.y_range is not None:
        low, high = (end + shift for end, shift in zip(preset.y_range, _shift(scale), strict=True))
        preset = replace(preset, y_range=(low, high))
    config = replace(preset, **settings)
    info.check(config)
    return config


def _shift(scale: tuple[float, float]) -> tuple[float, float]:
    return scale[0] - ARTICLE_SCALE[0], scale[1] - ARTICLE_SCALE[1]


def _no_such_setting(info: ApproachInfo, name: str) -> str:
    known = ", ".join(info.settings) or "none"
    return f"{info.key} has no setting {name!r}; its settings are: {known}"
