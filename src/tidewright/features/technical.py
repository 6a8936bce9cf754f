"""Technical indicators of prices: returns, averages, momentum, bands, ranges and volatilities.

T rows in all, S series; series s owns the rows `offsets[s]:offsets[s + 1]`. A value at row t uses rows at or before t
of the same series, and nothing else. A row without a price is skipped: an indicator stays there as it was. Before an
indicator has as many prices as it needs it is NaN. Returns are fractions; volatilities are fractions a year, from the
panel's own frequency and calendar.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from tidewright.catalog import explain_unknown
from tidewright.data.frequency import Ints
from tidewright.data.panel import Panel
from tidewright.errors import ColumnError, ConfigError, DataError, UnknownNameError
from tidewright.features.columns import add_columns, pair_columns
from tidewright.features.flat import Doubles, first_rows
from tidewright.features.lags import rolling_columns


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """Close, high and low [T] of each row, series after series; high and low are empty where they aren't needed."""

    close: Doubles
    high: Doubles
    low: Doubles
    offsets: Ints
    periods_per_year: float


@dataclass(frozen=True, slots=True)
class Indicator:
    """One indicator: the columns it gives, its usual numbers, and how it is worked out.

    `compute` takes prices and the numbers and gives one array [T] for each of `columns`.
    """

    name: str
    columns: tuple[str, ...]
    usual: tuple[float, ...]
    formula: str
    compute: Callable[..., tuple[Doubles, ...]]
    ranges: bool = False
    annual: bool = False


def add_technical(
    panel: Panel,
    indicators: Sequence[str],
    *,
    close: str | None = None,
    high: str | None = None,
    low: str | None = None,
    periods_per_year: float | None = None,
) -> Panel:
    """The panel with technical indicators as further `past` columns.

    An indicator is a name of `INDICATORS`, alone or with its numbers: "rsi" or "rsi:14", "macd:12:26:9",
    "bollinger:20:2". Columns are named after the closing price's (default: the target): price_rsi14. "atr" and
    "parkinson" need the columns `high` and `low`. Volatilities are annualised by `periods_per_year`, which is the
    frequency's own (of an exchange's calendar its sessions) unless given. Raises `DataError` at a price of zero or
    less, or a low above its high.

    >>> import polars as pl
    >>> table = pl.DataFrame({"step": range(4), "price": [1.0, 2.0, 1.0, 1.5]})
    >>> panel = Panel.from_table(table, time="step", target="price")
    >>> add_technical(panel, ["return", "sma:2"]).matrix(["price_return1", "price_sma2"]).T
    array([[  nan,  1.  , -0.5 ,  0.5 ],
           [  nan,  1.5 ,  1.5 ,  1.25]])
    """
    if isinstance(indicators, str) or not all(isinstance(text, str) for text in indicators):
        raise ConfigError(f"indicators are a sequence of names, such as ['rsi:14', 'atr']; got {indicators!r}.")
    name = panel.roles.target if close is None else close
    asked = [_read(text) for text in indicators]
    per_year = _per_year(panel, periods_per_year) if any(one.annual for one, _ in asked) else math.nan
    ranges = _ranges(panel, high, low) if any(one.ranges for one, _ in asked) else (np.empty(0), np.empty(0))
    prices = Prices(_positive(panel, name), *ranges, offsets=panel.offsets, periods_per_year=per_year)
    names: list[str] = []
    made: list[Doubles] = []
    for one, numbers in asked:
        names += [f"{name}_{column}{'_'.join(f'{n:g}' for n in numbers)}" for column in one.columns]
        made += one.compute(prices, *numbers)
    return add_columns(panel, pair_columns(names, made), role="past")


def _returns(prices: Prices, rows: int) -> tuple[Doubles]:
    return (prices.close / _rows_before(prices.close, prices.offsets, rows) - 1.0,)


def _log_returns(prices: Prices, rows: int) -> tuple[Doubles]:
    return (np.log(prices.close / _rows_before(prices.close, prices.offsets, rows)),)


def _sma(prices: Prices, rows: int) -> tuple[Doubles]:
    return (_over_prices(prices, rows, ("mean",))[0],)


def _ema(prices: Prices, rows: int) -> tuple[Doubles]:
    return (_exponential(prices.close, prices.offsets, rows),)


def _macd(prices: Prices, fast: int, slow: int, signal: int) -> tuple[Doubles, Doubles, Doubles]:
    if fast >= slow:
        raise ConfigError(f"the fast average of 'macd' is the shorter one; got {fast} and {slow}. Swap them.")
    line = _exponential(prices.close, prices.offsets, fast) - _exponential(prices.close, prices.offsets, slow)
    line = np.where(np.isnan(prices.close), np.nan, line)  # a row without a price is no value of the line
    average = _exponential(line, prices.offsets, signal)
    level = _carried(line, prices.offsets)
    return level, average, level - average


def _rsi(prices: Prices, rows: int) -> tuple[Doubles]:
    change = prices.close - _last_before(prices.close, prices.offsets)
    gain, loss = (
        _smooth(moved, prices.offsets, share=1.0 / rows, first=rows)
        for moved in (np.maximum(change, 0.0), np.maximum(-change, 0.0))
    )
    moved = gain + loss
    return (100.0 * np.divide(gain, moved, out=np.full(len(moved), np.nan), where=moved > 0.0),)


def _bollinger(prices: Prices, rows: int, width: float) -> tuple[Doubles, Doubles, Doubles]:
    middle, variance = _over_prices(prices, rows, ("mean", "var"))
    reach = width * np.sqrt(variance * (rows - 1) / rows)
    level = _carried(prices.close, prices.offsets)
    place = np.divide(level - middle + reach, 2.0 * reach, out=np.full(len(reach), np.nan), where=reach > 0.0)
    return middle - reach, middle + reach, place


def _atr(prices: Prices, rows: int) -> tuple[Doubles]:
    before = _last_before(prices.close, prices.offsets)
    top, bottom = np.fmax(prices.high, before), np.fmin(prices.low, before)
    spread = np.where(np.isnan(prices.high + prices.low), np.nan, top - bottom)
    return (_smooth(spread, prices.offsets, share=1.0 / rows, first=rows),)


def _volatility(prices: Prices, rows: int) -> tuple[Doubles]:
    return (_annual(_log_returns(prices, 1)[0] ** 2, prices, rows),)


def _parkinson(prices: Prices, rows: int) -> tuple[Doubles]:
    return (_annual(np.log(prices.high / prices.low) ** 2 / (4.0 * math.log(2.0)), prices, rows),)


_ALL = (
    Indicator("return", ("return",), (1,), "p / p[n rows before] - 1", _returns),
    Indicator("log_return", ("log_return",), (1,), "log(p / p[n rows before])", _log_returns),
    Indicator("sma", ("sma",), (20,), "mean of the last n prices", _sma),
    Indicator("ema", ("ema",), (20,), "e + 2 / (n + 1) (p - e), from the mean of the first n prices", _ema),
    Indicator(
        "macd",
        ("macd", "macd_signal", "macd_gap"),
        (12, 26, 9),
        "ema(fast) - ema(slow); its ema(signal); the one less the other (Appel 2005)",
        _macd,
    ),
    Indicator(
        "rsi",
        ("rsi",),
        (14,),
        "100 G / (G + L), G and L Wilder's averages of gains and losses (Wilder 1978); NaN where nothing moves",
        _rsi,
    ),
    Indicator(
        "bollinger",
        ("bollinger_low", "bollinger_high", "bollinger_place"),
        (20, 2.0),
        "sma -+ k deviations (over n, not n - 1); where the price is between them, 0 to 1 (Bollinger 2001)",
        _bollinger,
    ),
    Indicator(
        "atr",
        ("atr",),
        (14,),
        "Wilder's average of max(high, p before) - min(low, p before) (Wilder 1978)",
        _atr,
        ranges=True,
    ),
    Indicator(
        "volatility",
        ("volatility",),
        (20,),
        "sqrt(P mean of the last n squared log returns), at least half of them observed",
        _volatility,
        annual=True,
    ),
    Indicator(
        "parkinson",
        ("parkinson",),
        (20,),
        "sqrt(P mean of the last n log(high / low)^2 / (4 log 2)), at least half observed (Parkinson 1980)",
        _parkinson,
        ranges=True,
        annual=True,
    ),
)
INDICATORS: Mapping[str, Indicator] = MappingProxyType({one.name: one for one in _ALL})


def _read(text: str) -> tuple[Indicator, tuple[float, ...]]:
    """An indicator and its numbers."""
    name, *given = text.split(":")
    if name not in INDICATORS:
        raise UnknownNameError(explain_unknown("technical indicator", name, INDICATORS))
    one = INDICATORS[name]
    if not given:
        return one, one.usual
    try:
        numbers = tuple(type(usual)(number) for usual, number in zip(one.usual, given, strict=True))
    except ValueError:
        numbers = ()
    if not numbers or not all(0 < number < math.inf for number in numbers):
        usual = ":".join(f"{number:g}" for number in one.usual)
        raise ConfigError(f"'{text}' has other numbers than '{name}' takes. Write it as '{name}:{usual}'.")
    return one, numbers


def _per_year(panel: Panel, given: float | None) -> float:
    number = panel.frequency.periods_per_year if given is None else given
    if not isinstance(number, (int, float)) or not 0.0 < number < math.inf:
        raise ConfigError(
            f"a volatility a year needs the number of rows a year; got {number!r} on the grid {panel.frequency.name}. "
            "Give periods_per_year."
        )
    return float(number)


def _positive(panel: Panel, column: str) -> Doubles:
    values = panel.values(column)
    low = np.flatnonzero(values <= 0.0)
    if low.size:
        raise DataError(
            f"column '{column}' is {values[low[0]]:g} in {panel.place(int(low[0]))} ({low.size} such rows): prices are "
            "positive. Leave a missing price empty."
        )
    return values


def _ranges(panel: Panel, high: str | None, low: str | None) -> tuple[Doubles, Doubles]:
    if high is None or low is None:
        raise ColumnError("'atr' and 'parkinson' need the range of each row. Name its columns: high=..., low=....")
    top, bottom = _positive(panel, high), _positive(panel, low)
    wrong = np.flatnonzero(bottom > top)
    if wrong.size:
        raise DataError(
            f"column '{low}' is above '{high}' in {panel.place(int(wrong[0]))} ({wrong.size} such rows). Swap the "
            "columns, or mend those rows."
        )
    return top, bottom


def _rows_before(values: Doubles, offsets: Ints, rows: int) -> Doubles:
    """The value `rows` rows before, in the same series; NaN where there is none."""
    place = np.arange(len(values))
    before = place - rows
    inside = before >= first_rows(place, offsets)
    return np.where(inside, values[np.where(inside, before, 0)], np.nan)


def _carried(values: Doubles, offsets: Ints) -> Doubles:
    """The last observed value up to each row, in the same series."""
    place = np.arange(len(values))
    last = np.maximum.accumulate(np.where(np.isnan(values), -1, place))
    return np.where(last >= first_rows(place, offsets), values[np.maximum(last, 0)], np.nan)


def _last_before(values: Doubles, offsets: Ints) -> Doubles:
    """The last observed value before each row, in the same series."""
    return _rows_before(_carried(values, offsets), offsets, 1)


def _exponential(values: Doubles, offsets: Ints, rows: int) -> Doubles:
    return _smooth(values, offsets, share=2.0 / (rows + 1.0), first=rows)


def _smooth(values: Doubles, offsets: Ints, *, share: float, first: int) -> Doubles:
    from tidewright.features.smooth_kernels import smooth

    out = np.empty(len(values))
    smooth(np.ascontiguousarray(values), offsets, share, first, out)
    return out


def _over_prices(prices: Prices, rows: int, statistics: tuple[str, ...]) -> list[Doubles]:
    """Statistics of the last `rows` prices: rows without one don't count, and give what was before them."""
    seen = ~np.isnan(prices.close)
    counts = np.append(0, np.cumsum(seen))
    made = rolling_columns(prices.close[seen], counts[prices.offsets], [rows], statistics, least=rows)
    wide = np.full((len(statistics), len(seen)), np.nan)
    wide[:, seen] = made.T
    return [_carried(column, prices.offsets) for column in wide]


def _annual(squares: Doubles, prices: Prices, rows: int) -> Doubles:
    mean = rolling_columns(squares, prices.offsets, [rows], ["mean"], least=(rows + 1) // 2)[:, 0]
    return np.asarray(np.sqrt(prices.periods_per_year * mean))
