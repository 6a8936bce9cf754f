"""The data behind a tear sheet's pictures of risk: what is rolled, value at risk, what each asset adds.

T returns of bars, A assets, L bars of a window.
"""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.risk import backtests
from tidewright.portfolio.risk.backtests import VarTest
from tidewright.portfolio.risk.rolling import rolling_var
from tidewright.report.sheet import Sheet
from tidewright.report.sheet_tables import over_time

VAR_WINDOW = 250
VAR_LEVEL = 0.95


def table_rolling(sheet: Sheet) -> pl.DataFrame:
    """The Sharpe ratio of each, a year, over the window before and with each bar; bars before a whole window are left
    out."""
    columns = {
        name: roll_sharpe(returns - sheet.risk_free, window=sheet.window) for name, returns in sheet.returns.items()
    }
    annual = math.sqrt(sheet.periods_per_year)
    return over_time(sheet.times[sheet.window - 1 :], {name: annual * values for name, values in columns.items()})


def table_beta(sheet: Sheet) -> pl.DataFrame | None:
    """The slope on the benchmark over the window before and with each bar; None without a benchmark."""
    if sheet.theirs is None or sheet.benchmark is None:
        return None
    columns = {
        name: roll_beta(returns, sheet.theirs, window=sheet.window)
        for name, returns in sheet.returns.items()
        if name != sheet.benchmark
    }
    return over_time(sheet.times[sheet.window - 1 :], columns)


def table_var(sheet: Sheet) -> pl.DataFrame:
    """Each return beside the value at risk and the expected shortfall (losses above 0) that the returns before it gave,
    and whether the loss was beyond the former."""
    window = var_window(sheet)
    told = rolling_var(
        sheet.ours[:, None], assets=(sheet.name,), window=window, confidence=VAR_LEVEL, method=sheet.var_method
    )
    columns = {"return": sheet.ours, "value at risk": told.var[:, 0], "expected shortfall": told.es[:, 0]}
    table = over_time(sheet.times[window:], {name: values[window:] for name, values in columns.items()})
    return table.with_columns((pl.col("return") < -pl.col("value at risk")).alias("exception"))


def judge_var(table: pl.DataFrame) -> VarTest:
    """Whether the exceptions are as many as they should be, and apart."""
    earned, said = (table[name].to_numpy() for name in ("return", "value at risk"))
    return backtests.test_var(earned, said, confidence=VAR_LEVEL)  # by its module: pytest takes the name for a test


def table_contributions(sheet: Sheet) -> pl.DataFrame:
    """What each asset added to the return, a year, and to the variance; the last row is what is left.

    An asset adds what its position gained over a bar, trades at their bar's close, as a share of the equity before:
    splits add nothing. Left are cash, costs, dividends, and what trades gained within their bar.
    """
    ledger, bars = sheet.ledger, slice(sheet.first, None)
    equity = ledger.equity[sheet.first - 1 :, None]
    value = sheet.weights * equity
    traded = ledger.trades[bars]
    bought = np.multiply(traded, ledger.book.prices[bars], out=np.zeros_like(traded), where=traded != 0.0)
    gained = np.diff(value, axis=0) - bought
    earned = np.divide(gained, equity[:-1], out=np.zeros_like(gained), where=equity[:-1] > 0.0)
    earned = np.column_stack([earned, sheet.ours - earned.sum(axis=1)])
    centred = sheet.ours - sheet.ours.mean()
    mean = sheet.weights[:-1].mean(axis=0)
    return pl.DataFrame(
        {
            "asset": [*ledger.assets, "cash, costs, trades"],
            "mean weight": np.append(mean, 1.0 - mean.sum()),
            "return": earned.mean(axis=0) * sheet.periods_per_year,
            "risk": centred @ (earned - earned.mean(axis=0)) / max(float(centred @ centred), 1e-300),
        }
    )


def var_window(sheet: Sheet) -> int:
    """Bars from which value at risk is told: 250, or half of what there is."""
    return min(VAR_WINDOW, sheet.times.size // 2)


def roll_sharpe(excess: FloatArray, *, window: int) -> FloatArray:
    """Mean over deviation (ddof = 1) of each window [T - L + 1], nan where nothing varies."""
    mean, square = _roll_mean(excess, window), _roll_mean(excess**2, window)
    spread = np.sqrt(np.maximum(square - mean**2, 0.0) * window / (window - 1))
    return np.asarray(np.divide(mean, spread, out=np.full_like(mean, np.nan), where=spread > 1e-9))


def roll_beta(ours: FloatArray, theirs: FloatArray, *, window: int) -> FloatArray:
    """Covariance over the benchmark's variance of each window [T - L + 1], nan where that doesn't vary."""
    mean, other = _roll_mean(ours, window), _roll_mean(theirs, window)
    both, square = _roll_mean(ours * theirs, window), _roll_mean(theirs**2, window)
    spread = square - other**2
    return np.asarray(np.divide(both - mean * other, spread, out=np.full_like(mean, np.nan), where=spread > 1e-18))


def _roll_mean(values: FloatArray, window: int) -> FloatArray:
    running = np.concatenate(([0.0], np.cumsum(values)))
    return (running[window:] - running[:-window]) / window
