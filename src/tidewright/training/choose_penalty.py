"""The penalty of lines, chosen on validation cells."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tidewright.models.line import Line
from tidewright.training.cells import Learned, Learning


def choose_penalty(
    penalties: Sequence[float],
    solve: Callable[[float], tuple[Line, bool]],
    *,
    judge: Callable[[Line], tuple[float, float]],
    goal: str,
    cells: int,
    learning: Learning,
) -> Learned:
    """One line a penalty, the largest first, and the best one on validation.

    `solve` gives the line of a penalty and whether it is solved to the end, `judge` its losses of learning and of
    validation. The history's last record tells the `goal` and how many `cells` were learned from.
    """
    history: list[Mapping[str, Any]] = []
    best, best_loss, chosen, late = None, float("inf"), 0.0, False
    for number, penalty in enumerate(sorted(penalties, reverse=True), start=1):
        line, solved = solve(penalty)
        losses = judge(line)
        used = int((line.weights != 0.0).any(axis=1).sum())
        history.append({**learning.tell(number, *losses), "penalty": penalty, "features": used, "solved": solved})
        if best is None or losses[1] < best_loss:
            best, best_loss, chosen = line, losses[1], penalty
        late = learning.deadline is not None and time.monotonic() > learning.deadline
        if late:
            break
    assert best is not None
    told = {"goal": goal, "penalty": chosen, "cells": cells, "validation_loss": best_loss}
    return Learned(best, (*history, {**told, "stopped": "deadline" if late else "all penalties"}))
