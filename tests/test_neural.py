"""PyTorch and the three fastai approaches: what must be true inside them, and of the numbers they report."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.collab import collab_learner
from fastai.learner import Learner
from fastai.losses import MSELossFlat
from fastai.optimizer import Adam
from torch import nn

from cfcore import approaches
from cfcore.approaches import fastai_custom, fastai_nn, make_config, pytorch
from cfcore.approaches.embedding_net import EmbeddingNet
from cfcore.approaches.fastai_parts import RatingsLoader, fit, make_loaders
from cfcore.approaches.torch_parts import seeded
from cfcore.config import SplitConfig
from cfcore.models import DotModel
from cfcore.ratings import Ratings, Split, make_split
from cfcore.training import Trained
from tests.conftest import make_ratings


def pairs_of(loaders, batches) -> np.ndarray:
    """The raw (user, movie) pairs of some batches, decoded through the loaders' own classes, sorted."""
    users, movies = (np.array([-1, *loaders.classes[name][1:]]) for name in ("user", "movie"))
    x = torch.cat([batch[0] for batch in batches]).numpy()
    return np.array(sorted(zip(users[x[:, 0]], movies[x[:, 1]], strict=True)))


@pytest.mark.parametrize("batch_size", [16, 64, 1000])
def test_an_epoch_sees_every_training_row_exactly_once(small_split: Split, batch_size: int) -> None:
    with seeded(3):
        loaders = make_loaders(small_split, batch_size)
        epochs = [list(loaders.train), list(loaders.train)]
    users, movies, _ = small_split.part(small_split.train)
    expected = np.array(sorted(zip(users, movies, strict=True)))
    for batches in epochs:
        np.testing.assert_array_equal(pairs_of(loaders, batches), expected)
        assert len(batches) == len(loaders.train)
        assert max(len(x) for x, _ in batches) <= batch_size
    if batch_size < len(expected):
        assert not torch.equal(epochs[0][0][0], epochs[1][0][0])  # shuffled anew


def test_the_learner_itself_trains_on_every_row_once(small_split: Split) -> None:
    """Counted inside fastai's own loop, whatever the loaders say: three epochs are three times each row."""

    class Count(Callback):
        def before_fit(self) -> None:
            self.seen: list[torch.Tensor] = []

        def before_batch(self) -> None:
            if self.training:
                self.seen.append(self.xb[0].clone())  # pyright: ignore[reportAttributeAccessIssue]

    with seeded(0):
        loaders = make_loaders(small_split, 32)
        learner = collab_learner(loaders, n_factors=4, y_range=(1, 5), cbs=Count())
        config = make_config("fastai_dot", epochs=3)
        untrained = DotModel(user_factors=np.zeros((0, 4)), item_factors=np.zeros((0, 4)))
        fit(learner, config, lambda: untrained, *[lambda _: None] * 3)
    seen = torch.cat(learner.count.seen)
    _, times = torch.unique(seen, dim=0, return_counts=True)
    assert len(times) == len(small_split.train)
    assert (times == 3).all()


def test_fastai_accepts_the_loaders_everywhere(small_split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    loaders = make_loaders(small_split, 32)
    assert isinstance(loaders.train, RatingsLoader)
    learner = collab_learner(loaders, n_factors=4, y_range=(1, 5))
    predictions, targets = learner.get_preds(dl=loaders.valid)
    _, _, truth = small_split.part(small_split.valid)
    np.testing.assert_array_equal(targets[:, 0].numpy(), truth)
    assert len(predictions) == len(truth)
    shown = []
    monkeypatch.setattr("fastai.tabular.core.display_df", shown.append)  # which prints otherwise where IPython is there
    loaders.show_batch(max_n=3)
    assert "movie" in shown[0]


def test_the_training_loss_is_the_true_mean_not_a_smoothed_one(small_split: Split) -> None:
    """With a step of nearly nothing the model stands still, and its epoch loss must be its plain MSE."""
    config = make_config("fastai_dot", epochs=1, learning_rate=1e-5, weight_decay=0.0, batch_size=16)
    trained = approaches.train(small_split, config)
    users, items, truth = small_split.part(small_split.train)
    plain = float(np.mean((trained.model.predict(users, items) - truth) ** 2))
    assert trained.history[0].train_loss == pytest.approx(plain, rel=1e-3)


def test_the_model_of_arrays_is_the_network(small_split: Split) -> None:
    with seeded(1):
        net = EmbeddingNet(small_split.ratings.n_users, small_split.ratings.n_items, 5, 8)
    users, items, _ = small_split.part(small_split.valid)
    with torch.no_grad():
        expected = net(torch.from_numpy(users), torch.from_numpy(items))[:, 0]
    np.testing.assert_allclose(net.to_model().predict(users, items), expected, atol=1e-5)


def test_batch_norm_folds_into_the_next_layer() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Linear(6, 5, bias=False), nn.ReLU(), nn.BatchNorm1d(5), nn.Linear(5, 4, bias=False), nn.ReLU(),
        nn.BatchNorm1d(4), nn.Linear(4, 1),
    )  # fmt: skip
    for _ in range(20):  # give the batch norms statistics worth folding
        layers(torch.randn(64, 6) * 3 + 1)
    layers.eval()
    x = torch.randn(10, 6)
    weights, biases = fastai_nn.fold_batchnorm(layers)
    hidden = x.numpy()
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        hidden = np.maximum(hidden @ weight + bias, 0)
    with torch.no_grad():
        expected = layers(x).numpy()
    np.testing.assert_allclose(hidden @ weights[-1] + biases[-1], expected, atol=1e-5)


def test_embedding_sizes_follow_fastai_unless_chosen(small_split: Split) -> None:
    by_rule = approaches.train(small_split, make_config("fastai_nn", epochs=1))
    chosen = approaches.train(small_split, make_config("fastai_nn", epochs=1, embedding_size=6))
    seen = int(small_split.seen_items.sum()) + 1  # and fastai's #na#
    assert by_rule.item_factors.shape[1] == min(600, round(1.6 * seen**0.56))
    assert chosen.item_factors.shape[1] == chosen.user_factors.shape[1] == 6


def test_weight_decay_pulls_the_factors_in(small_split: Split) -> None:
    for key in ("pytorch", "fastai_custom", "fastai_nn", "fastai_dot"):
        size = [
            float(np.square(np.nan_to_num(run.item_factors)).sum())
            for wd in (0.0, 1.0)
            if (run := approaches.train(small_split, make_config(key, epochs=8, weight_decay=wd, learning_rate=0.02)))
        ]
        assert size[1] < size[0], key


def test_the_custom_network_takes_columns(small_split: Split) -> None:
    with seeded(2):
        loaders = make_loaders(small_split, 32)
        net = fastai_custom.CollabNet(len(loaders.classes["user"]), len(loaders.classes["movie"]), 3, 4)
        learner = Learner(loaders, net, loss_func=MSELossFlat())
        predictions, _ = learner.get_preds(dl=loaders.valid)
    x = loaders.valid.x
    with torch.no_grad():
        expected = EmbeddingNet.forward(net, x[:, 0], x[:, 1])
    torch.testing.assert_close(predictions, expected)


@pytest.mark.parametrize("key", ["fastai_custom", "fastai_nn", "fastai_dot"])
def test_a_lean_learner_takes_the_steps_of_fastais_own_optimizer_and_loss(small_split: Split, key: str) -> None:
    """From the same weights and batches; the decay is strong, so that sparing a bias or not would show."""
    weights = []
    for stock in (True, False):
        config = make_config(key, batch_size=16, weight_decay=0.5)
        with seeded(4):
            learner, _ = approaches.load(key).make_learner(small_split, config)  # pyright: ignore
            if stock:
                learner.opt_func, learner.loss_func = Adam, MSELossFlat()
            with learner.no_bar(), learner.no_logging():
                learner.fit_one_cycle(2, 0.01, wd=config.weight_decay)
        weights.append({name: each.detach() for name, each in learner.model.named_parameters()})
    for name in weights[0]:
        torch.testing.assert_close(weights[1][name], weights[0][name], rtol=1e-3, atol=1e-4, msg=name)


def test_a_seed_leaves_the_global_generators_as_they_were() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with seeded(1):
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)


# On the published fold u1, one fastai preset a test. The bounds are the numbers seen when every training row is used
# once an epoch, within 3%.
def test_the_article_preset_of_the_dot_product_on_u1(article_dot: Trained) -> None:
    check_preset(article_dot, 0.879)


@pytest.mark.parametrize(("key", "expected"), [("fastai_custom", 0.891), ("fastai_nn", 0.885)])
def test_the_article_presets_of_the_networks_on_u1(article_split: Split, key: str, expected: float) -> None:
    check_preset(approaches.train(article_split, make_config(key)), expected)


def check_preset(trained: Trained, expected: float) -> None:
    assert trained.metrics.valid_mse == pytest.approx(expected, rel=0.03)
    assert trained.metrics.valid_rmse is not None
    assert trained.metrics.valid_rmse < trained.metrics.baseline_bias_rmse


def test_the_article_preset_of_pytorch_hardly_trains_and_a_larger_rate_does(ml100k: Ratings) -> None:
    preset = approaches.train(make_split(ml100k, SplitConfig.of("first10")), make_config("pytorch"))
    assert preset.metrics.valid_mse is not None
    assert 5.5 < preset.metrics.valid_mse < 8.5
    better = approaches.train(make_split(ml100k, SplitConfig.of("random")), make_config("pytorch", learning_rate=0.05))
    assert better.metrics.valid_mse == pytest.approx(0.887, rel=0.03)


@pytest.mark.parametrize("batch_size", [16, 64, 1000])
def test_batches_of_pytorch_hold_every_row_once_in_a_new_order(batch_size: int) -> None:
    random = torch.Generator().manual_seed(1)
    rows = torch.arange(300)
    first, second = ([rows[at].tolist() for at in pytorch.batches(300, batch_size, random)] for _ in range(2))
    for batches in (first, second):
        assert sorted(itertools.chain(*batches)) == list(range(300))
        assert [len(rows) for rows in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert first != second


def test_minibatches_of_pytorch_are_adam_on_each_batch(small_split: Split) -> None:
    """Against the same network and batches, stepped by Adam as its paper writes it, in float64."""
    config = make_config("pytorch", embedding_size=3, hidden_size=4, batch_size=50, learning_rate=0.01, epochs=2)
    met: list[float] = []
    history = approaches.train(small_split, config, on_batch=met.append).history
    net, _ = pytorch.make_model(small_split, config)
    weights = [w.requires_grad_() for w in net.double().parameters()]
    first, second = ([torch.zeros_like(w) for w in weights] for _ in range(2))
    users, movies, ratings = map(torch.from_numpy, small_split.part(small_split.train))
    random, expected, means = torch.Generator().manual_seed(config.seed), [], []
    for _ in range(config.epochs):
        losses, sizes = [], []
        for rows in pytorch.batches(len(ratings), config.batch_size, random):
            loss = (net(users[rows], movies[rows])[:, 0] - ratings[rows]).square().mean()
            losses.append(loss.item())
            sizes.append(len(ratings[rows]))
            gradients = torch.autograd.grad(loss, weights)
            t = len(expected) + len(losses)
            with torch.no_grad():
                for w, g, m, v in zip(weights, gradients, first, second, strict=True):
                    pulled = g + config.weight_decay * w
                    m.mul_(0.9).add_(0.1 * pulled)
                    v.mul_(0.999).add_(0.001 * pulled**2)
                    w -= config.learning_rate * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
        expected += losses
        means.append(np.average(losses, weights=sizes))
    np.testing.assert_allclose(met, expected, rtol=1e-4)
    np.testing.assert_allclose([result.train_loss for result in history], means, rtol=1e-4)


def test_minibatches_train_in_an_epoch_what_fifty_full_batches_do_not(sample_split: Split) -> None:
    full = approaches.train(sample_split, make_config("pytorch"))
    batches = approaches.train(sample_split, make_config("pytorch", epochs=1, batch_size=64))
    assert full.metrics.valid_mse is not None
    assert batches.metrics.valid_mse is not None
    assert batches.metrics.valid_mse < full.metrics.valid_mse / 2


def test_ratings_on_another_scale_are_learned_on_it() -> None:
    ratings = make_ratings(n=500, scale=(0.0, 10.0))
    split = make_split(ratings, SplitConfig.of("random"))
    config = make_config("fastai_dot", scale=ratings.scale, epochs=2)
    predictions = approaches.train(split, config).valid_predictions
    assert config.y_range == (0.0, 10.0)
    assert predictions.min() >= 0
    assert predictions.max() <= 10
