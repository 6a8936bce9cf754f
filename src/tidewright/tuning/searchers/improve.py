"""Expected improvement (Jones, Schonlau and Welch, 1998) as a logarithm (Ament et al. 2023), and its largest value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tidewright.tuning.searchers.cube import Cube
from tidewright.tuning.searchers.surrogate import Doubles, Posterior, Slopes

EVEN, NEAR = 768, 96  # candidates drawn evenly, and around each of the best points
REFINED, ROUNDS = 5, 2


class Aim(Protocol):
    """What a point is to have much of."""

    def score(self, columns: Doubles) -> Doubles:
        """It at points [M, C]."""
        ...

    def slopes(self, column: Doubles) -> tuple[float, Doubles]:
        """It at one point [C], and its gradient [C]."""
        ...


@dataclass(frozen=True, eq=False)
class Improvement:
    """The mean of the expected improvements under several posteriors, below `best` (one for each)."""

    posteriors: Sequence[Posterior]
    best: Sequence[float]

    def score(self, columns: Doubles) -> Doubles:
        """Its logarithm at points [M, C]."""
        found = []
        for posterior, best in zip(self.posteriors, self.best, strict=True):
            mean, deviation = posterior.predict(columns)
            found.append(np.log(deviation) + log_gain((best - mean) / deviation))
        return np.asarray(np.logaddexp.reduce(found, axis=0) - math.log(len(found)))

    def slopes(self, column: Doubles) -> tuple[float, Doubles]:
        """Its logarithm at one point [C], and the gradient."""
        from scipy.special import log_ndtr

        mean, deviation, by_mean, by_deviation = self._slopes.predict(column)
        z = (np.array(self.best) - mean) / deviation
        gain = log_gain(z)
        share = np.exp(np.minimum(log_ndtr(z) - gain, 700.0))[:, None]
        logs = np.log(deviation) + gain
        slopes = (by_deviation - share * (by_mean + z[:, None] * by_deviation)) / deviation[:, None]
        weights = np.exp(logs - logs.max())
        return float(logs.max() + np.log(weights.mean())), weights @ slopes / weights.sum()

    @cached_property
    def _slopes(self) -> Slopes:
        return Slopes(self.posteriors)


def log_gain(z: Doubles) -> Doubles:
    """log(phi(z) + z Phi(z)), also far below 0, where the sum itself would be nothing but rounding."""
    from scipy.special import erfcx, ndtr

    found = np.empty_like(z)
    high = z > -1.0
    found[high] = np.log(np.exp(-0.5 * z[high] ** 2) / math.sqrt(2 * math.pi) + z[high] * ndtr(z[high]))
    low = z[~high]
    rest = np.where(low > -1e4, 1.0 + math.sqrt(math.pi / 2) * low * erfcx(-low / math.sqrt(2)), low**-2.0)
    found[~high] = -0.5 * low**2 - 0.5 * math.log(2 * math.pi) + np.log(np.maximum(rest, 1e-300))
    return found


def rank_candidates(aim: Aim, *, cube: Cube, known: Doubles, rng: np.random.Generator) -> Doubles:
    """Places [M, O] of legal points, the one with most of the aim first. `known` [K, O] are the best so far."""
    even = rng.random((EVEN, len(cube.options)))
    near = [_scatter(np.nan_to_num(row, nan=0.5), rng) for row in known]
    places = cube.snap(np.vstack([even, *near]))
    order = np.argsort(-aim.score(cube.columns(places)), kind="stable")
    refined = [_climb(places[k], aim=aim, cube=cube) for k in _spread(places[order], order)]
    whole = np.vstack([np.array(refined), places[order[:64]]])
    return np.asarray(whole[np.argsort(-aim.score(cube.columns(whole)), kind="stable")])


def _scatter(row: Doubles, rng: np.random.Generator) -> Doubles:
    """Points around one, at three distances, most with a few options moved."""
    widths = np.repeat([0.2, 0.05, 0.01], NEAR // 3)[:, None]
    moved = rng.random((NEAR, len(row))) < max(0.5, 2.0 / len(row))
    return np.asarray(np.clip(row + widths * moved * rng.standard_normal((NEAR, len(row))), 0.0, 1.0))


def _spread(places: Doubles, order: npt.NDArray[np.int64]) -> list[int]:
    """The first few of some ordered points that don't lie together."""
    chosen: list[int] = []
    for k in range(min(len(order), 200)):
        if all(np.nansum(np.abs(places[k] - places[c])) > 0.1 for c in chosen):
            chosen.append(k)
        if len(chosen) == REFINED:
            break
    return [int(order[k]) for k in chosen]


def _climb(places: Doubles, *, aim: Aim, cube: Cube) -> Doubles:
    """A local best: continuous options by their gradient, discrete ones by their neighbours."""
    for _ in range(ROUNDS):
        places = _slide(places, aim=aim, cube=cube)
        around = cube.neighbours(places)
        if not len(around):
            return places
        scores = aim.score(cube.columns(np.vstack([places[None], around])))
        if scores.argmax() == 0:
            return places
        places = around[scores.argmax() - 1]
    return _slide(places, aim=aim, cube=cube)


def _slide(places: Doubles, *, aim: Aim, cube: Cube) -> Doubles:
    from scipy.optimize import minimize

    free = np.flatnonzero(cube.continuous & ~np.isnan(places))
    if not len(free):
        return places
    at = np.array(cube.starts)[free]
    column = cube.columns(places[None])[0]

    def minus(moved: Doubles) -> tuple[float, Doubles]:
        column[at] = moved
        value, slope = aim.slopes(column)
        return -value, -slope[at]

    found = minimize(
        minus, places[free], jac=True, method="L-BFGS-B", bounds=[(0.0, 1.0)] * len(free), options={"maxiter": 40}
    )
    slid = places.copy()
    slid[free] = np.clip(found.x, 0.0, 1.0)
    return np.asarray(cube.snap(slid[None])[0])
