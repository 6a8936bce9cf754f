"""`search`: the one loop of every study. Claim a point, ask the objective, keep what came of it, until a stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from time import sleep as pause
from typing import Any

from tidewright.training.events import Callback, TrialEnded, TrialStarted, emit
from tidewright.tuning.crew import Alone, Crew, Died, Ended, Hearing
from tidewright.tuning.durations import ENOUGH, expect_first, expect_seconds
from tidewright.tuning.keep_best import CHECKPOINT, remove_ended, trial_folder
from tidewright.tuning.limits import Limits
from tidewright.tuning.objective import Objective
from tidewright.tuning.pruners import NoPruner, Pruner
from tidewright.tuning.repeats import TOP, is_repeat, judge_best, next_repeat, originals, split_point, why_no_more
from tidewright.tuning.searchers.searcher import Explains, History, Searcher
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.store import Noted, Point, Stop, TrialStore
from tidewright.tuning.task import Orders, Task, others_of
from tidewright.tuning.trial import TRAINING, Trial, TrialState, best_trial

LOOK_S = 0.5  # between two looks at what other machines do
StopRule = Callable[[Sequence[Trial]], str]


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """Every trial, why there is no further one, and what the best of them `learned`: None where it did so in another
    call or on another machine."""

    trials: tuple[Trial, ...]
    learned: Any
    reason: str


@dataclass(frozen=True, eq=False)
class Plan:
    """How a study goes: where points come from, which trials are ended early, and when it is over.

    `first` are the points of the first trials, wherever they lie; `stops` further rules, each the reason to stop or
    an empty text. The `keep` best of the ended trials keep their files. With `repeats` the last trials are the best
    ones again, from other seeds (see `repeats`). A trial at a point that `heeds` its deadline is begun where the budget
    has room for a part of it; which is judged if it is enough, or given up.
    """

    space: SearchSpace
    searcher: Searcher
    limits: Limits
    seed: int
    pruner: Pruner = field(default_factory=NoPruner)
    first: tuple[Point | Noted, ...] = ()
    stops: tuple[StopRule, ...] = ()
    callbacks: tuple[Callback, ...] = ()
    keep: int = 1
    repeats: bool = False
    heeds: Callable[[Point], bool] = lambda point: False

    def choose(self, trials: tuple[Trial, ...]) -> Point | Noted | Stop:
        """The next point, with what is noted of it, or why there is none."""
        over = self.limits.why_stop(trials)
        if over:
            return Stop(over)
        known = originals(trials)
        reason = next(filter(None, (rule(known) for rule in self.stops)), "")
        again, full = self._again(trials, last=bool(reason))
        if reason or full:
            return self._hurry(known, again) if again else Stop(reason or full)
        point = again or self._suggest(trials, known) or self._again(trials, last=True)[0]
        if point is None:
            return Stop("every point of the space that the sampler finds was tried")
        return self._hurry(known, point)

    def expect(self, trials: Sequence[Trial], point: Point) -> float | None:
        """How many seconds a trial at a point will probably take; None where no trial has ended."""
        return expect_seconds(trials, point, space=self.space)

    def least(self, trial: Trial, others: Sequence[Trial], *, expected: float | None) -> float:
        """For how many seconds a trial must have learned to be judged where its deadline ends it: for none where
        nothing else is complete, or it goes on from what it had learned."""
        if self.limits.budget_s is None or expected is None or trial.steps or not self.heeds(trial.parameters):
            return 0.0
        return ENOUGH * expected if best_trial(list(others)) else 0.0

    def _hurry(self, known: tuple[Trial, ...], point: Point | Noted) -> Point | Noted | Stop:
        """The point, or why it is too late for a trial there. A repeat is made whole or not at all."""
        if self.limits.budget_s is None:
            return point
        own, repeat = split_point(point.point if isinstance(point, Noted) else point)
        whole, first = self.expect(known, own), None
        if whole is not None and not repeat and self.heeds(own):
            first = expect_first(known, own, whole=whole)
        late = self.limits.why_late(whole, first=first)
        return Stop(late) if late else point

    def _again(self, trials: tuple[Trial, ...], *, last: bool) -> tuple[Point | None, str]:
        """The repeat that is to be made now, and else why no other trial is."""
        if not self.repeats:
            return None, ""
        room = self.limits.room(trials)
        full = why_no_more(trials, room=room)
        return next_repeat(trials, room=room, last=last or bool(full)), full

    def _suggest(self, trials: tuple[Trial, ...], known: tuple[Trial, ...]) -> Point | Noted | None:
        if len(known) < len(self.first):
            return self.first[len(known)]
        history = History(self.space, known, len(trials), self.seed)
        point = self.searcher.suggest(history)
        if point is not None and isinstance(self.searcher, Explains):
            return Noted(point, self.searcher.explain(history))
        return point

    def best(self, trials: tuple[Trial, ...]) -> Trial | None:
        """The trial whose model is the study's."""
        judged = self.judge(trials)
        return None if judged is None else judged[0]

    def judge(self, trials: tuple[Trial, ...]) -> tuple[Trial, float] | None:
        """The same, with what it is worth, to be made small; None where no trial is complete."""
        if self.repeats:
            return judge_best(trials)
        best = best_trial(trials)
        return None if best is None else (best, best.values[0])


def search(objective: Objective, plan: Plan, *, store: TrialStore, crew: Crew | None = None) -> Found:
    """Makes trials until the plan stops, first those whose worker died. Failed trials are kept as such; an interrupt is
    raised, and what ran is taken up by the next search. While none is complete, those of other machines are waited for,
    until the budget's end. Without a crew the trials are made here, one after another."""
    crew = crew or Alone(orders_of(objective, plan))
    best: tuple[tuple[float, int], Any] | None = None
    running: dict[int, Trial] = {}
    hear = Hearing(partial(_keep, store, plan), partial(emit, plan.callbacks))
    try:
        while True:
            stop = _hand_out(plan, store, crew, running)
            if not crew.busy:
                if not _wait_for_others(plan, store):
                    break
                continue
            over = crew.wait(hear)
            trial = _conclude(plan, store, over, running)
            if trial is not None and trial.value is not None and isinstance(over, Ended) and not is_repeat(trial):
                rank = trial.value, trial.number
                best = (rank, over.learned) if best is None or rank < best[0] else best
    finally:
        for number in running:
            store.let_go(number, died=False)
    trials = store.trials()
    first = plan.best(trials)
    own = best is not None and first is not None and best[0][1] == first.number
    return Found(trials, best[1] if own and best else None, stop.reason)


def orders_of(objective: Objective, plan: Plan) -> Orders:
    """What each worker of a plan knows."""
    return Orders(objective, plan.pruner, plan.seed, plan.limits.clock)


def _hand_out(plan: Plan, store: TrialStore, crew: Crew, running: dict[int, Trial]) -> Stop:
    """Begins trials as long as somebody is free for them; why there is no more, where that is so."""
    while crew.free:
        limits = plan.limits
        claimed = store.claim(plan.choose, spent=limits.spent, late=limits.is_over)
        if isinstance(claimed, Stop):
            return claimed
        expected = plan.expect(store.seen, claimed.parameters)
        running[claimed.number] = replace(claimed, expected_s=expected)
        emit(plan.callbacks, TrialStarted(plan.space.model, claimed.number, claimed.parameters, expected))
        others = others_of(claimed, store.seen)
        folder = None if store.folder is None else trial_folder(store.folder, claimed.number)
        least = plan.least(claimed, others, expected=expected)
        crew.begin(Task(claimed, others, limits.deadline(others), folder, limits.last, least))
    return Stop("")


def _wait_for_others(plan: Plan, store: TrialStore) -> bool:
    """Waits a little where others are at work and have nothing to show yet; whether it did."""
    states = {trial.state for trial in store.trials()}
    if TrialState.RUNNING not in states or TrialState.COMPLETE in states or plan.limits.is_over:
        return False
    pause(LOOK_S)
    return True


def _conclude(plan: Plan, store: TrialStore, over: Ended | Died, running: dict[int, Trial]) -> Trial | None:
    """The trial as it is kept and told of; None where its worker died or it is another's by now."""
    number = over.number if isinstance(over, Died) else over.trial.number
    began = running.pop(number)
    if isinstance(over, Died) or not store.owns(number, spent=plan.limits.spent):
        store.let_go(number, died=True)
        return None
    ended = replace(over.trial, notes=(*began.notes, *over.trial.notes), expected_s=began.expected_s)
    trial = store.finish(ended, spent=plan.limits.spent)
    kept: tuple[int, ...] = ()
    checkpoint = ""
    if store.folder is not None:
        keep = max(plan.keep, TOP) if plan.repeats else plan.keep
        kept = remove_ended(store.folder, store.trials(), keep=keep)
        file = trial_folder(store.folder, number) / CHECKPOINT
        checkpoint = str(file) if file.exists() else ""
    emit(plan.callbacks, replace(event_of(plan.space.model, trial), kept=kept, checkpoint=checkpoint))
    return trial


def _keep(store: TrialStore, plan: Plan, number: int, step: int, value: float) -> None:
    store.report(number, step=step, value=value, spent=plan.limits.spent)


def event_of(study: str, trial: Trial) -> TrialEnded:
    """A trial that has ended, as it is told."""
    return TrialEnded(
        study=study,
        number=trial.number,
        state=str(trial.state),
        value=trial.value,
        parameters=trial.parameters,
        seconds=trial.seconds,
        metrics={name if name.startswith(TRAINING) else f"validation_{name}": v for name, v in trial.scores.items()},
        error=trial.error,
        notes=trial.notes,
        expected_s=trial.expected_s,
        again=is_repeat(trial),
    )
