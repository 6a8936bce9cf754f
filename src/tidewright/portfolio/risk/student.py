"""Value at risk of returns that follow Student's t, fatter in the tails: T bars, A assets, K portfolios."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.risk.record import Tails
from tidewright.portfolio.risk.student_fit import LEAST, MOST, StudentFit, fit_student


@dataclass(frozen=True, slots=True)
class StudentT:
    """The tail of a t whose location, scale and degrees of freedom are those of greatest likelihood, of each column.

    VaR = -h location + q sqrt(h) scale, where q is the quantile of the standard t at c; over several bars nearly so.
    `degrees` fixes the degrees of freedom. Source: McNeil, Frey and Embrechts 2015, Quantitative Risk Management, 2.3.
    """

    confidence: float
    horizon: int = 1
    degrees: float | None = None

    def measure(self, outcomes: FloatArray, *, loadings: FloatArray | None = None, names: Sequence[str] = ()) -> Tails:
        """The tails of each asset, or of portfolios."""
        fit = fit_student(outcomes if loadings is None else outcomes @ loadings, degrees=self.degrees, names=names)
        score, beyond = student_scores(fit.degrees, confidence=self.confidence)
        drift, spread = -self.horizon * fit.location, math.sqrt(self.horizon) * fit.scale
        return Tails(drift + score * spread, drift + beyond * spread, self._tell(fit) if loadings is None else ())

    def split(self, outcomes: FloatArray, *, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The derivatives where all assets together are an elliptical t with the portfolio's degrees of freedom.

        Means and covariances weigh each bar as the fit to the portfolio does, so that the parts sum to the whole.
        """
        fit = fit_student((outcomes @ weights)[:, None], degrees=self.degrees)
        score, beyond = (float(one[0]) for one in student_scores(fit.degrees, confidence=self.confidence))
        bars = fit.weights[:, 0] / fit.weights.sum()
        mean = bars @ outcomes
        centred = outcomes - mean
        along = centred.T @ (bars * (centred @ weights))
        share = along / float(along @ weights)
        slope = share * float(fit.scale[0])
        drift = -self.horizon * (mean + share * float(fit.location[0] - mean @ weights))  # the fit's last digits
        return drift + score * math.sqrt(self.horizon) * slope, drift + beyond * math.sqrt(self.horizon) * slope

    def _tell(self, fit: StudentFit) -> tuple[str, ...]:
        if self.degrees is not None:
            return (f"degrees of freedom: {self.degrees:g}, as given",)
        low, middle, high = np.percentile(fit.degrees, (0, 50, 100))
        told: tuple[str, ...] = (
            f"degrees of freedom by maximum likelihood: median {middle:.1f}, from {low:.1f} to {high:.1f}",
        )
        thin = int((fit.degrees >= MOST).sum())
        if thin:
            told += (f"{thin} of {fit.degrees.size} have tails no fatter than the normal's: t({MOST:g}) stands for it",)
        return told


def student_scores(degrees: FloatArray, *, confidence: float) -> tuple[FloatArray, FloatArray]:
    """Value at risk and expected shortfall of the standard t, by degrees of freedom (above 1.01).

    >>> score, beyond = student_scores(np.array([4.0]), confidence=0.99)
    >>> score.round(4).tolist(), beyond.round(4).tolist()
    ([3.7469], [5.2206])
    """
    from scipy.special import gammaln, stdtrit

    if degrees.min() <= LEAST:
        raise AllocationError(
            f"the returns follow a t with {degrees.min():.2f} degrees of freedom, whose expected shortfall is hardly "
            "finite. Look at their largest values, or take method='historical'."
        )
    score = stdtrit(degrees, confidence)
    log_density = (
        gammaln((degrees + 1.0) / 2.0)
        - gammaln(degrees / 2.0)
        - 0.5 * np.log(degrees * math.pi)
        - (degrees + 1.0) / 2.0 * np.log1p(score**2 / degrees)
    )
    return score, np.exp(log_density) / (1.0 - confidence) * (degrees + score**2) / (degrees - 1.0)
