"""When a portfolio is brought back to its target: on a calendar, when it has drifted, or only as far as need be.

T bars, S accounts, A assets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tidewright.errors import AllocationError
from tidewright.portfolio.backtest.plan import Decisions
from tidewright.portfolio.inputs import FloatArray, TimeArray

Flags = NDArray[np.bool_]
_ROUNDING = 1e-9  # of a weight: what was traded to an edge lies on it, and is not out again by a rounding
_PERIODS = ("week", "month", "quarter", "year")


@dataclass(frozen=True, slots=True)
class Rebalance:
    """A rule for acting on target weights; what it decides at a bar's close is filled at the next bar.

    `every`: only the bars of a calendar act, each on the newest target known there: every n-th bar from the first
    decision, or the last bar of each "week", "month", "quarter" or "year". None: every row of targets acts at its bar
    (with a `band`, every bar looks).
    `band`: a bar acts only if the weight of an asset is further than this from its target (with `relative`, than this
    share of the target's size); the first of these bars always acts. `to`: "target" trades every asset to its target;
    "edge" trades no further than the edge of the band, and the assets within it only as far as the others' money needs
    a place or a source.

    >>> days = np.array(["2024-01-30", "2024-01-31", "2024-02-01", "2024-02-29"], dtype="datetime64[D]")
    >>> Rebalance(every="month").find_bars(days, first=0)
    array([False,  True, False, False])
    """

    every: int | Literal["week", "month", "quarter", "year"] | None = None
    band: float | None = None
    relative: bool = False
    to: Literal["target", "edge"] = "target"

    def __post_init__(self) -> None:
        number = isinstance(self.every, int) and not isinstance(self.every, bool)
        if not (self.every is None or self.every in _PERIODS or (number and int(self.every) >= 1)):
            raise AllocationError(
                f"every is {self.every!r}; it is a number of bars from 1, or one of {', '.join(_PERIODS)}."
            )
        if self.band is not None and not (math.isfinite(self.band) and 0.0 <= self.band <= 1.0):
            raise AllocationError(f"band is {self.band:g}; it is a distance of weights from 0 to 1, such as 0.05.")
        if self.band is None and (self.relative or self.to != "target"):
            raise AllocationError("relative and to say what a band does, and band is not given. Give a band.")
        if self.to not in ("target", "edge"):
            raise AllocationError(f"to is {self.to!r}; it is 'target' or 'edge'.")
        if self.every is None and self.band is None:
            raise AllocationError("a rule of rebalancing has a calendar, a band, or both. Give every=, band=, or both.")

    def find_bars(self, stamps: TimeArray, *, first: int) -> Flags:
        """The bars of the calendar from row `first` on [T]; every one without a calendar."""
        acts = np.zeros(stamps.size, dtype=np.bool_)
        if self.every is None:
            acts[first:] = True
        elif isinstance(self.every, str):
            period = _number_periods(stamps, period=self.every)
            acts[:-1] = period[1:] != period[:-1]  # of the last bar it isn't known, and nothing follows that could fill
            acts[:first] = False
        else:
            acts[first :: self.every] = True
        return acts


def follow_calendar(decisions: Decisions, *, rule: Rebalance, stamps: TimeArray) -> Decisions:
    """The decisions of a calendar's bars, each by the newest target there."""
    if decisions.rows.size == 0:
        return decisions
    rows = np.flatnonzero(rule.find_bars(stamps, first=int(decisions.rows[0])))
    newest = np.searchsorted(decisions.rows, rows, side="right") - 1
    return Decisions(rows, decisions.values[newest], decisions.sums[newest], decisions.cash[newest], decisions.may_fail)


def choose_orders(weights: FloatArray, *, goals: FloatArray, rule: Rebalance) -> tuple[FloatArray, Flags]:
    """What accounts whose `weights` [S, A] have drifted from their `goals` [S, A] ask for: weights, and of which
    assets [S, A]; of none where no asset is out of its band."""
    assert rule.band is not None
    width = rule.band * np.abs(goals) if rule.relative else np.full_like(goals, rule.band)
    out: Flags = np.any(np.abs(weights - goals) > width + _ROUNDING, axis=1)
    if rule.to == "target":
        return goals, np.repeat(out[:, None], goals.shape[1], axis=1)
    low, high = goals - width, goals + width
    wanted = np.clip(weights, low, high)
    missing = (goals.sum(axis=1) - wanted.sum(axis=1))[:, None]
    room = np.where(missing > 0.0, high - wanted, wanted - low)
    whole = room.sum(axis=1, keepdims=True)
    wanted = wanted + missing * np.divide(room, whole, out=np.zeros_like(room), where=whole > 0.0)
    return wanted, (np.abs(wanted - weights) > _ROUNDING) & out[:, None]


def _number_periods(stamps: TimeArray, *, period: str) -> NDArray[np.int64]:
    """The number of each bar's calendar period [T]; weeks begin on Mondays."""
    if period == "week":
        return (stamps.astype("datetime64[D]").astype(np.int64) + 3) // 7  # 1970-01-01 was a Thursday
    if period == "year":
        return stamps.astype("datetime64[Y]").astype(np.int64)
    months = stamps.astype("datetime64[M]").astype(np.int64)
    return months // 3 if period == "quarter" else months
