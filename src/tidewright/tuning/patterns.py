"""`PerformanceTracker`: what the trials of a search say so far: the best, whether they still gain, and in which options
the good ones agree.

A place is an option's share of its range, on a logarithmic range of the logarithms, in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import pstdev
from typing import Literal

from tidewright.errors import ConfigError
from tidewright.tuning.ranges import Choice
from tidewright.tuning.searchers.shares import share_of
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.trial import Trial, TrialState

Direction = Literal["minimize", "maximize"]
LEAST_GOOD = 4  # good trials that have an option, before they say how it is spread
EVEN = math.sqrt(1.0 / 12.0)  # the deviation of even draws from [0, 1]


@dataclass(frozen=True, eq=False)
class PerformanceTracker:
    """The complete trials of a space, in the order of their numbers, and what they have in common.

    The values of trials are made small, or large where `direction` says "maximize". Of the complete ones inside the
    space the best `good_share` are the good ones, four at least. Trials that were pruned or failed are counted nowhere.
    Raises `ConfigError`.

    >>> from tidewright.tuning.ranges import FloatRange
    >>> space = SearchSpace("bowl", {"x": FloatRange(0.0, 1.0), "y": FloatRange(0.0, 1.0)})
    >>> points = [{"x": k / 40, "y": k * 7 % 40 / 40} for k in range(40)]
    >>> trials = [Trial(k, TrialState.COMPLETE, ((points[k]["x"] - 0.7) ** 2,), points[k]) for k in range(40)]
    >>> tracker = PerformanceTracker(space, trials)
    >>> tracker.best.number, tracker.stalled
    (28, 11)
    >>> {name: round(spread, 1) for name, spread in tracker.spreads().items()}
    {'x': 0.2, 'y': 0.9}
    """

    space: SearchSpace
    trials: Sequence[Trial]
    direction: Direction = "minimize"
    good_share: float = 0.2

    def __post_init__(self) -> None:
        if self.direction not in ("minimize", "maximize"):
            raise ConfigError(f"direction is minimize or maximize; got {self.direction!r}.")
        if not 0.0 < self.good_share <= 1.0:
            raise ConfigError(f"good_share is a share of the trials, above 0 and up to 1; got {self.good_share}.")

    @cached_property
    def complete(self) -> tuple[Trial, ...]:
        """The complete trials whose points the space holds."""
        ended = [trial for trial in self.trials if trial.state is TrialState.COMPLETE]
        inside = [trial for trial in ended if self.space.holds(trial.parameters)]
        return tuple(sorted(inside, key=lambda trial: trial.number))

    @property
    def best(self) -> Trial | None:
        """The best complete trial, the first of equals."""
        return min(self.complete, key=self.rank, default=None)

    @property
    def good(self) -> tuple[Trial, ...]:
        """The best share of them, the best first."""
        count = max(LEAST_GOOD, int(self.good_share * len(self.complete)))
        return tuple(sorted(self.complete, key=self.rank)[:count])

    @property
    def stalled(self) -> int:
        """How many complete trials came after the best one."""
        return 0 if self.best is None else len(self.complete) - 1 - self.complete.index(self.best)

    def has_converged(self, patience: int = 30) -> bool:
        """Whether the last `patience` complete trials brought no better one."""
        return bool(self.complete) and self.stalled >= patience

    def spreads(self) -> Mapping[str, float]:
        """How widely the good trials are spread over the range of an option, by its name: the deviation of their places
        as a share of an even draw's. So 1 says that the option doesn't matter, 0 that all good ones agree.

        Choices, and options that fewer than four good trials have, are left out.
        """
        found: dict[str, float] = {}
        for name, one in self.space.ranges.items():
            places = [share_of(one, trial.parameters[name]) for trial in self.good if name in trial.parameters]
            if not isinstance(one, Choice) and one.size > 1 and len(places) >= LEAST_GOOD:
                found[name] = pstdev(places) / EVEN
        return found

    def rank(self, trial: Trial) -> tuple[float, int]:
        """What complete trials are sorted by, the best first, the earlier of equals."""
        value = trial.values[0]
        return (value if self.direction == "minimize" else -value), trial.number
