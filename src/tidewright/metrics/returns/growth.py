"""Growth, risk and one for the other: `returns` [T] of one strategy by name, or a `Sample` [..., T] for the table.

Every function takes net simple returns as fractions (0.01 is one percent), one value a period. `periods_per_year` is
always the caller's, from the calendar that the returns come from. A figure that is not defined (no variation, no
shortfall) is nan, never infinite and never zero. Standard deviations are sample ones (ddof = 1); one of at most a
few units of rounding (1.8e-15) counts as no variation.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from tidewright.metrics.returns.sample import Floats, Sample, divide, read_per_year, read_returns


def total_return(returns: ArrayLike) -> float:
    """The growth of one unit over all periods, as a fraction: prod(1 + r) - 1.

    >>> round(total_return([0.10, -0.10]), 6)
    -0.01
    """
    return float(find_total(_sample(returns)))


def cagr(returns: ArrayLike, *, periods_per_year: float) -> float:
    """The compound annual growth rate, as a fraction: prod(1 + r) ** (periods_per_year / T) - 1.

    Source: Bacon 2008, Practical Portfolio Performance Measurement and Attribution, chapter 2.

    >>> round(cagr([0.01] * 24, periods_per_year=12), 6)
    0.126825
    """
    return float(find_cagr(_sample(returns, periods_per_year)))


def volatility(returns: ArrayLike, *, periods_per_year: float) -> float:
    """The annualised standard deviation: std(r, ddof=1) * sqrt(periods_per_year). One return gives nan.

    >>> round(volatility([0.01, -0.01, 0.02, -0.02], periods_per_year=12), 6)
    0.063246
    """
    return float(find_volatility(_sample(returns, periods_per_year)))


def sharpe(returns: ArrayLike, *, periods_per_year: float, risk_free: float = 0.0) -> float:
    """The annualised Sharpe ratio: mean(r - risk_free) / std(r - risk_free, ddof=1) * sqrt(periods_per_year).

    `risk_free` is a return per period, not per year. nan where the returns do not vary or there is only one.
    Source: Sharpe 1994, The Sharpe Ratio (there with ddof = 1).

    >>> round(sharpe([0.01, 0.03, -0.01, 0.02], periods_per_year=12), 6)
    2.535463
    >>> sharpe([0.01, 0.01, 0.01], periods_per_year=12)
    nan
    """
    return float(find_sharpe(_sample(returns, periods_per_year, risk_free)))


def downside_deviation(returns: ArrayLike, *, minimum: float = 0.0) -> float:
    """The root mean square of the shortfall under `minimum`, per period: sqrt(mean(min(r - minimum, 0)^2)).

    The mean is over all T periods, not over those with a shortfall, and nothing is centred.
    Source: Sortino and van der Meer 1991; Bacon 2008, chapter 4.

    >>> round(downside_deviation([0.02, -0.01, 0.03, -0.02]), 6)
    0.01118
    """
    return float(find_downside(_sample(returns, 1.0, minimum)))


def sortino(returns: ArrayLike, *, periods_per_year: float, minimum: float = 0.0) -> float:
    """The annualised Sortino ratio: mean(r - minimum) / downside_deviation * sqrt(periods_per_year).

    `minimum` is the least acceptable return (MAR) or the risk-free one, per period. nan where no return is
    below it. Source: Sortino and van der Meer 1991; Bacon 2008, chapter 4.

    >>> round(sortino([0.02, -0.01, 0.03, -0.02], periods_per_year=12), 6)
    1.549193
    """
    return float(find_sortino(_sample(returns, periods_per_year, minimum)))


def hit_rate(returns: ArrayLike) -> float:
    """The share of periods with a return above zero: mean(r > 0). A period of exactly zero is not a hit.

    >>> hit_rate([0.01, -0.02, 0.0, 0.03])
    0.5
    """
    return float(find_hit_rate(_sample(returns)))


def find_total(sample: Sample) -> Floats:
    """The last wealth less one."""
    return np.asarray(sample.wealth[..., -1] - 1.0)[()]


def find_cagr(sample: Sample) -> Floats:
    """The last wealth to the power of one over the years, less one."""
    return np.asarray(sample.wealth[..., -1] ** (sample.periods_per_year / sample.periods) - 1.0)[()]


def find_mean(sample: Sample) -> Floats:
    """The arithmetic mean a year."""
    return np.asarray(sample.returns.mean(axis=-1) * sample.periods_per_year)[()]


def find_volatility(sample: Sample) -> Floats:
    """The standard deviation a year."""
    return deviate(sample.returns) * math.sqrt(sample.periods_per_year)


def find_sharpe(sample: Sample) -> Floats:
    """The mean excess return for a unit of its deviation."""
    return divide(sample.excess.mean(axis=-1), deviate(sample.excess)) * math.sqrt(sample.periods_per_year)


def find_downside(sample: Sample) -> Floats:
    """The root mean square shortfall under the risk-free return, per period."""
    return np.asarray(np.sqrt(np.mean(np.minimum(sample.excess, 0.0) ** 2, axis=-1)))[()]


def find_sortino(sample: Sample) -> Floats:
    """The mean excess return for a unit of shortfall."""
    return divide(sample.excess.mean(axis=-1), find_downside(sample)) * math.sqrt(sample.periods_per_year)


def find_omega(sample: Sample) -> Floats:
    """What is earned above the risk-free return for a unit of what is lost below it.

    >>> round(float(find_omega(Sample(np.array([0.02, -0.01, 0.03, -0.02]), 12.0))), 6)
    1.666667
    """
    return divide(np.maximum(sample.excess, 0.0).sum(axis=-1), np.maximum(-sample.excess, 0.0).sum(axis=-1))


def find_hit_rate(sample: Sample) -> Floats:
    """The share of returns above zero."""
    return np.asarray(np.mean(sample.returns > 0.0, axis=-1))[()]


def find_payoff(sample: Sample) -> Floats:
    """The mean gain over the mean loss; periods of zero are neither.

    >>> round(float(find_payoff(Sample(np.array([0.02, -0.01, 0.04, 0.0]), 12.0))), 6)
    3.0
    """
    gains, losses = sample.returns > 0.0, sample.returns < 0.0
    gain = divide((sample.returns * gains).sum(axis=-1), gains.sum(axis=-1))
    return divide(gain, divide((-sample.returns * losses).sum(axis=-1), losses.sum(axis=-1)))


def deviate(values: Floats) -> Floats:
    """The sample standard deviation (ddof = 1) over the last axis; nan for one value."""
    if values.shape[-1] < 2:
        return np.full(values.shape[:-1], np.nan)[()]
    return np.asarray(values.std(axis=-1, ddof=1))[()]


def _sample(returns: ArrayLike, periods_per_year: float = 1.0, risk_free: float = 0.0) -> Sample:
    return Sample(read_returns(returns), read_per_year(periods_per_year), risk_free)
