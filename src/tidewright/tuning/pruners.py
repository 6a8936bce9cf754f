"""When a trial is not worth going on with, from what it and the others reported."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from tidewright.catalog import Catalog, Entry
from tidewright.errors import ConfigError
from tidewright.tuning.trial import Trial, TrialState, best_trial

_AT = "tidewright.tuning.pruners:"
PRUNERS = Catalog(
    "pruner",
    [
        Entry("none", _AT + "NoPruner", "ends none"),
        Entry("median", _AT + "MedianPruner", "ends what is worse than the median at its step"),
        Entry("halving", _AT + "HalvingPruner", "lets the best third go on, to three times the steps each time"),
        Entry("hyperband", _AT + "HyperbandPruner", "successive halvings that begin at different steps"),
        Entry("wilcoxon", _AT + "WilcoxonPruner", "ends what is worse than the best trial on the same folds"),
    ],
)


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


@dataclass(frozen=True, slots=True)
class HalvingPruner:
    """Asynchronous successive halving (Li et al. 2020): at the steps `least`, `least` x `reduction`, ... a trial goes
    on only if its best value up to there is among the best 1 / `reduction` of all trials that came so far.

    Of fewer trials than `reduction` only the best goes on. Steps count from 1.
    """

    least: int = 1
    reduction: int = 3

    def __post_init__(self) -> None:
        _check_halving(self.least, self.reduction)

    def hopeless(self, trial: Trial, others: Sequence[Trial]) -> str:
        """See `Pruner`."""
        step = max(trial.finite_steps, default=0)
        if not _is_rung(step, least=self.least, reduction=self.reduction):
            return ""
        mine = _best_until(trial, step)
        theirs = [_best_until(one, step) for one in others if max(one.finite_steps, default=0) >= step]
        kept = max(1, (len(theirs) + 1) // self.reduction)
        better = sorted(value for value in theirs if value < mine)
        if len(better) < kept:
            return ""
        return (
            f"its best value {mine:.4g} up to step {step} is not among the best {kept} of {len(theirs) + 1} trials, "
            f"which end at {better[kept - 1]:.4g}"
        )


@dataclass(frozen=True, slots=True)
class HyperbandPruner:
    """Hyperband (Li et al. 2018): several halvings side by side, which first look at a trial after `least` steps, three
    times as many, and so on up to `most`, the steps of a whole trial.

    A trial's number says in which of them it stands, in the shares that Hyperband gives them; trials are compared with
    those of the same halving alone.
    """

    most: int = 30
    least: int = 1
    reduction: int = 3

    def __post_init__(self) -> None:
        _check_halving(self.least, self.reduction)
        if self.most < self.least:
            raise ConfigError(f"most is the steps of a whole trial, at least {self.least} (least); got {self.most}.")

    def hopeless(self, trial: Trial, others: Sequence[Trial]) -> str:
        """See `Pruner`."""
        bracket = self.bracket(trial.number)
        alike = [one for one in others if self.bracket(one.number) == bracket]
        return HalvingPruner(self.least * self.reduction**bracket, self.reduction).hopeless(trial, alike)

    def bracket(self, number: int) -> int:
        """Which halving the trial of that number stands in: 0 looks first after `least` steps."""
        brackets = math.floor(math.log(self.most / self.least, self.reduction) + 1e-9) + 1
        shares = [math.ceil(brackets / (left + 1) * self.reduction**left) for left in reversed(range(brackets))]
        place = (number * 0.618033988749895) % 1.0 * sum(shares)  # evenly spread whatever the number of trials
        for bracket, share in enumerate(shares):
            place -= share
            if place < 0.0:
                return bracket
        return brackets - 1


@dataclass(frozen=True, slots=True)
class WilcoxonPruner:
    """Ends a trial whose values on the folds so far are worse than the best trial's on the same ones, by a signed-rank
    test (Wilcoxon, 1945) with a p-value below `level`, after `startup` folds at the earliest.

    Never one whose mean there is the lower one. A fold is a step.
    """

    level: float = 0.1
    startup: int = 2

    def __post_init__(self) -> None:
        if not 0.0 < self.level < 1.0:
            raise ConfigError(f"level is a p-value between 0 and 1; got {self.level}.")

    def hopeless(self, trial: Trial, others: Sequence[Trial]) -> str:
        """See `Pruner`."""
        from scipy.stats import wilcoxon

        best = best_trial(list(others))
        if best is None:
            return ""
        mine, theirs = trial.finite_steps, best.finite_steps
        shared = [step for step in mine if step in theirs]
        worse = [mine[step] - theirs[step] for step in shared]
        if len(shared) < self.startup or not sum(worse) > 0.0:
            return ""
        p = float(wilcoxon(worse, alternative="greater", zero_method="zsplit", method="auto").pvalue)
        if p >= self.level:
            return ""
        return f"its {len(shared)} folds are worse than those of trial {best.number} (signed-rank test, p = {p:.3f})"


def _check_halving(least: int, reduction: int) -> None:
    if least < 1:
        raise ConfigError(f"least is a number of steps, 1 or more; got {least}.")
    if reduction < 2:
        raise ConfigError(f"reduction is how many times fewer trials go on, 2 or more; got {reduction}.")


def _is_rung(step: int, *, least: int, reduction: int) -> bool:
    rung = least
    while rung < step:
        rung *= reduction
    return rung == step


def _best_until(trial: Trial, step: int) -> float:
    return min(value for at, value in trial.finite_steps.items() if at <= step)
