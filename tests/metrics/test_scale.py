"""The seasonal scale against a plain loop, and what it refuses."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.errors import ConfigError, DataError
from tidewright.metrics.scale import past_scale, seasonal_scale


def by_loop(past, *, season, squared):
    moves = [past[i] - past[i - season] for i in range(season, len(past))]
    moves = [move for move in moves if not np.isnan(move)]
    return np.mean([move**2 if squared else abs(move) for move in moves]) if moves else np.nan


@given(
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=5),
    season=st.integers(1, 6),
    squared=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_every_series_has_the_scale_of_a_plain_loop(lengths, season, squared, seed):
    generator = np.random.default_rng(seed)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    values = generator.normal(size=offsets[-1])
    values[generator.random(values.size) < 0.2] = np.nan
    expected = [by_loop(values[a:b], season=season, squared=squared) for a, b in pairwise(offsets)]
    got = seasonal_scale(values, offsets=offsets, season=season, squared=squared)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@given(season=st.integers(1, 4), seed=st.integers(0, 2**16))
def test_a_windows_scale_is_that_of_its_own_past(season, seed):
    generator = np.random.default_rng(seed)
    values, offsets = generator.normal(size=30), np.array([0, 12, 30])
    series = generator.integers(0, 2, size=8)
    ends = offsets[series] + generator.integers(0, 13, size=8)
    expected = [
        by_loop(values[offsets[s] : e], season=season, squared=False) for s, e in zip(series, ends, strict=True)
    ]
    got = past_scale(values, offsets=offsets, season=season, series=series, ends=ends)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_values_after_a_windows_end_change_nothing():
    values = np.random.default_rng(0).normal(size=20)
    changed = values.copy()
    changed[10:] = 1e9
    scales = [past_scale(v, offsets=[0, 20], season=2, series=[0], ends=[10])[0] for v in (values, changed)]
    assert scales[0] == scales[1]


def test_a_huge_neighbour_does_not_blur_a_small_series():
    values = np.concatenate((np.arange(100) * 1e15, np.arange(100) * 1e-3))
    assert seasonal_scale(values, offsets=[0, 100, 200], season=1)[1] == pytest.approx(1e-3, rel=1e-12)


@pytest.mark.parametrize("season", [0, -1])
def test_a_season_is_a_lag_of_at_least_one_row(season):
    with pytest.raises(ConfigError, match=f"at least 1 row, got {season}"):
        seasonal_scale([1.0, 2.0], offsets=[0, 2], season=season)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"offsets": [0, 2]}, "offsets must run from 0 to the 3 rows"),
        ({"offsets": [0, 2, 1, 3]}, "offsets must not fall"),
        ({"series": [1]}, "series holds codes from 0 to 0, got 1 to 1"),
        ({"ends": [4]}, "an end lies outside its series"),
        ({"ends": [1, 2]}, "one entry a window"),
        ({"values": [1.0, np.inf, 2.0]}, "row 1 of values is infinite"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(options, message):
    given_options = {
        "values": [1.0, 2.0, 3.0],
        "offsets": [0, 3],
        "season": 1,
        "series": [0],
        "ends": [3],
    } | options
    with pytest.raises(DataError, match=message):
        past_scale(given_options.pop("values"), **given_options)
