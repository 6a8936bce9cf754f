"""The data behind a tear sheet's pictures of risk: what is rolled, value at risk, what each asset adds.

T returns of bars, A assets, L bars of a window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from tidewright.portfolio.inputs import FloatArray
from tidewright.report.sheet import Sheet
from tidewright.report.sheet_tables import over_time

VAR_WINDOW = 250
VAR_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Exceptions:
    """How often losses were beyond value at risk, and how likely as far off a count is if the level is right.

    `probability` is Kupiec's (1995): the likelihood ratio of the count against chi squared with one degree of freedom.
    """

    bars: int
    count: int
    expected: float
    probability: float


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
    """Each return beside the historical value at risk that the returns before it gave (a loss above 0), and whether it
    was worse."""
    window = var_window(sheet)
    limit = roll_var(sheet.ours, window=window)
    table = over_time(sheet.times[window:], {"return": sheet.ours[window:], "value at risk": limit})
    return table.with_columns((pl.col("return") < -pl.col("value at risk")).alias("exception"))


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


def count_exceptions(table: pl.DataFrame) -> Exceptions:
    """How many losses were beyond the limit, by Kupiec's test.

    >>> from tidewright.report.sheet_risk import Exceptions
    >>> table = pl.DataFrame({"exception": [True] * 25 + [False] * 225})
    >>> found = count_exceptions(table)
    >>> found.count, round(found.expected, 1), round(found.probability, 4)
    (25, 12.5, 0.0013)
    """
    bars, count = len(table), int(table["exception"].sum())
    share, level = count / bars, 1.0 - VAR_LEVEL

    def likelihood(rate: float) -> float:
        hits = count * math.log(rate) if count else 0.0
        return hits + ((bars - count) * math.log1p(-rate) if count < bars else 0.0)

    ratio = max(2.0 * (likelihood(share) - likelihood(level)), 0.0)
    return Exceptions(bars, count, level * bars, math.erfc(math.sqrt(ratio / 2.0)))


def var_window(sheet: Sheet) -> int:
    """Bars from which value at risk is told: 250, or half of what there is."""
    return min(VAR_WINDOW, sheet.times.size // 2)


def roll_var(returns: FloatArray, *, window: int) -> FloatArray:
    """Historical value at risk [T - L] for each bar from the L before it: minus the k-th lowest, k = ceil(0.05 L)."""
    rank = math.ceil(round((1.0 - VAR_LEVEL) * window, 9)) - 1
    past = np.lib.stride_tricks.sliding_window_view(returns[:-1], window)
    return np.asarray(-np.partition(past, rank, axis=1)[:, rank])


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
