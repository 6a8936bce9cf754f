"""Each floor's formula against numbers worked out by hand, and against plain loops."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tidewright.data.frequency import DAY, Frequency
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, Split, split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError, ShortSeriesError
from tidewright.features.view import View
from tidewright.features.windows import cut_windows, make_windows, newest_windows
from tidewright.models.fit_floors import candidate_periods, fit_floor
from tidewright.models.fit_ridge import solve_ridges
from tidewright.models.floors import (
    damped_level,
    forecast_drift,
    forecast_ridge,
    forecast_seasonal,
    last_observed,
    median_observed,
    window_scale,
)
from tidewright.models.spec import Damped, Drift, Median, Naive, Ridge, SeasonalNaive

NAN = np.nan
HISTORIES = arrays(
    np.float64, st.tuples(st.integers(1, 4), st.integers(1, 12)), elements=st.just(NAN) | st.floats(-9, 9, width=16)
)


def make_panel(*series, first=0):
    frames = [
        pl.DataFrame({"id": [f"s{n}"] * len(y), "t": range(first, first + len(y)), "y": np.asarray(y, dtype=float)})
        for n, y in enumerate(series)
    ]
    return Panel.from_table(
        pl.concat(frames).with_columns(pl.col("y").fill_nan(None)), series="id", time="t", target="y"
    )


def fit(spec, panel, *, horizon=3, season=None, quantiles=(0.1, 0.5, 0.9), **sizes):
    task = Task(horizon=horizon, quantiles=quantiles)
    return fit_floor(spec, panel=panel, split=split_holdout(panel, task, **sizes), task=task, season=season)


def newest(floor, panel):
    """The point forecast [S, H] of the future."""
    return floor.predict(newest_windows(panel, floor.view, horizon=floor.task.horizon))[:, :, floor.task.median]


def test_seasonal_naive_by_hand():
    past = np.array([[1.0, 2.0, 3.0, 4.0, 5.0]])
    np.testing.assert_array_equal(forecast_seasonal(past, period=3, horizon=7), [[3, 4, 5, 3, 4, 5, 3]])
    np.testing.assert_array_equal(forecast_seasonal(past, period=1, horizon=2), [[5, 5]])


def test_a_missing_seasonal_value_takes_the_one_before_it():
    past = np.array([[1.0, 2.0, 3.0, NAN, 5.0]])
    np.testing.assert_array_equal(forecast_seasonal(past, period=2, horizon=2), [[3, 5]])


def test_a_season_longer_than_the_history_falls_back_on_the_last_value():
    np.testing.assert_array_equal(forecast_seasonal(np.array([[7.0, 8.0]]), period=4, horizon=5), [[8, 8, 7, 8, 8]])
    np.testing.assert_array_equal(forecast_seasonal(np.array([[NAN, 8.0]]), period=3, horizon=3), [[8, 8, 8]])


@given(HISTORIES, st.integers(1, 14), st.integers(1, 9))
def test_seasonal_naive_is_what_a_loop_gives(past, period, horizon):
    got = forecast_seasonal(past, period=period, horizon=horizon)
    for row, history in enumerate(past):
        observed = history[~np.isnan(history)]
        for step in range(horizon):
            place = len(history) - period + step % period
            before = [value for value in history[: max(place + 1, 0)] if not np.isnan(value)]
            wanted = before[-1] if before else (observed[-1] if observed.size else NAN)
            np.testing.assert_equal(got[row, step], wanted)


@given(HISTORIES)
def test_the_last_and_the_median_value_are_numpys(past):
    for history, last, middle in zip(past, last_observed(past), median_observed(past), strict=True):
        observed = history[~np.isnan(history)]
        np.testing.assert_equal(last, observed[-1] if observed.size else NAN)
        np.testing.assert_allclose(middle, np.median(observed) if observed.size else NAN, rtol=1e-15)


def test_drift_by_hand():
    np.testing.assert_allclose(forecast_drift(np.array([[1.0, 9.0, 4.0]]), horizon=2), [[5.5, 7.0]])
    np.testing.assert_allclose(forecast_drift(np.array([[NAN, 2.0, NAN, 6.0, NAN]]), horizon=2), [[8, 10]])
    np.testing.assert_array_equal(forecast_drift(np.array([[NAN, 2.0]]), horizon=2), [[2, 2]])


def test_the_damped_level_by_hand():
    spec = Damped(period=3, recent=2, low=0.5, high=4.0, damping=0.5)
    past = np.array([[2.0, 2.0, 5.0, 4.0, 4.0]])  # the last two, 8, against those a period before, 4
    np.testing.assert_allclose(damped_level(past, spec), [2.0**0.5])
    np.testing.assert_allclose(damped_level(past, Damped(period=3, recent=2)), [1.4**0.5])
    missing = np.array([[2.0, NAN, 5.0, 3.0, 4.0]])  # only 3 against 2 has both
    np.testing.assert_allclose(damped_level(missing, spec), [1.5**0.5])


@pytest.mark.parametrize(
    "past",
    [[0.0, 0.0, 5.0, 4.0, 4.0], [-2.0, -2.0, 5.0, 4.0, 4.0], [2.0, 2.0, 5.0, -4.0, -4.0], [NAN] * 5, [1.0], [3.0, 4.0]],
)
def test_a_level_that_can_not_be_told_is_one(past):
    assert damped_level(np.array([past]), Damped(period=3, recent=2)) == [1.0]


def test_damped_is_the_seasonal_naive_times_its_level():
    y = np.tile([10.0, 20.0, 30.0, 40.0], 20) * np.repeat([1.0, 1.2], 40)
    panel = make_panel(y[:44])
    floor = fit(Damped(period=4, recent=4), panel, season=4)
    np.testing.assert_allclose(newest(floor, panel), np.array([[12, 24, 36]]) * 1.2**0.5)


def test_ridge_weights_recover_a_linear_rule():
    rng = np.random.default_rng(0)
    y = np.zeros(600)
    for t in range(2, 600):
        y[t] = 1.2 * y[t - 1] - 0.8 * y[t - 2] + rng.normal()
    panel = make_panel(y)
    floor = fit(Ridge(lookbacks=(40,), penalties=(1e-6,), scalings=("none",)), panel, horizon=1)
    np.testing.assert_allclose(floor.weights[-2:, 0], [-0.8, 1.2], atol=0.1)


def test_ridge_is_the_closed_form_of_numpy():
    rng = np.random.default_rng(1)
    panel = make_panel(rng.normal(size=200).cumsum(), rng.normal(size=200).cumsum() * 5)
    task = Task(horizon=3)
    split = split_holdout(panel, task)
    spec = Ridge(lookbacks=(6, 9), penalties=(0.01,), scalings=("none", "window"))
    found = {}
    for lookback in (6, 9):
        for scaling in ("none", "window"):
            one = Ridge(lookbacks=(lookback, 9), penalties=(0.01,), scalings=(scaling,))
            windows = cut_windows(panel, View(9), horizon=3, cutoffs=split.train)
            found[lookback, scaling] = next(w for s, w in solve_ridges(one, windows) if s.lookbacks == (lookback,))
            past, labels = windows.history(), windows.labels()
            weight = 1 / past.std(axis=1) if scaling == "window" else np.ones(len(past))
            x = past[:, -lookback:]
            mean = x.mean(axis=1, keepdims=True)
            x, y = (x - mean) * weight[:, None], (labels - mean) * weight[:, None]
            gram = x.T @ x
            wanted = np.linalg.solve(gram + 0.01 * np.trace(gram) / lookback * np.eye(lookback), x.T @ y)
            np.testing.assert_allclose(found[lookback, scaling], wanted, atol=1e-4 * np.abs(wanted).max())
    chosen = fit_floor(spec, panel=panel, split=split, task=task)
    assert len(chosen.history) == 4
    assert sum(record["chosen"] for record in chosen.history) == 1


def test_ridge_treats_a_missing_value_as_the_windows_mean():
    weights = np.array([[1.0], [2.0], [4.0]])
    np.testing.assert_allclose(forecast_ridge(np.array([[1.0, NAN, 3.0]]), weights), [[2 - 1 + 4]])


def test_the_scale_of_a_window_by_hand():
    past = np.array([[1.0, 2.0, 5.0, 9.0], [1.0, NAN, 5.0, 9.0], [NAN, NAN, NAN, 9.0]])
    np.testing.assert_allclose(window_scale(past, 2), [5.5, 4.0, 0.0])
    np.testing.assert_allclose(window_scale(past, 9), [8 / 3, 4.0, 0.0])  # no pair: lag 1
    np.testing.assert_allclose(window_scale(np.array([[3.0]]), 1), [0.0])


@pytest.mark.parametrize(
    "spec",
    [Naive(), SeasonalNaive(period=2), Damped(period=2), Drift(lookback=4), Median(lookback=4), Ridge(lookbacks=(4,))],
)
def test_a_window_in_which_nothing_was_observed_gets_no_number(spec):
    panel = make_panel(np.arange(60.0) % 7)
    floor = fit(spec, panel, season=2)
    holes = Panel.from_table(
        panel.table.with_columns(pl.when(pl.col("t").is_between(10, 40)).then(None).otherwise(pl.col("y")).alias("y")),
        series="id", time="t", target="y",
    )  # fmt: skip
    answer = floor.predict(make_windows(holes, floor.view, horizon=3, rows=np.array([35])))
    assert np.isnan(answer).all()


@pytest.mark.parametrize("spec", [Naive(), SeasonalNaive(), Damped(), Drift(), Median(), Ridge()])
def test_a_constant_series_is_forecast_exactly_and_without_a_band(spec):
    panel = make_panel(np.full(80, 4.2))
    floor = fit(spec, panel, season=4)
    answer = floor.predict(newest_windows(panel, floor.view, horizon=3))
    np.testing.assert_allclose(answer, 4.2, rtol=1e-12)


@pytest.mark.parametrize("spec", [Naive(), SeasonalNaive(period=1), Damped(period=1), Drift(), Median(), Ridge()])
def test_a_grid_without_a_season_works(spec):
    panel = make_panel(np.random.default_rng(2).normal(size=60).cumsum())
    assert np.isfinite(newest(fit(spec, panel, season=1), panel)).all()


def test_negative_data_are_forecast():
    y = -np.tile([10.0, 20.0, 30.0, 40.0], 15)
    panel = make_panel(y)
    np.testing.assert_array_equal(newest(fit(SeasonalNaive(period=4), panel, season=4), panel), [[-10, -20, -30]])
    np.testing.assert_array_equal(newest(fit(Damped(period=4), panel, season=4), panel), [[-10, -20, -30]])


def test_the_period_is_chosen_where_it_repeats_on_validation():
    cycle = np.random.default_rng(3).normal(size=28)  # four weeks: a week alone does not repeat
    days = pl.date_range(pl.date(2022, 1, 1), pl.date(2022, 12, 31), eager=True)
    panel = Panel.from_table(pl.DataFrame({"t": days, "y": np.resize(cycle, 365)}), time="t", target="y")
    floor = fit(SeasonalNaive(), panel, horizon=7)
    assert floor.spec.period == 28
    assert [record["candidate"] for record in floor.history] == ["period 7", "period 28"]
    assert [record["chosen"] for record in floor.history] == [False, True]


@pytest.mark.parametrize("spec", [Median(), Drift()])
def test_a_chosen_lookback_is_how_far_the_floor_sees(spec):
    panel = make_panel(np.random.default_rng(4).normal(size=200).cumsum())
    floor = fit(spec, panel, season=6)
    assert floor.view.lookback == floor.spec.lookback
    given = fit(type(spec)(lookback=5), panel, season=6)
    past = panel.target[-5:]
    wanted = (
        np.full(3, np.median(past))
        if isinstance(spec, Median)
        else past[-1] + (past[-1] - past[0]) / 4 * np.arange(1, 4)
    )
    np.testing.assert_allclose(newest(given, panel)[0], wanted)


def test_bands_hold_their_share_of_pure_noise():
    panel = make_panel(np.random.default_rng(5).normal(size=6000))
    floor = fit(Median(lookback=50), panel, horizon=2, stride=1)
    split = split_holdout(panel, floor.task, stride=1)
    windows = cut_windows(panel, floor.view, horizon=2, cutoffs=split.test)
    answer, labels = floor.predict(windows), windows.labels()
    inside = (labels > answer[:, :, 0]) & (labels < answer[:, :, 2])
    assert abs(inside.mean() - 0.8) < 0.05  # 900 windows: three standard errors are 0.04


def test_series_shorter_than_a_season_are_still_calibrated():
    rng = np.random.default_rng(6)
    panel = make_panel(*[rng.normal(size=143) + 9 for _ in range(40)])
    floor = fit(SeasonalNaive(period=52), panel, horizon=39, season=52)
    assert (floor.spread[:, 0] < 0).all()
    assert (floor.spread[:, 2] > 0).all()


def test_a_lookback_is_found_for_minutes_too():
    panel = make_panel(np.random.default_rng(7).normal(size=4000))
    floor = fit(Ridge(penalties=(0.1,), scalings=("none",)), panel, season=1440)
    assert floor.view.lookback <= 720


def test_a_ridge_without_a_full_row_of_labels_says_so():
    y = np.where(np.arange(90) % 3 == 0, np.nan, 1.0 * np.arange(90))
    with pytest.raises(ShortSeriesError, match="no training window of lookback 4 has all 6 labels"):
        fit(Ridge(lookbacks=(4,)), make_panel(y[1:]), horizon=6)


def test_a_season_of_zero_is_an_error():
    with pytest.raises(ConfigError, match="the season is a lag in steps, 1 or more; got 0"):
        fit(Naive(), make_panel(np.arange(40.0)), season=0)


def test_a_floor_sees_nothing_after_the_validation_part():
    rng = np.random.default_rng(8)
    y = rng.normal(size=120).cumsum()
    task = Task(horizon=3)
    panel = make_panel(y)
    split = split_holdout(panel, task)
    end = split.validation.last + 3
    other = make_panel(np.where(np.arange(120) > end, 1e6, y))
    for spec in (Naive(), SeasonalNaive(), Damped(), Drift(), Median(), Ridge()):
        ours, theirs = (fit_floor(spec, panel=p, split=split, task=task, season=6) for p in (panel, other))
        assert ours.spec == theirs.spec
        assert ours.history == theirs.history
        for name, tensor in ours.tensors().items():
            assert tensor.tobytes() == theirs.tensors()[name].tobytes()


def test_candidate_periods_are_those_that_the_data_can_show():
    quarter_hours = Frequency("fixed", DAY // 96, 0)
    assert candidate_periods(quarter_hours, 96, 5000) == (96, 672)
    assert candidate_periods(quarter_hours, 96, 300) == (96,)
    assert candidate_periods(Frequency("fixed", DAY, 0), 7, 364) == (7, 28, 364)
    assert candidate_periods(Frequency("month", 1, 0), 12, 5) == (1,)


def test_a_fold_without_a_test_part_fits():
    panel = make_panel(np.random.default_rng(9).normal(size=80))
    split = Split(Cutoffs(0, 40), Cutoffs(43, 60), None, horizon=3, purge=3, embargo=0)
    assert fit_floor(Naive(), panel=panel, split=split, task=Task(horizon=3)).spread.shape == (3, 3)
