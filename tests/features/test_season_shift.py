"""How far holidays move the season: by days in weeks, by rows in days, and what the rows that they left read."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidewright.data.panel import Panel
from tidewright.errors import ConfigError, UnknownNameError
from tidewright.features.recipe import build_recipe
from tidewright.features.season_shift import add_season_shift


def make_panel(first: date, count: int, step: timedelta, **options: Any) -> Panel:
    table = pl.DataFrame({"t": [first + n * step for n in range(count)], "y": range(count)})
    return Panel.from_table(table, time="t", target="y", **options)


def weeks() -> Panel:
    """Walmart's, each dated by its last day, a Friday."""
    return make_panel(date(2010, 2, 5), 143, timedelta(days=7))


def moved(panel: Panel, **options: Any) -> dict[date, float]:
    """The rows that moved, in days, of those that have a season before them."""
    days = 7.0 if panel.frequency.name == "1w" else 1.0
    values = add_season_shift(panel, **options).values("season_shift") * days
    times = panel.table[panel.roles.time].to_list()
    return {time: float(value) for time, value in zip(times[52:], values.round(6)[52:], strict=True) if value}


def test_christmas_lies_a_day_further_on_in_its_week_a_year_later() -> None:
    found = moved(weeks(), country="US", names=["Christmas Day"], dated="end", before=2, after=1)
    assert found == {date(2011, 12, day): 1.0 for day in (16, 23, 30)} | {date(2012, 1, 6): 1.0}


def test_a_leap_year_moves_it_by_two_days() -> None:
    found = moved(weeks(), country="US", names=["Independence Day"], dated="end", before=0, after=0)
    assert found == {date(2011, 7, 8): 1.0, date(2012, 7, 6): 2.0}


def test_a_holiday_of_a_weekday_does_not_move() -> None:
    assert moved(weeks(), country="US", names=["Thanksgiving Day", "Memorial Day"], dated="end") == {}


def test_the_value_that_it_points_to_is_shared_out_by_days() -> None:
    """The week to 2011-12-30 begins with a day before Christmas, as the one to 2010-12-24 ended with."""
    panel = add_season_shift(weeks(), country="US", names=["Christmas Day"], dated="end")
    row = panel.table["t"].to_list().index(date(2011, 12, 30))
    place = row - 52 - panel.values("season_shift")[row]
    days = np.arange(7 * 143)  # a day's number, from the first Saturday on: of a week n the days 7n to 7n + 6
    share = 1.0 - np.abs(np.arange(143) - place).clip(0.0, 1.0)
    assert share[row - 52] == pytest.approx(6 / 7)
    assert share[row - 53] == pytest.approx(1 / 7)
    overlap = days[(days >= 7 * place) & (days < 7 * place + 7)] // 7
    assert np.bincount(overlap)[[row - 53, row - 52]].tolist() == [1, 6]


def test_the_weeks_that_easter_left_take_the_place_of_those_that_it_went_to() -> None:
    """Easter was on 2010-04-04, then on 2011-04-24: three weeks further on."""
    found = moved(weeks(), country="DE", names=["Easter Monday"], dated="end", before=1, after=0)
    new, old = [date(2011, 4, 22), date(2011, 4, 29)], [date(2011, 4, 1), date(2011, 4, 8)]
    assert {day: found[day] for day in (*new, *old)} == dict.fromkeys(new, 21.0) | dict.fromkeys(old, -21.0)
    later = {day: value for day, value in found.items() if day.year == 2012}  # 2012-04-08: 15 days less than 364 on
    assert later == dict.fromkeys([date(2012, 4, 6), date(2012, 4, 13)], -15.0 + 1.0) | dict.fromkeys(
        [date(2012, 4, 20), date(2012, 4, 27)], 14.0
    )


def test_days_move_by_whole_rows() -> None:
    days = make_panel(date(2022, 1, 1), 800, timedelta(days=1))
    found = moved(days, country="US", names=["Christmas Day"], season=364, before=0, after=0)
    left = {date(2022, 12, 24): -1.0, date(2023, 12, 24): -1.0}  # which a season before were Christmas
    assert found == {date(2022, 12, 25): 1.0, date(2023, 12, 25): 1.0} | left


def test_all_hours_of_all_days_of_a_holiday_move_with_it() -> None:
    """The Sacrifice Feast of Turkey began on 2022-07-09, for four days, and on 2023-06-28: ten days short of 364."""
    hours = pl.datetime_range(pl.datetime(2022, 1, 1), pl.datetime(2023, 12, 31, 23), interval="1h", eager=True)
    panel = Panel.from_table(pl.DataFrame({"t": hours, "y": range(len(hours))}), time="t", target="y")
    made = add_season_shift(panel, country="TR", names=["Eid al-Adha"], season=8736, before=0, after=0)
    late = panel.table.select("t", shift=made.values("season_shift")).filter(pl.col("t").dt.year() == 2023)
    moved = late.filter(pl.col("shift") < 0)
    assert (moved["t"][0].isoformat(), len(moved), moved["shift"].unique().to_list()) == (
        "2023-06-28T00:00:00",
        96,
        [-240.0],
    )
    assert late.filter(pl.col("shift") > 0)["shift"].unique().to_list() == [240.0]


def test_in_months_christmas_does_not_move_and_easter_does() -> None:
    months = [date(2019 + m // 12, m % 12 + 1, 1) for m in range(36)]
    panel = Panel.from_table(pl.DataFrame({"t": months, "y": range(36)}), time="t", target="y")
    assert not add_season_shift(panel, country="DE", names=["Christmas Day"]).values("season_shift").any()
    easter = add_season_shift(panel, country="DE", names=["Easter Monday"], before=0, after=0).values("season_shift")
    assert easter[15] == pytest.approx((12 / 30) - (21 / 30))  # 2020-04-13 after 2019-04-22


def test_of_two_holidays_the_nearest_rules() -> None:
    found = moved(weeks(), country="US", names=["Thanksgiving Day", "Christmas Day"], dated="end", before=4, after=2)
    late = [day for day in found if day > date(2011, 11, 1)]
    assert late[0] == date(2011, 12, 16)  # Thanksgiving's week is 2011-11-25, which is no nearer to the 16th


def test_every_row_of_the_known_future_has_it_and_every_series_its_own_country() -> None:
    table = pl.DataFrame(
        {
            "shop": ["a"] * 100 + ["b"] * 100,
            "land": ["US"] * 100 + ["DE"] * 100,
            "t": [date(2022, 2, 4) + timedelta(days=7 * n) for n in range(100)] * 2,
            "y": range(200),
        }
    )
    panel = Panel.from_table(table, series="shop", time="t", target="y", static=["land"])
    made = add_season_shift(panel, by="land", names=["Independence Day"], dated="end", ahead=60)
    values = made.values("season_shift")
    first, second = values[: made.offsets[1]], values[made.offsets[1] :]
    assert (len(first), len(second)) == (160, 160)
    assert not second.any()
    assert (first != 0).sum() == 9  # three weeks in each of three summers
    assert made.roles.known == ("season_shift",)


def test_it_is_a_step_of_a_recipe() -> None:
    options = {"country": "US", "names": ["Christmas Day"], "dated": "end", "name": "moved"}
    made = build_recipe(("season_shift", options)).apply(weeks())
    assert made.values("moved").any()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"season": 7}, ConfigError, r"a season of 7 rows every 1w is 0\.13 years. Give the season in rows: 52 or so"),
        ({"names": "Christmas Day"}, ConfigError, "names are a sequence of holidays; got the text 'Christmas Day'"),
        ({"names": ["Chrismas Day"]}, UnknownNameError, "no holiday of US is called 'Chrismas Day'. Did you mean"),
        ({"before": -1}, ConfigError, "before is a whole number of rows, 0 or more; got -1"),
        ({"after": 1.5}, ConfigError, "after is a whole number of rows"),
        ({"country": None}, Exception, "give either a country"),
    ],
)
def test_what_has_no_meaning_is_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        add_season_shift(weeks(), **{"country": "US", "dated": "end", **options})
