"""How long a search goes on: seconds, trials, and failures in a row."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from statistics import median
from typing import Any

from tidewright.checks import check_whole
from tidewright.errors import ConfigError
from tidewright.tuning.trial import Trial, TrialState

FAILURES_IN_A_ROW = 10
OVERTIME = 0.03  # share of a budget that a trial may run over it


@dataclass(frozen=True)
class Limits:
    """The end of a search: `budget_s` seconds from `started` on `clock`, `trials` trials, or `in_a_row` failures,
    whichever comes first.

    Raises `ConfigError` where there is no end, or none that makes sense.
    """

    started: float
    budget_s: float | None
    trials: int | None
    clock: Callable[[], float]
    in_a_row: int = FAILURES_IN_A_ROW

    def __post_init__(self) -> None:
        if self.budget_s is None and self.trials is None:
            raise ConfigError("a search needs an end: give budget_s (seconds), trials, or both.")
        budget: Any = self.budget_s
        number = isinstance(budget, Real) and not isinstance(budget, bool)
        if budget is not None and not (number and math.isfinite(budget) and budget > 0):
            raise ConfigError(
                f"budget_s is a number of seconds above 0; got {self.budget_s!r}. Leave it out, or give it time."
            )
        if self.trials is not None:
            check_whole("trials", self.trials)

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return self.clock() - self.started

    @property
    def last(self) -> float | None:
        """When a trial that doesn't heed its deadline is ended."""
        return None if self.budget_s is None else self.started + (1.0 + OVERTIME) * self.budget_s

    @property
    def is_over(self) -> bool:
        """Whether the budget is spent."""
        return self.budget_s is not None and self.spent >= self.budget_s

    def deadline(self, trials: Sequence[Trial]) -> float | None:
        """When a trial must be done learning: time to judge it, the longest that it took so far, is left."""
        if self.budget_s is None:
            return None
        return self.started + self.budget_s - max((t.seconds - t.fit_seconds for t in trials), default=0.0)

    def why_stop(self, trials: Sequence[Trial]) -> str:
        """Why no further trial is begun; empty when one is. The first one always is."""
        if not trials:
            return ""
        return self._why_no_more(trials) or (f"the budget of {self.budget_s:g} s is spent" if self.is_over else "")

    def why_late(self, expected: float | None, *, first: float | None = None) -> str:
        """Why a trial that takes `expected` seconds is not begun; empty when it is. One that can be cut short is, where
        there is time for its `first` step."""
        if self.budget_s is None or expected is None:
            return ""
        left = self.started + self.budget_s - self.clock()
        if left >= (expected if first is None else first) * (1.0 - 1e-9):  # it was told by logarithms
            return ""
        told = "" if first is None else f", {first:.1f} of them until it can be ended"
        return f"{left:.1f} of {self.budget_s:g} s are left, and the next trial would take about {expected:.1f} s{told}"

    def room(self, trials: Sequence[Trial]) -> float:
        """For how many more trials there is room after these, by their number and by time; infinite where that is not
        known."""
        rest = math.inf if self.trials is None else self.trials - len(trials)
        whole = [trial.seconds for trial in trials if trial.state is TrialState.COMPLETE]
        if self.budget_s is None or not whole:
            return rest
        left = self.started + self.budget_s - self.clock()
        return min(rest, left / max(median(whole), 1e-9))

    def _why_no_more(self, trials: Sequence[Trial]) -> str:
        if self.trials is not None and len(trials) >= self.trials:
            return f"all {self.trials} trials were run"
        last = [t for t in trials if t.state is not TrialState.RUNNING][-self.in_a_row :]
        if len(last) == self.in_a_row and all(t.state is TrialState.FAILED for t in last):
            return f"the last {self.in_a_row} trials failed"
        return ""
