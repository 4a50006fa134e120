"""The from-scratch lesson against algebra done by hand, and its four lookups against each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cfcore import approaches
from cfcore.approaches import make_config
from cfcore.approaches.scratch import LOOKUPS, index
from cfcore.config import SplitConfig
from cfcore.memory import PeakMemory, lookup_bytes
from cfcore.ratings import Ratings, Split, make_split
from tests.conftest import make_ratings


def gradient_descent_in_numpy(split: Split, U: np.ndarray, V: np.ndarray, lr: float, epochs: int) -> list[float]:
    """The oracle: dL/dU[u] = 2/n sum over its ratings of (error * V[m]), in float64, without autograd."""
    users, movies, ratings = split.part(split.train)
    U, V = U.astype(float), V.astype(float)
    losses = []
    for _ in range(epochs):
        errors = (U[users] * V[movies]).sum(1) - ratings
        losses.append(float(np.mean(errors**2)))
        dU, dV = np.zeros_like(U), np.zeros_like(V)
        np.add.at(dU, users, 2 / len(users) * errors[:, None] * V[movies])
        np.add.at(dV, movies, 2 / len(users) * errors[:, None] * U[users])
        U, V = U - lr * dU, V - lr * dV
    return losses


@pytest.mark.parametrize("lookup", LOOKUPS)
def test_losses_are_those_of_gradient_descent_by_hand(small_split: Split, lookup: str) -> None:
    config = make_config("scratch", lookup=lookup, epochs=12, embedding_size=3, learning_rate=2.0, seed=5)
    trained = approaches.train(small_split, config)
    random = torch.Generator().manual_seed(5)
    U = torch.rand(small_split.ratings.n_users, 3, generator=random).numpy()
    V = torch.rand(small_split.ratings.n_items, 3, generator=random).numpy()
    expected = gradient_descent_in_numpy(small_split, U, V, lr=2.0, epochs=12)
    np.testing.assert_allclose([r.train_loss for r in trained.history], expected, rtol=1e-4)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 6), n=st.integers(5, 120))
def test_every_lookup_has_the_loss_and_the_gradient_of_every_other(seed: int, k: int, n: int) -> None:
    ratings = make_ratings(n=n, seed=seed)
    rows = [torch.from_numpy(a) for a in (ratings.user_idx.astype(np.int64), ratings.item_idx.astype(np.int64))]
    random = torch.Generator().manual_seed(seed)
    results = {}
    for name, lookup in LOOKUPS.items():
        random.manual_seed(seed)
        U = torch.rand(ratings.n_users, k, generator=random, requires_grad=True)
        V = torch.rand(ratings.n_items, k, generator=random, requires_grad=True)
        loss = lookup(rows[0], rows[1], torch.from_numpy(ratings.rating), ratings.n_users, ratings.n_items)(U, V)
        loss.backward()
        results[name] = (loss.item(), U.grad, V.grad)
    for name in ("sparse", "index", "matrix"):
        assert results[name][0] == pytest.approx(results["onehot"][0], rel=1e-5)
        torch.testing.assert_close(results[name][1], results["onehot"][1], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(results[name][2], results["onehot"][2], rtol=1e-4, atol=1e-5)


def test_a_one_hot_product_is_the_row_to_the_bit() -> None:
    W = torch.randn(40, 7, generator=torch.Generator().manual_seed(0))
    rows = torch.tensor([3, 3, 39, 0])
    assert torch.equal(torch.eye(40)[rows] @ W, W[rows])


def test_the_lookups_agree_over_50_epochs(real_or_sample: Ratings) -> None:
    """The article's preset: all four lookups on a tenth of the file, and its loss on all of it where it is at hand."""
    tenth = make_split(real_or_sample, SplitConfig.of("first10"))  # dense one-hot takes a minute for all of it
    losses = {lookup: losses_of(tenth, lookup) for lookup in LOOKUPS}
    for lookup in LOOKUPS:
        np.testing.assert_allclose(losses[lookup], losses["index"], atol=1e-5)
    whole = make_split(real_or_sample, SplitConfig.of("random"))
    by_row, by_mask = losses_of(whole, "index"), losses_of(whole, "matrix")
    np.testing.assert_allclose(by_mask, by_row, atol=1e-5)
    if not real_or_sample.about.simulated:
        assert by_row[-1][0] == pytest.approx(3.82, rel=0.03)


def losses_of(split: Split, lookup: str) -> list[tuple[float, float]]:
    history = approaches.train(split, make_config("scratch", lookup=lookup)).history
    return [(result.train_loss, result.valid_loss) for result in history]


def test_the_bytes_of_one_hot_are_those_it_takes() -> None:
    """Measured on the process, so that a formula which forgets a matrix cannot agree with itself."""
    ratings = make_ratings(n_users=3000, n_items=2000, n=20_000)
    rows = [torch.from_numpy(a.astype(np.int64)) for a in (ratings.user_idx, ratings.item_idx)]
    LOOKUPS["onehot"](rows[0][:10], rows[1][:10], torch.from_numpy(ratings.rating[:10]), 3000, 2000)
    with PeakMemory(every_seconds=0.001) as memory:
        before = memory.mb
        kept = LOOKUPS["onehot"](rows[0], rows[1], torch.from_numpy(ratings.rating), 3000, 2000)
    claimed = lookup_bytes("onehot", 20_000, 3000, 2000) / 1e6  # 400 MB
    assert kept is not None
    assert memory.mb - before == pytest.approx(claimed, rel=0.15)


def test_one_hot_is_refused_with_the_bytes_it_would_need(small_split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFCORE_MEMORY_LIMIT_MB", "0.01")
    n, users, items = len(small_split.ratings), small_split.ratings.n_users, small_split.ratings.n_items
    needs = n * (users + items) * 4
    assert lookup_bytes("onehot", n, users, items) == needs
    with pytest.raises(ValueError, match=f"{needs:,} bytes.*Choose the index lookup"):
        approaches.train(small_split, make_config("scratch", lookup="onehot"))
    assert approaches.train(small_split, make_config("scratch", lookup="index", epochs=1)).status == "done"


def test_a_matrix_that_does_not_fit_gives_way_to_the_index(small_split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config("scratch", lookup="matrix", epochs=3)
    whole = approaches.train(small_split, config)
    pairs = small_split.ratings.n_users * small_split.ratings.n_items
    monkeypatch.setenv("CFCORE_MEMORY_LIMIT_MB", str(4 * pairs / 1e6))  # one table of all pairs; five are needed
    called = []
    monkeypatch.setitem(LOOKUPS, "index", lambda *data: called.append(1) or index(*data))
    instead = approaches.train(small_split, config)
    assert called
    for one, other in zip(whole.history, instead.history, strict=True):
        assert other.train_loss == pytest.approx(one.train_loss, abs=1e-5)
        assert other.valid_loss == pytest.approx(one.valid_loss, abs=1e-5)
