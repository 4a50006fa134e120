"""What each approach is, which settings it has, and the article's values for them.

Nothing here needs torch: pages, the command line and the tests read this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cfcore.approaches.info import ApproachInfo
from cfcore.approaches.settings import FIELDS, Setting
from cfcore.config import RunConfig, SplitConfig


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
                "batch_size",
                "seed",
                embedding_size={"maximum": 100},  # one step is the whole epoch: larger ones could not be stopped
                hidden_size={"maximum": 200},  # within a second on MovieLens 100K
                batch_size={
                    "optional": True,
                    "left_out": "All at once",
                    "when_left_out": "all training ratings make one step",
                    "usual": 512,
                },
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
                embedding_size={
                    "optional": True,
                    "left_out": "By fastai's rule",
                    "when_left_out": "fastai's rule: min(600, 1.6 n^0.56)",
                },
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
            "mf",
            rate_rule="minimum",
            title="Matrix factorization, tuned",
            summary="The dot product with biases in plain PyTorch, and what makes it good: one-cycle, a fair pull on "
            "busy and quiet users, and the best epoch kept.",
            teaches="The same model can be far better: by how its rows are held back, and by which epoch it keeps.",
            split=_RANDOM,
            settings=_settings(
                "learning_rate",
                "epochs",
                "embedding_size",
                "weight_decay",
                "batch_size",
                "seed",
                epochs={"maximum": 100},
                batch_size={
                    "help": "How many ratings make one gradient step; more than this where an epoch would take over "
                    "2,000 steps, each of which moves all rows.",
                },
                weight_decay={
                    "label": "Regularization",
                    "help": "How strongly a row is pulled to zero, for each of its ratings and divided by the root of "
                    "their number. The biases get half of it.",
                    "maximum": 100.0,
                },
            ),
            preset={
                "learning_rate": 0.04,
                "epochs": 8,
                "embedding_size": 20,
                "weight_decay": 1.0,
                "batch_size": 2048,
                "seed": 42,
            },
        ),
        _info(
            "als",
            title="Alternating least squares",
            summary="Dot product and biases, each side in turn solved exactly while the other is held still.",
            teaches="No learning rate at all: with one side held still the other is linear regression, in closed form.",
            split=_RANDOM,
            settings=_settings(
                "epochs",
                "embedding_size",
                "weight_decay",
                "seed",
                epochs={"maximum": 100},
                weight_decay={
                    "label": "Regularization",
                    "help": "The ridge of every regression: how strongly rows are pulled to zero, in proportion to the "
                    "root of their number of ratings. The biases get half of it.",
                    "minimum": 0.01,
                    "maximum": 100.0,
                },
            ),
            preset={"epochs": 6, "embedding_size": 20, "weight_decay": 1.2, "seed": 42},
        ),
        _info(
            "bayes",
            title="Variational Bayes",
            summary="Alternating least squares in which every row is a normal distribution, around a guess made from "
            "what was chosen to be rated.",
            teaches="Who knows how sure they are needs no regularization; and what people choose says more than stars.",
            split=_RANDOM,
            settings=_settings(
                "epochs",
                "embedding_size",
                "implicit_size",
                "seed",
                epochs={"maximum": 100},
                embedding_size={"maximum": 100},  # twice as many: four times the covariances, eight times the work
            ),
            preset={"epochs": 15, "embedding_size": 40, "implicit_size": 20, "seed": 42},
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
ARTICLE = ("scratch", "pytorch", "fastai_custom", "fastai_nn", "fastai_dot")  # its five ways, in its order
