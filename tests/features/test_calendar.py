"""Calendar columns against Python's own datetime."""

import math
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from tidewright.data.frequency import Frequency
from tidewright.data.panel import Panel
from tidewright.errors import ConfigError, UnknownNameError
from tidewright.features.calendar import CYCLES, calendar_columns, check_calendar, usual_calendar
from tidewright.features.view import View, known_matrix


def hourly(start, hours, zone="UTC"):
    times = [start + timedelta(hours=h) for h in range(hours)]
    column = pl.Series("t", times).dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    return Panel.from_table(pl.DataFrame({"t": column, "y": np.arange(float(hours))}), time="t", target="y")


def daily(start, days):
    times = pl.date_range(start, start + timedelta(days=days - 1), eager=True)
    return Panel.from_table(pl.DataFrame({"t": times, "y": np.arange(float(days))}), time="t", target="y")


def wave(phase):
    return [math.sin(2 * math.pi * phase), math.cos(2 * math.pi * phase)]


def test_each_cycle_is_the_sine_and_cosine_of_its_share_of_the_round():
    start = datetime(2023, 12, 30, tzinfo=UTC)
    panel = hourly(start.replace(tzinfo=None), 24 * 70)
    columns = calendar_columns(panel, CYCLES)
    for row in range(0, 24 * 70, 7):
        now = start + timedelta(hours=row)
        wanted = wave(now.hour / 24) + wave(now.weekday() / 7)
        wanted += wave((now.day - 1) / 31) + wave((now.timetuple().tm_yday - 1) / 366)
        np.testing.assert_allclose(columns[row], wanted, atol=1e-6)


def test_the_last_day_of_a_leap_year_is_not_the_first_of_the_next():
    columns = calendar_columns(daily(date(2024, 12, 31), 2), ("yearday",))
    np.testing.assert_allclose(columns, [wave(365 / 366), wave(0)], atol=1e-6)


def test_the_29th_of_february_has_its_own_place_and_shifts_none_of_the_months_before():
    leap, usual = (calendar_columns(daily(date(year, 1, 1), 61), ("yearday", "monthday")) for year in (2024, 2023))
    np.testing.assert_array_equal(leap[:59], usual[:59])
    np.testing.assert_allclose(leap[59, 2:], wave(28 / 31), atol=1e-6)
    np.testing.assert_allclose(usual[59, 2:], wave(0), atol=1e-6)


def test_daylight_saving_moves_nothing_because_hours_are_counted_in_utc():
    start = datetime(2024, 3, 30)  # Berlin's clocks go forward on the 31st
    berlin, utc = (calendar_columns(hourly(start, 72, zone), ("hour",)) for zone in ("Europe/Berlin", "UTC"))
    np.testing.assert_array_equal(berlin, utc)


def test_times_before_1970_have_their_weekday():
    columns = calendar_columns(daily(date(1969, 12, 28), 7), ("weekday",))  # a Sunday
    np.testing.assert_allclose(columns, [wave(d / 7) for d in (6, 0, 1, 2, 3, 4, 5)], atol=1e-6)


def test_a_harmonic_repeats_after_its_period_and_not_before():
    panel = daily(date(2024, 1, 1), 60)
    first, second = (calendar_columns(panel, (f"fourier:12:{k}",)) for k in (1, 2))
    np.testing.assert_allclose(first[12:24], first[:12], atol=1e-6)
    np.testing.assert_allclose(second[6:12], second[:6], atol=1e-6)
    assert np.abs(first[6:12] - first[:6]).max() > 0.5
    since = (date(2024, 1, 4) - date(1970, 1, 1)).days
    np.testing.assert_allclose(first[3], wave(since / 12), atol=1e-6)
    assert calendar_columns(panel, ("fourier:365.25:1",)).shape == (60, 2)


@pytest.mark.parametrize("every", ["1d", "1w", "1mo", "1h"])
def test_a_harmonic_is_the_same_where_a_panel_begins_later(every):
    times = pl.datetime_range(date(2024, 1, 1), date(2024, 1, 4), "1h", eager=True) if every == "1h" else None
    times = pl.date_range(date(2020, 1, 6), date(2024, 1, 6), every, eager=True) if times is None else times
    table = pl.DataFrame({"t": times, "y": np.arange(float(len(times)))})
    whole, late = (Panel.from_table(rows, time="t", target="y") for rows in (table, table[5:]))
    columns = [calendar_columns(panel, ("fourier:7.5:1",)) for panel in (whole, late)]
    np.testing.assert_array_equal(columns[0][5:], columns[1])


def test_all_series_share_one_clock():
    table = pl.DataFrame({"id": ["a"] * 5 + ["b"] * 3, "t": [*range(5), 2, 3, 4], "y": np.arange(8.0)})
    panel = Panel.from_table(table, series="id", time="t", target="y")
    columns = calendar_columns(panel, ("fourier:5:1",))
    np.testing.assert_array_equal(columns[5:], columns[2:5])


def test_the_calendar_stands_after_the_known_columns():
    table = pl.DataFrame({"t": range(6), "y": np.arange(6.0), "k": np.arange(6.0) * 10})
    panel = Panel.from_table(table, time="t", target="y", known=["k"])
    matrix = known_matrix(panel, View(2, ("fourier:3:1",)))
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix[:, 0], np.arange(6) * 10)
    np.testing.assert_array_equal(matrix[:, 1:], calendar_columns(panel, ("fourier:3:1",)))


def test_no_names_give_no_columns():
    assert calendar_columns(daily(date(2024, 1, 1), 3), ()).shape == (3, 0)


def test_an_unknown_column_names_the_near_one():
    with pytest.raises(UnknownNameError, match=r"no calendar column is called 'weekdy'. Did you mean 'weekday'"):
        check_calendar(("weekdy",), Frequency("fixed", 3_600_000_000, 0))


def test_step_data_have_no_weekday():
    with pytest.raises(ConfigError, match="step data have no clock times, so no 'weekday'"):
        check_calendar(("weekday",), Frequency("step", 1, 0))


@pytest.mark.parametrize(
    ("frequency", "wanted"),
    [
        (Frequency("step", 1, 0), ()),
        (Frequency("month", 1, 0), ("yearday",)),
        (Frequency("fixed", 7 * 86_400_000_000, 0), ("yearday",)),
        (Frequency("fixed", 86_400_000_000, 0), ("weekday", "monthday", "yearday")),
        (Frequency("business", 1, 0), ("weekday", "monthday", "yearday")),
        (Frequency("fixed", 3_600_000_000, 0), ("hour", "weekday", "yearday")),
    ],
)
def test_the_usual_cycles_are_those_longer_than_a_step(frequency, wanted):
    assert usual_calendar(frequency) == wanted


def test_a_harmonic_of_period_zero_is_an_error():
    with pytest.raises(ConfigError, match="period"):
        check_calendar(("fourier:0:1",), Frequency("step", 1, 0))
