"""Who was a member when, and a walk that buys members only: no look-ahead, the gone included."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.typing import NDArray

import tidewright as tw
from tidewright.errors import AllocationError, ColumnError
from tidewright.portfolio import Universe, View, walk_weights

Floats = NDArray[np.float64]
MARKET = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "market"
NAMES = ("A", "B", "C", "D")
DAYS = np.datetime64("2020-01-01") + np.arange(120)
SPELLS = pl.DataFrame(
    {
        "ticker": ["B", "A", "C", "A"],
        "added": ["2020-01-01", "2020-02-01", "2019-01-01", "2020-04-01"],
        "removed": [None, "2020-03-01", "2020-03-15", ""],
    }
)
COLUMNS: dict[str, Any] = {"asset": "ticker", "start": "added", "end": "removed"}


def read(table: Any = SPELLS, **options: Any) -> Universe:
    return Universe.from_table(table, **COLUMNS, **options)


def draw_returns(seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 0.01, (120, 1)) + rng.normal(0, 0.01, (120, 4))) * np.array([1.0, 1.2, 0.8, 1.5])


def walk(universe: Universe | None, returns: Floats, **options: Any) -> Any:
    usual: dict[str, Any] = {"times": DAYS, "assets": NAMES, "decide_every": 10, "lookback": 20}
    return walk_weights(returns, universe=universe, **{**usual, **options})


def test_a_start_is_inside_and_an_end_outside() -> None:
    universe = read()
    assert universe.members("2020-01-31") == ("B", "C")
    assert universe.members(date(2020, 2, 1)) == ("A", "B", "C")
    assert universe.members(np.datetime64("2020-02-29T23:59")) == ("A", "B", "C")
    assert universe.members(datetime(2020, 3, 1)) == ("B", "C")
    assert universe.members(pd.Timestamp("2020-05-01")) == ("A", "B")
    assert universe.members("1990-01-01") == ()
    assert universe.assets == ("A", "B", "C")


def test_an_end_may_be_the_last_day_inside() -> None:
    universe = read(end_inclusive=True)
    assert "A" in universe.members("2020-03-01T15:00")
    assert "A" not in universe.members("2020-03-02")
    at_noon = SPELLS.with_columns(removed=pl.Series([None, "2020-03-01 12:00:00", None, None]))
    assert "A" in read(at_noon, end_inclusive=True).members("2020-03-01T12:00")
    assert "A" not in read(at_noon, end_inclusive=True).members("2020-03-01T12:01")


def test_the_mask_is_the_members_of_each_time() -> None:
    universe = read()
    names = ("C", "gold", "A", "B")
    mask = universe.mask(DAYS, names)
    for row, day in zip(mask, DAYS, strict=True):
        assert {name for name, inside in zip(names, row, strict=True) if inside} == set(universe.members(day))


@pytest.mark.parametrize("kind", ["pandas", "pyarrow", "dates", "file"])
def test_any_table_gives_the_same_universe(kind: str, tmp_path: Path) -> None:
    dates = SPELLS.with_columns(pl.col("added", "removed").str.to_date(strict=False))
    tables: dict[str, Any] = {"pandas": dates.to_pandas(), "pyarrow": dates.to_arrow(), "dates": dates}
    dates.write_csv(tmp_path / "spells.csv")
    universe = read(tables.get(kind, tmp_path / "spells.csv"))
    np.testing.assert_array_equal(universe.mask(DAYS, NAMES), read().mask(DAYS, NAMES))
    assert bool(universe.notes) == (kind == "file")  # that text was read as dates is said


def test_a_walk_buys_members_with_a_whole_lookback_and_says_who_was_left_out() -> None:
    returns = draw_returns()
    returns[:15, 1] = np.nan  # B was not listed yet
    returns[75:, 2] = np.nan  # C is delisted after it left
    targets = walk(read(), returns)
    assert targets.values.sum(axis=1) == pytest.approx(1.0)
    held = {
        str(day): {n for n, w in zip(NAMES, row, strict=True) if w > 0}
        for day, row in zip(targets.times, targets.values, strict=True)
    }
    assert held["2020-01-20"] == {"C"}
    assert held["2020-02-09"] == {"A", "B", "C"}
    assert held["2020-03-10"] == {"B", "C"}
    assert held["2020-03-30"] == {"B"}
    assert held["2020-04-29"] == {"A", "B"}
    assert targets.decision_notes[0] == ("1 member without all returns of the lookback left out: B",)
    assert targets.notes == ("1 asset never in the universe and without weight: D",)


def test_each_decision_is_the_rule_on_its_members() -> None:
    returns = draw_returns()
    targets = walk(read(), returns, rule="risk_parity", options={"covariance": "oas"})
    row = 49
    same = tw.allocate(returns[row - 19 : row + 1, :3], assets=NAMES[:3], method="risk_parity", covariance="oas")
    np.testing.assert_allclose(targets.values[3], [*same.values, 0.0], rtol=1e-12)


def test_a_universe_of_all_at_all_times_changes_no_bit() -> None:
    always = Universe(NAMES, np.full(4, "1990-01-01", "datetime64[us]"), np.full(4, "2090-01-01", "datetime64[us]"))
    assert walk(always, draw_returns()).values.tobytes() == walk(None, draw_returns()).values.tobytes()


@pytest.mark.parametrize("cut", range(20, 119, 7))
def test_changes_of_membership_and_returns_after_a_day_move_no_bit_up_to_it(cut: int) -> None:
    day, returns = DAYS[cut].item(), draw_returns()
    later = returns.copy()
    later[cut + 1 :] = np.random.default_rng(cut).normal(0, 0.05, later[cut + 1 :].shape)
    later[cut + 1 :, cut % 3] = np.nan
    spells = SPELLS.with_columns(pl.col("added", "removed").str.to_date(strict=False))
    known = spells.filter(pl.col("added") <= day).with_columns(
        removed=pl.when(pl.col("removed") > day).then(None).otherwise("removed")
    )
    ended = known.with_columns(
        removed=pl.when(pl.col("ticker") == "B").then(pl.lit(day + timedelta(3))).otherwise("removed")
    )
    added = pl.DataFrame({"ticker": ["D"], "added": [day + timedelta(1)], "removed": [None]}, schema=spells.schema)
    view = View(expected=returns, uncertainty=np.full_like(returns, 0.02), skill=0.2)
    ours = walk(read(spells), returns, view=view)
    theirs = walk(read(pl.concat([ended, added])), later, view=view)
    before = int((ours.times <= DAYS[cut]).sum())
    assert theirs.values[:before].tobytes() == ours.values[:before].tobytes()
    assert theirs.decision_notes[:before] == ours.decision_notes[:before]


def test_members_without_returns_are_counted_as_survivorship() -> None:
    targets = walk(read(), draw_returns()[:, :2], assets=("A", "B"))
    assert targets.notes[0].startswith("26.1% of the members at the decisions have no returns here (survivorship): C")


def test_a_stale_member_is_left_out_with_a_note() -> None:
    returns = draw_returns()
    returns[30:60, 1] = 0.0
    notes = walk(read(), returns).decision_notes
    assert notes[3] == ("1 member without variance in the lookback left out: B",)
    assert notes[0] == ()


@pytest.mark.skipif(not MARKET.is_dir(), reason="the real data are not on this machine")
def test_the_index_of_500_has_about_500_members_on_any_day() -> None:
    columns = {"asset": "ticker", "start": "start_date", "end": "end_date"}
    universe = Universe.from_table(MARKET / "sp500_ticker_start_end.csv", **columns)
    days = np.arange("1996-02-01", "2024-12-01", dtype="datetime64[M]").astype("datetime64[D]")
    counts = universe.mask(days, universe.assets).sum(axis=1)
    assert 480 <= counts.min() <= counts.max() <= 510
    assert len(universe.assets) == 1181
    assert "AAL" in universe.members("2024-09-20")
    assert "AAL" not in universe.members("2024-09-23")  # replaced before the open
    assert "LEHMQ" in universe.assets or "LEH" in universe.assets


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"removed": [None, "2020-01-15", None, None]}, "'A' ends at 2020-01-15 and starts at 2020-02-01. An end is"),
        ({"removed": [None, "2020-05-01", None, None]}, "two spells of 'A' overlap: one ends at 2020-05-01, the next"),
        ({"removed": [None, None, None, None]}, "two spells of 'A' overlap: one ends at 9999-12-31"),
        ({"added": ["2020-01-01", None, "2019-01-01", "2020-04-01"]}, "row 1 of column 'added' is empty"),
        (
            {"added": ["2020-01-01", "soon", "2019-01-01", "2020-04-01"]},
            "row 1: 'soon' in column 'added' is not a time",
        ),
        ({"ticker": ["B", "A", " ", "A"]}, "row 2 has no name in column 'ticker'"),
        ({"added": [1, 2, 3, 4]}, "column 'added' holds Int64. Membership dates are dates"),
    ],
)
def test_spells_that_can_not_be_are_refused(change: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(SPELLS.with_columns(**{name: pl.Series(values) for name, values in change.items()}))


def test_what_is_no_spell_or_time_is_refused() -> None:
    with pytest.raises(ColumnError, match=r"no column is called 'tickers'\. Did you mean 'ticker'"):
        Universe.from_table(SPELLS, asset="tickers", start="added", end="removed")
    with pytest.raises(AllocationError, match="the table of spells has no rows"):
        read(SPELLS.clear())
    for time in ("soon", "NaT", 5, datetime(2020, 1, 1, tzinfo=UTC)):
        with pytest.raises(AllocationError, match="is no time"):
            read().members(time)
    with pytest.raises(AllocationError, match="none of the 2 assets was ever a member: 'X'"):
        read().mask(DAYS, ("X", "Y"))
    with pytest.raises(AllocationError, match=r"universe is a Universe, see Universe\.from_table; got DataFrame"):
        walk(SPELLS, draw_returns())  # type: ignore[arg-type]
    np.testing.assert_array_equal(read().mask(DAYS[40], NAMES), read().mask(DAYS[40:41], NAMES))
    with pytest.raises(AllocationError, match="1 names came with 2 starts"):
        Universe(("A",), DAYS[:2], DAYS[:2])


def test_a_decision_without_any_asset_is_an_error_with_its_date() -> None:
    returns = draw_returns()
    returns[:25] = np.nan
    with pytest.raises(AllocationError, match="of 2 members at 2020-01-20 none has all of the 20 returns before it"):
        walk(read(), returns)


def test_an_infinite_return_of_a_member_is_an_error_and_not_left_out() -> None:
    returns = draw_returns()
    returns[40, 1] = np.inf
    with pytest.raises(AllocationError, match="the decision of 2020-02-19: the return of 'B' at 2020-02-10 is inf"):
        walk(read(), returns)
