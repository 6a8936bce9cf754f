"""Which limits can't be kept together, in the words of who set them.

An elastic program gives every limit a slack and minimises their sum; limits that need some are made hard, until no
slack helps: among the hard ones is a conflict (Chinneck and Dravnieks 1991). A deletion filter then leaves out each
that the conflict doesn't need. What stays is minimal: without any one of them the others can be kept. Limits outside it
may be in a conflict of their own, which is told once this one is gone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from tidewright.errors import AllocationError
from tidewright.portfolio.optimise.cones import Block, Objective, relax, solve_cones

_NONE = 1e-7  # slack below it is rounding
_MOST = 100  # limits of a conflict that is made minimal, each of them a program
_TOLD = 8


def explain_conflict(blocks: Sequence[Block], *, words: Sequence[str], columns: int) -> AllocationError | None:
    """The error that names a minimal set of conflicting limits; None where all can be kept."""
    hard = _find_hard(blocks, count=len(words), columns=columns)
    if not hard:
        return None
    for limit in sorted(hard, reverse=True) if len(hard) <= _MOST else ():  # targets and sums first
        rest = hard - {limit}
        if rest and _sum_slack(blocks, kept=rest, loose=rest, columns=columns) > _NONE:
            hard = rest
    return AllocationError(_tell(blocks, hard, words=words, columns=columns))


def _tell(blocks: Sequence[Block], hard: set[int], *, words: Sequence[str], columns: int) -> str:
    first = sorted(hard, reverse=True)[:_TOLD]
    needs = {limit: _sum_slack(blocks, kept=hard, loose={limit}, columns=columns) for limit in sorted(first)}
    told = dict.fromkeys(
        f"{words[limit]!r}" + (f" (alone, by {need:.3g})" if np.isfinite(need) and len(hard) > 1 else "")
        for limit, need in needs.items()
    )
    more = f" and {len(hard) - len(first)} more" if len(hard) > len(first) else ""
    few = ", of which some may be no part of the conflict" if len(hard) > _MOST else ""
    verb = "can't be kept by any portfolio" if len(hard) == 1 else "can't be kept together"
    return f"these limits {verb}: {', '.join(told)}{more}{few}. Loosen or leave out one of them."


def _find_hard(blocks: Sequence[Block], *, count: int, columns: int) -> set[int]:
    """Limits among which there is a conflict; none where there is no conflict."""
    every, hard = set(range(count)), set[int]()
    while True:
        slack = _find_slack(blocks, kept=every, loose=every - hard, columns=columns)
        if slack is None:
            return hard
        needed = {limit for limit, value in slack.items() if value > _NONE}
        if not needed:
            return set()
        hard |= needed


def _sum_slack(blocks: Sequence[Block], *, kept: Collection[int], loose: Collection[int], columns: int) -> float:
    slack = _find_slack(blocks, kept=kept, loose=loose, columns=columns)
    return float("inf") if slack is None else sum(slack.values())


def _find_slack(
    blocks: Sequence[Block], *, kept: Collection[int], loose: Collection[int], columns: int
) -> dict[int, float] | None:
    """The least sum of slacks, by limit, that lets the kept limits be kept; None where no slack does."""
    place = {limit: number for number, limit in enumerate(sorted(loose))}
    chosen = [block for block in blocks if block.limit is None or block.limit in kept]
    rows = relax(chosen, first=columns, loose=place)
    if place:
        rows.append(Block("positive", {columns: np.eye(len(place))}, np.zeros(len(place))))
    objective = Objective(np.concatenate([np.zeros(columns), np.ones(len(place))]))
    answer = solve_cones(rows, objective=objective)
    if answer.infeasible or (not place and answer.status not in ("Solved", "AlmostSolved")):
        return None
    return {limit: max(0.0, float(answer.x[columns + number])) for limit, number in place.items()}
