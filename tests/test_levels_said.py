"""What lessons 4 to 6 say of runs that went another way: no gain, no error where there is none to speak of."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cfcore.charts.levels import apart_chart
from cfcore.embeddings import Facts, describe_axes
from cfcore.embeddings.axes import correlation
from cfcore.lessons.ladder import RUNGS, Parts
from cfcore.ui.learn import ladder, ladder_bias, meaning
from cfcore.ui.learn.levels_steps import NAMES, reasons


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the lessons write from now on, in the order in which they write it."""
    texts: list[str] = []
    for module in (ladder, ladder_bias, meaning):
        monkeypatch.setattr(module, "aha", texts.append)
        for name in ("markdown", "info", "caption"):
            monkeypatch.setattr(module.st, name, lambda text, **how: texts.append(text))
    return texts


def rungs(*losses: float, baseline: float = 1.0) -> list[Any]:
    history = [SimpleNamespace(valid_loss=loss) for loss in losses]
    return [SimpleNamespace(name=rung.name, history=history, baseline=baseline) for rung in RUNGS]


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([0.9, 0.95, 0.97, 1.0], "no rung brought anything"),
        ([0.9, 0.9, 0.9, 0.9], "no rung brought anything"),
        ([1.2, 1.0, 0.95, 0.97], "the largest step is range, 0.200. Here + weight decay made it worse."),
    ],
)
def test_a_worsening_is_never_praised(
    errors: list[float], expected: str, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "errors", lambda runs: errors)
    monkeypatch.setattr(ladder, "baselines_of", lambda runs: {})
    ladder._say(rungs())
    assert len(said) == 1
    assert expected in said[0]
    assert f"from {errors[0]:.3f} to {errors[-1]:.3f}" in said[0]
    assert ("largest step" in said[0]) == (max(-np.diff(errors)) > 0)


@pytest.mark.parametrize("seed", range(5))
def test_the_sentence_and_the_table_agree_to_the_last_digit(
    seed: int, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = (0.95 - np.random.default_rng(seed).uniform(0.001, 0.02, 4).cumsum()).tolist()
    monkeypatch.setattr(ladder, "errors", lambda runs: errors)
    monkeypatch.setattr(ladder, "baselines_of", lambda runs: {})
    ladder._say(rungs())
    changes = [ladder.change(*pair).split()[0] for pair in pairwise(errors)]
    assert f", {max(changes)}." in said[0]


def test_a_run_that_was_renamed_changes_no_sentence(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "errors", lambda runs: [1.2, 1.0, 1.1, 0.97])
    monkeypatch.setattr(ladder, "baselines_of", lambda runs: {})
    named: list[Any] = [SimpleNamespace(**{**vars(run), "name": "[click](http://evil.example) $x$"}) for run in rungs()]
    ladder._say(named)
    assert "click" not in said[0]
    assert "the largest step is range" in said[0]
    assert "Here + bias made it worse." in said[0]


def test_worse_than_the_mean_is_said_as_well(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "errors", lambda runs: [5.98, 5.97, 5.96, 5.93])
    monkeypatch.setattr(ladder, "baselines_of", lambda runs: {"user + movie bias": 30.0, "global mean": 34.94})
    ladder._say(rungs())
    assert "No rung beats user + movie bias" in said[0]
    assert "No rung beats the global mean, the same guess for everybody (5.911)." in said[0]


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        ([0.9, 0.9, 0.9, 0.9], ""),
        ([1.2, 0.95, 0.9, 0.9], " Dot product and + range did not beat user + movie bias, which has no factor at all"),
        ([1.2, 1.0, 0.95, 0.97], " No rung beats user + movie bias, which has no factor at all (0.949)."),
    ],
)
def test_what_the_baseline_does_better_is_said(
    errors: list[float], words: str, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "errors", lambda runs: errors)
    monkeypatch.setattr(ladder, "baselines_of", lambda runs: {"user + movie bias": 0.9})
    ladder._say(rungs())
    assert words in said[0]
    assert ("which has no factor" in said[0]) == bool(words)


@pytest.mark.parametrize(
    ("losses", "mean", "words"),
    [
        ((9.0, 4.0, 0.9), 3.5, "one epoch the bare dot product is 3.000 off, and for 2 epochs worse than"),
        ((9.0, 0.9), 3.5, "for 1 epoch worse"),
        ((0.9, 0.8), 3.5, ""),  # it learned at once
        ((9.0, 4.0), 0.1, ""),  # the scale is around 0, where it begins
    ],
)
def test_a_head_start_is_only_spoken_of_where_there_is_one(
    losses: tuple[float, ...], mean: float, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "baselines_of", lambda runs: {"global mean": runs[0].baseline})
    text = ladder.slow_start(rungs(*losses), mean)
    assert words in text
    assert bool(text) == bool(words)
    if text:
        assert f"the mean rating is {mean:.2f}" in text


@pytest.mark.parametrize(
    ("with_mean", "with_fame", "words"),
    [
        (0.8, 0.5, "it is high for films that are well liked and popular."),
        (0.6, -0.7, "it is high for films that are well liked, and it runs against how popular a film is."),
        (-0.5, None, "it runs against how well liked a film is. Here it says little of which films are popular."),
        (0.1, -0.2, "neither which films are well liked nor which are popular."),
    ],
)
def test_a_bias_that_runs_against_something_is_said_to(
    with_mean: float | None, with_fame: float | None, words: str
) -> None:
    assert ladder_bias.captures(with_mean, with_fame, 500).endswith(words)


def test_of_biases_that_mean_nothing_hardly_any_is_credited() -> None:
    random = np.random.default_rng(5)
    for n_films in (10, 20, 60):
        table = random.normal(size=(400, 3, n_films))
        claims = 0
        for bias, mean, fame in table:
            said = ladder_bias.captures(correlation(bias, mean), correlation(bias, fame), n_films)
            claims += "neither" not in said
        assert claims <= 0.1 * 400  # a few more than 5%: the limit is an approximation, and worst for few films
    assert "well liked" in ladder_bias.captures(0.5, 0.0, 60)
    assert "neither" in ladder_bias.captures(0.5, 0.0, 10)


@pytest.mark.parametrize(
    ("adding", "words"),
    [
        (0.9, "What adds up is better alone (0.900) than with taste (0.950)"),
        (1.2, "both parts only make sense together"),
        (0.97, f"{(1 - 0.97**2) / (1 - 0.95**2):.1%} needs no taste"),
    ],
)
def test_the_share_of_taste_has_a_sentence_for_every_case(adding: float, words: str, said: list[str]) -> None:
    ladder_bias._parts(Parts(mean=1.0, biases=1.0, adding=adding, all=0.95), 0.9)
    assert words in said[-1]
    assert any("User + movie bias has 0.949, and so is better" in text for text in said)
    assert ("overfitting" in said[-1]) == (adding < 0.95)


def facts(random: np.random.Generator, m: int) -> Facts:
    genres = random.random((m, 15)) < 0.2
    return Facts(
        year=random.integers(1930, 2000, m).astype(float),
        n_ratings=random.integers(5, 500, m),
        mean_rating=random.normal(3.5, 0.5, m),
        raters_mean=random.normal(3.5, 0.1, m),
        genres=genres,
        genre_names=tuple(f"Genre {n}" for n in range(15)),
    )


def described(scores: np.ndarray, known: Facts) -> Any:
    axes = describe_axes(scores, known, [f"PC{n + 1}" for n in range(scores.shape[1])])
    return SimpleNamespace(axes=axes, facts=known)


def test_of_spaces_that_mean_nothing_one_in_twenty_is_credited_at_most() -> None:
    """Random factors of 90 films on 8 axes: an axis at a time finds something in a third of them."""
    random = np.random.default_rng(0)
    spaces = [described(random.normal(size=(90, 8)), facts(random, 90)) for _ in range(200)]
    by_axis = np.mean([any(axis.follows for axis in space.axes) for space in spaces])
    over_all = np.mean([bool(meaning.beyond_chance(space.axes, told=False)) for space in spaces])
    assert by_axis > 0.2
    assert over_all < 0.1


def test_a_random_space_is_said_to_follow_nothing(said: list[str]) -> None:
    random = np.random.default_rng(1)
    meaning._point(described(random.normal(size=(400, 8)), facts(random, 400)))
    assert len(said) == 1
    assert "no axis of this run goes along with a year or a genre" in said[0]


def test_mean_rating_and_popularity_are_no_discoveries(said: list[str]) -> None:
    random = np.random.default_rng(2)
    known = facts(random, 400)
    scores = random.normal(size=(400, 3))
    scores[:, 0] = known.mean_rating
    scores[:, 2] = np.log10(known.n_ratings)
    meaning._point(described(scores, known))
    assert "no axis of this run goes along" in said[0]
    assert said[1].startswith("Along with mean rating or popularity go PC1, PC3.")

    said.clear()
    scores[:, 1] = known.year + random.normal(0, 15, 400)
    meaning._point(described(scores, known))
    r = np.corrcoef(scores[:, 1], known.year)[0, 1]
    assert "1 of 3 axes goes along with a year or a genre" in said[0]
    assert f"the strongest is year on PC2, r = {r:.2f}" in said[0]


def test_a_difference_that_was_not_measured_is_given_no_cause() -> None:
    difference = {way: np.array([0.0, 1e-8]) for way in NAMES}
    result = {"rates": np.array([0.1, 0.2]), "rate": 0.2}
    assert "not measured" in reasons(result, difference)[0]
    difference["one_rounding"] = np.zeros(2)
    assert "rounds the product and then the difference" in reasons(result, difference)[0]


def test_every_way_that_differs_has_a_line_and_a_shape_of_its_own() -> None:
    spec = apart_chart({name: np.array([0.0, 1e-8, 2e-8]) for name in NAMES.values()}).to_dict()
    scale = spec["layer"][1]["encoding"]["shape"]["scale"]
    assert scale["domain"] == list(NAMES.values())
    assert len(set(scale["range"])) == len(NAMES)
