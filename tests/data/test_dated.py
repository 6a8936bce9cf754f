"""Prices and weights from tables of either form, and how many bars a year has."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tidewright.data.dated import OPENS, WEIGHTS, measure_periods, read_dated
from tidewright.errors import ColumnError, DataError, FrequencyError, TidewrightError

DAYS = [date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 4)]
WIDE = pl.DataFrame({"Date": DAYS, "A": [1.0, 2.0, 3.0], "B": [None, 5, 6]})
LONG = WIDE.unpivot(index="Date", variable_name="symbol", value_name="Close")


def test_long_and_wide_files_give_the_same(tmp_path: Path) -> None:
    WIDE.sample(3, seed=0, shuffle=True).write_csv(tmp_path / "wide.csv")
    LONG.sample(6, seed=0, shuffle=True).write_parquet(tmp_path / "long.parquet")
    for source in (WIDE, tmp_path / "wide.csv", WIDE.to_pandas(), WIDE.to_arrow()):
        found = read_dated(source)
        assert found.names == ("A", "B")
        assert found.times.astype("datetime64[D]").tolist() == DAYS
        assert found.values.tolist()[1:] == [[2.0, 5.0], [3.0, 6.0]]
        assert np.isnan(found.values[0, 1])
    long = read_dated(tmp_path / "long.parquet")
    assert long.column == "Close"
    assert {name: long.values[2, at] for at, name in enumerate(long.names)} == {"A": 3.0, "B": 6.0}


def test_the_usual_column_is_taken_or_the_one_that_is_named() -> None:
    table = LONG.with_columns(pl.col("Close").alias("Adj Close") * 0.5, pl.col("Close").alias("Open") + 1.0, w=0.5)
    assert read_dated(table).column == "Adj Close"
    assert read_dated(table, usual=OPENS).column == "Open"
    assert read_dated(table, value="Close").values[1, 0] == 2.0
    assert read_dated(table.select("Date", "symbol", "w"), usual=WEIGHTS).column == "w"
    assert read_dated(table.with_columns(sector=pl.lit("x")), series="symbol").names == ("A", "B")


def test_dates_without_a_number_are_left_out_and_told() -> None:
    found = read_dated(WIDE.with_columns(A=pl.Series([None, 2.0, 3.0])))
    assert len(found.times) == 2
    assert found.notes == ("1 dates without any number are left out",)


@pytest.mark.parametrize(
    ("table", "given", "error", "message"),
    [
        (WIDE.rename({"Date": "x"}).with_columns(y="x"), {}, ColumnError, "which column holds the dates"),
        (WIDE, {"time": "day"}, ColumnError, "no column is called 'day'"),
        (LONG, {"value": "close"}, ColumnError, "Did you mean 'Close'"),
        (LONG, {"series": "asset"}, ColumnError, "no column is called 'asset'"),
        (pl.concat([LONG, LONG]), {}, DataError, "'A' has more than one row at 2024-01-02"),
        (pl.concat([WIDE, WIDE]), {}, DataError, "comes more than once"),
        (LONG.with_columns(x=1.0, y=2.0).drop("Close"), {}, ColumnError, "which column holds the numbers"),
        (LONG.with_columns(sector=pl.lit("x")), {}, ColumnError, "symbol, sector hold text"),
        (WIDE.select("Date"), {}, ColumnError, "no column of numbers"),
        (WIDE.with_columns(time=pl.Series([1, 2, 3])).drop("Date"), {}, DataError, "holds step numbers"),
    ],
)
def test_what_can_t_be_read_is_told(
    table: Any, given: dict[str, Any], error: type[TidewrightError], message: str
) -> None:
    with pytest.raises(error, match=message):
        read_dated(table, **given)


def test_a_year_has_the_bars_that_are_there() -> None:
    days = pd.bdate_range("2015-01-01", "2024-12-31")
    holidays = days[(days.month == 12) & (days.day >= 25) & (days.day <= 31)]
    times = days.difference(holidays).to_numpy()
    periods, told = measure_periods(times)
    assert periods == pytest.approx(len(times) / 10, rel=0.003)
    assert "a grid of 1b (260.9 a year), of which 98" in told
    hours = pd.date_range("2024-01-01", periods=24 * 60, freq="h")
    trading = hours[(hours.hour >= 9) & (hours.hour < 16)].to_numpy()
    assert measure_periods(trading, frequency="1h")[0] == pytest.approx(7 * 365.2, rel=0.02)
    assert measure_periods(pd.date_range("2024-01-31", periods=30, freq="ME").to_numpy())[0] == 12.0
    with pytest.raises(FrequencyError, match="one bar"):
        measure_periods(times[:1])
