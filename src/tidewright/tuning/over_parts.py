"""`OverParts`: a pruner of trials that report a score for each fold and seed, and not an epoch's loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from tidewright.tuning.pruners import HyperbandPruner, MedianPruner, Pruner, WilcoxonPruner
from tidewright.tuning.trial import Trial


@dataclass(frozen=True, slots=True)
class OverParts:
    """`inner` among trials of `parts` fits, each reporting its score: trials are compared by their means over the fits
    so far, or, where `apart`, fit by fit. The last fit ends no trial: nothing would be saved.
    """

    inner: Pruner
    parts: int
    apart: bool = False

    def hopeless(self, trial: Trial, others: Sequence[Trial]) -> str:
        """See `Pruner`."""
        step = max(trial.finite_steps, default=0)
        if not 0 < step < self.parts:
            return ""
        if self.apart:
            return self.inner.hopeless(trial, others)
        return self.inner.hopeless(_so_far(trial, step), [_so_far(one, step) for one in others])


def over_parts(pruner: Pruner, *, parts: int) -> OverParts:
    """The pruner for trials of so many fits: the median from the first one on, Hyperband up to the last."""
    if isinstance(pruner, MedianPruner):
        return OverParts(MedianPruner(warmup=1), parts)
    if isinstance(pruner, HyperbandPruner):
        return OverParts(HyperbandPruner(most=parts), parts)
    return OverParts(pruner, parts, apart=isinstance(pruner, WilcoxonPruner))


def _so_far(trial: Trial, step: int) -> Trial:
    """The trial as if it had reported once, at `step`: the mean of its fits up to there; nothing where one is missing.

    >>> from tidewright.tuning.trial import TrialState
    >>> _so_far(Trial(0, TrialState.RUNNING, steps=((1, 2.0), (2, 4.0), (3, 9.0))), 2).steps
    ((2, 3.0),)
    """
    values = [trial.finite_steps.get(one, math.nan) for one in range(1, step + 1)]
    return replace(trial, steps=() if any(map(math.isnan, values)) else ((step, fmean(values)),))
