"""What each bar's close asks the next bar to fill. T bars, S accounts, A assets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidewright.portfolio.backtest.market import Market
from tidewright.portfolio.backtest.plan import Decisions, Rows
from tidewright.portfolio.backtest.rebalance import Rebalance, choose_orders
from tidewright.portfolio.inputs import FloatArray

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """The weights that accounts are to be brought to, and of which of their assets, [S, A]; `loan` [S] is the lowest
    share of equity that cash may have, 0 or below."""

    weights: FloatArray
    which: Flags
    loan: FloatArray


@dataclass(slots=True, eq=False)
class Planner:
    """The decisions of S accounts, and with a band the targets that they hold to, `goals` [S, A]; NaN before the first
    one. `index` [S, T] has each bar's decision, -1 where there is none; `acts` [S, T] the bars that look; `begun` [S]
    whether one of them has, for the first acts whatever the band is."""

    decisions: Sequence[Decisions]
    rule: Rebalance | None
    index: Rows
    acts: Flags
    goals: FloatArray
    loan: FloatArray
    begun: Flags

    @classmethod
    def read(cls, decisions: Sequence[Decisions], *, rule: Rebalance | None, market: Market) -> Planner:
        """A planner at the first bar. A `rule` with no band has been followed by its calendar's decisions already."""
        shape = (len(decisions), market.stamps.size)
        index, acts = np.full(shape, -1, dtype=np.intp), np.zeros(shape, dtype=np.bool_)
        for account, made in enumerate(decisions):
            index[account, made.rows] = np.arange(made.rows.size)
            if rule is not None and made.rows.size:
                acts[account] = rule.find_bars(market.stamps, first=int(made.rows[0]))
        goals = np.full((len(decisions), len(market.assets)), np.nan)
        banded = rule if rule is not None and rule.band is not None else None
        begun = np.zeros(len(decisions), dtype=np.bool_)
        return cls(decisions, banded, index, acts, goals, np.zeros(len(decisions)), begun)

    def decide(self, bar: int, units: FloatArray, *, equity: FloatArray, market: Market) -> Order | None:
        """What is asked for after the close of a bar at which `units` [S, A] are held; None for nothing."""
        fresh = self.index[:, bar] >= 0
        for account in np.flatnonzero(fresh).tolist():
            made, place = self.decisions[account], self.index[account, bar]
            self.goals[account] = made.values[place] / made.sums[place]
            self.loan[account] = min(0.0, made.cash[place])
        if self.rule is None:
            if not fresh.any():
                return None
            return Order(self.goals, np.repeat(fresh[:, None], units.shape[1], axis=1), self.loan)
        look = self.acts[:, bar] & ~np.isnan(self.goals[:, 0]) & (equity > 0.0)
        if not look.any():
            return None
        first = look & ~self.begun
        self.begun |= look
        prices = np.where(units == 0.0, 0.0, market.closes[bar])
        weights = units * prices / np.where(look, equity, 1.0)[:, None]
        wanted, which = choose_orders(weights, goals=np.where(look[:, None], self.goals, 0.0), rule=self.rule)
        which = (which & look[:, None]) | first[:, None]
        return Order(np.where(first[:, None], self.goals, wanted), which, self.loan) if which.any() else None
