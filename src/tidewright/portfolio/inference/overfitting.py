"""The probability of backtest overfitting, of the returns of all strategies that were tried."""

from __future__ import annotations

from numpy.typing import ArrayLike

from tidewright.metrics.score_sums import sums_of_returns
from tidewright.metrics.selection import BLOCKS, FEWEST, Overfitting, probability_of_overfitting
from tidewright.portfolio.inference.strategies import read_strategies


def pbo(returns: ArrayLike, *, metric: str = "sharpe", blocks: int = BLOCKS) -> Overfitting:
    """How often the strategy that is best on one half of the time is no better than the median one on the other half.

    `returns` [T, S] hold every strategy that was tried, a column each: leaving out those that failed makes the answer
    meaningless. `metric` is any figure of returns that is a sum over time (sharpe, sortino, cagr, hit_rate ...). About
    0.5 where none has an edge, near 0 where the best one has.
    Source: Bailey, Borwein, Lopez de Prado and Zhu (2017), The Probability of Backtest Overfitting; see
    `metrics.selection.probability_of_overfitting`.

    >>> import numpy as np
    >>> noise = np.random.default_rng(0).normal(0, 0.01, (500, 20))
    >>> pbo(noise).probability > 0.2, pbo(noise + [[0.002] + [0.0] * 19]).probability < 0.05
    (True, True)
    """
    return probability_of_overfitting(
        sums_of_returns(read_strategies(returns, least=FEWEST), metric=metric), blocks=blocks
    )
