"""`AmongKin`: a pruner that compares a trial only with those whose losses mean the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tidewright.tuning.pruners import Pruner
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.trial import Trial


@dataclass(frozen=True, slots=True)
class AmongKin:
    """`inner` among the trials that have the same values of the options `names`, which make losses another thing."""

    inner: Pruner
    names: tuple[str, ...]

    def hopeless(self, trial: Trial, others: Sequence[Trial]) -> str:
        """See `Pruner`."""
        own = [trial.parameters.get(name) for name in self.names]
        kin = [one for one in others if [one.parameters.get(name) for name in self.names] == own]
        return self.inner.hopeless(trial, kin)


def among_kin(pruner: Pruner, space: SearchSpace) -> Pruner:
    """The pruner, among trials of the same model and horizon where a space searches these."""
    names = tuple(name for name in space.names if name == "model" or name.endswith("task.horizon"))
    return AmongKin(pruner, names) if names else pruner
