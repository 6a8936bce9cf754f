"""What companies do to their shares: dividends, splits, delistings. T bars, A assets; prices are not adjusted for them.

A dividend is money a unit, paid on what was held before the bar of its ex-date; a split of r turns each unit into r
before anything else of its bar; a delisting turns what is held into cash at the close of its bar.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray, TimeArray, name_time, read_matrix
from tidewright.portfolio.labels import name_assets

_CLEAR_SPLIT = math.log(1.4)  # a smaller one can't be told from a day's move


@dataclass(frozen=True, slots=True)
class Delisting:
    """An asset's end: the bar at whose close holders are paid, and the simple return from the last price to that.

    0 pays the last price, -1 nothing. CRSP's delisting returns, and Shumway's (1997) -0.3 for want of one, are such.
    """

    time: np.datetime64
    outcome: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "time", np.datetime64(self.time))
        if np.isnat(self.time):
            raise AllocationError("the time of a delisting is NaT. Give the bar at whose close holders are paid.")
        if not (math.isfinite(self.outcome) and -1.0 <= self.outcome <= 10.0):
            raise AllocationError(
                f"the outcome of a delisting is {self.outcome:g}; it is a return from -1 (nothing is paid) to 10."
            )


@dataclass(frozen=True, slots=True, eq=False)
class Actions:
    """`dividends` [T, A] in money a unit at their ex-dates and `splits` [T, A] in new units for an old one (7 for
    seven for one), at the bars and assets of the prices; NaN, and 0 or 1, are none. `delistings` by asset."""

    dividends: ArrayLike | None = None
    splits: ArrayLike | None = None
    delistings: Mapping[str, Delisting] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Checked actions: dividends and splits [T, A], None where there is none, the bars that have some, and of each
    asset the row of its delisting [A], T where there is none."""

    dividends: FloatArray | None
    splits: FloatArray | None
    paying: NDArray[np.bool_]
    splitting: NDArray[np.bool_]
    delisted: NDArray[np.intp]


def read_events(actions: Actions, *, closes: FloatArray, stamps: TimeArray, assets: tuple[str, ...]) -> Events:
    """The actions of some prices; an AllocationError names the first that can't be."""
    dividends = _read(actions.dividends, noun="dividend", none=0.0, closes=closes, stamps=stamps, assets=assets)
    splits = _read(actions.splits, noun="split", none=1.0, closes=closes, stamps=stamps, assets=assets)
    if splits is not None:
        _check_splits(splits, closes=closes, stamps=stamps, assets=assets)
    if dividends is not None:
        _check_dividends(dividends, splits=splits, closes=closes, stamps=stamps, assets=assets)
    nothing = np.zeros(stamps.size, dtype=np.bool_)
    return Events(
        dividends=dividends,
        splits=splits,
        paying=nothing if dividends is None else (dividends != 0.0).any(axis=1),
        splitting=nothing if splits is None else (splits != 1.0).any(axis=1),
        delisted=_find_delistings(actions.delistings, stamps=stamps, assets=assets),
    )


def end_prices(
    prices: FloatArray, *, actions: Actions, events: Events, stamps: TimeArray, assets: tuple[str, ...]
) -> FloatArray:
    """A copy of closes [T, A] in which each delisted asset keeps its last price until it is paid out."""
    ended = prices.copy()
    for asset, row in ((asset, int(row)) for asset, row in enumerate(events.delisted) if row < stamps.size):
        name = assets[asset]
        later = np.flatnonzero(~np.isnan(prices[row + 1 :, asset]))
        if later.size:
            raise AllocationError(
                f"{name!r} is delisted at {name_time(stamps, row=row)} and has a price at "
                f"{name_time(stamps, row=row + 1 + int(later[0]))}. Move the delisting, or take those prices out."
            )
        known = np.flatnonzero(~np.isnan(prices[: row + 1, asset]))
        if known.size == 0:
            continue
        last = int(known[-1])
        price = prices[last, asset]
        if events.splits is not None:
            price /= float(np.prod(events.splits[last + 1 : row + 1, asset]))
        ended[last + 1 : row, asset] = price
        ended[row, asset] = price * (1.0 + actions.delistings[name].outcome)
    return ended


def _read(
    values: ArrayLike | None,
    *,
    noun: str,
    none: float,
    closes: FloatArray,
    stamps: TimeArray,
    assets: tuple[str, ...],
) -> FloatArray | None:
    if values is None:
        return None
    assets = name_assets(values, assets, noun=f"{noun}s")
    table = read_matrix(values, noun=f"{noun}s")
    if table.shape != closes.shape:
        raise AllocationError(
            f"{noun}s have the shape {table.shape}, prices {closes.shape}. Give one row a bar and one column an asset."
        )
    table = np.where(np.isnan(table), none, table)
    wrong = ~np.isfinite(table) | ((table < 0.0) if none == 0.0 else (table <= 0.0))
    if wrong.any():
        row, asset = (int(place) for place in np.argwhere(wrong)[0])
        rule = "money a unit, at least 0" if none == 0.0 else "new units for an old one, above 0"
        raise AllocationError(
            f"the {noun} of {assets[asset]!r} at {name_time(stamps, row=row)} is {table[row, asset]:g}; it is {rule}."
        )
    return None if (table == none).all() else table


def _check_splits(splits: FloatArray, *, closes: FloatArray, stamps: TimeArray, assets: tuple[str, ...]) -> None:
    """Prices that are adjusted already would make a split worth its ratio."""
    for row, asset in np.argwhere(np.abs(np.log(splits)) >= _CLEAR_SPLIT):
        ratio = splits[row, asset]
        move = closes[row, asset] / closes[row - 1, asset] if row else math.nan
        if abs(math.log(move)) < abs(math.log(move * ratio)) if move > 0.0 else False:
            raise AllocationError(
                f"{assets[asset]!r} has a split of {ratio:g} at {name_time(stamps, row=int(row))}, where its price "
                f"moves by {move - 1:+.1%}: the prices are adjusted for it already. Bring unadjusted prices, or leave "
                "the splits out."
            )


def _check_dividends(
    dividends: FloatArray,
    *,
    splits: FloatArray | None,
    closes: FloatArray,
    stamps: TimeArray,
    assets: tuple[str, ...],
) -> None:
    for row, asset in np.argwhere(dividends > 0.0):
        ratio = 1.0 if splits is None else splits[row, asset]
        before = closes[row - 1, asset] / ratio if row else math.nan
        if dividends[row, asset] >= before:
            raise AllocationError(
                f"the dividend of {assets[asset]!r} at {name_time(stamps, row=int(row))} is {dividends[row, asset]:g} "
                f"a unit, and the price before {before:g}. Give money a unit, not a percentage or a total."
            )


def _find_delistings(
    delistings: Mapping[str, Delisting], *, stamps: TimeArray, assets: tuple[str, ...]
) -> NDArray[np.intp]:
    rows = np.full(len(assets), stamps.size, dtype=np.intp)
    for name, delisting in delistings.items():
        if name not in assets:
            raise AllocationError(f"{name!r} is delisted and is none of the assets. Name delistings as the columns.")
        row = int(np.searchsorted(stamps, delisting.time))
        if row == stamps.size or stamps[row] != delisting.time:
            raise AllocationError(
                f"the delisting of {name!r} at {delisting.time} falls on no bar of the prices. Give the time of a bar."
            )
        rows[assets.index(name)] = row
    return rows
