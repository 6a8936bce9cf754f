"""Several objectives at once: the fast elitist genetic algorithm NSGA-II (Deb et al. 2002)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.tuning.ranges import Choice
from tidewright.tuning.searchers.cube import Cube, Doubles
from tidewright.tuning.searchers.draw import sobol_point
from tidewright.tuning.searchers.searcher import History
from tidewright.tuning.searchers.untried import Tried, next_untried, rng_of
from tidewright.tuning.trial import TrialState

CROSSED, SWAPPED = 0.9, 0.5  # children of two parents, and options that go by a coin there
ETA_CROSS, ETA_MUTATE = 15.0, 20.0  # how near children stay to parents
Ranks = npt.NDArray[np.int64]


class NSGA2Searcher:
    """Crosses and mutates points of the best fronts, one child at a time.

    The parents of a trial are the `population` best of all complete ones before it, by front and then by how alone they
    stand: each child may be a parent at once (Durillo et al. 2009), so that workers need not wait for a generation. The
    first `population` points are of a Sobol sequence.
    """

    def __init__(self, population: int = 24) -> None:
        self.population = population
        self._tried = Tried()

    def suggest(self, history: History) -> Mapping[str, Any] | None:
        """See `Searcher`."""
        cube, tried = Cube(history.space), self._tried.labels(history)
        complete = [
            trial
            for trial in history.trials
            if trial.state is TrialState.COMPLETE and history.space.holds(trial.parameters)
        ]
        if len(complete) < max(2, self.population) or not cube.options:
            return next_untried(history, tried, lambda turn: sobol_point(history, history.number + turn))
        order = order_by_front(np.array([trial.values for trial in complete]))[: self.population]
        parents = np.array([cube.places(complete[k].parameters) for k in order])

        def propose(turn: int) -> Mapping[str, Any]:
            return cube.point(_child(parents, cube, rng_of(history, turn)))

        return next_untried(history, tried, propose)


def order_by_front(values: Doubles) -> Ranks:
    """Rows [N] of values [N, K], the best front first, within one those that stand alone first."""
    ranks = rank_fronts(values)
    alone = np.zeros(len(values))
    for rank in np.unique(ranks):
        rows = np.flatnonzero(ranks == rank)
        alone[rows] = _crowding(values[rows])
    return np.lexsort((-alone, ranks))


def rank_fronts(values: Doubles) -> Ranks:
    """The front of each row [N]: 0 where no other is at least as good in all objectives and better in one.

    >>> rank_fronts(np.array([[0.0, 2.0], [1.0, 1.0], [1.0, 3.0]])).tolist()
    [0, 0, 1]
    """
    no_worse = np.all(values[:, None] <= values[None], axis=2)
    beats = no_worse & np.any(values[:, None] < values[None], axis=2)
    ranks, left, rank = np.full(len(values), -1), np.ones(len(values), dtype=bool), 0
    while left.any():
        front = left & ~np.any(beats[left], axis=0)
        ranks[front] = rank
        left &= ~front
        rank += 1
    return ranks


def _crowding(values: Doubles) -> Doubles:
    """How far a front's neighbours are from each other around each row, the ends infinitely far."""
    found = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        width = column[order[-1]] - column[order[0]]
        found[order[[0, -1]]] = np.inf
        if width > 0:
            found[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / width
    return found


def _child(parents: Doubles, cube: Cube, rng: np.random.Generator) -> Doubles:
    """The places of a child of two winners of a tournament; parents stand in order, the best first."""
    first, second = (parents[rng.integers(len(parents), size=2).min()] for _ in range(2))
    child, other = first.copy(), np.where(np.isnan(second), first, second)
    child = np.where(np.isnan(child), other, child)
    if rng.random() < CROSSED:
        child = _cross(child, other, cube, rng)
    return _mutate(np.nan_to_num(child, nan=rng.random()), cube, rng)


def _cross(left: Doubles, right: Doubles, cube: Cube, rng: np.random.Generator) -> Doubles:
    """Simulated binary crossover; a choice is one parent's."""
    share = rng.random(len(left))
    low = (2.0 * share) ** (1.0 / (ETA_CROSS + 1.0))
    high = (1.0 / (2.0 * (1.0 - share))) ** (1.0 / (ETA_CROSS + 1.0))
    factor = np.where(share < 0.5, low, high) * np.where(rng.random(len(left)) < 0.5, 1.0, -1.0)
    mixed = 0.5 * (left + right) + 0.5 * factor * (left - right)
    picked = np.where(rng.random(len(left)) < 0.5, left, right)
    chosen = np.array([isinstance(one, Choice) for one in cube.ranges])
    return np.where(rng.random(len(left)) < SWAPPED, np.where(chosen, picked, mixed), left)


def _mutate(child: Doubles, cube: Cube, rng: np.random.Generator) -> Doubles:
    """Polynomial mutation of one option on average; a choice is drawn anew."""
    share = rng.random(len(child))
    low = (2.0 * share) ** (1.0 / (ETA_MUTATE + 1.0)) - 1.0
    high = 1.0 - (2.0 * (1.0 - share)) ** (1.0 / (ETA_MUTATE + 1.0))
    chosen = np.array([isinstance(one, Choice) for one in cube.ranges])
    moved = np.where(chosen, rng.random(len(child)), child + np.where(share < 0.5, low, high))
    return np.clip(np.where(rng.random(len(child)) < 1.0 / len(child), moved, child), 0.0, 1.0)
