"""Is the best of many strategies better than a benchmark, after all were looked at?

T periods, S strategies, B draws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.portfolio.inference.resample import choose_mean_block, resample_means
from tidewright.portfolio.inference.strategies import read_excess, read_number
from tidewright.portfolio.inputs import FloatArray

_LEAST = 10  # periods
_ROUNDING = 1e-14


@dataclass(frozen=True, slots=True)
class RealityCheck:
    """White's reality check of S strategies over `periods`.

    `best` is the column with the highest mean return above the benchmark, `excess` that mean a period, `p_value` the
    probability of one at least as high where no strategy is better than the benchmark. `block` is the mean length of
    the bootstrap's blocks.
    """

    best: int
    excess: float
    p_value: float
    strategies: int
    periods: int
    block: float
    draws: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SuperiorAbility:
    """Hansen's test of superior predictive ability.

    `best` is the column with the highest studentised mean above the benchmark, `statistic` that (0 where none is above
    it), `excess` its mean a period. `p_value` is the consistent one; `lower` and `upper` bound it. `doubtful` counts
    the strategies so far below the benchmark that the consistent one takes them for worse.
    """

    best: int
    statistic: float
    excess: float
    p_value: float
    lower: float
    upper: float
    strategies: int
    doubtful: int
    periods: int
    block: float
    draws: int
    notes: tuple[str, ...] = ()


def reality_check(
    returns: ArrayLike,
    *,
    benchmark: ArrayLike | None = None,
    block: float | None = None,
    draws: int = 2000,
    seed: int | np.random.Generator = 0,
) -> RealityCheck:
    """Whether the best of the strategies [T, S] earns more than the benchmark [T] (default: nothing), all counted.

    The statistic is the largest mean return above the benchmark; its distribution where all are equal to it comes from
    a stationary bootstrap of all strategies together, centred on their means. `block` is the mean length of blocks
    (default: by Politis and White's rule, the longest of all strategies). The p-value counts the observed one among the
    draws, so it is never 0. Strategies far worse than the benchmark make it cautious: `spa` does not mind them.
    Source: White (2000), A Reality Check for Data Snooping.

    >>> noise = np.random.default_rng(0).normal(0, 0.01, (500, 20))
    >>> reality_check(noise).p_value > 0.05, reality_check(noise + [[0.003] + [0.0] * 19]).p_value < 0.01
    (True, True)
    """
    excess = read_excess(returns, benchmark=benchmark, least=_LEAST)
    draws = read_number(draws, least=100, name="draws", what="the number of resamples")
    block = choose_mean_block(block, values=excess)
    means = excess.mean(axis=0)
    drawn = resample_means(excess - means, block=block, draws=draws, generator=np.random.default_rng(seed))
    best = int(means.argmax())
    return RealityCheck(
        best=best,
        excess=float(means[best]),
        p_value=_share(drawn.max(axis=1), observed=float(means[best])),
        strategies=excess.shape[1],
        periods=len(excess),
        block=block,
        draws=draws,
        notes=_note(excess, block),
    )


def spa(
    returns: ArrayLike,
    *,
    benchmark: ArrayLike | None = None,
    block: float | None = None,
    draws: int = 2000,
    seed: int | np.random.Generator = 0,
) -> SuperiorAbility:
    """Whether any of the strategies [T, S] is truly better than the benchmark [T] (default: holding nothing).

    As `reality_check`, but means are studentised, and a strategy below -sqrt(2 log log T) standard errors is taken for
    worse rather than for as good; its standard error is the long-run one, that of the bootstrap in closed form. `lower`
    takes every strategy below the benchmark for worse, `upper` none. A strategy that never differs from the benchmark
    counts, with 0. Hansen studentises by the long-run deviation too; here it is the plain one, which has less noise for
    the best to be chosen by; how often it alarms without reason is measured in benchmarks/luck.py.
    Source: Hansen (2005), A Test for Superior Predictive Ability.

    >>> noise = np.random.default_rng(0).normal(0, 0.01, (500, 20))
    >>> found = spa(noise + [[0.003] + [-0.01] * 19])
    >>> found.best, found.p_value < 0.01, found.doubtful
    (0, True, 19)
    """
    excess = read_excess(returns, benchmark=benchmark, least=_LEAST)
    draws = read_number(draws, least=100, name="draws", what="the number of resamples")
    block = choose_mean_block(block, values=excess)
    rows, means = len(excess), excess.mean(axis=0)
    spread = _measure_deviation(excess)
    scores = _studentise(means, spread, rows=rows)
    drawn = _studentise(
        resample_means(excess - means, block=block, draws=draws, generator=np.random.default_rng(seed)),
        spread,
        rows=rows,
    )
    errors = _long_run_deviation(excess - means, block=block) / math.sqrt(rows)
    worse = means < -errors * math.sqrt(2.0 * math.log(math.log(rows)))
    observed = max(float(scores.max()), 0.0)

    def find(below: FloatArray) -> float:
        return _share(np.maximum((drawn + below).max(axis=1), 0.0), observed=observed)

    best = int(scores.argmax())
    return SuperiorAbility(
        best=best,
        statistic=observed,
        excess=float(means[best]),
        p_value=find(np.where(worse, scores, 0.0)),
        lower=find(np.minimum(scores, 0.0)),
        upper=find(np.zeros_like(scores)),
        strategies=excess.shape[1],
        doubtful=int(worse.sum()),
        periods=rows,
        block=block,
        draws=draws,
        notes=_note(excess, block),
    )


def _share(drawn: FloatArray, *, observed: float) -> float:
    """The share of draws at least as high, with the observed one among them."""
    return float((1 + np.count_nonzero(drawn >= observed)) / (1 + drawn.size))


def _long_run_deviation(centred: FloatArray, *, block: float) -> FloatArray:
    """The deviation of sqrt(T) times the mean under the stationary bootstrap [S], in closed form.

    gamma_0 + 2 sum_i kappa_i gamma_i, kappa_i = (1 - i/T) q^i + (i/T) q^(T - i), q = 1 - 1 / block. Source: Politis and
    Romano (1994), equation 9.
    """
    rows, keep = len(centred), 1.0 - 1.0 / block
    spectrum = np.fft.rfft(centred, n=2 * rows, axis=0)
    covariances = np.fft.irfft(np.abs(spectrum) ** 2, n=2 * rows, axis=0)[:rows] / rows
    lags = np.arange(1, rows)
    weights = (1.0 - lags / rows) * keep**lags + lags / rows * keep ** (rows - lags)
    variance = covariances[0] + 2.0 * (weights @ covariances[1:])
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


def _studentise(means: FloatArray, spread: FloatArray, *, rows: int) -> FloatArray:
    return np.divide(math.sqrt(rows) * means, spread, out=np.zeros_like(means), where=spread > 0.0)


def _measure_deviation(excess: FloatArray) -> FloatArray:
    """The standard deviation of each strategy [S]: 0 for one that never differs from the benchmark."""
    spread = excess.std(axis=0)
    flat, idle = spread <= _ROUNDING, np.abs(excess).max(axis=0) <= _ROUNDING
    stuck = np.flatnonzero(flat & ~idle)
    if stuck.size:
        column = int(stuck[0])
        raise AllocationError(
            f"strategy {column} differs from the benchmark by {excess[0, column]:g} in every period: without variance "
            "there is nothing to test. Leave it out, or check its returns."
        )
    return np.where(flat, 0.0, spread)


def _note(excess: FloatArray, block: float) -> tuple[str, ...]:
    idle = int((np.abs(excess).max(axis=0) <= _ROUNDING).sum())
    notes = [f"blocks of {block:g} periods on average"]
    if idle:
        notes.append(f"{idle} of {excess.shape[1]} strategies never differ from the benchmark; they count")
    return tuple(notes)
