"""What a Scored refuses, and what it makes of what it takes."""

import numpy as np
import pytest

from tidewright.errors import DataError
from tidewright.metrics.scored import Scored

ACTUAL = np.array([[1.0, 2.0], [3.0, np.nan], [5.0, 6.0]])
LEVELS = (0.1, 0.5, 0.9)
FORECAST = ACTUAL[:, :, np.newaxis] + np.array([-1.0, 0.5, 1.0])


def test_the_point_forecast_is_the_median_column():
    scored = Scored(ACTUAL, np.nan_to_num(FORECAST), levels=LEVELS)
    np.testing.assert_array_equal(scored.point, np.nan_to_num(FORECAST)[:, :, 1])


def test_a_level_that_is_half_but_for_rounding_is_the_median():
    levels = np.linspace(0.05, 0.95, 19)
    scored = Scored([[1.0]], levels.reshape(1, 1, -1), levels=levels)
    assert scored.point[0, 0] == pytest.approx(0.5)


def test_a_positive_error_means_a_forecast_that_is_too_high():
    assert Scored([[1.0]], [[3.0]]).error[0, 0] == 2.0


def test_float32_and_integers_become_float64():
    scored = Scored(np.array([[1, 2]]), np.array([[1, 2]], dtype=np.float32), series=np.array([3], dtype=np.int32))
    assert (scored.actual.dtype, scored.forecast.dtype) == (np.float64, np.float64)
    assert scored.series is not None
    assert scored.series.dtype == np.int64


def test_a_forecast_may_be_missing_where_nothing_is_scored():
    assert Scored(ACTUAL, FORECAST, levels=LEVELS).observed.sum() == 5


def test_a_missing_forecast_names_its_window_step_and_level():
    forecast = np.nan_to_num(FORECAST)
    forecast[2, 1, 2] = np.nan
    with pytest.raises(DataError, match=r"window 2, step 1, level 0\.9 is nan.*\(1 such cells\)"):
        Scored(ACTUAL, forecast, levels=LEVELS)


def test_an_infinite_forecast_is_refused_like_a_missing_one():
    with pytest.raises(DataError, match=r"window 0, step 0, level 0\.5 is inf"):
        Scored([[1.0]], [[np.inf]])


def test_an_infinite_actual_value_names_its_window_and_step():
    with pytest.raises(DataError, match="actual value of window 0, step 1 is -inf"):
        Scored([[1.0, -np.inf]], [[1.0, 1.0]])


@pytest.mark.parametrize("shape", [(3, 2, 2), (2, 2, 3), (3, 3, 3), (3, 2)])
def test_a_forecast_of_another_shape_names_both_shapes(shape):
    with pytest.raises(DataError, match=r"3 windows of 2 steps at 3 levels need \(3, 2, 3\)"):
        Scored(ACTUAL, np.zeros(shape), levels=LEVELS)


def test_actual_values_need_two_axes():
    with pytest.raises(DataError, match=r"\[windows, horizon\], got shape \(2,\)"):
        Scored([1.0, 2.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ((0.1, 0.9), "must include 0.5"),
        ((0.9, 0.5, 0.1), "must ascend"),
        ((0.5, 0.5), "must ascend"),
        ((10, 50, 90), "lie between 0 and 1"),
        ((0.0, 0.5), "lie between 0 and 1"),
        ((np.nan, 0.5), "lie between 0 and 1"),
        ((), "lie between 0 and 1"),
    ],
)
def test_wrong_levels_are_refused_with_their_reason(levels, message):
    with pytest.raises(DataError, match=message):
        Scored(ACTUAL, np.zeros((3, 2, max(len(levels), 1))), levels=levels)


@pytest.mark.parametrize("name", ["scale", "scale_squared"])
def test_a_scale_needs_one_value_a_window_that_is_finite_and_not_negative(name):
    with pytest.raises(DataError, match=rf"{name} holds one value a window: 3 were needed, got shape \(2,\)"):
        Scored(ACTUAL, np.zeros((3, 2)), **{name: [1.0, 2.0]})
    with pytest.raises(DataError, match=rf"{name} of window 1 is -2\.0"):
        Scored(ACTUAL, np.zeros((3, 2)), **{name: [1.0, -2.0, 3.0]})
    with pytest.raises(DataError, match=rf"{name} of window 2 is inf"):
        Scored(ACTUAL, np.zeros((3, 2)), **{name: [1.0, 2.0, np.inf]})


def test_series_are_integer_codes_one_a_window():
    with pytest.raises(DataError, match="series holds one integer a window"):
        Scored(ACTUAL, np.zeros((3, 2)), series=["a", "b", "c"])
    with pytest.raises(DataError, match=r"3 were needed, got \(2,\)"):
        Scored(ACTUAL, np.zeros((3, 2)), series=[1, 2])
