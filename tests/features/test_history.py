"""Exponentially weighted means, seasonal statistics and times since events, against pandas; and their laws."""

from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worlds import small_panel
from tidewright.data.panel import Panel
from tidewright.errors import ColumnError, ConfigError
from tidewright.features.history import (
    add_seasonal,
    add_since,
    add_weighted,
    seasonal_columns,
    since_column,
    weighted_columns,
)

OFFSETS = np.array([0, 40, 41, 41, 100])


def draw_flat(seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return np.where(draw.random(100) < 0.2, np.nan, 1000.0 + draw.normal(size=100))


def pieces(flat: np.ndarray) -> list[pd.Series]:
    return [pd.Series(flat[low:high]) for low, high in pairwise(OFFSETS)]


@pytest.mark.parametrize("ignore", [False, True])
@pytest.mark.parametrize("least", [1, 3])
def test_weighted_means_and_deviations_are_those_of_pandas(ignore, least):
    flat = draw_flat(least)
    flat[0] = np.nan
    names = ("mean", "std")
    ours = weighted_columns(
        flat, OFFSETS, half_lives=[0.5, 7], spans=[3, 28.5], statistics=names, ignore_missing=ignore, least=least
    )
    options = [{"halflife": 0.5}, {"halflife": 7}, {"span": 3}, {"span": 28.5}]
    for column, (option, name) in enumerate((option, name) for option in options for name in names):
        rolls = [p.ewm(**option, adjust=True, ignore_na=ignore, min_periods=least) for p in pieces(flat)]
        theirs = np.concatenate([getattr(roll, name)() for roll in rolls])
        np.testing.assert_allclose(ours[:, column], theirs, rtol=1e-9 if name == "std" else 1e-12)


def test_a_missing_row_ages_what_came_before_it_unless_it_is_ignored():
    flat = [4.0, np.nan, 1.0]
    aged, ignored = (
        weighted_columns(flat, [0, 3], half_lives=[1.0], ignore_missing=ignore)[2, 0] for ignore in (False, True)
    )
    assert (aged, ignored) == (pytest.approx((4 / 4 + 1) / 1.25), pytest.approx((4 / 2 + 1) / 1.5))


def test_an_infinite_value_counts_as_missing_in_a_weighted_mean():
    flat = draw_flat()
    spoiled = np.where(np.isnan(flat), np.inf, flat)
    np.testing.assert_array_equal(
        weighted_columns(spoiled, OFFSETS, spans=[7]), weighted_columns(flat, OFFSETS, spans=[7])
    )


def test_a_weighted_mean_keeps_its_digits_at_any_level():
    noise = np.random.default_rng(0).normal(size=2000)
    low, high = (
        weighted_columns(level + noise, [0, 2000], half_lives=[50], statistics=["mean", "std"]) for level in (0.0, 1e9)
    )
    np.testing.assert_allclose(high[:, 0] - 1e9, low[:, 0], atol=2e-6)  # 1e9 itself has a rounding of 1.2e-7
    np.testing.assert_allclose(high[:, 1], low[:, 1], rtol=1e-5)


@pytest.mark.parametrize("season", [1, 7])
@pytest.mark.parametrize("statistic", ["mean", "std", "median"])
def test_seasonal_statistics_are_those_of_pandas_within_each_season(season, statistic):
    flat = draw_flat()
    ours = seasonal_columns(flat, OFFSETS, [1, 3, "all"], [statistic], season=season)
    for column, count in enumerate((1, 3, 1000)):
        expected = []
        for piece in pieces(flat):
            groups = piece.groupby(np.arange(len(piece)) % season)
            expected.append(getattr(groups.rolling(count, min_periods=1), statistic)().droplevel(0).sort_index())
        np.testing.assert_allclose(ours[:, column], np.concatenate(expected), rtol=1e-9, atol=1e-9)


def test_the_time_since_an_event_counts_from_its_own_row():
    draw = np.random.default_rng(1)
    flat = np.where(draw.random(100) < 0.2, np.nan, draw.integers(0, 3, 100).astype(float))
    for value, hit in ((None, (flat == 1) | (flat == 2)), (2.0, flat == 2), (0.0, flat == 0)):
        made = since_column(flat, OFFSETS, value=value)
        for low, high in pairwise(OFFSETS):
            for row in range(low, high):
                before = np.flatnonzero(hit[low : row + 1])
                expected = row - low - before[-1] if before.size else np.nan
                np.testing.assert_equal(made[row], expected)


@settings(max_examples=40, deadline=None)
@given(own=st.lists(st.integers(-100, 100), min_size=1, max_size=30), shift=st.integers(-5, 5), scale=st.integers(1, 4))
def test_they_move_with_the_level_and_the_unit(own, shift, scale):
    flat = np.array(own, dtype=float)
    offsets = [0, len(own)]
    plain, moved = (
        np.hstack(
            [
                weighted_columns(values, offsets, half_lives=[2]),
                seasonal_columns(values, offsets, [2], ["mean", "max"], season=3),
            ]
        )
        for values in (flat, scale * flat + shift)
    )
    np.testing.assert_allclose(moved, scale * plain + shift, rtol=1e-9, atol=1e-9)
    assert since_column(flat * scale, offsets).tobytes() == since_column(flat, offsets).tobytes()


def test_a_panel_gets_them_as_past_columns_or_known_ones_where_the_source_is_known():
    panel = add_since(
        add_since(add_seasonal(small_panel(), counts=[3, "all"], statistics=["mean"])), column="price", value=2
    )
    panel = add_weighted(panel, half_lives=[1.5], spans=[12])
    assert panel.roles.past[1:] == (
        "sold_season24_mean3",
        "sold_season24_mean_all",
        "sold_since",
        "sold_half1.5_mean",
        "sold_span12_mean",
    )
    assert panel.roles.known == ("price", "price_since2")
    assert panel.table["sold_half1.5_mean"].null_count() < 3


def test_the_known_future_of_a_flag_has_its_times_since():
    table = pl.DataFrame({"t": range(5), "sold": [1.0, 2, 3, None, None], "promo": [0, 1, 0, 0, 1]})
    panel = Panel.from_table(table, time="t", target="sold", known=["promo"])
    assert add_since(panel, column="promo").table["promo_since"].to_list() == [None, 0.0, 1.0, 2.0, 0.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: weighted_columns([1.0], [0, 1], half_lives=[0]), "a half-life is a number of rows above 0; got 0"),
        (lambda: weighted_columns([1.0], [0, 1], spans=[1]), "a span is a number of rows above 1; got 1"),
        (lambda: weighted_columns([1.0], [0, 1], spans=[float("nan")]), "got nan"),
        (lambda: weighted_columns([1.0], [0, 1], spans=[True]), "got True"),
        (lambda: weighted_columns([1.0], [0, 1], spans=[2], least=0), "the least number of observed values"),
        (
            lambda: seasonal_columns([1.0], [0, 1], [1], season=0),
            "a season is a whole number of rows, 1 or more; got 0",
        ),
        (lambda: since_column([1.0], [0, 2]), "offsets run from 0"),
    ],
)
def test_what_can_not_be_computed_is_refused_with_a_remedy(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(ColumnError, match=r"no numeric column is called 'pric'\. Did you mean 'price'"):
        add_since(small_panel(), column="pric")
