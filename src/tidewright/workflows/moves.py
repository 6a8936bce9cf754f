"""`Moves`: what is tried of a model after the usual: other features, other windows, then points of its search space."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tidewright.errors import ConfigError
from tidewright.models.spec import ModelSpec
from tidewright.models.specs.tabular import Tabular
from tidewright.models.tree_inputs import least_lookback
from tidewright.training.spec import TrainSpec
from tidewright.tuning.read_space import UNTUNED, usual_space
from tidewright.tuning.records import Candidate
from tidewright.tuning.searchers.searcher import History
from tidewright.tuning.searchers.tpe import TPESearcher
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.trial import Trial, TrialState
from tidewright.workflows.allot import HOPE
from tidewright.workflows.attempts import SHORTEST, Try
from tidewright.workflows.feature_moves import Move, list_features, name_holidays
from tidewright.workflows.field import Field
from tidewright.workflows.search_record import Attempt

MOST_LOOKBACK = 1000
MOST_TURNS = 4  # of one try that the time ended
USUAL, MORE_TIME = "as usual", ", with more time"


class Moves:
    """The tries of one model in order; the same scores lead to the same tries."""

    def __init__(self, ring: Field, name: str, spec: ModelSpec, *, train: TrainSpec) -> None:
        self._ring, self._name = ring, name
        self.usual = Try(name, USUAL, spec, train, ring.view(spec))
        self._queue = [*self._list_features(), *self._list_views()]
        self._again: Try | None = None  # one that was cut short
        self._best: tuple[float, Try] | None = None
        self._space: SearchSpace | None = None
        self._searcher = TPESearcher()
        self._trials: list[Trial] = []
        self.over = False  # nothing is left to try

    @property
    def cut(self) -> bool:
        """Whether the next try goes on with one that was cut short."""
        return self._again is not None

    @property
    def hope(self) -> float:
        """The share of the model's error that the next try is hoped to take off before any did."""
        return self._queue[0].hope if self._queue else HOPE

    def tell(self, one: Try, told: Attempt) -> None:
        """What came of a try."""
        more = bool(told.note) and one.turn < MOST_TURNS
        self._again = replace(one, what=f"{one.what}{MORE_TIME}", turn=one.turn + 1) if more else None
        if told.score is not None and (self._best is None or told.score < self._best[0]):
            self._best = told.score, one
        if self._trials and self._trials[-1].state is TrialState.RUNNING:
            self._trials[-1] = _end(self._trials[-1], told.score)

    def next(self) -> Try | None:
        """The next try; None, from then on, where there is none."""
        if self._again is not None:
            return self._again
        while self._queue:
            found = self._apply(self._queue.pop(0))
            if found is not None:
                return found
        found = None if self._best is None else self._ask(*self._best)
        self.over = found is None
        return found

    def _list_features(self) -> Iterator[Move]:
        """Other features of the model, unless the user wants no options varied."""
        if self._ring.settings.tune.enabled and self.usual.view is not None:
            yield from list_features(self.usual.spec, view=self.usual.view, season=self._ring.season)

    def _list_views(self) -> Iterator[Move]:
        """Half and twice the window, covariates in units of it, holidays and no calendar, unless the user settled
        that.
        """
        view, settings, takes = self.usual.view, self._ring.settings, self.usual.spec.takes
        assert view is not None
        longest = min(self._rows // 2, MOST_LOOKBACK)
        if settings.lookback is None:
            for lookback in (2 * view.lookback, view.lookback // 2):
                if SHORTEST <= lookback <= longest:
                    yield Move(f"lookback {lookback}", {"view.lookback": lookback})
        roles = self._ring.panel.roles
        if {"past", "known"} <= set(takes) and (roles.past or roles.known) and not settings.relative:
            yield Move("covariates in units of the window", {"view.relative": True})
        if view.calendar and not settings.holidays:
            holidays = name_holidays(self._ring.panel.frequency)
            if holidays:
                yield Move("with the exchange's holidays", {"view.calendar": (*view.calendar, *holidays)})
            yield Move("without the calendar", {"view.calendar": ()})

    @property
    def _rows(self) -> int:
        """How many rows the training part spans."""
        train = self._ring.split.train
        return train.last - train.first + 1

    def _apply(self, move: Move) -> Try | None:
        """A move from the best try so far; None where it changes nothing or can't be."""
        base = self.usual if self._best is None else self._best[1]
        assert base.view is not None
        before = Candidate(base.spec, base.train, base.view)
        try:
            found = before.change(move.options)
        except ConfigError:  # the model's record refuses it
            return None
        what, options = move.what, {**base.options, **move.options}
        need = least_lookback(found.spec, season=self._ring.season) if isinstance(found.spec, Tabular) else 0
        if need > found.view.lookback:
            settled = self._ring.settings.lookback is not None or "view.lookback" in move.options
            if settled or need > min(self._rows, MOST_LOOKBACK):
                return None
            found, options = found.change({"view.lookback": need}), {**options, "view.lookback": need}
            what = f"{what}, lookback {need}"
        if found == before:
            return None
        return replace(base, what=_add(base, what), spec=found.spec, view=found.view, options=options, turn=1)

    def _ask(self, score: float, best: Try) -> Try | None:
        """A point of the space, the best try so far being its first."""
        if self._name in UNTUNED or not self._ring.settings.tune.enabled or best.view is None:
            return None
        candidate = Candidate(best.spec, best.train, best.view)
        if self._space is None:
            self._space = usual_space(self._name)
            assert self._space is not None
            self._base, self._first = candidate, best
            first = candidate.point(self._space)
            self._trials = [_end(Trial(0, TrialState.RUNNING, parameters=first), score)]
        number = len(self._trials)
        found = self._searcher.suggest(History(self._space, tuple(self._trials), number, self._ring.settings.seed))
        if found is None:
            return None
        self._trials.append(Trial(number, TrialState.RUNNING, parameters=found))
        point = dict(found)
        if "view.lookback" in point:
            point["view.lookback"] = max(point["view.lookback"], SHORTEST)
        changed = self._base.change(point)
        options = {**self._first.options, **point}
        return Try(self._name, _add(self._first, "tuned"), changed.spec, changed.train, changed.view, options)


def _add(base: Try, what: str) -> str:
    """A change in words, after those that the try before it came from."""
    said = base.what.replace(MORE_TIME, "")
    return what if said == USUAL else f"{said}; {what}"


def _end(trial: Trial, score: float | None) -> Trial:
    """A running trial with its score; a missing one is a failure."""
    if score is None:
        return replace(trial, state=TrialState.FAILED)
    return replace(trial, state=TrialState.COMPLETE, values=(score,))
