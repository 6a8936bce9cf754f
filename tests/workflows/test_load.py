"""Tables of any layout, read as a bundle reads them."""

from __future__ import annotations

import polars as pl
import pytest

from tidewright.data.panel import Roles
from tidewright.errors import ConfigError
from tidewright.workflows.load import lengthen

WIDE = pl.DataFrame({"day": [1, 2], "a": [3.0, 4.0], "b": [5.0, 6.0]})
COLUMNS = Roles(time="day", target="value", series="series")
ROWS = Roles(time="step", target="value", series="day")
LONG = Roles(time="day", target="a")


def test_a_wide_table_becomes_the_long_one_that_its_bundle_reads() -> None:
    assert lengthen(WIDE, layout="columns", roles=COLUMNS).columns == ["day", "series", "value"]
    assert lengthen(WIDE, layout="rows", roles=ROWS).columns == ["day", "step", "value"]
    assert len(lengthen(WIDE, layout="columns", roles=COLUMNS, columns=("a",))) == 2


def test_a_long_table_stays_as_it_is() -> None:
    assert lengthen(WIDE, layout="long", roles=LONG) is WIDE
    melted = lengthen(WIDE, layout="columns", roles=COLUMNS)
    assert lengthen(melted, layout="long", roles=COLUMNS) is melted


@pytest.mark.parametrize(
    ("layout", "roles", "learned"),
    [("long", COLUMNS, "columns"), ("long", ROWS, "rows"), ("rows", COLUMNS, "columns"), ("columns", LONG, "long")],
)
def test_another_layout_than_in_training_is_an_error_that_names_the_right_one(
    layout: str, roles: Roles, learned: str
) -> None:
    with pytest.raises(ConfigError, match=f"layout {learned}; got {layout}. Say --layout {learned}."):
        lengthen(WIDE, layout=layout, roles=roles)
