"""The loop and the record of a study, over plain functions."""

from __future__ import annotations

from typing import Any

import pytest

from tidewright.tuning.limits import Limits
from tidewright.tuning.objective import Assignment, Outcome
from tidewright.tuning.search import Plan, search
from tidewright.tuning.searchers.searcher import History
from tidewright.tuning.searchers.tpe import TPESearcher
from tidewright.tuning.space import Choice, FloatRange, SearchSpace
from tidewright.tuning.store import Stop, TrialStore
from tidewright.tuning.trial import Trial, TrialState

BOWL = SearchSpace("bowl", {"x": FloatRange(-1.0, 1.0), "sizes": Choice(((1, 2), (3,)))})


def bowl(assignment: Assignment) -> Outcome:
    x = assignment.point["x"]
    return Outcome((x**2 + len(assignment.point["sizes"]),), learned=assignment.number)


def make_plan(**changes: Any) -> Plan:
    limits = Limits(0.0, None, changes.pop("trials", 20), lambda: 0.0)
    return Plan(**{"space": BOWL, "searcher": TPESearcher(), "limits": limits, "seed": 3, **changes})


def test_any_function_is_made_small_and_the_best_one_is_given_back() -> None:
    found = search(bowl, make_plan(trials=40), store=TrialStore.in_memory())
    best = min(found.trials, key=lambda trial: trial.values)
    assert best.value == pytest.approx(1.0, abs=0.02)
    assert found.learned == best.number
    assert [trial.number for trial in found.trials] == list(range(40))


def test_a_study_goes_on_where_its_record_ends_as_if_it_had_not_stopped() -> None:
    store = TrialStore.in_memory()
    search(bowl, make_plan(trials=13), store=store)
    resumed = search(bowl, make_plan(trials=25), store=store)  # with a new searcher, which knows the record alone
    whole = search(bowl, make_plan(trials=25), store=TrialStore.in_memory())
    points = [(t.parameters, t.values) for t in whole.trials]
    assert [(t.parameters, t.values) for t in resumed.trials] == points
    assert len(points) == 25


def test_a_kept_searcher_and_a_new_one_suggest_the_same() -> None:
    kept, trials = TPESearcher(), []
    for number in range(15):
        history = History(BOWL, tuple(trials), number, 1)
        point = kept.suggest(history)
        assert point == TPESearcher().suggest(history)
        trials.append(Trial(number, TrialState.COMPLETE, (point["x"] ** 2,), point))


def test_what_is_kept_is_what_was_told() -> None:
    store = TrialStore.in_memory()
    claimed = store.claim(lambda trials: {"x": 0.5, "sizes": (3,)})
    assert isinstance(claimed, Trial)
    assert store.trials() == (claimed,)
    store.report(0, step=1, value=0.7)
    store.report(0, step=2, value=float("nan"))
    ended = Trial(
        0, TrialState.COMPLETE, (0.25, 1.0), {"x": 0.5, "sizes": (3,)}, scores={"mae": 0.1}, notes=("a note",)
    )
    two = TrialStore.in_memory(objectives=2)
    two.claim(lambda trials: ended.parameters)
    assert two.finish(ended) == ended == two.trials()[0]
    kept = store.finish(Trial(0, TrialState.PRUNED, error="hopeless"))
    assert (kept.steps[0], kept.finite_steps, kept.error) == ((1, 0.7), {1: 0.7}, "hopeless")
    assert store.claim(lambda trials: Stop(f"{len(trials)} are enough")) == Stop("1 are enough")
