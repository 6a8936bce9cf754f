"""Limits and costs as blocks of a cone program. A assets; every block is homogeneous in the scale (see cones)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.limits.rows import Limit
from tidewright.portfolio.optimise.cones import Block
from tidewright.portfolio.optimise.problem import Columns, Problem, square_root


def write_limits(problem: Problem, columns: Columns) -> list[Block]:
    """The blocks of the limits, numbered as in `problem.convex`, and of what the columns mean."""
    blocks = list(_define_columns(problem, columns))
    for number, limit in enumerate(problem.convex):
        blocks += _write_limit(limit, number, problem=problem, columns=columns)
    return blocks


def write_costs(problem: Problem, columns: Columns) -> tuple[FloatArray, float]:
    """Costs a period as gradient @ x + constant: exact where `bought`, `short` and `moved` are tight, else above."""
    gradient, constant = np.zeros(columns.total), 0.0
    size = columns.assets
    if columns.bought is not None and problem.rate > 0.0:
        assert problem.previous is not None
        gradient[columns.bought : columns.bought + size] = 2.0 * problem.rate  # |d| = 2 max(d, 0) - d
        gradient[:size] -= problem.rate
        constant += problem.rate * float(problem.previous.sum())
    if columns.moved is not None:
        assert problem.impact is not None
        gradient[columns.moved : columns.moved + size] = problem.impact
    if columns.short is not None:
        gradient[columns.short : columns.short + size] = problem.borrow
    return gradient, constant


def write_earnings(problem: Problem, columns: Columns) -> tuple[FloatArray, float]:
    """The expected return over cash's after costs, as gradient @ x + constant; exact or below."""
    gradient, constant = write_costs(problem, columns)
    gradient = -gradient
    gradient[: columns.assets] += problem.mean - problem.risk_free
    return gradient, -constant


def write_variance(problem: Problem, columns: Columns) -> tuple[FloatArray, int, float]:
    """The variance as x' matrix x over columns from a first one on, in a unit that makes tolerances mean something."""
    unit = float(np.diag(problem.covariance).mean())
    if columns.spread is not None:
        return np.eye(columns.assets), columns.spread, unit
    return problem.covariance / unit, 0, unit


def bound_risk(problem: Problem, columns: Columns, *, radius: float, benchmark: FloatArray, limit: int) -> Block:
    """The standard deviation of (w - benchmark) @ returns is at most the radius, by the columns `spread`."""
    assert columns.spread is not None
    unit, size = float(np.sqrt(np.diag(problem.covariance).mean())), columns.assets
    parts = {columns.spread: np.vstack([np.zeros((1, size)), np.eye(size)])}
    held = square_root(problem.covariance) @ benchmark / unit
    return Block("second_order", parts, np.concatenate([[radius / unit], -held]), limit)


def _define_columns(problem: Problem, columns: Columns) -> Iterator[Block]:
    size = columns.assets
    one, none = np.eye(size), np.zeros(size)
    if columns.bought is not None:
        assert problem.previous is not None
        yield Block("positive", {columns.bought: one}, none)
        yield Block("positive", {columns.bought: one, 0: -one}, problem.previous)
    if columns.short is not None:
        yield Block("positive", {columns.short: one}, none)
        yield Block("positive", {columns.short: one, 0: one}, none)
    if columns.moved is not None:
        assert problem.previous is not None
        moved, traded, constant = np.zeros((3 * size, size)), np.zeros((3 * size, size)), np.zeros(3 * size)
        each = np.arange(size)
        moved[3 * each, each] = 1.0
        constant[1::3] = 1.0
        traded[3 * each + 2, each] = 1.0
        constant[2::3] = -problem.previous
        yield Block("power", {columns.moved: moved, 0: traded}, constant)
    if columns.spread is not None:
        root = square_root(problem.covariance) / np.sqrt(np.diag(problem.covariance).mean())
        yield Block("zero", {0: root, columns.spread: -one}, none)


def _write_limit(limit: Limit, number: int, *, problem: Problem, columns: Columns) -> list[Block]:
    size = columns.assets
    if limit.kind == "linear":
        return _write_linear(limit, number)
    if limit.kind == "tracking_error":
        return [bound_risk(problem, columns, radius=limit.upper, benchmark=limit.rows[0], limit=number)]
    if limit.kind == "trades":
        assert problem.previous is not None
        one, band, held = np.eye(size), limit.rows[0], problem.previous
        return [Block("positive", {0: sign * one}, band - sign * held, number) for sign in (1.0, -1.0)]
    if limit.kind == "turnover":
        if columns.bought is None:
            raise AllocationError(
                f"{limit.words!r} has nothing to count from. Pass previous=, the weights that are held now (zeros "
                "where all is cash)."
            )
        assert problem.previous is not None
        parts = {0: np.ones((1, size)), columns.bought: np.full((1, size), -2.0)}
        return [Block("positive", parts, np.array([limit.upper - problem.previous.sum()]), number)]
    parts = {0: np.full((1, size), -1.0)}
    if columns.short is not None:
        parts[columns.short] = np.full((1, size), -2.0)
    return [Block("positive", parts, np.array([limit.upper]), number)]


def _write_linear(limit: Limit, number: int) -> list[Block]:
    count = limit.rows.shape[0]
    if limit.lower == limit.upper:
        return [Block("zero", {0: limit.rows}, np.full(count, -limit.lower), number)]
    made = []
    if np.isfinite(limit.lower):
        made.append(Block("positive", {0: limit.rows}, np.full(count, -limit.lower), number))
    if np.isfinite(limit.upper):
        made.append(Block("positive", {0: -limit.rows}, np.full(count, limit.upper), number))
    return made
