"""Lags and rolling statistics against pandas, and their laws."""

import math
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tidewright as tw
from tests.worlds import small_panel
from tidewright.data.panel import Panel
from tidewright.errors import ColumnError, ConfigError, UnknownNameError
from tidewright.features.lags import add_lags, lag_columns, rolling_columns
from tidewright.features.statistics import STATISTICS

OFFSETS = np.array([0, 40, 41, 41, 100])
LAGS, WINDOWS = (0, 1, 7), (1, 3, 20, 50)
ALL = (*STATISTICS, "q0.1", "q0.75", "q0", "q1")
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


def line_slope(values: np.ndarray) -> float:
    places = np.flatnonzero(~np.isnan(values))
    return float(np.polyfit(places, values[places], 1)[0]) if len(places) > 1 else np.nan


def by_pandas(piece: pd.Series, window: int, statistic: str, *, least: int) -> pd.Series:
    roll = piece.rolling(window, min_periods=min(least, window))
    if least > window and statistic != "count":  # pandas refuses a minimum above the window; ours can't be met
        return piece * np.nan
    if statistic == "count":
        return piece.rolling(window, min_periods=0).count()
    if statistic == "slope":
        return roll.apply(line_slope, raw=True)
    if statistic.startswith("q"):
        return roll.quantile(float(statistic[1:]))
    name = {"kurtosis": "kurt"}.get(statistic, statistic)
    return getattr(roll, name)()


@pytest.mark.filterwarnings("ignore:Polyfit may be poorly conditioned")
@pytest.mark.parametrize("least", [1, 2, 3])
@pytest.mark.parametrize("statistic", ALL)
def test_rolling_statistics_are_those_of_pandas(statistic, least):
    flat = draw_flat(least)
    ours = rolling_columns(flat, OFFSETS, WINDOWS, [statistic], least=least)
    for column, window in enumerate(WINDOWS):
        expected = np.concatenate([by_pandas(p, window, statistic, least=least) for p in pieces(flat)])
        np.testing.assert_allclose(ours[:, column], expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("statistic", ALL)
def test_an_expanding_window_reaches_back_to_the_first_row_of_its_series(statistic):
    flat = draw_flat(3)
    ours = rolling_columns(flat, OFFSETS, ["all"], [statistic])
    np.testing.assert_array_equal(ours, rolling_columns(flat, OFFSETS, [1000], [statistic]))
    last = rolling_columns(flat, OFFSETS, ["all"], [statistic], rows=OFFSETS[[1, 2, 4]] - 1)
    np.testing.assert_allclose(ours[OFFSETS[[1, 2, 4]] - 1], last, rtol=1e-9, atol=1e-9)


def test_columns_run_over_windows_and_within_them_over_statistics():
    ours = rolling_columns(draw_flat(), OFFSETS, [3, 7], ["mean", "max"])
    singles = [rolling_columns(draw_flat(), OFFSETS, [w], [s]) for w in (3, 7) for s in ("mean", "max")]
    np.testing.assert_array_equal(ours, np.hstack(singles))


@pytest.mark.parametrize("windows", [WINDOWS, ["all"]])
def test_only_the_rows_that_are_asked_for_are_computed_and_they_are_the_same(windows):
    flat, rows = draw_flat(), np.array([99, 0, 40, 41, 41])
    np.testing.assert_allclose(
        rolling_columns(flat, OFFSETS, windows, ALL, rows=rows),
        rolling_columns(flat, OFFSETS, windows, ALL)[rows],
        rtol=1e-9,
        atol=1e-10,
    )
    np.testing.assert_array_equal(lag_columns(flat, OFFSETS, LAGS, rows=rows), lag_columns(flat, OFFSETS, LAGS)[rows])


def test_a_long_sorted_window_holds_what_a_short_one_holds(monkeypatch):
    draw = np.random.default_rng(5)
    flat = np.where(draw.random(1500) < 0.1, np.nan, draw.integers(0, 50, 1500).astype(float))
    offsets = [0, 700, 1500]
    levels = ["q0", "q0.05", "median", "q0.9", "q1"]
    for window in (512, 513, 650):
        expected = [pd.Series(p).rolling(window, min_periods=1) for p in (flat[:700], flat[700:])]
        ours = rolling_columns(flat, offsets, [window], levels)
        for q, level in enumerate((0.0, 0.05, 0.5, 0.9, 1.0)):
            theirs = np.concatenate([roll.quantile(level) for roll in expected])
            np.testing.assert_allclose(ours[:, q], theirs, rtol=1e-12)


def both(flat: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    return np.hstack([lag_columns(flat, offsets, LAGS), rolling_columns(flat, offsets, [*WINDOWS, "all"], ALL)])


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


@settings(max_examples=100, deadline=None)
@given(
    own=st.lists(st.one_of(st.integers(-1000, 1000), st.sampled_from([math.nan, math.inf, -math.inf])), max_size=40),
    border=st.integers(0, 40),
    least=st.integers(1, 4),
)
def test_whole_columns_hold_what_each_window_gives_by_itself(own, border, least):
    flat, offsets = np.array(own, dtype=float), [0, min(border, len(own)), len(own)]
    whole, direct = (
        rolling_columns(flat, offsets, [1, 2, 5, 9, "all"], ALL, least=least, rows=rows)
        for rows in (None, np.arange(len(own)))
    )
    np.testing.assert_allclose(whole, direct, rtol=1e-7, atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(
    own=st.lists(st.integers(-1000, 1000), min_size=1, max_size=30), shift=st.integers(-5, 5), scale=st.integers(1, 4)
)
def test_statistics_move_with_the_level_and_the_unit(own, shift, scale):
    names = ("mean", "median", "q0.9", "min", "max", "std", "slope", "var", "skew", "kurtosis", "count")
    powers = np.array([1, 1, 1, 1, 1, 1, 1, 2, 0, 0, 0])
    moves = np.array([1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    flat = np.array(own, dtype=float)
    plain = rolling_columns(flat, [0, len(own)], [5], names)
    moved = rolling_columns(scale * flat + shift, [0, len(own)], [5], names)
    np.testing.assert_allclose(moved, plain * float(scale) ** powers + shift * moves, rtol=1e-7, atol=1e-7)


def test_a_huge_value_leaves_no_trace_once_it_has_left_the_window():
    flat = np.concatenate([[1e15], np.full(9, 0.1)])
    for row in range(3, 10):
        mean, std, var = rolling_columns(flat, [0, 10], [3], ["mean", "std", "var"])[row]
        assert (mean, std, var) == (pytest.approx(0.1, abs=1e-16), 0.0, 0.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_missing_or_infinite_value_is_gone_with_its_window(bad):
    flat = draw_flat(1)[:40]
    flat[10] = bad
    made, direct = (rolling_columns(flat, [0, 40], [7], ALL, rows=rows) for rows in (None, np.arange(40)))
    assert np.isfinite(made[17:, [ALL.index(name) for name in ("mean", "std", "sum", "slope", "kurtosis")]]).all()
    np.testing.assert_allclose(made, direct, rtol=1e-9, atol=1e-10)
    if np.isinf(bad):
        assert made[10:17, ALL.index("mean")].tolist() == [bad] * 7
        assert np.isnan(made[10:17, ALL.index("std")]).all()


@pytest.mark.parametrize("window", [1023, 1024, 1025, 1500, 4100])
def test_windows_longer_than_what_is_worked_out_at_once_are_whole(window):
    draw = np.random.default_rng(6)
    flat = np.where(draw.random(5000) < 0.1, np.nan, draw.normal(size=5000))
    offsets, rows = [0, 900, 5000], np.array([0, 899, 900, 1922, 1923, 1924, 1925, 2399, 2400, 2401, 3400, 4998, 4999])
    made = rolling_columns(flat, offsets, [window], STATISTICS)[rows]
    direct = rolling_columns(flat, offsets, [window], STATISTICS, rows=rows)
    np.testing.assert_allclose(made, direct, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("level", [0.0, 1e9, -1e12])
@pytest.mark.parametrize("window", [7, 1000, "all"])
def test_long_columns_do_not_drift_from_exact_sums(level, window):
    draw = np.random.default_rng(2)
    flat = level + draw.normal(size=20_000)
    mean, std, total = rolling_columns(flat, [0, len(flat)], [window], ["mean", "std", "sum"]).T
    for row in (6, 999, 10_000, 19_999):
        seen = flat[: row + 1] if window == "all" else flat[max(0, row + 1 - window) : row + 1]
        exact = math.fsum(seen)
        spread = math.sqrt(math.fsum((seen - seen[0]) ** 2) - math.fsum(seen - seen[0]) ** 2 / len(seen))
        assert total[row] == pytest.approx(exact, rel=1e-14, abs=1e-10)
        assert mean[row] == pytest.approx(exact / len(seen), rel=1e-14, abs=1e-12)
        assert std[row] == pytest.approx(spread / math.sqrt(len(seen) - 1), rel=1e-10)


def test_of_equal_values_nothing_varies_to_the_last_bit():
    flat = np.full(500, 0.1)
    made = rolling_columns(flat, [0, 500], [7, 100], ["std", "var", "slope", "skew", "kurtosis"])[1:]
    assert (made[:, [0, 1, 2, 5, 6, 7]] == 0.0).all()
    assert np.isnan(made[:, [3, 4, 8, 9]]).all()


def test_a_window_that_never_holds_the_least_number_of_values_is_refused():
    panel = small_panel(rows=30)
    for call in (lambda: add_lags(panel, rolling=[7, 2], least=3), lambda: tw.add_seasonal(panel, counts=[2], least=3)):
        with pytest.raises(ConfigError, match="a window of 2 rows never holds 3 observed values"):
            call()
    made = add_lags(panel, rolling=[2], statistics=["count"], least=3)
    assert np.isfinite(made.values("sold_count2")).all()


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
        (
            lambda: rolling_columns([1.0], [0, 1], [2], ["q1.5"]),
            UnknownNameError,
            "no rolling statistic is called 'q1.5'",
        ),
        (lambda: rolling_columns([1.0], [0, 1], ["al"]), ConfigError, "a rolling window is .*; got 'al'"),
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


def test_columns_of_quantiles_and_of_expanding_windows_have_names_of_their_own():
    panel = add_lags(shops(), rolling=[2, "all"], statistics=["q0.9", "sum"])
    assert panel.roles.past == ("sales_q0.9_2", "sales_sum2", "sales_q0.9_all", "sales_sum_all")
    assert panel.table["sales_sum_all"].to_list() == [1.0, 3.0, 7.0, 8.0, 24.0]


def test_what_is_made_of_a_known_column_is_known():
    table = shops().table.with_columns(price=pl.Series([1.0, 2, 3, 4, 5]))
    panel = Panel.from_table(table, series="shop", time="t", target="sales", known=["price"])
    made = add_lags(add_lags(panel, column="price", lags=[1]), lags=[1])
    assert made.roles.known == ("price", "price_lag1")
    assert made.roles.past == ("sales_lag1",)


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
