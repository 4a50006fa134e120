"""Lessons 4 to 6 on the page: what they say against the computation done again, and what they start and open."""

from __future__ import annotations

import math
import re
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from cfcore.approaches import describe, make_config, train
from cfcore.aside import Task
from cfcore.config import RunRequest, SplitConfig
from cfcore.embeddings import recovery, truth_of
from cfcore.lessons import ladder, same_step, squeeze
from cfcore.lessons.levels import PLACES
from cfcore.outcome import outcome_of
from cfcore.ratings import Ratings, Split, make_split
from cfcore.runs import Run
from cfcore.ui.learn.levels_squeeze import some
from cfcore.ui.learn.levels_steps import NAMES
from cfcore.ui.words import cell
from tests.pages_support import ROOT, FakeJobs, button, param, reread, texts, trained
from tests.test_learn_page import open_lesson, with_upload

RANDOM = SplitConfig.of("random")


def numbers(text: str) -> list[float]:
    """The numbers in a sentence, as they are written there."""
    return [float(each.replace("−", "-")) for each in re.findall(r"(?<![\w.])[-−]?\d+(?:\.\d+)?(?:e-\d+)?", text)]


def table(app: AppTest, column: str) -> Any:
    """The table that has this column."""
    return next(each.value for each in app.dataframe if column in each.value.columns)


def aha(app: AppTest, start: str) -> str:
    return next(each.value for each in app.success if each.value.startswith(start))


# From lists to fastai


@pytest.mark.usefixtures("jobs")
def test_two_levels_stand_beside_each_other_with_their_marks() -> None:
    app = open_lesson("levels")
    lines = table(app, "From scratch")
    assert list(lines["From scratch"])[4:6] == [where("scratch.py", "loss.backward()"), where("scratch.py", "w -= lr")]
    assert len({*lines["fastai, dot product"]}) == 2
    counts = [n_marked(key) for key in ("scratch", "fastai_dot")]
    assert f"stand on {counts[0]} lines of From scratch and on {counts[1]} of fastai, dot product." in texts(app)
    next(each for each in app.selectbox if each.label == "Beside it").set_value("pytorch").run()
    assert list(app.dataframe[0].value["PyTorch"])[5] == where("pytorch.py", "optimizer.step()")
    assert any("self.user = nn.Embedding(n_users, embedding_size)" in code.value for code in app.code)
    next(each for each in app.selectbox if each.label == "Beside it").set_value("scratch").run()
    assert not app.exception
    assert len(app.dataframe[0].value.columns) == 3


@pytest.mark.usefixtures("jobs")
def test_a_level_that_the_page_changes_gets_a_new_box_which_no_late_choice_can_undo() -> None:
    app = open_lesson("levels")
    app.session_state["learn"][("levels", "sample")]["right"] = "pytorch"
    app.run()
    box = next(each for each in app.selectbox if each.label == "Beside it")
    assert (box.value, box.key) == ("pytorch", "learn:levels:right~1")
    assert "PyTorch" in app.dataframe[0].value.columns


def n_marked(key: str) -> int:
    """The lines of a level's files that hold the piece of a mark, found by reading the files."""
    return sum(
        any(piece in line for piece, _ in PLACES.get(source.stem, ()))
        for source in describe(key).sources
        for line in source.read_text().splitlines()
    )


def where(name: str, piece: str) -> str:
    """A line as the table writes it, found by reading the file."""
    text = (ROOT / "cfcore" / "approaches" / name).read_text().splitlines()
    at = next(number for number, line in enumerate(text, start=1) if piece in line)
    return f"{name} {at}: {text[at - 1].strip().split('  #')[0]}"


@pytest.mark.usefixtures("jobs")
def test_the_steps_on_the_page_are_those_of_the_worker(sample: Ratings) -> None:
    app = open_lesson("levels")
    button(app, "Take the steps").click().run()
    config = make_config("fastai_dot", scale=sample.scale)
    result = same_step.run({"split": make_split(sample, RANDOM), "config": config})
    shown = table(app, "First difference").set_index("Against fastai's plain step")
    for way, values in zip(result["ways"], result["difference"], strict=True):
        row = shown.loc[cell(NAMES[way])]  # a plus would be a formula in the file of the table
        for step in (1, 2, 6, 12):
            text = row[f"Step {step}"]
            exact = float(values[step - 1])
            assert text == "0 exactly" if exact == 0 else numbers(text) == [pytest.approx(exact, rel=0.06)]
        first = next((f"at step {k}" for k, value in enumerate(values, start=1) if value), "none, equal to the bit")
        assert row["First difference"] == first
    worst = max(result["difference"][result["ways"].index(way)].max() for way in ("scratch", "embedding"))
    said = numbers(aha(app, "In 12 steps").replace("500,000", "500000"))
    assert said[:3] == [12, pytest.approx(result["moved"][-1], rel=0.05), pytest.approx(worst, rel=0.05)]
    assert said[3] == pytest.approx(result["moved"][-1] / worst, rel=0.5)


@pytest.mark.usefixtures("jobs")
def test_squeeze_says_what_both_losses_learned(sample: Ratings) -> None:
    app = open_lesson("levels")
    shown = table(app, "(n, n) without").set_index("One difference of n ratings")["(n, n) without"]
    n_train = len(make_split(sample, RANDOM).train)
    assert shown.iloc[0] == f"{4 * n_train**2 / 1e9:.3g} GB"
    assert list(shown.iloc[1:]) == ["22.5 GB", "40 GB"]
    button(app, "Train it both ways").click().run()
    few = some(sample, 200)
    result = squeeze.run(few)
    said = numbers(aha(app, "Without squeeze"))
    truth = few["ratings"].astype(float)
    spreads = [result[f"{way}_predictions"].std() for way in ("broadcast", "right")]
    expected = [result["broadcast_loss"][-1], spreads[0], truth.mean(), spreads[1], truth.std()]
    assert said == [pytest.approx(value, abs=0.006) for value in expected]
    assert f"variance of the ratings, {truth.var():.3f} here" in texts(app)


def test_a_failed_computation_can_be_tried_again(jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    compute = jobs.compute

    def fail(kind: str, key: str, inputs: dict[str, Any], **how: Any) -> Task:
        task = Task(key)
        task.end("failed", "the worker is ill")
        return task

    monkeypatch.setattr(jobs, "compute", fail)
    app = open_lesson("levels")
    button(app, "Train it both ways").click().run()
    assert "The worker is ill." in texts(app)
    monkeypatch.setattr(jobs, "compute", compute)
    button(app, "Try again").click().run()
    assert aha(app, "Without squeeze")


@pytest.mark.usefixtures("jobs")
def test_a_teacher_can_hide_each_part_of_lesson_four() -> None:
    app = open_lesson("levels", hide="files,hands,same-step,squeeze")
    assert not app.selectbox
    assert not app.dataframe
    assert [each.label for each in app.button if "steps" in each.label or "both" in each.label] == []


# The ladder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Larger batches and two epochs: the page's numbers are what is looked at here."""
    monkeypatch.setattr(ladder, "_STEPS", 20)
    monkeypatch.setattr(ladder, "_ALL", {**ladder._ALL, "epochs": 2, "embedding_size": 4, "learning_rate": 0.05})


def finish(jobs: FakeJobs, run: Run, split: Split) -> Run:
    """Really train a queued run, as the worker would."""
    done = train(split, run.request.config)
    jobs.store.start(
        run.id,
        split_how=split.how,
        n_train=len(split.train),
        n_valid=len(split.valid),
        baseline_mean_mse=done.metrics.baseline_mean_rmse**2,
        baseline_bias_mse=done.metrics.baseline_bias_rmse**2,
    )
    assert jobs.store.finish(run.id, outcome_of(done, split.valid))
    return reread(jobs, run)


@pytest.mark.usefixtures("quick")
def test_one_click_queues_four_named_runs_of_one_group_and_their_numbers_arrive(
    jobs: FakeJobs, sample: Ratings
) -> None:
    app = open_lesson("ladder")
    button(app, "Climb the ladder").click().run()
    runs = list(jobs.store.list())[::-1]
    assert [run.name for run in runs] == ["Dot product", "+ range", "+ bias", "+ weight decay"]
    assert len({run.group for run in runs}) == 1
    assert runs[0].group
    assert button(app, "Climb it again").disabled
    assert list(table(app, "Rung")["State"])[:4] == ["waiting"] * 4

    split = make_split(sample, RANDOM)
    runs = [finish(jobs, run, split) for run in runs]
    app.run()
    truth = sample.rating[split.valid].astype(float)
    arrays = [jobs.store.arrays(run.id) for run in runs]
    rmse = [math.sqrt(np.mean((each["valid_predictions"] - truth) ** 2)) for each in arrays]
    shown = table(app, "Rung")
    assert [float(text) for text in shown["RMSE"][:4]] == [pytest.approx(value, abs=6e-4) for value in rmse]
    for at in (1, 2, 3):
        text = shown["Against the rung before"][at]
        above, here = (float(shown["RMSE"][row]) for row in (at - 1, at))
        assert float(text.split()[0]) == pytest.approx(abs(here - above), abs=1e-9)
        assert text.endswith("lower" if rmse[at] < rmse[at - 1] else "higher")
    gains = -np.diff(rmse)
    said = aha(app, "From the bare dot product")
    assert numbers(said)[:3] == [pytest.approx(value, abs=6e-4) for value in (rmse[0], rmse[3], gains.max())]
    assert f"largest step is {['range', 'bias', 'weight decay'][int(gains.argmax())]}" in said
    start = next(each.value for each in app.caption if "Without range and bias" in each.value)
    losses = [epoch.valid_loss for epoch in runs[0].history]
    of_mean = np.mean((sample.rating[split.train].mean(dtype=float) - truth) ** 2)
    behind = next((n for n, loss in enumerate(losses) if loss <= of_mean), len(losses))
    expected = [sample.rating.mean(dtype=float), math.sqrt(losses[0]), behind]
    assert numbers(start.split("begins near 0,")[1])[:3] == [pytest.approx(each, abs=6e-3) for each in expected]
    assert_what_the_biases_hold(app, arrays[3], split)


def assert_what_the_biases_hold(app: AppTest, arrays: dict[str, np.ndarray], split: Split) -> None:
    users, movies, stars = split.part(split.train)
    n = np.bincount(movies, minlength=split.ratings.n_items)
    seen = n > 0
    mean = np.bincount(movies, stars, minlength=len(n))[seen] / n[seen]
    bias = arrays["item_bias"][seen]
    expected = [np.corrcoef(bias, mean)[0, 1], np.corrcoef(bias, np.log10(n[seen]))[0, 1]]
    text = next(each.value for each in app.markdown if "correlation of a film's bias" in each.value)
    assert [float(r.replace("−", "-")) for r in re.findall(r"r = ([−\d.]+\d)", text)] == [
        pytest.approx(r, abs=0.006) for r in expected
    ]
    enough = np.flatnonzero(seen)[n[seen] >= 20]
    highest = enough[np.argmax(arrays["item_bias"][enough])]
    assert table(app, "Highest bias")["Highest bias"][0] == split.ratings.items.title[highest]

    valid_users, valid_movies, truth = split.part(split.valid)
    P, Q = arrays["model_user_factors"].astype(float), arrays["model_item_factors"].astype(float)
    score = arrays["model_user_bias"][valid_users] + arrays["model_item_bias"][valid_movies].astype(float)
    whole = score + (P[valid_users] * Q[valid_movies]).sum(axis=1)
    p, q = P[users].mean(axis=0), Q[movies].mean(axis=0)
    taste = ((P[valid_users] - p) * (Q[valid_movies] - q)).sum(axis=1)

    def rmse(logits: np.ndarray) -> float:
        return math.sqrt(np.mean((1 + 4 / (1 + np.exp(-logits)) - truth) ** 2))

    means = math.sqrt(np.mean((stars.mean(dtype=float) - truth) ** 2))
    errors = [means, rmse(score), rmse(whole - taste), rmse(whole)]
    shown = app.table[-1].value
    assert [float(text) for text in shown["RMSE"]] == [pytest.approx(each, abs=6e-4) for each in errors]
    gained, adds = (means**2 - each**2 for each in (errors[3], errors[2]))
    assert 0 < adds < gained, "the sentence below is said of such a model only"
    share = 100 * adds / gained
    assert re.findall(r"([\d.]+)%", aha(app, "Of what the model gains")) == [f"{share:.1f}", f"{100 - share:.1f}"]


@pytest.mark.usefixtures("quick")
def test_a_ladder_with_a_broken_rung_says_so(jobs: FakeJobs, sample: Ratings) -> None:
    app = open_lesson("ladder")
    button(app, "Climb the ladder").click().run()
    split = make_split(sample, RANDOM)
    *failing, last = list(jobs.store.list())[::-1]
    for run in failing:
        jobs.store.fail(run.id, "The worker was lost.")
    finish(jobs, last, split)
    app.run()
    assert "Not every rung came to its end" in texts(app)
    assert list(table(app, "Rung")["RMSE"])[:3] == ["–"] * 3


# What the factors mean


def test_without_a_run_one_is_trained_right_here(jobs: FakeJobs, sample: Ratings) -> None:
    app = open_lesson("meaning")
    button(app, "Train it").click().run()
    (run,) = jobs.store.list()
    n_train = len(make_split(sample, RANDOM).train)
    assert run.request == ladder.requests("sample", RANDOM, n_train=n_train, scale=sample.scale)[-1]


@pytest.fixture
def learned_run(jobs: FakeJobs) -> Run:
    return trained(jobs, "fastai_dot", epochs=3, embedding_size=6, learning_rate=0.03, batch_size=512)


def of_this_visit(run: Run) -> AppTest:
    """Lesson 6 as the visitor sees it whose run this is."""
    app = open_lesson("step")
    app.session_state["visitor"] = run.visitor
    app.query_params["lesson"] = "meaning"
    app.session_state["lesson"] = "meaning"
    app.run()
    assert not app.exception
    return app


def test_the_findings_are_those_of_numpy(jobs: FakeJobs, learned_run: Run, sample: Ratings) -> None:
    text = texts(of_this_visit(learned_run))
    split = make_split(sample, RANDOM)
    counts = np.bincount(sample.item_idx[split.train], minlength=sample.n_items)
    factors = jobs.store.arrays(learned_run.id)["item_factors"].astype(float)
    seen = np.flatnonzero(np.isfinite(factors).all(axis=1))
    X, n = factors[seen], counts[seen]
    centred = X - X.mean(axis=0)
    _, s, Vt = np.linalg.svd(centred, full_matrices=False)
    assert f"it holds {s[0] ** 2 / (s**2).sum():.1%} of their variance" in text

    known = np.argsort(-n, kind="stable")
    best = known[0]
    cosine = X @ X[best] / np.linalg.norm(X, axis=1) / np.linalg.norm(X[best])
    near = [row for row in np.argsort(-cosine, kind="stable") if row != best and row in known[:300]][:5]
    said = re.search(r"by cosine: (.*)\.", text)
    assert said is not None
    assert [float(value) for value in re.findall(r"(?<!\\)\((-?[\d.]+)\)", said[1])] == [
        pytest.approx(cosine[row], abs=0.006) for row in near
    ]
    second = centred @ Vt[1]
    half = known[: max(100, len(seen) // 2)]
    apart = np.ptp(second[half]) / second.std()
    assert f"stand {apart:.1f} standard deviations apart" in text

    axes = centred @ Vt.T  # (m, k): signs are free, so r is compared without them
    assert_what_the_axes_follow(text, sample, seen, split, axes, half)

    truth = truth_of(sample, seen)
    r2 = recovery(X, truth.values, shuffles=2).r2
    assert f"{truth.names[int(r2.argmax())]} with R² = {r2.max():.2f}" in text


def assert_what_the_axes_follow(
    text: str, sample: Ratings, seen: np.ndarray, split: Split, axes: np.ndarray, half: np.ndarray
) -> None:
    """The sentences on PC1 and PC2, and the one to take away, from correlations by numpy."""
    _, movies, stars = split.part(split.train)
    n = np.bincount(movies, minlength=sample.n_items)
    mean = np.bincount(movies, stars, minlength=sample.n_items)[seen] / n[seen]
    genres = sample.items.genres[seen][half]
    known = {"year": sample.items.year[seen][half].astype(float)}
    known |= {name: has.astype(float) for name, has in zip(sample.items.genre_names, genres.T, strict=True)}
    known = {what: values for what, values in known.items() if what == "year" or 5 <= values.sum() <= len(half) - 5}
    told = {"mean rating": mean[half], "popularity": np.log10(n[seen][half])}
    r = {what: [np.corrcoef(axis, values)[0, 1] for axis in axes[half].T] for what, values in (known | told).items()}

    for at, name in enumerate(("PC1", "PC2")):
        found = re.search(rf"{name} (?:follows|runs against) (.*?), r = −?([\d.]+\d)", text)
        assert found is not None
        strongest = max(r, key=lambda what: abs(r[what][at]))
        assert (found[1], float(found[2])) == (strongest, pytest.approx(abs(r[strongest][at]), abs=0.006))

    z = NormalDist().inv_cdf(1 - 0.05 / (2 * len(known) * axes.shape[1]))
    limit = max(0.3, math.tanh(z / math.sqrt(len(half) - 3)))
    best = [max((abs(r[what][at]), what) for what in known) for at in range(axes.shape[1])]
    beyond = sum(value >= limit for value, _ in best)
    assert beyond, "nothing is claimed of this run"
    value, what = max(best)
    claim = next(line for line in text.splitlines() if "ratings alone" in line)
    assert f"From {len(split.train):,} ratings alone, {beyond} of {axes.shape[1]} axes go" in claim
    assert f"the strongest is {what} on PC{best.index((value, what)) + 1}, r = " in claim
    assert abs(numbers(claim)[-1]) == pytest.approx(value, abs=0.006)


def test_a_newer_run_from_train_is_read_rather_than_an_older_ladder(jobs: FakeJobs) -> None:
    older, newer = (
        trained(jobs, "fastai_dot", epochs=1, embedding_size=size, learning_rate=0.03, batch_size=2048)
        for size in (4, 5)
    )
    app = open_lesson("step")
    app.session_state["visitor"] = older.visitor
    app.session_state["learn"] = {("ladder", "sample"): {"ids": [older.id] * len(ladder.RUNGS)}}
    app.query_params["lesson"] = "meaning"
    app.session_state["lesson"] = "meaning"
    app.run()
    assert any("Read from" in each.value and "5 factors" in each.value for each in app.caption)
    assert newer.visitor == older.visitor


def test_each_finding_opens_just_that_in_explore(learned_run: Run) -> None:
    for label, tab in (("See every axis", "Axes"), ("See every taste", "True tastes"), ("See it on the map", "Map")):
        app = of_this_visit(learned_run)
        button(app, label).click().run()
        assert not app.exception
        assert [each.value for each in app.title] == ["Explore"]
        assert param(app, "run") == learned_run.id
        assert app.session_state["explore-tab"] == tab
    assert "film" in app.query_params


@pytest.mark.parametrize("name", ["levels", "ladder", "meaning"])
@pytest.mark.parametrize("scale", [(0.5, 5.0), (0.0, 100.0)])
@pytest.mark.usefixtures("jobs")
def test_the_lessons_take_an_upload_on_any_scale(name: str, scale: tuple[float, float]) -> None:
    app = with_upload(name, scale)
    for label in ("Take the steps", "Train it both ways", "Climb the ladder", "Train it"):
        for pressed in [each for each in app.button if each.label == label]:
            pressed.click().run()
            assert not app.exception
            assert "Something went wrong" not in texts(app)
    if name == "levels":
        assert len(app.success) == 2


def test_the_request_of_the_ladder_is_one_that_can_be_stored() -> None:
    for request in ladder.requests("sample", RANDOM, n_train=50, scale=(0.5, 5.0)):
        assert RunRequest.from_json(request.to_json()) == request
