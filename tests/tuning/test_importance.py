"""What a score depends on: a closed form, conditions, too few trials."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidewright.errors import ConfigError
from tidewright.tuning.goals import Goal
from tidewright.tuning.importance import FEWEST, Method, cap_far, importance
from tidewright.tuning.open_store import open_store
from tidewright.tuning.ranges import Choice, FloatRange
from tidewright.tuning.rules import Rule
from tidewright.tuning.searchers.shares import value_at
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.trial import Trial, TrialState
from tidewright.tuning.tried import Tried, read_tried

SPACE = SearchSpace(
    "f", {"a": FloatRange(0.0, 1.0), "b": FloatRange(1e-4, 1.0, log=True), "c": Choice(("x", ("y", 1), None))}
)
VALUE = Goal("value", "forecasts", "lower", "")


def draw(space: SearchSpace, function: Callable[[Mapping[str, Any]], float], *, trials: int) -> Tried:
    rng = np.random.default_rng(3)
    points = [space.walk(lambda _, one: value_at(one, rng.random())) for _ in range(trials)]
    done = [Trial(n, TrialState.COMPLETE, (function(point),), point) for n, point in enumerate(points)]
    return Tried(space, tuple(done), (VALUE,))


def additive(point: Mapping[str, Any]) -> float:
    """A variance of 4/12 by a, of 1/12 by the logarithm of b, over the space; c says nothing."""
    return float(2.0 * point["a"] - math.log10(point["b"]) / 4.0)


def test_the_shares_of_an_additive_function_are_those_of_its_variance() -> None:
    found = importance(draw(SPACE, additive, trials=200))
    assert list(found.shares)[:2] == ["a", "b"]
    assert found.shares["a"] == pytest.approx(0.8, abs=0.08)
    assert found.shares["b"] == pytest.approx(0.2, abs=0.08)  # by its logarithm, as it is drawn
    assert found.shares["c"] < 0.02
    assert all(0.0 <= found.spread[name] < 0.15 for name in found.shares)
    assert set(found.within.values()) == {200}


@pytest.mark.parametrize("method", ["fanova", "ped-anova"])
def test_one_diverged_trial_does_not_hide_the_others_and_either_method_names_the_option(method: Method) -> None:
    tried = draw(SPACE, additive, trials=60)
    worst = Trial(60, TrialState.COMPLETE, (1e12,), tried.trials[0].parameters)
    found = importance(Tried(SPACE, (*tried.trials, worst), (VALUE,)), method=method)
    assert next(iter(found.shares)) == "a"


def test_where_half_of_the_scores_are_equal_none_is_far() -> None:
    assert cap_far(np.array([2.0, 2.0, 2.0, 2.0, 9.0])).tolist() == [2.0, 2.0, 2.0, 2.0, 9.0]


def test_an_option_of_a_branch_is_judged_among_the_trials_that_have_it() -> None:
    space = SearchSpace(
        "f",
        {"kind": Choice(("left", "right", "rare")), "left.x": FloatRange(0.0, 1.0), "rare.y": FloatRange(0.0, 1.0)},
        {"left.x": Rule(when={"kind": Choice(("left",))}), "rare.y": Rule(when={"kind": Choice(("rare",))})},
    )
    tried = draw(space, lambda point: 5.0 * (point["kind"] == "right") + point.get("left.x", 0.5), trials=80)
    few = Tried(space, tuple(t for t in tried.trials if t.parameters["kind"] != "rare" or t.number < 12), (VALUE,))
    found = importance(few)
    count = sum("left.x" in t.parameters for t in few.trials)
    assert found.within == {"kind": len(few.trials), "left.x": count}
    assert found.shares["kind"] > 0.8
    assert found.shares["left.x"] > 0.9  # alone in its branch
    assert f"and {FEWEST} are needed" in found.left_out["rare.y"]


def test_too_few_trials_equal_scores_and_single_values_have_no_share() -> None:
    few = importance(draw(SPACE, additive, trials=FEWEST - 1))
    assert (few.shares, few.reason) == ({}, "15 complete trials inside the space are needed, and there are 14")
    assert "the same score" in importance(draw(SPACE, lambda _: 0.0, trials=30)).reason
    fixed = SearchSpace("f", {"a": FloatRange(0.0, 1.0), "one": FloatRange(2.0, 2.0)})
    found = importance(draw(fixed, lambda point: point["a"], trials=30))
    assert found.left_out == {"one": "it had one value"}
    assert found.to_dict()["shares"] == found.shares


def test_pruned_failed_running_infinite_and_outside_trials_are_not_looked_at() -> None:
    tried = draw(SPACE, additive, trials=40)
    more = (
        Trial(40, TrialState.PRUNED, (), tried.trials[0].parameters),
        Trial(41, TrialState.FAILED, (), tried.trials[1].parameters, error="no"),
        Trial(42, TrialState.RUNNING, (), tried.trials[2].parameters),
        Trial(43, TrialState.COMPLETE, (math.inf,), tried.trials[3].parameters),
        Trial(44, TrialState.COMPLETE, (1.0,), {"a": 7.0}),
    )
    found = importance(Tried(SPACE, (*tried.trials, *more), (VALUE,)))
    assert found.shares == importance(tried).shares


def test_each_objective_has_an_importance_and_bad_words_are_refused() -> None:
    one = draw(SPACE, additive, trials=50)
    both = tuple(Trial(t.number, t.state, (*t.values, t.parameters["b"]), t.parameters) for t in one.trials)
    tried = Tried(SPACE, both, (VALUE, VALUE))
    assert next(iter(importance(tried).shares)) == "a"
    assert next(iter(importance(tried, objective=1).shares)) == "b"
    with pytest.raises(ConfigError, match="2 objectives, counted from 0; got 2"):
        importance(tried, objective=2)
    with pytest.raises(ConfigError, match="fanova or ped-anova; got 'shap'"):
        importance(tried, method="shap")  # type: ignore[arg-type]


def test_of_a_thousand_trials_two_hundred_are_taken() -> None:
    found = importance(draw(SPACE, additive, trials=1000), method="ped-anova")
    assert set(found.within.values()) == {200}


def test_trials_are_read_where_they_are_kept(tmp_path: Path) -> None:
    store = open_store(tmp_path / "here", name="f", objectives=2)
    trial = store.claim(lambda _: {"a": 0.25, "b": 0.5, "c": ("y", 1)})
    assert isinstance(trial, Trial)
    store.finish(Trial(0, TrialState.COMPLETE, (1.0, 2.0), trial.parameters))
    found = read_tried(tmp_path / "here", space=SPACE, metrics=("value", "sharpe"))
    assert found.trials[0].values == (1.0, 2.0)
    assert found.trials[0].parameters["c"] == ("y", 1)
    assert [goal.direction for goal in found.goals] == ["lower", "higher"]
    with pytest.raises(ConfigError, match="there is no study at"):
        read_tried(tmp_path / "there", space=SPACE)
    assert not (tmp_path / "there").exists()
    with pytest.raises(ConfigError, match="keeps the study 'f'"):
        read_tried(tmp_path / "here", space=SPACE, name="other")
