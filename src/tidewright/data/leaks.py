"""Findings about covariates that hold the target itself, now or from the future."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from tidewright.data.findings import Finding
from tidewright.data.panel import Floats
from tidewright.data.view import View

Pairs = tuple[Floats, Floats]
_SAMPLE = 2_000
_EXACT = 1e-10  # 1 - r^2 of what is the same column up to rounding
_LEAST = 8


def find_leaks(view: View, *, ahead: int) -> list[Finding]:
    """Columns equal to the target, or a straight line of it, at the same time or up to `ahead` steps later.

    A known column may not even hold the target of fewer than `ahead` steps ago: over the horizon that is the
    future.
    """
    found = []
    for name in (*view.panel.roles.past, *view.panel.roles.known):
        known = name in view.panel.roles.known
        column = view.panel.values(name)
        for shift in (0, *range(1, ahead + 1), *(range(-1, -ahead, -1) if known else ())):
            how = _relation(view, column, shift)
            if how is not None:
                found.append(_leak(view, name, shift, known=known, how=how))
                break
    return found


def _relation(view: View, column: Floats, shift: int) -> Literal["equal to", "a straight line of"] | None:
    """How column[t] hangs on target[t + shift], tested on a sample first."""
    for limit in (_SAMPLE, None):
        target, other = _pairs(view, column, shift, limit)
        if len(target) < _LEAST or np.ptp(target) == 0 or np.ptp(other) == 0:
            return None
        if np.array_equal(target, other):
            how: Literal["equal to", "a straight line of"] = "equal to"
        elif _on_a_line(target, other):
            how = "a straight line of"
        else:
            return None
    return how


def _pairs(view: View, column: Floats, shift: int, limit: int | None) -> Pairs:
    """Target and column where both are there; the first series of a few rows each when there is a limit."""
    target, codes = view.panel.target, view.panel.codes
    end = len(target) if limit is None else min(len(target), 4 * limit + abs(shift))
    ahead, now = (slice(max(shift, 0), end + min(shift, 0)), slice(max(-shift, 0), end - max(shift, 0)))
    y, x = target[ahead], column[now]
    both = (codes[ahead] == codes[now]) & ~np.isnan(y) & ~np.isnan(x)
    places: npt.NDArray[np.intp] = np.flatnonzero(both)[:limit]
    return y[places], x[places]


def _on_a_line(target: Floats, other: Floats) -> bool:
    y, x = target - target.mean(), other - other.mean()
    y, x = y / np.abs(y).max(), x / np.abs(x).max()
    r2 = float((x @ y) ** 2 / ((x @ x) * (y @ y)))
    return 1.0 - r2 < _EXACT


def _leak(view: View, name: str, shift: int, *, known: bool, how: str) -> Finding:
    target = view.panel.roles.target
    when = "at the same time" if shift == 0 else f"{abs(shift)} steps {'later' if shift > 0 else 'earlier'}"
    role = "known" if known else "past"
    message = f"the {role} column '{name}' is {how} the target '{target}' {when}"
    if shift == 0 and not known:
        remedy = "It adds nothing to the target's own past: drop it."
        return Finding("warning", "copied_target", f"{message}.", rows=len(view.rows), remedy=remedy)
    remedy = "Nobody has it at the cutoff: drop it, or give the column as it was known then."
    return Finding(
        "error", "leaked_target", f"{message}: it gives the answer away.", rows=len(view.rows), remedy=remedy
    )
