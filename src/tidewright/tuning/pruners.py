"""When a trial is not worth going on with, from what it and the others reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from tidewright.tuning.trial import Trial, TrialState


class Pruner(Protocol):
    """Ends hopeless trials early."""

    def hopeless(self, trial: Trial, others: Sequence[Trial]) -> str:
        """Why a running trial is to be ended after its last step, in words; empty where it is not."""
        ...


class NoPruner:
    """Ends none."""

    def hopeless(self, trial: Trial, others: Sequence[Trial]) -> str:
        """See `Pruner`."""
        return ""


@dataclass(frozen=True, slots=True)
class MedianPruner:
    """Ends a trial whose best value so far is above the median of the complete trials' at this step (Golovin et al.
    2017), from the sixth complete one and step `warmup` on."""

    warmup: int = 10
    startup: int = 5

    def hopeless(self, trial: Trial, others: Sequence[Trial]) -> str:
        """See `Pruner`."""
        reported = trial.finite_steps
        complete = [one for one in others if one.state is TrialState.COMPLETE]
        if not reported or len(complete) < self.startup:
            return ""
        step = max(reported)
        theirs = [one.finite_steps[step] for one in complete if step in one.finite_steps]
        if step < self.warmup or not theirs:
            return ""
        best, middle = min(reported.values()), median(theirs)
        if best <= middle:
            return ""
        return f"its best value {best:.4g} up to step {step} is above {middle:.4g}, the median of {len(theirs)} trials"
