"""`Study`: what a search tried, what came of each trial, and why it stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tidewright.features.view import View
from tidewright.models.fitted import Fitted
from tidewright.models.spec import ModelSpec
from tidewright.training.spec import TrainSpec
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.trial import Trial, TrialState


@dataclass(frozen=True, eq=False)
class Study:
    """The best records that a search found on train and validation, and its whole account.

    `spec`, `train` and `view` are the best trial's, `fitted` the model that it learned. `metric` is what was
    made small; `reason` says why the search stopped, `notes` what was done differently from what was asked.
    """

    space: SearchSpace
    metric: str
    seed: int
    spec: ModelSpec
    train: TrainSpec
    view: View
    fitted: Fitted
    best: Trial
    trials: tuple[Trial, ...]
    seconds: float
    reason: str
    notes: tuple[str, ...] = ()

    @property
    def gain(self) -> float | None:
        """The share of the default's score that the best trial saves; None where that is missing or 0."""
        default = self.trials[0].value
        if default is None or default == 0.0 or self.best.value is None:
            return None
        return 1.0 - self.best.value / default

    def count(self, state: TrialState) -> int:
        """How many trials ended that way."""
        return sum(trial.state is state for trial in self.trials)

    def to_dict(self) -> dict[str, Any]:
        """The account as plain data, without the learned model."""
        return {
            "space": self.space.to_dict(),
            "metric": self.metric,
            "seed": self.seed,
            "best": self.best.number,
            "trials": [trial.to_dict() for trial in self.trials],
            "seconds": self.seconds,
            "reason": self.reason,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        counts = ", ".join(f"{self.count(state)} {state}" for state in TrialState if self.count(state))
        lines = [
            f"{self.space.model}: {len(self.trials)} trials ({counts}) in {self.seconds:.1f} s",
            f"stopped because {self.reason}",
            f"best {self.metric} {self.best.value:.4g} (trial {self.best.number})",
            *(f"  {name} = {value}" for name, value in self.best.parameters.items()),
            *self.notes,
        ]
        return "\n".join(lines)
