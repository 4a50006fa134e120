"""Lessons 4 to 6 in numbers: every one is computed a second time here, by hand, by autograd, or in closed form."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from cfcore.approaches import describe, load, make_config
from cfcore.config import RunConfig, SplitConfig
from cfcore.lessons import ladder, levels, same_step, squeeze
from cfcore.models import DotModel
from cfcore.ratings import Ratings, Split, make_split
from cfcore.sweep import FIVE
from cfcore.ui.learn.levels import DOZEN
from cfcore.ui.learn.levels_squeeze import in_words, needed
from tests.conftest import make_ratings

# ---- the marks in the source files


@pytest.mark.parametrize("key", FIVE)
def test_every_level_has_a_line_for_every_mark(key: str) -> None:
    assert all(levels.places(describe(key).sources).values())


@pytest.mark.parametrize("key", FIVE)
def test_the_margin_leaves_the_file_as_it_is(key: str) -> None:
    for source in describe(key).sources:
        lines = source.read_text().splitlines()
        marked = {line.number: line for line in levels.marked(source)}
        for shown in levels.with_signs(source).splitlines():
            number = int(shown[:3])
            assert shown.endswith(lines[number - 1].rstrip())
            margin = shown[3 : len(shown) - len(lines[number - 1].rstrip())]
            assert ("(" in margin) == (number in marked)
        shown_numbers = {int(shown[:3]) for shown in levels.with_signs(source).splitlines()}
        assert set(marked) <= shown_numbers, "a mark would not be seen"


def test_a_mark_that_finds_no_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "scratch.py").write_text("nothing = 1\n")
    with pytest.raises(ValueError, match="mend its mark"):
        levels.marked(tmp_path / "scratch.py")


class Follow:
    """Runs something, and keeps what ``look`` sees in the frames of a file before each of its lines."""

    def __init__(self, source: Path, look: Callable[[FrameType], Any]) -> None:
        self.source, self.look = str(source), look
        self.seen: list[tuple[int, Any]] = []

    def run(self, call: Callable[[], Any]) -> list[tuple[int, Any]]:
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            call()
        finally:
            sys.settrace(before)
        return self.seen

    def _enter(self, frame: FrameType, event: str, arg: Any) -> Any:
        return self._line if frame.f_code.co_filename == self.source else None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        self.seen.append((frame.f_lineno if event == "line" else -frame.f_lineno, self.look(frame)))
        return self._line


def followed(key: str, split: Split, look: Callable[[FrameType], Any], **settings: Any) -> list[tuple[int, Any]]:
    config = make_config(key, **{"epochs": 2, "embedding_size": 3, **settings})
    nothing = [lambda _: None] * 3
    train = load(key).train
    return Follow(describe(key).source, look).run(lambda: train(split, config, *nothing))


def first_at(seen: list[tuple[int, Any]], numbers: list[int]) -> int:
    return next(at for at, (number, _) in enumerate(seen) if number in numbers)


def lines_of(key: str, mark: str) -> list[int]:
    source = describe(key).source
    return [line.number for line in levels.marked(source) if mark in line.marks]


@pytest.mark.parametrize("lookup", ["index", "onehot", "sparse", "matrix"])
def test_the_marked_lines_of_scratch_do_what_they_say(small_split: Split, lookup: str) -> None:
    def look(frame: FrameType) -> Any:
        U = frame.f_locals.get("U")
        if not isinstance(U, torch.Tensor):
            return None
        return U.detach().clone(), None if U.grad is None else U.grad.clone()

    seen = followed("scratch", small_split, look, lookup=lookup)
    assert_gradient_and_step("scratch", seen)
    at = {mark: first_at(seen, lines_of("scratch", mark)) for mark in levels.MARKS}
    assert at["weights"] < at["predict"] == at["lookup"] < at["gradient"] < at["step"] < at["validate"]


def test_the_marked_lines_of_pytorch_do_what_they_say(small_split: Split) -> None:
    def look(frame: FrameType) -> Any:
        model = frame.f_locals.get("model")
        if model is None:
            return None
        weight = model.user.weight
        return weight.detach().clone(), None if weight.grad is None else weight.grad.clone()

    seen = followed("pytorch", small_split, look, hidden_size=3)
    assert_gradient_and_step("pytorch", seen)
    order = [first_at(seen, lines_of("pytorch", mark)) for mark in levels.MARKS]
    assert order == sorted(order)


def assert_gradient_and_step(key: str, seen: list[tuple[int, Any]]) -> None:
    """In the first epoch the gradient appears over its line and nowhere else, and the weights change over theirs."""
    known = [(at, number, look) for at, (number, look) in enumerate(seen) if look is not None]
    pairs = list(itertools.pairwise(known))
    gradient = next(a[1] for a, b in pairs if a[2][1] is None and b[2][1] is not None)
    assert [gradient] == lines_of(key, "gradient")
    step = next(a[1] for a, b in pairs if a[2][0].shape == b[2][0].shape and not torch.equal(a[2][0], b[2][0]))
    assert [step] == lines_of(key, "step")


@pytest.mark.parametrize("key", ["fastai_custom", "fastai_nn", "fastai_dot"])
def test_the_marked_lines_of_fastai_build_and_fit(small_split: Split, key: str) -> None:
    def weights(frame: FrameType) -> Any:
        learn = frame.f_locals.get("learn") if frame.f_code.co_name in ("make_learner", "train") else None
        return None if learn is None else torch.cat([w.detach().flatten().clone() for w in learn.model.parameters()])

    seen = followed(key, small_split, weights, embedding_size=3, batch_size=64)
    built, fitted = lines_of(key, "loss"), lines_of(key, "step")
    pairs = list(itertools.pairwise(seen))
    assert [next(a[0] for a, b in pairs if a[1] is None and b[1] is not None)] == built
    known = [each for each in seen if each[1] is not None]
    assert [a[0] for a, b in itertools.pairwise(known) if not torch.equal(a[1], b[1])] == fitted


def test_what_the_table_of_hands_names_stands_in_the_marked_lines() -> None:
    def text(key: str) -> str:
        return "\n".join(line.text for source in describe(key).sources for line in levels.marked(source))

    names = {"torch.rand": "scratch", "nn.Embedding": "pytorch", "MSELossFlat": "fastai_custom"}
    for name, key in names.items():
        assert f"{name}(" in text(key)
        assert any(cell.split(",")[0] == name for row in levels.TAKEN.values() for cell in row)
    assert "loss = mse(" in text("pytorch")  # which is made before the first epoch
    assert "mse = nn.MSELoss()" in describe("pytorch").source.read_text()
    assert levels.TAKEN["loss"][1] == "nn.MSELoss"
    assert "loss.backward()" in text("scratch")
    assert "loss.backward()" in text("pytorch")


# ---- same weights, same step


@pytest.fixture(scope="module")
def stepping() -> dict[str, Any]:
    split = make_split(make_ratings(n_users=60, n_items=50, n=2000), SplitConfig.of("random", seed=1))
    config = make_config("fastai_dot")
    few = same_step.few(split)
    return {
        "split": split,
        "config": config,
        "few": few,
        "start": same_step.first_weights(few),
        "rate": same_step.gentle_rate(split.ratings.scale),
        "result": same_step.run({"split": split, "config": config}),
    }


def by_hand(few: Split, start: same_step.Weights, rate: float, steps: int, **how: Any) -> list[same_step.Weights]:
    """The weights after each step in float64, the gradients written out; ``y_range``, ``bias`` and ``rates``."""
    U, V = (weights.astype(np.float64) for weights in start)
    bu, bv = np.zeros(len(U)), np.zeros(len(V))
    low, high = how.get("y_range", (0.0, 1.0))
    rates = how.get("rates", [rate] * steps)
    after = []
    for rows, lr in zip(np.array_split(few.train, steps), rates, strict=True):
        u, m, r = few.part(rows)
        score = (U[u] * V[m]).sum(axis=1) + bu[u] + bv[m]
        squash = 1 / (1 + np.exp(-score))
        predicted = low + (high - low) * squash if "y_range" in how else score
        slope = 2 * (predicted - r) / len(r)
        if "y_range" in how:
            slope = slope * (high - low) * squash * (1 - squash)
        gU, gV, gbu, gbv = np.zeros_like(U), np.zeros_like(V), np.zeros_like(bu), np.zeros_like(bv)
        np.add.at(gU, u, slope[:, None] * V[m])
        np.add.at(gV, m, slope[:, None] * U[u])
        U, V = U - lr * gU, V - lr * gV
        if how.get("bias"):
            np.add.at(gbu, u, slope)
            np.add.at(gbv, m, slope)
            bu, bv = bu - lr * gbu, bv - lr * gbv
        after.append((U, V))
    return after


def greatest(one: same_step.Weights, other: same_step.Weights) -> float:
    return max(np.abs(a - b).max() for a, b in zip(one, other, strict=True))


def test_all_three_ways_take_the_step_that_the_formula_says(stepping: dict[str, Any]) -> None:
    few, start, rate = stepping["few"], stepping["start"], stepping["rate"]
    batches = same_step.batches_of(few, same_step.STEPS)
    expected = by_hand(few, start, rate, same_step.STEPS)
    plain, _ = same_step.fastai(few, stepping["config"], len(few.train) // same_step.STEPS, start, rate)
    ways = (same_step.scratch(batches, start, rate), same_step.embedding(batches, start, rate), plain)
    seen = (few.seen_users, few.seen_items)
    for way in ways:
        for got, want in zip(way, expected, strict=True):
            assert same_step.apart(got, want, seen) < 1e-6
    moved = greatest(expected[-1], start)
    assert stepping["result"]["moved"][-1] == pytest.approx(moved, rel=1e-4)
    assert moved > 1e-3, "they agree because nothing moves"


def test_by_hand_is_a_rounding_away_and_the_libraries_agree_to_the_bit(stepping: dict[str, Any]) -> None:
    difference = dict(zip(stepping["result"]["ways"], stepping["result"]["difference"], strict=True))
    largest = max(np.abs(weights).max() for weights in stepping["start"])
    spacing = np.spacing(np.float32(largest))
    steps = np.arange(1, same_step.STEPS + 1)
    for way in ("scratch", "one_rounding", "embedding"):
        assert (difference[way] <= 4 * spacing * steps).all()
    if torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"):  # which have a fused multiply-add
        assert not difference["embedding"].any()
        assert not difference["one_rounding"].any()
        assert difference["scratch"].any()


@pytest.mark.parametrize("way", ["bias", "sigmoid", "one_cycle"])
def test_each_switch_parts_by_what_its_formula_says(stepping: dict[str, Any], way: str) -> None:
    few, start, rate, config = (stepping[name] for name in ("few", "start", "rate", "config"))
    steps = same_step.STEPS
    how: dict[str, Any] = {
        "bias": {"bias": True},
        "sigmoid": {"y_range": config.y_range},
        "one_cycle": {"rates": one_cycle(rate, steps)},
    }[way]
    plain, other = by_hand(few, start, rate, steps), by_hand(few, start, rate, steps, **how)
    expected = [greatest(a, b) for a, b in zip(other, plain, strict=True)]
    result = stepping["result"]
    got = result["difference"][result["ways"].index(way)]
    np.testing.assert_allclose(got, expected, rtol=2e-2, atol=1e-6)
    assert got[-1] > 1e-4


def one_cycle(rate: float, steps: int) -> list[float]:
    """fastai's defaults: from rate/25 up over the first quarter, then down to rate/1e5, along two half cosines."""

    def between(start: float, end: float, share: float) -> float:
        return start + (1 + math.cos(math.pi * (1 - share))) * (end - start) / 2

    shares = [step / steps for step in range(steps)]
    return [
        between(rate / 25, rate, share / 0.25) if share < 0.25 else between(rate, rate / 1e5, (share - 0.25) / 0.75)
        for share in shares
    ]


def test_one_cycle_has_the_rates_of_its_formula(stepping: dict[str, Any]) -> None:
    np.testing.assert_allclose(stepping["result"]["rates"], one_cycle(stepping["rate"], same_step.STEPS), rtol=1e-6)


def test_with_biases_the_first_step_is_the_same_to_the_bit(stepping: dict[str, Any]) -> None:
    bias = stepping["result"]["difference"][stepping["result"]["ways"].index("bias")]
    assert bias[0] == 0
    assert bias[1] > 0


def test_the_first_step_of_adam_has_the_length_of_the_rate(stepping: dict[str, Any]) -> None:
    few, start, rate = stepping["few"], stepping["start"], stepping["rate"]
    (first, *_), _ = same_step.fastai(
        few, stepping["config"], len(few.train) // same_step.STEPS, start, rate, **same_step.SWITCHES["adam"]
    )
    plain = by_hand(few, start, rate, same_step.STEPS)[0]
    for got, was, stepped in zip(first, start, plain, strict=True):
        gradient = (was - stepped) / rate
        touched = np.abs(gradient) > 1e-3  # fastai's eps is 1e-5
        np.testing.assert_allclose((was - got)[touched], rate * np.sign(gradient[touched]), rtol=0.02)


@pytest.mark.parametrize(("n", "scale"), [(40, (1.0, 5.0)), (300, (0.0, 100.0)), (60, (-10.0, 10.0))])
def test_small_and_differently_scaled_data_step_without_exploding(n: int, scale: tuple[float, float]) -> None:
    ratings = make_ratings(n=n, scale=scale)
    low, high = scale
    stretched = (ratings.rating - ratings.rating.min()) / np.ptp(ratings.rating) * (high - low) + low
    ratings = replace(ratings, rating=stretched.astype(np.float32))
    config = make_config("fastai_dot", scale=scale)
    result = same_step.run({"split": make_split(ratings, SplitConfig.of("random")), "config": config})
    assert np.isfinite(result["difference"]).all()
    assert np.isfinite(result["rates"]).all()
    assert result["difference"][0].max() < 1e-5 * max(result["moved"].max(), 1)


# ---- the 40 GB mystery


@pytest.fixture(scope="module")
def few_ratings() -> dict[str, np.ndarray]:
    ratings = make_ratings(n_users=40, n_items=30, n=150)
    return {"users": ratings.user_idx, "movies": ratings.item_idx, "ratings": ratings.rating}


@pytest.fixture(scope="module")
def squeezed(few_ratings: dict[str, np.ndarray]) -> dict[str, Any]:
    return squeeze.run(few_ratings)


def test_the_bytes_are_those_of_real_tensors_and_of_the_article() -> None:
    for n in (1, 7, 50):
        predictions, ratings = torch.zeros(n, 1), torch.zeros(n)
        assert needed(n)[0] == squeeze.difference(predictions, ratings, squeezed=True).nbytes
        assert needed(n)[1] == squeeze.difference(predictions, ratings, squeezed=False).nbytes
    assert needed(75_000)[1] == 22_500_000_000
    assert in_words(needed(75_000)[1]) == "22.5 GB"
    assert in_words(needed(100_000)[1]) == "40 GB"
    assert in_words(needed(75_000)[0]) == "300 kB"


def test_the_shapes_are_n_and_n_by_n(squeezed: dict[str, Any]) -> None:
    assert squeezed["right_shape"] == [150]
    assert squeezed["broadcast_shape"] == [150, 150]


def test_both_start_from_the_same_weights_and_both_losses_are_what_numpy_says(
    squeezed: dict[str, Any], few_ratings: dict[str, np.ndarray]
) -> None:
    truth = few_ratings["ratings"].astype(np.float64)
    model = squeeze.network(40, 30)
    with torch.no_grad():
        users, movies = (torch.as_tensor(few_ratings[name], dtype=torch.int64) for name in ("users", "movies"))
        first = model(users, movies)[:, 0].numpy().astype(np.float64)
    assert squeezed["right_loss"][0] == pytest.approx(np.square(first - truth).mean(), rel=1e-5)
    closed = (first.mean() - truth.mean()) ** 2 + first.var() + truth.var()
    assert squeezed["broadcast_loss"][0] == pytest.approx(closed, rel=1e-5)
    right, broadcast = squeezed["right_predictions"], squeezed["broadcast_predictions"]
    assert squeezed["right_loss"][-1] == pytest.approx(np.square(right - truth).mean(), rel=1e-5)
    table = np.square(broadcast[:, None].astype(np.float64) - truth[None, :]).mean()
    assert squeezed["broadcast_loss"][-1] == pytest.approx(table, rel=1e-5)


def test_the_broadcast_loss_is_two_variances_and_the_distance_of_the_means(
    squeezed: dict[str, Any], few_ratings: dict[str, np.ndarray]
) -> None:
    truth = few_ratings["ratings"].astype(np.float64)
    last = squeezed["broadcast_predictions"].astype(np.float64)
    closed = (last.mean() - truth.mean()) ** 2 + last.var() + truth.var()
    assert squeezed["broadcast_loss"][-1] == pytest.approx(closed, rel=1e-5)


def test_its_gradient_vanishes_at_the_mean_and_only_there() -> None:
    ratings = torch.tensor([1.0, 2.0, 4.0, 5.0], dtype=torch.float64)
    for start, still in ((torch.full((4, 1), 3.0), True), (ratings[:, None].clone(), False)):
        predictions = start.double().requires_grad_()
        squeeze.difference(predictions, ratings, squeezed=False).square().mean().backward()
        assert predictions.grad is not None
        expected = 2 * (predictions.detach() - ratings.mean()) / 4
        torch.testing.assert_close(predictions.grad, expected)
        assert bool((predictions.grad == 0).all()) == still


def test_without_squeeze_only_the_mean_is_learned(squeezed: dict[str, Any], few_ratings: dict[str, np.ndarray]) -> None:
    truth = few_ratings["ratings"]
    right, broadcast = squeezed["right_predictions"], squeezed["broadcast_predictions"]
    assert broadcast.std() < 0.2 * truth.std() < 0.7 * truth.std() < right.std()
    assert broadcast.mean() == pytest.approx(truth.mean(), abs=0.15)
    assert squeezed["broadcast_loss"][-1] == pytest.approx(truth.var(), rel=0.05)
    assert squeezed["right_loss"][-1] < 0.1 * truth.var()


def test_the_scale_of_the_ratings_changes_nothing_but_the_unit(
    squeezed: dict[str, Any], few_ratings: dict[str, np.ndarray]
) -> None:
    wide = squeeze.run({**few_ratings, "ratings": few_ratings["ratings"] * 20})
    np.testing.assert_allclose(wide["broadcast_predictions"], 20 * squeezed["broadcast_predictions"], rtol=1e-3)
    np.testing.assert_allclose(wide["right_loss"], 400 * squeezed["right_loss"], rtol=1e-2, atol=0.1)


def test_a_training_beside_it_does_not_notice(
    few_ratings: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)  # a thread born meanwhile would keep the number
    before = torch.random.get_rng_state()
    squeeze.run({name: values[:20] for name, values in few_ratings.items()})
    assert torch.equal(before, torch.random.get_rng_state())
    assert not asked


def test_the_network_begins_as_pytorch_would_begin_it() -> None:
    ours = squeeze.network(4000, 4000)
    torch_own = type(ours)(4000, 4000, squeeze.EMBEDDING, squeeze.HIDDEN)
    for (name, mine), theirs in zip(ours.named_parameters(), torch_own.parameters(), strict=True):
        if mine.numel() >= 1000:
            assert mine.std().item() == pytest.approx(theirs.std().item(), rel=0.1), name
        assert mine.abs().max() < 1.3 * theirs.abs().max() + 0.1, name


# ---- the ladder


def test_the_rungs_differ_in_one_thing_each_and_share_the_rest() -> None:
    asked = ladder.requests("sample", SplitConfig.of("random"), n_train=27_348, scale=(1.0, 5.0), seed=7)
    assert len({(request.dataset, request.split) for request in asked}) == 1
    changed = [
        {name for name in RunConfig.__dataclass_fields__ if getattr(a.config, name) != getattr(b.config, name)}
        for a, b in itertools.pairwise(asked)
    ]
    assert changed == [{"sigmoid"}, {"bias"}, {"weight_decay"}]
    first, last = asked[0].config, asked[-1].config
    assert (first.bias, first.sigmoid, first.weight_decay) == ("none", "no", 0.0)
    assert (last.bias, last.sigmoid) == ("learned", "yes")
    assert last.weight_decay > 0
    assert all(request.config.seed == 7 for request in asked)


@pytest.mark.parametrize("n_train", [3, 200, 27_348, 80_000, 25_000_000])
def test_an_epoch_has_about_as_many_steps_on_any_data(n_train: int) -> None:
    (request, *_) = ladder.requests("sample", SplitConfig.of("random"), n_train=n_train, scale=(1.0, 5.0))
    steps = n_train / request.config.batch_size
    assert 16 <= request.config.batch_size <= 65_536
    assert n_train < 3000 or n_train > 10_000_000 or 100 < steps < 250


def test_the_parts_of_a_model_are_those_of_a_loop_over_the_ratings(small_split: Split) -> None:
    random = np.random.default_rng(3)
    U, V = random.normal(0.5, 1, (30, 3)).astype(np.float32), random.normal(-0.2, 1, (20, 3)).astype(np.float32)
    bu, bv = random.normal(size=30).astype(np.float32), random.normal(size=20).astype(np.float32)
    model = DotModel(user_factors=U, item_factors=V, user_bias=bu, item_bias=bv, y_range=(1.0, 5.0))
    parts = ladder.parts_of(model, small_split)
    r = small_split.ratings
    train = [(int(r.user_idx[n]), int(r.item_idx[n])) for n in small_split.train]
    sums = {"mean": 0.0, "biases": 0.0, "adding": 0.0, "all": 0.0}
    p = sum(U[u].astype(float) for u, _ in train) / len(train)
    q = sum(V[m].astype(float) for _, m in train) / len(train)
    for n in small_split.valid:
        u, m, truth = r.user_idx[n], r.item_idx[n], float(r.rating[n])
        taste = float((U[u] - p) @ (V[m] - q))
        whole = float(bu[u]) + float(bv[m]) + float(U[u].astype(float) @ V[m])
        for name, score in (("biases", float(bu[u] + bv[m])), ("adding", whole - taste), ("all", whole)):
            sums[name] += (1 + 4 / (1 + math.exp(-score)) - truth) ** 2
        sums["mean"] += (float(r.rating[small_split.train].mean()) - truth) ** 2
    for name, total in sums.items():
        assert getattr(parts, name) == pytest.approx(math.sqrt(total / len(small_split.valid)), rel=1e-5), name
    gained = sums["mean"] - sums["all"]
    if gained > 0:
        assert parts.share == pytest.approx((sums["mean"] - sums["adding"]) / gained, rel=1e-4)
    else:
        assert parts.share is None


def test_a_model_without_biases_has_no_such_parts(small_split: Split) -> None:
    bare = DotModel(user_factors=np.zeros((30, 2)), item_factors=np.zeros((20, 2)))
    with pytest.raises(ValueError, match="no biases"):
        ladder.parts_of(bare, small_split)


def test_the_few_lines_of_fastai_run_as_they_stand(
    sample: Ratings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.arange(5_000)
    users, movies, stars = sample.user_idx[rows], sample.item_idx[rows], sample.rating[rows]
    pd.DataFrame([users, movies, stars, rows]).T.to_csv(tmp_path / "u.data", sep="\t", header=False, index=False)
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(DOZEN, found)
    assert len(found["dls"].train_ds) == 4_000
    untrained = np.mean((stars - 3) ** 2)  # every score 0 is the middle of 1 to 5
    assert found["learn"].validate()[0] < untrained
    assert 5 <= len(DOZEN.strip().splitlines()) <= 12
