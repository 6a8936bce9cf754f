"""From target weights to a ledger: decide at bar t, fill at bar t+1, pay, hold, drift.

T bars, A assets, D decisions, K fills. No loop runs over bars: between two fills the units are constant,
and right after a fill the portfolio is its target weights times what is left of the equity, so that the
whole account follows from one cumulative product over the fills.

A price of NaN means that the asset can't be traded or valued at that bar: an AllocationError names asset
and date if it is held or targeted there, and otherwise it is no matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.errors import AllocationError
from tidewright.portfolio.costs import Costs, price_rebalance
from tidewright.portfolio.inputs import (
    FloatArray,
    TimeArray,
    name_time,
    read_assets,
    read_matrix,
    read_prices,
    read_targets,
    read_times,
)
from tidewright.portfolio.ledger import Ledger

Rows = NDArray[np.intp]


def backtest_weights(
    targets: ArrayLike,
    prices: ArrayLike,
    *,
    times: ArrayLike,
    assets: Sequence[str],
    costs: Costs,
    decided: ArrayLike | None = None,
    initial_cash: float = 1_000_000.0,
    fill: Literal["next close", "next open"] = "next close",
    opens: ArrayLike | None = None,
    allow_cash: bool = False,
) -> Ledger:
    """The ledger of a portfolio that is brought to its target weights one bar after each decision.

    `prices` [T, A] are closes (adjusted for splits and dividends) at `times` [T]. `targets` are [T, A] with
    one row a bar, where a row of NaN decides nothing; or [D, A] with `decided` [D], the times of the bars
    after whose close each row was known. Rows are long-only and sum to one; with `allow_cash` to one or
    less, the rest staying in cash.

    A decision of bar t is filled at bar t+1, at its close or (with `opens` [T, A]) at its open: the weights
    are those of t, the money is split at the fill's prices, and the costs come out of the equity that is
    split, so cash never goes below zero. Fractions of units are held. Between fills the units stay and the
    weights drift. Cash earns nothing. A decision of the last bar has no bar to be filled at and is noted.

    >>> days = np.arange("2024-01-01", "2024-01-05", dtype="datetime64[D]")
    >>> targets = [[0.5, 0.5]] + [[np.nan, np.nan]] * 3
    >>> closes = [[10.0, 20.0], [10.0, 20.0], [11.0, 20.0], [12.0, 20.0]]
    >>> ledger = backtest_weights(targets, closes, times=days, assets=("A", "B"),
    ...                           costs=Costs(fee_bps=0, half_spread_bps=0), initial_cash=1000.0)
    >>> ledger.equity
    array([1000., 1000., 1050., 1100.])
    """
    closes = read_matrix(prices, noun="prices")
    stamps = read_times(times, rows=len(closes))
    closes = read_prices(closes, assets=assets, times=stamps)
    names = read_assets(assets, columns=closes.shape[1])
    _check_money(initial_cash)
    plan, notes = _plan_fills(targets, stamps=stamps, decided=decided, assets=names, allow_cash=allow_cash)
    at_fill = _choose_fill_prices(closes, fill=fill, opens=opens, assets=names, stamps=stamps)
    book = _Book(plan=plan, closes=closes, fills=at_fill, at_close=fill == "next close")
    _check_tradable(book, assets=names, stamps=stamps)
    notes = (*notes, *_note_jumps(book, assets=names, stamps=stamps))
    return _settle(book, stamps=stamps, assets=names, rate=costs.rate, initial_cash=initial_cash, notes=notes)


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """K fills: their rows, target weights [K, A] and cash shares [K]; `segment` [T] is 0 before the first "
    "fill."""

    rows: Rows
    targets: FloatArray
    cash: FloatArray
    segment: Rows

    def spread(self, per_fill: FloatArray, *, before: float = 0.0) -> FloatArray:
        """A value of each fill [K, ...] at every bar that it lasts for [T, ...]."""
        first = np.full((1, *per_fill.shape[1:]), before)
        return np.concatenate([first, per_fill])[self.segment]


@dataclass(frozen=True, slots=True, eq=False)
class _Book:
    """What the account needs: the plan, the closes [T, A] and the prices at which fills happen [T, A]."""

    plan: _Plan
    closes: FloatArray
    fills: FloatArray
    at_close: bool

    def held(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which assets are held before and after each bar's trades [T, A]."""
        after = self.plan.spread(self.plan.targets) > 0.0
        before = np.zeros_like(after)
        before[1:] = after[:-1]
        return before, after


def _check_money(initial_cash: float) -> None:
    if not (math.isfinite(initial_cash) and initial_cash > 0.0):
        raise AllocationError(f"initial_cash is {initial_cash}; it is a finite amount above zero.")


def _plan_fills(
    targets: ArrayLike,
    *,
    stamps: TimeArray,
    decided: ArrayLike | None,
    assets: tuple[str, ...],
    allow_cash: bool,
) -> tuple[_Plan, tuple[str, ...]]:
    values = read_matrix(targets, noun="target weights")
    rows = _find_rows(values, stamps=stamps, decided=decided)
    chosen = values if decided is not None else values[rows]
    weights, cash = read_targets(chosen, assets=assets, times=stamps[rows], allow_cash=allow_cash)
    notes: list[str] = []
    if rows.size and rows[-1] == stamps.size - 1:
        last = name_time(stamps, row=int(rows[-1]))
        notes.append(f"the decision of the last bar, {last}, has no bar to be filled at")
        rows, weights, cash = rows[:-1], weights[:-1], cash[:-1]
    if rows.size == 0:
        notes.append("no decision could be filled: all is cash throughout")
    segment = np.zeros(stamps.size, dtype=np.intp)
    segment[rows + 1] = 1
    return _Plan(rows=rows + 1, targets=weights, cash=cash, segment=np.cumsum(segment)), tuple(notes)


def _find_rows(values: FloatArray, *, stamps: TimeArray, decided: ArrayLike | None) -> Rows:
    """The bars that decide: those of the times in `decided`, or those whose row is not all NaN."""
    if decided is None:
        if values.shape[0] != stamps.size:
            raise AllocationError(
                f"{values.shape[0]} rows of target weights came with {stamps.size} bars. Give one row a bar "
                "(NaN "
                "where nothing is decided), or the times of the rows as decided=."
            )
        return np.flatnonzero(~np.isnan(values).all(axis=1))
    moments = read_times(decided, rows=values.shape[0])
    rows = np.searchsorted(stamps, moments)
    unknown = np.flatnonzero((rows == stamps.size) | (stamps[np.minimum(rows, stamps.size - 1)] != moments))
    if unknown.size:
        raise AllocationError(
            f"the decision of {name_time(moments, row=int(unknown[0]))} falls on no bar of the prices. "
            "Decide at the "
            "time of a bar."
        )
    return rows


def _choose_fill_prices(
    closes: FloatArray, *, fill: str, opens: ArrayLike | None, assets: tuple[str, ...], stamps: TimeArray
) -> FloatArray:
    if fill not in ("next close", "next open"):
        raise AllocationError(f"fill is {fill!r}; it is 'next close' or 'next open'.")
    if (opens is not None) != (fill == "next open"):
        got = "without opens" if opens is None else "with opens"
        raise AllocationError(f"fill={fill!r} came {got}. Pass opens= together with fill='next open', or neither.")
    return closes if opens is None else read_prices(opens, assets=assets, times=stamps, noun="open")


def _check_tradable(book: _Book, *, assets: tuple[str, ...], stamps: TimeArray) -> None:
    before, after = book.held()
    traded = np.zeros_like(after)
    traded[book.plan.rows] = (before | after)[book.plan.rows]
    missing = np.isnan(book.closes) & (before | after if book.at_close else after)
    missing |= np.isnan(book.fills) & traded
    if missing.any():
        row, asset = (int(place) for place in np.argwhere(missing)[0])
        raise AllocationError(
            f"{assets[asset]!r} has no price at {name_time(stamps, row=row)}, where it is held or targeted. "
            "Fill the "
            "gap, or decide on weights without the asset before it."
        )


def _note_jumps(book: _Book, *, assets: tuple[str, ...], stamps: TimeArray) -> tuple[str, ...]:
    """One-bar moves of held assets that are as large as a split's."""
    before, _ = book.held()
    ratio = np.ones_like(book.closes)
    with np.errstate(over="ignore"):
        np.divide(book.closes[1:], book.closes[:-1], out=ratio[1:], where=before[1:])
    jumps = np.argwhere(before & ((ratio <= 0.55) | (ratio >= 1.8)))
    if jumps.size == 0:
        return ()
    row, asset = (int(place) for place in jumps[0])
    more = f" ({len(jumps)} such moves)" if len(jumps) > 1 else ""
    return (
        f"{assets[asset]!r} moves by {ratio[row, asset] - 1:+.0%} in one bar at "
        f"{name_time(stamps, row=row)}{more}: if "
        "that is a split, adjust the prices for it",
    )


def _settle(
    book: _Book,
    *,
    stamps: TimeArray,
    assets: tuple[str, ...],
    rate: float,
    initial_cash: float,
    notes: tuple[str, ...],
) -> Ledger:
    plan, at_fill = book.plan, book.fills[book.plan.rows]
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        held, growth = _drift(plan, at_fill=at_fill)
        share = price_rebalance(held, target=plan.targets, rate=rate)
        value = initial_cash * np.cumprod(growth * (1.0 - share))
        before = np.concatenate([[initial_cash], value[:-1]])[: value.size] * growth
        units = np.divide(plan.targets * value[:, None], at_fill, out=np.zeros_like(at_fill), where=plan.targets > 0.0)
        positions = plan.spread(units)
        worth = np.multiply(positions, book.closes, out=np.zeros_like(positions), where=positions > 0.0)
        cash = plan.spread(plan.cash * value, before=initial_cash)
        equity = cash + worth.sum(axis=1)
    _check_finite(equity, stamps=stamps)
    paid, turnover = np.zeros(stamps.size), np.zeros(stamps.size)
    paid[plan.rows] = share * before
    turnover[plan.rows] = np.abs(plan.targets * (1.0 - share)[:, None] - held).sum(axis=1) / 2.0
    return Ledger(
        times=stamps.copy(),
        assets=assets,
        positions=positions,
        trades=np.diff(positions, axis=0, prepend=np.zeros((1, len(assets)))),
        costs=paid,
        cash=cash,
        equity=equity,
        weights=worth / equity[:, None],
        turnover=turnover,
        first_fill=int(plan.rows[0]) if plan.rows.size else None,
        notes=notes,
    )


def _drift(plan: _Plan, *, at_fill: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Just before each fill: the weights held [K, A], and the growth of equity since the fill before it "
    "[K]."""
    held, growth = np.zeros_like(plan.targets), np.ones(plan.rows.size)
    ratio = np.divide(at_fill[1:], at_fill[:-1], out=np.zeros_like(at_fill[1:]), where=plan.targets[:-1] > 0.0)
    worth = plan.targets[:-1] * ratio
    growth[1:] = worth.sum(axis=1) + plan.cash[:-1]
    held[1:] = worth / growth[1:, None]
    return held, growth


def _check_finite(equity: FloatArray, *, stamps: TimeArray) -> None:
    wrong = np.flatnonzero(~np.isfinite(equity) | (equity <= 0.0))
    if wrong.size:
        row = int(wrong[0])
        raise AllocationError(
            f"equity at {name_time(stamps, row=row)} is {equity[row]}: the prices up to there grow or "
            "shrink beyond "
            "what numbers can hold. Check them for errors of scale."
        )
