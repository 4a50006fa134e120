from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfcore.config import SplitConfig
from cfcore.ratings import About, Items, Ratings, Users, encode, make_split


def ratings_of(
    user_idx: list[int], timestamp: list[int] | None = None, folds: dict[str, np.ndarray] | None = None
) -> Ratings:
    n = len(user_idx)
    return Ratings(
        about=About(name="toy", title="Toy"),
        user_idx=np.array(user_idx, dtype=np.int32),
        item_idx=np.arange(n, dtype=np.int32),
        rating=np.linspace(1, 5, n, dtype=np.float32),
        timestamp=None if timestamp is None else np.array(timestamp, dtype=np.int64),
        users=Users(user_id=np.arange(max(user_idx) + 1)),
        items=Items(
            item_id=np.arange(n),
            title=np.array([str(i) for i in range(n)], dtype=object),
            year=np.zeros(n, dtype=np.int16),
            genres=np.zeros((n, 0), dtype=bool),
        ),
        scale=(1.0, 5.0),
        folds=folds or {},
    )


@given(st.lists(st.integers(-(2**60), 2**60), min_size=1) | st.lists(st.text(max_size=4), min_size=1))
def test_encode_numbers_the_sorted_distinct_ids_and_decodes_back(ids: list) -> None:
    raw = np.array(ids, dtype=np.int64 if isinstance(ids[0], int) else object)
    distinct, codes = encode(raw)
    assert list(distinct) == sorted(set(ids))
    assert codes.dtype == np.int32
    assert list(distinct[codes]) == ids


@given(
    n=st.integers(5, 300),
    fraction=st.floats(0.15, 0.85),
    seed=st.integers(0, 2**32 - 1),
)
def test_random_split_divides_every_row_once_and_repeats(n: int, fraction: float, seed: int) -> None:
    ratings = ratings_of([0] * n)
    config = SplitConfig(kind="random", valid_fraction=fraction, seed=seed)
    split, again = make_split(ratings, config), make_split(ratings, config)
    assert sorted([*split.train, *split.valid]) == list(range(n))
    assert len(split.valid) == round(n * fraction)
    assert np.array_equal(split.valid, again.valid)
    assert np.array_equal(split.train, again.train)


def test_another_seed_holds_out_other_rows() -> None:
    ratings = ratings_of([0] * 200)
    one, two = (make_split(ratings, SplitConfig(seed=seed)).valid for seed in (1, 2))
    assert not np.array_equal(one, two)


@given(n=st.integers(40, 400), seed=st.integers(0, 1000))
def test_first10_uses_the_first_tenth_of_the_file_only(n: int, seed: int) -> None:
    split = make_split(ratings_of([0] * n), SplitConfig.of("first10", seed=seed))
    assert sorted([*split.train, *split.valid]) == list(range(n // 10))
    assert len(split.valid) == round(n // 10 * 0.25)
    assert "first 10%" in split.how


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), min_size=6, max_size=80),
    st.sampled_from([0.1, 0.2, 0.5, 0.9]),
)
def test_time_split_holds_out_each_users_last_ratings(rows: list[tuple[int, int]], fraction: float) -> None:
    rows = [*rows, (0, 3), (0, 4)]  # user 0 has two at least, so neither part is empty
    users, times = [u for u, _ in rows], [t for _, t in rows]
    split = make_split(ratings_of(users, times), SplitConfig(kind="time", valid_fraction=fraction, seed=None))
    valid = set(split.valid.tolist())
    assert sorted([*split.train, *split.valid]) == list(range(len(rows)))
    for user in set(users):
        mine = sorted((times[row], row) for row in range(len(rows)) if users[row] == user)  # ties keep file order
        held = [row for _, row in mine if row in valid]
        assert held == [row for _, row in mine][len(mine) - len(held) :]
        assert len(held) == min(max(round(len(mine) * fraction), 1), len(mine) - 1)


def test_a_published_fold_is_taken_as_it_stands() -> None:
    split = make_split(ratings_of([0] * 6, folds={"u2": np.array([1, 4])}), SplitConfig.of("u2"))
    assert split.valid.tolist() == [1, 4]
    assert split.train.tolist() == [0, 2, 3, 5]


def test_splits_that_cannot_be_made_say_so() -> None:
    ratings = ratings_of([0] * 6)
    assert ratings.split_kinds() == ("random", "first10")
    with pytest.raises(ValueError, match="no published fold u1; choose from random, first10"):
        make_split(ratings, SplitConfig.of("u1"))
    with pytest.raises(ValueError, match="no timestamps"):
        make_split(ratings, SplitConfig.of("time"))
    with pytest.raises(ValueError, match="leaves 0 ratings to train on"):
        make_split(ratings, SplitConfig.of("first10"))
    assert ratings_of([0, 0], [1, 2]).split_kinds()[-1] == "time"


def test_what_the_training_part_never_saw_is_known() -> None:
    ratings = ratings_of([0, 0, 1, 2], folds={"u1": np.array([2])})
    split = make_split(ratings, SplitConfig.of("u1"))
    assert split.seen_users.tolist() == [True, False, True]
    assert split.seen_items.tolist() == [True, True, False, True]
    user, item, rating = split.part(split.valid)
    assert (user.tolist(), item.tolist()) == ([1], [2])
    assert (user.dtype, item.dtype, rating.dtype) == (np.int64, np.int64, np.float32)
