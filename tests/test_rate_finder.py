"""The learning-rate finder: its sweep against closed forms and fastai's own, its suggestions by training, its panel."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback, CancelFitException  # pyright: ignore[reportAttributeAccessIssue]
from fastai.callback.schedule import minimum, slide, steep, valley
from fastai.learner import AvgSmoothLoss
from torch.optim import SGD

from cfcore import approaches
from cfcore.approaches import describe, make_config
from cfcore.approaches import rate_finder as engine
from cfcore.approaches.torch_parts import seeded, threads
from cfcore.aside import Task
from cfcore.charts.rate_finder import rate_alt, rate_spec
from cfcore.config import RunConfig, RunRequest, SplitConfig
from cfcore.ratings import Ratings, Split, make_split
from cfcore.ui import rate_finder as panel
from tests.conftest import make_ratings
from tests.pages_support import FakeJobs, button, now, open_page, param, texts

LEARNERS = ("fastai_custom", "fastai_nn", "fastai_dot")


class StopAfter(Callback):
    """Ends training after so many steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def after_batch(self) -> None:
        if self.learn.train_iter >= self.steps:  # pyright: ignore
            raise CancelFitException


def find(split: Split, config: RunConfig) -> dict[str, Any]:
    return engine.run({"split": split, "config": config}, lambda share: None)


# The sweep


@pytest.mark.parametrize("curvature", [0.5, 40.0])
def test_on_a_parabola_the_sweep_follows_the_closed_form_until_it_diverges(curvature: float) -> None:
    """loss = a w^2 / 2: a step at rate lr makes w (1 - lr a), so every loss is known beforehand."""
    rates = np.geomspace(1e-3, 1e3, 90)
    w = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    losses = engine.sweep(lambda: curvature * w**2 / 2, SGD([w], lr=1.0), rates, lambda share: None)
    before = 2.0 * np.cumprod([1.0, *(1 - rates[:-1] * curvature)])
    expected = curvature * before**2 / 2
    diverges = next(k for k in range(len(rates)) if expected[k] > 4 * expected[: k + 1].min())
    assert len(losses) == diverges + 1 < len(rates)
    np.testing.assert_allclose(losses, expected[: diverges + 1], rtol=1e-9)


def test_a_sweep_ends_where_the_loss_is_no_number() -> None:
    w = torch.tensor(1.0, requires_grad=True)
    losses = engine.sweep(lambda: torch.log(w), SGD([w], lr=1.0), np.full(20, 1.5), lambda share: None)
    assert len(losses) == 2  # log(1 - 1.5)
    assert math.isnan(losses[-1])


@pytest.mark.parametrize("key", ["scratch", "pytorch"])
def test_at_a_constant_rate_the_sweep_is_the_lesson(small_split: Split, key: str) -> None:
    config = make_config(key, embedding_size=4, learning_rate=0.02, epochs=6)
    lesson = [result.train_loss for result in approaches.train(small_split, config).history]
    rates = np.full(6, config.learning_rate)
    losses = engine.sweep(*engine.first_loss(small_split, config), rates, lambda share: None)
    np.testing.assert_allclose(losses, lesson, rtol=1e-6)


def test_a_full_batch_is_swept_over_the_setting_and_read_as_it_is(small_split: Split) -> None:
    found = find(small_split, make_config("pytorch", embedding_size=4))
    setting = describe("pytorch").settings["learning_rate"]
    steps = np.log(found["rates"][1:] / found["rates"][:-1])
    assert found["rates"][0] == pytest.approx(setting.minimum)
    np.testing.assert_allclose(steps, math.log(setting.maximum / setting.minimum) / 99, rtol=1e-9)
    np.testing.assert_array_equal(found["raw"], found["smooth"])
    lowest = found["rates"][10:-5][np.argmin(found["raw"][10:-5])]
    assert found["offered"] == "fifth"
    assert found["suggested"]["fifth"] == pytest.approx(lowest / 5, rel=1e-5)
    assert found["suggested"]["minimum"] == pytest.approx(lowest / 10, rel=1e-5)


def test_pytorch_with_a_batch_size_is_swept_by_its_batches_and_smoothed_as_fastai_does(small_split: Split) -> None:
    config = make_config("pytorch", embedding_size=4, batch_size=32, learning_rate=0.02, epochs=2)
    lesson: list[float] = []
    approaches.train(small_split, config, on_batch=lesson.append)
    rates = np.full(len(lesson), config.learning_rate)  # a second epoch, with its own order, among them
    losses = engine.sweep(*engine.first_loss(small_split, config), rates, lambda share: None)
    np.testing.assert_allclose(losses, lesson, rtol=1e-6)
    average = AvgSmoothLoss(beta=0.98)
    expected = []
    for loss in losses:
        average.accumulate(SimpleNamespace(loss=torch.tensor(loss, dtype=torch.float32)))
        expected.append(float(average.value))
    np.testing.assert_allclose(engine.smoothed(losses), expected, rtol=1e-4)
    found = find(small_split, config)
    assert found["offered"] == "valley"
    np.testing.assert_allclose(found["smooth"], engine.smoothed(found["raw"]))


@pytest.mark.parametrize("key", LEARNERS)
def test_a_learner_is_swept_as_fastai_does_with_its_suggestions(small_split: Split, tmp_path: Path, key: str) -> None:
    config = make_config(key, batch_size=32, weight_decay=0.2)
    found = find(small_split, config)
    with seeded(config.seed), threads(1):
        learn, _ = approaches.load(key).make_learner(small_split, config)  # pyright: ignore
        learn.path, learn.wd = tmp_path, 0.2
        with learn.no_bar():
            own = learn.lr_find(suggest_funcs=(valley, steep, minimum, slide), show_plot=False)._asdict()
    n = len(found["rates"])
    np.testing.assert_array_equal(found["rates"], learn.recorder.lrs[:n])
    np.testing.assert_allclose(found["smooth"], [float(loss) for loss in learn.recorder.losses[:n]], rtol=1e-6)
    expected = {name: float(rate) for name, rate in own.items()}
    if key == "fastai_dot":
        steps = math.ceil(len(small_split.train) / 32) * config.epochs
        assert steps < engine.STEPS  # so short a run needs no restraint
        expected["restrained"] = expected["valley"]
    assert found["suggested"] == pytest.approx(expected)
    assert found["offered"] == ("restrained" if key == "fastai_dot" else "valley")


def test_the_smoothed_loss_is_fastais_running_mean_of_the_raw_one(small_split: Split) -> None:
    found = find(small_split, make_config("fastai_dot", batch_size=32))
    mean, expected = 0.0, []
    for k, loss in enumerate(found["raw"], 1):
        mean = 0.98 * mean + 0.02 * loss
        expected.append(mean / (1 - 0.98**k))
    np.testing.assert_allclose(found["smooth"], expected, rtol=1e-4)
    assert np.std(found["raw"]) > np.std(found["smooth"])


def test_weights_and_global_generators_are_as_before(small_split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    """And every row was seen once before any was seen twice, as our loader has it."""
    kept: list[Any] = []
    seen: list[torch.Tensor] = []

    class Count(Callback):
        def before_batch(self) -> None:
            seen.append(self.learn.xb[0].clone())  # pyright: ignore

    def keep(split: Split, config: RunConfig) -> Any:
        learn = untrained(split, config)
        learn.add_cb(Count())
        kept.append((learn, [weight.detach().clone() for weight in learn.model.parameters()]))
        return learn

    untrained = engine.untrained
    monkeypatch.setattr(engine, "untrained", keep)
    state = torch.get_rng_state()
    find(small_split, make_config("fastai_dot", batch_size=16))
    assert torch.equal(torch.get_rng_state(), state)
    learn, before = kept[0]
    assert all(torch.equal(old, new) for old, new in zip(before, learn.model.parameters(), strict=True))
    n = len(small_split.train)
    epochs = torch.cat(seen)[: 3 * n].reshape(3, n, 2)
    assert all(len(torch.unique(epoch, dim=0)) == n for epoch in epochs)


def test_a_sweep_that_diverges_ends_early_and_holds_only_numbers(small_split: Split) -> None:
    found = find(small_split, make_config("scratch", embedding_size=8))
    assert found["diverged"]
    assert len(found["rates"]) == len(found["raw"]) < engine.STEPS
    assert np.isfinite(found["raw"]).all()
    assert found["raw"][-1] > 4 * found["raw"].min()
    assert found["raw"][-2] <= 4 * found["raw"][:-1].min()


def test_ratings_on_a_huge_scale_explode_too_soon_for_a_suggestion() -> None:
    split = make_split(make_ratings(scale=(0.0, 1e6)), SplitConfig.of("random"))
    huge = Ratings(**{**vars(split.ratings), "rating": split.ratings.rating * 2e5})
    found = find(make_split(huge, SplitConfig.of("random")), make_config("scratch", embedding_size=4))
    assert found["diverged"]
    assert found["suggested"] == {}
    assert len(found["rates"]) == len(found["smooth"])


def test_half_of_a_full_batch_draws_the_same_curve(sample_split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config("scratch", embedding_size=8)
    whole = find(sample_split, config)
    monkeypatch.setattr(engine, "MOST_ROWS", len(sample_split.train) // 2)
    half = find(sample_split, config)
    assert half["suggested"]["minimum"] == pytest.approx(whole["suggested"]["minimum"], rel=0.3)
    n = min(len(whole["raw"]), len(half["raw"])) - 10
    np.testing.assert_allclose(half["raw"][:n], whole["raw"][:n], rtol=0.1)
    assert not np.array_equal(half["raw"][:n], whole["raw"][:n])


def test_fastais_valley_is_half_way_along_the_longest_fall() -> None:
    """As the panel says: of 100 losses that fall from the 30th to the 60th, about the 45th."""
    losses = np.concatenate([np.full(30, 5.0), np.linspace(5, 1, 31), np.full(39, 1.0) + np.arange(39) * 1e-3])
    found = engine.suggestions(np.arange(100.0), losses)["valley"]
    assert 42 <= found <= 47
    assert "half way along the longest fall" in panel.RULES


def test_a_short_curve_gets_no_slide_and_the_shortest_nothing() -> None:
    rates, losses = np.geomspace(1e-3, 1, 100), np.linspace(5, 1, 100)
    assert set(engine.suggestions(rates, losses)) == {"valley", "steep", "minimum", "slide"}
    assert set(engine.suggestions(rates[:30], losses[:30])) == {"valley", "steep", "minimum"}
    assert engine.suggestions(rates[:16], losses[:16]) == {}


def test_a_wide_network_sees_fewer_rows_and_the_same_curve(
    sample_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config("pytorch", embedding_size=10, hidden_size=20)
    seen = []
    monkeypatch.setattr(
        engine.scratch, "tensors", lambda split, rows: seen.append(rows) or map(torch.tensor, split.part(rows))
    )
    engine.first_loss(sample_split, config)
    monkeypatch.setattr(engine, "MOST_WORK", 2 * 10 * 20 * 3000)
    engine.first_loss(sample_split, config)
    whole, few = seen
    assert len(whole) == min(len(sample_split.train), engine.MOST_ROWS)
    assert len(np.unique(few)) == 3000
    assert np.isin(few, sample_split.train).all()


@pytest.mark.parametrize("key", ["pytorch", "fastai_dot"])
def test_a_sweep_that_would_hold_up_everybody_is_given_up(
    small_split: Split, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    clock = iter(range(1000))  # a second a step
    monkeypatch.setattr(engine.time, "monotonic", lambda: float(next(clock)))
    steps: list[float] = []
    settings: dict[str, Any] = {"batch_size": 32} if key == "fastai_dot" else {}
    with pytest.raises(ValueError, match=r"^a sweep of these settings would take about 100 s.*fewer factors"):
        engine.run({"split": small_split, "config": make_config(key, **settings)}, steps.append)
    assert steps == pytest.approx([0.01, 0.02, 0.03, 0.04])
    assert engine.MOST_SECONDS == 30


# Is what it suggests good? Measured by training, at the same seed.


@pytest.mark.parametrize(
    ("key", "kind", "settings"),
    [
        ("scratch", "random", {"embedding_size": 8}),
        ("scratch", "random", {"embedding_size": 50}),
        ("pytorch", "first10", {}),
        ("pytorch", "random", {"batch_size": 512, "epochs": 20}),
        ("fastai_dot", "random", {"batch_size": 1024, "epochs": 3}),
        ("fastai_nn", "random", {"batch_size": 256, "epochs": 3, "embedding_size": 20}),
        ("fastai_custom", "random", {"batch_size": 1024, "epochs": 2, "embedding_size": 20}),
    ],
)
def test_the_offered_rate_trains_better_than_a_tenth_and_ten_times_of_it(
    sample: Ratings, key: str, kind: str, settings: dict[str, Any]
) -> None:
    split = make_split(sample, SplitConfig.of(kind))
    config = make_config(key, **settings)
    found = find(split, config)
    rate = panel.to_use(describe(key).settings["learning_rate"], found["suggested"][found["offered"]])

    def losses(times: float) -> tuple[float, float]:
        last = approaches.train(split, config.with_settings(learning_rate=rate * times)).history[-1]
        return last.train_loss, last.valid_loss

    (low_train, _), (train, valid) = losses(0.1), losses(1.0)
    assert train < 0.9 * low_train
    if key != "fastai_custom":  # there fastai's valley is careful: ten times of it is still no worse
        high_train, high_valid = losses(10.0)
        assert high_train > train or high_valid > valid


@pytest.mark.parametrize("seed", [1, 42])
def test_the_dot_products_offer_does_not_overfit_as_fastais_valley_does(sample_split: Split, seed: int) -> None:
    """The article's settings: at fastai's choice its five epochs end as bad as user + movie bias."""
    config = make_config("fastai_dot", seed=seed)
    suggested = find(sample_split, config)["suggested"]

    def rmse(rate: float) -> float:
        return approaches.train(sample_split, config.with_settings(learning_rate=rate)).history[-1].valid_loss ** 0.5

    usual = rmse(config.learning_rate)
    assert rmse(suggested["restrained"]) < 1.07 * usual
    assert rmse(suggested["valley"]) > 1.07 * usual


def test_in_a_hundred_steps_of_the_dot_product_it_is_the_biases_that_learn(sample_split: Split) -> None:
    """Why it is restrained: the predictions come to differ by the biases far more than by the products of factors."""
    config = make_config("fastai_dot")
    rate = find(sample_split, config)["suggested"]["restrained"]
    with seeded(config.seed), threads(1):
        learn = engine.untrained(sample_split, config)
        learn.add_cb(StopAfter(engine.STEPS))
        with learn.no_bar(), learn.no_logging():
            learn.fit(1, rate)
    after = dict(learn.model.named_parameters())
    product = (after["u_weight.weight"] @ after["i_weight.weight"].T).std()
    assert product < 0.4 * (after["u_bias.weight"] + after["i_bias.weight"].T).std()


# The chart


def test_names_stand_apart_above_the_curve_and_lines_end_on_it() -> None:
    rates = np.geomspace(1e-3, 10, 80)
    smooth = 3 - 2 * np.exp(-((np.log(rates) - math.log(0.3)) ** 2))
    close = {"valley": 0.1, "steep": 0.1, "minimum": 0.101, "slide": 1e-9}
    spec = rate_spec(rates, smooth + 0.1, smooth, close, "valley", now=0.5)
    marks, curve = spec["datasets"]["marks"], spec["datasets"]["curve"]
    assert list(marks["kind"]).count("offered") == 1
    assert set(marks["text"]) == {"valley 0.1", "steep 0.1", "minimum 0.1", "now 0.5"}  # slide lies off the axis
    expected = np.interp(np.log(marks["x"]), np.log(rates), smooth)
    np.testing.assert_allclose(marks["loss"], expected)
    places = np.sort(marks["place"].to_numpy())
    assert places[0] > curve["line"].max()
    assert np.diff(places).min() > 0.9 * np.diff(places).max() > 0
    assert list(marks["place"]) == sorted(marks["place"], reverse=True)  # the leftmost highest
    assert "now" not in " ".join(
        rate_spec(rates, smooth, smooth, close, "valley", now=0.1)["datasets"]["marks"]["text"]
    )


def test_a_curve_that_explodes_is_cut_off_at_the_picture_and_says_so() -> None:
    rates = np.geomspace(1e-3, 10, 50)
    losses = np.array([*np.linspace(80, 1, 49), 1e12])
    spec = rate_spec(rates, losses, losses, {"minimum": 0.5}, "minimum", diverged=True)
    assert spec["datasets"]["curve"]["line"].max() < 150
    assert list(spec["datasets"]["ends"]["text"]) == ["diverges"]
    words = rate_alt(rates, losses, {"minimum": 0.5}, "minimum", diverged=True)
    assert "where it diverges" in words
    assert "minimum 0.5" in words


# The panel


def open_finder(**query: str) -> Any:
    app = open_page("pages/train.py", approach="scratch", embedding_size="8", split="first10", **query)
    return button(app, "Find a learning rate").click().run()


def test_find_a_rate_and_use_it(jobs: FakeJobs) -> None:
    app = open_finder()
    use = next(each for each in app.button if each.label.startswith("Use "))
    rate = float(use.label.removeprefix("Use "))
    assert "well before its lowest point" in texts(app)
    assert app.get("vega_lite_chart") or app.get("arrow_vega_lite_chart")
    use.click().run()
    assert app.number_input(key=now(app, "set:scratch:learning_rate")).value == rate
    assert float(param(app, "learning_rate")) == rate
    assert button(app, f"{use.label.removeprefix('Use ')} is in use").disabled
    button(app, "Close").click().run()
    assert not button(app, "Find a learning rate").disabled


def test_that_many_factors_begin_too_high_is_said_where_they_do(jobs: FakeJobs) -> None:
    app = open_page("pages/train.py", approach="scratch", embedding_size="50", split="first10")
    button(app, "Find a learning rate").click().run()
    assert "a quarter of the number of factors on average, 12.5 here and above any rating" in texts(app)


def test_what_was_found_stays_for_the_visit_though_the_queue_has_forgotten_it(
    jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_finder()
    assert "quarter of the number of factors" not in texts(app), "8 factors begin at 2, within the stars"
    asked = []
    monkeypatch.setattr(jobs, "compute", lambda *args, **options: asked.append(args) or Task("anew"))
    app.run()
    button(app, "Close").click().run()
    button(app, "Find a learning rate").click().run()
    assert any(each.label.startswith("Use ") for each in app.button)
    assert asked == []


def test_other_settings_ask_for_another_sweep_but_not_the_rate_or_the_epochs(jobs: FakeJobs) -> None:
    app = open_finder()
    app.number_input(key=now(app, "set:scratch:epochs")).set_value(7).run()
    app.number_input(key=now(app, "set:scratch:learning_rate")).set_value(0.7).run()
    assert "The settings have changed since" not in texts(app)
    app.number_input(key=now(app, "set:scratch:embedding_size")).set_value(4).run()
    assert "The settings have changed since" in texts(app)
    button(app, "Find again").click().run()
    assert any(each.label.startswith("Use ") for each in app.button)


def test_a_sweep_that_waits_says_for_what_and_one_that_failed_can_be_tried_again(
    jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, asked = Task("sweep"), []

    def compute(kind: str, key: str, inputs: dict[str, Any], *, again: bool = False, owner: str = "") -> Task:
        asked.append((kind, again))
        return task

    monkeypatch.setattr(jobs, "compute", compute)
    app = open_finder()
    assert app.get("progress")[0].proto.text == "Waiting for a worker"
    task.advance(0.4)
    app.run()
    assert app.get("progress")[0].proto.text == "Sweeping the learning rate"
    assert app.get("progress")[0].proto.value == 40
    task.end("failed", "the worker was lost")
    app.run()
    assert "The worker was lost." in texts(app)
    button(app, "Try again").click().run()
    assert asked[-2:] == [("rate_finder", True), ("rate_finder", False)]


def test_a_suggestion_is_used_with_two_figures_and_within_the_limits() -> None:
    setting = describe("fastai_dot").settings["learning_rate"]
    assert panel.to_use(setting, 0.033113) == 0.033
    assert panel.to_use(setting, 1e-9) == setting.minimum
    assert panel.to_use(setting, 9.9) == setting.maximum


def test_what_changes_nothing_in_a_sweep_is_not_in_its_key() -> None:
    def key(**settings: Any) -> str:
        config = make_config("scratch", **settings)
        return panel.key_of(RunRequest(dataset="sample", split=SplitConfig.of("random"), config=config))

    assert key(learning_rate=3.0, epochs=9, lookup="onehot") == key()
    assert key(seed=1) != key()
    assert key(embedding_size=4) != key()


def test_the_epochs_ask_anew_where_the_offer_depends_on_them() -> None:
    def key(approach: str, epochs: int) -> str:
        config = make_config(approach, epochs=epochs)
        return panel.key_of(RunRequest(dataset="sample", split=SplitConfig.of("random"), config=config))

    assert key("fastai_dot", 5) != key("fastai_dot", 15)
    assert key("fastai_nn", 5) == key("fastai_nn", 15)


def test_a_run_of_more_steps_is_offered_a_lower_rate(small_split: Split) -> None:
    config = make_config("fastai_dot", batch_size=16, epochs=1)
    few, many = (find(small_split, config.with_settings(epochs=epochs)) for epochs in (1, 90))
    np.testing.assert_array_equal(few["raw"], many["raw"])
    assert few["suggested"]["restrained"] == few["suggested"]["valley"]
    steps = 90 * math.ceil(len(small_split.train) / 16)
    assert many["suggested"]["restrained"] == pytest.approx(many["suggested"]["valley"] / (steps / 100) ** 0.6)
