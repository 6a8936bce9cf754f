"""Forecast tables: the right time and number in every row, in the user's own names and types."""

from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tidewright.data.forecast import level_names, tabulate
from tidewright.data.panel import Panel
from tidewright.errors import ColumnError

LEVELS = (0.1, 0.5, 0.9)


def test_each_row_has_its_series_cutoff_time_and_quantiles():
    days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 1, 5), eager=True)
    table = pl.DataFrame({"shop": ["a"] * 5 + ["b"] * 5, "day": pl.concat([days, days]), "sold": np.arange(10.0)})
    panel = Panel.from_table(table, series="shop", time="day", target="sold")
    values = np.arange(12.0).reshape(2, 2, 3)
    found = tabulate(panel, values, rows=np.array([4, 7]), levels=LEVELS, model="naive").table
    assert found.columns == ["shop", "cutoff", "day", "0.1", "0.5", "0.9", "model"]
    assert found.rows() == [
        ("a", date(2024, 1, 5), date(2024, 1, 6), 0.0, 1.0, 2.0, "naive"),
        ("a", date(2024, 1, 5), date(2024, 1, 7), 3.0, 4.0, 5.0, "naive"),
        ("b", date(2024, 1, 3), date(2024, 1, 4), 6.0, 7.0, 8.0, "naive"),
        ("b", date(2024, 1, 3), date(2024, 1, 5), 9.0, 10.0, 11.0, "naive"),
    ]


def test_a_panel_of_one_series_has_no_series_column():
    panel = Panel.from_table(pl.DataFrame({"t": range(4), "y": np.arange(4.0)}), time="t", target="y")
    found = tabulate(panel, np.ones((1, 2, 1)), rows=np.array([3]), levels=(0.5,), model="m").table
    assert found.columns == ["cutoff", "t", "0.5", "model"]
    assert found["t"].to_list() == [4, 5]


def test_months_are_months_and_not_thirty_days():
    months = [date(2023, m, 1) for m in range(1, 13)]
    panel = Panel.from_table(pl.DataFrame({"m": months, "y": np.arange(12.0)}), time="m", target="y")
    found = tabulate(panel, np.ones((1, 3, 1)), rows=np.array([11]), levels=(0.5,), model="m").table
    assert found["m"].to_list() == [date(2024, 1, 1), date(2024, 2, 1), date(2024, 3, 1)]


def test_local_midnights_stay_midnights_over_daylight_saving():
    start = datetime(2024, 3, 20)
    times = pl.Series("t", [start + timedelta(days=d) for d in range(10)]).dt.replace_time_zone("Europe/Berlin")
    panel = Panel.from_table(pl.DataFrame({"t": times, "y": np.arange(10.0)}), time="t", target="y")
    found = tabulate(panel, np.ones((1, 5, 1)), rows=np.array([9]), levels=(0.5,), model="m").table
    assert found["t"].dt.hour().to_list() == [0] * 5
    assert found["t"].dt.day().to_list() == [30, 31, 1, 2, 3]
    assert found.schema["t"] == found.schema["cutoff"] == times.dtype


def test_a_pandas_user_gets_pandas_back():
    frame = pd.DataFrame({"t": pd.date_range("2024-01-01", periods=4), "y": [1.0, 2.0, 3.0, 4.0]})
    panel = Panel.from_table(frame, time="t", target="y")
    found = tabulate(panel, np.ones((1, 2, 1)), rows=np.array([3]), levels=(0.5,), model="m").to_native()
    assert isinstance(found, pd.DataFrame)
    assert found["t"].tolist() == [pd.Timestamp("2024-01-05"), pd.Timestamp("2024-01-06")]


@pytest.mark.parametrize("name", ["cutoff", "model", "0.5"])
def test_a_column_named_like_one_of_the_tables_own_is_refused(name):
    table = pl.DataFrame({name: ["a"] * 4, "t": range(4), "y": np.arange(4.0)})
    panel = Panel.from_table(table, series=name, time="t", target="y")
    with pytest.raises(ColumnError, match=f"the column '{name}' has a name that a forecast's table needs"):
        tabulate(panel, np.ones((1, 1, 1)), rows=np.array([3]), levels=(0.5,), model="m")


def test_levels_are_written_without_noise():
    assert level_names((0.025, 0.1, 0.5)) == ["0.025", "0.1", "0.5"]
