"""Are the losses beyond the value at risk as large as the expected shortfall says? T bars, S simulated histories.

Both statistics are expected to be 0, and below 0 where losses are larger, or more, than was said.
Source: Acerbi and Szekely 2014, Backtesting Expected Shortfall.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.risk.coverage import TestResult
from tidewright.portfolio.risk.normal import normal_scores

Model = Literal["normal", "t"]
_ROOM = 4_000_000  # numbers that are drawn at a time


@dataclass(frozen=True, slots=True)
class Null:
    """What returns follow if the risk figures are right: at each bar the location and scale of a normal, or of a t
    with these degrees of freedom, that have the bar's value at risk and expected shortfall.
    """

    model: Model
    degrees: float
    confidence: float

    def scores(self) -> tuple[float, float]:
        """Value at risk and expected shortfall of the standard one."""
        if self.model == "normal":
            return normal_scores(self.confidence)
        from tidewright.portfolio.risk.student import student_scores

        score, beyond = student_scores(np.array([self.degrees]), confidence=self.confidence)
        return float(score[0]), float(beyond[0])

    def quantile(self, probability: FloatArray) -> FloatArray:
        """The standard one's quantile."""
        from scipy.special import ndtri, stdtrit

        return np.asarray(ndtri(probability) if self.model == "normal" else stdtrit(self.degrees, probability))


def shortfall_tests(
    returns: FloatArray, *, var: FloatArray, es: FloatArray, null: Null, simulations: int, seed: int
) -> tuple[TestResult, TestResult]:
    """Z1, of the size of the losses beyond the value at risk, and Z2, of their size and number; p-values by simulation.

    Z1 = mean of r / ES over the exceptions + 1; NaN without any. Z2 = sum of r / ES over the exceptions / (T (1 - c))
    + 1. A p-value is the share of histories under the null whose statistic is as low, the real one counted among them.
    """
    beyond = -returns > var
    found = _statistics((np.where(beyond, returns / es, 0.0))[None], beyond[None], confidence=null.confidence)
    drawn = _simulate(var, es, null=null, simulations=simulations, seed=seed)
    return _judge(found[0], drawn[0]), _judge(found[1], drawn[1])


def _statistics(ratios: FloatArray, beyond: NDArray[np.bool_], *, confidence: float) -> tuple[FloatArray, FloatArray]:
    """Z1 and Z2 [S] of ratios of return and shortfall [S, T], zero where there is no exception."""
    total, count = ratios.sum(axis=1), beyond.sum(axis=1)
    sizes = np.where(count > 0, total / np.maximum(count, 1) + 1.0, np.nan)
    return sizes, total / (ratios.shape[1] * (1.0 - confidence)) + 1.0


def _simulate(
    var: FloatArray, es: FloatArray, *, null: Null, simulations: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Z1 and Z2 [S] of histories that follow the null: only the draws beyond the value at risk are worked out."""
    score, further = null.scores()
    scale = (es - var) / (further - score)
    location = score * scale - var
    if (scale <= 0.0).any():
        row = int(np.argmin(scale))
        raise AllocationError(
            f"the expected shortfall of row {row} is {es[row]:g} with a value at risk of {var[row]:g}: it must be "
            "above it, or no distribution has both. Leave es out, or mend those rows."
        )
    rng = np.random.default_rng(seed)
    sizes, both = np.empty(simulations), np.empty(simulations)
    step = max(_ROOM // len(var), 1)
    for first in range(0, simulations, step):
        chance = rng.random((min(step, simulations - first), len(var)))
        beyond = chance < 1.0 - null.confidence
        bar = np.nonzero(beyond)[1]
        ratios = np.zeros_like(chance)
        ratios[beyond] = (location[bar] + scale[bar] * null.quantile(chance[beyond])) / es[bar]
        some = slice(first, first + len(chance))
        sizes[some], both[some] = _statistics(ratios, beyond, confidence=null.confidence)
    return sizes, both


def _judge(found: FloatArray, drawn: FloatArray) -> TestResult:
    value, told = float(found[0]), drawn[np.isfinite(drawn)]
    if not np.isfinite(value):
        return TestResult(value, float("nan"))
    return TestResult(value, float((1 + (told <= value).sum()) / (1 + told.size)))
