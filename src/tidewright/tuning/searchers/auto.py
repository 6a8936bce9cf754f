"""The searcher that fits a space, the number of trials and the objectives, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tidewright.tuning.searchers.gp import GPSearcher
from tidewright.tuning.searchers.grid import GridSearcher
from tidewright.tuning.searchers.nsga2 import NSGA2Searcher
from tidewright.tuning.searchers.searcher import History, Searcher
from tidewright.tuning.searchers.tpe import TPESearcher
from tidewright.tuning.space import SearchSpace

FEW_POINTS = 24  # of a space that is gone through whatever the number of trials
MOST_MODELLED = 150  # trials, beyond which a Gaussian process takes too long
MOST_OPTIONS = 40  # likewise, and beyond which distances say little
MAKE: dict[str, type[Searcher]] = {
    "grid": GridSearcher,
    "gp": GPSearcher,
    "tpe": TPESearcher,
    "nsga2": NSGA2Searcher,
}


@dataclass(frozen=True, slots=True)
class Pick:
    """A searcher's name, and why it was taken."""

    name: str
    reason: str


def pick_searcher(space: SearchSpace, *, ended: int, trials: int | None = None, objectives: int = 1) -> Pick:
    """What fits a space when `ended` trials are known, of `trials` in all (None: nobody knows).

    >>> from tidewright.tuning.ranges import FloatRange
    >>> print(pick_searcher(SearchSpace("lstm", {"train.learning_rate": FloatRange(1e-4, 1e-2)}), ended=0).reason)
    1 option and fewer than 150 trials: a Gaussian process finds more in few trials than the others
    """
    size, options = space.size, sum(one.size > 1 for one in space.ranges.values())
    if size <= max(FEW_POINTS, trials or 0):
        return Pick("grid", f"the space has {size:g} points, so all can be tried")
    many = "1 option" if options == 1 else f"{options} options"
    if options > MOST_OPTIONS:
        name = "tpe" if objectives == 1 else "nsga2"
        return Pick(name, f"{many} are more than {MOST_OPTIONS}, too many for distances between points to say much")
    if ended < MOST_MODELLED:
        why = "a Gaussian process finds more in few trials than the others"
        mixed = "" if objectives == 1 else f", {objectives} objectives mixed anew for each trial"
        return Pick("gp", f"{many} and fewer than {MOST_MODELLED} trials: {why}{mixed}")
    name = "tpe" if objectives == 1 else "nsga2"
    return Pick(name, f"after {MOST_MODELLED} trials a Gaussian process takes too long")


@dataclass(frozen=True, eq=False)
class AutoSearcher:
    """Asks for each point the searcher that `pick_searcher` takes; `trials` is how many are planned, where known."""

    trials: int | None = None
    _kept: dict[str, Searcher] = field(default_factory=dict, repr=False)

    def pick(self, history: History) -> Pick:
        """Which searcher is asked next, and why."""
        objectives = max((len(trial.values) for trial in history.trials), default=1)
        return pick_searcher(
            history.space, ended=len(history.trials), trials=self.trials, objectives=max(1, objectives)
        )

    def suggest(self, history: History) -> Mapping[str, Any] | None:
        """See `Searcher`."""
        name = self.pick(history).name
        return self._kept.setdefault(name, MAKE[name]()).suggest(history)
