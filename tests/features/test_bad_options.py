"""What wrong options of features get: an error that names the option and what was given, never a bare traceback."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest

import tidewright as tw
from tidewright.data.panel import Panel
from tidewright.errors import TidewrightError

DAYS = pl.date_range(date(2024, 1, 1), date(2024, 2, 29), eager=True)


def make_panel() -> Panel:
    parts = [pl.DataFrame({"s": s, "day": DAYS, "y": 1.0 + pl.int_range(60, eager=True), "k": s}) for s in "ab"]
    return Panel.from_table(pl.concat(parts), series="s", time="day", target="y", static=["k"])


@pytest.mark.parametrize(
    ("feature", "options", "message"),
    [
        (tw.add_lags, {"lags": 7}, r"a lag is given in a sequence; got 7. Write \[7\]"),
        (tw.add_lags, {"lags": None}, "a lag is given in a sequence; got None"),
        (tw.add_lags, {"rolling": 7}, r"rolling windows are given in a sequence; got 7. Write \[7\]"),
        (tw.add_lags, {"rolling": "all"}, r"got 'all'. Write \['all'\]"),
        (tw.add_lags, {"rolling": ["al"]}, "a rolling window is a number of rows or 'all'; got 'al'"),
        (tw.add_weighted, {"half_lives": 7}, r"each half-life is given in a sequence; got 7. Write \[7\]"),
        (tw.add_seasonal, {"counts": 4}, r"rolling windows are given in a sequence; got 4. Write \[4\]"),
        (tw.add_since, {"value": "x"}, "the value of an event is a number; got 'x'"),
        (tw.add_since, {"value": float("nan")}, "the value of an event is a number; got nan"),
        (tw.add_groups, {"by": ["k", "k"]}, "groups are by different columns"),
        (tw.add_holidays, {"country": 5}, "a country is one code"),
        (tw.add_holidays, {"country": "US-"}, "no part of US with its own holidays is called ''"),
        (tw.add_holidays, {"country": "US", "ahead": 3.5}, "extended by a whole number of steps, 0 or more; got 3.5"),
        (tw.add_holidays, {"country": "US", "names": "Christmas Day"}, r"Write \['Christmas Day'\]"),
        (tw.add_technical, {"indicators": "rsi"}, "indicators are a sequence of names"),
        (tw.add_technical, {"indicators": [5]}, "indicators are a sequence of names"),
        (tw.add_technical, {"indicators": ["volatility"], "periods_per_year": "252"}, "got '252' on the grid 1d"),
    ],
)
def test_an_option_of_another_kind_is_named(feature: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(TidewrightError, match=message):
        feature(make_panel(), **options)


@pytest.mark.parametrize("step", ["lags", ("lags",), ("lags", None), [("lags", {"lags": [1]})]])
def test_a_step_of_a_recipe_is_a_name_and_its_options(step: Any) -> None:
    with pytest.raises(TidewrightError, match="a step is a feature's name and its options"):
        tw.build_recipe(step)


def test_a_recipe_says_at_once_which_option_it_lacks() -> None:
    with pytest.raises(TidewrightError, match="the feature seasonal needs the option 'counts'"):
        tw.build_recipe(("seasonal", {}))


def test_a_store_is_told_of_paths_bytes_panels_and_recipes(tmp_path: Any) -> None:
    wrong: Any = None
    with pytest.raises(TidewrightError, match="the folder of features is a path; got None"):
        tw.FeatureStore(wrong)
    with pytest.raises(TidewrightError, match="most_bytes is a number of bytes, 0 or more; got -1"):
        tw.FeatureStore(tmp_path, most_bytes=-1)
    with pytest.raises(TidewrightError, match="made of a Panel and a recipe of build_recipe; got Panel and NoneType"):
        tw.FeatureStore(tmp_path).get(make_panel(), wrong)


def test_levels_of_a_hierarchy_are_no_text() -> None:
    for levels in ("k", None, [3]):
        with pytest.raises(TidewrightError, match="levels are a sequence of columns"):
            tw.build_hierarchy(make_panel(), levels=levels)  # type: ignore[arg-type]  # that is the point
