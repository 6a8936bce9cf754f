"""Kinds of tables, columns and times that a panel reads as they are meant, or refuses with their place."""

from __future__ import annotations

import datetime as dt
import decimal
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tidewright.data.panel import Panel
from tidewright.errors import ColumnError, DataError, FrequencyError, RepairWarning

DAYS = 40
ROLES = {"time": "day", "target": "sold", "series": "shop"}
ALONE = {"time": "day", "target": "sold"}
HOUR = dt.timedelta(hours=1)
Columns = dict[str, list[Any]]


def good() -> Columns:
    """Two daily series, a and b, with distinct values."""
    return {
        "shop": ["a"] * DAYS + ["b"] * DAYS,
        "day": [dt.datetime(2024, 1, 1) + dt.timedelta(days=i) for i in range(DAYS)] * 2,
        "sold": [float(10 + i % 7 + i // 7) for i in range(2 * DAYS)],
    }


def change(columns: Columns, **changes: Callable[[list[Any]], list[Any]]) -> Columns:
    return {name: changes[name](list(values)) if name in changes else values for name, values in columns.items()}


def text(form: str) -> Callable[[list[Any]], list[Any]]:
    return lambda values: [value.strftime(form) for value in values]


def test_mixed_zones_are_refused_with_their_rows() -> None:
    frame = pd.DataFrame(good())
    frame["day"] = pd.Series(
        [t.tz_localize("UTC" if i < DAYS else "Europe/Berlin") for i, t in enumerate(frame["day"])],
        dtype=object,
    )
    with pytest.raises(
        DataError, match=r"'day' mixes time zones \(UTC first at row 0, Europe/Berlin first at row 40\)"
    ):
        Panel.from_table(frame, **ROLES)


def test_times_with_and_without_a_zone_are_refused_with_their_rows() -> None:
    frame = pd.DataFrame(good())
    frame["day"] = pd.Series([t.tz_localize("UTC") if i else t for i, t in enumerate(frame["day"])], dtype=object)
    with pytest.raises(DataError, match=r"mixes time zones \(None first at row 0, UTC first at row 1\)"):
        Panel.from_table(frame, **ROLES)


def test_text_with_several_offsets_is_one_moment_each() -> None:
    texts = [f"2024-03-{30 + i // 24:02d}T{i % 24:02d}:00:00+{1 + (i >= 24):02d}:00" for i in range(48)]
    frame = pl.DataFrame({"day": texts, "sold": range(48)})
    with pytest.raises(DataError, match="different rows at 2024-03-30 23:00"):  # 24:00+01:00 is 01:00+02:00
        Panel.from_table(frame.with_columns(day=pl.col("day").str.replace("31T00:00", "31T01:00")), **ALONE)
    with pytest.warns(RepairWarning, match="in UTC"):
        panel = Panel.from_table(frame.filter(pl.int_range(pl.len()) != 24), **ALONE)
    assert panel.table["day"].dtype == pl.Datetime("us", "UTC")
    assert panel.frequency.name == "1h"


@pytest.mark.parametrize(
    "values", [[1, "x"], [1.0, dt.date(2024, 1, 1)], [dt.date(2024, 1, 1), dt.datetime(2024, 1, 2)]]
)
def test_pandas_columns_of_several_kinds_name_the_first_row_of_each(values: list[Any]) -> None:
    frame = pd.DataFrame(good())
    frame["sold"] = pd.Series(values * DAYS, dtype=object)
    with pytest.raises(DataError, match=r"'sold' mixes kinds of values \(\w+ first at row 0, \w+ first at row 1\)"):
        Panel.from_table(frame, **ROLES)


def test_pandas_own_kinds_of_column_give_the_same_panel() -> None:
    plain = pd.DataFrame(good())
    kinds = {
        "shop": ["category", "string", "object"],
        "sold": ["Int64", "Float64", "float32", "uint8", "category", "object", pd.SparseDtype("float64")],
    }
    expected = Panel.from_table(plain, **ROLES)
    for name, dtypes in kinds.items():
        for dtype in dtypes:
            panel = Panel.from_table(plain.astype({name: dtype}), **ROLES)
            assert panel.table.equals(expected.table), (name, dtype)


def test_pandas_periods_stand_at_their_first_moment() -> None:
    frame = pd.DataFrame({"day": pd.period_range("2023-01", periods=12, freq="M"), "sold": range(12)})
    panel = Panel.from_table(frame, **ALONE)
    assert panel.frequency.name == "1mo"
    assert panel.table["day"][1] == dt.datetime(2023, 2, 1)


@pytest.mark.parametrize("named", [True, False])
def test_a_pandas_index_of_dates_is_a_column(named: bool) -> None:
    index = pd.date_range("2024", periods=9, name="day" if named else None)
    panel = Panel.from_table(
        pd.DataFrame({"sold": range(9)}, index=index), time="day" if named else "index", target="sold"
    )
    assert panel.frequency.name == "1d"
    assert panel.unused == ()


def test_a_pandas_index_of_series_and_dates_is_two_columns() -> None:
    panel = Panel.from_table(pd.DataFrame(good()).set_index(["shop", "day"]), **ROLES)
    assert panel.table.equals(Panel.from_table(pl.DataFrame(good()), **ROLES).table)


def test_an_index_named_like_a_column_is_refused() -> None:
    frame = pd.DataFrame(good()).set_index("day", drop=False)
    with pytest.raises(ColumnError, match="'day' names both a column and an index level"):
        Panel.from_table(frame, **ROLES)


@pytest.mark.parametrize("kind", ["pandas", "pyarrow"])
def test_doubled_column_names_are_refused(kind: str) -> None:
    table: Any = pd.DataFrame([[1, 2, 3]], columns=["day", "sold", "sold"])
    if kind == "pyarrow":
        table = pa.table([pa.array([1]), pa.array([2]), pa.array([3])], names=["day", "sold", "sold"])
    with pytest.raises(ColumnError, match="the column name 'sold' stands more than once"):
        Panel.from_table(table, **ALONE)


def test_column_names_of_two_levels_are_refused() -> None:
    frame = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "day"), ("a", "sold")]))
    with pytest.raises(ColumnError, match=r"2 levels.*Flatten"):
        Panel.from_table(frame, **ALONE)


@pytest.mark.parametrize("data", [None, 5, [1, 2], {"day": [1]}, np.zeros((3, 2)), object()])
def test_what_is_no_table_is_refused(data: Any) -> None:
    with pytest.raises(DataError, match="a table is needed, got"):
        Panel.from_table(data, **ALONE)


@pytest.mark.parametrize("unit", ["ns", "us", "ms", "s"])
def test_every_time_unit_comes_back_as_it_came(unit: str) -> None:
    frame = pd.DataFrame(
        {"day": pd.date_range("1965", periods=30, freq="h").astype(f"datetime64[{unit}]"), "sold": range(30)}
    )
    panel = Panel.from_table(pl.from_pandas(frame), **ALONE)
    assert panel.table["day"].to_list() == frame["day"].dt.to_pydatetime().tolist()
    assert panel.table["day"].dtype.time_unit == (unit if unit != "s" else "ms")  # polars has no seconds


def test_times_finer_than_a_microsecond_are_refused() -> None:
    frame = pl.DataFrame({"day": pl.Series([0, 100, 200, 300]).cast(pl.Datetime("ns")), "sold": [1, 2, 3, 4]})
    with pytest.raises(DataError, match="finer than a microsecond"):
        Panel.from_table(frame, **ALONE)


def test_milliseconds_are_a_grid() -> None:
    frame = pl.DataFrame({"day": pl.Series([0, 5, 10, 15]).cast(pl.Datetime("ms")), "sold": [1, 2, 3, 4]})
    assert Panel.from_table(frame, **ALONE).frequency.name == "5ms"


def test_hours_of_a_zone_stay_whole_over_both_changes_of_the_clock() -> None:
    for day, hours in (("2024-03-31", 23), ("2024-10-27", 25)):
        times = pd.date_range(f"{day} 00:00", periods=hours + 24, freq="h", tz="Europe/Berlin")
        panel = Panel.from_table(pd.DataFrame({"day": times, "sold": range(hours + 24)}), **ALONE)
        assert panel.frequency.name == "1h"
        assert panel.repairs == ()
        assert panel.extend(1).table["day"][-1] == times[-1].to_pydatetime() + HOUR
        assert (panel.to_native()["day"] == times).all()


def test_daily_midnights_of_a_zone_stay_midnights_over_the_change_of_the_clock() -> None:
    times = pd.date_range("2024-03-25", periods=5, freq="D", tz="Europe/Berlin")
    panel = Panel.from_table(pd.DataFrame({"day": times, "sold": range(5)}), **ALONE)
    longer = panel.extend(4).to_native()["day"]
    assert (longer == pd.date_range("2024-03-25", periods=9, freq="D", tz="Europe/Berlin")).all()
    assert panel.time_at(0) == "2024-03-25"


def test_a_midnight_that_the_clocks_jump_over_becomes_one_o_clock() -> None:
    times = pd.date_range("2018-10-30", periods=4, freq="D", tz="America/Sao_Paulo")
    panel = Panel.from_table(pd.DataFrame({"day": times, "sold": range(4)}), **ALONE)
    assert str(panel.extend(2).to_native()["day"].iloc[-1]) == "2018-11-04 01:00:00-02:00"


GRIDS = {
    "B": "1b", "ME": "1mo", "MS": "1mo", "QE": "1q", "QS": "1q", "YE": "1y", "YS": "1y", "W": "1w", "2W":
    "2w", "15min": "15m", "6h": "6h", "2MS": "2mo", "2QS": "2q", "D": "1d", "28D": "4w", "30D": "30d", "10s":
    "10s", }  # fmt: skip


@pytest.mark.parametrize("alias", GRIDS)
@pytest.mark.parametrize("start", ["1931-02-28", "1999-12-30", "2023-11-15"])
def test_every_regular_grid_is_found_and_goes_on_as_it_began(alias: str, start: str) -> None:
    times = pd.date_range(start, periods=63, freq=alias, unit="us")
    panel = Panel.from_table(pd.DataFrame({"day": times[:60], "sold": range(60)}), **ALONE)
    assert (panel.frequency.name, panel.repairs) == (GRIDS[alias], ())
    assert (panel.extend(3).to_native()["day"] == times).all()


def test_the_last_trading_day_of_the_month_is_refused_with_its_remedy() -> None:
    frame = pd.DataFrame({"day": pd.date_range("2024", periods=24, freq="BME"), "sold": range(24)})
    with pytest.raises(FrequencyError, match=r"'sold' has a row at .*off the grid 1mo.*not the last trading day"):
        Panel.from_table(frame, **ALONE)


def test_step_times_are_a_grid_of_their_own() -> None:
    panel = Panel.from_table(
        pl.DataFrame({"day": pl.Series([2, 4, 6, 8], dtype=pl.UInt8), "sold": [1, 2, 3, 4]}), **ALONE
    )
    assert panel.frequency.name == "2step"
    assert panel.extend(1).table["day"].to_list() == [2, 4, 6, 8, 10]


def test_step_times_that_conflict_are_named_as_steps() -> None:
    frame = pl.DataFrame({"day": [1, 2, 2, 3], "sold": [1, 2, 3, 4]})
    with pytest.raises(DataError, match="2 different rows at 2 "):
        Panel.from_table(frame, **ALONE)


@pytest.mark.parametrize(
    "form",
    ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S.000", "%d.%m.%Y %H:%M", "%m/%d/%Y %H:%M", "%Y%m%d", "%d-%b-%Y"],
)
def test_common_forms_of_text_times_are_read(form: str) -> None:
    with pytest.warns(RepairWarning, match="parsed times"):
        panel = Panel.from_table(pl.DataFrame(change(good(), day=text(form))), **ROLES)
    assert panel.table["day"].cast(pl.Date).to_list() == [t.date() for t in good()["day"]]


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        (["2023-11", "2023-12", "2024-01"], "1mo"),
        (["2023Q3", "2023Q4", "2024Q1"], "1q"),
        (["2022", "2023", "2024"], "1y"),
    ],
)
def test_months_quarters_and_years_as_text_are_read(texts: list[str], name: str) -> None:
    with pytest.warns(RepairWarning, match="parsed times"):
        panel = Panel.from_table(pl.DataFrame({"day": texts, "sold": [1, 2, 3]}), **ALONE)
    assert panel.frequency.name == name
    assert panel.table["day"][-1] == dt.date(2024, 1, 1)


def test_a_row_at_a_clock_time_on_an_exchange_is_told_to_be_a_date() -> None:
    times = [dt.datetime(2024, 1, day, 16) for day in (2, 3, 4, 5)]
    with pytest.raises(FrequencyError, match=r"off the grid XNYS.*dates without a clock time"):
        Panel.from_table(pl.DataFrame({"day": times, "sold": [1, 2, 3, 4]}), **ALONE, calendar="XNYS")


def test_a_message_never_shows_more_than_one_place_of_many() -> None:
    columns = change(good(), sold=lambda v: [float("inf")] * len(v))
    with pytest.raises(DataError) as raised:
        Panel.from_table(pl.DataFrame(columns), **ROLES)
    assert len(str(raised.value)) < 300
    assert re.search(r"80 such rows", str(raised.value))


def test_a_lazy_table_is_read_and_a_broken_one_says_why() -> None:
    lazy = pl.DataFrame(good()).lazy()
    assert Panel.from_table(lazy, **ROLES).n_series == 2
    with pytest.raises(DataError, match=r"the lazy table can't be computed: unable to find column"):
        Panel.from_table(lazy.select("price"), **ROLES)


def test_an_arrow_batch_and_wide_decimals_are_read() -> None:
    wide = pa.array([decimal.Decimal(str(v)) for v in good()["sold"]], pa.decimal256(40, 2))
    batch = pa.RecordBatch.from_pydict({**good(), "sold": wide})
    panel = Panel.from_table(batch, **ROLES)
    np.testing.assert_array_equal(panel.target, good()["sold"])
    assert isinstance(panel.to_native(), pa.Table)


def test_a_column_may_have_any_text_as_its_name() -> None:
    frame = pl.DataFrame(good()).rename({"sold": ""})
    np.testing.assert_array_equal(Panel.from_table(frame, **{**ROLES, "target": ""}).target, good()["sold"])


@pytest.mark.parametrize("name", [0, None])
def test_a_column_that_is_not_named_by_text_is_refused(name: Any) -> None:
    with pytest.raises(ColumnError, match=f"named by its text; got {name}. Write '{name}'"):
        Panel.from_table(pl.DataFrame(good()), **{**ROLES, "time": name})


@pytest.mark.parametrize("table", [pd.DataFrame(), pl.DataFrame(), pa.table({})])
def test_a_table_without_columns_says_so(table: Any) -> None:
    with pytest.raises(DataError, match="the table has no columns"):
        Panel.from_table(table, **ROLES)


def test_dates_before_the_calendar_are_told_where_it_begins() -> None:
    frame = pl.DataFrame({"day": [dt.date(1960, 1, d) for d in (4, 5, 6, 7)], "sold": [1, 2, 3, 4]})
    with pytest.raises(FrequencyError, match=r"1960-01-04.*off the grid XNYS.*known from 1970-01-02 on"):
        Panel.from_table(frame, **ALONE, calendar="XNYS")
