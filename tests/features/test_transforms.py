"""Transforms by hand: their numbers, and what they refuse."""

import numpy as np
import polars as pl
import pytest

from tidewright.data.forecast import tabulate
from tidewright.data.panel import Panel
from tidewright.errors import ColumnError, ConfigError, DataError, FrequencyError, ShortSeriesError
from tidewright.features.scaling import MinMax, Standard, fit_windows
from tidewright.features.transforms import Chain, Difference, Log, fit_transform_spec, invert_forecast


def make_panel(**series):
    frames = [
        pl.DataFrame({"id": [name] * len(y), "t": range(len(y)), "y": y}, strict=False) for name, y in series.items()
    ]
    return Panel.from_table(pl.concat(frames).cast({"y": pl.Float64}), series="id", time="t", target="y")


def apply(spec, panel, train=None):
    return fit_transform_spec(spec, train or panel).apply(panel).target


def test_each_series_is_scaled_by_its_own_mean_and_deviation():
    panel = make_panel(a=[1.0, 3.0], b=[100.0, 300.0])
    np.testing.assert_allclose(apply(Standard(), panel), [-1, 1, -1, 1])
    pooled = (panel.target - panel.target.mean()) / panel.target.std()
    np.testing.assert_allclose(apply(Standard(by="panel"), panel), pooled)


def test_min_max_gives_zero_to_one_in_training_and_may_leave_it_later():
    panel = make_panel(a=[2.0, 4.0, 8.0])
    np.testing.assert_allclose(apply(MinMax(), panel, panel.until(1)), [0, 1, 3])


@pytest.mark.parametrize("spec", [Standard(), MinMax()])
def test_a_constant_series_is_moved_to_zero_and_not_divided_by_it(spec):
    panel = make_panel(a=[0.1] * 7)
    np.testing.assert_allclose(apply(spec, panel), 0, atol=1e-15)


def test_a_series_unseen_in_training_takes_the_numbers_of_the_whole_panel():
    panel = make_panel(a=[1.0, 3.0], b=[5.0, 7.0], c=[4.0, 4.0])
    train = panel.select(["a", "b"])
    np.testing.assert_allclose(apply(Standard(), panel, train)[4:], [0, 0])
    by_name = apply(Standard(), panel.select(["b"]), train)  # by its name, not by its place
    np.testing.assert_allclose(by_name, [-1, 1])


def test_logs_by_hand():
    np.testing.assert_allclose(apply(Log(), make_panel(a=[0.0, np.e - 1])), [0, 1], atol=1e-15)
    np.testing.assert_allclose(apply(Log(offset=0.0), make_panel(a=[1.0, np.e])), [0, 1], atol=1e-15)


@pytest.mark.parametrize(("spec", "value"), [(Log(), -1.0), (Log(), -5.0), (Log(offset=0.0), 0.0)])
def test_a_value_without_a_log_is_named_with_its_place(spec, value):
    panel = make_panel(a=[1.0, 2.0], b=[3.0, value])
    with pytest.raises(DataError, match=rf"series 'b' at 1 has the value {value:g}, and log\(y .*needs more than"):
        fit_transform_spec(spec, panel)


def test_a_log_forecast_beyond_any_number_is_refused():
    panel = make_panel(a=[1.0, 2.0])
    transform = fit_transform_spec(Log(), panel)
    with pytest.raises(DataError, match="a forecast of 800 in logs is beyond any number"):
        transform.invert(np.full((1, 1, 1), 800.0), panel=panel, rows=np.array([1]))


def test_differences_by_hand():
    panel = make_panel(a=[1.0, 4.0, 9.0, None, 20.0], b=[5.0, 6.0])
    np.testing.assert_array_equal(apply(Difference(), panel), [np.nan, 3, 5, np.nan, np.nan, np.nan, 1])
    long = make_panel(a=[1.0, 4.0, 9.0, None, 20.0])
    np.testing.assert_array_equal(apply(Difference(lag=2), long), [np.nan, np.nan, 8, np.nan, 11])


def test_forecast_differences_add_up_from_the_last_values():
    panel = make_panel(a=[1.0, 4.0, 9.0, 3.0])
    said, rows = np.array([[[1.0], [2.0], [3.0], [4.0]]]), np.array([3])
    one, two = (fit_transform_spec(Difference(lag=lag), panel) for lag in (1, 2))
    assert one.invert(said, panel=panel, rows=rows).ravel().tolist() == [4, 6, 9, 13]
    assert two.invert(said, panel=panel, rows=rows).ravel().tolist() == [10, 5, 13, 9]


def test_a_missing_last_value_counts_as_the_one_before_it_in_the_same_series():
    panel = make_panel(a=[7.0, 8.0, 9.0], b=[None, 2.0, 3.0, None, 5.0, 6.0])
    transform = fit_transform_spec(Difference(), panel)
    said = np.ones((2, 1, 1))
    back = transform.invert(said, panel=panel, rows=np.array([6, 3]))
    np.testing.assert_array_equal(back.ravel(), [4, np.nan])


def test_a_series_too_short_for_its_differences_is_named():
    with pytest.raises(ShortSeriesError, match="series 'b' has no two observed values 3 steps apart"):
        fit_transform_spec(Difference(lag=3), make_panel(a=[1.0, 2.0, 3.0, 4.0], b=[1.0, 2.0, 3.0]))


def test_a_lag_of_zero_is_an_error():
    with pytest.raises(ConfigError, match="the lag of a difference is a number of steps, 1 or more; got 0"):
        Difference(lag=0)


def test_a_chain_is_its_steps_in_order():
    panel = make_panel(a=[1.0, 2.0, 4.0, 9.0, 11.0])
    chained = apply(Chain(steps=(Log(), Difference(), Standard())), panel)
    step = np.diff(np.log1p(panel.target))
    np.testing.assert_allclose(chained[1:], (step - step.mean()) / step.std())
    np.testing.assert_array_equal(apply(Chain(steps=()), panel), panel.target)


def test_a_forecast_of_another_panel_is_refused():
    panel, other = make_panel(a=[1.0, 2.0, 3.0]), make_panel(z=[1.0, 2.0, 3.0])
    table = tabulate(other, np.ones((1, 2, 1)), rows=np.array([2]), levels=(0.5,), model="m")
    with pytest.raises(DataError, match=r"the panel has no row \('z', 2\), at which a forecast was made"):
        invert_forecast(fit_transform_spec(Standard(), panel), table, panel=panel)


@pytest.mark.parametrize("spec", [Standard(), MinMax(), Log(), Difference(), Chain(steps=(Log(), Standard()))])
def test_a_panel_of_another_target_or_frequency_is_refused_both_ways(spec):
    days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 2, 29), eager=True)
    table = pl.DataFrame({"t": days, "y": np.arange(60.0)})
    panel = Panel.from_table(table, time="t", target="y")
    transform = fit_transform_spec(spec, panel)
    other = Panel.from_table(table.rename({"y": "z"}), time="t", target="z")
    weekly = Panel.from_table(table[::7], time="t", target="y")
    for given, error, message in (
        (other, ColumnError, "target column 'y'"),
        (weekly, FrequencyError, "1d; this .* 1w"),
    ):
        with pytest.raises(error, match=message):
            transform.apply(given)
        with pytest.raises(error, match=message):
            transform.invert(np.ones((1, 2, 1)), panel=given, rows=np.array([5]))


def test_a_forecast_of_a_single_series_comes_back():
    panel = Panel.from_table(pl.DataFrame({"t": range(4), "y": [1.0, 3.0, 1.0, 3.0]}), time="t", target="y")
    table = tabulate(panel, np.ones((1, 2, 1)), rows=np.array([3]), levels=(0.5,), model="m")
    back = invert_forecast(fit_transform_spec(Standard(), panel), table, panel=panel)
    assert back.table["0.5"].to_list() == [3.0, 3.0]


def test_windows_are_scaled_by_their_own_history():
    rng = np.random.default_rng(0)
    past = rng.normal(size=(5, 8)) * 10 + 100
    past[0, :3] = np.nan
    past[1] = 4.0
    past[2] = np.nan
    scaling = fit_windows(past)
    np.testing.assert_allclose(scaling.mean[[0, 1, 3]], np.nanmean(past[[0, 1, 3]], axis=1))
    np.testing.assert_allclose(scaling.scale, [np.nanstd(past[0]), 1, 1, past[3].std(), past[4].std()])
    np.testing.assert_allclose(scaling.apply(past)[3:].std(axis=1), 1)
    np.testing.assert_allclose(scaling.invert(scaling.apply(past)), past)
    quantiles = np.sort(rng.normal(size=(5, 3, 4)), axis=2)
    np.testing.assert_allclose(scaling.apply(scaling.invert(quantiles))[[0, 1, 3, 4]], quantiles[[0, 1, 3, 4]])
    assert np.isnan(scaling.invert(quantiles)[2]).all()
