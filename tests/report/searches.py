"""Trials that a search might have made, without one, for the tests of its pictures and page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.report.worlds import NASTY
from tidewright.tuning.goals import Goal, find_goal
from tidewright.tuning.ranges import Choice, FloatRange, IntRange
from tidewright.tuning.rules import Rule
from tidewright.tuning.searchers.shares import value_at
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.trial import Trial, TrialState
from tidewright.tuning.tried import Tried

WEIGHTS = Goal("weights", "forecasts", "lower", "")
SPACE = SearchSpace(
    "lstm",
    {
        "model.hidden": IntRange(16, 256, step=16),
        "train.learning_rate": FloatRange(1e-5, 1e-1, log=True),
        "model.head": Choice(("linear", NASTY, None)),
        "model.sizes": Choice(((256, 128), (64,))),
        "train.batch_size": IntRange(16, 64, log=True),
        "one": Choice(("alone",)),
    },
    {"model.sizes": Rule(when={"model.head": Choice((NASTY,))})},
)


def make_tried(trials: int = 40, *, metrics: Sequence[str] = ("mase",), space: SearchSpace = SPACE) -> Tried:
    """Random points; trial 3 is far worse than all, 5 and every seventh are pruned, 6 failed, 8 reported nonsense."""
    rng = np.random.default_rng(2)
    done = [
        _try(number, space.walk(lambda _, one: value_at(one, rng.random())), len(metrics)) for number in range(trials)
    ]
    goals = tuple(WEIGHTS if name == "weights" else find_goal(name) for name in metrics)
    return Tried(space, tuple(done), goals)


def _try(number: int, point: dict[str, Any], objectives: int) -> Trial:
    value = 1.0 + abs(math.log10(point["train.learning_rate"]) + 3.0) / 4.0 + 0.001 * (number % 5)
    if number == 3:
        value = 1e9
    state, error = TrialState.COMPLETE, ""
    if number == 6:
        state, error = TrialState.FAILED, f"FitError: {NASTY}"
    elif number == 5 or number % 7 == 4:
        state, error = (
            TrialState.PRUNED,
            f"its best value {value:.3f} is above 1.1, the median of {number}",
        )
    epochs = 6 if state is TrialState.COMPLETE else 3
    steps = tuple((epoch, value + 1.0 / epoch) for epoch in range(1, epochs + 1)) if number != 3 else ()
    if number == 8:
        steps = ((1, math.nan), (2, 1.5), (3, math.inf))
    values = (value, float(point["model.hidden"]))[:objectives] if state is TrialState.COMPLETE else ()
    return Trial(number, state, values, point, f"{number:012x}", 2.0, 1.5, steps, {}, error)
