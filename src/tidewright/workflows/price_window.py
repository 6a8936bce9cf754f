"""The latest returns of a table of prices, of those assets that can be weighed. L bars of the lookback, A assets."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tidewright.catalog import explain_unknown
from tidewright.data.dated import Dated
from tidewright.errors import AllocationError, ConfigError, UnknownNameError
from tidewright.portfolio import returns_from_prices
from tidewright.portfolio.inputs import has_no_spread
from tidewright.portfolio.limits import Limits

LOOKBACK = 252
NAMED = 5
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Window:
    """The returns [L, A] of who can be weighed, with limits of who is there, and the benchmark's returns [L]."""

    assets: tuple[str, ...]
    times: npt.NDArray[np.datetime64]
    returns: Doubles
    limits: Limits | None
    benchmark: Doubles | None
    notes: tuple[str, ...]


def cut_at(prices: Dated, as_of: str | None) -> Dated:
    """The prices up to a date; those after it are not looked at. Raises `ConfigError`."""
    if as_of is None:
        return prices
    try:
        until = np.datetime64(as_of).astype("datetime64[us]")
    except ValueError as error:
        raise ConfigError(f"a date is written as 2024-12-31; got {as_of!r}.") from error
    kept = int(np.searchsorted(prices.times, until, side="right"))
    if kept < 2:
        raise ConfigError(
            f"the prices begin at {name_date(prices.times[0])}, and {as_of} leaves {kept} of them. Ask for a later "
            "date."
        )
    return replace(prices, times=prices.times[:kept], values=prices.values[:kept])


def refuse_returns(prices: Dated) -> None:
    """Returns taken for prices: below zero, and small. Raises `AllocationError`."""
    values = prices.values[np.isfinite(prices.values)]
    if values.size and values.min() < 0.0 and np.median(np.abs(values)) < 1.0:
        raise AllocationError(
            f"the table goes from {values.min():.3g} to {values.max():.3g}: these look like returns. Bring prices, "
            "which are above zero."
        )


def cut_window(
    prices: Dated,
    *,
    lookback: int | None,
    limits: Limits | None = None,
    benchmark: str | None = None,
    usual: int = LOOKBACK,
) -> Window:
    """The returns of the `lookback` latest bars (None: the `usual` number, or all where there are fewer).

    Raises `AllocationError`.
    """
    returns = returns_from_prices(prices.values, times=prices.times, assets=prices.names)
    bars, notes = _choose_lookback(lookback, bars=len(returns), usual=usual)
    part = returns[-bars:]
    beside = np.ones(len(prices.names), dtype=np.bool_)
    may: Doubles | None = None
    if benchmark is not None:
        if benchmark not in prices.names:
            raise UnknownNameError(explain_unknown("asset of the prices", benchmark, prices.names))
        place = prices.names.index(benchmark)
        beside[place], may = False, part[:, place]
        if np.isnan(may).any():
            raise AllocationError(
                f"the benchmark {benchmark!r} lacks prices in the lookback. Fill them, or leave it out."
            )
    gaps = np.isnan(part).any(axis=0)
    still = ~gaps & has_no_spread(part)
    chosen = np.flatnonzero(beside & ~gaps & ~still)
    if not chosen.size:
        raise AllocationError(_explain_none(part, prices.names, asked=beside))
    notes += name_some(prices.names, gaps & beside, "without a price in the lookback, and so without weight")
    notes += name_some(prices.names, still & beside, "without a move in the lookback, and so without weight")
    assets = tuple(prices.names[place] for place in chosen)
    if len(assets) == 1:
        notes += (f"{assets[0]!r} is the only asset, so that there is nothing to choose",)
    fitted, left = _fit_limits(limits, assets=assets, all_assets=prices.names)
    return Window(assets, prices.times[-bars:], np.ascontiguousarray(part[:, chosen]), fitted, may, (*notes, *left))


def _choose_lookback(asked: int | None, *, bars: int, usual: int) -> tuple[int, tuple[str, ...]]:
    if asked is None:
        short: tuple[str, ...] = ()
        if bars < usual:
            short = (f"the lookback is all of the {bars} returns, where {usual} are usual",)
        return min(usual, bars), short
    if not 2 <= asked <= bars:
        raise AllocationError(
            f"a lookback of {asked} returns is asked for, and the prices give {bars}. Ask for 2 to {bars}."
        )
    return asked, ()


def _explain_none(part: Doubles, names: tuple[str, ...], *, asked: npt.NDArray[np.bool_]) -> str:
    missing = np.where(asked, np.isnan(part).sum(axis=0), len(part) + 1)
    best = int(np.argmin(missing))
    if not missing[best]:
        return f"no asset's price moved in the {len(part)} bars of the lookback. Ask for more bars, or mend the prices."
    return (
        f"no asset has all of the {len(part)} returns of the lookback: {names[best]!r} lacks the fewest, "
        f"{int(missing[best])}. Say --carry 5 to hold a price over gaps, or ask for a shorter --lookback."
    )


def name_some(names: tuple[str, ...], out: npt.NDArray[np.bool_], words: str) -> tuple[str, ...]:
    found = [names[place] for place in np.flatnonzero(out)]
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return (f"{words}: {', '.join(found[:NAMED])}{more}",) if found else ()


def _fit_limits(
    limits: Limits | None, *, assets: tuple[str, ...], all_assets: tuple[str, ...]
) -> tuple[Limits | None, tuple[str, ...]]:
    """Limits without the bounds of assets that get no weight; a name that is no asset at all is still an error."""
    if limits is None:
        return None, ()
    absent = [name for name in limits.bounds if name in all_assets and name not in assets]
    if not absent:
        return limits, ()
    kept = {name: sides for name, sides in limits.bounds.items() if name not in absent}
    return replace(limits, bounds=kept), (f"limits of assets that get no weight are left out: {', '.join(absent)}",)


def name_date(time: np.datetime64) -> str:
    """A time as people write it."""
    return str(time.astype("datetime64[s]")).removesuffix("T00:00:00")
