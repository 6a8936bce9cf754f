"""Returns beside those of a benchmark over the same periods: the line of the CAPM, tracking, capture."""

from __future__ import annotations

import math

import numpy as np

from tidewright.metrics.returns.growth import deviate
from tidewright.metrics.returns.sample import Floats, Sample, divide


def find_alpha(sample: Sample) -> Floats:
    """The intercept a year."""
    return sample.line.alpha * sample.periods_per_year


def find_alpha_error(sample: Sample) -> Floats:
    """The intercept's standard error a year."""
    return sample.line.alpha_error * sample.periods_per_year


def find_beta(sample: Sample) -> Floats:
    """The slope."""
    return sample.line.beta


def find_beta_error(sample: Sample) -> Floats:
    """The slope's standard error."""
    return sample.line.beta_error


def find_tracking_error(sample: Sample) -> Floats:
    """The deviation of the difference a year."""
    return deviate(sample.returns - sample.against) * math.sqrt(sample.periods_per_year)


def find_information_ratio(sample: Sample) -> Floats:
    """The mean difference for a unit of its deviation."""
    active = sample.returns - sample.against
    return divide(active.mean(axis=-1), deviate(active)) * math.sqrt(sample.periods_per_year)


def find_up_capture(sample: Sample) -> Floats:
    """The growth a period in the benchmark's gains over the benchmark's own there."""
    return _capture(sample, sample.against > 0.0)


def find_down_capture(sample: Sample) -> Floats:
    """The growth a period in the benchmark's losses over the benchmark's own there."""
    return _capture(sample, sample.against < 0.0)


def _capture(sample: Sample, chosen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Floats:
    """The ratio of two geometric means less one, over the chosen periods; nan where there are none."""
    count = chosen.sum(axis=-1).astype(np.float64)
    power = divide(np.ones_like(count), count)
    ours, theirs = (
        np.prod(np.where(chosen, 1.0 + one, 1.0), axis=-1) ** power - 1.0 for one in (sample.returns, sample.against)
    )
    return divide(ours * np.sign(theirs), np.abs(theirs))
