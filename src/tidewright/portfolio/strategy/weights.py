"""What a strategy decided, or a table of weights, on the bars of prices.

T bars, A assets, D decisions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidewright.catalog import explain_unknown
from tidewright.data.dated import Dated
from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.strategy.process import Answer, StrategyProcess

TIME = "time"


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Target weights [D, A] and the times of the bars that decide [D]; `notes` say what was taken for what."""

    targets: FloatArray
    decided: NDArray[np.datetime64]
    notes: tuple[str, ...] = ()


def to_table(prices: Dated) -> pl.DataFrame:
    """Prices as a strategy gets them: "time" and a column an asset, null where there is no price."""
    if TIME in prices.names:
        raise AllocationError(f"an asset is called {TIME!r}, as the column of times is. Give it another name.")
    columns = {name: pl.Series(prices.values[:, at], nan_to_null=True) for at, name in enumerate(prices.names)}
    return pl.DataFrame({TIME: prices.times, **columns})


def decide_weights(strategy: StrategyProcess, prices: Dated) -> Plan:
    """The weights of a running strategy for these prices."""
    answer = strategy.decide(to_table(prices))
    if answer.times is None and len(answer.values) != len(prices.times):
        raise AllocationError(
            f"decide gave {len(answer.values)} rows for {len(prices.times)} bars, without times that say which. Give a "
            f"row a bar, or a table with a column {TIME!r}."
        )
    return place_weights(answer, prices)


def place_weights(answer: Answer | Dated, prices: Dated) -> Plan:
    """Weights by the prices' columns; an asset without weights gets 0, a row of NaN decides nothing."""
    values, notes = align_weights(answer, prices.names)
    times = prices.times if answer.times is None else answer.times
    order = np.argsort(times, kind="stable")
    values, times = values[order], times[order]
    decides = ~np.isnan(values).all(axis=1)
    if not decides.any():
        raise AllocationError("no row decides anything: all weights are missing. Give numbers, 0 for what is not held.")
    values, times = values[decides], times[decides]
    missing = int(np.isnan(values).sum())
    values = np.where(np.isnan(values), 0.0, values)
    rows = np.searchsorted(prices.times, times, side="right") - 1  # the last bar at or before each decision
    within = (rows >= 0) & (times < _end(prices))
    newest = within & np.append(rows[1:] != rows[:-1], True)
    between = int((prices.times[np.maximum(rows, 0)] != times)[newest].sum())
    told = {
        "outside of the prices' dates are left out": int((~within).sum()),
        "gave way to a later one before the same fill": int((within & ~newest).sum()),
        "between two bars are those of the bar before, and filled at the one after": between,
    }
    notes = (*notes, *(f"{count} decisions {words}" for words, count in told.items() if count))
    if missing:
        notes = (*notes, f"{missing} of {values.size} weights in rows that decide are missing: 0")
    return Plan(values[newest], prices.times[rows[newest]], notes)


def _end(prices: Dated) -> np.datetime64:
    """The time at which a further bar would stand, by the widest step between bars."""
    steps = np.diff(prices.times)
    return np.datetime64(prices.times[-1] + (steps.max() if steps.size else np.timedelta64(1, "D")))


def align_weights(answer: Answer | Dated, assets: tuple[str, ...]) -> tuple[FloatArray, tuple[str, ...]]:
    """The weights with a column for each asset, 0 for one that they don't name; a note where there are such."""
    if answer.names is None:
        if answer.values.shape[1] != len(assets):
            raise AllocationError(
                f"decide gave {answer.values.shape[1]} columns for {len(assets)} assets. Give a column an asset, in "
                "the prices' order, or a table with their names."
            )
        return answer.values, ()
    for name in answer.names:
        if name not in assets:
            raise AllocationError(f"weights of {name!r}: " + explain_unknown("asset of the prices", name, assets))
    values = np.zeros((len(answer.values), len(assets)))
    for column, name in enumerate(answer.names):
        values[:, assets.index(name)] = answer.values[:, column]
    values[np.isnan(answer.values).all(axis=1)] = np.nan
    without = [name for name in assets if name not in answer.names]
    return values, (f"no weights for {', '.join(without[:5])} ({len(without)} assets): 0",) if without else ()
