"""Error bars of a mean or of a ratio of sums, for numbers in time order that depend on their neighbours.

Letters: C cutoffs (or other positions in time order).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.errors import ConfigError, DataError

Floats = NDArray[np.float64]
_FEWEST = 8  # values from which a dependence can be told


@dataclass(frozen=True)
class Interval:
    """Where a score may lie: `level` is the share of such intervals that should hold the true value.

    `draws` counts the resamples behind it, less those in which the ratio was undefined.
    """

    low: float
    high: float
    level: float
    draws: int


def block_bootstrap(
    values: ArrayLike, *, block: int, seed: int | np.random.Generator, draws: int = 1000, level: float = 0.9
) -> Interval:
    """The percentile interval of the mean of `values` [C], by resampling whole blocks of neighbours.

    NaN values keep their place and don't count. `block` should be at least the number of cutoffs over which
    losses are correlated (`choose_block`). With fewer than about 30 values the interval is too narrow. A
    fixed `seed` gives the same bits.
    Source: Politis and Romano (1992), circular block bootstrap.

    >>> interval = block_bootstrap([1.0, 2.0, 3.0, 2.0, 1.0, 2.0, 3.0, 2.0], block=2, seed=0)
    >>> interval.low < 2.0 < interval.high
    True
    """
    array = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(array)
    return block_bootstrap_ratio(
        np.where(known, array, 0.0),
        known.astype(np.float64),
        block=block,
        seed=seed,
        draws=draws,
        level=level,
    )


def block_bootstrap_ratio(
    numerators: ArrayLike,
    denominators: ArrayLike,
    *,
    block: int,
    seed: int | np.random.Generator,
    draws: int = 1000,
    level: float = 0.9,
) -> Interval:
    """The percentile interval of sum(numerators) / sum(denominators), both [C], resampled together in blocks.

    For scores like WAPE, whose two sums `sum_by_group` gives for each cutoff. For a root (RMSE) take the root
    of both ends.

    >>> block_bootstrap_ratio([1.0, 2.0, 3.0], [10.0, 20.0, 30.0], block=1, seed=0)
    Interval(low=0.1, high=0.1, level=0.9, draws=1000)
    """
    above, below = _check_sums(numerators, denominators)
    _check_options(block=block, count=above.size, draws=draws, level=level)
    generator = np.random.default_rng(seed)
    starts = generator.integers(above.size, size=(draws, -(-above.size // block)))
    sums, sizes = (_resample(part, starts=starts, block=block) for part in (above, below))
    defined = sizes > 0
    if not defined.any():
        raise DataError("the denominators are all 0, so there is no ratio to put an interval around.")
    low, high = np.quantile(sums[defined] / sizes[defined], [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level, int(defined.sum()))


def choose_block(count: int, *, lags: int = 0) -> int:
    """A block for `count` values whose dependence reaches `lags` back: the cube root of the count, or more.

    The rate is that of Hall, Horowitz and Jing (1995) for a variance.

    >>> choose_block(60), choose_block(60, lags=7), choose_block(5, lags=7)
    (4, 8, 5)
    """
    if count < 1 or lags < 0:
        raise ConfigError(f"a block needs at least 1 value and no negative lags, got {count} and {lags}.")
    return min(count, max(lags + 1, int(np.cbrt(count) + 0.5)))


def choose_stationary_block(values: ArrayLike) -> float:
    """The mean block length that makes the stationary bootstrap's error of a mean smallest, at least 1; values [T].

    From the autocovariances up to twice the lag after which several in a row are no more than noise, under a flat-top
    window; at most 3 sqrt(T) and T / 3. Values that don't vary have blocks of 1.
    Source: Politis and White 2004, Automatic Block-Length Selection for the Dependent Bootstrap, as corrected by
    Patton, Politis and White 2009.

    >>> noise = np.random.default_rng(0).normal(size=2000)
    >>> choose_stationary_block(noise) < 5 < choose_stationary_block(np.cumsum(noise))
    True
    """
    array = np.asarray(values, dtype=np.float64)
    count, centred = array.size, array - array.mean()
    if count < _FEWEST or not centred.std() > 1e-12 * max(1.0, float(np.abs(array).max())):
        return 1.0
    run = max(5, int(np.log10(count)))  # so many lags in a row must be noise
    most = min(int(np.ceil(np.sqrt(count))) + run, count - 1)
    covariances = np.array([centred[lag:] @ centred[: count - lag] for lag in range(most + 1)]) / count
    quiet = np.abs(covariances[1:] / covariances[0]) < 2.0 * np.sqrt(np.log10(count) / count)
    runs = np.convolve(quiet, np.ones(run), mode="valid") >= run
    last = 2 * (int(np.argmax(runs)) + 1) if runs.any() else most  # twice the first quiet lag, as in the authors' code
    lags = np.arange(1, min(last, most) + 1)
    window = np.minimum(1.0, 2.0 * (1.0 - lags / lags[-1])) * covariances[lags]
    slope, total = 2.0 * float(window @ lags), covariances[0] + 2.0 * float(window.sum())
    block = (slope / total) ** 2 * count if total else np.inf
    return float(max(1.0, min(np.cbrt(block), np.ceil(min(3.0 * np.sqrt(count), count / 3.0)))))


def draw_stationary(count: int, *, block: float, draws: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Positions [draws, T] of resamples of T values: runs of neighbours, in a circle, of mean length `block`.

    Each run goes on with the probability 1 - 1 / block, so that a resample is as stationary as the values.
    Source: Politis and Romano 1994, The Stationary Bootstrap.

    >>> draw_stationary(5, block=1e9, draws=1, generator=np.random.default_rng(0))
    array([[3, 4, 0, 1, 2]])
    """
    if not block >= 1.0:
        raise ConfigError(f"block is a mean length of at least 1, got {block}.")
    begins = generator.random((draws, count)) < 1.0 / block
    begins[:, 0] = True
    since = np.maximum.accumulate(np.where(begins, np.arange(count), 0), axis=1)
    firsts = generator.integers(count, size=(draws, count))
    return np.asarray((np.take_along_axis(firsts, since, axis=1) + np.arange(count) - since) % count)


def _resample(values: Floats, *, starts: NDArray[np.int64], block: int) -> Floats:
    """The sum of each resample, [draws]: circular blocks from `starts` [draws, blocks], the last cut to fit.

    Running sums give a block's sum in two look-ups, so no resample is ever laid out.
    """
    count = values.size
    center = values.mean()  # running sums of centred values stay small, and so do their rounding errors
    circle = np.concatenate((values, values[:block])) - center
    running = np.concatenate(([0.0], np.cumsum(circle)))
    last = count - block * (starts.shape[1] - 1)
    lengths = np.full(starts.shape[1], block)
    lengths[-1] = last
    return np.asarray((running[starts + lengths] - running[starts]).sum(axis=1) + count * center)


def _check_sums(numerators: ArrayLike, denominators: ArrayLike) -> tuple[Floats, Floats]:
    above, below = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    if above.ndim != 1 or above.shape != below.shape or above.size == 0:
        raise DataError(
            f"the bootstrap takes one number a cutoff, in order; got shapes {above.shape} and {below.shape}. "
            "Score each cutoff first."
        )
    bad = ~(np.isfinite(above) & np.isfinite(below) & (below >= 0))
    if bad.any():
        place = int(np.argmax(bad))
        raise DataError(
            f"entry {place} can't be resampled: {above[place]} over {below[place]}. "
            "Numerators must be finite, denominators finite and not negative."
        )
    return above, below


def _check_options(*, block: int, count: int, draws: int, level: float) -> None:
    if not 1 <= block <= count:
        raise ConfigError(f"block must be from 1 to the {count} values that there are, got {block}.")
    if draws < 1:
        raise ConfigError(f"draws must be at least 1, got {draws}.")
    if not 0 < level < 1:
        raise ConfigError(f"level is a fraction between 0 and 1, got {level}. Write 0.9 for 90 %.")
