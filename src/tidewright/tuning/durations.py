"""How long a trial will take, from those that are done: a regression of the logarithm of seconds on the point.

N trials, C columns of a space's cube.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.tuning.ranges import Choice
from tidewright.tuning.searchers.cube import Cube
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.trial import Trial, TrialState

LEAST = 6  # complete trials that a regression needs
LATEST = 200  # trials that it looks at
LONGER = 1.5  # times what was told: what a first step may take
ENOUGH = 0.2  # of a trial's seconds: what it must have learned for to be judged, as the median pruner spares a fifth
PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 30.0)  # of the ridge, chosen by leaving each trial out

Doubles = npt.NDArray[np.float64]


def expect_seconds(trials: Sequence[Trial], point: Mapping[str, Any], *, space: SearchSpace) -> float | None:
    """How long a trial at a point will probably take if nothing ends it early; None where no trial has ended.

    From the sixth complete one on it is a ridge regression of log seconds on the options, whose penalty leaves each
    trial out once; before, the median of the complete trials of the same model, or of all that ended.
    """
    ended = [trial for trial in trials if trial.state is not TrialState.RUNNING and trial.seconds > 0.0]
    whole = [trial for trial in ended if trial.state is TrialState.COMPLETE and not trial.cut_short][-LATEST:]
    kin = [trial for trial in whole if trial.parameters.get("model") == point.get("model")]
    cube = Cube(space)
    placed = [trial for trial in kin if _has_place(space, trial.parameters)]
    if len(placed) >= LEAST and cube.options and _has_place(space, point):
        places = np.array([cube.places(trial.parameters) for trial in placed] + [cube.places(point)])
        columns = cube.columns(np.clip(places, 0.0, 1.0))  # the default may lie outside its range
        logs = np.log([trial.seconds for trial in placed])
        return math.exp(_predict(columns[:-1], logs, columns[-1]))
    known = kin or whole or ended
    return median(trial.seconds for trial in known) if known else None


def expect_first(trials: Sequence[Trial], point: Mapping[str, Any], *, whole: float) -> float:
    """How long a trial that will probably take `whole` seconds takes, at most, to learn one step and to be judged, from
    how many steps the complete trials of its model reported; `whole` where they reported none."""
    ended = [one for one in trials if one.state is TrialState.COMPLETE and not one.cut_short]
    kin = [one for one in ended if one.parameters.get("model") == point.get("model")]
    steps = median(len(one.steps) for one in kin) if kin else 0
    if steps == 0:
        return whole
    judging = max(one.seconds - one.fit_seconds for one in ended)
    return min(whole, judging + LONGER * whole / steps)


def _has_place(space: SearchSpace, point: Mapping[str, Any]) -> bool:
    """Whether every option that is one of several values has one of these; the default's may be another."""
    chosen = {name: one for name, one in space.ranges.items() if isinstance(one, Choice) and name in point}
    return all(one.holds(point[name]) for name, one in chosen.items())


def _predict(columns: Doubles, logs: Doubles, asked: Doubles) -> float:
    """The ridge's answer at one place [C], held to what was seen and half as much beyond."""
    centre, level = columns.mean(axis=0), float(logs.mean())
    x, y = columns - centre, logs - level
    left, sizes, right = np.linalg.svd(x, full_matrices=False)
    turned = left.T @ y
    best, answer = math.inf, level
    for penalty in PENALTIES:
        shrunk = sizes**2 / (sizes**2 + penalty)
        fitted = left @ (shrunk * turned)
        lever = (left**2) @ shrunk + 1.0 / len(y)
        error = float(np.mean(((y - fitted) / np.maximum(1.0 - lever, 1e-6)) ** 2))
        if error < best:
            weights = right.T @ (sizes / (sizes**2 + penalty) * turned)
            best, answer = error, level + float((asked - centre) @ weights)
    reach = 0.5 * float(np.ptp(logs))
    return float(np.clip(answer, logs.min() - reach, logs.max() + reach))
