"""`Sample`: what every figure of returns is worked out from, for one history or for many resampled ones at once.

T periods; B histories: arrays are [..., T], [T] for one history and [B, T] for resampled ones. What several figures
need (wealth, falls, the order) is made once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.errors import DataError
from tidewright.metrics.returns.falls import Falls, find_falls
from tidewright.metrics.returns.line import ROUNDING, Line, fit_line

Floats = NDArray[np.float64]
_MOST_RISK_FREE = 1.5  # a year
_FEW = 20  # returns, each of which may gain a half


@dataclass(frozen=True, eq=False)
class Holdings:
    """What a backtest held over the T periods of its returns.

    weights: share of equity in each asset after each bar [T, A]. turnover: half of the value traded over equity [T],
    0 for the entry. costs: money paid [T]. equity: money after each bar [T].
    """

    weights: Floats
    turnover: Floats
    costs: Floats
    equity: Floats


@dataclass(frozen=True, eq=False)
class Sample:
    """Net simple returns [..., T] as fractions, with what figures take beside them.

    `risk_free` is a return per period, `benchmark` [..., T] has the returns of the same periods.
    """

    returns: Floats
    periods_per_year: float
    risk_free: float = 0.0
    benchmark: Floats | None = None
    holdings: Holdings | None = field(default=None, repr=False)

    @classmethod
    def read(
        cls,
        returns: ArrayLike,
        *,
        periods_per_year: float,
        risk_free: float = 0.0,
        benchmark: ArrayLike | None = None,
        holdings: Holdings | None = None,
    ) -> Sample:
        """One history [T], checked: what can't be returns, or a benchmark of another length, is a DataError."""
        ours = read_returns(returns)
        theirs = None if benchmark is None else read_returns(benchmark, noun="benchmark return")
        if theirs is not None and theirs.size != ours.size:
            raise DataError(
                f"{ours.size} returns came with {theirs.size} of the benchmark. Bring both over the same periods."
            )
        if not math.isfinite(risk_free):
            raise DataError(f"risk_free is {risk_free}; it is the riskless return of one period, as a fraction.")
        per_year = read_per_year(periods_per_year)
        if abs(risk_free) * per_year > _MOST_RISK_FREE:
            raise DataError(
                f"risk_free is {risk_free:g} a period, that is {risk_free * per_year:,.0%} a year. Divide a rate a "
                f"year by its {per_year:g} periods."
            )
        return cls(ours, per_year, risk_free, theirs, holdings)

    @property
    def periods(self) -> int:
        """T."""
        return int(self.returns.shape[-1])

    @property
    def against(self) -> Floats:
        """The benchmark; a DataError where there is none."""
        if self.benchmark is None:
            raise DataError("a relative figure needs the benchmark's returns. Pass benchmark=, one value a period.")
        return self.benchmark

    @property
    def held(self) -> Holdings:
        """The holdings; a DataError where there are none."""
        if self.holdings is None:
            raise DataError("turnover, exposure and costs need a ledger's holdings. Ask the ledger for its summary.")
        return self.holdings

    @cached_property
    def excess(self) -> Floats:
        """Returns above the risk-free one [..., T]."""
        return self.returns - self.risk_free

    @cached_property
    def wealth(self) -> Floats:
        """The growth of one unit [..., T + 1]; 1 before the first return."""
        growth = np.empty((*self.returns.shape[:-1], self.periods + 1))
        growth[..., 0] = 1.0
        np.cumprod(1.0 + self.returns, axis=-1, out=growth[..., 1:])
        return growth

    @cached_property
    def falls(self) -> Floats:
        """The share lost since the highest wealth so far [..., T + 1]; exactly 0 at a peak."""
        return 1.0 - self.wealth / np.maximum.accumulate(self.wealth, axis=-1)

    @cached_property
    def drawdowns(self) -> Falls:
        """Every drawdown of every history."""
        return find_falls(self.falls)

    @cached_property
    def line(self) -> Line:
        """The line through the benchmark's excess returns."""
        return fit_line(self.excess, self.against - self.risk_free)

    @cached_property
    def ordered(self) -> Floats:
        """The returns from the lowest to the highest [..., T]."""
        return np.sort(self.returns, axis=-1)


def read_returns(returns: ArrayLike, *, noun: str = "return") -> Floats:
    """Returns of one strategy [T]; NaN, infinite and below -1 values are a DataError that names the row."""
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise DataError(
            f"{noun}s have the shape {values.shape}; one strategy's returns are one row of at least one number. "
            "Pass one value a period."
        )
    wrong = np.flatnonzero(~np.isfinite(values) | (values < -1.0))
    if wrong.size:
        row = int(wrong[0])
        raise DataError(
            f"the {noun} of row {row} is {values[row]} ({wrong.size} such of {values.size}); a net simple "
            "return is a finite fraction of at least -1. Remove or mend those periods; divide percent by 100."
        )
    floor = 1.0 if values.size < _FEW else 0.5
    if values.min() > floor:
        raise DataError(
            f"every one of the {values.size} {noun}s is above {floor:.0%}, from {values.min():g} to {values.max():g}: "
            "these look like prices or equity. Pass simple returns as fractions (values[1:] / values[:-1] - 1)."
        )
    return values


def read_per_year(periods: float) -> float:
    """Periods a year, a number above zero."""
    if not (math.isfinite(periods) and periods > 0.0):
        raise DataError(f"periods_per_year is {periods}; it is a number above zero, from the calendar of the returns.")
    return float(periods)


def divide(above: Floats, below: Floats) -> Floats:
    """A ratio, nan where what is below is no more than rounding."""
    above, below = np.broadcast_arrays(above, below)
    out: Floats = np.divide(above, below, out=np.full(below.shape, np.nan), where=below > ROUNDING)
    return out[()]
