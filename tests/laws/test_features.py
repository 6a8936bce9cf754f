"""Every feature of a panel: what comes later, or stands beside it, changes no bit of its rows until then."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import date
from functools import partial
from importlib import import_module

import numpy as np
import polars as pl
import pytest

from tests.worlds import small_table
from tidewright.data.panel import Panel
from tidewright.features.events import add_events
from tidewright.features.groups import GROUP_STATISTICS, add_groups
from tidewright.features.history import add_seasonal, add_since, add_weighted
from tidewright.features.holidays import add_holidays
from tidewright.features.lags import add_lags
from tidewright.features.statistics import STATISTICS
from tidewright.features.technical import INDICATORS, add_technical

MODULES = ("lags", "history", "technical", "groups", "holidays", "events")
EVENTS = pl.DataFrame({"when": [date(2024, 1, 3), date(2024, 1, 7)], "shop": ["s1", "s2"]})
EVERY = (*STATISTICS, "q0.1", "q0.8")
FEATURES: dict[str, Callable[[Panel], Panel]] = {
    "lags": partial(add_lags, lags=(1, 24)),
    "rolling": partial(add_lags, rolling=(2, 3, 28, 150), statistics=EVERY),
    "expanding": partial(add_lags, rolling=("all",), statistics=EVERY),
    "of a past column": partial(add_lags, column="visits", rolling=(5,), statistics=EVERY, least=2),
    "weighted": partial(add_weighted, half_lives=(0.5, 10), spans=(7,), statistics=("mean", "std")),
    "weighted, missing ignored": partial(add_weighted, spans=(7,), ignore_missing=True),
    "seasonal": partial(add_seasonal, counts=(1, 3, "all"), statistics=("mean", "std", "median")),
    "since": partial(add_since, column="flag"),
    "since a value": partial(add_since, column="flag", value=0.0),
    "technical": partial(add_technical, indicators=tuple(INDICATORS), close="close", high="high", low="low"),
}
TOGETHER: dict[str, Callable[[Panel], Panel]] = {
    "groups": partial(add_groups, by=("kind",), statistics=GROUP_STATISTICS),
    "groups of all": partial(add_groups, statistics=GROUP_STATISTICS),
    "groups before": partial(add_groups, by=("kind",), statistics=GROUP_STATISTICS, horizon=5),
}
KNOWN: dict[str, Callable[[Panel], Panel]] = {  # of the calendar alone: no value of the panel changes them
    "holidays": partial(add_holidays, country="US", each=True),
    "events": partial(add_events, events=EVENTS, time="when", series="shop", after=9, role="past"),
    "events ahead": partial(add_events, events=EVENTS, time="when", before=30),
}
CUTS = (0, 1, 23, 24, 27, 28, 100, 149, 150, 198)

ALL = {**FEATURES, **TOGETHER, **KNOWN}

every_feature = pytest.mark.parametrize("feature", ALL)


def shops(*, cut: int | None = None) -> Panel:
    """Four shops of one size; after position `cut` all but time and series is another."""
    table = small_table(rows=200)
    draw = np.random.default_rng(3)
    flag = (draw.random(len(table)) < 0.1).astype(float)
    if cut is not None:
        later = np.tile(np.arange(200) > cut, 4)
        new = {name: np.where(later, draw.normal(size=len(table)) * 1e3, table[name]) for name in ("sold", "visits")}
        table = table.with_columns(**new, price=np.where(later, 3.0, table["price"]))
        flag = np.where(later, 1.0 - flag, flag)
    table = table.with_columns(flag=flag, sold=pl.col("sold").fill_nan(None), close=pl.col("sold").abs() + 1.0)
    table = table.with_columns(high=pl.col("close") + pl.col("price"), low=pl.col("close") / pl.col("price"))
    return Panel.from_table(
        table,
        series="shop",
        time="hour",
        target="sold",
        past=["visits", "flag", "close", "high", "low"],
        known=["price"],
        static=["area", "kind"],
    )


def bits(panel: Panel, source: Panel, *, last: int) -> dict[str, bytes]:
    """The new columns of a panel at rows until a position, as bytes."""
    new = [name for name in panel.table.columns if name not in source.table.columns]
    assert new
    return {name: panel.values(name)[panel.positions <= last].tobytes() for name in new}


@every_feature
def test_another_future_changes_no_bit_of_a_feature_before_it(feature: str) -> None:
    panel, make = shops(), ALL[feature]
    made = make(panel)
    for cut in CUTS:
        other = shops(cut=cut)
        assert bits(make(other), other, last=cut) == bits(made, panel, last=cut), cut


@every_feature
def test_a_panel_that_ends_there_has_the_same_bits(feature: str) -> None:
    panel, make = shops(), ALL[feature]
    made = make(panel)
    for cut in CUTS[1:]:
        ended = panel.until(cut)
        assert bits(make(ended), ended, last=cut) == bits(made, panel, last=cut), cut


@pytest.mark.parametrize("feature", {**FEATURES, **TOGETHER})
def test_a_later_change_is_seen_where_it_is(feature: str) -> None:
    panel, make, cut = shops(), ALL[feature], 100
    other = shops(cut=cut)
    assert bits(make(other), other, last=199) != bits(make(panel), panel, last=199)


@pytest.mark.parametrize("feature", FEATURES)
def test_a_series_alone_has_the_bits_that_it_has_among_others(feature: str) -> None:
    panel, make = shops(), FEATURES[feature]
    alone = panel.select(["s2"])
    rows = panel.rows_of("s2")
    among = make(panel)
    for name, column in bits(make(alone), alone, last=199).items():
        assert among.values(name)[rows].tobytes() == column, name


def test_every_function_that_adds_features_is_tested() -> None:
    modules = [import_module(f"tidewright.features.{name}") for name in MODULES]
    found = {
        name
        for module in modules
        for name, value in inspect.getmembers(module, inspect.isfunction)
        if name.startswith("add_") and value.__module__ == module.__name__
    }
    tested = {make.func.__name__ for make in ALL.values() if isinstance(make, partial)}
    assert found == tested
