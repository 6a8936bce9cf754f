"""Which assets a decision may buy: members with a whole lookback of returns. T bars, A assets, D decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray, TimeArray, has_no_spread, name_time
from tidewright.portfolio.universe import Universe

Places = NDArray[np.intp]
_NAMED = 5  # names that a note lists


@dataclass(frozen=True, slots=True, eq=False)
class Eligible:
    """The columns `places` of each decision [D], a note for each on who was left out, and a `summary` of all."""

    places: tuple[Places, ...]
    notes: tuple[tuple[str, ...], ...]
    summary: tuple[str, ...] = ()


def choose_eligible(
    values: FloatArray,
    *,
    times: TimeArray,
    assets: tuple[str, ...],
    windows: Sequence[slice],
    universe: Universe | None,
) -> Eligible:
    """The assets of each window's decision: all of them, or those of the universe that can be weighed.

    Only the window's own returns and the membership at its last bar are looked at. A decision for which no asset is
    left is an AllocationError.
    """
    if universe is None:
        return Eligible(places=(np.arange(len(assets)),) * len(windows), notes=((),) * len(windows))
    if not isinstance(universe, Universe):
        raise AllocationError(f"universe is a Universe, see Universe.from_table; got {type(universe).__name__}.")
    ends = [window.stop - 1 for window in windows]
    members = universe.mask(times[ends], assets)
    chosen, notes = [], []
    for window, inside in zip(windows, members, strict=True):
        part = values[window]
        gaps = np.isnan(part).any(axis=0)
        still = ~gaps & has_no_spread(part)
        places = np.flatnonzero(inside & ~gaps & ~still)
        if not places.size:
            raise AllocationError(
                f"of {int(inside.sum())} members at {name_time(times, row=window.stop - 1)} none has all of the "
                f"{len(part)} returns before it and some variance. Begin later, or ask for a shorter lookback."
            )
        chosen.append(places)
        notes.append(
            _say("without all returns of the lookback", inside & gaps, assets=assets)
            + _say("without variance in the lookback", inside & still, assets=assets)
        )
    return Eligible(places=tuple(chosen), notes=tuple(notes), summary=_sum_up(universe, times[ends], assets=assets))


def _say(what: str, out: NDArray[np.bool_], *, assets: tuple[str, ...]) -> tuple[str, ...]:
    names = [assets[place] for place in np.flatnonzero(out)]
    return (f"{_count(names, noun='member')} {what} left out: {_list(names)}",) if names else ()


def _sum_up(universe: Universe, times: TimeArray, *, assets: tuple[str, ...]) -> tuple[str, ...]:
    """Who is missing: members without a column bias what is earned, and columns that were never members."""
    known = set(assets)
    absent = [[name for name in universe.members(time) if name not in known] for time in times]
    members = [len(universe.members(time)) for time in times]
    strangers = [name for name in assets if name not in set(universe.assets)]
    notes: tuple[str, ...] = ()
    if any(absent):
        share = sum(map(len, absent)) / sum(members)
        names = list(dict.fromkeys(name for row in absent for name in row))
        notes += (f"{share:.1%} of the members at the decisions have no returns here (survivorship): {_list(names)}",)
    if strangers:
        notes += (f"{_count(strangers, noun='asset')} never in the universe and without weight: {_list(strangers)}",)
    return notes


def _count(names: Sequence[str], *, noun: str) -> str:
    return f"{len(names)} {noun}{'' if len(names) == 1 else 's'}"


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
