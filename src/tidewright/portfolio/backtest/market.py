"""What a backtest happens in: the bars, their prices and what is known of trading at them. T bars, A assets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray, TimeArray, read_assets, read_matrix, read_prices, read_times


@dataclass(frozen=True, slots=True, eq=False)
class Market:
    """Closes [T, A] and the prices at which fills happen [T, A], at the close or (`at_close` False) at the open."""

    stamps: TimeArray
    assets: tuple[str, ...]
    closes: FloatArray
    fills: FloatArray
    at_close: bool
    gaps: bool


def read_market(
    prices: ArrayLike, *, times: ArrayLike, assets: Sequence[str], fill: str, opens: ArrayLike | None
) -> Market:
    """The market of checked prices; NaN is a bar without a price."""
    closes = read_matrix(prices, noun="prices")
    stamps = read_times(times, rows=len(closes))
    closes = read_prices(closes, assets=assets, times=stamps)
    names = read_assets(assets, columns=closes.shape[1])
    if fill not in ("next close", "next open"):
        raise AllocationError(f"fill is {fill!r}; it is 'next close' or 'next open'.")
    if (opens is not None) != (fill == "next open"):
        got = "without opens" if opens is None else "with opens"
        raise AllocationError(f"fill={fill!r} came {got}. Pass opens= together with fill='next open', or neither.")
    fills = closes if opens is None else read_prices(opens, assets=assets, times=stamps, noun="open")
    gaps = bool(np.isnan(closes.min(initial=1.0)) or np.isnan(fills.min(initial=1.0)))
    return Market(stamps=stamps, assets=names, closes=closes, fills=fills, at_close=opens is None, gaps=gaps)
