"""What every searcher of the catalog keeps, whatever the space and whatever came of the trials."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tidewright.tuning.ranges import Choice, FloatRange, IntRange
from tidewright.tuning.rules import Of, Rule
from tidewright.tuning.searchers.catalog import SEARCHERS
from tidewright.tuning.searchers.grid import GridSearcher
from tidewright.tuning.searchers.searcher import History, Searcher
from tidewright.tuning.searchers.untried import label_of
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.trial import Trial, TrialState

RUNNING, COMPLETE, PRUNED, FAILED = TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED
MIXED = SearchSpace(
    "mixed",
    {
        "rate": FloatRange(1e-4, 1e-1, log=True),
        "units": IntRange(8, 64, step=8),
        "heads": IntRange(1, 8, log=True),
        "optimizer": Choice(("adam", "sgd")),
        "momentum": FloatRange(0.0, 0.9),
        "least": IntRange(1, 8),
        "fixed": IntRange(3, 3),
    },
    rules={
        "momentum": Rule(when={"optimizer": Choice(("sgd",))}),
        "least": Rule(high=Of("heads")),
    },
)
SMALL = SearchSpace("small", {"depth": IntRange(1, 3), "kind": Choice(((1, 2), (3,)))})
PLANE = SearchSpace("plane", {"x": FloatRange(0.0, 1.0), "y": FloatRange(-2.0, 2.0)})
STATES = (COMPLETE, COMPLETE, PRUNED, COMPLETE, FAILED)
LEARNING = ["gp", "tpe", "cmaes", "hyperopt", "skopt", "auto"]


def make(name: str) -> Searcher:
    return GridSearcher(resolution=3) if name == "grid" else SEARCHERS.load(name)()


def badness(point: dict[str, Any]) -> float:
    return abs(point["units"] - 24) / 24 + abs(point["rate"] - 0.01) + (point["optimizer"] == "adam")


def ended(number: int, point: Any, state: TrialState = COMPLETE, *, value: float | None = None) -> Trial:
    values = (badness(point) if value is None else value,) if state is COMPLETE else ()
    return Trial(number, state, values, dict(point), steps=((1, 0.5 + number % 3), (2, 0.4)))


def foreign() -> Iterator[Trial]:
    """Trials that no searcher suggested: the default outside the space, and points of an earlier study."""
    yield ended(0, {"rate": 1.0, "units": 512, "heads": 1, "optimizer": "adam", "least": 1, "fixed": 3})
    plain = {"heads": 4, "least": 2, "fixed": 3}
    for number in range(1, 12):
        rest = {"optimizer": "sgd", "momentum": 0.08 * number} if number % 2 else {"optimizer": "adam"}
        point = {"rate": 10 ** (-4 + 0.25 * number), "units": 8 * (1 + number % 8), **plain, **rest}
        yield ended(number, point, STATES[number % 5])


@pytest.mark.parametrize("name", list(SEARCHERS))
def test_every_point_is_legal_and_new_and_a_function_of_the_history(name: str) -> None:
    kept, trials = make(name), list(foreign())
    for number in range(12, 16):
        history = History(MIXED, tuple(trials), number, 7)
        point = kept.suggest(history)
        assert point is not None
        assert MIXED.holds(point)
        assert set(point) <= set(MIXED.names)
        assert label_of(MIXED, point) not in {label_of(MIXED, trial.parameters) for trial in trials}
        assert make(name).suggest(history) == point
        if number == 13:  # the running one of before has ended
            trials[12] = ended(12, trials[12].parameters)
        trials.append(Trial(number, RUNNING, parameters=dict(point)))


@pytest.mark.parametrize("name", list(SEARCHERS))
def test_a_finite_space_is_tried_to_its_end_and_no_point_twice(name: str) -> None:
    searcher, trials = make(name), []
    for number in range(6):
        point = searcher.suggest(History(SMALL, tuple(trials), number, 1))
        assert point is not None
        trials.append(ended(number, point, value=float(point["depth"])))
    assert len({label_of(SMALL, trial.parameters) for trial in trials}) == 6
    assert searcher.suggest(History(SMALL, tuple(trials), 6, 1)) is None


@pytest.mark.parametrize("name", list(SEARCHERS))
@pytest.mark.parametrize("state", [COMPLETE, RUNNING, FAILED])
def test_one_trial_or_none_but_failures_are_enough_to_go_on(name: str, state: TrialState) -> None:
    trials = [
        ended(k, {"x": 0.1 + 0.05 * k, "y": 0.0}, state, value=1.0) for k in range(1 if state is COMPLETE else 14)
    ]
    point = make(name).suggest(History(PLANE, tuple(trials), len(trials), 2))
    assert point is not None
    assert PLANE.holds(point)


@pytest.mark.parametrize("name", sorted(set(SEARCHERS) - {"grid"}))
def test_another_seed_or_number_gives_another_point(name: str) -> None:
    first = make(name).suggest(History(PLANE, (), 0, 1))
    assert make(name).suggest(History(PLANE, (), 0, 2)) != first
    assert make(name).suggest(History(PLANE, (), 1, 1)) != first


@pytest.mark.parametrize("name", LEARNING)
def test_what_learns_from_the_trials_comes_near_the_best(name: str) -> None:
    searcher, trials = make(name), []
    for number in range(40 if name == "hyperopt" else 24):  # it draws its first 20 evenly
        point = searcher.suggest(History(PLANE, tuple(trials), number, 3))
        assert point is not None
        value = (point["x"] - 0.3) ** 2 + (point["y"] - 1.0) ** 2 / 16
        trials.append(ended(number, point, value=value))
    assert min(trial.values[0] for trial in trials) < 0.006


@pytest.mark.parametrize("name", ["gp", "numpyro", "skopt", "tpe"])
def test_a_running_trial_keeps_others_off_its_place(name: str) -> None:
    trials = [ended(k, {"x": (k + 0.5) / 12, "y": 0.0}, value=((k + 0.5) / 12 - 0.4) ** 2) for k in range(12)]
    alone = make(name).suggest(History(PLANE, tuple(trials), 13, 3))
    assert alone is not None
    crowded = make(name).suggest(History(PLANE, (*trials, Trial(12, RUNNING, parameters=dict(alone))), 13, 3))
    assert crowded != alone


@pytest.mark.parametrize("name", sorted(set(SEARCHERS) - {"cmaes", "hyperopt", "skopt"}))
def test_several_objectives_are_taken(name: str) -> None:
    trials = [Trial(k, COMPLETE, (k / 30, 1 - k / 30), {"x": k / 30, "y": 0.1}) for k in range(25)]
    point = make(name).suggest(History(PLANE, tuple(trials), 25, 3))
    assert point is not None
    assert PLANE.holds(point)
