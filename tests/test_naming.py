"""Facts, names of axes and biases: against pandas, scipy and data made so that the answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr as scipy_pearsonr

from cfcore.embeddings import Facts, Space, bias_table, describe_axes, describe_axis, film_facts, fit_pca
from cfcore.embeddings.axes import correlation
from cfcore.embeddings.bias import REASONS
from cfcore.ratings import Ratings, Split


def made_facts(m: int = 400, seed: int = 0) -> Facts:
    """Movies whose facts have nothing to do with each other; genre Rare belongs to two of them."""
    rng = np.random.default_rng(seed)
    genres = rng.random((m, 3)) < 0.3
    genres[:, 2] = np.arange(m) < 2
    return Facts(
        year=np.where(np.arange(m) % 10 == 0, np.nan, rng.integers(1930, 2000, m)),
        n_ratings=np.rint(10 ** rng.uniform(0, 3, m)).astype(int),
        mean_rating=rng.uniform(1, 5, m),
        raters_mean=rng.uniform(3, 4, m),
        genres=genres,
        genre_names=("Drama", "Horror", "Rare"),
    )


# Facts


def test_facts_are_those_of_the_training_ratings(sample: Ratings, sample_split: Split) -> None:
    space = Space(item_idx=np.arange(0, sample.n_items, 3), vectors=np.zeros((len(range(0, sample.n_items, 3)), 2)))
    item_bias = np.linspace(-1, 1, sample.n_items)
    facts = film_facts(sample_split, space, item_bias)
    users, items, stars = sample_split.part(sample_split.train)
    table = pd.DataFrame({"user": users, "item": items, "stars": stars.astype(float)})
    table["rater"] = table.groupby("user")["stars"].transform("mean")
    expected = table.groupby("item").agg(n=("stars", "size"), mean=("stars", "mean"), rater=("rater", "mean"))
    expected = expected.loc[space.item_idx]
    assert np.array_equal(facts.n_ratings, expected["n"])
    assert facts.mean_rating == pytest.approx(expected["mean"])
    assert facts.raters_mean == pytest.approx(expected["rater"])
    assert np.array_equal(facts.year, sample.items.year[::3])
    assert np.array_equal(facts.genres, sample.items.genres[::3])
    assert facts.genre_names == sample.items.genre_names
    assert facts.bias == pytest.approx(item_bias[::3])
    assert film_facts(sample_split, space).bias is None


def test_an_unknown_year_is_no_year(sample: Ratings, sample_split: Split) -> None:
    year = sample.items.year.copy()
    year[4] = 0
    split = replace(sample_split, ratings=replace(sample, items=replace(sample.items, year=year)))
    facts = film_facts(split, Space(item_idx=np.arange(3, 6), vectors=np.zeros((3, 1))))
    assert np.isnan(facts.year).tolist() == [False, True, False]


# Axes


def pearsonr(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.asarray(scipy_pearsonr(x, y))[0])


numbers = st.integers(-5000, 5000).map(lambda n: n / 8)


@given(st.lists(st.tuples(numbers, numbers | st.just(np.nan)), min_size=3, max_size=40))
@settings(deadline=None)
def test_a_correlation_is_pearsons_where_both_are_known(pairs: list[tuple[float, float]]) -> None:
    x, y = np.array(pairs).T
    both = np.isfinite(y)
    found = correlation(x, y)
    if both.sum() < 3 or np.ptp(x[both]) == 0 or np.ptp(y[both]) == 0:
        assert found is None
    else:
        assert found == pytest.approx(pearsonr(x[both], y[both]), abs=1e-9)


def test_an_axis_is_named_after_what_it_follows() -> None:
    facts = made_facts()
    noise = np.random.default_rng(1).normal(size=400)
    log_count = np.log10(facts.n_ratings)
    axis = describe_axis(log_count / log_count.std() + noise, facts)
    r = pearsonr(log_count / log_count.std() + noise, log_count)
    assert axis.correlations[0] == ("popularity", pytest.approx(r))
    assert axis.words == f"PC1 follows popularity, r = {r:.2f}"
    assert axis.follows == axis.correlations[:1]


def test_two_strong_names_are_told_with_their_signs() -> None:
    facts = made_facts()
    drama, horror = facts.genres[:, 0] * 1.0, facts.genres[:, 1] * 1.0
    (_, one), (_, two) = describe_axis(drama - 0.9 * horror, facts, "PC3").follows
    assert describe_axis(drama - 0.9 * horror, facts, "PC3").words == (
        f"PC3 follows Drama, r = {one:.2f}, and runs against Horror, r = −{-two:.2f}"
    )
    both = describe_axis(-drama - 0.9 * horror, facts, "This axis").words
    assert both.startswith("This axis runs against Drama, r = −0.")
    assert ", and Horror, r = −0." in both


def test_an_axis_of_noise_follows_nothing_but_one_time_in_twenty() -> None:
    facts, rng = made_facts(60), np.random.default_rng(2)
    axes = [describe_axis(rng.normal(size=60), facts) for _ in range(400)]
    assert axes[0].words.startswith("PC1 follows nothing we know; the nearest is ")
    beyond = np.mean([abs(axis.correlations[0][1]) > axis.chance for axis in axes])
    assert 0.01 < beyond < 0.1  # 0.05 is meant: what is compared is not quite independent
    few = made_facts(12)
    said = [describe_axis(rng.normal(size=12), few).follows for _ in range(200)]
    assert np.mean([len(follows) > 0 for follows in said]) < 0.1  # |r| of 0.3 is nothing among twelve movies


def test_a_genre_of_one_or_two_movies_is_not_compared() -> None:
    names = {name for name, _ in describe_axis(np.arange(400.0), made_facts()).correlations}
    assert names == {"year", "popularity", "mean rating", "Drama", "Horror"}


def test_the_strongest_comes_first_and_the_ends_are_the_outermost() -> None:
    facts = made_facts()
    scores = np.random.default_rng(3).normal(size=400)
    axis = describe_axis(scores, facts)
    sizes = [abs(r) for _, r in axis.correlations]
    assert sizes == sorted(sizes, reverse=True)
    order = np.argsort(scores)
    assert axis.low.tolist() == order[:5].tolist()
    assert axis.high.tolist() == order[::-1][:5].tolist()


def test_an_axis_can_be_described_among_some_movies() -> None:
    facts = made_facts()
    scores = np.random.default_rng(4).normal(size=400)
    some = np.arange(50, 58)
    scores[:50] = facts.mean_rating[:50]
    assert set(describe_axis(scores, facts, among=some).low) <= set(some)
    few = describe_axis(scores, facts, among=some)
    assert len(few.low) == len(few.high) == 4
    assert not set(few.low) & set(few.high)
    assert describe_axis(scores, facts, among=np.arange(50)).follows[0] == ("mean rating", pytest.approx(1))


def test_many_axes_at_once_are_each_of_them_alone() -> None:
    facts, some = made_facts(), np.arange(5, 300, 2)
    scores = np.random.default_rng(5).normal(size=(400, 3)) + facts.mean_rating[:, None] * [0, 0.4, -2]
    together = describe_axes(scores, facts, ["PC1", "PC2", "PC3"], among=some)
    assert [axis.words.split()[0] for axis in together] == ["PC1", "PC2", "PC3"]
    for axis, column in zip(together, scores.T, strict=True):
        alone = describe_axis(column, facts, axis.words.split()[0], among=some)
        assert axis.words == alone.words
        assert dict(axis.correlations) == pytest.approx(dict(alone.correlations))
        assert np.array_equal((axis.low, axis.high), (alone.low, alone.high))


def test_an_axis_on_which_all_movies_stand_together_follows_nothing() -> None:
    axis = describe_axis(np.full(400, 0.1), made_facts(), "PC9")
    assert (axis.words, axis.correlations) == ("PC9 follows nothing we know", ())


def test_the_true_tastes_of_the_sample_are_named_by_their_genres(sample: Ratings, sample_split: Split) -> None:
    space = Space(item_idx=np.arange(sample.n_items), vectors=sample.truth["item_tastes"].astype(np.float32))
    facts = film_facts(sample_split, space)
    names = list(sample.truth["taste_names"])
    words = {name: describe_axis(space.vectors[:, at], facts, name).words for at, name in enumerate(names)}
    assert words["classic"].startswith("classic runs against year, r = −0.")
    assert words["dark"].startswith("dark follows ")
    assert any(genre in words["whimsy"] for genre in ("Animation", "Children", "Fantasy", "Comedy"))
    first = describe_axis(fit_pca(space.vectors).scores[:, 0], facts)
    assert abs(first.follows[0][1]) > 0.3


# Biases


def rated(m: int = 300, seed: int = 0) -> Facts:
    """Movies with a true quality, means that raters and chance distort, and biases on another scale."""
    rng = np.random.default_rng(seed)
    quality, raters = rng.normal(0, 0.5, m), rng.normal(0, 0.3, m)
    count = np.rint(10 ** rng.uniform(0, 2.5, m)).astype(int)
    raters -= np.average(raters, weights=count)
    return replace(
        made_facts(m),
        n_ratings=count,
        mean_rating=3.5 + quality + raters,
        raters_mean=3.5 + raters,
        bias=0.8 * quality * count / (count + 5),
    )


def test_the_parts_add_up_to_the_gap() -> None:
    facts = rated()
    table = bias_table(facts)
    assert table.parts.shape == (300, len(REASONS))
    assert table.gap == pytest.approx(table.stars - facts.mean_rating)
    assert table.parts.sum(axis=1) == pytest.approx(table.gap)


def test_biases_of_a_damped_baseline_are_accounted_for_in_full() -> None:
    """Where biases are exactly the damped means of what is above the raters' means, no taste is left over."""
    facts = rated()
    table = bias_table(facts)
    assert facts.bias is not None
    damped = (facts.mean_rating - facts.raters_mean) * facts.n_ratings / (facts.n_ratings + 5)
    mu = np.average(facts.mean_rating, weights=facts.n_ratings)
    assert table.stars == pytest.approx(mu + damped)
    assert table.parts[:, 0] == pytest.approx(mu - facts.raters_mean)
    assert table.parts[:, 2] == pytest.approx(0, abs=1e-9)


def test_the_reason_named_is_the_one_that_was_planted() -> None:
    facts = rated()
    assert facts.bias is not None
    count, raters, mean = facts.n_ratings.copy(), facts.raters_mean.copy(), facts.mean_rating.copy()
    bias = facts.bias.copy()
    count[:4], raters[:4], mean[:4], bias[:4] = 300, 3.5, 3.5, 0.0
    raters[0], mean[0] = 4.9, 4.9  # generous raters, otherwise an average movie
    raters[1], mean[1] = 2.1, 2.1  # severe ones
    count[2], mean[2] = 1, 5.0  # one rating of five stars
    mean[3] = 5.0  # well rated by many, and still no bias
    carried = np.zeros(len(count))
    carried[3] = 1.0  # the factors of its raters add a star
    told = replace(facts, n_ratings=count, raters_mean=raters, mean_rating=mean, bias=bias, carried=carried)
    table = bias_table(told, n=8)
    why = dict(zip(table.apart.tolist(), table.why, strict=True))
    assert {0, 1, 2, 3} <= set(why)
    assert why[0] == "its raters are generous: over all that they rate, they give 4.90 on average"
    assert why[1] == "its raters are severe: over all that they rate, they give 2.10 on average"
    assert why[2] == "1 rating: too few to move its bias all the way from 0"
    assert why[3].startswith("its raters like its kind more than others do")
    for other in (replace(told, carried=-carried), replace(told, carried=None)):  # they say the opposite, or nothing
        table = bias_table(other, n=8)
        assert table.why[table.apart.tolist().index(3)].startswith("something else")


def test_the_lists_hold_the_extremes_among_movies_with_enough_ratings() -> None:
    facts = rated()
    assert facts.bias is not None
    table = bias_table(facts, n=7, at_least=20)
    enough = np.flatnonzero(facts.n_ratings >= 20)
    assert table.liked.tolist() == enough[np.argsort(-facts.bias[enough])][:7].tolist()
    assert table.disliked.tolist() == enough[np.argsort(facts.bias[enough])][:7].tolist()
    by_gap = enough[np.argsort(-table.gap[enough])]
    assert table.apart.tolist() == [*by_gap[:4], *by_gap[-3:]]
    assert (table.gap[table.apart[:4]] > 0).all()
    assert (table.gap[table.apart[4:]] < 0).all()
    assert table.bias_rank[np.argmax(facts.bias)] == 1
    assert sorted(table.mean_rank) == list(range(1, 301))
    assert table.mean_rank[np.argmin(facts.mean_rating)] == 300


def test_biases_that_are_all_the_same_say_the_mean_of_all() -> None:
    table = bias_table(replace(rated(), bias=np.zeros(300)))
    assert np.ptp(table.stars) == pytest.approx(0)


def test_a_table_needs_biases_and_ratings() -> None:
    with pytest.raises(ValueError, match="learns no bias"):
        bias_table(made_facts())
    with pytest.raises(ValueError, match="no movie has 5,000 training ratings"):
        bias_table(rated(), at_least=5000)
