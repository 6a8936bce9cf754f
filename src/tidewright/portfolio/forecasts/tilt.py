"""From a forecast to weights: a bounded tilt of some base weights towards what is expected.

The multiple of asset i is exp(strength * skill * z_i), where z is the cross-sectional z-score (ddof = 0) of
expected / uncertainty; so at a strength of 1 and a skill of 0.05, one standard score is worth 5 % of the
weight. Multiples are clipped to [max_multiple^-1/2, max_multiple^1/2] and the products divided by their
sum, so that no weight ends above max_multiple times its base or below the base divided by it.

Source: the score follows Grinold 1994, Alpha Is Volatility Times IC Times Score; the exponential and its
bounds are Tidewright's.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.labels import align
from tidewright.portfolio.weights import Weights


def tilt_by_forecast(
    base: Weights,
    *,
    expected: ArrayLike,
    uncertainty: ArrayLike,
    skill: float,
    strength: float = 1.0,
    max_multiple: float = 2.0,
) -> Weights:
    """Base weights moved towards the assets with the better forecast, as far as its measured skill goes.

    `expected` [A] are forecast returns and `uncertainty` [A] their standard deviations (above zero), over
    one horizon. `skill` is the information coefficient that was measured out of sample before this date, 0
    to 1: pass 0 for a model that did not beat its floor, and the base comes back unchanged. A forecast that
    rates all assets alike changes nothing either. The base must be long-only, and so is the result; see the
    file's head for the formula and its bounds. A NaN forecast is an AllocationError.

    >>> base = Weights(assets=("A", "B"), values=np.array([0.5, 0.5]), method="equal")
    >>> tilt_by_forecast(base, expected=[0.02, 0.01], uncertainty=[0.05, 0.05], skill=0.1).values.round(4)
    array([0.5498, 0.4502])
    """
    _check_options(skill=skill, strength=strength, max_multiple=max_multiple)
    negative = np.flatnonzero(base.values < 0.0)
    if negative.size:
        raise AllocationError(
            f"the base weight of {base.assets[int(negative[0])]!r} is below zero. A tilt takes long-only weights."
        )
    means = _read_forecast(expected, base=base, noun="expected return")
    spreads = _read_forecast(uncertainty, base=base, noun="uncertainty")
    if (spreads <= 0.0).any():
        asset = base.assets[int(np.flatnonzero(spreads <= 0.0)[0])]
        raise AllocationError(f"the uncertainty of {asset!r} is not above zero. Pass its standard deviation.")
    scores = means / spreads
    deviation = float(scores.std())
    if skill * strength * base.net == 0.0 or deviation <= 1e-12 * float(np.abs(scores).max()):
        return base
    power = np.clip(
        strength * skill * (scores - scores.mean()) / deviation,
        -0.5 * math.log(max_multiple),
        0.5 * math.log(max_multiple),
    )
    tilted = base.values * np.exp(power)
    note = f"tilted by forecasts: skill {skill:g}, strength {strength:g}, multiples up to {max_multiple:g}"
    return Weights(
        assets=base.assets,
        values=tilted / tilted.sum() * base.net,
        method=f"{base.method}+forecast",
        notes=(*base.notes, note),
        net=base.net,
    )


def _check_options(*, skill: float, strength: float, max_multiple: float) -> None:
    if not 0.0 <= skill <= 1.0:
        raise AllocationError(
            f"skill is {skill}; it is a measured information coefficient from 0 to 1. Pass 0 for a forecast without."
        )
    if not 0.0 <= strength < math.inf:
        raise AllocationError(f"strength is {strength}; it is a finite number of at least 0.")
    if not 1.0 <= max_multiple < math.inf:
        raise AllocationError(f"max_multiple is {max_multiple}; it is a finite number of at least 1.")


def _read_forecast(values: ArrayLike, *, base: Weights, noun: str) -> FloatArray:
    numbers = np.asarray(align(values, assets=base.assets, noun=f"{noun}s"), dtype=np.float64)
    if numbers.shape != (len(base.assets),):
        raise AllocationError(
            f"{noun}s have the shape {numbers.shape}; the weights have {len(base.assets)} assets. Give one an asset."
        )
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if wrong.size:
        raise AllocationError(
            f"the {noun} of {base.assets[int(wrong[0])]!r} is {numbers[wrong[0]]}: a signal without a value can't tilt "
            "weights. Leave the asset out, or keep the base weights at this date."
        )
    return numbers
