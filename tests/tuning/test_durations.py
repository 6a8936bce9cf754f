"""How long the next trial will take, from those before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tidewright.training.events import SearchEnded, SearchStarted, TrialEnded, TrialStarted
from tidewright.tuning.durations import expect_seconds
from tidewright.tuning.limits import Limits
from tidewright.tuning.objective import Assignment, Outcome
from tidewright.tuning.search import Plan, search
from tidewright.tuning.searchers.tpe import TPESearcher
from tidewright.tuning.space import Choice, FloatRange, IntRange, SearchSpace
from tidewright.tuning.store import TrialStore
from tidewright.tuning.trial import Trial, TrialState
from tidewright.tuning.tune import tune

SPACE = SearchSpace("net", {"hidden": IntRange(8, 512, log=True), "cell": Choice(("gru", "lstm"))})


def seconds_at(point: Any) -> float:
    return 0.1 * point["hidden"] ** 0.8 * (1.5 if point["cell"] == "lstm" else 1.0)


def made(number: int, point: Any, state: TrialState = TrialState.COMPLETE, **more: Any) -> Trial:
    values = (0.0,) if state is TrialState.COMPLETE else ()
    return Trial(number, state, values, point, seconds=more.pop("seconds", None) or seconds_at(point), **more)


def draw(count: int, seed: int = 0) -> list[dict[str, Any]]:
    draws = np.random.default_rng(seed)
    return [{"hidden": int(8 * 64 ** draws.random()), "cell": str(draws.choice(["gru", "lstm"]))} for _ in range(count)]


def test_a_law_of_the_options_is_found_from_thirty_trials() -> None:
    trials = [made(number, point) for number, point in enumerate(draw(30))]
    for point in draw(20, seed=1):
        expected = expect_seconds(trials, point, space=SPACE)
        assert expected == pytest.approx(seconds_at(point), rel=0.1)


def test_options_that_say_nothing_leave_about_the_geometric_mean() -> None:
    noise = np.random.default_rng(3).normal(0.0, 0.5, 40)
    trials = [made(n, p, seconds=float(np.exp(noise[n]))) for n, p in enumerate(draw(40))]
    for point in draw(10, seed=1):
        assert expect_seconds(trials, point, space=SPACE) == pytest.approx(float(np.exp(noise.mean())), rel=0.35)


def test_few_trials_say_their_median_and_none_nothing() -> None:
    point = {"hidden": 8, "cell": "gru"}
    assert expect_seconds([], point, space=SPACE) is None
    running = Trial(0, TrialState.RUNNING, parameters=point)
    assert expect_seconds([running], point, space=SPACE) is None
    failed = made(1, point, TrialState.FAILED, seconds=9.0)
    assert expect_seconds([running, failed], point, space=SPACE) == 9.0
    done = [made(n, point, seconds=s) for n, s in ((2, 1.0), (3, 5.0), (4, 3.0))]
    assert expect_seconds([failed, *done], point, space=SPACE) == 3.0
    cut = made(5, point, seconds=0.1, cut_short=True)
    assert expect_seconds([failed, *done, cut], point, space=SPACE) == 3.0


def test_an_answer_does_not_run_away_beyond_what_was_seen() -> None:
    trials = [made(n, {"hidden": 8 + n, "cell": "gru"}) for n in range(12)]
    longest = max(trial.seconds for trial in trials)
    shortest = min(trial.seconds for trial in trials)
    expected = expect_seconds(trials, {"hidden": 10_000, "cell": "gru"}, space=SPACE)
    assert expected is not None
    assert longest <= expected <= longest * (longest / shortest) ** 0.5 * 1.0001


def test_a_default_with_a_value_that_is_no_choice_of_the_space_is_left_out() -> None:
    trials = [made(number, point) for number, point in enumerate(draw(30))]
    point = draw(1, seed=1)[0]
    odd = made(30, {"hidden": 64, "cell": "rnn"}, seconds=900.0)
    assert expect_seconds([*trials, odd], point, space=SPACE) == expect_seconds(trials, point, space=SPACE)
    told = expect_seconds(trials, {"hidden": 64, "cell": "rnn"}, space=SPACE)
    assert told == np.median([trial.seconds for trial in trials])


def test_with_several_models_only_trials_of_the_same_one_count() -> None:
    space = SearchSpace("any", {"model": Choice(("a", "b")), "x": FloatRange(0.0, 1.0)})
    trials = [made(n, {"model": "ab"[n % 2], "x": 0.1}, seconds=(1.0, 50.0)[n % 2]) for n in range(6)]
    assert expect_seconds(trials, {"model": "b", "x": 0.3}, space=space) == 50.0


def test_no_trial_begins_that_is_expected_to_outlast_the_budget_and_a_short_one_does(clock: Any) -> None:
    space = SearchSpace("bowl", {"x": IntRange(1, 10)})

    def objective(assignment: Assignment) -> Outcome:
        clock.now += assignment.point["x"]
        return Outcome((1.0,))

    def made_until(last: int) -> Any:
        first = tuple({"x": x} for x in (2, 4, 6, 8, 10, 1, 3, last))
        limits = Limits(clock.now, 39.0, None, clock)
        return search(objective, Plan(space, TPESearcher(), limits, 0, first=first), store=TrialStore.in_memory())

    long = made_until(9)  # 34 of 39 seconds are spent when it is asked for
    assert len(long.trials) == 7
    assert long.reason.startswith("5.0 of 39 s are left, and the next trial would take about 9.6 s")
    assert made_until(5).trials[7].parameters == {"x": 5}


def test_a_search_says_when_it_and_its_trials_begin_and_end_and_how_long_they_were_to_take(
    world: Any, tmp_path: Any
) -> None:
    heard: list[Any] = []
    space = SearchSpace("damped", {"model.damping": FloatRange(0.0, 1.0)})
    asked = {"model": "damped", "callbacks": [heard.append], "storage": tmp_path, "ledger": False, **world.given}
    study = tune(space, trials=2, **asked)
    assert [type(one) for one in heard if not type(one).__name__.startswith("Fit")] == [
        SearchStarted, *[TrialStarted, TrialEnded] * 2, SearchEnded,
    ]  # fmt: skip
    begun = [one for one in heard if isinstance(one, TrialStarted)]
    assert [one.expected_s for one in begun] == [None, study.trials[0].seconds]
    assert [one.expected_s for one in heard if isinstance(one, TrialEnded)] == [None, study.trials[0].seconds]
    assert study.trials[1].expected_s == study.trials[0].seconds
    assert {one.trial for one in heard if hasattr(one, "trial")} == {0, 1}
    heard.clear()
    again = tune(space, trials=3, **asked)
    assert isinstance(heard[0], SearchStarted)
    assert [(one.number, one.value) for one in heard[0].earlier] == [(t.number, t.value) for t in study.trials]
    assert again.trials[1].expected_s == study.trials[1].expected_s
    assert heard[-1].reason == "all 3 trials were run"
