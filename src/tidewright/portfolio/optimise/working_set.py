"""Long-only variance problems of many assets, solved over the few that matter. A assets, W of them in the working set.

Most of many assets end at zero, and the solver's work grows with the cube of their number. So the program is solved
with all but a working set at zero, and the gradient says of each that was left out whether a little of it would help:
those are added, until there are none. The last answer is then the whole program's, by its own conditions (Karush, Kuhn
and Tucker); where the set is no small part, or the smaller program has no answer, the whole is solved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.optimise.cones import Answer, Block, Objective, solve_cones

FEWEST = 150  # assets: fewer are solved at once
_PART = 0.5  # of the assets, beyond which the whole is as quick
_SLOPE = 1e-10  # a gradient this little below zero, in units of the mean variance, is none


def solve_small(
    blocks: Sequence[Block], *, objective: Objective, scaled: bool, worth: Sequence[FloatArray]
) -> Answer | None:
    """The whole program's answer; `worth` [A] are figures of which the lowest are likely held. All rows are linear, and
    every column is a weight that may be zero."""
    assert objective.quadratic is not None
    size = objective.linear.size
    chosen = _must_hold(blocks, size=size)
    for figure in worth:
        chosen[np.argsort(figure, kind="stable")[: size // 6]] = True
    while chosen.sum() < _PART * size:
        kept = [_select(block, chosen) for block in blocks]
        if not all(_hold(block, mask) for block, (_, mask) in zip(blocks, kept, strict=True)):
            return None
        rows = [block for block, _ in kept]
        part = Objective(objective.linear[chosen], objective.quadratic[np.ix_(chosen, chosen)])
        answer = solve_cones([_shift(row, size, int(chosen.sum())) for row in rows], objective=part, scaled=scaled)
        if answer.status != "Solved":
            return None
        whole = _widen(answer, blocks, [mask for _, mask in kept], chosen)
        missed = ~chosen & (_slope(whole, blocks, objective) < -_SLOPE)
        if not missed.any():
            return whole
        chosen |= missed
    return None


def fits(blocks: Sequence[Block], *, objective: Objective, columns: int) -> bool:
    """Whether a program is of the kind that `solve_small` takes: the caller says that zero is within every bound."""
    linear = all(block.cone in ("zero", "positive") for block in blocks)
    return (
        linear and objective.quadratic is not None and objective.at == 0 and objective.linear.size == columns >= FEWEST
    )


def _must_hold(blocks: Sequence[Block], *, size: int) -> NDArray[np.bool_]:
    """Assets that a row of their own keeps away from zero."""
    must = np.zeros(size, dtype=bool)
    for block in blocks:
        if set(block.parts) == {0}:
            part = block.parts[0]
            away = (block.constant < 0.0) | ((block.cone == "zero") & (block.constant != 0.0))
            must |= part[away & (np.count_nonzero(part, axis=1) == 1)].any(axis=0)
    return must


def _hold(block: Block, mask: NDArray[np.bool_]) -> bool:
    """Whether the rows that were left out are kept by zeros."""
    left = block.constant[~mask]
    return bool((left == 0.0).all() if block.cone == "zero" else (left >= 0.0).all())


def _select(block: Block, chosen: NDArray[np.bool_]) -> tuple[Block, NDArray[np.bool_]]:
    """The block over the chosen columns, without rows that say nothing of them; and which rows stay."""
    parts = {start: part[:, chosen] if start == 0 else part for start, part in block.parts.items()}
    mask = np.zeros(block.constant.size, dtype=bool)
    for part in parts.values():
        mask |= part.any(axis=1)
    kept = {start: part[mask] for start, part in parts.items()}
    return replace(block, parts=kept, constant=block.constant[mask]), mask


def _shift(block: Block, columns: int, count: int) -> Block:
    """Columns after the weights (the scale's) moved to where the weights end now."""
    return replace(block, parts={start - columns + count if start else 0: part for start, part in block.parts.items()})


def _widen(
    answer: Answer, blocks: Sequence[Block], masks: Sequence[NDArray[np.bool_]], chosen: NDArray[np.bool_]
) -> Answer:
    """The answer over all columns and rows: zeros where nothing was solved."""
    x = np.zeros(chosen.size)
    x[chosen] = answer.x
    mask = np.concatenate(masks)
    dual, slack = np.zeros(mask.size), np.zeros(mask.size)
    dual[mask], slack[mask] = answer.dual, answer.slack
    return replace(answer, x=x, dual=dual, slack=slack)


def _slope(answer: Answer, blocks: Sequence[Block], objective: Objective) -> FloatArray:
    """How the objective changes with a little of each weight, the prices of the rows counted."""
    assert objective.quadratic is not None
    slope = objective.quadratic @ (answer.x * answer.scale) + objective.linear
    at = 0
    for block in blocks:
        dual = answer.dual[at : at + block.constant.size]
        at += block.constant.size
        if 0 in block.parts and dual.any():
            slope -= block.parts[0].T @ dual
    return np.asarray(slope)
