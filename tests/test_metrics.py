"""Error measures and array models against scikit-learn and hand-made cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, mean_squared_error, root_mean_squared_error

from cfcore.approaches import baseline_predictions
from cfcore.approaches.baseline import ITEM_DAMPING, USER_DAMPING, fit_biases
from cfcore.config import SplitConfig
from cfcore.metrics import mae, mse, rmse
from cfcore.models import DotModel
from cfcore.ratings import Ratings, Split, make_split

stars = st.lists(st.tuples(st.floats(-10, 10), st.sampled_from([1.0, 2.5, 3.0, 5.0])), min_size=1, max_size=50)


@given(stars)
def test_errors_agree_with_scikit_learn(pairs: list[tuple[float, float]]) -> None:
    predictions, ratings = map(np.array, zip(*pairs, strict=True))
    assert mse(predictions, ratings) == pytest.approx(mean_squared_error(ratings, predictions))
    assert rmse(predictions, ratings) == pytest.approx(root_mean_squared_error(ratings, predictions))
    assert mae(predictions, ratings) == pytest.approx(mean_absolute_error(ratings, predictions))


def test_a_column_against_a_row_is_refused_rather_than_broadcast() -> None:
    with pytest.raises(ValueError, match=r"\(3, 1\).*\(3,\)"):
        mse(np.zeros((3, 1)), np.zeros(3))


def test_no_ratings_are_refused() -> None:
    with pytest.raises(ValueError, match="no ratings"):
        rmse([], [])


def test_biases_are_the_fixed_point_of_their_equations(sample_split: Split) -> None:
    users, items, ratings = sample_split.part(sample_split.train)
    n_users, n_items = sample_split.ratings.n_users, sample_split.ratings.n_items
    centred = ratings - ratings.mean()
    user_bias, item_bias = fit_biases(users, items, centred, n_users, n_items)
    for item in (0, 7, n_items - 1):
        mine = items == item
        expected = (centred[mine] - user_bias[users[mine]]).sum() / (ITEM_DAMPING + mine.sum())
        assert item_bias[item] == pytest.approx(expected, abs=2e-3)
    for user in (0, 11, n_users - 1):
        mine = users == user
        expected = (centred[mine] - item_bias[items[mine]]).sum() / (USER_DAMPING + mine.sum())
        assert user_bias[user] == pytest.approx(expected, abs=2e-3)


def test_the_bias_baseline_on_u1_is_the_published_one(ml100k: Ratings) -> None:
    split = make_split(ml100k, SplitConfig.of("u1"))
    error = rmse(baseline_predictions(split)["bias"], ml100k.rating[split.valid])
    assert error == pytest.approx(0.959, abs=2e-3)


@given(st.floats(-40, 40), st.floats(-40, 40))
def test_a_range_keeps_every_prediction_inside(offset: float, bias: float) -> None:
    model = DotModel(
        user_factors=np.zeros((1, 0), np.float32),
        item_factors=np.zeros((1, 0), np.float32),
        user_bias=np.array([bias], np.float32),
        offset=offset,
        y_range=(1.0, 5.0),
    )
    prediction = model.predict(np.array([0]), np.array([0]))[0]
    assert 1 <= prediction <= 5
    assert prediction == pytest.approx(1 + 4 / (1 + math.exp(-(offset + bias))), abs=1e-5)
