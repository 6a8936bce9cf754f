"""Drawdowns: how deep wealth fell from a peak, for how long, and how long it took to come back.

A drawdown begins at the last peak before wealth falls and ends when that peak is reached again. Wealth before the
first return, 1, can be the peak. Lengths count periods. [..., T + 1] stands for wealth over T returns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tidewright.metrics.returns.falls import Ints
from tidewright.metrics.returns.growth import find_cagr
from tidewright.metrics.returns.sample import Floats, Sample, divide, read_per_year, read_returns


@dataclass(frozen=True, slots=True)
class Drawdown:
    """A fall of wealth from an earlier peak.

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
    values = read_returns(returns)
    found = list_drawdowns(values)
    if not found:
        return Drawdown(depth=0.0, peak=0, trough=0, recovered=0, periods=values.size)
    return max(found, key=lambda one: one.depth)


def list_drawdowns(returns: ArrayLike) -> tuple[Drawdown, ...]:
    """Every drawdown in the order of time; none where wealth never falls.

    >>> [(round(one.depth, 2), one.length) for one in list_drawdowns([-0.5, 1.0, 0.1, -0.1])]
    [(0.5, 2), (0.1, 1)]
    """
    values = read_returns(returns)
    found = Sample(values, 1.0).drawdowns
    rows = zip(found.depth, found.peak, found.trough, found.lasted, np.isnan(found.recovery), strict=True)
    return tuple(
        Drawdown(
            depth=float(depth),
            peak=int(peak),
            trough=int(trough),
            recovered=None if open_ else int(peak + lasted),
            periods=values.size,
        )
        for depth, peak, trough, lasted, open_ in rows
    )


def calmar(returns: ArrayLike, *, periods_per_year: float) -> float:
    """The growth rate a year for a unit of the deepest drawdown: cagr / max_drawdown. nan without a drawdown.

    Over the whole sample, not the last 36 months. Source: Young 1991, Calmar Ratio: A Smoother Tool.

    >>> round(calmar([0.02, -0.01, 0.03, -0.02], periods_per_year=12), 6)
    2.950005
    """
    return float(find_calmar(Sample(read_returns(returns), read_per_year(periods_per_year))))


def find_deepest(sample: Sample) -> Floats:
    """The largest share lost since a peak."""
    return np.asarray(sample.falls.max(axis=-1))[()]


def find_calmar(sample: Sample) -> Floats:
    """The growth rate a year over the deepest drawdown."""
    return divide(find_cagr(sample), find_deepest(sample))


def find_ulcer(sample: Sample) -> Floats:
    """The root mean square of the share lost since a peak, over the T periods."""
    return np.asarray(np.sqrt(np.mean(sample.falls[..., 1:] ** 2, axis=-1)))[()]


def find_mean_depth(sample: Sample) -> Floats:
    """The mean depth of all drawdowns; 0 without one."""
    found = sample.drawdowns
    return _mean(found.depth, found.history, sample, empty=0.0)


def find_longest(sample: Sample) -> Floats:
    """The longest drawdown in periods, one that is not over until the end; 0 without one."""
    found = sample.drawdowns
    longest = np.zeros(_histories(sample))
    np.maximum.at(longest, found.history, found.lasted)
    return longest.reshape(sample.returns.shape[:-1])[()]


def find_mean_length(sample: Sample) -> Floats:
    """The mean length of all drawdowns in periods; 0 without one."""
    found = sample.drawdowns
    return _mean(found.lasted.astype(np.float64), found.history, sample, empty=0.0)


def find_recovery(sample: Sample) -> Floats:
    """Periods from the deepest trough until its peak was reached again; nan where it was not or nothing fell."""
    falls = sample.falls
    trough = falls.argmax(axis=-1)[..., None]
    after = np.arange(falls.shape[-1]) > trough
    back = (falls <= 0.0) & after
    found = back.any(axis=-1) & (falls.max(axis=-1) > 0.0)
    return np.where(found, back.argmax(axis=-1) - trough[..., 0], np.nan)[()]


def find_mean_recovery(sample: Sample) -> Floats:
    """The mean of trough to recovery over the drawdowns that are over; nan without one."""
    found = sample.drawdowns
    over = ~np.isnan(found.recovery)
    return _mean(found.recovery[over], found.history[over], sample, empty=np.nan)


def _histories(sample: Sample) -> int:
    return int(np.prod(sample.returns.shape[:-1], dtype=np.int64))


def _mean(values: Floats, history: Ints, sample: Sample, *, empty: float) -> Floats:
    count = np.bincount(history, minlength=_histories(sample))
    total = np.bincount(history, weights=values, minlength=count.size)
    mean = np.divide(total, count, out=np.full(count.size, empty), where=count > 0)
    return np.asarray(mean.reshape(sample.returns.shape[:-1]))[()]
