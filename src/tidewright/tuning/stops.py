"""When a search may end before its budget: it gains nothing more, or can't be far from the best any more.

Each is a pure function of the trials, called with all of them, that gives the reason in words, or an empty text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tidewright.errors import ConfigError
from tidewright.tuning.searchers.cube import Cube
from tidewright.tuning.searchers.gp import startup
from tidewright.tuning.searchers.improve import rank_candidates
from tidewright.tuning.searchers.surrogate import Data, Doubles, Posterior, Slopes, fit_hyperparameters
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.trial import Trial, TrialState

SHORTFALL = 0.1  # the chance that the bound is missed (delta)


@dataclass(frozen=True, slots=True)
class Convergence:
    """No trial of the last `patience` that ended improved on the best before them by more than a share `gain` of it.

    Pruned and failed trials count as such that didn't. Raises `ConfigError`.
    """

    patience: int = 30
    gain: float = 0.001

    def __post_init__(self) -> None:
        if self.patience < 1 or not self.gain >= 0.0:
            raise ConfigError(
                f"patience is a number of trials, 1 or more, and gain a share of the best value, 0 or more; got "
                f"{self.patience} and {self.gain}."
            )

    def __call__(self, trials: Sequence[Trial]) -> str:
        ended = [trial for trial in trials if trial.state is not TrialState.RUNNING]
        earlier, last = ended[: -self.patience], ended[-self.patience :]
        before = min((t.values[0] for t in earlier if t.state is TrialState.COMPLETE), default=None)
        if before is None:
            return ""
        best = min((t.values[0] for t in last if t.state is TrialState.COMPLETE), default=math.inf)
        if before - best > self.gain * abs(before):
            return ""
        return (
            f"the last {self.patience} trials gained no more than {self.gain:.2%} on {before:.4g}, the best before them"
        )


@dataclass(frozen=True, eq=False, slots=True)
class RegretBound:
    """The best point found is, by a Gaussian process, not more than `tolerance` above the best there is, in the unit of
    the objective (Makarova et al. 2022).

    The bound is the least upper confidence bound of a tried point less the least lower one of any. `tolerance` may be
    the objective's standard error: what is below it can't be told apart. Needs `least` complete trials. Raises
    `ConfigError`.
    """

    space: SearchSpace
    tolerance: float
    least: int = 20

    def __post_init__(self) -> None:
        if not self.tolerance > 0.0:
            raise ConfigError(f"tolerance is a difference of the objective, above 0; got {self.tolerance}.")

    def __call__(self, trials: Sequence[Trial]) -> str:
        bound = bound_regret(self.space, trials, least=self.least)
        if bound is None or bound > self.tolerance:
            return ""
        return f"the best trial is at most {bound:.3g} above the best there is (tolerance {self.tolerance:.3g})"


def bound_regret(space: SearchSpace, trials: Sequence[Trial], *, least: int = 20) -> float | None:
    """How far the best tried point is above the best there is, at most, in the unit of the first objective; None before
    `least` trials inside the space are complete."""
    known = [t for t in trials if t.state is TrialState.COMPLETE and space.holds(t.parameters)]
    cube = Cube(space)
    if len(known) < max(least, startup(cube)) or not cube.options:
        return None
    values = np.array([trial.values[0] for trial in known])
    unit = float(values.std()) or 1.0
    places = np.array([cube.places(trial.parameters) for trial in known])
    data = Data(cube.columns(places), (values - values.mean()) / unit, cube.groups)
    posterior = Posterior(fit_hyperparameters(data), data)
    beta = 2.0 / 5.0 * math.log(len(cube.options) * (len(known) * math.pi) ** 2 / (6.0 * SHORTFALL))
    mean, deviation = posterior.predict(data.columns)
    upper = float((mean + math.sqrt(beta) * deviation).min())
    aim = _Low(posterior, Slopes([posterior]), math.sqrt(beta))
    best = places[np.argsort(values, kind="stable")[:3]]
    lowest = rank_candidates(aim, cube=cube, known=best, rng=np.random.default_rng(len(known)))[:1]
    lower = min(-float(aim.score(cube.columns(lowest))[0]), float((mean - math.sqrt(beta) * deviation).min()))
    return (upper - lower) * unit


@dataclass(frozen=True, eq=False, slots=True)
class _Low:
    """Minus the lower confidence bound."""

    posterior: Posterior
    at: Slopes
    width: float

    def score(self, columns: Doubles) -> Doubles:
        """See `Aim`."""
        mean, deviation = self.posterior.predict(columns)
        return self.width * deviation - mean

    def slopes(self, column: Doubles) -> tuple[float, Doubles]:
        """See `Aim`."""
        mean, deviation, by_mean, by_deviation = self.at.predict(column)
        return float(self.width * deviation[0] - mean[0]), self.width * by_deviation[0] - by_mean[0]
