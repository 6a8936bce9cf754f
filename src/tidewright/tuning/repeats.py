"""How large the noise of seeds is: the best trials of a study are made again from other seeds.

A repeat is a trial like any other, so it is kept, and a study that goes on repeats none. Its point has besides how many
seeds after the candidate's own it learns from; no searcher, pruner or stop sees it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev, variance
from typing import Any

from tidewright.tuning.pruners import Pruner
from tidewright.tuning.trial import Trial, TrialState, best_trial

REPEAT = "repeat.seed"  # of a point
TOP, SEEDS = 3, 3  # so many of the best trials are learned from so many seeds
REPEATS = TOP * (SEEDS - 1)


@dataclass(frozen=True, slots=True)
class Noise:
    """What the best trials came to from other seeds: the standard deviation `among_seeds` of one of them, the one
    `among_best`, of their first scores, and by number the `means` over `seeds` seeds, to be made small."""

    among_seeds: float
    among_best: float
    means: Mapping[int, float]
    seeds: int = SEEDS

    @property
    def large(self) -> bool:
        """Whether one seed can't tell the best trials apart."""
        return self.among_seeds > self.among_best

    def __str__(self) -> str:
        told = f"(deviation {self.among_seeds:.2g}; among the best {len(self.means)} {self.among_best:.2g})"
        if self.large:
            return (
                f"seeds differ by more than the best trials {told}: these are judged by means over {self.seeds} seeds. "
                "What is corrected for the choice, and the model that is kept, are of the first seed."
            )
        return f"seeds differ by less than the best trials {told}: one seed tells these apart."


def is_repeat(trial: Trial) -> bool:
    """Whether it is an earlier trial from another seed."""
    return REPEAT in trial.parameters


def originals(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """The trials that are no repeats, in their order."""
    return tuple(trial for trial in trials if not is_repeat(trial))


def split_point(point: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """A point without its mark, and how many seeds after the candidate's own it is learned from.

    >>> split_point({"model.hidden": 8, REPEAT: 2}), split_point({"model.hidden": 8})
    (({'model.hidden': 8}, 2), ({'model.hidden': 8}, 0))
    """
    return {name: value for name, value in point.items() if name != REPEAT}, int(point.get(REPEAT, 0))


def next_repeat(trials: Sequence[Trial]) -> dict[str, Any] | None:
    """The point of the next repeat; None where all were made, or where a seed changes nothing."""
    best = _best(trials)
    if len(best) < TOP or _is_same(trials):
        return None
    made = [trial.parameters for trial in trials if is_repeat(trial)]
    points = ({**one.parameters, REPEAT: seed} for seed in range(1, SEEDS) for one in best)
    return next((point for point in points if point not in made), None)


def measure_noise(trials: Sequence[Trial]) -> Noise | None:
    """What the repeats say, of the trials that have all of theirs; None with fewer than two of these."""
    complete = (one for one in originals(trials) if one.state is TrialState.COMPLETE)
    found = {one.number: _values(one, trials) for one in complete}
    whole = {number: values for number, values in found.items() if len(values) == SEEDS}
    if len(whole) < 2:
        return None
    return Noise(
        among_seeds=math.sqrt(fmean(variance(values) for values in whole.values())),
        among_best=stdev(values[0] for values in whole.values()),
        means={number: fmean(values) for number, values in whole.items()},
    )


def tell_noise(trials: Sequence[Trial]) -> str:
    """What the repeats say, in words."""
    if _is_same(trials):
        return "a seed changes nothing: a trial that was made again from another one is the same."
    noise = measure_noise(trials)
    return "whether seeds matter is not known: too few trials were made again." if noise is None else str(noise)


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The best trial: by its mean over seeds where their noise is large, else by its own score.

    A good one that ended too late to be made again (several workers) counts a standard deviation of the noise worse.
    """
    noise = measure_noise(trials)
    if noise is None or not noise.large:
        return best_trial(originals(trials))
    judged = {one.number: one.values[0] + noise.among_seeds for one in _best(trials)} | dict(noise.means)
    number = min(judged, key=lambda one: (judged[one], one))
    return next(trial for trial in trials if trial.number == number)


@dataclass(frozen=True, slots=True)
class SparesRepeats:
    """The pruner `inner`, which neither ends a repeat nor compares with one."""

    inner: Pruner

    def hopeless(self, trial: Trial, others: Sequence[Trial]) -> str:
        """See `Pruner`."""
        return "" if is_repeat(trial) else self.inner.hopeless(trial, originals(others))


def _best(trials: Sequence[Trial]) -> list[Trial]:
    complete = [trial for trial in originals(trials) if trial.state is TrialState.COMPLETE]
    return sorted(complete, key=lambda trial: (trial.values[0], trial.number))[:TOP]


def _is_same(trials: Sequence[Trial]) -> bool:
    """Whether a trial came to the very same from another seed."""
    return any(one.values[0] in _values(one, trials)[1:] for one in _best(trials))


def _values(trial: Trial, trials: Sequence[Trial]) -> list[float]:
    """What a trial came to from its own seed, and then from others."""
    repeats = [one for one in trials if is_repeat(one) and one.state is TrialState.COMPLETE]
    return [trial.values[0], *(one.values[0] for one in repeats if split_point(one.parameters)[0] == trial.parameters)]
