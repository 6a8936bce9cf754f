"""What a signals backtest is given, checked once; errors name the asset and the date. T bars, A assets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.portfolio.backtest.signal_book import Bars, Book, Bools, Rules
from tidewright.portfolio.costs import Costs
from tidewright.portfolio.inputs import (
    FloatArray,
    TimeArray,
    name_time,
    read_assets,
    read_matrix,
    read_prices,
    read_times,
)
from tidewright.portfolio.labels import name_assets


def read_frame(times: ArrayLike, *, assets: Sequence[str], shape: tuple[int, ...]) -> Frame:
    """The rows and columns of prices of a shape [T, A]."""
    stamps = read_times(times, rows=shape[0])
    return Frame(stamps, read_assets(assets, columns=shape[1]), shape)


def widen(values: ArrayLike) -> ArrayLike:
    """One line [T] as a table of one column."""
    array = np.asarray(values)
    return array[:, None] if array.ndim == 1 else values


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """The rows and columns that all tables share, and what is read and told by their names."""

    times: TimeArray
    assets: tuple[str, ...]
    shape: tuple[int, ...]

    def read_signals(self, values: ArrayLike | None, *, noun: str) -> Bools:
        if values is None:
            return np.zeros(self.shape, dtype=bool)
        name_assets(values, self.assets, noun=f"{noun} signals")
        given = np.asarray(widen(values))
        flags = given if given.dtype == bool else read_matrix(given, noun=f"{noun} signals")
        if flags.shape != self.shape:
            raise AllocationError(
                f"the {noun} signals have the shape {flags.shape}, the prices {self.shape}. Give one a bar and asset."
            )
        wrong = np.zeros_like(flags, dtype=bool) if flags.dtype == bool else (flags != 0.0) & (flags != 1.0)
        if wrong.any():
            row, asset = (int(place) for place in np.argwhere(wrong)[0])
            raise AllocationError(
                f"the {noun} signal of {self.assets[asset]!r} at {name_time(self.times, row=row)} is "
                f"{flags[row, asset]:g} ({int(wrong.sum())} such of {wrong.size}). A signal is true or false; say "
                "false where it isn't known yet."
            )
        return np.ascontiguousarray(flags, dtype=bool)

    def read_bars(
        self,
        closes: FloatArray,
        *,
        fill: str,
        opens: ArrayLike | None,
        highs: ArrayLike | None,
        lows: ArrayLike | None,
    ) -> Bars:
        if fill not in ("next close", "next open"):
            raise AllocationError(f"fill is {fill!r}; it is 'next close' or 'next open'.")
        if fill == "next open" and opens is None:
            raise AllocationError("fill='next open' came without opens. Pass opens= together with it.")
        if (highs is None) != (lows is None) or (highs is not None and opens is None):
            raise AllocationError(
                "highs, lows and opens belong together: a stop inside a bar needs both ends, and a gap through it is "
                "filled at the open. Pass all three, or neither highs nor lows to watch the closes."
            )
        if opens is not None and fill == "next close" and highs is None:
            raise AllocationError(
                "fill='next close' came with opens. Pass opens= to fill at them, or with highs and lows."
            )
        tables = {"price": closes, "open": opens, "high": highs, "low": lows}
        read = {noun: self._read_prices(table, noun=noun) for noun, table in tables.items()}
        self._check_order(read)
        filled = {noun: None if table is None else np.nan_to_num(table) for noun, table in read.items()}
        assert filled["price"] is not None
        return Bars(filled["price"], filled["open"], filled["high"], filled["low"], fill == "next open")

    def _read_prices(self, values: ArrayLike | None, *, noun: str) -> FloatArray | None:
        if values is None:
            return None
        names = name_assets(values, self.assets, noun=f"{noun}s")
        return read_prices(widen(values), assets=names, times=self.times, noun=noun)

    def _check_order(self, read: dict[str, FloatArray | None]) -> None:
        """A high below, or a low above, the open or the close of its bar is no price of that bar."""
        for noun, sign in (("high", 1.0), ("low", -1.0)):
            ends = read[noun]
            for other in ("open", "price"):
                table = read[other]
                if ends is None or table is None:
                    continue
                wrong = sign * ends < sign * table - 1e-9 * table
                if wrong.any():
                    row, asset = (int(place) for place in np.argwhere(wrong)[0])
                    what = "close" if other == "price" else other
                    raise AllocationError(
                        f"the {noun} of {self.assets[asset]!r} at {name_time(self.times, row=row)} is "
                        f"{ends[row, asset]:g} and its {what} {table[row, asset]:g}. Bring prices of one kind, all "
                        "adjusted alike."
                    )

    def check_held(self, book: Book) -> None:
        """A price that is missing where it must value or sell what is held."""
        bars, held = book.bars, book.positions != 0.0
        missing = held & (bars.closes == 0.0)
        before = np.zeros_like(held)
        before[1:] = held[:-1]
        missing |= before & (bars.fills == 0.0)
        if book.rules.watched and bars.highs is not None and bars.lows is not None and bars.opens is not None:
            missing |= before & ((bars.highs == 0.0) | (bars.lows == 0.0) | (bars.opens == 0.0))
        if missing.any():
            row, asset = (int(place) for place in np.argwhere(missing)[0])
            raise AllocationError(
                f"{self.assets[asset]!r} has no price at {name_time(self.times, row=row)}, where it is held. Fill the "
                "gap, or signal its exit two bars before it."
            )


def read_rate(costs: Costs) -> float:
    """What a unit of value traded costs; costs that need volumes or days aren't charged here and are refused."""
    for name, value in (
        ("impact", costs.impact),
        ("max_participation", costs.max_participation),
        ("borrow_bps", costs.borrow_bps),
    ):
        if value:
            raise AllocationError(
                f"costs with {name}={value:g}; signals are charged the fee and the spread alone. Leave {name} out, or "
                "put it into half_spread_bps as a guess."
            )
    return costs.rate


def check_rules(rules: Rules, *, amount: float | None) -> None:
    for name, value, most in (
        ("stop_loss", rules.stop_loss, 1.0),
        ("trailing_stop", rules.trailing_stop, 1.0),
        ("take_profit", rules.take_profit, math.inf),
    ):
        if value is not None and not 0.0 < value < most:
            bound = "below one" if most == 1.0 else "finite"
            raise AllocationError(f"{name} is {value:g}; it is a fraction of the price, above zero and {bound}.")
    if rules.max_bars is not None and rules.max_bars < 1:
        raise AllocationError(f"max_bars is {rules.max_bars}; it is a number of bars, at least 1.")
    if not 0.0 < rules.leverage < math.inf:
        raise AllocationError(f"max_leverage is {rules.leverage:g}; it is above zero and finite, one for no borrowing.")
    _check_size(rules, amount=amount)


def _check_size(rules: Rules, *, amount: float | None) -> None:
    if rules.size not in ("slots", "money", "share"):
        raise AllocationError(f"size is {rules.size!r}; it is 'slots', 'money' or 'share'.")
    if amount is None:
        raise AllocationError(f"size={rules.size!r} came without an amount. Pass amount= with it.")
    if not (math.isfinite(amount) and amount > 0.0):
        raise AllocationError(f"amount is {amount:g}; it is above zero and finite.")
    if rules.size == "slots" and amount != int(amount):
        raise AllocationError(f"amount is {amount:g}; with size='slots' it is a whole number of positions.")
    if rules.size == "share" and amount > rules.leverage:
        raise AllocationError(
            f"amount is {amount:g} of the equity an entry, more than max_leverage={rules.leverage:g} allows at all."
        )
