"""Models of intermittent demand in closed form: one number a window, the same for every step.

Missing steps are left out. Demand is a value above 0, and an interval is the number of steps since the value before
that was not 0. Where there was no demand, Croston's method gives the last value and the others 0; without any observed
value it is NaN. Compiled by numba when first called; N windows, L lookback, T observed values of one window.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
from numba import njit

from tidewright.features.windows import Doubles
from tidewright.models.specs.statistical import ADIDA, TSB, Croston, IntermittentSpec

LOW, HIGH = 0.1, 0.3  # between these a smoothing is chosen
FIXED = 0.1  # Croston's smoothing
SHRINK = 0.95  # of Syntetos and Boylan: 1 - FIXED / 2
NEAR = 1e-5  # how closely a smoothing is chosen
GOLDEN = 0.3819660112501051  # (3 - sqrt 5) / 2
ROUNDS = 500
Kernel = TypeVar("Kernel", bound=Callable[..., object])


def _compiled(kernel: Kernel) -> Kernel:
    """The kernel as machine code, without the global lock and kept on disk."""
    return cast(Kernel, njit(nogil=True, cache=True)(kernel))


def forecast_intermittent(past: Doubles, spec: IntermittentSpec) -> Doubles:
    """The demand a step [N] that a model expects after histories [N, L].

    >>> forecast_intermittent(np.array([[0.0, 2.0, 0.0, 2.0]]), Croston(form="classic"))
    array([1.])
    """
    values = np.ascontiguousarray(past, dtype=np.float64)
    if isinstance(spec, Croston):
        found = np.asarray(croston_each(values, spec.form == "optimised"))
        return found * SHRINK if spec.form == "sba" else found
    if isinstance(spec, TSB):
        return np.asarray(tsb_each(values, spec.alpha_demand, spec.alpha_probability))
    return np.asarray(aggregate_each(values, isinstance(spec, ADIDA)))


@_compiled
def croston_each(past: Doubles, optimise: bool) -> Doubles:
    """Smoothed demand over the smoothed interval [N]."""
    out = np.empty(len(past))
    for row in range(len(past)):
        values = past[row][~np.isnan(past[row])]
        demand = values[values > 0]
        if not len(values):
            out[row] = np.nan
        elif not len(demand):
            out[row] = values[-1]
        else:
            apart = intervals(values)
            size = smooth(demand, choose_smoothing(demand) if optimise else FIXED)
            wait = smooth(apart, choose_smoothing(apart) if optimise else FIXED)
            out[row] = size / wait
    return out


@_compiled
def tsb_each(past: Doubles, alpha_demand: float, alpha_probability: float) -> Doubles:
    """Smoothed demand times the smoothed share of steps that are not 0 [N]."""
    out = np.empty(len(past))
    for row in range(len(past)):
        values = past[row][~np.isnan(past[row])]
        demand = values[values > 0]
        if not len(values):
            out[row] = np.nan
        elif not len(demand):
            out[row] = 0.0
        else:
            moved = (values != 0).astype(np.float64)
            out[row] = smooth(demand, alpha_demand) * smooth(moved, alpha_probability)
    return out


@_compiled
def aggregate_each(past: Doubles, one_level: bool) -> Doubles:
    """Smoothed sums over runs of steps, a step's share of them [N]: of the mean interval, or the mean of 1 up to it."""
    out = np.empty(len(past))
    for row in range(len(past)):
        values = past[row][~np.isnan(past[row])]
        if not len(values):
            out[row] = np.nan
            continue
        if not (values != 0).any():
            out[row] = 0.0
            continue
        level = int(np.round(intervals(values).mean()))
        total, first = 0.0, level if one_level else 1
        for size in range(first, level + 1):
            sums = chunk_sums(values, size)
            total += smooth(sums, choose_smoothing(sums)) / size
        out[row] = total / (level - first + 1)
    return out


@_compiled
def intervals(values: Doubles) -> Doubles:
    """The steps from each value that is not 0 back to the one before it; the first counts from the start."""
    places = np.flatnonzero(values) + 1
    apart: Doubles = places.astype(np.float64)
    apart[1:] -= places[:-1]
    return apart


@_compiled
def chunk_sums(values: Doubles, size: int) -> Doubles:
    """Sums over whole runs of `size` steps, the last one ending with the values."""
    count = len(values) // size
    sums: Doubles = values[len(values) - count * size :].copy().reshape(count, size).sum(axis=1)
    return sums


@_compiled
def smooth(values: Doubles, alpha: float) -> float:
    """The level after exponential smoothing that starts at the first value."""
    level = values[0]
    for value in values[1:]:
        level = alpha * value + (1.0 - alpha) * level
    return float(level)


@_compiled
def squared_error(values: Doubles, alpha: float) -> float:
    """The sum of squared one-step errors of exponential smoothing."""
    level, total = values[0], 0.0
    for value in values[1:]:
        total += (value - level) ** 2
        level = alpha * value + (1.0 - alpha) * level
    return float(total)


@_compiled
def choose_smoothing(values: Doubles) -> float:
    """The smoothing from 0.1 to 0.3 with the least squared error (Brent 1973, chapter 5: localmin)."""
    low, high = LOW, HIGH
    best = second = third = low + GOLDEN * (high - low)
    f_best = squared_error(values, best)
    f_second = f_third = f_best
    step = before = 0.0
    for _ in range(ROUNDS):
        middle = 0.5 * (low + high)
        near = 1.4901161193847656e-08 * abs(best) + NEAR / 3.0
        if abs(best - middle) <= 2.0 * near - 0.5 * (high - low):
            break
        top, bottom = _parabola(best, f_best, second, f_second, third, f_third)
        if abs(before) > near and abs(top) < abs(0.5 * bottom * before) and _inside(top, bottom, best, low, high):
            step, before = top / bottom, step
            place = best + step
            if place - low < 2.0 * near or high - place < 2.0 * near:
                step = near if middle >= best else -near
        else:
            before = (low if best >= middle else high) - best
            step = GOLDEN * before
        place = best + (np.sign(step) + (step == 0)) * max(abs(step), near)
        f_place = squared_error(values, place)
        if f_place <= f_best:
            low, high = (best, high) if place >= best else (low, best)
            third, f_third, second, f_second, best, f_best = second, f_second, best, f_best, place, f_place
        else:
            low, high = (place, high) if place < best else (low, place)
            if f_place <= f_second or second == best:
                third, f_third, second, f_second = second, f_second, place, f_place
            elif f_place <= f_third or third in (best, second):
                third, f_third = place, f_place
    return float(best)


@_compiled
def _parabola(x: float, fx: float, w: float, fw: float, v: float, fv: float) -> tuple[float, float]:
    """The step from x to the vertex through three points, as a quotient."""
    r, q = (x - w) * (fx - fv), (x - v) * (fx - fw)
    p, q = (x - v) * q - (x - w) * r, 2.0 * (q - r)
    return (-p, q) if q > 0.0 else (p, -q)


@_compiled
def _inside(top: float, bottom: float, best: float, low: float, high: float) -> bool:
    return bool(top > bottom * (low - best) and top < bottom * (high - best))
