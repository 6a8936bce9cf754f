"""A zoo of functions that look ahead, and of ones that don't: each is caught, or passed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import signal as filters

from tidewright.errors import AllocationError
from tidewright.portfolio import Lookahead, check_lookahead

BARS, ASSETS = 240, ["A", "B", "C"]
DAYS = pd.bdate_range("2024-01-01", periods=BARS)
PRICES = 100.0 * np.cumprod(1.0 + np.random.default_rng(0).normal(0.0, 0.01, (BARS, 3)), axis=0)
FRAME = pd.DataFrame(PRICES, index=DAYS, columns=ASSETS)
TABLE = pl.DataFrame({"day": DAYS.to_numpy(), **{name: PRICES[:, k] for k, name in enumerate(ASSETS)}})
LONG = TABLE.unpivot(index="day", variable_name="asset", value_name="price").sort("asset", "day")
GAPS = FRAME.mask(np.random.default_rng(1).random((BARS, 3)) < 0.1)


def fit_line(prices: Any) -> Any:
    """A trend fitted on all of the sample."""
    steps = np.arange(len(prices))
    return prices - np.polyval(np.polyfit(steps, prices[:, 0], 1), steps)[:, None]


def rank_in_sample(prices: Any) -> Any:
    return prices.rank(pct=True)


LEAKS: dict[str, tuple[Any, Any, int | None]] = {  # the function, its table, how far it sees (None: to the end)
    "numpy: normalised over the sample": (lambda p: (p - p.mean(axis=0)) / p.std(axis=0), PRICES, None),
    "numpy: tomorrow": (lambda p: np.append(p[1:], p[-1:], axis=0), PRICES, 1),
    "numpy: roll": (lambda p: np.roll(p, -3, axis=0), PRICES, 3),
    "numpy: a centred convolution": (lambda p: np.convolve(p[:, 0], np.ones(7) / 7, "same"), PRICES, 3),
    "numpy: gradient": (lambda p: np.gradient(p, axis=0), PRICES, 1),
    "numpy: the highest of all": (lambda p: p / p.max(axis=0), PRICES, None),
    "numpy: a line through the sample": (fit_line, PRICES, None),
    "numpy: best asset of the sample": (lambda p: np.eye(3)[np.full(len(p), (p[-1] / p[0]).argmax())], PRICES, None),
    "numpy: its length": (lambda p: np.full(len(p), 1.0 / len(p)), PRICES, None),
    "numpy: a filter both ways": (lambda p: filters.filtfilt(*filters.butter(2, 0.3), p[:, 0]), PRICES, None),
    "numpy: sides of tomorrow": (lambda p: np.sign(np.diff(p, axis=0, append=p[-1:])), PRICES, 1),
    "pandas: a negative shift": (lambda f: f.shift(-5), FRAME, 5),
    "pandas: a centred window": (lambda f: f.rolling(11, center=True).mean(), FRAME, 5),
    "pandas: ranks in the sample": (rank_in_sample, FRAME, None),
    "pandas: back-filled": (lambda f: f.bfill(), GAPS, 1),
    "pandas: interpolated": (lambda f: f.interpolate(), GAPS, 1),
    "pandas: a series": (lambda s: s.pct_change(-1), FRAME["A"], 1),
    "pandas: month's mean for its days": (lambda f: f.groupby(f.index.to_period("M")).transform("mean"), FRAME, None),
    "pandas: a month known at its start": (lambda f: f.resample("MS").mean(), FRAME, None),
    "pandas: rows that the future drops": (lambda f: f[f["A"] < f["A"].median()], FRAME, None),
    "polars: a negative shift": (lambda t: t.with_columns(pl.col("A").shift(-2)), TABLE, 2),
    "polars: normalised over the sample": (lambda t: t.select("day", pl.col("B") / pl.col("B").std()), TABLE, None),
    "polars: long, tomorrow": (
        lambda t: t.with_columns(pl.col("price").shift(-1).over("asset", order_by="day").alias("next")),
        LONG,
        1,
    ),
    "polars: long, mean of an asset": (lambda t: t.select("day", pl.col("price").mean().over("asset")), LONG, None),
}


@pytest.mark.parametrize("name", LEAKS)
def test_what_looks_ahead_is_caught_with_its_place_and_reach(name: str) -> None:
    function, table, reach = LEAKS[name]
    found = check_lookahead(function, table, time="day" if isinstance(table, pl.DataFrame) else None)
    assert found.kind == "look-ahead", found.explain()
    assert found.bar is not None
    if reach is None:
        assert found.to_end or any(word in name for word in ("month", "both ways", "drops", "best"))
    else:
        assert found.reach == reach
        assert not found.to_end


STACKED = LONG.to_pandas().set_index(["asset", "day"])
ZONED = FRAME.tz_localize("America/New_York")


def best_asset_so_far(frame: Any) -> Any:
    """Month ends alone, each with what was known then."""
    monthly = frame.resample("ME").last()
    return monthly.rank(axis=1)


CLEAN: dict[str, tuple[Any, Any]] = {
    "numpy: yesterday": (lambda p: np.append(p[:1], p[:-1], axis=0), PRICES),
    "numpy: so far the highest": (lambda p: p / np.maximum.accumulate(p, axis=0), PRICES),
    "numpy: sums": (lambda p: np.cumsum(p, axis=0), PRICES),
    "numpy: a filter one way": (lambda p: filters.lfilter(*filters.butter(2, 0.3), p[:, 0]), PRICES),
    "numpy: equal weights": (lambda p: np.full(p.shape, 1 / 3), PRICES),
    "pandas: windows": (lambda f: f.rolling(20).mean() / f.ewm(span=10).mean(), FRAME),
    "pandas: expanding": (lambda f: (f - f.expanding().mean()) / f.expanding().std(), FRAME),
    "pandas: filled forward": (lambda f: f.ffill(), GAPS),
    "pandas: ranks of a day": (lambda f: f.rank(axis=1), FRAME),
    "pandas: month ends": (best_asset_so_far, FRAME),
    "pandas: whole rows": (lambda f: f.dropna(), GAPS),
    "pandas: stacked, ranks of a day": (lambda f: f.groupby("day").rank(), STACKED),
    "pandas: stacked, an asset's returns": (lambda f: f.groupby("asset").pct_change(), STACKED),
    "pandas: month ends of a zone": (best_asset_so_far, ZONED),
    "polars: windows": (lambda t: t.with_columns(pl.col("A").rolling_mean(10), pl.col("B").cum_max()), TABLE),
    "polars: long": (
        lambda t: t.with_columns(pl.col("price").pct_change().over("asset", order_by="day").alias("r")),
        LONG,
    ),
    "polars: long, ranks of a day": (lambda t: t.with_columns(pl.col("price").rank().over("day")), LONG),
}


@pytest.mark.parametrize("name", CLEAN)
def test_what_knows_only_the_past_passes(name: str) -> None:
    function, table = CLEAN[name]
    time = "day" if isinstance(table, pl.DataFrame) or table is STACKED else None
    found = check_lookahead(function, table, time=time)
    assert found.clean, found.explain()
    assert found.calls >= 2 + len(found.cuts) * len(found.ways)
    assert any("may come from somewhere else" in note for note in found.notes) == (name == "numpy: equal weights")


def test_the_message_names_column_dates_and_what_was_seen() -> None:
    found = check_lookahead(lambda f: f.shift(-2), FRAME, rows=[99])
    assert (found.bar, found.column, found.reach) == (98, "A", 2)
    assert (found.time, found.cut) == ("2024-05-16", "2024-05-17")
    assert str(found).startswith("look-ahead: 'A' at 2024-05-16 was ")
    assert "when only bars after 2024-05-17 were changed" in str(found)
    assert str(found).endswith("It sees at least 2 bars ahead.")
    with pytest.raises(AllocationError, match="look-ahead: 'A' at 2024-05-16"):
        found.refuse()
    assert json.loads(json.dumps(found.to_dict()))["clean"] is False
    assert not found


def test_dates_of_an_array_are_told() -> None:
    found = check_lookahead(lambda p: np.roll(p, -1, axis=0), PRICES, times=DAYS.to_numpy(), rows=[10])
    assert found.time == "2024-01-15"


def test_what_is_not_deterministic_is_told_first() -> None:
    draw = np.random.default_rng(0)
    found = check_lookahead(lambda p: p + draw.normal(size=p.shape), PRICES)
    assert (found.kind, found.calls) == ("random", 2)
    assert "Give it a fixed seed" in found.explain()
    assert check_lookahead(lambda p: p + np.random.default_rng(0).normal(size=p.shape[1]), PRICES).clean


def test_a_stacked_table_is_cut_by_its_dates() -> None:
    found = check_lookahead(lambda f: f.groupby("asset").shift(-2), STACKED, time="day", rows=[50])
    assert (found.bar, found.reach, found.bars) == (49, 2, BARS)
    with pytest.raises(AllocationError, match="the index has the levels asset, day; name the one of times"):
        check_lookahead(lambda f: f, STACKED)


def test_rounding_alone_is_a_note() -> None:
    window = np.ones(20) / 20
    found = check_lookahead(lambda p: filters.fftconvolve(p[:, 0], window)[: len(p)], PRICES)
    assert found.clean
    assert "changes of rounding alone" in found.notes[0]


def test_with_a_lag_the_bar_itself_is_the_future() -> None:
    assert check_lookahead(lambda f: f.pct_change(), FRAME).clean
    found = check_lookahead(lambda f: f.pct_change(), FRAME, lag=1)
    assert (found.clean, found.reach) == (False, 0)
    assert "It sees its own bar" in found.explain()
    assert check_lookahead(lambda f: f.pct_change().shift(1), FRAME, lag=1).clean


def test_the_table_of_the_user_is_never_changed() -> None:
    def spoil(frame: Any) -> Any:
        frame.iloc[:] = frame.cumsum()
        return frame

    before = FRAME.copy()
    assert check_lookahead(spoil, FRAME).clean
    pd.testing.assert_frame_equal(FRAME, before)


@pytest.mark.parametrize("dtype", ["int64", "int8", "bool", "float32", "Int64"])
def test_types_stay_as_they_are(dtype: str) -> None:
    seen: set[str] = set()

    def keep(frame: Any) -> Any:
        seen.update(str(one) for one in frame.dtypes)
        return frame.shift(1)

    values = np.random.default_rng(0).integers(0, 100, (60, 2))
    table = pd.DataFrame(values, columns=["a", "b"]).astype(dtype)
    assert check_lookahead(keep, table).clean
    assert seen == {dtype}
    assert not check_lookahead(lambda f: f.astype("float64").shift(-1), table).clean


@pytest.mark.parametrize("way", ["shuffle", "noise", "raise", "lower", "truncate"])
def test_each_way_finds_tomorrow_alone(way: str) -> None:
    found = check_lookahead(lambda f: f.shift(-1), FRAME, ways=(way,))
    assert (found.kind, found.way, found.ways) == ("look-ahead", way, (way,))


def test_an_error_of_the_function_says_when_it_came() -> None:
    def need(frame: Any) -> Any:
        if len(frame) < 200:
            raise ValueError("too short")
        return frame

    with pytest.raises(ValueError, match="too short") as caught:
        check_lookahead(need, FRAME)
    assert "(truncate)" in caught.value.__notes__[0]
    assert check_lookahead(need, FRAME, rows=[210, 220]).clean


def test_every_option_of_a_check_is_live() -> None:
    usual = check_lookahead(lambda f: f, FRAME)
    assert isinstance(usual, Lookahead)
    assert len(check_lookahead(lambda f: f, FRAME, rows=3).cuts) == 3
    leak = check_lookahead(lambda f: f.shift(-1), FRAME, ways=("noise",))
    assert check_lookahead(lambda f: f.shift(-1), FRAME, ways=("noise",), seed=1).after != leak.after


@pytest.mark.parametrize(
    ("function", "table", "given", "message"),
    [
        (lambda f: f, FRAME, {"ways": ("sort",)}, "ways are among shuffle.*got sort"),
        (lambda f: f, FRAME, {"ways": ()}, "got none"),
        (lambda f: f, FRAME, {"rows": [239]}, "cuts are rows from 0 to 238"),
        (lambda f: f, FRAME, {"rows": 0}, "rows is 0"),
        (lambda f: f, FRAME, {"lag": -1}, "lag is -1"),
        (lambda f: f, FRAME, {"times": DAYS[:5]}, "240 rows came with times of shape"),
        (lambda f: f, FRAME[::-1], {}, "the times don't rise"),
        (lambda f: f, TABLE, {"time": "date"}, "no column 'date'"),
        (lambda f: f, PRICES, {"time": "day"}, "an array has no column"),
        (lambda f: f, PRICES.astype(str), {}, "an array of numbers"),
        (lambda f: f, PRICES[:3], {}, "3 rows have no past"),
        (lambda f: f, [1, 2, 3], {}, "a function is checked on a NumPy array"),
        (lambda p: p[5:], PRICES, {}, "gave 235 rows for 240, without times"),
        (lambda p: {"a": 1}, PRICES, {}, "the function gave dict"),
        (lambda p: p[:, :, None], PRICES, {}, "an array of shape"),
    ],
)
def test_what_can_t_be_checked_is_told(function: Any, table: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(AllocationError, match=message):
        check_lookahead(function, table, **given)
