"""`Sheet`: what a tear sheet is made of: strategies and a benchmark over the same bars, and what was held.

T returns of bars, A assets, G groups. `opened` is the bar before the first return; wealth starts there at 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError, ConfigError
from tidewright.metrics.returns import ReturnSummary, summarise
from tidewright.portfolio.inputs import FloatArray, TimeArray
from tidewright.portfolio.ledger import Ledger
from tidewright.portfolio.risk.record import RiskMethod

CONFIDENCE = 0.9  # of the intervals
FEWEST = 30  # returns
REST = "no group"


@dataclass(frozen=True, eq=False)
class Sheet:
    """The first of `ledgers` is the strategy, the others its floors; `returns` are of the same bars, benchmark last.

    `window` is the length in bars of what is rolled, `groups` the sector of each asset, where known, `var_method` one
    of `rolling_var`'s.
    """

    ledgers: Mapping[str, Ledger]
    first: int
    returns: Mapping[str, FloatArray]
    benchmark: str | None
    groups: Mapping[str, str]
    periods_per_year: float
    risk_free: float
    window: int
    var_method: RiskMethod = "historical"
    notes: tuple[str, ...] = field(default=())

    @property
    def name(self) -> str:
        """The strategy's."""
        return next(iter(self.ledgers))

    @property
    def floors(self) -> tuple[str, ...]:
        """The names of what the strategy is held against, without the benchmark."""
        return tuple(self.ledgers)[1:]

    @property
    def ledger(self) -> Ledger:
        """The strategy's account."""
        return self.ledgers[self.name]

    @property
    def ours(self) -> FloatArray:
        """The strategy's net returns [T]."""
        return self.returns[self.name]

    @property
    def theirs(self) -> FloatArray | None:
        """The benchmark's returns [T]."""
        return None if self.benchmark is None else self.returns[self.benchmark]

    @property
    def times(self) -> TimeArray:
        """The bars of the returns [T]."""
        return self.ledger.times[self.first :]

    @property
    def opened(self) -> TimeArray:
        """The bars of wealth [T + 1]: the one before the first return, and those of the returns."""
        return self.ledger.times[self.first - 1 :]

    @cached_property
    def weights(self) -> FloatArray:
        """The strategy's weights at the bars of wealth [T + 1, A]."""
        return np.asarray(self.ledger.weights[self.first - 1 :])

    @cached_property
    def summaries(self) -> Mapping[str, ReturnSummary]:
        """Every figure of each; the strategy's with intervals."""
        found = {}
        for name, returns in self.returns.items():
            found[name] = summarise(
                returns,
                periods_per_year=self.periods_per_year,
                benchmark=self.theirs,
                risk_free=self.risk_free,
                intervals=CONFIDENCE if name == self.name else False,
            )
        return found

    def wealth(self, name: str) -> FloatArray:
        """The growth of one unit [T + 1]."""
        return np.concatenate(([1.0], np.cumprod(1.0 + self.returns[name])))


def read_sheet(
    ledger: Ledger | Mapping[str, Ledger],
    *,
    benchmark: ArrayLike | None,
    benchmark_name: str,
    groups: Mapping[str, str] | None,
    periods_per_year: float,
    risk_free: float,
    window: int | None,
    var_method: RiskMethod = "historical",
) -> Sheet:
    """The sheet of checked inputs; AllocationError or ConfigError says what does not fit."""
    ledgers = _read_ledgers(ledger)
    first, notes = _find_start(ledgers)
    main = next(iter(ledgers.values()))
    returns = {name: _earn(one, first=first) for name, one in ledgers.items()}
    count = main.times.size - first
    if benchmark is not None:
        if benchmark_name in ledgers:
            raise ConfigError(f"the benchmark and a strategy are both called {benchmark_name!r}. Pass benchmark_name=.")
        returns[benchmark_name] = _read_benchmark(benchmark, ledger=main)[first - 1 :]
    rolled = _choose_window(window, count=count, per_year=periods_per_year)
    return Sheet(
        ledgers=ledgers,
        first=first,
        returns=returns,
        benchmark=None if benchmark is None else benchmark_name,
        groups=_read_groups(groups, assets=main.assets),
        periods_per_year=periods_per_year,
        risk_free=risk_free,
        window=rolled,
        var_method=var_method,
        notes=notes,
    )


def _read_ledgers(ledger: Ledger | Mapping[str, Ledger]) -> dict[str, Ledger]:
    found = dict(ledger) if isinstance(ledger, Mapping) else {"strategy": ledger}
    for name, one in found.items():
        if not isinstance(one, Ledger):
            raise AllocationError(
                f"{name!r} is a {type(one).__name__} and no Ledger. Bring a backtest's ledger (that of signals is its "
                "field ledger), or a mapping of them by name."
            )
    return found


def find_first(ledgers: Mapping[str, Ledger]) -> int:
    """The row of the first return that all strategies have."""
    return max(max(one.first_fill or 1, 1) for one in ledgers.values())


def _find_start(ledgers: Mapping[str, Ledger]) -> tuple[int, tuple[str, ...]]:
    """`find_first`, with notes; refuses what can't be laid side by side."""
    if not ledgers:
        raise AllocationError("there is no ledger. Bring the strategy's, or a mapping whose first is the strategy's.")
    main = next(iter(ledgers.values()))
    for name, one in ledgers.items():
        if not np.array_equal(one.times, main.times):
            raise AllocationError(
                f"the ledger of {name!r} has {one.times.size} bars that are not those of the strategy's "
                f"{main.times.size}. Run all backtests over the same bars."
            )
    first = find_first(ledgers)
    if main.times.size - first < FEWEST:
        raise AllocationError(
            f"there are {main.times.size - first} returns after the first trades; a tear sheet needs {FEWEST}. "
            "Bring a longer backtest."
        )
    early = [name for name, one in ledgers.items() if max(one.first_fill or 1, 1) < first]
    told = f"All are shown from the bar at which the last one began to trade; {', '.join(early)} had traded before."
    closed = [name for name, one in ledgers.items() if one.ended is not None]
    after = tuple(f"{name}: the bars after its account was closed count as returns of zero." for name in closed)
    return first, (*((told,) if early else ()), *after)


def _earn(ledger: Ledger, *, first: int) -> FloatArray:
    """Net returns from a row on; nothing is earned once equity is gone."""
    before = ledger.equity[first - 1 : -1]
    ratio = np.divide(ledger.equity[first:], before, out=np.ones_like(before), where=before > 0.0)
    return np.maximum(ratio - 1.0, -1.0)


def _read_benchmark(levels: ArrayLike, *, ledger: Ledger) -> FloatArray:
    """The returns between the benchmark's levels [T]."""
    values = np.asarray(levels, dtype=np.float64)
    if values.shape != ledger.times.shape or not (np.isfinite(values) & (values > 0.0)).all():
        raise AllocationError(
            f"the benchmark has the shape {values.shape}; it is one level above zero (a price, or an index with "
            f"dividends) at each of the {ledger.times.size} bars of the ledger. Fill what is missing."
        )
    return values[1:] / values[:-1] - 1.0


def _read_groups(groups: Mapping[str, str] | None, *, assets: tuple[str, ...]) -> Mapping[str, str]:
    if groups is None:
        return {}
    unknown = sorted(set(groups) - set(assets))
    if unknown:
        raise AllocationError(f"groups name {unknown[0]!r}, which is no asset of the ledger. Name its assets.")
    return {asset: str(groups.get(asset, REST)) for asset in assets}


def _choose_window(window: int | None, *, count: int, per_year: float) -> int:
    """A year of bars, or less where there are few."""
    if window is not None:
        if not 10 <= window < count:
            raise ConfigError(f"window is {window}; it is a number of bars from 10 to {count - 1}.")
        return window
    year = round(per_year) if math.isfinite(per_year) and per_year >= 20 else 24
    return max(min(year, count // 3), 10)
