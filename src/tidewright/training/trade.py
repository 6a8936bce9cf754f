"""What forecasts of returns earn when they are traded: decided at a cutoff, filled a step later, after costs.

The target is simple returns, one series an asset. N windows, D decisions, A series, T steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.panel import Panel
from tidewright.errors import ConfigError, DataError
from tidewright.portfolio.costs import Costs
from tidewright.portfolio.positions import hold_positions
from tidewright.portfolio.rules import PositionRule, Sides, choose_positions
from tidewright.training.evaluate import Evaluation

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
FEW = 20  # returns of a series that say whether it ever falls
SETTLED = 2  # steps after a cutoff: decided at its close, filled at the next, the step after that is earned


@dataclass(frozen=True, slots=True)
class Trading:
    """How forecasts are traded: the `rule` from a forecast to a position (sign, rank or size), which sides are taken,
    and what a purchase or a sale costs, in basis points of its value."""

    rule: PositionRule = "sign"
    sides: Sides = "both"
    fee_bps: float = 1.0
    half_spread_bps: float = 2.0

    @property
    def costs(self) -> Costs:
        """As the portfolio takes them."""
        return Costs(self.fee_bps, self.half_spread_bps)


@dataclass(frozen=True, eq=False, slots=True)
class Earned:
    """Net simple returns [T], one a step, at grid `positions` [T]; `turnover` [T] is the value traded there."""

    returns: Doubles
    positions: Ints
    turnover: Doubles


def trade_forecasts(evaluation: Evaluation, *, panel: Panel, trading: Trading | None = None) -> Earned:
    """The net returns of trading a model's forecasts at the cutoffs of an evaluation.

    A decision after the close of cutoff t is filled at the close of t + 1, so it earns the steps from t + 2 to the next
    decision's fill; what is expected of it is the sum of the median forecasts of these steps, as far as the horizon
    goes. Each series with a forecast has an equal part of the equity, times its position. The last decision before a
    gap (the end of a fold) is held to the end of its horizon; the next one starts from cash and pays its entry. Nothing
    after the last label is read. Raises `ConfigError` for a horizon of 1, which ends before a position is filled, and
    `DataError` for a target that is no return.
    """
    trading = trading or Trading()
    windows, horizon = evaluation.windows, evaluation.forecast.shape[1]
    cutoffs, date, stride = _find_decisions(evaluation, panel=panel)
    expected, spread = (
        _spread(values, date=date, series=windows.series, shape=(len(cutoffs), panel.n_series))
        for values in _expect(evaluation, steps=stride)
    )
    positions = choose_positions(expected, spread, rule=trading.rule, sides=trading.sides)
    starts = np.flatnonzero(np.diff(cutoffs, prepend=cutoffs[0] - stride - 1) > stride)
    parts = [
        _settle(positions[rows], cutoffs[rows], panel=panel, last=min(stride + 1, horizon), costs=trading.costs)
        for rows in np.split(np.arange(len(cutoffs)), starts[1:])
    ]
    joined = (np.concatenate([getattr(part, name) for part in parts]) for name in ("returns", "positions", "turnover"))
    return Earned(*joined)


def buy_and_hold(evaluation: Evaluation, *, panel: Panel, trading: Trading | None = None) -> Earned:
    """What an equal part in each series that has a forecast at the first cutoff earned, bought once and held over the
    steps that `trade_forecasts` trades, with its costs and errors: what trading is to be compared with."""
    windows, horizon = evaluation.windows, evaluation.forecast.shape[1]
    cutoffs, date, stride = _find_decisions(evaluation, panel=panel)
    held = np.full((1, panel.n_series), np.nan)
    held[0, windows.series[date == 0]] = 1.0
    last = int(cutoffs[-1] - cutoffs[0]) + min(stride + 1, horizon)
    return _settle(held, cutoffs[:1], panel=panel, last=last, costs=(trading or Trading()).costs)


def _find_decisions(evaluation: Evaluation, *, panel: Panel) -> tuple[Ints, Ints, int]:
    """The cutoffs [D], which of them each window [N] has, and the steps from one to the next."""
    horizon = evaluation.forecast.shape[1]
    cutoffs, date = np.unique(evaluation.windows.cutoffs, return_inverse=True)
    check_tradable(panel, horizon=horizon, until=int(cutoffs[-1]) + horizon)
    return cutoffs, date, int(np.diff(cutoffs).min()) if len(cutoffs) > 1 else horizon


def check_tradable(panel: Panel, *, horizon: int, until: int) -> None:
    """Raises `ConfigError` for a horizon that ends before a position is filled, and what `check_returns` does."""
    if horizon < SETTLED:
        raise ConfigError(
            "a decision is filled one step after its cutoff and earns the step after that, which a horizon of 1 does "
            "not reach. Ask for a horizon of 2 or more."
        )
    check_returns(panel, until=until)


def check_returns(panel: Panel, *, until: int) -> None:
    """Raises `DataError` where the target up to a position is no simple return of something that can be held."""
    seen = np.isfinite(panel.target) & (panel.positions <= until)
    lost = np.flatnonzero(seen & (panel.target < -1.0))
    if lost.size:
        raise DataError(
            f"the target at {panel.place(int(lost[0]))} is {panel.target[lost[0]]:g}: no simple return is below -1. "
            "Give simple returns as fractions: divide percent by 100, or make them of prices (returns_from_prices)."
        )
    counts = np.bincount(panel.codes[seen], minlength=panel.n_series)
    falls = np.bincount(panel.codes[seen & (panel.target <= 0.0)], minlength=panel.n_series)
    never = np.flatnonzero((counts >= FEW) & (falls == 0))
    if never.size:
        values = panel.target[seen & (panel.codes == never[0])]
        raise DataError(
            f"none of the {len(values)} values of {panel.series_ids[int(never[0])]!r} is 0 or below (their mean is "
            f"{values.mean():g}): these look like prices. Give simple returns (returns_from_prices makes them)."
        )


def _expect(evaluation: Evaluation, *, steps: int) -> tuple[Doubles, Doubles]:
    """The expected return of each window [N] over the steps that its position earns, and its standard deviation as far
    as the quantiles have it (0 without them), the steps taken as independent."""
    earned = slice(SETTLED - 1, SETTLED - 1 + steps)
    levels = evaluation.scored.levels
    expected = evaluation.scored.point[:, earned].sum(axis=1)
    if len(levels) == 1:
        return expected, np.zeros_like(expected)
    score = NormalDist().inv_cdf
    unit = score(float(levels[-1])) - score(float(levels[0]))
    width = (evaluation.scored.forecast[:, earned, -1] - evaluation.scored.forecast[:, earned, 0]) / unit
    return expected, np.sqrt((width**2).sum(axis=1))


def _spread(values: Doubles, *, date: Ints, series: npt.NDArray[Any], shape: tuple[int, int]) -> Doubles:
    """The values of windows [N] as a table [D, A], NaN where a series has none."""
    table = np.full(shape, np.nan)
    table[date, series] = values
    return table


def _settle(positions: Doubles, cutoffs: Ints, *, panel: Panel, last: int, costs: Costs) -> Earned:
    """The account of decisions without a gap, from the first one's first earned step to `last` steps after the last."""
    first, end = int(cutoffs[0]) + SETTLED, int(cutoffs[-1]) + last
    earned = np.full((end - first + 1, panel.n_series), np.nan)
    there = (panel.positions >= first) & (panel.positions <= end)
    earned[panel.positions[there] - first, panel.codes[there]] = panel.target[there]
    account = hold_positions(positions, earned, fills=cutoffs + SETTLED - first, costs=costs)
    return Earned(account.returns, np.arange(first, end + 1), account.turnover)
