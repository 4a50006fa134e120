"""The run doctor: every verdict on a real run that earns it, silent on the others, and fixes that really help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cfcore.approaches import BASELINES, make_config, pytorch
from cfcore.config import RunConfig
from cfcore.doctor import Finding, diagnose, overfitting_of
from cfcore.doctor import verdicts as doctor
from cfcore.doctor.facts import Facts, facts_of
from cfcore.runs import Run
from tests.doctor_support import HOPELESS, SCALE, ended, ground, kinds, trained

DOT = {"learning_rate": 0.01, "batch_size": 1024, "epochs": 5}

# A run, and the one verdict on it: all on the sample, and quick.
EARNED: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "diverged": ("scratch", {"learning_rate": 100.0, "embedding_size": 8}, "random", "rate_too_high"),
    "oscillating": ("pytorch", {"learning_rate": 0.2, "epochs": 15}, "random", "rate_too_high"),
    "slow": ("pytorch", {"hidden_size": 10}, "first10", "rate_too_low"),
    "slow one-cycle": ("fastai_dot", DOT | {"learning_rate": 1e-4, "epochs": 2}, "random", "rate_too_low"),
    "short": ("scratch", {"learning_rate": 10.0, "embedding_size": 8, "epochs": 10}, "random", "too_short"),
    "collapsed": (
        "pytorch",
        {"hidden_size": 10, "embedding_size": 4, "learning_rate": 0.05, "weight_decay": 0.1},
        "random",
        "collapsed",
    ),
    "broken": ("fastai_custom", {"learning_rate": 1.0, "batch_size": 2048, "epochs": 3}, "random", "collapsed"),
    "saturated": ("fastai_dot", DOT | {"y_range": (2.0, 4.0)}, "random", "saturated"),
    "cut off": ("fastai_dot", DOT | {"y_range": (1.0, 3.0), "batch_size": 512}, "random", "saturated"),
    "too wide": ("fastai_dot", DOT | {"y_range": (-100.0, 100.0), "batch_size": 512}, "random", "no_better"),
    "overfitted": ("fastai_dot", DOT | {"learning_rate": 0.03, "epochs": 8}, "random", "overfitting"),
    "starved": ("pytorch", {"learning_rate": 0.05}, "first10", "too_little_data"),
    "no better": ("scratch", {"learning_rate": 10.0, "embedding_size": 8}, "random", "no_better"),
    "healthy": ("fastai_dot", DOT, "random", "healthy"),
    "kept an earlier epoch": ("mf", {"weight_decay": 0.0, "epochs": 20}, "random", "healthy"),
}


def earned(name: str) -> tuple[Run, dict[str, np.ndarray]]:
    approach, settings, split, _ = EARNED[name]
    return trained(make_config(approach, **settings), split)


@pytest.mark.parametrize("name", EARNED)
def test_every_run_gets_the_verdict_it_earned_and_no_other(name: str) -> None:
    run, arrays = earned(name)
    findings = diagnose(run, arrays, SCALE)
    assert [finding.kind for finding in findings] == [EARNED[name][3]]
    assert findings[0].sentence.endswith(".")
    assert (findings[0].fix is None) == (EARNED[name][3] == "healthy")


@pytest.mark.parametrize("name", [name for name in EARNED if EARNED[name][3] != "healthy"])
def test_the_fix_can_be_trained_and_lowers_the_valid_loss(name: str) -> None:
    """The brief promise of the button: its run ends, and better than the one that it was offered for."""
    run, arrays = earned(name)
    (finding,) = diagnose(run, arrays, SCALE)
    fix = finding.fix
    assert fix is not None
    config = run.request.config.with_settings(**fix.changes)
    mended, _ = trained(config, fix.split.kind if fix.split else run.request.split.kind)
    assert mended.status == "done"
    assert mended.metrics is not None
    assert mended.metrics.valid_mse is not None
    if run.metrics is not None and run.metrics.valid_mse is not None:
        assert mended.metrics.valid_mse < 0.99 * run.metrics.valid_mse
    else:
        assert mended.metrics.valid_rmse is not None
        assert mended.metrics.valid_rmse < mended.metrics.baseline_mean_rmse


def test_the_sentences_carry_the_numbers_of_the_run() -> None:
    slow, arrays = earned("slow")
    train = [result.train_loss for result in slow.history]
    said = diagnose(slow, arrays)[0].sentence
    assert f"{1 - train[-1] / train[-6]:.0%} over the last 5 epochs" in said
    assert f"{slow.history[-1].valid_loss:.3f}" in said

    run, arrays = earned("collapsed")
    assert f"{np.std(arrays['valid_predictions']):.2f} (standard deviation)" in diagnose(run, arrays)[0].sentence

    run, arrays = earned("saturated")
    low, high = run.request.config.y_range
    room = 0.05 * (high - low)
    beyond = np.mean((arrays["valid_predictions"] < low + room) | (arrays["valid_predictions"] > high - room))
    assert diagnose(run, arrays, SCALE)[0].sentence.startswith(f"{beyond:.0%} of the held-out predictions")

    run, arrays = earned("overfitted")
    best = min(run.history, key=lambda result: result.valid_loss)
    assert f"lowest in epoch {best.epoch} ({best.valid_loss:.3f})" in diagnose(run, arrays)[0].sentence

    run, arrays = earned("starved")
    split, _ = ground("first10")
    e = run.request.config.embedding_size
    n_factors = e * (split.seen_users.sum() + split.seen_items.sum())
    assert (
        f"{len(split.train):,} training ratings are {len(split.train) / n_factors:.2f} for each of {n_factors:,}"
        in (diagnose(run, arrays)[0].sentence)
    )


def test_the_articles_own_runs_are_told_why() -> None:
    slow, arrays = earned("slow")
    assert "fifty Adam steps of 0.001" in diagnose(slow, arrays)[0].why
    assert "only a tenth of the data" in diagnose(slow, arrays)[0].why
    slower = make_config("fastai_dot", **EARNED["slow one-cycle"][1])
    assert diagnose(*trained(slower, "random"))[0].why == ""
    steady = [(6 * 0.97**k, 6 * 0.97**k) for k in range(50)]
    found = diagnose(ended(make_config("scratch"), steady), {}, SCALE)[0]
    assert "fifty add up to 12.5" in found.why
    for scale in ((0.0, 100.0), (1.0, 12.5), None):  # not far above any rating there, or nobody knows
        assert diagnose(ended(make_config("scratch"), steady), {}, scale)[0].why == ""
    assert diagnose(ended(make_config("scratch", embedding_size=49), steady), {}, SCALE)[0].why == ""
    assert found.fix is not None
    assert found.fix.changes == {"learning_rate": 10.0, "embedding_size": 8}
    assert found.fix.label == "Try 8 factors at a rate of 10"


def test_fifty_adam_steps_move_no_weight_by_much_more_than_the_sum_of_their_rates() -> None:
    """What the article's pytorch run is told. Adam bounds a step by about three times its rate, not by its rate."""
    split, _ = ground("first10")
    model, optimizer = pytorch.make_model(split, make_config("pytorch"))
    users, movies, ratings = map(torch.from_numpy, split.part(split.train))
    before = [weights.detach().clone() for weights in model.parameters()]
    for _ in range(50):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(users, movies).squeeze(1), ratings).backward()
        optimizer.step()
    moved = max(float((now.detach() - old).abs().max()) for now, old in zip(model.parameters(), before, strict=True))
    assert 0.04 < moved < 0.07
    assert "by much more than 0.05" in diagnose(*earned("slow"))[0].why


# Thresholds, each from both sides: histories of two columns, train and valid.


@pytest.mark.parametrize(("end", "found"), [(1.011, True), (1.009, False)])
def test_overfitting_begins_one_percent_above_the_lowest(end: float, found: bool) -> None:
    run = ended(make_config("fastai_dot"), [(0.8, 0.85), (0.6, 0.8), (0.5, 0.8 * end)])
    assert ("overfitting" in kinds(run)) is found
    assert (overfitting_of(run) is not None) is found


def test_a_valid_loss_that_rises_with_the_train_loss_is_not_overfitting() -> None:
    assert overfitting_of(ended(make_config("fastai_dot"), [(0.8, 0.85), (0.6, 0.8), (0.65, 0.9)])) is None
    learned_nothing = [(1.7, 1.1), (1.3, 1.2), (1.1, 1.3)]  # batch normalization begins near the mean by itself
    assert overfitting_of(ended(make_config("fastai_nn"), learned_nothing)) is None


@pytest.mark.parametrize(("fall", "found"), [(0.021, True), (0.019, False)])
def test_two_percent_over_the_last_tenth_are_a_steep_end(fall: float, found: bool) -> None:
    level = [(1.1 * (1 - fall) ** max(0, k - 8), 1.15 * (1 - fall) ** max(0, k - 8)) for k in range(10)]
    assert ("rate_too_low" in kinds(ended(make_config("scratch"), level))) is found


def test_an_annealed_rate_ends_flat_or_not_without_a_verdict() -> None:
    config = make_config("fastai_dot")
    run = ended(config, [(1.3, 1.1), (1.2, 1.05), (1.1, 1.0), (1.05, 0.98), (1.0, 0.94)])
    annealed = tuple(replace(each, learning_rate=1e-6 if each.epoch == 5 else 0.01) for each in run.history)
    assert "rate_too_low" in kinds(run) or "too_short" in kinds(run)
    assert not {"rate_too_low", "too_short"} & set(kinds(replace(run, history=annealed)))


@pytest.mark.parametrize(("up", "found"), [(0.31, True), (0.29, False)])
def test_three_tenths_of_the_way_upwards_are_an_oscillation(up: float, found: bool) -> None:
    way = 1.0  # down and up together, within the second to the fourth loss
    losses = [1.5, 1.5 - (1 - up) * way / 2, 1.5 - (1 - up) * way / 2 + up * way, 1.5 + (2 * up - 1) * way]
    run = ended(make_config("pytorch"), [(loss, loss) for loss in losses])
    assert ("rate_too_high" in kinds(run)) is found


@pytest.mark.parametrize(("end", "found"), [(1.21, True), (1.19, False)])
def test_a_train_loss_a_fifth_above_its_lowest_is_too_high_a_rate(end: float, found: bool) -> None:
    run = ended(make_config("scratch"), [(4.0, 4.0), (1.0, 1.0), (end, end)])
    assert ("rate_too_high" in kinds(run)) is found


@pytest.mark.parametrize(("spread", "found"), [(0.19, True), (0.21, False)])
def test_a_fifth_of_the_ratings_spread_is_a_collapse(spread: float, found: bool) -> None:
    config = make_config("pytorch", learning_rate=0.05, weight_decay=0.1)
    run = ended(config, [(1.3, 1.3), (1.19, 1.19)])
    predictions = 3.5 + spread * np.sqrt(1.2) * np.array([-1.0, 1.0] * 50)
    assert ("collapsed" in kinds(run, {"valid_predictions": predictions})) is found
    for other in ({"weight_decay": 0.001}, {"learning_rate": 0.001}):  # the article's decay; no time to decay
        innocent = replace(run, request=replace(run.request, config=config.with_settings(**other)))
        assert "collapsed" not in kinds(innocent, {"valid_predictions": predictions})


@pytest.mark.parametrize(("at_edge", "found"), [(11, True), (9, False)])
def test_a_tenth_at_the_ends_of_the_range_is_a_saturation(at_edge: int, found: bool) -> None:
    run = ended(make_config("fastai_dot", sigmoid="yes"), [(0.8, 0.85), (0.6, 0.8)])
    predictions = np.array([4.81] * at_edge + [3.0] * (100 - at_edge))  # 0.05 of the range 1 to 5 is 0.2
    assert ("saturated" in kinds(run, {"valid_predictions": predictions})) is found
    straight = replace(run, request=replace(run.request, config=make_config("fastai_dot", sigmoid="no")))
    assert "saturated" not in kinds(straight, {"valid_predictions": predictions})


@pytest.mark.parametrize(("n_train", "found"), [(99, True), (101, False)])
def test_one_rating_for_each_factor_is_enough(n_train: int, found: bool) -> None:
    run = ended(make_config("scratch", learning_rate=10.0), HOPELESS, n_train=n_train)
    arrays = {"user_factors": np.ones((4, 10)), "item_factors": np.ones((7, 10))}
    arrays["item_factors"][6] = np.nan  # never trained: 60 of its 70 numbers count
    assert ("too_little_data" in kinds(run, arrays)) is found


# What explains what, and what is not judged


def test_a_diverged_run_is_told_nothing_else() -> None:
    run, _ = earned("diverged")
    flat = {"valid_predictions": np.full(100, 3.0)}
    assert kinds(run, flat) == ["rate_too_high"]
    assert kinds(ended(make_config("scratch"), [], status="diverged")) == ["rate_too_high"]


def test_a_narrow_range_and_overfitting_are_two_things() -> None:
    run = ended(make_config("fastai_dot", y_range=(2.0, 4.0)), [(0.8, 0.85), (0.6, 0.8), (0.4, 0.85)])
    assert kinds(run, {"valid_predictions": np.array([2.01, 3.99] * 50)}) == ["saturated", "overfitting"]


@pytest.mark.parametrize("status", ["queued", "running"])
def test_a_run_under_way_and_a_baseline_are_not_judged(status: str) -> None:
    run, arrays = earned("slow")
    assert diagnose(replace(run, status=status), arrays) == ()
    for key in BASELINES:
        baseline = RunConfig(approach=key)
        assert diagnose(replace(run, request=replace(run.request, config=baseline)), arrays) == ()


def test_a_failed_run_is_told_only_what_its_history_says() -> None:
    config = make_config("fastai_dot")
    assert kinds(ended(config, [], status="failed")) == []
    assert kinds(ended(config, [(1.3, 1.2), (1.2, 1.1)], status="failed")) == []
    overfitted = ended(config, [(0.8, 0.85), (0.6, 0.8), (0.4, 0.9)], status="failed")
    assert kinds(overfitted) == ["overfitting"]


def test_who_stopped_a_run_is_not_told_that_it_was_too_short() -> None:
    run, arrays = earned("short")
    stopped = replace(run, status="stopped")
    (finding,) = diagnose(stopped, arrays)
    assert finding.kind == "no_better"
    assert finding.fix is not None
    assert finding.fix.label == "Train all 10 epochs"
    assert finding.fix.changes == {}


@pytest.mark.parametrize(
    "verdict",
    [doctor.oscillates, doctor.collapsed, doctor.saturated, doctor.too_low, doctor.too_little_data, doctor.overfitting],
)
def test_no_verdict_by_itself_falls_on_a_healthy_run(verdict: Callable[[Facts], Finding | None]) -> None:
    run, arrays = earned("healthy")
    assert verdict(facts_of(run, arrays, SCALE)) is None
    assert run.baseline_bias_mse is not None
    assert run.history[-1].valid_loss < 0.9 * run.baseline_bias_mse, "or it was not healthy"
