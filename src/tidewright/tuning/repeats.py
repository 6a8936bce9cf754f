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

from tidewright.metrics.effective import expected_largest
from tidewright.tuning.pruners import Pruner
from tidewright.tuning.trial import Trial, TrialState, best_trial

REPEAT = "repeat.seed"  # of a point
TOP, FRESH = 3, 2  # so many of the best trials are learned from so many more seeds
SHARE = 3  # of this many trials at most one is a repeat
FEWEST = 2 * SHARE  # trials of which two can be repeats


@dataclass(frozen=True, slots=True)
class Noise:
    """What the best trials came to from other seeds: the standard deviation `among_seeds` of one of them, the one
    `among_best`, of their first scores, and by number the `means` over all its seeds of each that was made again from
    so many fresh `seeds`. By these `best` is the best, and `worth` is its score without the luck that chose it: each
    fresh seed scores the trial that is best on the other seeds. All are to be made small. A trial among the best that
    was not made again is worth its first score and the `luck` that the best of all trials has with its seed."""

    among_seeds: float
    among_best: float
    means: Mapping[int, float]
    best: int
    worth: float
    luck: float
    seeds: int

    @property
    def large(self) -> bool:
        """Whether one seed can't tell the best trials apart."""
        return self.among_seeds > self.among_best

    def __str__(self) -> str:
        told = f"(deviation {self.among_seeds:.2g}; among the best {len(self.means)} {self.among_best:.2g})"
        if not self.large:
            return f"seeds differ by less than the best trials {told}: one seed tells these apart."
        told = f"seeds differ by more than the best trials {told}"
        if self.best not in self.means:
            return (
                f"{told}. Trial {self.best} was not made again, and is the best all the same: its score is that of its "
                f"seed, made worse by {self.luck:.2g}, the luck of the best of all. A search that goes on repeats it."
            )
        fresh = "1 fresh seed" if self.seeds == 1 else f"{self.seeds} fresh seeds"
        return (
            f"{told}: trial {self.best} has the best mean over {1 + self.seeds} of them. The score is of {fresh}, each "
            "of which scores the trial that the others choose; the first one chose these trials and is left out of it. "
            "The model that is kept is of the first."
        )


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


def next_repeat(trials: Sequence[Trial], *, room: float, last: bool = False) -> dict[str, Any] | None:
    """The point of the repeat that is to be made now, of the best trials as they are; None while there is `room` for a
    further trial and its own repeats before these, and where all were made, or a seed changes nothing.

    At most a third of all trials are repeats, and of fewer than `FEWEST` none is; of the `last` ones, when nothing else
    is left to be tried, as many as there is room for.
    """
    most = TOP * FRESH if last else int(min(TOP * FRESH, (len(trials) + room) / SHARE))
    best = _best(trials)[:most]
    if len(best) < 2 or _is_same(trials):
        return None
    made, seeds = [trial.parameters for trial in trials if is_repeat(trial)], min(FRESH, most // len(best))
    points = [{**one.parameters, REPEAT: seed} for seed in range(1, 1 + seeds) for one in best]
    due = [point for point in points if point not in made]
    return due[0] if due and (last or room < min(len(due) + seeds, len(points)) + 1) else None


def why_no_more(trials: Sequence[Trial], *, room: float) -> str:
    """Why no further trial is begun, where it could not be made again and it takes that to know its score; empty where
    one is."""
    noise = measure_noise(trials) if room < 1 + FRESH else None
    if noise is None or not noise.large or room >= 1 + noise.seeds:
        return ""
    return f"there is no room for another trial and the {noise.seeds} repeats that it would take to judge it"


def measure_noise(trials: Sequence[Trial]) -> Noise | None:
    """What the repeats say, of the trials that were made again as often as two of them were; None where less than two
    were."""
    complete = [one for one in originals(trials) if one.state is TrialState.COMPLETE]
    found = {one.number: _values(one, trials) for one in complete}
    seeds = sorted((len(values) - 1 for values in found.values()), reverse=True)[1] if len(found) > 1 else 0
    if not seeds:
        return None
    whole = {number: values[: 1 + seeds] for number, values in found.items() if len(values) > seeds}
    among = math.sqrt(fmean(variance(values) for values in whole.values()))
    means = {number: fmean(values) for number, values in whole.items()}
    held = [_hold_out(whole, seed) for seed in range(1, 1 + seeds)]
    luck = among * expected_largest(len(complete))
    late = {one.number: one.values[0] + luck for one in _best(trials) if one.number not in whole}
    best, worth = _least(means), fmean(held)
    if late and late[_least(late)] < worth:
        best, worth = _least(late), late[_least(late)]
    return Noise(among, stdev(values[0] for values in whole.values()), means, best, worth, luck, seeds)


def tell_noise(trials: Sequence[Trial]) -> str:
    """What the repeats say, in words."""
    if _is_same(trials):
        return "a seed changes nothing: a trial that was made again from another one is the same."
    noise = measure_noise(trials)
    if noise is not None:
        return str(noise)
    return (
        "whether seeds matter is not known: fewer than two trials were made again. At most a third of the trials are "
        f"repeats, so it takes {FEWEST} trials or more; the score is of one seed, and keeps the luck of it."
    )


def judge_best(trials: Sequence[Trial]) -> tuple[Trial, float] | None:
    """The best trial and its score, to be made small: by its mean over seeds, and without the luck of the first, where
    their noise is large (`Noise`), else by its own score; None where none is complete."""
    best, noise = best_trial(originals(trials)), measure_noise(trials)
    if best is None or noise is None or not noise.large:
        return None if best is None else (best, best.values[0])
    return next(trial for trial in trials if trial.number == noise.best), noise.worth


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The best trial, see `judge_best`."""
    found = judge_best(trials)
    return None if found is None else found[0]


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


def _least(scores: Mapping[int, float]) -> int:
    return min(scores, key=lambda number: (scores[number], number))


def _hold_out(whole: Mapping[int, Sequence[float]], seed: int) -> float:
    """The score by one seed of the trial that has the best mean over the others."""
    rest = {number: fmean(v for place, v in enumerate(values) if place != seed) for number, values in whole.items()}
    return whole[_least(rest)][seed]


def _is_same(trials: Sequence[Trial]) -> bool:
    """Whether a trial came to the very same from another seed."""
    return any(one.values[0] in _values(one, trials)[1:] for one in _best(trials))


def _values(trial: Trial, trials: Sequence[Trial]) -> list[float]:
    """What a trial came to from its own seed, and then from others."""
    repeats = [one for one in trials if is_repeat(one) and one.state is TrialState.COMPLETE]
    return [trial.values[0], *(one.values[0] for one in repeats if split_point(one.parameters)[0] == trial.parameters)]
