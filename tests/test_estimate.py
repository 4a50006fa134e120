"""The estimate before a run: in the right order of magnitude, growing with what costs, refusing what cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from cfcore.approaches import APPROACHES, make_config
from cfcore.estimate import Estimate, check, estimate
from cfcore.limits import LimitError, Limits
from cfcore.ratings import Split

ML_100K = {"n_train": 80_000, "n_valid": 20_000, "n_users": 943, "n_items": 1682}


def of(key: str, **settings: Any) -> Estimate:
    return estimate(make_config(key, **settings), **ML_100K)


@pytest.mark.parametrize("key", list(APPROACHES))
def test_every_preset_has_one(key: str) -> None:
    cost = of(key)
    assert 0 < cost.seconds < 300
    assert 400 < cost.memory_mb < 1500
    assert cost.refused is None


@pytest.mark.parametrize("key", ["scratch", "pytorch", "fastai_custom", "fastai_nn", "fastai_dot"])
def test_more_epochs_and_wider_embeddings_cost_more(key: str) -> None:
    assert of(key, epochs=20).seconds == pytest.approx(2 * of(key, epochs=10).seconds)
    assert of(key, embedding_size=90).seconds > of(key, embedding_size=20).seconds
    assert of(key, embedding_size=90).memory_mb > of(key, embedding_size=20).memory_mb


def test_the_lookups_stand_in_the_order_of_their_cost() -> None:
    seconds = {lookup: of("scratch", lookup=lookup).seconds for lookup in ("onehot", "index", "matrix")}
    assert seconds["onehot"] > 5 * seconds["index"] > 5 * seconds["matrix"] / 2
    memory = {lookup: of("scratch", lookup=lookup).memory_mb for lookup in ("onehot", "index")}
    assert memory["onehot"] - memory["index"] > 900  # 100,000 x (943 + 1,682) float32 are 1,050 MB


def test_a_worker_refuses_in_the_words_of_the_page(monkeypatch: pytest.MonkeyPatch, sample_split: Split) -> None:
    config = make_config("scratch", embedding_size=300)
    sizes = {"n_train": len(sample_split.train), "n_valid": len(sample_split.valid)}
    ratings = sample_split.ratings
    for name, limits in (("WORK", Limits(work=1e6)), ("RUN_MB", Limits(run_mb=100.0))):
        with monkeypatch.context() as patch:
            patch.setenv(f"CFCORE_MAX_{name}", str(limits.work if name == "WORK" else limits.run_mb))
            page = estimate(config, **sizes, n_users=ratings.n_users, n_items=ratings.n_items).refused
        with pytest.raises(LimitError) as refusal:
            check(config, sample_split, limits)
        assert str(refusal.value) == page
    check(config, sample_split, Limits())


def test_one_hot_that_would_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFCORE_MEMORY_LIMIT_MB", "500")
    refused = of("scratch", lookup="onehot").refused
    assert refused is not None
    assert "1,050,000,000 bytes" in refused
    assert of("scratch", lookup="index").refused is None


def test_a_matrix_that_would_not_fit_costs_what_the_index_costs_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert of("scratch", lookup="matrix").instead == ""
    monkeypatch.setenv("CFCORE_MEMORY_LIMIT_MB", "30")
    cost = of("scratch", lookup="matrix")
    assert cost.refused is None
    assert "the index, which computes the same" in cost.instead
    assert cost.seconds == of("scratch", lookup="index").seconds
