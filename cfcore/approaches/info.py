"""What is known of an approach before it runs, and what may be set in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from cfcore.approaches.settings import Setting
from cfcore.config import RunConfig, SplitConfig

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

    def good_rate_holds(
        self, config: RunConfig, *, scale: tuple[float, float] | None = None, n_train: int | None = None
    ) -> bool:
        """Whether the rate known to be good may be expected to be so for ``config``, on ratings of this kind.

        It was measured with the preset's batches; ``pytorch`` takes hundreds of steps an epoch instead of one where it
        is given a batch size. Adam's steps are as long as the rate says. Those of plain gradient descent grow with the
        gradient, so that its rate holds about where it was measured: on many ratings of one to five stars. ``None`` is
        taken for such.
        """
        if self.preset.batch_size is None and config.batch_size is not None:
            return False
        five = scale is None or (scale[1] - scale[0] <= 5 and scale[1] <= 6)
        return self.key != "scratch" or (five and (n_train is None or n_train >= PLENTY))

    def lower_rate(
        self, config: RunConfig, *, scale: tuple[float, float] | None = None, n_train: int | None = None
    ) -> float:
        """A learning rate to try after that of ``config`` was too high: one known to be good, else a tenth.

        On ratings for which none is known to be good, a tenth as well, but none above the article's.
        """
        diverged = config.learning_rate
        tenth = float(f"{diverged / 10:.2g}")
        if not self.good_rate_holds(config, scale=scale, n_train=n_train):
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
                    raise ValueError(no_such_setting(self, field.name))
            elif value is not None:
                setting.check(value)
            elif not setting.optional:
                raise ValueError(f"{self.key} needs a value for {field.name}")


def no_such_setting(info: ApproachInfo, name: str) -> str:
    """What to say to whoever asks for a setting that there is none of, with those that there are."""
    known = ", ".join(info.settings) or "none"
    return f"{info.key} has no setting {name!r}; its settings are: {known}"
