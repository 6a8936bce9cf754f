"""A cone program for Clarabel, made of blocks of rows, and its answer. n columns, m rows.

A block says parts @ x + constant * scale in its cone. `scale` is one, or in a homogenised program (max Sharpe) one
more column, by which the answer is divided. So every limit is written down once for both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from tidewright.errors import AllocationError
from tidewright.optional import require
from tidewright.portfolio.inputs import FloatArray

Cone = Literal["zero", "positive", "second_order", "power"]

TOLERANCE = 1e-10
FEASIBLE = 1e-9  # residuals of rows, in their own units
CURVED = 1e-9  # the same with cones that are no half-spaces
LOOSER = 1e-8  # where rounding stops the solver before; noted
REDUCED = 1e-7  # and before LOOSER; noted too
POWER = 2.0 / 3.0  # (s, 1, d) with s^(2/3) >= |d|, that is s >= |d|^(3/2)
_ENDED = ("Solved", "PrimalInfeasible", "DualInfeasible")


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Rows of one cone. `parts` is first column to matrix [m, k]; `power` cones are stacked, three rows each.

    `limit` is the number of the limit that the rows are of, None for what only defines a variable. A `fixed` constant
    is not multiplied by the scale.
    """

    cone: Cone
    parts: Mapping[int, FloatArray]
    constant: FloatArray
    limit: int | None = None
    fixed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Objective:
    """x' quadratic x / 2 over the columns from `at` on + linear @ x, to be minimised."""

    linear: FloatArray
    quadratic: FloatArray | None = None
    at: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What the solver said: x [n] (divided by the scale), duals and slacks a row, both objectives, and how it ended."""

    x: FloatArray
    scale: float
    dual: FloatArray
    slack: FloatArray
    objective: float
    dual_objective: float
    status: str
    iterations: int
    tolerance: float

    @property
    def gap(self) -> float:
        """The distance of the two objectives, relative to their size."""
        return abs(self.objective - self.dual_objective) / max(1.0, abs(self.objective))

    @property
    def infeasible(self) -> bool:
        return self.status in ("PrimalInfeasible", "AlmostPrimalInfeasible")

    @property
    def unbounded(self) -> bool:
        return self.status in ("DualInfeasible", "AlmostDualInfeasible")


class Program:
    """A program handed to Clarabel once, that can be solved again with other constants."""

    def __init__(
        self, blocks: Sequence[Block], *, objective: Objective, scaled: bool = False, tolerance: float | None = None
    ) -> None:
        clarabel = require("clarabel", extra="risk", purpose="optimising weights")
        curved = any(block.cone in ("second_order", "power") for block in blocks)
        self._tolerance = tolerance or (CURVED if curved else TOLERANCE)
        self._blocks, self._objective, self._scaled = blocks, objective, scaled
        self._columns = objective.linear.size
        self._solver = clarabel.DefaultSolver(
            _write_quadratic(objective, columns=self._columns + scaled),
            np.append(objective.linear, np.zeros(int(scaled))),
            _write_rows(blocks, columns=self._columns, scaled=scaled),
            _write_constants(blocks, scaled=scaled),
            _write_cones(blocks, clarabel),
            _write_settings(clarabel, tolerance=self._tolerance),
        )

    def solve(self, blocks: Sequence[Block] | None = None) -> Answer:
        """The answer; `blocks` are those of before with other constants.

        Where rounding stops the solver on its way, the program is solved once more to LOOSER.
        """
        if blocks is not None:
            self._solver.update(b=_write_constants(blocks, scaled=self._scaled))
        answer = self._read(self._solver.solve())
        if answer.status in _ENDED or self._tolerance == LOOSER:
            return answer
        again = self._blocks if blocks is None else blocks
        return Program(again, objective=self._objective, scaled=self._scaled, tolerance=LOOSER).solve()

    def _read(self, found: Any) -> Answer:
        x = np.array(found.x)
        scale = float(x[-1]) if self._scaled else 1.0
        return Answer(
            x=x[: self._columns] / scale if scale > 0.0 else x[: self._columns],
            scale=scale,
            dual=np.array(found.z),
            slack=np.array(found.s),
            objective=float(found.obj_val),
            dual_objective=float(found.obj_val_dual),
            status=str(found.status),
            iterations=int(found.iterations),
            tolerance=self._tolerance,
        )


def solve_cones(blocks: Sequence[Block], *, objective: Objective, scaled: bool = False) -> Answer:
    """The program's answer, whatever its status."""
    return Program(blocks, objective=objective, scaled=scaled).solve()


def relax(blocks: Sequence[Block], *, first: int, loose: Mapping[int, int]) -> list[Block]:
    """The blocks with slack added to the limits in `loose` (limit to its slack column, counted from `first`).

    An equality becomes two sides; a second-order cone's slack widens its radius.
    """
    made = []
    for block in blocks:
        if block.limit is None or block.limit not in loose:
            made.append(block)
            continue
        column, rows = first + loose[block.limit], block.constant.size
        if block.cone == "zero":
            for sign in (1.0, -1.0):
                parts = {start: sign * part for start, part in block.parts.items()} | {column: np.ones((rows, 1))}
                made.append(replace(block, cone="positive", parts=parts, constant=sign * block.constant))
            continue
        step = np.ones((rows, 1)) if block.cone == "positive" else np.eye(rows, 1)
        made.append(replace(block, parts={**block.parts, column: step}))
    return made


def check_status(answer: Answer) -> str | None:
    """A note where the answer is less exact than was asked for; an error where there is none.

    Infeasible and unbounded programs are the caller's, who knows what they mean.
    """
    if answer.status == "Solved" and answer.tolerance < LOOSER:
        return None
    if answer.status in ("Solved", "AlmostSolved"):
        reached = answer.tolerance if answer.status == "Solved" else REDUCED
        return f"rounding stopped the solver at {reached:g}; the relative gap is {answer.gap:.1e}"
    raise AllocationError(
        f"the solver ended with {answer.status} after {answer.iterations} iterations at a relative gap of "
        f"{answer.gap:.1e}, and there are no weights to trust. Look for returns, costs or limits that differ by many "
        "orders of size, or loosen a limit that leaves no room."
    )


def _write_quadratic(objective: Objective, *, columns: int) -> Any:
    from scipy.sparse import csc_matrix

    if objective.quadratic is None:
        return csc_matrix((columns, columns))
    row, column = np.nonzero(np.triu(objective.quadratic))
    entries = (objective.quadratic[row, column], (row + objective.at, column + objective.at))
    return csc_matrix(entries, shape=(columns, columns))


def _write_rows(blocks: Sequence[Block], *, columns: int, scaled: bool) -> Any:
    """Clarabel's A of A x + s = b, where s is what lies in the cone."""
    from scipy.sparse import coo_matrix

    rows, places = [np.zeros(0, dtype=np.intp)], [np.zeros(0, dtype=np.intp)]
    values = [np.zeros(0)]
    at = 0
    for block in blocks:
        parts = dict(block.parts)
        if scaled and not block.fixed:
            parts[columns] = block.constant[:, None]
        for start, part in parts.items():
            row, column = np.nonzero(part)
            rows.append(row + at)
            places.append(column + start)
            values.append(-part[row, column])
        at += block.constant.size
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(places)))
    return coo_matrix(entries, shape=(at, columns + scaled)).tocsc()


def _write_constants(blocks: Sequence[Block], *, scaled: bool) -> FloatArray:
    return np.concatenate([np.zeros(0), *(block.constant * float(block.fixed or not scaled) for block in blocks)])


def _write_cones(blocks: Sequence[Block], clarabel: Any) -> list[Any]:
    cones: list[Any] = []
    for block in blocks:
        rows = block.constant.size
        if block.cone == "power":
            cones += [clarabel.PowerConeT(POWER)] * (rows // 3)
        else:
            kind = {"zero": "ZeroConeT", "positive": "NonnegativeConeT", "second_order": "SecondOrderConeT"}
            cones.append(getattr(clarabel, kind[block.cone])(rows))
    return cones


def _write_settings(clarabel: Any, *, tolerance: float) -> Any:
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.presolve_enable = False  # constants could not be changed after it
    settings.max_threads = 1
    settings.tol_gap_abs = settings.tol_gap_rel = tolerance
    settings.tol_feas = max(tolerance, FEASIBLE)
    settings.reduced_tol_gap_abs = settings.reduced_tol_gap_rel = settings.reduced_tol_feas = REDUCED
    return settings
