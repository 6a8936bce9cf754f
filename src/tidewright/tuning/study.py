"""`Study`: what a search tried, what came of each trial, and why it stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import fmean, stdev
from typing import Any

from tidewright.features.view import View
from tidewright.models.fitted import Fitted
from tidewright.models.spec import ModelSpec
from tidewright.training.spec import TrainSpec
from tidewright.tuning.account import Account
from tidewright.tuning.goals import Goal, find_goal
from tidewright.tuning.repeats import Noise
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.trial import Trial, TrialState


@dataclass(frozen=True, eq=False)
class Study:
    """The best records that a search found on train and validation, and its whole account.

    `spec`, `train` and `view` are the best trial's, `fitted` the model that it learned (a `PositionFitted` where
    positions were). `metric` is what was made as good as could be; trials have it to be made small, `goal.show` turns
    it back. `reason` says why the search stopped, `notes` what was done differently from what was asked. `account` says
    what the best score is worth after all that was tried on the same data. Each trial was judged on `folds` walk-
    forward folds from `seeds` seeds; `fitted` is of the last fold, and of the first seed. `noise` is what the best came
    to from other seeds, where that was asked for; where it is large `score` is of these alone. `asked`
    says by which searcher and pruner, and within which limits.
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
    account: Account | None = None
    folds: int = 1
    seeds: int = 1
    noise: Noise | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)

    @property
    def goal(self) -> Goal:
        """The metric, with its direction and unit."""
        return find_goal(self.metric)

    @property
    def value(self) -> float:
        """What the best trial is worth, to be made small: where seeds differ by more than the best trials, over seeds
        that did not choose it (`Noise.worth`)."""
        assert self.best.value is not None, "the best trial is complete"
        return self.noise.worth if self.noise is not None and self.noise.large else self.best.value

    @property
    def score(self) -> float:
        """The same in the metric's own direction: the best trial's validation score."""
        return self.goal.show(self.value)

    @property
    def shown(self) -> float:
        """The score as tables have it: as the metric itself says it, where that is to be near a number."""
        return self.best.scores.get(self.metric, self.score) if self.value == self.best.value else self.score

    @property
    def parts(self) -> tuple[tuple[float, ...], ...]:
        """The best trial's score on each fold, the oldest first, for each seed, in the metric's own direction; empty
        where it was judged once."""
        shown = [self.goal.show(value) for value in self.best.losses]
        if self.folds * self.seeds == 1:
            return ()
        return tuple(tuple(shown[first : first + self.folds]) for first in range(0, len(shown), self.folds))

    @property
    def spread(self) -> dict[str, tuple[float, float]]:
        """The mean and the standard deviation of the best trial's score over folds and over seeds, as far as there are
        several of them."""
        found: dict[str, tuple[float, float]] = {}
        if self.folds > 1:
            folds = [fmean(scores) for scores in zip(*self.parts, strict=True)]
            found["folds"] = fmean(folds), stdev(folds)
        if self.seeds > 1:
            seeds = [fmean(scores) for scores in self.parts]
            found["seeds"] = fmean(seeds), stdev(seeds)
        return found

    @property
    def gain(self) -> float | None:
        """The share of the default's score that the best trial saves; None where that is missing or 0, or the metric is
        no error. Where the noise of seeds is large a default that was made again counts by its mean over them."""
        default = self.trials[0].value
        if default is None or default == 0.0 or not self.goal.ratios:
            return None
        if self.best.number == 0:
            return 0.0
        noisy = self.noise is not None and self.noise.large
        return 1.0 - self.value / (self.noise.means.get(0, default) if noisy and self.noise else default)

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
            "score": self.score,
            "trials": [trial.to_dict() for trial in self.trials],
            "seconds": self.seconds,
            "reason": self.reason,
            "notes": list(self.notes),
            "folds": self.folds,
            "seeds": self.seeds,
            "parts": [list(scores) for scores in self.parts],
            "noise": None if self.noise is None else asdict(self.noise),
            "asked": dict(self.asked),
            "account": None if self.account is None else self.account.to_dict(),
        }

    def __str__(self) -> str:
        counts = ", ".join(f"{self.count(state)} {state}" for state in TrialState if self.count(state))
        lines = [
            f"{self.space.model}: {len(self.trials)} trials ({counts}) in {self.seconds:.1f} s",
            f"stopped because {self.reason}",
            f"best {self.metric} {self.score:.4g} (trial {self.best.number})",
            *(f"  {name} = {value}" for name, value in self.best.parameters.items()),
            *(["the budget ended its learning before it was done"] if self.best.cut_short else []),
            *(
                f"over {getattr(self, of)} {of}: mean {mean:.4g}, standard deviation {spread:.2g}"
                for of, (mean, spread) in self.spread.items()
            ),
            *([] if self.account is None else self.account.lines()),
            *self.notes,
        ]
        return "\n".join(lines)
