"""The optimizer of any function: every option is live, and its history says what it did."""

from __future__ import annotations

from typing import Any

import pytest

from tidewright.errors import ConfigError, FitError
from tidewright.tuning.optimizer import AdaptiveHyperparameterOptimizer, OptimizationStrategy
from tidewright.tuning.ranges import Choice, FloatRange, IntRange
from tidewright.tuning.space import SearchSpace

RANGES = {"x": FloatRange(-4.0, 4.0), "kind": Choice(("a", "b"))}


def badness(options: dict[str, Any]) -> float:
    return (options["x"] - 1.0) ** 2 + (options["kind"] == "a")


def run(**changes: Any) -> tuple[Any, AdaptiveHyperparameterOptimizer]:
    optimizer = AdaptiveHyperparameterOptimizer(**{"max_trials": 24, "patience": None, **changes})
    return optimizer.optimize(badness, RANGES), optimizer


def points(found: Any) -> list[Any]:
    return [trial.parameters for trial in found.trials]


def test_every_strategy_searches_in_its_own_way() -> None:
    found = {one: run(strategy=one)[0] for one in OptimizationStrategy if one is not OptimizationStrategy.GRID_SEARCH}
    assert len({str(points(one)) for one in found.values()}) == 3
    adaptive = found[OptimizationStrategy.ADAPTIVE]
    assert any(note.startswith("adaptive region") for trial in adaptive.trials for note in trial.notes)
    assert adaptive.best_value < 0.1
    grid = AdaptiveHyperparameterOptimizer(strategy="grid_search", max_trials=99)
    steps = {"n": IntRange(0, 4), "kind": Choice(("a", "b"))}
    assert len(grid.optimize(lambda options: options["n"], steps).trials) == 10


@pytest.mark.parametrize(
    "change", [{"backend": "hyperopt"}, {"backend": "skopt"}, {"adaptive_search_space": False}, {"seed": 1}]
)
def test_an_option_that_changes_changes_the_points(change: dict[str, Any]) -> None:
    assert points(run(**change)[0]) != points(run()[0])


def test_the_same_call_gives_the_same_trials_and_a_direction_turns_values_alone() -> None:
    small, again = run()[0], run()[0]
    assert points(small) == points(again)
    up = AdaptiveHyperparameterOptimizer(max_trials=24, patience=None, direction="maximize")
    found = up.optimize(lambda options: -badness(options), RANGES)
    assert points(found) == points(small)
    assert found.best_value == -small.best_value == found.tracker.best.value
    assert [row["best"] for row in up.get_optimization_history()][-1] == found.best_value


def test_a_search_that_gains_nothing_ends() -> None:
    optimizer = AdaptiveHyperparameterOptimizer(max_trials=50, patience=6, strategy="random_search")
    found = optimizer.optimize(lambda _: 1.0, RANGES)
    assert len(found.trials) == 7
    assert "the last 6 trials gained no more" in found.reason
    assert found.tracker.has_converged(6)


def test_a_search_begins_with_the_best_of_the_one_before_that_fit_and_the_history_has_both() -> None:
    first, optimizer = run()
    narrow = SearchSpace("narrow", {**RANGES, "x": FloatRange(0.0, 4.0)})
    second = optimizer.optimize(badness, narrow)
    assert second.trials[0].parameters == first.best_parameters
    assert all(narrow.holds(trial.parameters) for trial in second.trials)
    history = optimizer.get_optimization_history()
    assert [row["search"] for row in history] == [1] * 24 + [2] * 24
    assert history[24]["notes"][0].startswith("warm start: trial ")
    assert history[24]["value"] == first.best_value
    history.clear()
    assert len(optimizer.get_optimization_history()) == 48
    cold = run(warm_start=False)[1].optimize(badness, RANGES)
    assert cold.trials[0].parameters == first.trials[0].parameters


def test_trials_that_fail_are_failed_and_none_is_an_error() -> None:
    optimizer = AdaptiveHyperparameterOptimizer(max_trials=12, strategy="random_search")

    def broken(options: dict[str, Any]) -> float:
        return 1.0 / (options["kind"] == "a")

    optimizer.optimize(broken, RANGES)
    states = {row["state"]: row["value"] for row in optimizer.get_optimization_history()}
    assert states == {"complete": 1.0, "failed": None}
    with pytest.raises(FitError, match="none of 1 trials was complete; the last: ZeroDivisionError"):
        AdaptiveHyperparameterOptimizer(max_trials=1).optimize(lambda _: 1 / 0, RANGES)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"backend": "optun"}, "Did you mean 'optuna'"),
        ({"strategy": "adaptve"}, "Did you mean 'adaptive'"),
        ({"direction": "up"}, "minimize or maximize"),
        ({"patience": 0}, "patience"),
    ],
)
def test_a_wrong_word_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        AdaptiveHyperparameterOptimizer(**change)
