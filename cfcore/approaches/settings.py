"""Every setting an approach may have: how to name it, explain it, and keep it within sense."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cfcore.config import LOOKUPS


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting: how to show it, and the values it may take.

    ``kind`` is ``int``, ``float``, ``choice``, ``layers`` (whole numbers) or ``range`` (two numbers).
    ``optional`` allows leaving it out, which ``left_out`` names and ``when_left_out`` describes; whoever then wants a
    number begins with ``usual``.
    """

    name: str
    label: str
    help: str
    kind: str
    minimum: float = 0
    maximum: float = 0
    choices: tuple[str, ...] = ()
    optional: bool = False
    left_out: str = ""
    when_left_out: str = ""
    usual: int = 50

    def check(self, value: Any) -> None:
        """Raises ``ValueError``, with the allowed values, when ``value`` is not one of them."""
        if self.kind == "choice":
            if value not in self.choices:
                raise ValueError(f"{self.name} must be one of {', '.join(self.choices)}, not {value!r}")
            return
        values = value if self.kind in ("layers", "range") else (value,)
        if self.kind == "layers" and not 1 <= len(values) <= 4:
            raise ValueError(f"{self.name} takes one to four sizes such as 100, 50, not {len(values) or 'none'}")
        for number in values:
            if not self.minimum <= number <= self.maximum:
                low, high = (f"{end:,.0f}" if abs(end) >= 1 else f"{end:g}" for end in (self.minimum, self.maximum))
                raise ValueError(f"{self.name} must be from {low} to {high}, not {number}")


FIELDS: Mapping[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting(
            name="learning_rate",
            label="Learning rate",
            help="How far each step moves the weights against the gradient. "
            "Too small: nothing happens. Too large: the loss explodes.",
            kind="float",
            minimum=1e-5,
            maximum=1.0,
        ),
        Setting(
            name="epochs",
            label="Epochs",
            help="How many times the training ratings are gone through.",
            kind="int",
            minimum=1,
            maximum=500,
        ),
        Setting(
            name="embedding_size",
            label="Embedding size",
            help="How many latent factors describe each user and each movie. More can say more, and overfits sooner.",
            kind="int",
            minimum=1,
            maximum=300,
        ),
        Setting(
            name="batch_size",
            label="Batch size",
            help="How many ratings make one gradient step. Small batches take many steps an epoch.",
            kind="int",
            minimum=16,
            maximum=65_536,
        ),
        Setting(
            name="weight_decay",
            label="Weight decay",
            help="Pulls every weight towards zero at each step: it costs training loss and can save validation loss.",
            kind="float",
            minimum=0.0,
            maximum=1.0,
        ),
        Setting(
            name="hidden_size",
            label="Hidden units",
            help="The width of the hidden layer between the embeddings and the prediction.",
            kind="int",
            minimum=1,
            maximum=1000,
        ),
        Setting(
            name="implicit_size",
            label="Implicit factors",
            help="How many numbers tell the prior of a row who rated what, whatever the stars; with 0 all users share "
            "one prior, and all movies another.",
            kind="int",
            minimum=0,
            maximum=100,
        ),
        Setting(
            name="layers",
            label="Hidden layers",
            help="The widths of the hidden layers, first to last, such as 100, 50.",
            kind="layers",
            minimum=1,
            maximum=1000,
        ),
        Setting(
            name="y_range",
            label="Rating range",
            help="A sigmoid squeezes every prediction between these two numbers.",
            kind="range",
            minimum=-2_000_000,
            maximum=2_000_000,
        ),
        Setting(
            name="bias",
            label="Biases",
            help="A number for every user (how generous) and every movie (how well liked), added to the dot product; "
            "none leaves the product alone to explain the ratings.",
            kind="choice",
            choices=("learned", "none"),
        ),
        Setting(
            name="sigmoid",
            label="Sigmoid",
            help="Whether a sigmoid squeezes the prediction into the rating range; without it the sum stays as it is.",
            kind="choice",
            choices=("yes", "no"),
        ),
        Setting(
            name="lookup",
            label="Lookup",
            help="How rows of the factor matrices are selected. All four compute the same, at very different cost.",
            kind="choice",
            choices=LOOKUPS,
        ),
        Setting(
            name="seed",
            label="Seed",
            help="Where the random numbers start. The same seed on the same machine gives the same run.",
            kind="int",
            minimum=0,
            maximum=2**32 - 1,
        ),
    )
}
