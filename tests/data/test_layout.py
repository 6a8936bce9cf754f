"""Wide tables made long, without losing a number or inventing one."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.data.layout import melt_columns, melt_rows
from tidewright.data.panel import Panel
from tidewright.errors import ColumnError, DataError


def test_every_column_becomes_a_series():
    wide = pl.DataFrame({"t": [1, 2], "a": [3.0, 4.0], "b": [5.0, None]})
    long = melt_columns(wide, time="t")
    assert sorted(long.select("series", "t", "value").rows(), key=str) == [
        ("a", 1, 3.0), ("a", 2, 4.0), ("b", 1, 5.0), ("b", 2, None),
    ]  # fmt: skip


def test_only_the_named_columns_become_series():
    wide = pd.DataFrame({"t": [1, 2], "a": [3.0, 4.0], "note": ["x", "y"]})
    assert melt_columns(wide, time="t", columns=("a",))["series"].unique().to_list() == ["a"]
    with pytest.raises(ColumnError, match=r"column 'note' holds text, the others numbers. Name the columns"):
        melt_columns(wide, time="t")


def test_a_missing_column_names_the_near_one():
    with pytest.raises(ColumnError, match=r"no column is called 'tme'. Did you mean 'time'"):
        melt_columns(pl.DataFrame({"time": [1], "a": [2]}), time="tme")


@given(
    st.lists(
        st.lists(st.none() | st.floats(-5, 5), min_size=1, max_size=6).filter(lambda row: row[-1] is not None),
        min_size=1,
        max_size=5,
    )
)
def test_rows_of_any_length_keep_their_values_in_order_and_end_together(rows):
    width = max(len(row) for row in rows)
    cells = {str(c): [row[c] if c < len(row) else None for row in rows] for c in range(width)}
    wide = pl.DataFrame(
        {"id": [f"s{n}" for n in range(len(rows))]} | cells, schema_overrides=dict.fromkeys(cells, pl.Float64)
    )
    long = melt_rows(wide, series="id")
    for number, row in enumerate(rows):
        mine = long.filter(pl.col("id") == f"s{number}")
        assert mine["value"].to_list() == row
        assert mine["step"].to_list() == list(range(width - len(row) + 1, width + 1))


def test_numbers_as_text_are_read_and_empty_text_is_missing():
    wide = pl.DataFrame({"id": ["a", "b"], "1": ["1.5", "7"], "2": [" 2 ", ""], "3": ["NA", "nan"]})
    assert melt_rows(wide, series="id").rows() == [("a", 2, 1.5), ("a", 3, 2.0), ("b", 3, 7.0)]


def test_text_that_is_no_number_is_refused_and_not_dropped():
    wide = pl.DataFrame({"id": ["a", "b"], "1": ["1.5", "seven"]})
    with pytest.raises(DataError, match="series 'b' has 'seven' in column '1', which is no number"):
        melt_rows(wide, series="id")


def test_a_row_without_a_value_is_refused_and_not_dropped():
    wide = pl.DataFrame({"id": ["a", "b"], "1": [1.0, None]})
    with pytest.raises(DataError, match="series 'b' has no value in its row"):
        melt_rows(wide, series="id")


def test_a_series_with_two_rows_is_refused():
    with pytest.raises(DataError, match=r"series 'a' stands in more than one row. Is the layout long"):
        melt_rows(pl.DataFrame({"id": ["a", "a"], "1": [1.0, 2.0]}), series="id")


@pytest.mark.parametrize("name", ["value", "step"])
def test_a_name_that_the_long_table_needs_is_refused(name):
    with pytest.raises(ColumnError, match=f"the column '{name}' has a name that the long table needs"):
        melt_rows(pl.DataFrame({name: ["a"], "1": [1.0]}), series=name)


def test_the_long_table_makes_a_panel():
    long = melt_rows(pl.DataFrame({"id": ["a", "b"], "1": [1, 7], "2": [2, None]}), series="id")
    panel = Panel.from_table(long, series="id", time="step", target="value")
    np.testing.assert_array_equal(panel.target, [1, 2, 7])
    assert panel.positions[panel.ends].tolist() == [panel.span[1]] * 2
