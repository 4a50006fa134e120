"""The run doctor's buttons: what is offered to whom, and where one comes who presses them all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cfcore.approaches import describe, make_config
from cfcore.config import RunConfig
from cfcore.doctor import diagnose, overfitting_of
from cfcore.doctor.why import SCRATCH
from cfcore.ui import state
from cfcore.ui.doctor import findings_of
from tests.doctor_support import HOPELESS, SCALE, data, ended, errors, kinds, trained
from tests.pages_support import FakeJobs, finished, open_page, stored, texts


def test_a_run_that_was_best_in_its_last_epoch_is_not_told_that_it_lacks_data() -> None:
    """Nobody knows its lowest loss yet: it gets more epochs, one-cycle or not."""
    shape = {"user_factors": np.ones((300, 50)), "item_factors": np.ones((300, 50))}
    for losses in ([(1.4, 1.104), (0.9, 1.09), (0.6, 0.944)], [(1.4, 1.19), (0.72, 1.1), (0.57, 1.03), (0.47, 0.925)]):
        run = ended(make_config("fastai_nn", learning_rate=0.005, epochs=len(losses)), losses, metrics=errors(0.96))
        for rates in ((0.005,) * len(losses), (0.005, 0.003, 1e-6, 1e-7)):
            timed = tuple(replace(each, learning_rate=rates[k]) for k, each in enumerate(run.history))
            (finding,) = diagnose(replace(run, history=timed), shape, SCALE)
            assert finding.kind == "no_better"
            assert finding.fix is not None
            assert finding.fix.changes == {"epochs": 4 * len(losses)}


def test_factors_that_fastai_chose_can_be_made_fewer() -> None:
    run = ended(make_config("fastai_nn", learning_rate=0.005), HOPELESS)
    arrays = {"user_factors": np.ones((300, 57)), "item_factors": np.ones((300, 40))}
    found = [diagnose(run, arrays, SCALE)[0]]
    for size in (10, 2, 1):
        fix = found[-1].fix
        assert fix is not None
        assert fix.changes == {"embedding_size": size}
        assert fix.label == ("Try 1 factor" if size == 1 else f"Try {size} factors")
        run = replace(run, request=replace(run.request, config=run.request.config.with_settings(**fix.changes)))
        found.append(diagnose(run, arrays, SCALE)[0])
    assert [each.kind for each in found] == ["too_little_data"] * 4
    assert found[-1].fix is None


@pytest.mark.parametrize(("share", "found"), [(1.0, True), (0.98, False)])
def test_who_still_falls_is_too_short_only_until_the_biases_are_beaten(share: float, found: bool) -> None:
    steep = [(0.9 * share * 1.05**k, 0.9 * share * 1.05**k) for k in range(9, -1, -1)]
    (finding,) = diagnose(ended(make_config("pytorch", learning_rate=0.05), steep), {}, SCALE)
    assert finding.kind == ("too_short" if found else "healthy")
    assert ("Both losses still fell: more epochs may lower them" in finding.sentence) is not found


def test_stopping_earlier_is_no_fix_where_even_the_lowest_loss_loses() -> None:
    hopeless = [(0.8, 1.0), (0.6, 0.95), (0.5, 1.2)]
    decays = {"pytorch": 1e-4, "fastai_dot": 0.001}
    for approach, decay in decays.items():
        fix = diagnose(ended(make_config(approach, weight_decay=decay), hopeless), {}, SCALE)[0].fix
        assert fix is not None
        assert set(fix.changes) == {"weight_decay"}
    run = ended(make_config("scratch", embedding_size=1), hopeless)
    assert [(each.kind, each.fix) for each in diagnose(run, {}, SCALE)] == [("overfitting", None)]


def test_the_fix_for_a_one_cycle_run_that_overfits_makes_it_better() -> None:
    """Fewer epochs would not here: squeezed into three, the same schedule ends above where six end."""
    config = make_config(
        "fastai_dot", embedding_size=20, learning_rate=0.01, batch_size=128, weight_decay=0.0, epochs=6
    )
    before, arrays = trained(config, "random")
    (finding,) = diagnose(before, arrays, SCALE)
    assert finding.kind == "overfitting"
    assert finding.fix is not None
    assert finding.fix.changes == {"weight_decay": 0.2}
    after, _ = trained(config.with_settings(**finding.fix.changes), "random")
    assert after.history[-1].valid_loss < 0.99 * before.history[-1].valid_loss
    decayed = ended(make_config("fastai_dot", weight_decay=0.2), [(0.8, 0.85), (0.6, 0.8), (0.5, 0.85)])
    falling = tuple(
        replace(each, learning_rate=rate) for each, rate in zip(decayed.history, (1, 0.5, 0.01), strict=True)
    )
    (again,) = diagnose(replace(decayed, history=falling), {}, SCALE)
    assert again.fix is not None
    assert again.fix.changes == {"epochs": 2}  # it has that decay already


def test_worse_than_the_mean_is_said_and_mended_by_less_not_by_other_settings() -> None:
    flat = [(0.8, 1.30), (0.5, 1.295), (0.45, 1.30)]
    run = ended(make_config("scratch", learning_rate=5.0), flat, metrics=errors(1.14))
    (finding,) = diagnose(run, {}, SCALE)
    assert finding.kind == "no_better"
    assert "worse than the 1.095 of predicting the mean for everybody; user + movie bias has 0.949" in finding.sentence
    assert finding.fix is not None
    assert finding.fix.changes == {"embedding_size": 12}
    (better,) = diagnose(replace(run, metrics=errors(1.0)), {}, SCALE)
    assert "no better than the 0.949 of user + movie bias" in better.sentence
    assert better.fix is not None
    assert better.fix.label == "Try settings that learn"


# Few ratings held out, and other scales


@pytest.mark.parametrize(("n_valid", "few"), [(99, True), (100, False)])
def test_under_a_hundred_held_out_ratings_only_the_train_loss_is_judged(n_valid: int, few: bool) -> None:
    overfitted = ended(make_config("fastai_dot"), [(0.8, 0.85), (0.6, 0.8), (0.5, 0.9)], n_valid=n_valid)
    assert kinds(overfitted) == (["too_few"] if few else ["overfitting"])
    assert (overfitting_of(overfitted) is None) is few
    rising = ended(make_config("pytorch", learning_rate=0.2), [(1.0, 1.0), (9.0, 9.0)], n_valid=n_valid)
    assert kinds(rising) == ["rate_too_high", "too_few"][: 1 + few]
    assert kinds(ended(make_config("scratch"), [], status="diverged", n_valid=n_valid)) == ["rate_too_high"]
    if few:
        assert f"Only {n_valid} ratings were held out" in diagnose(overfitted, {})[0].sentence
        tenth = ended(make_config("fastai_dot"), HOPELESS, n_valid=n_valid, split="first10")
        assert [finding.fix and finding.fix.label for finding in diagnose(tenth, {})] == ["Train on all the data"]


@pytest.mark.parametrize(
    ("scale", "n_train", "rate"),
    [
        ((0.5, 5.0), 1000, 10.0), ((0.0, 5.0), 1000, 10.0), (None, None, 10.0),
        (SCALE, 999, 4.5), ((0.0, 100.0), 9999, 4.5), ((-10.0, 10.0), 9999, 4.5), ((96.0, 100.0), 9999, 4.5),
    ],
)  # fmt: skip
def test_a_rate_is_only_known_to_learn_where_it_was_measured(
    scale: tuple[float, float] | None, n_train: int | None, rate: float
) -> None:
    slow = [(6 * 0.97**k, 6 * 0.97**k) for k in range(50)]
    (finding,) = diagnose(ended(make_config("scratch"), slow, n_train=n_train), {}, scale)
    assert finding.fix is not None
    assert finding.fix.changes["learning_rate"] == rate
    diverged = make_config("scratch", learning_rate=300.0)
    lower = describe("scratch").lower_rate(diverged, scale=scale, n_train=n_train)
    assert lower == (10.0 if rate == 10 else 1.5)
    adam = make_config("pytorch", learning_rate=0.2)
    assert describe("pytorch").lower_rate(adam, scale=scale, n_train=n_train) == 0.05, "Adam's steps follow no scale"
    batches = adam.with_settings(batch_size=64)
    assert describe("pytorch").lower_rate(batches, scale=scale, n_train=n_train) == 0.001, "0.05 is for full batches"
    flat = [(0.8, 0.95), (0.78, 0.95), (0.78, 0.951)]
    (stuck,) = diagnose(ended(make_config("scratch"), flat, n_train=n_train, metrics=errors(0.975)), {}, scale)
    assert stuck.fix is not None
    assert stuck.fix.label == ("Try settings that learn" if rate == 10 else "Train for 200 epochs")


@pytest.mark.parametrize("name", ["1 to 5", "0 to 100", "-10 to 10", "24 ratings"])
@pytest.mark.parametrize(
    ("approach", "settings"),
    [
        ("scratch", {}),
        ("pytorch", {"hidden_size": 8, "embedding_size": 4, "epochs": 20}),
        ("fastai_dot", {"learning_rate": 0.02}),
    ],
)
def test_whoever_presses_every_button_comes_to_an_end(approach: str, settings: dict[str, Any], name: str) -> None:
    """No configuration twice, and none that diverges after a fix."""
    config = make_config(approach, scale=data(name).scale, **settings)
    tried: list[RunConfig] = []
    while len(tried) < 9:
        run, arrays = trained(config, "random", name)
        assert run.status == "done" or not tried
        tried.append(config)
        finding = diagnose(run, arrays, data(name).scale)[0]
        if finding.fix is None:
            break
        config = config.with_settings(**finding.fix.changes)
        assert config not in tried
    else:
        pytest.fail(f"still a button after {len(tried)} runs")
    assert finding.kind in ("healthy", "no_better", "overfitting", "too_little_data", "too_few")


def test_every_fix_is_a_configuration_that_can_be_trained() -> None:
    """At the ends of what an approach allows, where one more step would be refused."""
    steady = [(6 * 0.97**k, 6 * 0.97**k) for k in range(50)]
    arrays = {"user_factors": np.ones((9, 1)), "item_factors": np.ones((9999, 1))}
    edge = {"valid_predictions": np.full(100, 1999999.0)}
    cases: list[tuple[str, dict[str, Any], list, str, dict]] = [
        ("scratch", {"learning_rate": 0.001}, [], "diverged", {}),
        ("scratch", {"learning_rate": 10.0, "epochs": 500}, steady, "done", {}),
        ("scratch", {"embedding_size": 1, "learning_rate": 10.0}, HOPELESS, "done", arrays),
        ("fastai_nn", {"learning_rate": 0.005}, HOPELESS, "done", arrays),
        ("fastai_dot", {"y_range": (-2e6, 2e6)}, HOPELESS, "done", edge),
        ("pytorch", {"learning_rate": 1.0}, [(1.0, 1.0), (9.0, 9.0)], "done", {}),
    ]
    for approach, settings, losses, status, more in cases:
        run = ended(make_config(approach, **settings), losses, status=status)
        for scale in (SCALE, (0.0, 2e6), None):
            findings = diagnose(run, more, scale)
            assert findings
            for fix in (finding.fix for finding in findings if finding.fix):
                config = run.request.config.with_settings(**fix.changes)
                describe(approach).check(config)
                assert config != run.request.config or fix.split or fix.label.startswith("Train all")


# In the page


def test_a_run_is_judged_on_its_own_scale_whatever_data_is_chosen(
    jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = replace(stored(jobs), status="done")
    monkeypatch.setattr(state, "dataset", lambda: "another")
    assert findings_of(run)[0].why == SCRATCH
    gone = replace(run, request=replace(run.request, dataset="gone"))
    assert findings_of(gone)[0].why == ""


def test_the_comparison_too_says_that_few_held_out_ratings_say_little(
    jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cfcore.doctor.facts.FEW", 3000)
    run = finished(jobs)
    said = texts(open_page("pages/compare.py", runs=run.id))
    assert said.count("too few held-out ratings.** Only 2000 ratings were held out: errors measured on so few") == 1
