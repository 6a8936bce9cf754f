"""Holiday columns against Python's own calendar, row by row, on every kind of grid."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import pairwise

import holidays as package
import numpy as np
import polars as pl
import pytest

from tidewright.data.frequency import Frequency
from tidewright.data.panel import Panel
from tidewright.data.simulate import signal_panel
from tidewright.errors import ColumnError, ConfigError, MissingExtraError, UnknownNameError
from tidewright.features.calendar import calendar_columns, calendar_labels, check_calendar
from tidewright.features.holidays import add_holidays, find_days, list_holidays
from tidewright.features.periods import find_dating
from tidewright.features.view import View
from tidewright.features.windows import newest_windows

US = package.country_holidays("US", years=range(2008, 2030))


def make_panel(times: list[date] | list[datetime] | pl.Series, **options: str) -> Panel:
    table = pl.DataFrame({"t": times, "y": range(len(times))})
    return Panel.from_table(table, time="t", target="y", **options)  # type: ignore[arg-type]


def spaced(first: date, count: int, step: timedelta) -> list[date]:
    return [first + number * step for number in range(count)]


def has_holiday(first: date, last: date) -> bool:
    return any(first + timedelta(days=n) in US for n in range((last - first).days + 1))


def check_steps(panel: Panel, flags: list[bool]) -> None:
    """The distances are those between flagged rows, wherever these are inside the panel."""
    on = np.flatnonzero(flags)
    ahead, back = panel.values("holiday_next"), panel.values("holiday_last")
    for row in range(int(on[0]), int(on[-1]) + 1):
        assert ahead[row] == min(place - row for place in on if place >= row)
        assert back[row] == min(row - place for place in on if place <= row)


def test_a_day_is_a_holiday_when_python_says_so() -> None:
    days = spaced(date(2023, 11, 1), 500, timedelta(days=1))
    panel = add_holidays(make_panel(days), country="US")
    flags = [day in US for day in days]
    assert panel.values("holiday").tolist() == flags
    check_steps(panel, flags)
    assert panel.roles.known == ("holiday", "holiday_next", "holiday_last")
    first = min(day for day in US if day >= days[-1])
    assert panel.values("holiday_next")[-1] == (first - days[-1]).days  # beyond the panel


@pytest.mark.parametrize("weekday", [0, 4, 6])
def test_a_week_has_the_holidays_of_its_seven_days_before_or_after_its_date(weekday: int) -> None:
    ends = spaced(date(2010, 2, 1) + timedelta(days=weekday), 120, timedelta(days=7))
    for dated, first, last in (("end", -6, 0), ("start", 0, 6)):
        panel = add_holidays(make_panel(ends), country="US", dated=dated)  # type: ignore[arg-type]
        flags = [has_holiday(day + timedelta(days=first), day + timedelta(days=last)) for day in ends]
        assert panel.values("holiday").tolist() == flags
        check_steps(panel, flags)


def test_thanksgiving_is_in_walmarts_week_of_the_26th_of_november_2010() -> None:
    fridays = spaced(date(2010, 2, 5), 143, timedelta(days=7))
    panel = add_holidays(make_panel(fridays), country="US", dated="end", names=["Thanksgiving Day"])
    flagged = [day for day, on in zip(fridays, panel.values("holiday_thanksgiving_day"), strict=True) if on]
    assert flagged == [date(2010, 11, 26), date(2011, 11, 25)]


def test_a_month_has_the_holidays_of_its_days_whichever_end_it_is_dated_by() -> None:
    starts = [date(2020 + m // 12, m % 12 + 1, 1) for m in range(40)]
    ends = [day - timedelta(days=1) for day in starts[1:]]
    by_start = add_holidays(make_panel(starts[:-1]), country="US", names=["Thanksgiving Day"])
    by_end = add_holidays(make_panel(ends), country="US", names=["Thanksgiving Day"])
    for column in by_start.roles.known:
        np.testing.assert_array_equal(by_start.values(column), by_end.values(column))
    flags = [has_holiday(first, last) for first, last in zip(starts[:-1], ends, strict=True)]
    assert by_start.values("holiday").tolist() == flags


@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_every_hour_of_the_day_is_a_holiday_by_the_panels_own_clock(zone: str | None) -> None:
    start = datetime(2024, 10, 30)
    hours = pl.Series([start + timedelta(hours=h) for h in range(24 * 70)], dtype=pl.Datetime("us"))
    if zone is not None:
        hours = hours.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)  # through the end of daylight saving
    panel = add_holidays(make_panel(hours), country="US")
    wall = hours.dt.replace_time_zone(None).dt.date().to_list()
    flags = [day in US for day in wall]
    assert panel.values("holiday").tolist() == flags
    check_steps(panel, flags)


def test_hours_dated_by_their_end_hold_the_hour_before() -> None:
    hours = [datetime(2024, 12, 24) + timedelta(hours=h) for h in range(72)]
    panel = add_holidays(make_panel(hours), country="US", dated="end")
    flags = [(hour - timedelta(microseconds=1)).date() in US for hour in hours]
    assert panel.values("holiday").tolist() == flags


def test_the_closed_days_before_a_business_day_are_its_own() -> None:
    days = [day for day in spaced(date(2022, 12, 1), 60, timedelta(days=1)) if day.weekday() < 5]
    panel = add_holidays(make_panel(days, frequency="b"), country="US")
    flags = [has_holiday(before + timedelta(days=1), day) for before, day in pairwise(days)]
    assert panel.values("holiday").tolist()[1:] == flags


def test_days_of_a_zone_at_local_midnight_are_its_own_days() -> None:
    days = pl.Series(spaced(date(2024, 1, 1), 366, timedelta(days=1))).cast(pl.Datetime("us"))
    panel = make_panel(days.dt.replace_time_zone("America/New_York"))
    assert panel.local
    assert add_holidays(panel, country="US").values("holiday").tolist() == [day in US for day in days.dt.date()]


def test_a_part_of_a_country_and_days_in_lieu_make_a_difference() -> None:
    days = spaced(date(2021, 1, 1), 365, timedelta(days=1))
    panel = make_panel(days)
    count = {code: add_holidays(panel, country=code).values("holiday").sum() for code in ("DE", "DE-BY", "XNYS")}
    assert count["DE-BY"] > count["DE"] > 0
    assert count["XNYS"] > 0
    usual, plain = (add_holidays(panel, country="US", observed=one).values("holiday").sum() for one in (True, False))
    assert usual > plain
    christmas = add_holidays(panel, country="US", names=["Christmas Day"]).values("holiday_christmas_day")
    assert np.flatnonzero(christmas).tolist() == [days.index(date(2021, 12, 24)), days.index(date(2021, 12, 25))]


def test_each_series_has_the_holidays_of_its_own_country() -> None:
    days = spaced(date(2024, 1, 1), 366, timedelta(days=1))
    parts = [pl.DataFrame({"s": code, "t": days, "y": range(366), "land": code}) for code in ("DE", "US")]
    panel = Panel.from_table(pl.concat(parts), series="s", time="t", target="y", static=["land"])
    both = add_holidays(panel, by="land", names=["Thanksgiving Day"])
    for code in ("DE", "US"):
        own = add_holidays(make_panel(days), country=code).values("holiday")
        np.testing.assert_array_equal(both.values("holiday")[both.rows_of(code)], own)
    flagged = both.values("holiday_thanksgiving_day")
    assert (flagged[both.rows_of("DE")].sum(), flagged[both.rows_of("US")].sum()) == (0, 1)


def test_each_gives_a_flag_for_every_holiday_and_their_union_is_the_holiday() -> None:
    panel = add_holidays(make_panel(spaced(date(2023, 1, 1), 365, timedelta(days=1))), country="US", each=True)
    flags = panel.matrix(
        [name for name in panel.roles.known if name not in ("holiday", "holiday_next", "holiday_last")]
    )
    assert flags.shape[1] >= 10
    np.testing.assert_array_equal(flags.max(axis=1), panel.values("holiday"))


def test_ahead_makes_the_rows_of_the_future_known() -> None:
    days = spaced(date(2024, 12, 1), 20, timedelta(days=1))
    panel = add_holidays(make_panel(days), country="US", ahead=10)
    assert len(panel.table) == 30
    assert panel.values("holiday")[24] == 1.0  # Christmas, which the table did not reach
    assert not np.isnan(panel.matrix(panel.roles.known)).any()
    assert np.isnan(panel.target[20:]).all()


def test_a_view_knows_the_holidays_of_the_horizon_with_no_rows_for_it() -> None:
    days = spaced(date(2024, 12, 1), 20, timedelta(days=1))
    windows = newest_windows(make_panel(days), View(5, ("holiday:US",)), horizon=10)
    nearest = windows.batch().known[0]
    on = [day in US for day in spaced(days[-5], 15, timedelta(days=1))]
    assert ((nearest == 1.0).all(axis=1)).tolist() == on
    assert nearest[on.index(True) - 1, 0] == 0.5  # a day before
    assert nearest[on.index(True) + 1, 1] == 0.5  # a day after
    assert (nearest > 0).all()


def test_the_forms_of_a_views_holidays() -> None:
    fridays = make_panel(spaced(date(2010, 2, 5), 143, timedelta(days=7)))
    ends, starts, one = (
        calendar_columns(fridays, (name,))
        for name in ("holiday:US:end", "holiday:US:start", "holiday:US:end:Labor Day")
    )
    assert not np.array_equal(ends, starts)
    assert (one[:, 0] == 1).sum() == 3
    assert calendar_labels(("holiday:US-CA",)) == ("holiday:US-CA next", "holiday:US-CA last")


def test_wrong_names_are_answered_with_the_near_one() -> None:
    day = Frequency("fixed", 86_400_000_000, 0)
    with pytest.raises(UnknownNameError, match="with holidays is called 'us'"):
        check_calendar(("holiday:us",), day)
    with pytest.raises(UnknownNameError, match="no part of US with its own holidays is called 'CAL'"):
        check_calendar(("holiday:US-CAL",), day)
    panel = make_panel(spaced(date(2024, 1, 1), 30, timedelta(days=1)))
    with pytest.raises(UnknownNameError, match="Did you mean 'Thanksgiving Day'"):
        find_days(panel, "US", name="Thanksgiving")
    with pytest.raises(UnknownNameError, match="no way to date a period is called 'middle'"):
        add_holidays(panel, country="US", dated="middle")  # type: ignore[arg-type]


def test_weeks_must_say_what_their_dates_are_and_steps_have_none() -> None:
    with pytest.raises(ConfigError, match="every 1w may be dated by the start or the end"):
        find_dating(Frequency("fixed", 7 * 86_400_000_000, 0))
    with pytest.raises(ConfigError, match="step data have no clock times"):
        add_holidays(make_panel(pl.Series(range(9))), country="US")


def test_names_are_english_whatever_the_machine_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGUAGE", "de")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    list_holidays.cache_clear()
    assert "Good Friday" in {name for name, _ in list_holidays("DE", 2024, 2024)}
    panel = make_panel(spaced(date(2024, 3, 1), 60, timedelta(days=1)))
    friday = add_holidays(panel, country="DE", names=["Good Friday"]).values("holiday_good_friday")
    assert np.flatnonzero(friday).tolist() == [28]
    with pytest.raises(ColumnError, match="two of the holidays would have one column"):
        add_holidays(panel, country="DE", names=["Good Friday", "good friday"])


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidewright.optional.has", lambda module: False)
    with pytest.raises(MissingExtraError, match=r"needs the package 'holidays'.*pip install 'tidewright\[holidays\]'"):
        check_calendar(("holiday:US",), Frequency("fixed", 86_400_000_000, 0))


def test_a_country_or_a_column_of_countries_and_new_names() -> None:
    panel = signal_panel(n_series=2, length=30, seed=0)
    for wrong in ({}, {"country": "US", "by": "x"}):
        with pytest.raises(ColumnError, match="give either a country"):
            add_holidays(panel, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ColumnError, match="no static column is called 'land'"):
        add_holidays(panel, by="land")
    days = make_panel(spaced(date(2024, 1, 1), 30, timedelta(days=1)))
    twice = add_holidays(add_holidays(days, country="US"), country="DE", prefix="german")
    assert len(twice.roles.known) == 6
    with pytest.raises(ColumnError, match="would have two columns 'holiday'"):
        add_holidays(twice, country="US")
