"""The data processing of the technology guide: its lines of pandas and NumPy beside the calls here, on real prices.

Each block is the guide's own text. Where it makes rows or figures that are not so, the test says which, and what is
done here.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.typing import NDArray

import tidewright as tw
from tidewright.data.dated import carry_gaps, read_dated
from tidewright.data.market import load_market, to_returns
from tidewright.errors import FrequencyError, RepairWarning

GUIDE = Path(__file__).resolve().parents[2].parent / "shared" / "source_documents" / "004_technology_stack.txt"

RESAMPLE = """
# Resample to daily frequency
df = df.resample('D').ffill()
"""

RETURNS = """
# Calculate returns
df['returns'] = df['close'].pct_change()
"""

ROLLING = """
# Rolling statistics
df['sma_20'] = df['close'].rolling(20).mean()
df['volatility'] = df['returns'].rolling(20).std() * np.sqrt(252)
"""

MISSING = """
# Handle missing values
df = df.fillna(method='ffill').dropna()
"""


@pytest.mark.skipif(not GUIDE.exists(), reason="the guide is not on this machine")
@pytest.mark.parametrize("block", [RESAMPLE, RETURNS, ROLLING, MISSING])
def test_the_blocks_are_the_guides_own(block: str) -> None:
    assert block in GUIDE.read_text()


@cache
def read_closes() -> pd.DataFrame:
    """Two years of Apple's closes, a row a trading day."""
    apple = load_market().filter((pl.col("stock") == "AAPL") & pl.col("date").is_between(*two_years()))
    return pd.DataFrame({"close": apple["price"].to_numpy()}, index=pd.DatetimeIndex(apple["date"].to_numpy()))


def two_years() -> tuple[Any, Any]:
    return pl.date(2019, 1, 1), pl.date(2020, 12, 31)


def run_blocks(df: pd.DataFrame, *blocks: str) -> pd.DataFrame:
    names: dict[str, Any] = {"pd": pd, "np": np, "df": df.copy()}
    exec("".join(blocks), names)
    made: pd.DataFrame = names["df"]
    return made


def to_panel(df: pd.DataFrame, **options: Any) -> tw.Panel:
    return tw.Panel.from_table(df.reset_index(names="date"), time="date", target="close", **options)


def test_on_trading_days_returns_and_averages_are_the_guides_and_a_year_is_the_calendars() -> None:
    theirs = run_blocks(read_closes(), RETURNS, ROLLING)
    panel = to_panel(read_closes(), calendar="XNYS")
    ours = tw.add_technical(panel, ["return", "sma:20"])
    np.testing.assert_allclose(ours.values("close_return1"), theirs["returns"], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(ours.values("close_sma20"), theirs["sma_20"], rtol=1e-12)
    bars = panel.frequency.periods_per_year
    assert 251.0 < bars < 252.0  # the sessions of New York
    ours_too = tw.realised_volatility(
        ours.values("close_return1")[:, None], window=20, mean="sample", periods_per_year=bars
    )[:, 0]
    np.testing.assert_allclose(ours_too, theirs["volatility"] * np.sqrt(bars / 252.0), rtol=1e-9)


def test_a_grid_of_all_days_makes_rows_that_never_traded_and_a_volatility_that_is_too_low() -> None:
    theirs = run_blocks(read_closes(), RESAMPLE, RETURNS, ROLLING)
    weekend = theirs[theirs.index.day_of_week >= 5]
    assert len(weekend) > 0.28 * len(theirs)
    assert (weekend["returns"].abs() < 1e-15).all()  # a price that nobody paid, and a return that nobody earned
    rows, per_year = theirs["returns"].dropna(), to_panel(read_closes(), calendar="XNYS").frequency.periods_per_year
    sessions = tw.summarise(read_closes()["close"].pct_change().dropna(), periods_per_year=per_year)
    assert rows.std() * np.sqrt(252) == pytest.approx(0.83 * sessions["volatility"], rel=0.02)  # sqrt(252 / 365) of it
    with pytest.raises(FrequencyError, match=r"2019-01-05, which is off the grid XNYS \(225 such rows"):
        to_panel(theirs, calendar="XNYS")


def test_missing_prices_stay_missing_or_are_carried_with_a_note_and_make_no_return_of_zero() -> None:
    gap = read_closes().copy()
    gap.iloc[100:103] = np.nan
    with pytest.raises(TypeError, match="method"):  # pandas 3 has no such argument any more
        run_blocks(gap, MISSING)
    filled = run_blocks(gap.ffill().dropna(), RETURNS)["returns"]
    assert (filled.iloc[100:103] == 0.0).all()  # and four days' move is one day's return after it
    returns = to_returns(to_panel(gap, calendar="XNYS"))
    assert np.isnan(returns.target[99:103]).all()
    assert np.isnan(returns.target).sum() == 4
    absent = gap.dropna()
    with pytest.warns(RepairWarning, match="3"):  # rows that are not there are made, and said
        explicit = to_panel(absent, calendar="XNYS")
    np.testing.assert_array_equal(explicit.target, to_panel(gap, calendar="XNYS").target)
    beside = gap.assign(other=1.0)
    carried = carry_gaps(read_dated(beside.reset_index(names="date")), most=2)
    assert np.isnan(carried.values).sum() == 1
    assert carried.notes[-1] == "2 prices of 1 assets are carried from a date before"


def test_sources_of_two_rhythms_are_merged_by_what_was_known_and_become_columns_of_one_panel() -> None:
    prices = read_closes().reset_index(names="date")
    weekly = prices["date"].iloc[4::5]
    rates = pd.DataFrame({"published": weekly, "rate": np.arange(len(weekly)) / 100.0})
    merged = pd.merge_asof(prices, rates, left_on="date", right_on="published").drop(columns="published")
    panel = tw.Panel.from_table(merged, time="date", target="close", past=["rate"], calendar="XNYS")
    assert np.isnan(panel.values("rate")[:4]).all()
    np.testing.assert_array_equal(panel.values("rate")[4:], np.repeat(rates["rate"], 5)[: len(prices) - 4])


def test_weeks_of_the_days_are_a_panel_of_weeks() -> None:
    weekly = read_closes().resample("W-FRI").last()
    panel = to_panel(weekly)
    assert panel.frequency.periods_per_year == pytest.approx(365.25 / 7, rel=1e-3)
    np.testing.assert_allclose(to_returns(panel).target, weekly["close"].pct_change().dropna(), rtol=1e-12)


ASSETS = ("AAPL", "AMD", "CVX", "JPM", "XOM")


@cache
def read_returns() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns [T, 5] of five stocks and [T, 2] of two factors: all twenty stocks, and oil less the rest."""
    wide = load_market().filter(pl.col("date").is_between(*two_years())).pivot("stock", index="date", values="price")
    closes = wide.sort("date").drop("date")
    moves = closes.to_numpy()[1:] / closes.to_numpy()[:-1] - 1.0
    picked = moves[:, [closes.columns.index(name) for name in ASSETS]]
    market = moves.mean(axis=1)
    oil = moves[:, [closes.columns.index(name) for name in ("CVX", "XOM", "RRC")]].mean(axis=1) - market
    return picked, np.column_stack([market, oil])


def test_statistics_are_those_of_the_arrays() -> None:
    returns = read_returns()[0][:, 0]
    found = tw.summarise(returns, periods_per_year=252)
    centred = returns - np.mean(returns)
    wanted = {
        "mean_return": 252 * np.mean(returns),
        "volatility": np.std(returns, ddof=1) * np.sqrt(252),
        "sharpe": np.mean(returns) / np.std(returns, ddof=1) * np.sqrt(252),
        "skew": np.mean(centred**3) / np.std(returns) ** 3,
        "total_return": np.prod(1.0 + returns) - 1.0,
        "max_drawdown": -np.min(
            np.cumprod(1.0 + returns) / np.maximum(np.maximum.accumulate(np.cumprod(1.0 + returns)), 1.0) - 1.0
        ),
    }
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, rel=1e-10)


def test_a_factor_model_is_its_algebra() -> None:
    """Betas by least squares, the factors' covariance between them, and what is each asset's own."""
    returns, factors = read_returns()
    design = np.column_stack([np.ones(len(factors)), factors])
    coefficients, *_ = np.linalg.lstsq(design, returns, rcond=None)
    betas = coefficients[1:].T  # [A, K]
    residuals = returns - design @ coefficients
    own = (residuals**2).sum(axis=0) / (len(returns) - 3)
    wanted = betas @ np.cov(factors, rowvar=False) @ betas.T + np.diag(own)
    found = tw.covariance(returns, assets=ASSETS, method="factor", factors=factors)
    np.testing.assert_allclose(found.values, wanted, rtol=1e-9)
    assert found.notes[0] == "2 given factors explain 59% of the variance"
    assert betas[ASSETS.index("XOM"), 1] > 0.3 > betas[ASSETS.index("AMD"), 1]


def test_one_factor_s_beta_is_the_summary_s_and_a_portfolio_s_risk_is_split_into_what_assets_add() -> None:
    returns, factors = read_returns()
    market = factors[:, 0]
    beta = [tw.summarise(row, benchmark=market, periods_per_year=252)["beta"] for row in returns.T]
    np.testing.assert_allclose(beta, np.cov(returns.T, market)[:-1, -1] / np.var(market, ddof=1), rtol=1e-10)
    covariance = tw.covariance(returns, assets=ASSETS, method="factor", factors=market[:, None])
    weights = tw.allocate(returns, assets=ASSETS, method="min_variance", covariance=covariance)
    w, matrix = weights.values, covariance.values
    np.testing.assert_allclose(tw.risk_contributions(weights, covariance), w * (matrix @ w) / (w @ matrix @ w))
    margins = (matrix @ w)[w > 0.01]
    np.testing.assert_allclose(
        margins, margins.mean(), rtol=1e-6
    )  # at the least variance all that is held adds as much
