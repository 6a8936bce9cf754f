"""Covariance matrix adaptation (Hansen and Ostermeier, 2001), of the package cmaes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tidewright.optional import require
from tidewright.tuning.ranges import Choice
from tidewright.tuning.searchers.cube import Cube, Doubles
from tidewright.tuning.searchers.searcher import History, need_one_objective
from tidewright.tuning.searchers.untried import Tried, next_untried, seed_of
from tidewright.tuning.searchers.worth import Worth, weigh_trials

SPREAD = 0.25  # of the first generation, as a share of each range
FARTHEST = 3.0  # deviations that a point may lie from the mean, in root of options (Hansen, 2011)


class CMASearcher:
    """Moves a normal distribution towards better points, a generation of ended trials after the other.

    The distribution is made from the history anew each time: its trials in the order of their numbers, whoever
    suggested them, a generation's size at once; points far from the mean are drawn nearer, as Hansen (2011) does with
    such. A choice is as many numbers as it has values, of which the largest wins. Whole numbers are rounded.
    """

    def __init__(self) -> None:
        self._tried = Tried()

    def suggest(self, history: History) -> Mapping[str, Any] | None:
        """See `Searcher`."""
        need_one_objective(history, "cmaes")
        cube = Cube(history.space)
        if not cube.options:
            return next_untried(history, self._tried.labels(history), lambda _: None)
        state = self._replay(history, cube)

        def propose(turn: int) -> Mapping[str, Any]:
            state.reseed_rng(seed_of(history, turn))
            return cube.point(_to_places(state.ask(), cube))

        return next_untried(history, self._tried.labels(history), propose)

    def _replay(self, history: History, cube: Cube) -> Any:
        cmaes = require("cmaes", extra="search", purpose="the search cmaes")
        worth = weigh_trials(history, cube)
        size = cube.starts[-1]
        state = cmaes.CMA(
            mean=_first_mean(worth, cube), sigma=SPREAD, bounds=np.tile([0.0, 1.0], (size, 1)), seed=history.seed
        )
        for start in range(0, len(worth.values) - state.population_size + 1, state.population_size):
            part = slice(start, start + state.population_size)
            points = [_draw_near(_to_numbers(row, cube), state) for row in worth.places[part]]
            state.tell(list(zip(points, map(float, worth.values[part]), strict=True)))
        return state


def _first_mean(worth: Worth, cube: Cube) -> Doubles:
    """The middle, or the first trial's point, which is the default."""
    return _to_numbers(worth.places[0], cube) if len(worth.values) else np.full(cube.starts[-1], 0.5)


def _to_numbers(places: Doubles, cube: Cube) -> Doubles:
    found = np.full(cube.starts[-1], 0.5)
    for option, (one, place) in enumerate(zip(cube.ranges, places, strict=True)):
        if np.isnan(place):
            continue
        if isinstance(one, Choice):
            found[cube.starts[option] : cube.starts[option + 1]] = 0.25
            found[cube.starts[option] + min(int(place * len(one.choices)), len(one.choices) - 1)] = 0.75
        else:
            found[cube.starts[option]] = place
    return found


def _to_places(numbers: Doubles, cube: Cube) -> Doubles:
    found = np.empty(len(cube.options))
    for option, one in enumerate(cube.ranges):
        part = numbers[cube.starts[option] : cube.starts[option + 1]]
        found[option] = (part.argmax() + 0.5) / len(part) if isinstance(one, Choice) else part[0]
    return found


def _draw_near(numbers: Doubles, state: Any) -> Doubles:
    """The point, or the one on the way to the mean that is as far away as points of this distribution are."""
    step = numbers - state.mean
    length = float(np.linalg.norm(step)) / (state._sigma * np.sqrt(len(step)))
    return np.asarray(numbers if length <= FARTHEST else state.mean + step * (FARTHEST / length))
