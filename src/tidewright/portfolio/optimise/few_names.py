"""At most so many names, none of them tiny: limits that are not convex, met by a heuristic that says so. A assets.

The convex problem is solved first: it is the bound. Then the smallest weights are put to zero, a third of those that
are too many at a time, and the rest is solved again; then names that are held below the least size are dropped, or held
at it where they are above its half. A note says how far the outcome is from the bound. For a proof of optimality one
would need a mixed-integer solver, which Clarabel is not.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.optimise.cones import Block
from tidewright.portfolio.optimise.goals import Method
from tidewright.portfolio.optimise.problem import Problem
from tidewright.portfolio.optimise.solve import Solved

_ROOM = 1e-9
Mask = NDArray[np.bool_]


def solve_few(problem: Problem, method: Method) -> Solved:
    """The method's weights with `names` and `min_position` kept; as they are where the convex problem keeps them."""
    bound = method(problem)
    limits = problem.limits
    most = len(problem.assets) if limits.names is None else limits.names
    least = limits.min_position or 0.0
    if _keeps(bound.weights, most=most, least=least):
        return bound
    must = _must_hold(problem)
    if must.sum() > most:
        first = problem.assets[int(np.flatnonzero(must)[0])]
        raise AllocationError(
            f"{limits.say('names', 'upper')!r} and the limits that hold {int(must.sum())} assets, such as {first!r}, "
            "above zero contradict each other. Change one of them."
        )
    found = _raise_or_drop(
        problem, _prune(problem, bound, method=method, most=most, must=must), method=method, least=least, must=must
    )
    far = abs(found.value - bound.value) / max(abs(bound.value), 1e-300)
    asked = [limits.say("names", "upper")] if limits.names is not None else []
    asked += [limits.say("min_position", "lower")] if least > 0.0 else []
    note = (
        f"{' and '.join(repr(one) for one in asked)} kept by leaving out the smallest and solving again, a heuristic: "
        f"{found.value:.6g} where {bound.value:.6g} is the bound without ({far:.2%} apart)"
    )
    return replace(found, notes=(*found.notes, note))


def _keeps(weights: FloatArray, *, most: int, least: float) -> bool:
    held = np.abs(weights[weights != 0.0])
    return held.size <= most and bool((held >= least - _ROOM).all())


def _must_hold(problem: Problem) -> Mask:
    """Assets that a limit of their own keeps away from zero."""
    must = np.zeros(len(problem.assets), dtype=bool)
    for limit in problem.convex:
        if limit.kind == "linear" and (np.count_nonzero(limit.rows, axis=1) == 1).all():
            away = limit.lower > 0.0 or limit.upper < 0.0
            must[np.argmax(limit.rows != 0.0, axis=1)] |= away
    return must


def _prune(problem: Problem, bound: Solved, *, method: Method, most: int, must: Mask) -> Solved:
    """Solved again and again with fewer names, until there are at most so many."""
    found = bound
    while np.count_nonzero(found.weights) > most:
        held = int(np.count_nonzero(found.weights))
        keep = max(most, held - max(1, (held - most) // 3))
        size = np.where(must, np.inf, np.abs(found.weights))
        kept = np.zeros(size.size, dtype=bool)
        kept[np.argsort(-size, kind="stable")[:keep]] = True
        found = _solve(problem, method, kept=kept & (found.weights != 0.0) | must, raised=np.zeros(size.size))
    return found


def _raise_or_drop(problem: Problem, found: Solved, *, method: Method, least: float, must: Mask) -> Solved:
    """Weights below the least size dropped (the smaller ones first) or held at it."""
    kept, raised = found.weights != 0.0, np.zeros(found.weights.size)
    while True:
        size = np.abs(found.weights)
        small = kept & (size < least - _ROOM)
        if not small.any():
            return found
        low = small & (size < least / 2) & ~must
        if low.any():
            cut = np.median(size[low])
            kept &= ~(low & (size <= cut))
        else:
            raised[small] = np.where(found.weights[small] < 0.0, -least, least)
        found = _solve(problem, method, kept=kept, raised=raised)


def _solve(problem: Problem, method: Method, *, kept: Mask, raised: FloatArray) -> Solved:
    every = np.eye(kept.size)
    extra = [Block("zero", {0: every[~kept]}, np.zeros(int((~kept).sum())))] if not kept.all() else []
    if raised.any():
        side = np.sign(raised[raised != 0.0])
        extra.append(Block("positive", {0: side[:, None] * every[raised != 0.0]}, -np.abs(raised[raised != 0.0])))
    try:
        found = method(problem, extra=extra)
    except AllocationError as error:
        raise AllocationError(
            f"with {int(kept.sum())} names the other limits could not be kept by the heuristic ({error}) Allow more "
            "names, a smaller least position, or loosen another limit."
        ) from error
    weights = np.where(kept, found.weights, 0.0)
    return replace(found, weights=weights)
