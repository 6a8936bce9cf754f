"""`Moves`: what is tried of a model after the usual: other windows, other units, then points of its search space."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tidewright.models.spec import ModelSpec
from tidewright.training.spec import TrainSpec
from tidewright.tuning.read_space import find_space, spaces
from tidewright.tuning.records import Candidate
from tidewright.tuning.study import Trial, TrialState
from tidewright.tuning.suggest import Asked, Suggestions
from tidewright.workflows.attempts import SHORTEST, Try
from tidewright.workflows.field import Field
from tidewright.workflows.search_record import Attempt

MOST_LOOKBACK = 1000
MOST_TURNS = 4  # of one try that the time ended


class Moves:
    """The tries of one model in order; the same scores lead to the same tries."""

    def __init__(self, ring: Field, name: str, spec: ModelSpec, *, train: TrainSpec) -> None:
        self._ring, self._name = ring, name
        self.usual = Try(name, "as usual", spec, train, ring.view(spec))
        self._queue = list(self._other_views())
        self._best: tuple[float, Try] | None = None
        self._suggestions: Suggestions | None = None
        self._asked: Asked | None = None
        self.over, self.cut = False, False  # nothing is left to try; the next try goes on with one that was cut short

    def tell(self, one: Try, told: Attempt) -> None:
        """What came of a try."""
        if told.note and one.turn < MOST_TURNS:
            self._queue.insert(0, replace(one, what=f"{one.what}, with more time", turn=one.turn + 1))
        self.cut = bool(self._queue) and self._queue[0].turn > 1
        if told.score is not None and (self._best is None or told.score < self._best[0]):
            self._best = told.score, one
        if self._suggestions is not None and self._asked is not None:
            self._suggestions.tell(self._asked, _trial(self._asked, told.score))
            self._asked = None

    def next(self) -> Try | None:
        """The next try; None, from then on, where there is none."""
        if self._queue:
            return self._queue.pop(0)
        found = None if self._best is None else self._ask(*self._best)
        self.over = found is None
        return found

    def _other_views(self) -> Iterator[Try]:
        """Half and twice the window, covariates in units of it, and no calendar, unless the user settled that."""
        view, settings, takes = self.usual.view, self._ring.settings, self.usual.spec.takes
        assert view is not None
        train = self._ring.split.train
        longest = min((train.last - train.first + 1) // 2, MOST_LOOKBACK)
        if settings.lookback is None:
            for lookback in (2 * view.lookback, view.lookback // 2):
                if SHORTEST <= lookback <= longest:
                    yield self._vary(f"lookback {lookback}", lookback=lookback)
        roles = self._ring.panel.roles
        if {"past", "known"} <= set(takes) and (roles.past or roles.known) and not settings.relative:
            yield self._vary("covariates in units of the window", relative=True)
        if view.calendar and not settings.holidays:
            yield self._vary("without the calendar", calendar=())

    def _vary(self, what: str, **changes: Any) -> Try:
        view = self.usual.view
        assert view is not None
        options = {f"view.{name}": value for name, value in changes.items()}
        return replace(self.usual, what=what, view=replace(view, **changes), options=options)

    def _ask(self, score: float, best: Try) -> Try | None:
        """A point of the space, the best try so far being its first."""
        if self._name not in spaces() or not self._ring.settings.tune.enabled or best.view is None:
            return None
        candidate = Candidate(best.spec, best.train, best.view)
        if self._suggestions is None:
            space = find_space(self._name)
            self._base = candidate
            first = {name: candidate.value(name) for name in space.names}
            self._suggestions = Suggestions(space, default=first, seed=self._ring.settings.seed, warmup=1)
            asked = self._suggestions.ask()
            assert asked is not None
            self._suggestions.tell(asked, _trial(asked, score))
        self._asked = self._suggestions.ask()
        if self._asked is None:
            return None
        point = dict(self._asked.point)
        if "view.lookback" in point:
            point["view.lookback"] = max(point["view.lookback"], SHORTEST)
        found = self._base.change(point)
        return Try(self._name, "tuned", found.spec, found.train, found.view, point)


def _trial(asked: Asked, score: float | None) -> Trial:
    state = TrialState.FAILED if score is None else TrialState.COMPLETE
    return Trial(0, state, score, dict(asked.point), "", 0.0, 0.0)
