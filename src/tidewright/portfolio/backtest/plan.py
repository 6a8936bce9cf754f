"""From rows of target weights to fills: which bars decide, and what each decision asks for.

T bars, A assets, D decisions, K fills. The caller's table is looked at and never copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray, TimeArray, name_time, read_matrix, read_times
from tidewright.portfolio.labels import check_dates, name_assets

Rows = NDArray[np.intp]

_SUM_TOLERANCE = 1e-9
_CELLS = 12_000  # worked on at a time: these stay in the cache, and are less than what malloc asks the kernel for


def size_block(columns: int) -> int:
    """The rows of a table with so many columns that are worked on at a time."""
    return max(1, _CELLS // columns)


def cut_blocks(rows: int, *, columns: int) -> Iterator[slice]:
    """Consecutive blocks of a table's rows."""
    size = size_block(columns)
    return (slice(first, min(first + size, rows)) for first in range(0, rows, size))


def take_rows(values: FloatArray, rows: Rows) -> FloatArray:
    """Some rows of a table; those that follow one another without a copy."""
    follow = rows.size > 0 and rows.size == rows[-1] - rows[0] + 1
    return values[rows[0] : rows[-1] + 1] if follow else values[rows]


@dataclass(frozen=True, slots=True)
class Rules:
    """What rows of target weights may be: kept partly in cash, short, and how much in all (long plus short)."""

    allow_cash: bool
    allow_short: bool
    max_gross: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.max_gross) and 1.0 <= self.max_gross <= 20.0):
            raise AllocationError(
                f"max_gross is {self.max_gross:g}; long plus short positions are at most from 1 to 20 times the equity."
            )

    @property
    def free(self) -> bool:
        """Whether rows may sum to anything, within the limit of long plus short."""
        return self.allow_short or self.max_gross > 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """D decisions: the rows of the bars that made them [D], their weights [D, A] before the division by `sums` [D]
    (their sum where that is one but for rounding, else 1), the share in cash [D], below zero for a loan, and whether
    short positions or a loan may use up the equity."""

    rows: Rows
    values: FloatArray
    sums: FloatArray
    cash: FloatArray
    may_fail: bool

    def until(self, bars: int) -> Decisions:
        """Those that have a bar to be filled at."""
        kept = int(np.searchsorted(self.rows, bars - 1))
        return Decisions(self.rows[:kept], self.values[:kept], self.sums[:kept], self.cash[:kept], self.may_fail)


def read_decisions(
    targets: ArrayLike, *, stamps: TimeArray, decided: ArrayLike | None, assets: tuple[str, ...], rules: Rules
) -> Decisions:
    """Every decision in target weights [T, A] (a row of NaN decides nothing) or [D, A] made at `decided` [D]."""
    assets = name_assets(targets, assets, noun="target weights")
    values = read_matrix(targets, noun="target weights")
    if values.shape[1] != len(assets):
        raise AllocationError(
            f"{values.shape[1]} columns came with {len(assets)} asset names. Give one name a column, in the columns' "
            "order."
        )
    sums = values.sum(axis=1)
    rows = _find_rows(values, sums=sums, stamps=stamps, decided=decided)
    check_dates(targets, times=stamps if decided is None else stamps[rows], noun="target weights")
    if decided is None and rows.size < len(values):
        values, sums = take_rows(values, rows), sums[rows]
    _check_cells(values, sums=sums, times=stamps[rows], assets=assets, rules=rules)
    if rules.free:
        _check_gross(values, times=stamps[rows], most=rules.max_gross)
    else:
        _check_sums(sums, times=stamps[rows], allow_cash=rules.allow_cash)
    full = np.abs(sums - 1.0) <= _SUM_TOLERANCE
    return Decisions(rows, values, np.where(full, sums, 1.0), np.where(full, 0.0, 1.0 - sums), rules.free)


def _find_rows(values: FloatArray, *, sums: FloatArray, stamps: TimeArray, decided: ArrayLike | None) -> Rows:
    """The bars that decide: those of the times in `decided`, or those whose row is not all NaN."""
    if decided is None:
        if values.shape[0] != stamps.size:
            raise AllocationError(
                f"{values.shape[0]} rows of target weights came with {stamps.size} bars. Give one row a bar (NaN where "
                "nothing is decided), or the times of the rows as decided=."
            )
        chosen = ~np.isnan(sums)
        odd = np.flatnonzero(~chosen)
        for block in cut_blocks(odd.size, columns=values.shape[1]):
            chosen[odd[block]] = ~np.isnan(values[odd[block]]).all(axis=1)
        return np.flatnonzero(chosen)
    moments = read_times(decided, rows=values.shape[0])
    rows = np.searchsorted(stamps, moments)
    unknown = np.flatnonzero((rows == stamps.size) | (stamps[np.minimum(rows, stamps.size - 1)] != moments))
    if unknown.size:
        raise AllocationError(
            f"the decision of {name_time(moments, row=int(unknown[0]))} falls on no bar of the prices. "
            "Decide at the time of a bar."
        )
    return rows


def _check_cells(
    values: FloatArray, *, sums: FloatArray, times: TimeArray, assets: tuple[str, ...], rules: Rules
) -> None:
    if not np.isfinite(sums).all():
        _refuse(~np.isfinite(values), values=values, times=times, assets=assets, remedy=_FINITE)
    if not rules.allow_short and values.min(initial=0.0) < 0.0:
        _refuse(values < 0.0, values=values, times=times, assets=assets, remedy=_LONG)


def _check_gross(values: FloatArray, *, times: TimeArray, most: float) -> None:
    gross = np.empty(len(values))
    for block in cut_blocks(len(values), columns=values.shape[1]):
        gross[block] = np.abs(values[block]).sum(axis=1)
    over = np.flatnonzero(gross > most + _SUM_TOLERANCE)
    if over.size:
        row = int(over[0])
        raise AllocationError(
            f"the target weights of {name_time(times, row=row)} are {gross[row]:.6g} times the equity, long plus "
            f"short; at most {most:g} is allowed. Scale them down, or pass max_gross={gross[row]:.3g}."
        )


def _check_sums(sums: FloatArray, *, times: TimeArray, allow_cash: bool) -> None:
    off = np.flatnonzero(sums > 1.0 + _SUM_TOLERANCE if allow_cash else np.abs(sums - 1.0) > _SUM_TOLERANCE)
    if off.size:
        row = int(off[0])
        rule = "at most one" if allow_cash else "one"
        hint = "" if allow_cash or sums[row] > 1.0 else ", or pass allow_cash=True to leave the rest in cash"
        raise AllocationError(
            f"the target weights of {name_time(times, row=row)} sum to {sums[row]:.6g}; they must sum to {rule}. "
            f"Divide them by their sum{hint}."
        )


_FINITE = "Weights are finite; a row decides for every asset or, all NaN, for none."
_LONG = (
    "Weights are finite and long-only; a row decides for every asset or, all NaN, for none. "
    "Pass allow_short=True if it is meant."
)


def _refuse(
    wrong: NDArray[np.bool_], *, values: FloatArray, times: TimeArray, assets: tuple[str, ...], remedy: str
) -> None:
    if wrong.any():
        row, asset = (int(place) for place in np.argwhere(wrong)[0])
        raise AllocationError(
            f"the target weight of {assets[asset]!r} at {name_time(times, row=row)} is {values[row, asset]:g} "
            f"({int(wrong.sum())} such of {wrong.size}). {remedy}"
        )
