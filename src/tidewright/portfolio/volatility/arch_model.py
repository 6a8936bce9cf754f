"""One asset's model by the package `arch`. Returns get a standard deviation of 1 inside; all comes back in fractions.

Recursions, likelihoods, bounds and constraints are arch's, and so is the way to the maximum (SLSQP). They are called
part by part, because `fit` there spends half of its time on numerical derivatives of linear constraints, on starts that
it tries four times each, and on records that nobody reads; and because SLSQP says at times that it has arrived where
the likelihood still rises. `arch` fails silently on fractions (its steps are absolute), so the scale is no convenience.
"""

from __future__ import annotations

import math
import warnings
from itertools import product
from typing import Any

import numpy as np

from tidewright.optional import require
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.volatility.catalog import SHAPES, VolatilitySpec
from tidewright.portfolio.volatility.outcome import Outcome, choose_backcast, fail

LEAST_ROWS = 50
MOST_STEPS = 100  # of the optimiser each time, as in arch
TIMES = 5  # that it is asked again at most
ENOUGH = 1e-7  # log-likelihood: where a step brings less, the optimiser stops
STEEP = 0.5  # log-likelihood that a parameter's own size more would bring: where all bring less, it has arrived
ACTIVE = 1e-6  # how near a limit is one that holds a parameter back
AT_AN_END = (0, 8)  # what SLSQP says where no step leads on: of it, or of its line search
STEP = math.sqrt(np.finfo(np.float64).eps)  # of a difference, as SLSQP's own
LESSER = (ValueError, ArithmeticError, np.linalg.LinAlgError)
ALPHAS, KEPT = (0.01, 0.05, 0.1, 0.2), (0.5, 0.7, 0.9, 0.98)  # arch's starts: the weight of a shock, the persistence


class _Likelihood:
    """The negative log-likelihood of scaled returns [T] and its slope, and what an optimiser must know of it."""

    def __init__(self, spec: VolatilitySpec, values: FloatArray, *, centre: float) -> None:
        arch = require("arch.univariate", extra="risk", purpose=f"a {spec.model} model of volatility")
        p, o, q = spec.lags
        self.moved = arch.EGARCH(p=p, o=o, q=q) if spec.power == 0 else arch.GARCH(p, o, q, power=float(spec.power))
        self.shape = {"normal": arch.Normal, "t": arch.StudentsT, "skewt": arch.SkewStudent}[spec.distribution]()
        self.spec, self.values = spec, values
        self.centred = int(spec.mean == "constant")
        self.shocks = values - centre if self.centred else values
        self.backcast = choose_backcast(spec, self.shocks)
        self._before = self.moved.backcast_transform(self.backcast)
        self._limits = self.moved.variance_bounds(self.shocks, power=float(spec.power or 2))
        self._room = np.zeros(values.size)
        self._ends = self.centred + self.moved.num_params

    def variance(self, weights: FloatArray, shocks: FloatArray) -> FloatArray:
        """The conditional variance [T], in an array that the next call overwrites."""
        self.moved.compute_variance(weights, shocks, self._room, self._before, self._limits)
        return self._room

    def loss(self, at: FloatArray) -> float:
        """The negative log-likelihood."""
        shocks = self.values - at[0] if self.centred else self.values
        variance = self.variance(at[self.centred : self._ends], shocks)
        return -float(self.shape.loglikelihood(at[self._ends :], shocks, variance))

    def loss_and_slope(self, at: FloatArray, highs: FloatArray) -> tuple[float, FloatArray]:
        """Forward differences, backward ones at an upper bound."""
        here, slope = self.loss(at), np.empty(at.size)
        for place in range(at.size):
            moved = at.copy()
            moved[place] += STEP if at[place] + STEP <= highs[place] else -STEP
            slope[place] = (self.loss(moved) - here) / (moved[place] - at[place])
        return here / self.values.size, slope / self.values.size

    def bounds(self, start: FloatArray) -> list[tuple[float, float]]:
        """Of each parameter."""
        free = [(-math.inf, math.inf)] * self.centred
        return [*free, *self.moved.bounds(self.shocks), *self.shape.bounds(self.residuals(start))]

    def residuals(self, weights: FloatArray) -> FloatArray:
        """Standardised shocks [T]."""
        return np.asarray(self.shocks / np.sqrt(self.variance(weights, self.shocks)), dtype=np.float64)

    def constraints(self, size: int) -> tuple[FloatArray, FloatArray]:
        """The matrix and the bound of what must hold: matrix times parameters is the bound or more."""
        of_moved, low_moved = self.moved.constraints()
        of_shape, low_shape = self.shape.constraints()
        matrix = np.zeros((len(low_moved) + len(low_shape), size))
        matrix[: len(low_moved), self.centred : self._ends] = of_moved
        if len(low_shape):
            matrix[len(low_moved) :, self._ends :] = of_shape
        return matrix, np.concatenate([low_moved, low_shape])


def fit_arch(spec: VolatilitySpec, returns: FloatArray) -> Outcome:
    """The outcome for returns [T]: parameters, or why there are none."""
    if returns.size < LEAST_ROWS:
        return fail(f"{returns.size} returns are too few; a {spec.model} model takes {LEAST_ROWS} at least")
    scale = 1.0 / float(returns.std())
    values = returns * scale
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of steps into the impossible: what counts is where the optimiser ends
        try:
            problem = _Likelihood(spec, values, centre=float(values.mean()))
            answer = _arrive(problem, _find_start(problem))
            if spec.backcast == "sample" and problem.centred and answer.status == 0:
                problem = _Likelihood(spec, values, centre=float(answer.x[0]))  # the mean square about the fitted mean
                answer = _arrive(problem, answer.x)
        except LESSER as error:
            return fail(f"arch could not fit it ({error})")
        if answer.status != 0:
            return fail(f"the optimiser did not converge (flag {answer.status}: {answer.message})")
        least = problem.loss(answer.x)  # and the variance of it
    variance = problem.variance(*_split(problem, answer.x)).copy()
    if not (np.isfinite(answer.x).all() and np.isfinite(variance).all() and math.isfinite(least)):
        return fail("the fit ended in numbers that are not finite")
    likelihood = returns.size * math.log(scale) - least
    return Outcome(_rescale(spec, answer.x, scale=scale), likelihood, problem.backcast / scale**2, variance / scale**2)


def _split(problem: _Likelihood, at: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The recursion's weights, and the shocks about the mean."""
    first = problem.centred
    return at[first : first + problem.moved.num_params], problem.values - at[0] if first else problem.values


def _arrive(problem: _Likelihood, start: FloatArray) -> Any:
    """The optimiser's answer. Where it did not arrive it is asked again, from nine tenths of the way it came."""
    limits = _read_limits(problem, start)
    rows = problem.values.size
    begun, best = problem.loss(start) / rows, start
    for _ in range(1 + TIMES):
        answer = _maximise(problem, best, limits=limits)
        if (
            answer.status in AT_AN_END
            and answer.fun <= begun
            and _has_arrived(answer, limits=limits, rows=problem.values.size)
        ):
            answer.status = 0
            return answer
        best = start + (0.9 * (answer.x - start) if answer.fun <= begun else 0.5 * (best - start))
    if answer.status == 0:
        answer.status, answer.message = -1, f"the likelihood still rose when it was asked {1 + TIMES} times"
    return answer


def _read_limits(problem: _Likelihood, start: FloatArray) -> tuple[FloatArray, FloatArray, list[tuple[float, float]]]:
    """Matrix and least values of the constraints, and the bounds."""
    bounds = problem.bounds(start[problem.centred : problem.centred + problem.moved.num_params])
    return *problem.constraints(start.size), bounds


def _maximise(
    problem: _Likelihood, start: FloatArray, *, limits: tuple[FloatArray, FloatArray, list[tuple[float, float]]]
) -> Any:
    from scipy.optimize import minimize

    matrix, least, bounds = limits
    return minimize(
        problem.loss_and_slope,
        start,
        args=(np.array([high for _, high in bounds]),),
        jac=True,
        method="SLSQP",
        bounds=bounds,
        constraints={"type": "ineq", "fun": lambda at: matrix @ at - least, "jac": lambda at: matrix},
        options={"maxiter": MOST_STEPS, "ftol": ENOUGH / problem.values.size},
    )


def _has_arrived(answer: Any, *, limits: tuple[FloatArray, FloatArray, list[tuple[float, float]]], rows: int) -> bool:
    """Whether all of the slope is held up by limits that are reached (the conditions of Karush, Kuhn and Tucker)."""
    from scipy.optimize import nnls

    matrix, least, bounds = limits
    at, slope = answer.x, answer.jac * rows
    if not (np.isfinite(at).all() and np.isfinite(slope).all() and math.isfinite(answer.fun)):
        return False
    lows, highs = np.array(bounds).T
    unit = np.eye(at.size)
    held = np.vstack([matrix[matrix @ at - least < ACTIVE], unit[at - lows < ACTIVE], -unit[highs - at < ACTIVE]])
    sizes = np.maximum(np.abs(at), 0.01)
    left = slope * sizes
    if len(held):
        pushes, _ = nnls((held * sizes).T, left)
        left = left - (held * sizes).T @ pushes
    return bool((np.abs(left) < STEEP).all())


def _find_start(problem: _Likelihood) -> FloatArray:
    """Mean, weights and shape to begin with: those of arch."""
    spec, shocks = problem.spec, problem.shocks
    weights = _try_starts(problem) if spec.model == "garch" else problem.moved.starting_values(shocks)
    shape = problem.shape.starting_values(problem.residuals(weights))
    mean = [float(problem.values.mean())] if problem.centred else []
    return np.concatenate([mean, weights, shape])


def _try_starts(problem: _Likelihood) -> FloatArray:
    """The likeliest of arch's weights for a model without asymmetry, each tried once."""
    p, _, q = problem.spec.lags
    level = float(np.mean(problem.shocks**2))
    starts = [
        np.array([(1.0 - kept) * level, *[alpha / p] * p, *[(kept - alpha) / q] * q])
        for alpha, kept in product(ALPHAS, KEPT)
    ]
    losses = []
    for weights in starts:
        variance = problem.variance(weights, problem.shocks)
        losses.append(float(np.sum(np.log(variance) + problem.shocks**2 / variance)))
    return starts[int(np.argmin(losses))]


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
