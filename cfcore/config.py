"""What a person asks for: a data set, a split of it, and an approach with its settings.

Plain, frozen values that travel as JSON: from the page to a worker, into the store, into a link, and out of
the command line. Only what can be checked without knowing an approach is checked here; which settings an
approach has, and their ranges, stand in :mod:`cfcore.approaches`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

FOLDS = ("u1", "u2", "u3", "u4", "u5")
SPLIT_KINDS = ("random", "first10", *FOLDS, "time")
ABSENT: Any = None  # "has no such setting"; typed Any because approaches only read the settings that they have
LOOKUPS = ("index", "onehot", "sparse", "matrix")
_SINCE = {"fastai_dot": {"bias": "learned", "sigmoid": "yes"}}  # what runs did before they had these settings


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """How the ratings are divided into a training and a validation part.

    ``kind``: ``random`` holds out ``valid_fraction`` of all rows; ``first10`` keeps only the first tenth of
    the file and then does the same (the article's); ``u1`` to ``u5`` are MovieLens 100k's published folds;
    ``time`` holds out each user's last ``valid_fraction`` of ratings. Published folds take neither fraction
    nor seed: both are then ``None``; ``time`` takes no seed.

    Raises:
        ValueError: the kind is unknown, or a value makes no sense for it.
    """

    kind: str = "random"
    valid_fraction: float | None = 0.2
    seed: int | None = 42

    def __post_init__(self) -> None:
        if self.kind not in SPLIT_KINDS:
            raise ValueError(f"unknown split {self.kind!r}; choose from {', '.join(SPLIT_KINDS)}")
        if self.kind in FOLDS:
            if self.valid_fraction is not None:
                raise ValueError(f"the published fold {self.kind} has no valid fraction: leave it out")
            object.__setattr__(self, "seed", None)
            return
        if self.kind == "time":
            object.__setattr__(self, "seed", None)
        elif not _is_int(self.seed) or not 0 <= (self.seed or 0) < 2**32:
            raise ValueError(f"the seed of a split must be a whole number from 0 to 4294967295, not {self.seed!r}")
        if not _is_number(self.valid_fraction) or not 0 < (self.valid_fraction or 0) < 1:
            raise ValueError(
                f"the valid fraction must lie between 0 and 1, for example 0.2, not {self.valid_fraction!r}"
            )

    @classmethod
    def of(cls, kind: str, *, valid_fraction: float | None = None, seed: int = 42) -> Self:
        """Build a split of this kind, with the usual fraction (0.25 for ``first10``, else 0.2) where none is given."""
        if kind in FOLDS:
            return cls(kind=kind, valid_fraction=valid_fraction, seed=None)
        if valid_fraction is None:
            valid_fraction = 0.25 if kind == "first10" else 0.2
        return cls(kind=kind, valid_fraction=valid_fraction, seed=seed)

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return cls(**{"valid_fraction": None, "seed": None, **_only_known(cls, data)})


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """An approach and its settings; a setting that is ``None`` is one that the approach does not have.

    Build one with :func:`cfcore.approaches.make_config`, which fills in the article's values and refuses what
    the approach does not have. ``embedding_size`` may also be ``None`` where the approach can choose it itself.

    Raises:
        ValueError: a value is of the wrong type or not finite.
    """

    approach: str
    learning_rate: float = ABSENT
    epochs: int = ABSENT
    embedding_size: int = ABSENT
    batch_size: int = ABSENT
    weight_decay: float = ABSENT
    hidden_size: int = ABSENT
    implicit_size: int = ABSENT
    layers: tuple[int, ...] = ABSENT
    y_range: tuple[float, float] = ABSENT
    bias: str = ABSENT
    sigmoid: str = ABSENT
    lookup: str = ABSENT
    seed: int = ABSENT

    def __post_init__(self) -> None:
        for name in ("learning_rate", "weight_decay"):
            value = getattr(self, name)
            if value is not None and not _is_number(value):
                raise ValueError(f"{name} must be a finite number, not {value!r}")
        for name in ("epochs", "embedding_size", "batch_size", "hidden_size", "implicit_size", "seed"):
            value = getattr(self, name)
            if value is not None and not _is_int(value):
                raise ValueError(f"{name} must be a whole number, not {value!r}")
        if self.layers is not None:
            object.__setattr__(self, "layers", tuple(self.layers))
            if not all(_is_int(size) for size in self.layers):
                raise ValueError("layers must be whole numbers such as 100, 50")
        if self.y_range is not None:
            object.__setattr__(self, "y_range", tuple(self.y_range))
            numbers = len(self.y_range) == 2 and all(map(_is_number, self.y_range))
            if not numbers or self.y_range[0] >= self.y_range[1]:
                raise ValueError("the rating range (y_range) must be a low and a higher number, such as 0.5, 5.5")
        if self.lookup is not None and self.lookup not in LOOKUPS:
            raise ValueError(f"unknown lookup {self.lookup!r}; choose from {', '.join(LOOKUPS)}")

    def to_json(self) -> dict[str, Any]:
        values = {name: value for name, value in asdict(self).items() if value is not None}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return cls(**{**_SINCE.get(data.get("approach", ""), {}), **_only_known(cls, data)})

    def with_settings(self, **settings: Any) -> Self:
        return replace(self, **settings)


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """Everything that decides a run's outcome: the data set's name or path, the split, and the configuration."""

    dataset: str
    split: SplitConfig = field(default_factory=SplitConfig)
    config: RunConfig

    def to_json(self) -> dict[str, Any]:
        return {"dataset": self.dataset, "split": self.split.to_json(), "config": self.config.to_json()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return cls(
            dataset=data["dataset"],
            split=SplitConfig.from_json(data["split"]),
            config=RunConfig.from_json(data["config"]),
        )


def _only_known(cls: type, data: dict[str, Any]) -> dict[str, Any]:
    known = {f.name for f in fields(cls)}
    unknown = sorted(set(data) - known)
    if unknown:
        raise ValueError(f"unknown setting {', '.join(unknown)}; the settings are {', '.join(sorted(known))}")
    return data


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
