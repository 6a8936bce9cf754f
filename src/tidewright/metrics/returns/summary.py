"""`summarise`: every figure of a strategy's returns, with what chance alone would make of it.

T periods, B resamples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeGuard, cast

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import ConfigError, DataError
from tidewright.metrics.bootstrap import Interval, choose_stationary_block, draw_stationary
from tidewright.metrics.returns.definitions import RETURN_METRICS, ReturnMetric
from tidewright.metrics.returns.sample import Floats, Sample

if TYPE_CHECKING:
    from tidewright.data.panel import Panel

DRAWS = 1000
CHUNK = 250_000  # numbers resampled at once: they stay in the cache


@dataclass(frozen=True, slots=True, eq=False)
class ReturnSummary:
    """Every figure by name, in `values`, nan where it is not defined, and its interval in `intervals`.

    `block` is the mean length of the bootstrap's blocks in periods, nan where none was made. `notes` say what was
    chosen.
    """

    values: Mapping[str, float]
    intervals: Mapping[str, Interval]
    periods: int
    periods_per_year: float
    risk_free: float
    block: float
    notes: tuple[str, ...]

    def __getitem__(self, name: str) -> float:
        return self.values[name]

    def __str__(self) -> str:
        """One figure a line: its value, interval and unit."""
        width = max(len(name) for name in self.values)
        return "\n".join([self._line(name, width=width) for name in self.values] + list(self.notes))

    def _line(self, name: str, *, width: int) -> str:
        found = self.intervals.get(name)
        between = "" if found is None else f"{found.low:11.4f} to {found.high:.4f}"
        return f"{name:{width}} {self.values[name]:11.4f}{between}  {RETURN_METRICS[name].unit}"


def summarise(
    returns: ArrayLike | Panel,
    *,
    periods_per_year: float | None = None,
    benchmark: ArrayLike | None = None,
    risk_free: float = 0.0,
    intervals: float | Literal[False] = False,
    seed: int = 0,
    draws: int = DRAWS,
    block: float | None = None,
) -> ReturnSummary:
    """All figures of `RETURN_METRICS` for the net returns [T] of one strategy, relative ones with a `benchmark` [T].

    `returns` may be a Panel of one series, whose frequency then says how many periods a year has; else
    `periods_per_year` is needed. `risk_free` is a return per period. With `intervals` (a confidence such as 0.9) each
    figure has the percentile interval of `draws` stationary bootstrap resamples, in which returns and benchmark stay
    together. Their mean `block` is, unless given, the longest that Politis and White's rule finds for the returns and
    for the squares of their deviations (and for the benchmark's), since risk depends on the latter.

    Figures along the path (drawdowns) have the interval of other histories of the same length, and not one that
    narrows around a true value.

    >>> found = summarise([0.01, 0.03, -0.01, 0.02], periods_per_year=12)
    >>> round(found["sharpe"], 4), round(found["max_drawdown"], 4), found["skew"] < 0
    (2.5355, 0.01, True)
    """
    values, per_year = _read(returns, periods_per_year)
    sample = Sample.read(values, periods_per_year=per_year, risk_free=risk_free, benchmark=benchmark)
    known = ("returns",) if benchmark is None else ("returns", "benchmark")
    chosen = [one for one in RETURN_METRICS.values() if one.of in known]
    figures = MappingProxyType({one.name: float(one.compute(sample)) for one in chosen})
    notes = (f"{sample.periods:,} returns, {per_year:.6g} a year; risk-free return a period {risk_free:g}.",)
    if intervals is False:
        return ReturnSummary(figures, MappingProxyType({}), sample.periods, per_year, risk_free, math.nan, notes)
    _check(level=intervals, draws=draws)
    length = _choose_block(sample) if block is None else float(block)
    found = _bound(sample, chosen, level=float(intervals), draws=draws, block=length, seed=seed)
    rule = "by Politis and White's rule" if block is None else "as given"
    note = (
        f"Intervals: {intervals:.0%}, {draws:,} stationary bootstrap resamples, mean block {length:.1f} periods {rule}."
    )
    return ReturnSummary(figures, found, sample.periods, per_year, risk_free, length, (*notes, note))


def _read(returns: ArrayLike | Panel, periods_per_year: float | None) -> tuple[ArrayLike, float]:
    if _is_panel(returns):
        if returns.n_series != 1:
            raise DataError(f"the panel has {returns.n_series} series; bring one strategy's returns at a time.")
        per_year = returns.frequency.periods_per_year if periods_per_year is None else periods_per_year
        return returns.target, per_year
    if periods_per_year is None:
        raise DataError(
            "how many periods a year has is not known. Pass periods_per_year= from the calendar of the returns (a "
            "Frequency knows it), or bring a Panel."
        )
    return cast("ArrayLike", returns), periods_per_year


def _is_panel(returns: object) -> TypeGuard[Panel]:
    """Whether it is a Panel, without loading tables for those who bring an array."""
    return type(returns).__name__ == "Panel" and hasattr(returns, "frequency")


def _check(*, level: float, draws: int) -> None:
    if isinstance(level, bool) or not 0.0 < level < 1.0:
        raise ConfigError(f"intervals is a confidence between 0 and 1 such as 0.9, or False; got {level}.")
    if draws < 2:
        raise ConfigError(f"draws must be at least 2, got {draws}.")


def _choose_block(sample: Sample) -> float:
    series = [sample.returns] if sample.benchmark is None else [sample.returns, sample.benchmark]
    squares = [(one - one.mean()) ** 2 for one in series]
    return max(choose_stationary_block(one) for one in (*series, *squares))


def _bound(
    sample: Sample, metrics: list[ReturnMetric], *, level: float, draws: int, block: float, seed: int
) -> Mapping[str, Interval]:
    """The interval of each figure from resampled histories; undefined ones are left out and counted."""
    generator = np.random.default_rng(seed)
    rows = max(1, CHUNK // sample.periods)
    parts: dict[str, list[Floats]] = {one.name: [] for one in metrics}
    for start in range(0, draws, rows):
        drawn = draw_stationary(sample.periods, block=block, draws=min(rows, draws - start), generator=generator)
        theirs = None if sample.benchmark is None else sample.benchmark[drawn]
        many = Sample(sample.returns[drawn], sample.periods_per_year, sample.risk_free, theirs)
        for one in metrics:
            parts[one.name].append(one.compute(many))
    return MappingProxyType({name: _interval(np.concatenate(found), level=level) for name, found in parts.items()})


def _interval(found: Floats, *, level: float) -> Interval:
    known = found[np.isfinite(found)]
    if not known.size:
        return Interval(math.nan, math.nan, level, 0)
    low, high = np.quantile(known, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Interval(float(low), float(high), level, int(known.size))
