"""`Plan`: the schedule of a walk-forward, before anything is learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.market import to_returns
from tidewright.data.panel import Panel, check_panel
from tidewright.data.splits import Cutoffs
from tidewright.data.task import Task
from tidewright.data.wide import Wide, to_wide
from tidewright.errors import ConfigError, ShortSeriesError
from tidewright.portfolio.limits import Limits
from tidewright.portfolio.universe import Universe
from tidewright.workflows.walk_refit import Choice, Refit, split_at, usual_choices
from tidewright.workflows.walk_settings import WalkSettings

_NEVER = np.datetime64("9999-12-31", "us")


@dataclass(frozen=True, eq=False)
class Plan:
    """The walk before anything is learned: positions of refits and of decisions."""

    prices: Panel
    panel: Panel
    task: Task
    settings: WalkSettings
    returns: Wide
    refits: tuple[int, ...]
    decisions: npt.NDArray[np.int64]
    universe: Universe | None
    notes: tuple[str, ...] = ()

    @property
    def assets(self) -> tuple[str, ...]:
        """The series' names."""
        return tuple(str(name) for name in self.panel.series_ids)

    def options(self, held: npt.NDArray[np.float64] | None) -> dict[str, Any]:
        """What the rule is told beside the returns; `held` [A] counts where limits heed it."""
        settings = self.settings
        limits = Limits.parse(*settings.limits, groups=settings.groups or None) if settings.limits else None
        given = {"limits": limits, "covariance": settings.covariance, "previous": None if limits is None else held}
        return {name: value for name, value in given.items() if value is not None}

    def carry(self, done: Sequence[Refit]) -> Mapping[str, Choice] | None:
        """How models are learned at the next refit; None where a search is due."""
        every, turn = self.settings.retune_every, len(done)
        if every is not None and (turn * self.settings.refit_every) % every == 0:
            return None
        if done:
            return done[-1].chosen
        known, split = split_at(self.panel, self.task, position=self.refits[0], settings=self.settings)
        return usual_choices(known, split, self.task, settings=self.settings)

    def segment(self, turn: int) -> Cutoffs:
        """The decisions for which a refit is the newest."""
        end = self.refits[turn + 1] if turn + 1 < len(self.refits) else self.decisions[-1] + 1
        own = self.decisions[(self.decisions >= self.refits[turn]) & (self.decisions < end)]
        if not own.size:
            return Cutoffs(0, -1)
        return Cutoffs(int(own[0]), int(own[-1]), self.settings.decide_every)


def plan_walk(prices: Panel, *, panel: Panel | None, settings: WalkSettings, universe: Universe | None = None) -> Plan:
    """The schedule, checked. Raises `ConfigError`, `ShortSeriesError`."""
    check_panel(prices, "a walk")
    panel = to_returns(prices) if panel is None else panel
    if panel.series_ids != prices.series_ids:
        raise ConfigError("the panel's series are not those of the prices. Make the panel of the same table.")
    returns = to_wide(panel)
    first_bar, last = int(returns.positions[0]), int(returns.positions[-1])
    first = _find_first(settings, returns)
    need = max(settings.validation + 2 * settings.horizon, settings.lookback)
    if first - first_bar + 1 < need:
        raise ShortSeriesError(
            f"the first decision, {panel.time_at(first)}, has {first - first_bar + 1} bars behind it, and a validation "
            f"part of {settings.validation} and a lookback of {settings.lookback} need {need}. Begin later."
        )
    if first + 1 > last:
        raise ShortSeriesError(f"no bar comes after the first decision, {panel.time_at(first)}. Begin earlier.")
    universe, notes = _find_universe(universe, panel, returns)
    return Plan(
        prices=prices,
        panel=panel,
        task=Task(horizon=settings.horizon, quantiles=settings.quantiles),
        settings=settings,
        returns=returns,
        refits=tuple(range(first, last + 1, settings.refit_every)),
        decisions=np.arange(first, last + 1, settings.decide_every),
        universe=universe,
        notes=notes,
    )


def _find_universe(universe: Universe | None, panel: Panel, returns: Wide) -> tuple[Universe | None, tuple[str, ...]]:
    """Where returns are missing and no universe says who is in: everyone, once the lookback's returns are there."""
    gaps = np.isnan(returns.values).any(axis=0)
    if universe is not None or not gaps.any():
        return universe, ()
    names = tuple(str(name) for name in panel.series_ids)
    everyone = Universe(names, np.full(len(names), returns.times[0]), np.full(len(names), _NEVER))
    lacking = names[int(np.flatnonzero(gaps)[0])]
    told = f"{int(gaps.sum())} assets lack some returns, {lacking!r} for one"
    return everyone, (f"{told}: each has weight only where its lookback is whole",)


def _find_first(settings: WalkSettings, returns: Wide) -> int:
    if settings.first is None:
        return int(returns.positions[len(returns.positions) // 3])
    try:
        moment = np.datetime64(settings.first, "us")
    except ValueError as error:
        raise ConfigError(f"first is {settings.first!r}, which is no ISO time such as 2015-06-30.") from error
    row = int(np.searchsorted(returns.times, moment))
    if row == len(returns.times):
        raise ConfigError(f"first is {settings.first}, after the last bar. Begin earlier.")
    return int(returns.positions[row])
