"""From a forecast to a position: sign, rank or size. D decisions, A assets.

Each rule takes expected returns [D, A] over the time that the position will be held, NaN where there is no forecast,
and their standard deviations [D, A], and gives positions [D, A] from -1 to 1, NaN where the asset has no forecast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np

from tidewright.errors import AllocationError
from tidewright.portfolio.forecasts.rank_ic import average_ranks
from tidewright.portfolio.inputs import FloatArray

PositionRule = Literal["sign", "rank", "size"]
Sides = Literal["both", "long"]


def by_sign(expected: FloatArray, spread: FloatArray) -> FloatArray:
    """1 where a gain is expected, -1 where a loss, 0 where neither.

    Source: Moskowitz, Ooi and Pedersen (2012), Time Series Momentum, without its scaling by volatility.

    >>> by_sign(np.array([[0.02, -0.01, 0.0]]), np.ones((1, 3))).tolist()
    [[1.0, -1.0, 0.0]]
    """
    return np.sign(expected)


def by_rank(expected: FloatArray, spread: FloatArray) -> FloatArray:
    """From -1 for the lowest expected return of a date to 1 for the highest, in equal steps; ties share their mean.

    So much is long as is short. A date with fewer than two forecasts has positions of 0.
    Source: Lo and MacKinlay (1990), When Are Contrarian Profits Due to Stock Market Overreaction?, with ranks.

    >>> by_rank(np.array([[0.05, 0.01, 0.02]]), np.ones((1, 3))).tolist()
    [[1.0, -1.0, 0.0]]
    """
    positions = np.where(np.isfinite(expected), 0.0, np.nan)
    for row, values in zip(positions, expected, strict=True):
        there = np.isfinite(values)
        if there.sum() > 1:
            row[there] = 2.0 * (average_ranks(values[there]) - 1.0) / (there.sum() - 1.0) - 1.0
    return positions


def by_size(expected: FloatArray, spread: FloatArray) -> FloatArray:
    """The expected return in its standard deviations, cut at -1 and 1: a surer forecast holds more.

    Without a spread (0) it is the sign. Source: a signal scaled by volatility, as in Lim, Zohren and Roberts (2019),
    Enhancing Time-Series Momentum Strategies Using Deep Neural Networks.

    >>> by_size(np.array([[0.01, -0.04, 0.01]]), np.array([[0.02, 0.02, 0.0]])).tolist()
    [[0.5, -1.0, 1.0]]
    """
    ratio = np.divide(expected, spread, out=np.sign(expected), where=spread > 0.0)
    return np.clip(ratio, -1.0, 1.0)


POSITION_RULES: Mapping[PositionRule, Callable[[FloatArray, FloatArray], FloatArray]] = MappingProxyType(
    {"sign": by_sign, "rank": by_rank, "size": by_size}
)


def choose_positions(
    expected: FloatArray, spread: FloatArray, *, rule: PositionRule = "sign", sides: Sides = "both"
) -> FloatArray:
    """The positions of a rule; with sides "long" those below 0 are 0.

    >>> choose_positions(np.array([[0.02, -0.01]]), np.ones((1, 2)), sides="long").tolist()
    [[1.0, 0.0]]
    """
    if rule not in POSITION_RULES:
        raise AllocationError(f"a rule is {', '.join(POSITION_RULES)}; got {rule!r}.")
    if sides not in ("both", "long"):
        raise AllocationError(f"sides is both or long; got {sides!r}.")
    positions = POSITION_RULES[rule](expected, spread)
    return np.maximum(positions, 0.0) if sides == "long" else positions
