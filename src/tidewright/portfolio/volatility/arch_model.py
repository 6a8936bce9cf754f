"""One asset's model by the package `arch`. Returns get a standard deviation of 1 inside; all comes back in fractions.

`arch` fails silently on fractions (its optimiser's steps are absolute), so the scale is no convenience.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from tidewright.optional import require
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.volatility.catalog import SHAPES, VolatilitySpec
from tidewright.portfolio.volatility.outcome import Outcome, choose_backcast, fail

LEAST_ROWS = 50
MOST_STEPS = 500  # of the optimiser, where arch would stop at 100
LESSER = (ValueError, ArithmeticError, np.linalg.LinAlgError)


def fit_arch(spec: VolatilitySpec, returns: FloatArray) -> Outcome:
    """The outcome for returns [T]: parameters, or why there are none."""
    if returns.size < LEAST_ROWS:
        return fail(f"{returns.size} returns are too few; a {spec.model} model takes {LEAST_ROWS} at least")
    scale = 1.0 / float(returns.std())
    scaled = returns * scale
    model = _build(spec, scaled)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # the flag below says the same, and arch changes the filters itself
        try:
            fitted, backcast = _maximise(spec, model, scaled)
        except LESSER as error:
            return fail(f"arch could not fit it ({error})")
    if fitted.convergence_flag != 0:
        said = fitted.optimization_result.message
        return fail(f"the optimiser did not converge (flag {fitted.convergence_flag}: {said})")
    found = np.asarray(fitted.params, dtype=np.float64)
    variance = np.asarray(fitted.conditional_volatility, dtype=np.float64) ** 2
    likelihood = float(fitted.loglikelihood)
    if not (np.isfinite(found).all() and np.isfinite(variance).all() and math.isfinite(likelihood)):
        return fail("the fit ended in numbers that are not finite")
    return Outcome(
        _rescale(spec, found, scale=scale),
        likelihood + returns.size * math.log(scale),
        backcast / scale**2,
        variance / scale**2,
    )


def _maximise(spec: VolatilitySpec, model: Any, values: FloatArray) -> tuple[Any, float]:
    """The fit, and the variance before its first bar; "sample" is that about the fitted mean, so a second fit."""
    options = {"maxiter": MOST_STEPS, "disp": False}
    centred = spec.mean == "constant"
    backcast = choose_backcast(spec, values - values.mean() if centred else values)
    fitted = model.fit(disp="off", show_warning=False, backcast=backcast, options=options)
    if spec.backcast == "sample" and centred and fitted.convergence_flag == 0:
        found = np.asarray(fitted.params, dtype=np.float64)
        backcast = choose_backcast(spec, values - found[0])
        fitted = model.fit(disp="off", show_warning=False, backcast=backcast, starting_values=found, options=options)
    return fitted, backcast


def _build(spec: VolatilitySpec, values: FloatArray) -> Any:
    arch = require("arch.univariate", extra="risk", purpose=f"a {spec.model} model of volatility")
    means = {"constant": arch.ConstantMean, "zero": arch.ZeroMean}
    shapes = {"normal": arch.Normal, "t": arch.StudentsT, "skewt": arch.SkewStudent}
    p, o, q = spec.lags
    moved = arch.EGARCH(p=p, o=o, q=q) if spec.power == 0 else arch.GARCH(p=p, o=o, q=q, power=float(spec.power))
    return means[spec.mean or "constant"](
        values, volatility=moved, distribution=shapes[spec.distribution](), rescale=False
    )


def _rescale(spec: VolatilitySpec, found: FloatArray, *, scale: float) -> FloatArray:
    """Parameters of scaled returns as those of the returns themselves; weights and shapes have no unit."""
    values = found.copy()
    place = 0
    if spec.mean == "constant":
        values[0] /= scale
        place = 1
    if spec.power:
        values[place] /= scale**spec.power
    else:
        ends = values.size - len(SHAPES[spec.distribution])
        kept = float(values[ends - spec.q : ends].sum())
        values[place] -= (1.0 - kept) * 2.0 * math.log(scale)
    return values
