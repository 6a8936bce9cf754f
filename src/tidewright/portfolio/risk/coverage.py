"""Do losses go beyond the value at risk as often as they should, and at no time in clusters? T bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Zone = Literal["green", "yellow", "red"]
YELLOW, RED = 0.95, 0.9999  # probabilities of so many exceptions or fewer from which on a zone begins
_PLUS = (0.40, 0.50, 0.65, 0.75, 0.85)  # for 5 to 9 exceptions in 250 bars at 99 %


@dataclass(frozen=True, slots=True)
class TestResult:
    """A statistic and its p-value: small where the risk figures are hardly right. Both NaN where it can't be told."""

    statistic: float
    p_value: float

    __test__ = False  # no test of pytest's


@dataclass(frozen=True, slots=True)
class TrafficLight:
    """The Basel Committee's zones: `probability` is that of so many exceptions or fewer if the risk figures are right.

    Yellow begins with `yellow_from` exceptions, red with `red_from`. `multiplier` is the factor on capital, 3 and more,
    of the committee's table, which is for 250 bars at 99 % alone: else None.
    """

    zone: Zone
    probability: float
    yellow_from: int
    red_from: int
    multiplier: float | None


def kupiec(exceptions: int, *, bars: int, rate: float) -> TestResult:
    """The likelihood ratio of the share of exceptions against the rate that was promised; chi-squared(1).

    Defined without exceptions, and where all are. Source: Kupiec 1995, Techniques for Verifying the Accuracy of Risk
    Measurement Models.

    >>> found = kupiec(10, bars=255, rate=0.01)
    >>> round(found.statistic, 2), round(found.p_value, 5)
    (12.65, 0.00038)
    """
    return _ratio(
        _log_likelihood(exceptions, bars, rate=rate),
        _log_likelihood(exceptions, bars, rate=exceptions / bars),
        freedom=1,
    )


def independence(exceptions: NDArray[np.bool_]) -> TestResult:
    """The likelihood ratio of exceptions [T] that depend on the bar before, against none; chi-squared(1).

    NaN where no exception comes before another bar, or all do: then there is nothing to compare.
    Source: Christoffersen 1998, Evaluating Interval Forecasts.
    """
    before, after = exceptions[:-1], exceptions[1:]
    first, hits = int(before.sum()), int(after.sum())
    calm = before.size - first
    if first == 0 or calm == 0:
        return TestResult(float("nan"), float("nan"))
    twice = int((before & after).sum())
    apart = _log_likelihood(hits - twice, calm, rate=(hits - twice) / calm) + _log_likelihood(
        twice, first, rate=twice / first
    )
    return _ratio(_log_likelihood(hits, before.size, rate=hits / before.size), apart, freedom=1)


def conditional_coverage(coverage: TestResult, clusters: TestResult) -> TestResult:
    """Both at once: the sum of their statistics; chi-squared(2). Source: Christoffersen 1998."""
    from scipy.special import chdtrc

    total = coverage.statistic + clusters.statistic
    return TestResult(total, float(chdtrc(2, total)))


def traffic_light(exceptions: int, *, bars: int, rate: float) -> TrafficLight:
    """The zone of so many exceptions, by the binomial distribution.

    Source: Basel Committee on Banking Supervision 1996, Supervisory Framework for the Use of Backtesting; for other
    numbers of bars and confidences the same probabilities.

    >>> light = traffic_light(7, bars=250, rate=0.01)
    >>> light.zone, light.yellow_from, light.red_from, light.multiplier
    ('yellow', 5, 10, 3.65)
    """
    from scipy.special import bdtr

    chances = bdtr(np.arange(bars + 1.0), bars, rate)
    yellow, red = int(np.argmax(chances >= YELLOW)), int(np.argmax(chances >= RED))
    zone: Zone = "red" if exceptions >= red else "yellow" if exceptions >= yellow else "green"
    multiplier = None
    if bars == 250 and abs(rate - 0.01) < 1e-9:
        multiplier = 3.0 + {"green": 0.0, "red": 1.0}.get(zone, _PLUS[min(max(exceptions - 5, 0), 4)])
    return TrafficLight(zone, float(chances[exceptions]), yellow, red, multiplier)


def _log_likelihood(exceptions: int, bars: int, *, rate: float) -> float:
    from scipy.special import xlog1py, xlogy

    return float(xlogy(exceptions, rate) + xlog1py(bars - exceptions, -rate))


def _ratio(bound: float, free: float, *, freedom: int) -> TestResult:
    from scipy.special import chdtrc

    statistic = max(-2.0 * (bound - free), 0.0)
    return TestResult(statistic, float(chdtrc(freedom, statistic)))
