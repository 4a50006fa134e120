"""One contract that every approach keeps, checked on the same data for all of them."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from cfcore import approaches
from cfcore.approaches import APPROACHES, BASELINES, describe, make_config
from cfcore.config import RunConfig, SplitConfig
from cfcore.metrics import mse
from cfcore.ratings import Split, make_split
from cfcore.training import EpochResult, StopTraining, Trained
from tests.conftest import make_ratings

TRAINED = [key for key in APPROACHES if key not in BASELINES]
FAST = {  # settings with which each approach learns the sample in a second or two
    "scratch": {"learning_rate": 30.0, "epochs": 30, "embedding_size": 8},
    "pytorch": {"learning_rate": 0.03, "epochs": 40},
    "fastai_custom": {"epochs": 4, "batch_size": 256, "learning_rate": 1e-2},
    "fastai_nn": {"epochs": 2, "batch_size": 256, "learning_rate": 5e-3},
    "fastai_dot": {"epochs": 3, "batch_size": 512, "learning_rate": 2e-2},
    "mf": {"epochs": 3, "learning_rate": 0.05, "batch_size": 512},
    "als": {"epochs": 3, "embedding_size": 8},
    "bayes": {"epochs": 3, "embedding_size": 8, "implicit_size": 5},
    "global_mean": {},
    "bias": {},
}
EXPLODES = {"scratch": 1e4, "pytorch": 1.0, "fastai_custom": 1.0}


@pytest.fixture(scope="module", params=list(APPROACHES))
def key(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def config(key: str) -> RunConfig:
    return make_config(key, **FAST[key])


@pytest.fixture(scope="module")
def trained(sample_split: Split, config: RunConfig) -> Trained:
    return approaches.train(sample_split, config)


def test_it_reports_every_epoch_and_ends_done(trained: Trained, config: RunConfig) -> None:
    assert trained.status == "done"
    assert [result.epoch for result in trained.history] == list(range(1, (config.epochs or 1) + 1))
    assert all(result.seconds > 0 for result in trained.history)
    assert trained.fit_seconds >= sum(result.seconds for result in trained.history) * 0.99
    assert trained.peak_memory_mb > 50


def test_the_reported_losses_are_those_of_its_predictions(trained: Trained, sample_split: Split) -> None:
    truth = sample_split.ratings.rating[sample_split.valid]
    recomputed = float(np.mean((trained.valid_predictions.astype(float) - truth) ** 2))
    assert trained.metrics.valid_mse == pytest.approx(recomputed, abs=1e-9)
    assert trained.history[-1].valid_loss == pytest.approx(recomputed, abs=1e-4)
    assert trained.metrics.valid_rmse == pytest.approx(recomputed**0.5, abs=1e-9)


def test_the_model_of_arrays_predicts_what_was_validated(trained: Trained, sample_split: Split) -> None:
    users, items, _ = sample_split.part(sample_split.valid)
    np.testing.assert_allclose(trained.model.predict(users, items), trained.valid_predictions, atol=1e-5)


def test_it_learns_more_than_the_global_mean(trained: Trained, key: str) -> None:
    if key != "global_mean":
        assert trained.metrics.valid_rmse is not None
        assert trained.metrics.valid_rmse < 0.97 * trained.metrics.baseline_mean_rmse


def test_rows_never_trained_are_nan_and_all_others_are_not(trained: Trained, sample_split: Split) -> None:
    for factors, seen in (
        (trained.user_factors, sample_split.seen_users),
        (trained.item_factors, sample_split.seen_items),
    ):
        assert len(factors) == len(seen)
        assert np.isfinite(factors[seen]).all()
        assert np.isnan(factors[~seen]).all()


def test_snapshots_end_at_the_final_factors(trained: Trained, key: str) -> None:
    if key in BASELINES:
        assert trained.snapshots.factors.size == 0
        return
    snapshots = trained.snapshots
    assert snapshots.factors.dtype == np.float16
    assert snapshots.epochs.tolist() == [0, *(result.epoch for result in trained.history)]
    last = trained.item_factors[snapshots.item_idx]
    np.testing.assert_allclose(snapshots.factors[-1], last, rtol=2e-3, atol=1e-3)
    assert not np.allclose(snapshots.factors[0], snapshots.factors[1], atol=1e-3)  # the first is before any step


def test_the_same_seed_gives_the_same_history(small_split: Split, key: str) -> None:
    settings = {**FAST[key], **({"epochs": 2} if "epochs" in FAST[key] else {})}
    first, second = (approaches.train(small_split, make_config(key, **settings)) for _ in range(2))
    losses = [[(r.train_loss, r.valid_loss) for r in run.history] for run in (first, second)]
    assert losses[0] == losses[1]
    np.testing.assert_array_equal(first.valid_predictions, second.valid_predictions)


@pytest.mark.parametrize("key", TRAINED)
def test_another_seed_gives_another_history(small_split: Split, key: str) -> None:
    first, second = (
        approaches.train(small_split, make_config(key, **{**FAST[key], "epochs": 1, "seed": seed})) for seed in (1, 2)
    )
    assert first.history[0].valid_loss != second.history[0].valid_loss


@pytest.mark.parametrize("key", TRAINED)
def test_stopping_after_an_epoch_keeps_what_was_learned(small_split: Split, key: str) -> None:
    def stop_after_two(result: EpochResult) -> None:
        if result.epoch == 2:
            raise StopTraining

    gentle = {"learning_rate": 1.0} if key == "scratch" else {}  # the sample's rate would explode on 160 ratings
    config = make_config(key, **{**FAST[key], "epochs": 5, **gentle})
    trained = approaches.train(small_split, config, stop_after_two)
    assert trained.status == "stopped"
    assert len(trained.history) == 2
    assert trained.metrics.valid_mse == pytest.approx(trained.history[-1].valid_loss, abs=1e-4)
    assert "2 of 5" in trained.message


@pytest.mark.parametrize("key", TRAINED)
def test_stopping_inside_an_epoch_ends_it_there(small_split: Split, key: str) -> None:
    steps: list[float] = []

    def stop_at_third(loss: float) -> None:
        steps.append(loss)
        if len(steps) == 3:
            raise StopTraining

    settings = {**FAST[key], "epochs": 4}
    if "batch_size" in APPROACHES[key].settings:
        settings["batch_size"] = 16
    trained = approaches.train(small_split, make_config(key, **settings), on_batch=stop_at_third)
    assert trained.status == "stopped"
    assert len(steps) == 3
    assert np.isfinite(trained.item_factors[small_split.seen_items]).all()


@pytest.mark.parametrize("key", sorted(EXPLODES))
def test_a_loss_that_is_no_number_ends_the_run_at_once(small_split: Split, key: str, monkeypatch) -> None:
    far = dataclasses.replace(  # ratings so large that their squares overflow float32 soon
        small_split, ratings=dataclasses.replace(small_split.ratings, rating=small_split.ratings.rating * 1e19)
    )
    split = small_split if key == "scratch" else far
    steps: list[float] = []
    config = make_config(key, **{**FAST[key], "learning_rate": EXPLODES[key], "epochs": 40})
    trained = approaches.train(split, config, on_batch=steps.append)
    assert trained.status == "diverged"
    assert f"{EXPLODES[key]:g}" in trained.message
    assert "Try" in trained.message
    assert len(trained.history) < 40
    assert all(np.isfinite([r.train_loss, r.valid_loss]).all() for r in trained.history)
    assert len(steps) <= sum(1 for _ in steps if np.isfinite(_))  # the step that is no number is never taken


@pytest.mark.parametrize("key", list(APPROACHES))
def test_a_setting_it_does_not_have_is_an_error(key: str) -> None:
    missing = {"epochs": 3, "batch_size": 64, "lookup": "index", "y_range": (1, 5), "layers": (5,)}
    for name, value in missing.items():
        if name not in APPROACHES[key].settings:
            with pytest.raises(ValueError, match=f"{key} has no setting '{name}'"):
                make_config(key, **{name: value})


@pytest.mark.parametrize("key", TRAINED)
@pytest.mark.parametrize("name", ["learning_rate", "epochs", "embedding_size"])
def test_a_setting_out_of_range_is_an_error(key: str, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        describe(key).check(make_config(key).with_settings(**{name: -1}))


@pytest.mark.parametrize("key", list(APPROACHES))
def test_its_preset_is_valid_and_travels_as_json(key: str) -> None:
    config = make_config(key)
    assert config == APPROACHES[key].preset
    assert RunConfig.from_json(config.to_json()) == config


def test_a_run_from_before_a_setting_existed_is_what_it_was() -> None:
    now = make_config("fastai_dot").to_json()
    before = {name: value for name, value in now.items() if name not in ("bias", "sigmoid")}
    assert RunConfig.from_json(before) == make_config("fastai_dot")
    assert RunConfig.from_json({**now, "bias": "none"}).bias == "none"


def test_an_unknown_approach_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown approach 'svd'; choose from scratch, pytorch"):
        make_config("svd")


def test_the_rating_range_of_a_preset_follows_the_scale() -> None:
    assert make_config("fastai_dot", scale=(0.5, 5.0)).y_range == (0.5, 5.0)
    assert make_config("fastai_nn", scale=(1.0, 10.0)).y_range == (0.5, 10.5)
    assert make_config("fastai_dot", scale=(0.5, 5.0), y_range=(0.0, 6.0)).y_range == (0.0, 6.0)


@pytest.mark.parametrize("key", list(APPROACHES))
def test_users_and_movies_without_training_ratings_are_predicted_all_the_same(key: str) -> None:
    ratings = make_ratings(n=300)
    unseen = (ratings.user_idx == 3) | (ratings.item_idx == 4)
    split = Split(ratings=ratings, train=np.flatnonzero(~unseen), valid=np.flatnonzero(unseen), how="by hand")
    trained = approaches.train(split, make_config(key, **FAST[key]))
    assert np.isfinite(trained.valid_predictions).all()
    assert np.isnan(trained.user_factors[3]).all()
    assert np.isnan(trained.item_factors[4]).all()


def test_baselines_are_measured_with_every_run(sample_split: Split) -> None:
    trained = approaches.train(sample_split, make_config("bias"))
    assert trained.metrics.baseline_bias_rmse == trained.metrics.valid_rmse
    truth = sample_split.ratings.rating[sample_split.valid]
    mean = sample_split.ratings.rating[sample_split.train].mean()
    assert trained.metrics.baseline_mean_rmse == pytest.approx(mse(np.full(len(truth), mean), truth) ** 0.5)


@pytest.mark.parametrize("key", [key for key, info in APPROACHES.items() if "batch_size" in info.settings])
def test_one_row_more_than_a_batch_trains(key: str) -> None:
    """65 training rows in batches of 64 would leave a batch of one, on which batch normalization fails."""
    split = make_split(make_ratings(n=82), SplitConfig.of("random", valid_fraction=17 / 82))
    assert len(split.train) == 65
    assert approaches.train(split, make_config(key, **{**FAST[key], "batch_size": 64})).status == "done"


@pytest.mark.parametrize("key", list(APPROACHES))
def test_its_lesson_and_the_parts_it_shares_can_be_shown(key: str) -> None:
    lesson, *parts = APPROACHES[key].sources
    shown = [path.read_text() for path in (lesson, *parts)]
    assert "def train(split: Split, config: RunConfig" in shown[0]
    imported = set(re.findall(r"from cfcore\.approaches\.(\w+) import", shown[0])) - {"torch_parts"}
    assert imported == {path.stem for path in parts}
