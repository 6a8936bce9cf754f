"""Long-only variance problems of many assets, solved over the few that matter. A assets, n columns.

Most of many assets end at zero, or, where trades are limited or paid for, as they were; and the solver's work grows
with the cube of their number. So the program is solved with all but a working set at rest, and the gradient says of
each that was left out whether a little more or less of it would help: those are added, until there are none. The last
answer is then the whole program's, by its own conditions (Karush, Kuhn and Tucker); where the set is no small part, or
the smaller program has no answer, the whole is solved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.optimise.cones import Answer, Block, Objective, solve_cones

FEWEST = 150  # assets: fewer are solved at once
_PART = 0.6  # of the assets, beyond which the whole is as quick
_SLOPE = 1e-10  # a gradient this little beyond its bound, in units of the mean variance, is none
_ROOM = 1e-12
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Rest:
    """Where assets stand that are left out: `weights` [A], zero or what is held. `traded` says that the columns after
    the weights are purchases, A of them, which are zero then."""

    weights: FloatArray
    traded: bool = False

    def columns(self) -> FloatArray:
        """The value of every column at rest."""
        return np.concatenate([self.weights, np.zeros(self.weights.size * self.traded)])

    def spread(self, chosen: Mask) -> Mask:
        """The columns of the chosen assets."""
        return np.tile(chosen, 1 + self.traded)


def fits(blocks: Sequence[Block], *, objective: Objective, columns: int) -> bool:
    """Whether a program is of the kind that `solve_small` takes: linear rows, and a variance of the weights."""
    linear = all(block.cone in ("zero", "positive") for block in blocks)
    return linear and objective.quadratic is not None and objective.at == 0 and objective.linear.size == columns


def solve_small(
    blocks: Sequence[Block], *, objective: Objective, scaled: bool, rest: Rest, first: Mask
) -> Answer | None:
    """The whole program's answer, beginning with the assets in `first` [A]; None where the whole is to be solved.

    A homogenised (`scaled`) program rests at zero.
    """
    assert objective.quadratic is not None
    chosen = first | _must_move(blocks, rest)
    while chosen.sum() < _PART * chosen.size:
        mask = rest.spread(chosen)
        kept = [_select(block, mask, rest.columns()) for block in blocks]
        if not all(_holds(block, rows) for block, rows, _ in kept):
            return None
        part = _narrow(objective, chosen, rest)
        answer = solve_cones([small for _, _, small in kept], objective=part, scaled=scaled)
        if answer.status != "Solved":
            return None
        whole = _widen(answer, [rows for _, rows, _ in kept], mask, rest)
        missed = ~chosen & _would_help(_slope(whole, blocks, objective), rest)
        if not missed.any():
            return whole
        chosen |= missed
    return None


def _must_move(blocks: Sequence[Block], rest: Rest) -> Mask:
    """Assets that a row of their own keeps away from where they rest."""
    size = rest.weights.size
    must = np.zeros(size, dtype=bool)
    for block in blocks:
        if set(block.parts) == {0} and block.parts[0].shape[1] == size:
            part = block.parts[0]
            left = block.constant + part @ rest.weights
            away = (left < -_ROOM) | ((block.cone == "zero") & (np.abs(left) > _ROOM))
            must |= part[away & (np.count_nonzero(part, axis=1) == 1)].any(axis=0)
    return must


def _select(block: Block, mask: Mask, still: FloatArray) -> tuple[Block, Mask, Block]:
    """The block with what is at rest in its constants; which rows say something of the others; and these rows alone."""
    place = np.concatenate([[0], np.cumsum(mask)])
    constant, parts = block.constant, dict[int, FloatArray]()
    rows = np.zeros(constant.size, dtype=bool)
    for start, part in block.parts.items():
        if start >= mask.size:  # the scale
            parts[int(place[-1])] = part
        else:
            held = mask[start : start + part.shape[1]]
            parts[int(place[start])] = part[:, held]
            constant = constant + part[:, ~held] @ still[start : start + part.shape[1]][~held]
    for part in parts.values():
        rows |= part.any(axis=1)
    shifted = replace(block, constant=constant)
    kept = {start: part[rows] for start, part in parts.items()}
    return shifted, rows, replace(block, parts=kept, constant=constant[rows])


def _holds(shifted: Block, rows: Mask) -> bool:
    """Whether the rows that are left out are kept where all of theirs is at rest."""
    left = shifted.constant[~rows]
    return bool((np.abs(left) <= _ROOM).all() if shifted.cone == "zero" else (left >= -_ROOM).all())


def _narrow(objective: Objective, chosen: Mask, rest: Rest) -> Objective:
    """The objective over the chosen assets' columns, the others at rest."""
    assert objective.quadratic is not None
    linear = objective.linear[rest.spread(chosen)]
    linear[: chosen.sum()] += objective.quadratic[np.ix_(chosen, ~chosen)] @ rest.weights[~chosen]
    return Objective(linear, objective.quadratic[np.ix_(chosen, chosen)])


def _widen(answer: Answer, rows: Sequence[Mask], mask: Mask, rest: Rest) -> Answer:
    """The answer over all columns and rows: at rest, and without a price, where nothing was solved."""
    x = rest.columns()
    x[mask] = answer.x
    kept = np.concatenate(rows)
    dual, slack = np.zeros(kept.size), np.zeros(kept.size)
    dual[kept], slack[kept] = answer.dual, answer.slack
    return replace(answer, x=x, dual=dual, slack=slack)


def _slope(answer: Answer, blocks: Sequence[Block], objective: Objective) -> FloatArray:
    """How the objective changes with a little more of each column, the prices of the rows counted."""
    assert objective.quadratic is not None
    slope = np.array(objective.linear)
    size = objective.quadratic.shape[0]
    slope[:size] += objective.quadratic @ (answer.x[:size] * answer.scale)
    at = 0
    for block in blocks:
        dual = answer.dual[at : at + block.constant.size]
        at += block.constant.size
        for start, part in block.parts.items() if dual.any() else ():
            if start < slope.size:
                slope[start : start + part.shape[1]] -= part.T @ dual
    return slope


def _would_help(slope: FloatArray, rest: Rest) -> Mask:
    """Assets of which a little more, or less where some is held, would lower the objective."""
    size = rest.weights.size
    price = slope[size:] if rest.traded else 0.0  # of a purchase
    more = slope[:size] < -price - _SLOPE
    return np.asarray(more | (slope[:size] > _SLOPE) & (rest.weights > 0.0))
