"""What the pictures of a search have in common: which trials are drawn, how far an axis goes, how values are written.

N trials. Scores are drawn in the metric's own direction, shares in percent; inside a study all is made small.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.report.metric_words import axis_of, name_metric, scale_of
from tidewright.tuning.goals import Goal
from tidewright.tuning.importance import cap_far
from tidewright.tuning.ranges import Choice
from tidewright.tuning.trial import Trial
from tidewright.tuning.tried import Tried

Doubles = npt.NDArray[np.float64]
MOST_DRAWN = 400  # trials of a picture
MOST_BEST = 100  # of them, those that are there for being good
SQUEEZED = 4.0  # how many times longer an axis may get by scores that are far worse
BETTER = {"lower": "lower is better", "higher": "higher is better", "nearest": "lower is better"}


@dataclass(frozen=True, eq=False, slots=True)
class Marks:
    """The trials of a picture and where they stand: `scores` [N] as they are, `heights` [N] as they are drawn. What is
    `far` [N] worse than the rest stands at the edge."""

    trials: tuple[Trial, ...]
    scores: Doubles
    heights: Doubles
    far: npt.NDArray[np.bool_]

    @property
    def numbers(self) -> list[int]:
        """The trials' numbers."""
        return [trial.number for trial in self.trials]


def mark_trials(tried: Tried, *, objective: int = 0, trials: tuple[Trial, ...] | None = None) -> Marks:
    """Trials by one of their values: the complete ones that are drawn, unless they are given."""
    drawn = thin_trials(tried.scored, objective=objective) if trials is None else trials
    small = np.array([trial.values[objective] for trial in drawn], dtype=np.float64)
    goal, capped = tried.goals[objective], _cap(small)
    return Marks(drawn, show_scores(goal, small), show_scores(goal, capped), capped < small)


def _cap(small: Doubles) -> Doubles:
    """Heights to be drawn [N]: as they are, unless what is far worse would press the rest into a line."""
    if not small.size:
        return small
    capped, best = cap_far(small), small.min()
    return capped if small.max() - best > SQUEEZED * (capped.max() - best) else small


def thin_trials(trials: Sequence[Trial], *, objective: int = 0, most: int = MOST_DRAWN) -> tuple[Trial, ...]:
    """At most so many trials, in their order: the best ones, and others evenly."""
    if len(trials) <= most:
        return tuple(trials)
    ranked = sorted(range(len(trials)), key=lambda row: trials[row].values[objective])
    best = set(ranked[: min(MOST_BEST, most // 2)])
    rest = [row for row in range(len(trials)) if row not in best]
    even = {rest[int(place)] for place in np.linspace(0, len(rest) - 1, most - len(best)).round()}
    return tuple(trials[row] for row in sorted(best | even))


def say_thinned(drawn: int, *, of: int, what: str = "trials") -> str:
    """A sentence for the caption of a picture that doesn't draw all; empty where it does."""
    return "" if drawn >= of else f" {drawn:,} of {of:,} {what} are drawn: the best, and others evenly."


def show_scores(goal: Goal, small: Doubles) -> Doubles:
    """What was made small [N], as it is drawn."""
    return np.asarray(scale_of(goal.name) * goal.show(small))


def name_goal(goal: Goal) -> str:
    """What a score is, for an axis."""
    away = ", distance from its aim" if goal.direction == "nearest" else ""
    return f"{axis_of(goal.name)}{away}"


def name_plain(goal: Goal) -> str:
    """What a score is, in a sentence."""
    return (
        f"distance of {name_metric(goal.name)} from its aim" if goal.direction == "nearest" else name_metric(goal.name)
    )


def write_value(value: Any) -> str:
    """The value of an option, as people read it.

    >>> [write_value(value) for value in (0.00031622, 64, "adam", (256, 128), None, True)]
    ['0.0003162', '64', 'adam', '[256, 128]', 'none', 'true']
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | type(None)):
        return json.dumps(value)
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def place_in(choice: Choice, value: Any) -> int | None:
    """The place of a value among the choices; None where it isn't one."""
    label = json.dumps(value)
    return choice.labels.index(label) if label in choice.labels else None
