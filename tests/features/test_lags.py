"""Lags and rolling statistics against pandas, and their laws."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewright.data.panel import Panel
from tidewright.errors import ColumnError, ConfigError, UnknownNameError
from tidewright.features.lags import STATISTICS, add_lags, lag_columns, rolling_columns

OFFSETS = np.array([0, 40, 41, 41, 100])
LAGS, WINDOWS = (0, 1, 7), (1, 3, 50)
VALUE = st.one_of(st.floats(-1e6, 1e6), st.just(float("nan")))


def draw_flat(seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return np.where(draw.random(100) < 0.2, np.nan, 1000.0 + draw.normal(size=100))


def pieces(flat: np.ndarray) -> list[pd.Series]:
    return [pd.Series(flat[low:high]) for low, high in pairwise(OFFSETS)]


def test_lags_are_those_of_pandas():
    flat = draw_flat()
    expected = np.column_stack([np.concatenate([p.shift(lag) for p in pieces(flat)]) for lag in LAGS])
    np.testing.assert_array_equal(lag_columns(flat, OFFSETS, LAGS), expected)


@pytest.mark.parametrize("least", [1, 2, 3])
@pytest.mark.parametrize("statistic", STATISTICS)
def test_rolling_statistics_are_those_of_pandas(statistic, least):
    flat = draw_flat(least)
    ours = rolling_columns(flat, OFFSETS, WINDOWS, [statistic], least=least)
    for column, window in enumerate(WINDOWS):
        rolls = [p.rolling(window, min_periods=min(least, window)) for p in pieces(flat)]
        expected = np.concatenate([getattr(r, statistic)() for r in rolls])
        if least > window:  # pandas refuses a minimum above the window; ours can't be met
            expected = np.full(100, np.nan)
        np.testing.assert_allclose(ours[:, column], expected, rtol=1e-9, atol=1e-9)


def test_columns_run_over_windows_and_within_them_over_statistics():
    ours = rolling_columns(draw_flat(), OFFSETS, [3, 7], ["mean", "max"])
    singles = [rolling_columns(draw_flat(), OFFSETS, [w], [s]) for w in (3, 7) for s in ("mean", "max")]
    np.testing.assert_array_equal(ours, np.hstack(singles))


def test_only_the_rows_that_are_asked_for_are_computed_and_they_are_the_same():
    flat, rows = draw_flat(), np.array([99, 0, 40, 41, 41])
    np.testing.assert_array_equal(
        rolling_columns(flat, OFFSETS, WINDOWS, STATISTICS, rows=rows),
        rolling_columns(flat, OFFSETS, WINDOWS, STATISTICS)[rows],
    )
    np.testing.assert_array_equal(lag_columns(flat, OFFSETS, LAGS, rows=rows), lag_columns(flat, OFFSETS, LAGS)[rows])


def both(flat: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    return np.hstack([lag_columns(flat, offsets, LAGS), rolling_columns(flat, offsets, WINDOWS, STATISTICS)])


@settings(max_examples=40, deadline=None)
@given(
    past=st.lists(VALUE, min_size=1, max_size=30),
    futures=st.lists(st.lists(VALUE, max_size=10), min_size=2, max_size=2),
)
def test_a_changed_future_leaves_every_bit_of_the_past(past, futures):
    made = [both(np.array(past + future), np.array([0, len(past) + len(future)]))[: len(past)] for future in futures]
    assert made[0].tobytes() == made[1].tobytes()


@settings(max_examples=40, deadline=None)
@given(before=st.lists(VALUE, max_size=10), own=st.lists(VALUE, min_size=1, max_size=20))
def test_a_series_among_others_has_the_bits_that_it_has_alone(before, own):
    alone = both(np.array(own), np.array([0, len(own)]))
    among = both(
        np.array(before + own + [5.0]), np.array([0, len(before), len(before) + len(own), len(before) + len(own) + 1])
    )
    assert among[len(before) : len(before) + len(own)].tobytes() == alone.tobytes()


def test_a_huge_value_leaves_no_trace_once_it_has_left_the_window():
    flat = np.concatenate([[1e15], np.full(9, 0.1)])
    mean, std = rolling_columns(flat, [0, 10], [3], ["mean", "std"])[5]
    assert (mean, std) == pytest.approx((0.1, 0.0), abs=1e-15)


def test_no_asked_for_column_gives_an_empty_table():
    assert rolling_columns(draw_flat(), OFFSETS, []).shape == (100, 0)
    assert lag_columns(draw_flat(), OFFSETS, []).shape == (100, 0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: lag_columns([1.0], [0, 1], [-1]), ConfigError, "a lag is a whole number of rows, 0 or more; got -1"),
        (lambda: lag_columns([1.0], [0, 1], [1.5]), ConfigError, "a lag is a whole number of rows"),
        (lambda: rolling_columns([1.0], [0, 1], [0]), ConfigError, "a rolling window is .* 1 or more; got 0"),
        (lambda: rolling_columns([1.0], [0, 1], [True]), ConfigError, "got True"),
        (lambda: rolling_columns([1.0], [0, 1], [2], least=0), ConfigError, "the least number of observed"),
        (lambda: rolling_columns([1.0], [0, 1], [2], ["maen"]), UnknownNameError, "Did you mean 'mean'"),  # type: ignore[list-item]
        (lambda: rolling_columns([1.0], [0, 1], [2], "mean"), ConfigError, r"Write \('mean',\)"),  # type: ignore[arg-type]
        (lambda: lag_columns([1.0], [0, 2], [1]), ConfigError, "offsets run from 0 to the number of rows"),
        (lambda: lag_columns([1.0, 2.0], [0, 2, 1, 2], [1]), ConfigError, "offsets ascend"),
        (lambda: lag_columns([1.0], [0, 1], [1], rows=np.array([1])), ConfigError, "rows lie between 0 and 0"),
    ],
)
def test_what_can_not_be_computed_is_refused_with_a_remedy(call, error, message):
    with pytest.raises(error, match=message):
        call()


def shops() -> Panel:
    table = pl.DataFrame({"shop": ["a"] * 3 + ["b"] * 2, "t": [0, 1, 2, 0, 1], "sales": [1.0, 2, 4, 8, 16]})
    return Panel.from_table(table, series="shop", time="t", target="sales")


def test_a_panel_with_lags_has_past_columns_named_after_their_source():
    panel = add_lags(shops(), lags=[1], rolling=[2], statistics=["mean", "max"])
    assert panel.roles.past == ("sales_lag1", "sales_mean2", "sales_max2")
    assert panel.table["sales_lag1"].to_list() == [None, 1.0, 2.0, None, 8.0]
    assert panel.table["sales_mean2"].to_list() == [1.0, 1.5, 3.0, 8.0, 12.0]


def test_lags_of_a_covariate_are_added_beside_those_of_the_target():
    panel = add_lags(add_lags(shops(), lags=[1]), column="sales_lag1", lags=[1])
    assert panel.table["sales_lag1_lag1"].to_list() == [None, None, 1.0, None, None]


def test_a_panel_refuses_two_columns_of_one_name_and_a_lag_of_nothing():
    with pytest.raises(ColumnError, match="two columns 'sales_lag1'"):
        add_lags(add_lags(shops(), lags=[1]), lags=[1])
    with pytest.raises(ColumnError, match="two columns 'sales_mean2'"):
        add_lags(shops(), rolling=[2, 2], statistics=["mean"])
    with pytest.raises(ConfigError, match="a lag is a whole number of rows, 1 or more; got 0"):
        add_lags(shops(), lags=[0])
    with pytest.raises(ColumnError, match="no numeric column is called 'sale'"):
        add_lags(shops(), column="sale", lags=[1])


def test_numba_is_loaded_only_when_a_rolling_statistic_is_computed():
    code = (
        "import sys, tidewright.features.lags as lags; lags.lag_columns([1.0], [0, 1], [1])\n"
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
