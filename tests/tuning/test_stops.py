"""When a search ends before its budget."""

from __future__ import annotations

import numpy as np
import pytest

from tidewright.errors import ConfigError
from tidewright.tuning.ranges import FloatRange
from tidewright.tuning.searchers.gp import GPSearcher
from tidewright.tuning.searchers.searcher import History
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.stops import Convergence, RegretBound, bound_regret
from tidewright.tuning.trial import Trial, TrialState

COMPLETE = TrialState.COMPLETE
PLANE = SearchSpace("plane", {"x": FloatRange(0.0, 1.0), "y": FloatRange(0.0, 1.0)})


def complete(values: list[float]) -> list[Trial]:
    return [Trial(k, COMPLETE, (value,)) for k, value in enumerate(values)]


def test_a_search_has_converged_when_the_last_trials_gained_nothing() -> None:
    stop = Convergence(patience=3, gain=0.01)
    assert stop(complete([1.0, 0.9, 0.9])) == ""
    assert stop(complete([0.9, 0.8, 1.0, 1.0])) == ""
    said = stop(complete([0.8, 0.795, 1.0, 1.0]))
    assert said == "the last 3 trials gained no more than 1.00% on 0.8, the best before them"
    failed = [Trial(k, TrialState.FAILED) for k in range(1, 4)]
    assert stop([*complete([0.8]), *failed[:2], Trial(3, TrialState.RUNNING)]) == ""
    assert stop([*complete([0.8]), *failed]) != ""
    assert stop([Trial(0, TrialState.FAILED), *failed]) == ""


def test_the_bound_holds_and_falls_as_more_is_known() -> None:
    searcher, trials, bounds = GPSearcher(), [], []
    for number in range(24):
        if number >= 8 and number % 6 == 2:
            bounds.append(bound_regret(PLANE, trials, least=8))
            regret = min(t.values[0] for t in trials) - 5.0
            assert bounds[-1] is not None
            assert bounds[-1] > regret
        point = searcher.suggest(History(PLANE, tuple(trials), number, 3))
        assert point is not None
        value = 5.0 + np.sin(5 * point["x"]) ** 2 + (point["y"] - 0.6) ** 2
        trials.append(Trial(number, COMPLETE, (float(value),), dict(point)))
    assert bound_regret(PLANE, trials[:19]) is None
    last = bound_regret(PLANE, trials)
    assert last is not None
    assert last < 0.1 * bounds[0]
    assert RegretBound(PLANE, tolerance=2 * last)(trials).endswith(
        f"above the best there is (tolerance {2 * last:.3g})"
    )
    assert RegretBound(PLANE, tolerance=0.5 * last)(trials) == ""
    assert RegretBound(PLANE, tolerance=2 * last, least=40)(trials) == ""


def test_stops_that_never_or_always_hold_are_refused() -> None:
    with pytest.raises(ConfigError, match="1 or more"):
        Convergence(patience=0)
    with pytest.raises(ConfigError, match="0 or more"):
        Convergence(gain=float("nan"))
    with pytest.raises(ConfigError, match="above 0; got 0"):
        RegretBound(PLANE, tolerance=0)
