"""What a run of returns is worth: growth, risk, and one for the other.

Every function takes net simple returns of one strategy, `returns` [T], as fractions (0.01 is one percent),
one value a period. `periods_per_year` is always the caller's, from the calendar that the returns come from:
a stock year, a year of hours and a year of months differ. NaN, infinite and below -1 values are a DataError
that names the row: a metric never drops rows. A figure that is not defined (no variation, no shortfall, no
drawdown) is nan, never infinite and never zero.

Standard deviations are sample ones (ddof = 1) throughout; one of at most a few units of rounding (1.8e-15)
counts as no variation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.errors import DataError

FloatArray = NDArray[np.float64]
_ROUNDING = 8 * float(np.finfo(np.float64).eps)


def total_return(returns: ArrayLike) -> float:
    """The growth of one unit over all periods, as a fraction: prod(1 + r) - 1.

    >>> round(total_return([0.10, -0.10]), 6)
    -0.01
    """
    return float(np.prod(1.0 + _read(returns)) - 1.0)


def cagr(returns: ArrayLike, *, periods_per_year: float) -> float:
    """The compound annual growth rate, as a fraction: prod(1 + r) ** (periods_per_year / T) - 1.

    Source: Bacon 2008, Practical Portfolio Performance Measurement and Attribution, chapter 2.

    >>> round(cagr([0.01] * 24, periods_per_year=12), 6)
    0.126825
    """
    values = _read(returns)
    growth = float(np.prod(1.0 + values))
    return float(growth ** (_per_year(periods_per_year) / values.size) - 1.0)


def volatility(returns: ArrayLike, *, periods_per_year: float) -> float:
    """The annualised standard deviation: std(r, ddof=1) * sqrt(periods_per_year). One return gives nan.

    >>> round(volatility([0.01, -0.01, 0.02, -0.02], periods_per_year=12), 6)
    0.063246
    """
    values = _read(returns)
    if values.size < 2:
        return math.nan
    return float(values.std(ddof=1)) * math.sqrt(_per_year(periods_per_year))


def sharpe(returns: ArrayLike, *, periods_per_year: float, risk_free: float = 0.0) -> float:
    """The annualised Sharpe ratio: mean(r - risk_free) / std(r - risk_free, ddof=1) * sqrt(periods_per_year).

    `risk_free` is a return per period, not per year. nan where the returns do not vary or there is only one.
    Source: Sharpe 1994, The Sharpe Ratio (there with ddof = 1).

    >>> round(sharpe([0.01, 0.03, -0.01, 0.02], periods_per_year=12), 6)
    2.535463
    >>> sharpe([0.01, 0.01, 0.01], periods_per_year=12)
    nan
    """
    excess = _read(returns) - risk_free
    if excess.size < 2:
        return math.nan
    spread = float(excess.std(ddof=1))
    if spread <= _ROUNDING:
        return math.nan
    return float(excess.mean()) / spread * math.sqrt(_per_year(periods_per_year))


def downside_deviation(returns: ArrayLike, *, minimum: float = 0.0) -> float:
    """The root mean square of the shortfall under `minimum`, per period: sqrt(mean(min(r - minimum, 0)^2)).

    The mean is over all T periods, not over those with a shortfall, and nothing is centred.
    Source: Sortino and van der Meer 1991; Bacon 2008, chapter 4.

    >>> round(downside_deviation([0.02, -0.01, 0.03, -0.02]), 6)
    0.01118
    """
    shortfall = np.minimum(_read(returns) - minimum, 0.0)
    return float(np.sqrt(np.mean(shortfall**2)))


def sortino(returns: ArrayLike, *, periods_per_year: float, minimum: float = 0.0) -> float:
    """The annualised Sortino ratio: mean(r - minimum) / downside_deviation * sqrt(periods_per_year).

    `minimum` is the least acceptable return (MAR) or the risk-free one, per period. nan where no return is
    below it. Source: Sortino and van der Meer 1991; Bacon 2008, chapter 4.

    >>> round(sortino([0.02, -0.01, 0.03, -0.02], periods_per_year=12), 6)
    1.549193
    """
    below = downside_deviation(returns, minimum=minimum)
    if below <= _ROUNDING:
        return math.nan
    return float(np.mean(_read(returns) - minimum)) / below * math.sqrt(_per_year(periods_per_year))


@dataclass(frozen=True, slots=True)
class Drawdown:
    """The deepest fall of wealth from an earlier peak.

    `depth` is the share lost, 0 to 1 (0.3: wealth fell by 30 %). `peak`, `trough` and `recovered` count
    periods from the start: 0 is the wealth before the first return and k the wealth after the k-th.
    `recovered` is None where the old peak was not reached again; it is then the end that bounds the length.
    """

    depth: float
    peak: int
    trough: int
    recovered: int | None
    periods: int

    @property
    def length(self) -> int:
        """Periods from the peak until it was reached again, or until the end."""
        return (self.periods if self.recovered is None else self.recovered) - self.peak

    @property
    def recovery(self) -> int | None:
        """Periods from the trough until the peak was reached again; None where it was not."""
        return None if self.recovered is None else self.recovered - self.trough


def max_drawdown(returns: ArrayLike) -> Drawdown:
    """The deepest drawdown, its place and its length: max over t of 1 - W_t / max_{s<=t} W_s, with W_0 = 1.

    The first of equal ones. Wealth before the first return can be the peak. Depth 0 where wealth never falls.
    Source: Magdon-Ismail and Atiya 2004, Maximum Drawdown.

    >>> worst = max_drawdown([0.10, -0.20, -0.10, 0.50, 0.01])
    >>> round(worst.depth, 6), worst.peak, worst.trough, worst.recovered, worst.length, worst.recovery
    (0.28, 1, 3, 4, 3, 1)
    """
    values = _read(returns)
    wealth = np.concatenate(([1.0], np.cumprod(1.0 + values)))
    peaks = np.maximum.accumulate(wealth)
    falls = 1.0 - wealth / peaks
    trough = int(np.argmax(falls))
    if falls[trough] <= 0.0:
        return Drawdown(depth=0.0, peak=0, trough=0, recovered=0, periods=values.size)
    back = np.flatnonzero(wealth[trough:] >= peaks[trough])
    return Drawdown(
        depth=float(falls[trough]),
        peak=int(np.flatnonzero(wealth[:trough] == peaks[trough])[-1]),
        trough=trough,
        recovered=trough + int(back[0]) if back.size else None,
        periods=values.size,
    )


def calmar(returns: ArrayLike, *, periods_per_year: float) -> float:
    """The growth rate a year for a unit of the deepest drawdown: cagr / max_drawdown. nan without a drawdown.

    Over the whole sample, not the last 36 months. Source: Young 1991, Calmar Ratio: A Smoother Tool.

    >>> round(calmar([0.02, -0.01, 0.03, -0.02], periods_per_year=12), 6)
    2.950005
    """
    depth = max_drawdown(returns).depth
    return cagr(returns, periods_per_year=periods_per_year) / depth if depth > _ROUNDING else math.nan


def hit_rate(returns: ArrayLike) -> float:
    """The share of periods with a return above zero: mean(r > 0). A period of exactly zero is not a hit.

    >>> hit_rate([0.01, -0.02, 0.0, 0.03])
    0.5
    """
    return float(np.mean(_read(returns) > 0.0))


@dataclass(frozen=True, slots=True)
class ReturnMetric:
    """One figure about returns: its unit, which way is better, and how it is worked out.

    `compute` takes returns [T], periods_per_year and the risk-free return per period; a figure that does
    not depend on one of them ignores it. In the formulas P is periods_per_year, f the risk-free return and
    W wealth.
    """

    name: str
    direction: Literal["lower", "higher"]
    unit: Literal["fraction", "fraction a year", "ratio"]
    formula: str
    compute: Callable[[FloatArray, float, float], float]


_ALL = (
    ReturnMetric("total_return", "higher", "fraction", "prod(1 + r) - 1", lambda r, p, f: total_return(r)),
    ReturnMetric(
        "cagr",
        "higher",
        "fraction a year",
        "prod(1 + r)^(P / T) - 1",
        lambda r, p, f: cagr(r, periods_per_year=p),
    ),
    ReturnMetric(
        "volatility",
        "lower",
        "fraction a year",
        "std(r, ddof=1) sqrt(P)",
        lambda r, p, f: volatility(r, periods_per_year=p),
    ),
    ReturnMetric(
        "sharpe",
        "higher",
        "ratio",
        "mean(r - f) / std(r - f, ddof=1) sqrt(P)",
        lambda r, p, f: sharpe(r, periods_per_year=p, risk_free=f),
    ),
    ReturnMetric(
        "sortino",
        "higher",
        "ratio",
        "mean(r - f) / sqrt(mean(min(r - f, 0)^2)) sqrt(P)",
        lambda r, p, f: sortino(r, periods_per_year=p, minimum=f),
    ),
    ReturnMetric("max_drawdown", "lower", "fraction", "max(1 - W / peak of W)", lambda r, p, f: max_drawdown(r).depth),
    ReturnMetric("calmar", "higher", "ratio", "cagr / max_drawdown", lambda r, p, f: calmar(r, periods_per_year=p)),
    ReturnMetric("hit_rate", "higher", "fraction", "mean(r > 0)", lambda r, p, f: hit_rate(r)),
)
RETURN_METRICS: Mapping[str, ReturnMetric] = MappingProxyType({metric.name: metric for metric in _ALL})


def _read(returns: ArrayLike) -> FloatArray:
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise DataError(
            f"returns have the shape {values.shape}; one strategy's returns are one row of at least one "
            "number. Pass one value a period."
        )
    wrong = np.flatnonzero(~np.isfinite(values) | (values < -1.0))
    if wrong.size:
        row = int(wrong[0])
        raise DataError(
            f"the return of row {row} is {values[row]} ({wrong.size} such of {values.size}); a net simple "
            "return is a finite fraction of at least -1. Remove or mend those periods; divide percent by 100."
        )
    return values


def _per_year(periods: float) -> float:
    if not (math.isfinite(periods) and periods > 0.0):
        raise DataError(f"periods_per_year is {periods}; it is a number above zero, from the calendar of the returns.")
    return float(periods)
