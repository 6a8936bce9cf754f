"""One program solved, and its answer made tidy: bounds met exactly, every limit checked, nothing silent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.optimise.cones import Answer, Block, Objective, check_status, solve_cones
from tidewright.portfolio.optimise.conflict import explain_conflict
from tidewright.portfolio.optimise.problem import Columns, Problem
from tidewright.portfolio.optimise.working_set import FEWEST, Rest, fits, solve_small

BROKEN = 1e-6  # a limit that is broken by more is an error, by more than SLIGHT a note
SLIGHT = 1e-8
_NEAR = 1e-5  # a weight within it of a bound that the dual says is tight stands on that bound
_DUST = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Goal:
    """What a method asks for beside the limits: blocks of its own, with words for those that can conflict.

    `targets` are words of limits of the goal, numbered after the problem's own.
    """

    objective: Objective
    blocks: tuple[Block, ...] = ()
    targets: tuple[str, ...] = ()
    scaled: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """Weights [A] that keep every limit, how the solver ended, and what to tell the reader."""

    weights: FloatArray
    value: float
    status: str
    gap: float
    iterations: int
    excess: float
    notes: tuple[str, ...] = ()


def reach(problem: Problem, columns: Columns, *, blocks: Sequence[Block], goal: Goal) -> Answer:
    """The solver's answer; an error in words where limits conflict or leave the weights unbounded."""
    every = [*blocks, *goal.blocks]
    answer = _solve_few_columns(problem, columns, every, goal=goal)
    answer = answer or solve_cones(every, objective=goal.objective, scaled=goal.scaled)
    if answer.infeasible:
        words = [*(limit.words for limit in problem.convex), *goal.targets]
        error = explain_conflict(
            [block for block in every if not block.fixed], words=words, columns=goal.objective.linear.size
        )
        raise error or AllocationError(
            "the solver finds no portfolio, and none of the limits conflict: they leave next to no room. Loosen one."
        )
    if answer.unbounded or (goal.scaled and answer.scale < _DUST):
        raise AllocationError(
            "the limits leave the size of the weights open, so that the best portfolio is infinite. Give 'leverage <= "
            "...', or bounds for each asset."
        )
    return answer


def _solve_few_columns(problem: Problem, columns: Columns, blocks: Sequence[Block], *, goal: Goal) -> Answer | None:
    """The answer by a working set of assets, where the program is of that kind."""
    size, traded = len(problem.assets), columns.bought is not None
    plain = columns.total == size * (1 + traded) and size >= FEWEST and not (traded and goal.scaled)
    if not (plain and problem.limits.long_only and fits(blocks, objective=goal.objective, columns=columns.total)):
        return None
    rest = Rest(problem.previous if traded and problem.previous is not None else np.zeros(size), traded)
    first = np.zeros(size, dtype=bool)
    hopes = goal.scaled or goal.blocks or goal.objective.linear.any()  # expected returns have a part in it
    for figure, share in _rank(problem, rest, hopes=bool(hopes)):
        first[np.argsort(figure, kind="stable")[: size // share]] = True
    return solve_small(blocks, objective=goal.objective, scaled=goal.scaled, rest=rest, first=first)


def _rank(problem: Problem, rest: Rest, *, hopes: bool) -> list[tuple[FloatArray, int]]:
    """Figures [A] of which the lowest are likely bought, or, where trades count, sold; and of which part of all."""
    moved = problem.covariance @ rest.weights if rest.traded else problem.covariance.mean(axis=1)
    worth = [(moved, 10), (-moved, 3)] if rest.traded else [(moved, 6)]
    if hopes:
        worth.append((-problem.mean / np.sqrt(np.diag(problem.covariance)), 6))
    return worth


def tidy(problem: Problem, *, blocks: Sequence[Block], answer: Answer) -> tuple[FloatArray, float, tuple[str, ...]]:
    """Weights [A], the most that any limit is broken by, and notes."""
    note = check_status(answer)
    raw = answer.x[: len(problem.assets)]
    before = measure_excess(problem, raw)
    weights = _snap(problem, raw, blocks=blocks, answer=answer)
    after = measure_excess(problem, weights)
    if after > max(before, SLIGHT / 2):
        weights, after = raw, before
    if after > BROKEN:
        raise AllocationError(
            f"the solver's weights break a limit by {after:.2e}, beyond {BROKEN:g}. Its status was {answer.status}; "
            "loosen a limit that leaves no room."
        )
    notes: tuple[str, ...] = () if note is None else (note,)
    if after > SLIGHT:
        notes += (f"a limit is broken by {after:.1e}, for rounding",)
    return weights, after, notes


def measure_excess(problem: Problem, weights: FloatArray) -> float:
    """By how much the convex limit that is broken most is broken; 0 where all are kept."""
    return max(
        (limit.excess(weights, previous=problem.previous, covariance=problem.covariance) for limit in problem.convex),
        default=0.0,
    )


def _snap(problem: Problem, raw: FloatArray, *, blocks: Sequence[Block], answer: Answer) -> FloatArray:
    """Weights put on the bounds that hold them, dust swept away, and the sum mended by the free ones."""
    weights = np.array(raw)
    fixed = _put_on_bounds(weights, blocks=blocks, answer=answer)
    dust = np.abs(weights) < _DUST
    weights[dust] = 0.0
    fixed |= dust
    if problem.previous is not None:
        still = np.abs(weights - problem.previous) < _DUST
        weights[still] = problem.previous[still]
        fixed |= still
    lower, upper = problem.limits.net
    total = float(weights.sum())
    aim = min(max(total, -np.inf if lower is None else lower), np.inf if upper is None else upper)
    size = np.where(fixed, 0.0, np.abs(weights))
    if size.sum() > 0.0:
        weights += (aim - total) * size / size.sum()
    return weights


def _put_on_bounds(weights: FloatArray, *, blocks: Sequence[Block], answer: Answer) -> np.ndarray:
    fixed = np.zeros(weights.size, dtype=bool)
    at = 0
    for block in blocks:
        rows = slice(at, at + block.constant.size)
        at = rows.stop
        if set(block.parts) != {0} or block.cone not in ("positive", "zero"):
            continue
        part = block.parts[0]
        if part.shape[1] != weights.size or (np.count_nonzero(part, axis=1) != 1).any():
            continue
        tight = (answer.dual[rows] > answer.slack[rows]) | (block.cone == "zero")
        asset = np.argmax(part != 0.0, axis=1)[tight]
        bound = -block.constant[tight] / part[tight, asset]
        near = np.abs(weights[asset] - bound) < _NEAR
        weights[asset[near]] = bound[near] + 0.0
        fixed[asset[near]] = True
    return fixed
