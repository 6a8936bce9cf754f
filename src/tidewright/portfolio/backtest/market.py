"""What a backtest happens in: the bars, their prices and what is known of trading at them. T bars, A assets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.errors import AllocationError
from tidewright.portfolio.backtest.actions import Actions, Events, end_prices, read_events
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
from tidewright.portfolio.labels import check_dates, name_assets

_LOOKBACK = 21
_MOST_RATE = 1.5  # a year
_LEAST = 2


@dataclass(frozen=True, slots=True, eq=False)
class Market:
    """Closes [T, A] and the prices at which fills happen [T, A], at the close or (`at_close` False) at the open; `gaps`
    says whether any is missing. `volumes` are units [T, A], `volatility` fractions a bar [T, A] as known at each close,
    `rates` what cash earns over each bar [T]: each None where it plays no part. `years` [T] since the bar before."""

    stamps: TimeArray
    assets: tuple[str, ...]
    closes: FloatArray
    fills: FloatArray
    at_close: bool
    gaps: bool
    years: FloatArray
    volumes: FloatArray | None = None
    volatility: FloatArray | None = None
    rates: FloatArray | None = None
    events: Events | None = None

    def tell_volatility(self, bar: int, *, needed: NDArray[np.bool_]) -> FloatArray:
        """The volatility of each asset [A] as known at a bar's close: the caller's, or the root mean square of the last
        21 simple returns. An AllocationError where a needed one isn't known."""
        if self.volatility is not None:
            known = self.volatility[bar]
        else:
            seen = self.closes[max(0, bar - _LOOKBACK) : bar + 1]
            growth = seen[1:] / seen[:-1]
            if self.events is not None and self.events.splits is not None:
                growth = growth * self.events.splits[bar - len(growth) + 1 : bar + 1]
            there = ~np.isnan(growth)
            squares = np.where(there, growth - 1.0, 0.0) ** 2
            count = there.sum(axis=0)
            known = np.where(count >= _LEAST, np.sqrt(squares.sum(axis=0) / np.maximum(count, 1)), np.nan)
        missing = np.flatnonzero(needed & ~(known >= 0.0))
        if missing.size:
            raise AllocationError(
                f"the volatility of {self.assets[int(missing[0])]!r} at {name_time(self.stamps, row=bar)} isn't known, "
                f"which the impact of a trade needs. Give volatility=, or decide after {_LEAST} returns."
            )
        return np.where(np.isnan(known), 0.0, known)


def read_market(
    prices: ArrayLike,
    *,
    times: ArrayLike,
    assets: Sequence[str],
    fill: str,
    opens: ArrayLike | None,
    costs: Costs,
    volumes: ArrayLike | None,
    volatility: ArrayLike | None,
    cash_rate: ArrayLike,
    actions: Actions | None,
) -> Market:
    """The market of checked prices; NaN is a bar without a price."""
    closes = read_matrix(prices, noun="prices")
    stamps = read_times(times, rows=len(closes))
    assets = name_assets(prices, assets, noun="prices")
    for table, noun in ((prices, "prices"), (opens, "opens")):
        check_dates(table, times=stamps, noun=noun)
    closes = read_prices(closes, assets=assets, times=stamps)
    names = read_assets(assets, columns=closes.shape[1])
    if fill not in ("next close", "next open"):
        raise AllocationError(f"fill is {fill!r}; it is 'next close' or 'next open'.")
    if (opens is not None) != (fill == "next open"):
        got = "without opens" if opens is None else "with opens"
        raise AllocationError(f"fill={fill!r} came {got}. Pass opens= together with fill='next open', or neither.")
    named = name_assets(opens, assets, noun="opens")
    fills = closes if opens is None else read_prices(opens, assets=named, times=stamps, noun="open")
    gaps = bool(np.isnan(closes.min(initial=1.0)) or np.isnan(fills.min(initial=1.0)))
    events = None if actions is None else read_events(actions, closes=closes, stamps=stamps, assets=names)
    if actions is not None and events is not None and actions.delistings:
        closes = end_prices(closes, actions=actions, events=events, stamps=stamps, assets=names)
        gaps = True
    if costs.needs_volume and volumes is None:
        raise AllocationError(
            "these costs have an impact or a participation, which need the volume of each bar. Give volumes= in units, "
            "or costs without both."
        )
    return Market(
        stamps=stamps,
        assets=names,
        closes=closes,
        fills=fills,
        at_close=opens is None,
        gaps=gaps,
        years=_count_years(stamps),
        volumes=_read_side(volumes, noun="volume", shape=closes.shape, stamps=stamps, assets=names),
        volatility=_read_side(volatility, noun="volatility", shape=closes.shape, stamps=stamps, assets=names),
        rates=_read_rates(cash_rate, stamps=stamps),
        events=events,
    )


def _count_years(stamps: TimeArray) -> FloatArray:
    since = np.zeros(stamps.size)
    since[1:] = np.diff(stamps) / np.timedelta64(1, "D").astype("timedelta64[ns]") / 365.0
    return since


def _read_side(
    values: ArrayLike | None, *, noun: str, shape: tuple[int, ...], stamps: TimeArray, assets: tuple[str, ...]
) -> FloatArray | None:
    """Numbers of each bar and asset that are at least 0; NaN where they aren't known."""
    if values is None:
        return None
    table = read_matrix(values, noun=noun)
    assets = name_assets(values, assets, noun=noun)
    if table.shape != shape:
        raise AllocationError(
            f"the table of {noun} has the shape {table.shape}, that of prices {shape}. Give one row a bar and one "
            "column an asset."
        )
    if not (table.min(initial=0.0) >= 0.0 and table.max(initial=0.0) < np.inf):
        wrong = (table < 0.0) | np.isinf(table)
        if wrong.any():
            row, asset = (int(place) for place in np.argwhere(wrong)[0])
            raise AllocationError(
                f"the {noun} of {assets[asset]!r} at {name_time(stamps, row=row)} is {table[row, asset]:g}; it is "
                "finite and at least 0."
            )
    return table


def _read_rates(cash_rate: ArrayLike, *, stamps: TimeArray) -> FloatArray | None:
    rates = np.asarray(cash_rate, dtype=np.float64)
    if rates.ndim == 0:
        rates = np.full(stamps.size, float(rates))
    if rates.shape != stamps.shape:
        raise AllocationError(
            f"cash_rate has the shape {rates.shape}; it is one number, or one a bar ({stamps.size} here)."
        )
    wrong = np.flatnonzero(~(np.abs(rates) <= 0.1))
    if wrong.size:
        row = int(wrong[0])
        raise AllocationError(
            f"cash_rate at {name_time(stamps, row=row)} is {rates[row]:g} over one bar; it is a fraction from -0.1 to "
            "0.1. A rate a year is divided by the bars of a year."
        )
    span = float(np.median(_count_years(stamps)[1:])) if stamps.size > 1 else 1.0
    if np.abs(np.mean(rates)) > _MOST_RATE * span:
        raise AllocationError(
            f"cash_rate is {np.mean(rates):g} over one bar, that is {np.mean(rates) / span:,.0%} a year. Divide a "
            "rate a year by the bars of a year."
        )
    return None if (rates == 0.0).all() else rates
