"""The printed report: its numbers are the run's, its words are only words, and it needs nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from cfcore.approaches import make_config
from cfcore.config import RunRequest, SplitConfig
from cfcore.doctor import diagnose
from cfcore.embeddings import fit_pca
from cfcore.export.pictures import WIDTH, film_map, loss_picture
from cfcore.export.report import to_report
from cfcore.metrics import Ranking
from cfcore.ratings import Ratings
from cfcore.runs import Run
from cfcore.training import EpochResult
from tests.test_export import METRICS, a_run, factors

EVIL = "<script>alert(1)</script><img src=x> & \"quoted\" 'too'"


class Page(HTMLParser):
    """The tags of a page with their attributes, and the text of each cell, term and word."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open:
            self.texts.append((self.open[-1], data))

    def of(self, tag: str) -> list[str]:
        return [text for each, text in self.texts if each == tag]

    def facts(self) -> dict[str, str]:
        return dict(zip(self.of("dt"), self.of("dd"), strict=True))


@pytest.fixture(scope="module")
def sample_factors(sample: Ratings) -> np.ndarray:
    return factors(sample)["item_factors"]


def report(run: Run, ratings: Ratings | None = None, item_factors: np.ndarray | None = None) -> Page:
    page = Page(to_report(run, ratings, {} if item_factors is None else {"item_factors": item_factors}))
    assert page.open == [], "every tag is closed"
    return page


def test_the_numbers_are_those_of_the_run() -> None:
    bias = Ranking(precision=0.05, recall=0.1, ndcg=0.125, hit_rate=0.25, coverage=0.5, mean_popularity=99, n_users=40)
    page = report(a_run(metrics=replace(METRICS, baseline_bias_ranking=bias)))
    rows = np.array(page.of("td")).reshape(3, 7).tolist()
    assert rows == [
        ["0.900", "0.700", "0.100", "0.200", "0.333", "0.500", "0.250"],
        ["0.920", "0.750", "0.050", "0.100", "0.125", "0.250", "0.500"],
        ["1.100", "0.950", *["–"] * 5],
    ]
    (heading,) = page.of("h1")
    assert heading == "mine on Sample"
    # by hand: (0.92 - 0.9) / 0.92 and (1.1 - 0.9) / 1.1
    assert "2.2% better than user + movie bias, 18% better than the global mean." in page.of("p")[0]
    facts = page.facts()
    assert facts["Approach"] == "fastai, neural net"
    assert facts["Hidden layers"] == "20, 10"
    assert facts["Embedding size"].startswith("fastai's rule")
    assert facts["Learning rate"] == "0.001"
    assert facts["Rating range"] == "0.5, 5.5"
    assert facts["Trained on"] == "1,000 ratings"
    assert facts["Held out"] == "250 ratings"
    assert facts["Split"] == "random 20%"
    assert facts["Training took"] == "1.5 s"
    assert facts["Started"] == "1970-01-01 00:00 UTC"
    assert "valid 1.250" in page.of("text")
    assert "user + movie bias 0.850" in page.of("text")


def test_what_counts_as_liked_follows_the_scale(sample: Ratings) -> None:
    hundred = replace(sample, rating=sample.rating * 20, scale=(0.0, 100.0))
    for ratings, liked in ((sample, "gave 4 or more"), (hundred, "gave 75 or more"), (None, "rated highly")):
        assert any(f"the user liked ({liked}, held out)" in text for text in report(a_run(), ratings).of("p"))


def test_a_run_that_ended_early_says_so() -> None:
    stopped = a_run(status="stopped", message="Stopped after 3 of 3 epochs.", metrics=None)
    assert report(stopped).of("p")[0] == "Stopped after 3 of 3 epochs."
    assert report(replace(stopped, message="")).of("p")[0] == "The run is stopped."
    huge = (EpochResult(epoch=1, train_loss=1e30, valid_loss=float("nan"), seconds=1.0),)
    page = report(replace(stopped, status="diverged", history=huge))
    assert page.facts()["Epochs finished"] == "1, diverged"
    assert "train 1e+30" in page.of("text")
    assert not any("nan" in str(values.get("points", values.get("d", ""))) for _, values in page.tags)


def test_the_run_doctor_says_what_it_says_on_the_pages() -> None:
    lost = a_run(status="diverged", metrics=None)
    (found,) = diagnose(lost, {}, None)
    page = report(lost)
    assert f"{found.title}." in page.of("strong")
    assert found.fix is not None
    assert f" {found.sentence} {found.fix.label}." in page.of("p")
    assert "Run doctor" in page.of("h2")


def test_nothing_comes_from_elsewhere(sample: Ratings, sample_factors: np.ndarray) -> None:
    for dataset in ("sample", "ml-100k"):
        run = a_run()
        run = replace(run, request=replace(run.request, dataset=dataset))
        html = to_report(run, sample if dataset == "sample" else None, {"item_factors": sample_factors})
        page = Page(html)
        assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "base"})
        addresses = [values["href"] for _, values in page.tags if "href" in values]
        assert addresses == ([] if dataset == "sample" else ["https://doi.org/10.1145/2827872"])
        assert not {name for _, values in page.tags for name in values} & {"src", "srcset", "data", "style", "onload"}
        assert not re.search(r"url\(|@import|@font-face", html)
        assert len(re.findall("https?:", html)) == 2 * len(addresses), "once as the address, once as its text"
        policy = [values for _, values in page.tags if values.get("http-equiv") == "Content-Security-Policy"]
        assert policy[0]["content"] == "default-src 'none'; style-src 'unsafe-inline'"


def test_words_are_only_words(sample: Ratings, sample_factors: np.ndarray) -> None:
    titles = np.array([EVIL] * sample.n_items, dtype=object)
    about = replace(sample.about, title=EVIL, licence=EVIL, citation=f"{EVIL} https://x.org/<b>")
    odd = replace(sample, items=replace(sample.items, title=titles), about=about)
    page = report(a_run(name=EVIL, dataset_title=EVIL, message=EVIL, split_how=EVIL), odd, sample_factors)
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "img", "b"})
    assert page.of("h1") == [f"{EVIL} on {EVIL}"]
    assert page.facts()["Split"] == EVIL
    assert any(text.startswith("<script>") for text in page.of("text")), "a film that is named on the map"
    assert EVIL in page.of("title")[0]


def test_the_map_stands_where_the_principal_components_are(sample: Ratings, sample_factors: np.ndarray) -> None:
    html = to_report(a_run(), sample, {"item_factors": sample_factors})
    picture = html.partition('aria-label="Map of films"')[2]
    dots = np.array(re.findall(r"M([\d.]+) ([\d.]+)h0", picture.partition("/>")[2].partition("/>")[0]), dtype=float)
    trained = np.isfinite(sample_factors).all(axis=1)
    assert len(dots) == trained.sum() == sample.n_items - 2
    drawn = [np.sort(column) for column in (dots - dots.mean(axis=0)).T]
    scores = fit_pca(sample_factors[trained]).scores[:, :2]
    for axis, column in enumerate(drawn):  # the same places up to scale and direction
        computed = [np.sort(sign * scores[:, axis]) for sign in (1, -1)]
        assert max(np.corrcoef(column, each)[0, 1] for each in computed) > 0.99999
    named = [text for text in Page(html).of("text") if text in {str(t).rpartition(" (")[0] for t in sample.items.title}]
    assert len(named) >= 10


def test_without_a_map_a_sentence_says_why(sample: Ratings, sample_factors: np.ndarray) -> None:
    run = a_run()
    said = "There is no map: the"
    assert f"{said} data set with the titles is not" in to_report(run, None, {"item_factors": sample_factors})
    assert f"{said} run has left no factors" in to_report(run, sample, {})
    assert f"{said} data set has changed since" in to_report(run, sample, {"item_factors": sample_factors[1:]})
    broken = np.full_like(sample_factors, np.nan)
    assert "There is no map: only 0 movies have a usable vector" in to_report(run, sample, {"item_factors": broken})


def test_one_factor_makes_a_line_of_films(sample: Ratings, sample_factors: np.ndarray) -> None:
    texts = report(a_run(), sample, sample_factors[:, :1]).of("text")
    assert "PC1, 100% of the variance" in texts
    assert not [text for text in texts if text.startswith("PC2")]


def lines_of(picture: str, colour: str) -> Iterator[np.ndarray]:
    for points in re.findall(rf'<polyline points="([^"]+)" fill="none" stroke="{colour}"', picture):
        yield np.array([pair.split(",") for pair in points.split()], dtype=float)


@pytest.mark.parametrize("high", [2.0, 200.0])
def test_curves_stand_where_their_numbers_are(high: float) -> None:
    """Heights are linear in the loss, or in its logarithm where losses span an order of magnitude."""
    values = np.linspace(high, 0.5, 7)
    history = [
        EpochResult(epoch=at, train_loss=value, valid_loss=value + 0.25, seconds=1.0)
        for at, value in enumerate(values, 1)
    ]
    picture = loss_picture(history, {"global mean": 0.75, "none": None})
    (train,), (valid,), rules = (list(lines_of(picture, each)) for each in ("#0072B2", "#D55E00", "#5B6670"))
    assert np.allclose(np.diff(train[:, 0]), np.diff(train[:, 0])[0], atol=0.11)
    measure = np.log if high > 10 else np.asarray
    heights, numbers = np.concatenate([train[:, 1], valid[:, 1], rules[0][:, 1]]), [*values, *values + 0.25, 0.75, 0.75]
    slope, start = np.polyfit(measure(numbers), heights, 1)
    assert slope < 0, "a lower loss stands lower"
    assert np.allclose(slope * measure(numbers) + start, heights, atol=0.11)
    assert picture.count('dasharray="5 4"') == 1, "valid is told from train without its colour"


def test_a_picture_of_nothing_is_none() -> None:
    assert loss_picture([], {}) == ""


def test_names_stay_on_the_map() -> None:
    random = np.random.default_rng(0)
    picture = film_map(random.normal(size=(500, 2)), [f"Film number {k}" for k in range(500)], np.array([0.5, 0.3]))
    at = [float(x) for x in re.findall(r'<text x="([\d.]+)"', picture)]
    assert len(at) > 15
    assert all(0 <= x <= WIDTH for x in at)


@pytest.mark.parametrize("zero", ["loss", "baseline"])
def test_a_loss_of_zero_is_drawn_on_a_linear_axis(zero: str) -> None:
    losses = (4.0, 0.5, 0.0 if zero == "loss" else 0.25)
    history = [EpochResult(epoch=k, train_loss=loss, valid_loss=loss, seconds=1.0) for k, loss in enumerate(losses, 1)]
    picture = loss_picture(history, {"mean": 0.0 if zero == "baseline" else 1.0})
    train = next(each for each in re.findall(r"<polyline points=\"([^\"]+)", picture) if len(each.split()) == 3)
    heights = [float(point.split(",")[1]) for point in train.split()]
    assert (heights[1] - heights[0]) / (heights[2] - heights[0]) == pytest.approx(3.5 / (4 - losses[2]), abs=0.01)


def test_where_there_is_no_picture_a_sentence_stands() -> None:
    bad = EpochResult(epoch=1, train_loss=float("nan"), valid_loss=float("inf"), seconds=1.0)
    run = a_run(status="diverged", history=(bad,))
    page = report(replace(run, baseline_mean_mse=None, baseline_bias_mse=None))
    assert any("There is no picture" in each for each in page.of("p"))


def test_exploded_factors_are_not_drawn_as_a_map() -> None:
    assert not any("diverged say nothing" in each for each in report(a_run()).of("p"))
    assert any("diverged say nothing about films" in each for each in report(a_run(status="diverged")).of("p"))


def test_a_range_that_does_nothing_is_no_fact() -> None:
    def facts(sigmoid: str) -> dict[str, str]:
        config = make_config("fastai_dot", sigmoid=sigmoid)
        return report(
            a_run(request=RunRequest(dataset="sample", split=SplitConfig.of("random"), config=config))
        ).facts()

    assert facts("yes")["Rating range"] == "1, 5"
    assert "Rating range" not in facts("no")
    assert facts("no")["Sigmoid"] == "no"


def test_a_run_beside_perfect_baselines_has_a_report() -> None:
    perfect = replace(METRICS, baseline_bias_rmse=0.0, baseline_mean_rmse=0.0)
    assert "cannot be compared with the global mean" in report(a_run(metrics=perfect)).of("p")[0]
