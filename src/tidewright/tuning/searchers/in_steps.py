"""Points for trials that are made together: a step's first point sets its form, and the others keep to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tidewright.tuning.ranges import Choice
from tidewright.tuning.searchers.searcher import History, Searcher
from tidewright.tuning.searchers.untried import Tried, label_of
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.trial import Trial


@dataclass(eq=False)
class StepSearcher:
    """Suggests for steps of `size` trials, which go by the trials' numbers.

    The first point of a step is the one that a searcher suggests in the whole space. The others have its values of all
    options but the `own` ones: another searcher suggests these in the space that is left, where it is told of every
    trial as if it had been of that form. Where nothing is left there, or the first point lies outside the space, they
    are suggested in the whole space too. `make` gives a searcher.
    """

    make: Callable[[], Searcher]
    size: int
    own: Callable[[str], bool]
    _whole: Searcher = field(init=False, repr=False)
    _within: _Within | None = field(default=None, init=False, repr=False)
    _tried: Tried = field(default_factory=Tried, init=False, repr=False)

    def __post_init__(self) -> None:
        self._whole = self.make()

    def suggest(self, history: History) -> Mapping[str, Any] | None:
        """See `Searcher`."""
        step = history.trials[history.number - history.number % self.size :]
        first = next((trial for trial in step if history.space.holds(trial.parameters)), None)
        if first is None or all(self.own(name) for name in history.space.names):
            return self._whole.suggest(history)
        if self._within is None or not self._within.is_of(first, history.space):
            self._within = _Within(history.space, first, searcher=self.make(), own=self.own, tried=self._tried)
        return self._within.suggest(history) or self._whole.suggest(history)


class _Within:
    """What is left of a space for the form of a trial."""

    def __init__(
        self, space: SearchSpace, first: Trial, *, searcher: Searcher, own: Callable[[str], bool], tried: Tried
    ) -> None:
        self._first, self._space, self._searcher, self._tried = first, space, searcher, tried
        self._form = {name: first.parameters[name] for name in space.names if self._is_form(name, own)}
        there = {name: one for name, one in space.ranges.items() if name in first.parameters}
        fixed = {name: Choice((value,)) for name, value in self._form.items()}
        self._left = SearchSpace(space.model, {**there, **fixed})
        self._told: dict[int, tuple[Trial, Trial]] = {}

    def is_of(self, first: Trial, space: SearchSpace) -> bool:
        """Whether it was made for that trial."""
        return self._space is space and self._first.number == first.number

    def suggest(self, history: History) -> Mapping[str, Any] | None:
        """A point of the form that was not tried."""
        told = replace(history, space=self._left, trials=tuple(map(self._tell, history.trials)))
        point = self._searcher.suggest(told)
        if point is None:
            return None
        settled = self._space.settle({**self._first.parameters, **point})
        same = all(name in settled and settled[name] == value for name, value in self._form.items())
        return settled if same and label_of(self._space, settled) not in self._tried.labels(history) else None

    def _is_form(self, name: str, own: Callable[[str], bool]) -> bool:
        return name in self._first.parameters and not own(name)

    def _tell(self, trial: Trial) -> Trial:
        """The trial as if it had been of this form; always the same object, for searchers that remember trials."""
        known = self._told.get(trial.number)
        if known is None or known[0] is not trial:
            known = trial, replace(trial, parameters={**trial.parameters, **self._form})
            self._told[trial.number] = known
        return known[1]
