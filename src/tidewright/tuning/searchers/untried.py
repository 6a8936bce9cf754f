"""What the searchers share: which points were tried, a draw that depends on the history alone, and the next untried
point."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Set
from typing import Any

import numpy as np

from tidewright.tuning.ranges import FloatRange
from tidewright.tuning.searchers.searcher import History
from tidewright.tuning.searchers.shares import value_at
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.trial import Trial

MOST_TURNS = 20  # proposals of a method, before even draws take over
MOST_DRAWS = 200  # even draws, before the points are gone through one by one

Point = Mapping[str, Any]


class Tried:
    """The tried points of a history as labels. What it keeps of trials that it has met is a cache and no more."""

    def __init__(self) -> None:
        self._space: SearchSpace | None = None
        self._met: dict[int, tuple[Trial, str]] = {}

    def labels(self, history: History) -> Set[str]:
        """The label of each trial's point, running ones too; points outside the space have none."""
        if history.space is not self._space:
            self._space, self._met = history.space, {}
        for trial in history.trials:
            met = self._met.get(trial.number)
            if met is None or met[0] is not trial:
                held = history.space.holds(trial.parameters)
                self._met[trial.number] = trial, label_of(history.space, trial.parameters) if held else ""
        return {self._met[trial.number][1] for trial in history.trials}


def label_of(space: SearchSpace, point: Point) -> str:
    """A point of a space as text, the same for equal points; what the space doesn't name is left out."""
    named = [
        (name, float(point[name]) if isinstance(one, FloatRange) else point[name])
        for name, one in space.ranges.items()
        if name in point
    ]
    return json.dumps(named)


def rng_of(history: History, turn: int = 0) -> np.random.Generator:
    """Randomness from the study's seed, the number of the trial and the turn alone."""
    return np.random.default_rng([history.seed, history.number, turn])


def seed_of(history: History, turn: int = 0) -> int:
    """The same as one whole number, for libraries that take one."""
    return int(np.random.SeedSequence([history.seed, history.number, turn]).generate_state(1)[0])


def draw_point(space: SearchSpace, rng: np.random.Generator) -> dict[str, Any]:
    """A point drawn evenly, option by option."""
    return space.walk(lambda _, one: value_at(one, rng.random()))


def next_untried(history: History, tried: Set[str], propose: Callable[[int], Point | None]) -> Point | None:
    """The first of `propose(0)`, `propose(1)` ... that was not tried; after `MOST_TURNS` of them, or None, one drawn
    evenly, at last the first of all points. None where every point was tried."""
    space = history.space
    if len(tried - {""}) >= space.size:
        return None
    for turn in range(MOST_TURNS):
        point = propose(turn)
        if point is None:
            break
        if label_of(space, point) not in tried:
            return point
    for turn in range(MOST_DRAWS):
        point = draw_point(space, rng_of(history, MOST_TURNS + turn))
        if label_of(space, point) not in tried:
            return point
    return next((point for point in space.points() if label_of(space, point) not in tried), None)
