"""Whether the target will rise, as a probability that means what it says: calibrated on windows of validation.

N windows, H horizon.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs
from tidewright.data.task import refuse_classes
from tidewright.errors import ConfigError, DataError
from tidewright.features.windows import Doubles, Windows, cut_windows
from tidewright.metrics.probability import check_cases, direction_probability
from tidewright.models.calibrated import Scaling
from tidewright.models.fitted import Fitted
from tidewright.models.floors import last_observed
from tidewright.training.calibrate import fit_scaling
from tidewright.training.paths import Dependence, sample_paths

Question = Literal["rise", "sum"]
PATHS = 1000
CHUNK = 256  # windows whose paths are held at once


@dataclass(frozen=True, slots=True)
class Platt:
    """The probability 1 / (1 + exp(-slope * logit(p) - intercept)) (Platt 1999): a `Scaling` of two classes."""

    scaling: Scaling

    @property
    def slope(self) -> float:
        """Below 1 where what was said is too sure of itself."""
        return self.scaling.slope

    @property
    def intercept(self) -> float:
        """Above 0 where the event comes more often than it was said."""
        return self.scaling.shifts[1]

    def apply(self, probability: ArrayLike) -> Doubles:
        """The calibrated probabilities, of the same shape."""
        return np.asarray(self.scaling.apply(_both(probability))[..., 1])


@dataclass(frozen=True, eq=False, slots=True)
class Isotonic:
    """The probability that rises with the given one as the share of events did: straight lines between knots."""

    given: Doubles
    found: Doubles

    def apply(self, probability: ArrayLike) -> Doubles:
        """The calibrated probabilities, of the same shape."""
        return np.asarray(np.interp(np.asarray(probability, dtype=np.float64), self.given, self.found))


def fit_platt(probability: ArrayLike, outcome: ArrayLike) -> Platt:
    """The logistic curve of most likelihood, with Platt's (1999) targets, which keep away from 0 and 1.

    Two numbers, so it is the one to take where cases are few. Raises `DataError`.

    >>> float(fit_platt([0.5] * 4, [1, 1, 1, 0]).apply(0.5).round(2))  # 3 of 4, less the targets' caution
    0.68
    """
    said, came = check_cases(probability, outcome)
    return Platt(fit_scaling(_both(said), came, shifted=True))


def fit_isotonic(probability: ArrayLike, outcome: ArrayLike) -> Isotonic:
    """The rising curve of least squares (Zadrozny, Elkan 2002); it needs many cases. Raises `DataError`.

    >>> fit_isotonic([0.1, 0.2, 0.8, 0.9], [0, 1, 0, 1]).apply([0.1, 0.2, 0.8, 0.9])
    array([0. , 0.5, 0.5, 1. ])
    """
    from scipy.optimize import isotonic_regression

    said, came = check_cases(probability, outcome)
    given, place, count = np.unique(said, return_inverse=True, return_counts=True)
    share = np.bincount(place, weights=came) / count
    return Isotonic(given, np.asarray(isotonic_regression(share, weights=count.astype(np.float64)).x))


@dataclass(frozen=True, eq=False, slots=True)
class Direction:
    """A classifier out of a forecast: will a step lie above the last observed value ("rise", [N, H]), or the sum of
    the horizon above 0 ("sum", [N])?"""

    fitted: Fitted
    question: Question
    calibration: Platt | Isotonic
    dependence: Dependence | None = None

    def predict(self, windows: Windows) -> Doubles:
        """The calibrated probabilities."""
        raw = ask_direction(self.fitted, windows, question=self.question, dependence=self.dependence)
        return self.calibration.apply(raw)


def fit_direction(
    fitted: Fitted,
    *,
    panel: Panel,
    cutoffs: Cutoffs,
    question: Question = "rise",
    method: Literal["platt", "isotonic"] = "platt",
    dependence: Dependence | None = None,
) -> Direction:
    """The classifier of a fitted model, calibrated at some cutoffs (say the validation part's), all steps together.

    The question "sum" needs the `dependence` of the steps (`measure_dependence`). Raises `ConfigError`, `DataError`.
    """
    windows = cut_windows(panel, fitted.view, horizon=fitted.task.horizon, cutoffs=cutoffs, least=1)
    raw = ask_direction(fitted, windows, question=question, dependence=dependence)
    outcome = see_direction(windows, question=question)
    calibration = fit_platt(raw, outcome) if method == "platt" else fit_isotonic(raw, outcome)
    return Direction(fitted, question, calibration, dependence)


def ask_direction(
    fitted: Fitted, windows: Windows, *, question: Question, dependence: Dependence | None = None
) -> Doubles:
    """The probabilities of the predictive distribution itself: [N, H] for "rise", [N] for "sum" (of 1,000 paths)."""
    refuse_classes(fitted.task, "a direction")
    if question == "rise":
        last = last_observed(windows.history())
        quantiles = fitted.predict(windows)
        return direction_probability(quantiles, levels=fitted.task.quantiles, threshold=last[:, None])
    if dependence is None:
        raise ConfigError('the question "sum" needs the dependence of the steps: give measure_dependence(...).')
    found = np.empty(len(windows))
    for start in range(0, len(windows), CHUNK):
        some = windows.subset(np.arange(start, min(start + CHUNK, len(windows))))
        sums = sample_paths(fitted, some, dependence=dependence, paths=PATHS).sum(axis=2)
        found[start : start + CHUNK] = (sums > 0).mean(axis=1)
    return found


def see_direction(windows: Windows, *, question: Question) -> Doubles:
    """What came: 1, 0, or NaN where a label that it needs is missing; of the shape of `ask_direction`."""
    labels = windows.labels()
    if not np.isfinite(labels).any():
        raise DataError("no label is known at these cutoffs. Give earlier ones.")
    if question == "sum":
        total = labels.sum(axis=1)
        return np.where(np.isnan(total), np.nan, (total > 0).astype(np.float64))
    last = last_observed(windows.history())[:, None]
    return np.where(np.isnan(labels), np.nan, (labels > last).astype(np.float64))


def _both(probability: ArrayLike) -> Doubles:
    """The probabilities of no event and of the event [..., 2]."""
    event = np.asarray(probability, dtype=np.float64)
    return np.stack([1.0 - event, event], axis=-1)
