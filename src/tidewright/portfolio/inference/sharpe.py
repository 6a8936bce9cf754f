"""How much of a Sharpe ratio is luck: its probability, alone and after many trials.

All Sharpe ratios here are per period, not annualised: divide an annual one by sqrt(periods_per_year), and a
variance of annual ones by periods_per_year.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.metrics.effective import expected_largest
from tidewright.metrics.returns import sharpe


@dataclass(frozen=True, slots=True)
class SharpeSample:
    """A Sharpe ratio per period with what its distribution depends on.

    `periods` is the number of returns, `skew` and `kurtosis` are theirs (normal: 0 and 3). Impossible moments
    (kurtosis below 1 + skew^2) are an AllocationError.
    """

    sharpe: float
    periods: int
    skew: float
    kurtosis: float

    def __post_init__(self) -> None:
        if self.periods < 2:
            raise AllocationError(f"a Sharpe ratio of {self.periods} returns has no distribution. Bring at least 2.")
        if self.kurtosis < (1.0 + self.skew**2) * (1.0 - 1e-9):
            raise AllocationError(
                f"kurtosis {self.kurtosis:g} with skew {self.skew:g} is impossible: it is at least 1 + skew^2. Pass "
                "the plain kurtosis (normal: 3), not the excess."
            )


def sample_sharpe(returns: ArrayLike, *, risk_free: float = 0.0) -> SharpeSample:
    """The Sharpe ratio (ddof = 1) of net returns [T], with their skew and kurtosis (divisor T).

    nan in all three where the returns don't vary. `risk_free` is a return per period.

    >>> sample = sample_sharpe([0.01, 0.03, -0.01, 0.02])
    >>> round(sample.sharpe, 6), sample.periods, round(sample.skew, 6), round(sample.kurtosis, 6)
    (0.731925, 4, -0.434651, 1.845714)
    """
    ratio = sharpe(returns, periods_per_year=1.0, risk_free=risk_free)
    values = np.asarray(returns, dtype=np.float64)
    if math.isnan(ratio):
        return SharpeSample(sharpe=math.nan, periods=values.size, skew=math.nan, kurtosis=math.nan)
    scores = (values - values.mean()) / values.std()
    return SharpeSample(
        sharpe=ratio, periods=values.size, skew=float(np.mean(scores**3)), kurtosis=float(np.mean(scores**4))
    )


def probabilistic_sharpe(sample: SharpeSample, *, benchmark: float = 0.0) -> float:
    """The probability that the true Sharpe ratio is above `benchmark` (per period): one minus the p-value.

    Phi((SR - benchmark) sqrt(n - 1) / sqrt(1 - skew SR + (kurtosis - 1) / 4 SR^2)). nan for a sample
    without one. Source: Bailey and Lopez de Prado 2012, The Sharpe Ratio Efficient Frontier.

    >>> round(probabilistic_sharpe(SharpeSample(sharpe=0.1, periods=250, skew=0.0, kurtosis=3.0)), 4)
    0.9423
    """
    ratio, variance = sample.sharpe, _spread(sample)
    if math.isnan(ratio) or variance <= 0.0:
        return math.nan
    return NormalDist().cdf((ratio - benchmark) * math.sqrt(sample.periods - 1) / math.sqrt(variance))


def minimum_track_record(sample: SharpeSample, *, benchmark: float = 0.0, confidence: float = 0.95) -> float:
    """How many returns it takes to say, with `confidence`, that the true Sharpe ratio is above `benchmark` (per
    period), if the ratio, skew and kurtosis stay as they are in the sample.

    1 + (1 - skew SR + (kurtosis - 1) / 4 SR^2) (z / (SR - benchmark))^2. Infinite where the sample's ratio is not above
    the benchmark, nan for a sample without one.
    Source: Bailey and Lopez de Prado 2012, The Sharpe Ratio Efficient Frontier.

    >>> daily = SharpeSample(sharpe=2 / 250**0.5, periods=250, skew=0.0, kurtosis=3.0)
    >>> round(minimum_track_record(daily, benchmark=1 / 250**0.5) / 250, 2)  # years
    2.73
    """
    if not 0.5 < confidence < 1.0:
        raise AllocationError(f"confidence is {confidence}; it is a probability above 0.5 and below 1.")
    if math.isnan(sample.sharpe):
        return math.nan
    if sample.sharpe <= benchmark:
        return math.inf
    score = NormalDist().inv_cdf(confidence) / (sample.sharpe - benchmark)
    return 1.0 + _spread(sample) * score**2


def _spread(sample: SharpeSample) -> float:
    """The variance of the sample's Sharpe ratio, times its periods less one; never below 0."""
    ratio = sample.sharpe
    return max(1.0 - sample.skew * ratio + (sample.kurtosis - 1.0) / 4.0 * ratio**2, 0.0)


def expected_best_sharpe(trials: float, *, trial_variance: float) -> float:
    """The Sharpe ratio per period that the best of `trials` strategies without skill is expected to show.

    sqrt(V) times the expected largest of N normals; V is the variance of the trials' Sharpe ratios per period. N counts
    independent trials and may be a fraction (`metrics.effective.effective_number`); one trial gives 0.
    Source: Bailey and Lopez de Prado 2014, The Deflated Sharpe Ratio.

    >>> round(expected_best_sharpe(100, trial_variance=0.5 / 250), 4)
    0.1132
    """
    if isinstance(trials, bool) or not math.isfinite(trials) or trials < 1:
        raise AllocationError(f"trials is {trials!r}; it is the number of strategies tried, at least 1.")
    if not (math.isfinite(trial_variance) and trial_variance >= 0.0):
        raise AllocationError(
            f"trial_variance is {trial_variance}; it is the variance of the trials' Sharpe ratios per "
            "period, at least 0."
        )
    return math.sqrt(trial_variance) * expected_largest(trials)


@dataclass(frozen=True, slots=True)
class DeflatedSharpe:
    """The hurdle that luck sets (Sharpe per period), and the probability that the true ratio is above it."""

    hurdle: float
    probability: float
    trials: float
    trial_variance: float


def deflated_sharpe(sample: SharpeSample, *, trials: float, trial_variance: float) -> DeflatedSharpe:
    """The probabilistic Sharpe ratio against the best that `trials` strategies without skill would show.

    `trials` counts everything that was tried, not only what is shown (trials that move together count for fewer:
    `metrics.effective.effective_number`). `trial_variance` is per period; where
    only the winner's returns are left, 1 / (periods - 1) is its value for strategies without skill and with
    normal returns. Source: Bailey and Lopez de Prado 2014, The Deflated Sharpe Ratio.

    >>> paper = SharpeSample(sharpe=2.5 / 250**0.5, periods=1250, skew=-3.0, kurtosis=10.0)
    >>> round(deflated_sharpe(paper, trials=100, trial_variance=0.5 / 250).probability, 4)
    0.9004
    """
    hurdle = expected_best_sharpe(trials, trial_variance=trial_variance)
    return DeflatedSharpe(
        hurdle=hurdle,
        probability=probabilistic_sharpe(sample, benchmark=hurdle),
        trials=float(trials),
        trial_variance=float(trial_variance),
    )
