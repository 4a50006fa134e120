"""What the benchmarks claim about themselves: as many settings for each, no test rating looked at, honest errors."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import ladder, peers
from benchmarks.table import Line, Section, to_markdown
from cfcore.approaches import describe
from cfcore.metrics import rmse
from cfcore.ratings import Ratings, Split
from tests.conftest import make_ratings

ROOT = Path(__file__).parents[1]


def test_each_is_tuned_from_where_it_stands_until_no_step_gains() -> None:
    """The best is never at the edge of what was tried, except at the factors that nobody may pass."""
    assert set(peers.SEARCHED) == {*peers.OURS, *peers.THEIRS}
    for who in peers.OURS:
        preset = describe(who).preset
        assert all(getattr(preset, name) == first for name, first in peers.SEARCHED[who].items())
    asked: list[dict[str, float]] = []

    def error(settings: Mapping[str, float]) -> float:
        asked.append(dict(settings))
        return (
            (math.log(settings["reg_all"] / 0.1)) ** 2
            + abs(settings["n_epochs"] - 45) / 100
            - settings["n_factors"] / 1e4
        )

    best, n_tried = peers.climb(error, peers.SEARCHED["Surprise SVD"])
    assert (best["n_factors"], best["n_epochs"], best["lr_all"]) == (peers.MOST_FACTORS, 45, 0.005)
    assert 0.08 < best["reg_all"] < 0.125
    assert n_tried == len(asked) == len({tuple(each.values()) for each in asked})
    for name in ("reg_all", "n_epochs", "lr_all"):
        values = {each[name] for each in asked}
        assert min(values) < best[name] < max(values)


def test_settings_are_chosen_on_a_tenth_of_the_training_ratings_alone(small_split: Split) -> None:
    within = peers.inner(small_split)
    assert sorted([*within.train, *within.valid]) == sorted(small_split.train)
    assert len(within.valid) == round(0.1 * len(small_split.train))


def test_the_weights_of_the_blend_find_the_rung_that_is_right(small_split: Split) -> None:
    splits = peers.inner(small_split), small_split
    truth = [split.part(split.valid)[2] for split in splits]
    right = ladder.Rung("right", truth[0], truth[1], 1.0)
    wrong = ladder.Rung("wrong", truth[0][::-1], truth[1][::-1], 2.0)
    blend = ladder._blend(splits, [wrong, right])
    assert blend.seconds == 3
    np.testing.assert_allclose(blend.inner, truth[0], atol=1e-4)
    np.testing.assert_allclose(blend.test, truth[1], atol=1e-4)


def test_the_blend_is_not_judged_on_ratings_its_weights_were_fitted_to(small_split: Split) -> None:
    splits = peers.inner(small_split), small_split
    truth = [split.part(split.valid)[2] for split in splits]
    random = np.random.default_rng(0)
    inner, test = (random.normal(3, 1, (8, len(each))) for each in truth)
    noise = [ladder.Rung("noise", *both, 1.0) for both in zip(inner, test, strict=True)]
    columns = np.column_stack([*(rung.inner for rung in noise), np.ones(len(truth[0]))])
    flattered = rmse(columns @ ladder._weights(columns, truth[0]), truth[0])
    assert flattered < truth[0].std() < rmse(ladder._blend(splits, noise).inner, truth[0])


def test_the_target_belongs_to_the_rung_that_is_best_inside_the_training_ratings_and_in_time() -> None:
    truth = np.array([1.0, 5.0])
    off = {error: truth + error for error in (0.0, 0.1, 0.2)}
    lucky = ladder.Rung("best on the test ratings", off[0.2], off[0.0], 1.0)
    chosen = ladder.Rung("best inside", off[0.1], off[0.2], ladder.SECONDS)
    slow = ladder.Rung("too slow", off[0.0], off[0.0], ladder.SECONDS + 1)
    assert ladder._best([lucky, chosen, slow], truth, sought=0) is chosen
    assert ladder._best([lucky, chosen, slow], truth, sought=5) is lucky
    assert ladder._best([lucky, chosen, slow], truth, sought=ladder.SECONDS) is slow, (
        "or the target could not be missed"
    )


def test_the_ladder_climbs_on_small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    ratings = make_ratings()
    ratings = replace(ratings, folds={"u1": np.arange(len(ratings))[::5]})
    monkeypatch.setattr(ladder, "movielens", lambda: (ratings, "made by hand"))
    lines = ladder.ladder(quick=True).lines
    assert [line.wanted for line in lines].count(ladder.WANTED) == 1
    assert all(0 < line.value < 3 for line in lines if line.unit == "stars")


def test_without_the_published_folds_the_ladder_says_so(monkeypatch: pytest.MonkeyPatch, sample: Ratings) -> None:
    monkeypatch.setattr(ladder, "movielens", lambda: (sample, "the sample"))
    section = ladder.ladder(quick=True)
    assert not section.lines
    assert "Not measured" in section.how


def test_a_table_says_what_is_reached_and_what_could_not_be_measured() -> None:
    lines = [
        Line(what="fast", ours="1 ms", theirs="3 ms", value=3.0, wanted=2.5),
        Line(what="wrong", ours="2", theirs="1", value=2.0, bound="at most", wanted=1.0, unit="stars"),
        Line(what="gone", ours="–", theirs="–", value=math.nan, wanted=1.0, note="no browser."),
        Line(what="by the way", ours="1", theirs="–", value=1.0),
    ]
    text = to_markdown(Section(title="A title", how="In turns.", lines=lines))
    ends = [row.split("|")[-4:-1] for row in text.splitlines() if row.startswith("|")][2:]
    assert [[cell.strip() for cell in row] for row in ends] == [
        ["3×", "at least 2.5×", "yes"],
        ["2 stars", "at most 1 stars", "**no**"],
        ["not measured", "at least 1×", "**no**"],
        ["1×", "–", "–"],
    ]
    assert "- gone: no browser." in text


def test_the_readme_shows_rows_of_the_last_full_run() -> None:
    """Nobody types a row: the table of README.md stands in docs/benchmarks.md, word for word."""
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.split("## How good, and how fast\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    assert len(rows) >= 10
    assert [row for row in rows if row not in page.splitlines()] == []
    assert "--quick" not in page
    for picture in re.findall(r"\]\(([\w-]+\.svg)\)", page):
        assert (ROOT / "docs" / picture).stat().st_size > 1000
