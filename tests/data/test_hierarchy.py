"""Series that add up: names, sums, gaps, ends."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewright.data.hierarchy import aggregate, build_hierarchy
from tidewright.data.panel import Panel
from tidewright.errors import ColumnError, ConfigError, DataError

DAYS = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 1, 4), eager=True)


def make_panel(values: dict[str, list[float | None]], states: dict[str, str], **more: list[float]) -> Panel:
    parts = [
        pl.DataFrame({"shop": name, "state": states[name], "day": DAYS[: len(sold)], "sold": sold})
        for name, sold in values.items()
    ]
    table = pl.concat(parts, how="vertical_relaxed")
    if more:
        table = table.with_columns(pl.Series(name, column) for name, column in more.items())
    return Panel.from_table(
        table, series="shop", time="day", target="sold", static=["state"], known=[*more], frequency="1d"
    )


STATES = {"a": "CA", "b": "CA", "c": "NV"}


def test_every_node_is_the_sum_of_its_series():
    panel = make_panel({"a": [1, 2, 3, 4], "b": [10, 20, 30, 40], "c": [100, 200, 300, 400]}, STATES)
    tree = build_hierarchy(panel, levels=["state"])
    assert tree.nodes == ("total", "state=CA", "state=NV", "a", "b", "c")
    assert tree.level_names == ("total", "state", "state", "series", "series", "series")
    whole = aggregate(panel, tree)
    values = whole.target.reshape(6, 4)
    np.testing.assert_array_equal(values, tree.summing @ values[3:])
    np.testing.assert_array_equal(values[0], [111, 222, 333, 444])
    assert whole.series_ids == tree.nodes
    assert whole.table["level"].gather(whole.offsets[:-1]).to_list() == list(tree.level_names)
    assert whole.table["state"].gather(whole.offsets[:-1]).to_list() == [None, "CA", "NV", "CA", "CA", "NV"]


def test_a_gap_makes_the_total_missing_and_an_end_does_not():
    panel = make_panel({"a": [1, None, 3, 4], "b": [10, 20], "c": [100, 200, 300, 400]}, STATES)
    whole = aggregate(panel, build_hierarchy(panel, levels=["state"]))
    rows = whole.target[whole.rows_of("total")], whole.target[whole.rows_of("state=CA")]
    np.testing.assert_array_equal(rows, [[111, np.nan, 303, 404], [11, np.nan, 3, 4]])
    np.testing.assert_array_equal(whole.target[whole.rows_of("b")], [10, 20])


def test_the_known_future_stays_the_future_and_covariates_are_means():
    values: dict[str, list[float | None]] = {"a": [1, 2, 3, None], "b": [10, 20, 30, None], "c": [5, 6, 7, None]}
    panel = make_panel(values, STATES, price=[1.0, 1, 1, 1, 3, 3, 3, 5, 2, 2, 2, 9])
    whole = aggregate(panel, build_hierarchy(panel, levels=[("state",)]))
    np.testing.assert_array_equal(whole.target[whole.rows_of("total")], [16, 28, 40, np.nan])
    np.testing.assert_array_equal(whole.values("price")[whole.rows_of("state=CA")], [2, 2, 2, 3])


def test_levels_may_cross():
    table = pl.DataFrame(
        {
            "id": np.repeat(np.arange(4), 4),
            "store": np.repeat(["x", "x", "y", "y"], 4),
            "dept": np.repeat([1.0, 2.0, 1.0, 2.0], 4),
            "day": pl.concat([DAYS] * 4),
            "sold": np.arange(16.0),
        }
    )
    panel = Panel.from_table(table, series="id", time="day", target="sold", static=["store", "dept"])
    tree = build_hierarchy(panel, levels=["store", "dept", "store/dept"])
    assert tree.nodes[1:5] == ("store=x", "store=y", "dept=1", "dept=2")
    assert tree.nodes[5] == "store=x/dept=1"
    assert tree.nodes[-4:] == ("0", "1", "2", "3")
    np.testing.assert_array_equal(
        aggregate(panel, tree).target.reshape(-1, 4), tree.summing @ np.arange(16.0).reshape(4, 4)
    )


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_totals_of_any_panel_add_up(seed: int):
    rng = np.random.default_rng(seed)
    names = [f"s{i}" for i in range(int(rng.integers(2, 6)))]
    values = {n: rng.normal(size=int(rng.integers(1, 5))).tolist() for n in names}
    panel = make_panel(values, {n: str(rng.integers(0, 3)) for n in names})
    tree = build_hierarchy(panel, levels=["state"])
    whole = aggregate(panel, tree)
    dense = np.zeros((len(tree.nodes), 4))
    for node, name in enumerate(tree.nodes):
        own = whole.rows_of(name)
        dense[node, : own.stop - own.start] = whole.target[own]
    np.testing.assert_allclose(dense, tree.summing @ dense[-len(names) :], atol=1e-12)


def test_bad_levels_are_answered_in_words():
    panel = make_panel({"a": [1, 2, 3, 4], "b": [1, 2, 3, 4], "c": [1, 2, 3, 4]}, STATES)
    with pytest.raises(ColumnError, match=r"no static column is called 'stat'. Did you mean 'state'"):
        build_hierarchy(panel, levels=["stat"])
    with pytest.raises(ConfigError, match="each level is named once"):
        build_hierarchy(panel, levels=["state", ("state",)])
    with pytest.raises(DataError, match="other series"):
        aggregate(panel.select(["a"]), build_hierarchy(panel, levels=["state"]))
    with pytest.raises(ConfigError, match="a hierarchy is what build_hierarchy makes of a panel; got None"):
        aggregate(panel, None)
    with pytest.raises(DataError, match="a hierarchy is made from a Panel; got DataFrame"):
        build_hierarchy(panel.table, levels=["state"])
    clash = make_panel({"total": [1, 2, 3, 4], "b": [1, 2, 3, 4]}, {"total": "x", "b": "y"})
    with pytest.raises(DataError, match="two nodes of the hierarchy would be called 'total'"):
        build_hierarchy(clash, levels=["state"])
