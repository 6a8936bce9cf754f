"""How many independent trials some trials are worth that move together.

C positions in time (cutoffs, or the bars of a backtest); N trials.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.errors import DataError

Floats = NDArray[np.float64]
DRAWS = 4000  # the effective number's own noise is then some 2 %
CHUNK = 2_000_000  # numbers held at once
_EULER = 0.5772156649015329
_HALVINGS = 60
_ROUNDING = 1e-12


def expected_largest(trials: float) -> float:
    """The largest of `trials` independent standard normals, as it is expected: 0 for one.

    (1 - gamma) z(1 - 1/N) + gamma z(1 - 1/(N e)), z the normal quantile and gamma Euler's constant; between 1 and 2,
    where that falls below 0, a straight line. Source: Bailey and Lopez de Prado 2014, The Deflated Sharpe Ratio.

    >>> round(expected_largest(100), 4), expected_largest(1)
    (2.5306, 0.0)
    """
    if not (math.isfinite(trials) and trials >= 1):
        raise DataError(f"the number of trials is finite and at least 1; got {trials}.")
    if trials < 2:
        return (trials - 1.0) * expected_largest(2)
    quantile = NormalDist().inv_cdf
    return (1.0 - _EULER) * quantile(1.0 - 1.0 / trials) + _EULER * quantile(1.0 - 1.0 / (trials * math.e))


def effective_number(values: ArrayLike, *, seed: int = 0) -> float:
    """How many independent trials have a best one as lucky as the best of these, whose returns or errors are [C, N].

    From 1 (all move as one) to N. The luck of the best is drawn: the mean of a trial without skill is what random
    weights of mean 0 on its deviations give, for all trials together, so that what moves together in the data does in
    the draws; `expected_largest` then says for how many independent ones the best would be as good. It takes no
    clustering and no model of the correlations. A trial that doesn't vary is none. NaN for fewer than 4 positions.
    Source: the multiplier bootstrap of Chernozhukov, Chetverikov and Kato (2013), Gaussian approximations and
    multiplier bootstrap for maxima of sums of high-dimensional random vectors; that it is used so is Tidewright's:
    measured beside the average correlation, eigenvalues and clusters in benchmarks/honest_account.py.

    >>> noise = np.random.default_rng(0).normal(size=(250, 20))
    >>> 15 < effective_number(noise) <= 20, effective_number(noise[:, [0] * 20])
    (True, 1.0)
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or not np.isfinite(table).all():
        raise DataError(f"returns or errors are finite numbers [positions, trials], got shape {table.shape}.")
    if len(table) < 4:
        return math.nan
    centred = table - table.mean(axis=0)
    spread = centred.std(axis=0)
    moves = spread > _ROUNDING * np.abs(table).max(axis=0, initial=0.0)
    scores = centred[:, moves] / spread[moves]
    if scores.shape[1] < 2:
        return 1.0
    return _count(_draw_best(scores, seed=seed), most=scores.shape[1])


def _draw_best(scores: Floats, *, seed: int) -> float:
    """The mean of the largest of N standardised means [C, N] under random weights and their opposites."""
    count, trials = scores.shape
    generator, total = np.random.default_rng(seed), 0.0
    rows = max(1, min(DRAWS // 2, CHUNK // max(trials, count)))
    done = 0
    while done < DRAWS // 2:
        weights = generator.standard_normal((min(rows, DRAWS // 2 - done), count))
        weights -= weights.mean(axis=1, keepdims=True)
        means = weights @ scores
        total += float((means.max(axis=1) - means.min(axis=1)).sum()) / 2.0
        done += len(weights)
    return total / done / math.sqrt(count - 1)  # centred weights lose one degree of freedom


def _count(best: float, *, most: int) -> float:
    """The number of trials, from 1 to `most`, whose expected largest that is."""
    low, high = 1.0, float(most)
    if best >= expected_largest(high):
        return high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if expected_largest(middle) < best else (low, middle)
    return round((low + high) / 2.0, 6)
