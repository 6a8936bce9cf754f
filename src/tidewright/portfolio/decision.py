"""One decision of a walk: a rule on the latest returns, within limits and against what is held. T bars, A assets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tidewright.errors import AllocationError
from tidewright.portfolio.allocate import RULES, Rule
from tidewright.portfolio.allocate.catalog import find_options
from tidewright.portfolio.allocate.door import allocate
from tidewright.portfolio.eligible import Places
from tidewright.portfolio.inputs import FloatArray, TimeArray, name_time
from tidewright.portfolio.labels import align
from tidewright.portfolio.limits import Limits
from tidewright.portfolio.weights import Weights

_ESTIMATES = ("covariance", "views", "expected")


@dataclass(frozen=True, slots=True, eq=False)
class Decider:
    """The rule of a walk with its `options`, over returns `values` [T, A] of `names` at `stamps` [T]."""

    rule: str | Rule
    options: Mapping[str, Any]
    names: tuple[str, ...]
    stamps: TimeArray
    values: FloatArray

    def decide(self, window: slice, *, places: Places, held: FloatArray | None) -> Weights:
        """Weights of the assets at `places` from the window's returns; `held` [A] are the weights before, if any."""
        part, assets = self._cut(window, places=places)
        given, notes = self._fit(assets=assets, held=None if held is None else held[places])
        rule = self.rule
        try:
            if isinstance(rule, str):
                weights = allocate(part, assets=assets, times=self.stamps[window], method=rule, **given)
            else:
                weights = rule(part, assets=assets, times=self.stamps[window], **given)
        except AllocationError as error:
            raise self._name(error, window=window) from error
        return replace(weights, notes=weights.notes + notes) if notes else weights

    def keep_limits(self, tilted: Weights, window: slice, *, places: Places, held: FloatArray | None) -> Weights:
        """Weights that a view tilted, moved within the limits, of which a tilt knows nothing."""
        if self.options.get("limits") is None:
            return tilted
        from tidewright.portfolio.optimise.nearest import move_within

        part, assets = self._cut(window, places=places)
        given, _ = self._fit(assets=assets, held=None if held is None else held[places])
        wanted = {name: given[name] for name in ("limits", "covariance", "previous") if name in given}
        try:
            return move_within(tilted, part, times=self.stamps[window], **wanted)
        except AllocationError as error:
            raise self._name(error, window=window) from error

    def tell_fixed(self) -> tuple[str, ...]:
        """A note on estimates that are the same at every decision, which might know of later bars."""
        fixed = [name for name in _ESTIMATES if not isinstance(self.options.get(name), str | None)]
        known = "what that says must have been known before the first bar"
        return (f"{' and '.join(fixed)} came as given, the same at every decision: {known}",) if fixed else ()

    @property
    def heeds_held(self) -> bool:
        """Whether trades are weighed against what is held: by the rule, or by limits that the door keeps for it."""
        limited, costly = (self.options.get(name) is not None for name in ("limits", "costs"))
        if isinstance(self.rule, str) and limited:
            return True
        rule = RULES.load(self.rule) if isinstance(self.rule, str) else self.rule
        return (limited or costly) and "previous" in find_options(rule)

    def _cut(self, window: slice, *, places: Places) -> tuple[FloatArray, tuple[str, ...]]:
        part = self.values[window] if places.size == len(self.names) else self.values[window][:, places]
        return part, tuple(self.names[place] for place in places)

    def _fit(self, *, assets: tuple[str, ...], held: FloatArray | None) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The options for these assets: limits of those that are there, and what is held; and notes."""
        given = dict(self.options)
        notes: tuple[str, ...] = ()
        if not self.heeds_held:
            return given, notes
        if given.get("limits") is not None:
            given["limits"], notes = _fit_limits(given["limits"], assets=assets, first=held is None)
        if held is not None:
            given["previous"] = held
        elif given.get("costs") is not None:
            given["previous"] = np.zeros(len(assets))
        return given, notes

    def _name(self, error: AllocationError, *, window: slice) -> AllocationError:
        return AllocationError(f"the decision of {name_time(self.stamps, row=window.stop - 1)}: {error}")


def read_start(previous: Any, *, names: tuple[str, ...]) -> FloatArray | None:
    """The weights [A] held before the first decision: a `Weights`, a mapping by name, or one a column."""
    table = previous.as_dict() if isinstance(previous, Weights) else previous
    if isinstance(table, Mapping):
        strange = [name for name in table if name not in names]
        if strange:
            raise AllocationError(
                f"previous holds {strange[0]!r}, which has no column of returns. Add it, or leave it out."
            )
        table = [table.get(name, 0.0) for name in names]
    if table is None:
        return None
    held = np.asarray(align(table, assets=names, noun="previous weights", missing=0.0), dtype=np.float64)
    if held.shape != (len(names),) or not np.isfinite(held).all():
        raise AllocationError(
            f"previous has the shape {held.shape}; give one finite weight for each of {len(names)} assets."
        )
    return held


def drift(weights: FloatArray, *, grown: FloatArray) -> FloatArray:
    """Weights [A] after returns [bars, A] (a missing one is none), as shares of what the portfolio is worth then."""
    worth = weights * np.prod(1.0 + np.where(np.isfinite(grown), grown, 0.0), axis=0)
    return np.asarray(worth / (worth.sum() + 1.0 - weights.sum()))


def _fit_limits(limits: Limits, *, assets: tuple[str, ...], first: bool) -> tuple[Limits, tuple[str, ...]]:
    """Limits without the bounds of assets that can't be bought now, and without turnover where nothing was held."""
    if not isinstance(limits, Limits):
        raise AllocationError(f"limits is a Limits, such as Limits.parse('each <= 0.1'); got {type(limits).__name__}.")
    notes: tuple[str, ...] = ()
    absent = [name for name in limits.bounds if name not in assets]
    if absent:
        limits = replace(limits, bounds={name: sides for name, sides in limits.bounds.items() if name in assets})
        notes += (f"bounds of assets that can't be bought now are left out: {', '.join(absent)}",)
    if first and limits.turnover is not None:
        notes += (f"{limits.say('turnover', 'upper')!r} does not bind the first decision: nothing was held",)
        limits = replace(limits, turnover=None)
    return limits, notes
