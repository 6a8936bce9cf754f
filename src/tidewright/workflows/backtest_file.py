"""A strategy file or a table of weights on a file of prices: what it would have earned, after costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tidewright.catalog import explain_unknown
from tidewright.data.dated import OPENS, WEIGHTS, Dated, carry_gaps, measure_periods, read_dated
from tidewright.errors import AllocationError, UnknownNameError
from tidewright.metrics.returns import summarise
from tidewright.portfolio import Costs, DeflatedSharpe, Ledger, backtest_weights, deflated_sharpe, sample_sharpe
from tidewright.portfolio.backtest.rebalance import Rebalance
from tidewright.portfolio.strategy import Isolation, Plan, decide_weights, open_strategy
from tidewright.portfolio.strategy.weights import place_weights

EQUAL = "equal"
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class FileBacktest:
    """The account of a strategy and its figures after costs, beside a benchmark where there is one, whose `levels` [T]
    are those of its wealth.

    `floor` holds the assets that have all prices in equal parts, brought back to that at the strategy's decisions and
    at the same costs; None where there is no such asset. `deflated` is None where the number of trials is not known or
    the returns don't vary; `isolation` is what the strategy ran under, None for a table.
    """

    name: str
    ledger: Ledger
    figures: Mapping[str, float]
    benchmark: str
    levels: Doubles | None
    deflated: DeflatedSharpe | None
    periods_per_year: float
    notes: tuple[str, ...]
    isolation: Isolation | None = None
    floor: Ledger | None = None


def backtest_file(
    what: str | Path,
    prices: Dated,
    *,
    costs: Costs,
    fill: Literal["next close", "next open"] = "next close",
    opens: Dated | None = None,
    benchmark: str | None = None,
    initial_cash: float = 1_000_000.0,
    allow_short: bool = False,
    max_gross: float = 1.0,
    cash_rate: float = 0.0,
    trials: float | None = None,
    carry: int = 0,
    rebalance: Rebalance | None = None,
    frequency: str | None = None,
    calendar: str | None = None,
    timeout_s: float = 60.0,
) -> FileBacktest:
    """Backtests `what`, a strategy (.py with `decide`) or a table of target weights (wide or long), on `prices`.

    `benchmark` is an asset of the prices, or "equal" for the mean return of all assets; `trials` is how many strategies
    were tried, for the deflated Sharpe ratio. `cash_rate` is what cash earns a year, compounded over its bars. A
    price is carried over at most `carry` bars without one: what is held is valued, and a decision filled, at that; the
    strategy sees the gap. `rebalance` says when weights that drift are brought back. Raises `AllocationError` and
    `DataError`.
    """
    periods, told = measure_periods(prices.times, frequency=frequency, calendar=calendar)
    plan, isolation = _decide(Path(what), prices, timeout_s=timeout_s)
    prices = carry_gaps(prices, most=carry)
    matched = None if opens is None else _match(opens, prices)
    keep = partial(
        backtest_weights, prices=prices.values, times=prices.times, assets=prices.names, costs=costs,
        decided=plan.decided, initial_cash=initial_cash, fill=fill, opens=matched, allow_cash=True,
        allow_short=allow_short, max_gross=max_gross, cash_rate=(1.0 + cash_rate) ** (1.0 / periods) - 1.0,
        rebalance=rebalance,
    )  # fmt: skip
    ledger = keep(plan.targets)
    figures = dict(ledger.summary(periods_per_year=periods))
    levels = None if benchmark is None else _grow_benchmark(benchmark, prices)
    if levels is not None:
        beside = summarise(ledger.net_returns(), benchmark=_earned(levels, ledger), periods_per_year=periods)
        figures |= {name: value for name, value in beside.values.items() if name not in figures}
    return FileBacktest(
        name=Path(what).name,
        ledger=ledger,
        figures=figures,
        benchmark=benchmark or "",
        levels=levels,
        deflated=_deflate(ledger, trials=trials),
        periods_per_year=periods,
        notes=(told, *prices.notes, *plan.notes, *ledger.notes),
        isolation=isolation,
        floor=_hold_equal(plan, keep=keep, tables=[prices.values] if matched is None else [prices.values, matched]),
    )


def read_opens(source: Any, prices: Dated, **columns: Any) -> Dated:
    """The opens of a table for these prices; adjusted closes go with adjusted opens alone. Raises `AllocationError`."""
    opens = read_dated(source, usual=OPENS, **columns)
    adjusted = [one.column for one in (prices, opens) if "adj" in one.column.casefold()]
    if len(adjusted) == 1:
        raise AllocationError(
            f"closes are {prices.column or 'a wide table'!r} and opens {opens.column or 'a wide table'!r}: one is "
            "adjusted and the other not, so a day's return would be made of both. Name columns that go together."
        )
    return opens


def _decide(what: Path, prices: Dated, *, timeout_s: float) -> tuple[Plan, Isolation | None]:
    if what.suffix != ".py":
        table = read_dated(what, usual=WEIGHTS)
        return place_weights(table, prices), None
    with open_strategy(what, timeout_s=timeout_s) as strategy:
        return decide_weights(strategy, prices), strategy.isolation


def _hold_equal(plan: Plan, *, keep: Callable[[Doubles], Ledger], tables: list[Doubles]) -> Ledger | None:
    whole = np.all([np.isfinite(table).all(axis=0) for table in tables], axis=0)
    if not whole.any():
        return None
    return keep(np.tile(whole / whole.sum(), (len(plan.decided), 1)))


def _match(opens: Dated, prices: Dated) -> Doubles:
    """Opens [T, A] at the bars and assets of the prices; NaN where there is none."""
    matched = np.full(prices.values.shape, np.nan)
    rows = np.searchsorted(opens.times, prices.times)
    there = (rows < len(opens.times)) & (opens.times[np.minimum(rows, len(opens.times) - 1)] == prices.times)
    for place, name in enumerate(prices.names):
        if name in opens.names:
            matched[there, place] = opens.values[rows[there], opens.names.index(name)]
    return matched


def _grow_benchmark(benchmark: str, prices: Dated) -> Doubles:
    """The benchmark's wealth at each bar [T]; a bar without a price earns 0, and the next one both."""
    if benchmark != EQUAL and benchmark not in prices.names:
        raise UnknownNameError(explain_unknown("asset of the prices", benchmark, (*prices.names, EQUAL)))
    values = prices.values if benchmark == EQUAL else prices.values[:, [prices.names.index(benchmark)]]
    seen = np.maximum.accumulate(np.where(np.isnan(values), 0, np.arange(len(values))[:, None]), axis=0)
    filled = np.take_along_axis(values, seen, axis=0)
    earned = filled[1:] / filled[:-1] - 1.0
    known = np.isfinite(earned)
    returns = np.where(known, earned, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.concatenate([[1.0], np.cumprod(1.0 + returns)])


def _earned(levels: Doubles, ledger: Ledger) -> Doubles:
    """The returns at the bars of the ledger's net returns."""
    first = 1 if ledger.first_fill is None else ledger.first_fill
    returns = levels[1:] / levels[:-1] - 1.0
    return np.asarray(returns[first - 1 : first - 1 + ledger.net_returns().size])


def _deflate(ledger: Ledger, *, trials: float | None) -> DeflatedSharpe | None:
    returns = ledger.net_returns()
    if trials is None or returns.size < 3 or np.isnan(sample_sharpe(returns).sharpe):
        return None
    return deflated_sharpe(sample_sharpe(returns), trials=trials, trial_variance=1.0 / (returns.size - 1))
