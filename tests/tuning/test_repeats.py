"""Whether seeds differ by more than the best trials do: these are made again from other ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidewright.errors import ConfigError
from tidewright.metrics.effective import expected_largest
from tidewright.training.events import TrialEnded
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec
from tidewright.tuning.limits import Limits
from tidewright.tuning.objective import Assignment, Outcome
from tidewright.tuning.open_store import open_store
from tidewright.tuning.pruners import MedianPruner
from tidewright.tuning.repeats import (
    FRESH,
    REPEAT,
    TOP,
    Noise,
    SparesRepeats,
    is_repeat,
    judge_best,
    measure_noise,
    originals,
    split_point,
    tell_noise,
)
from tidewright.tuning.search import Found, Plan, search
from tidewright.tuning.searchers.draw import RandomSearcher
from tidewright.tuning.searchers.searcher import History
from tidewright.tuning.space import Choice, FloatRange, IntRange, SearchSpace
from tidewright.tuning.trial import Trial, TrialState
from tidewright.tuning.tried import Tried
from tidewright.tuning.tune import tune

REPEATS = TOP * FRESH
SPACE = SearchSpace("line", {"x": IntRange(0, 99)})
RATES = SearchSpace("nlinear", {"train.learning_rate": Choice((1e-3, 2e-3, 3e-3, 5e-3))})


def line(noise: float, *, calls: list[Any] | None = None, world: int = 1) -> Callable[[Assignment], Outcome]:
    """x / 100, and a normal draw of that deviation from each seed."""

    def objective(assignment: Assignment) -> Outcome:
        if calls is not None:
            calls.append(dict(assignment.point))
        point, seed = split_point(assignment.point)
        draw = np.random.default_rng([point["x"], seed, world]).standard_normal()
        return Outcome((point["x"] / 100 + noise * draw,), learned=(point["x"], seed))

    return objective


def make_plan(trials: int, **more: Any) -> Plan:
    limits = Limits(time.monotonic(), None, trials, time.monotonic)
    return Plan(SPACE, RandomSearcher(), limits, 7, repeats=True, **more)


def run(noise: float, trials: int = 20, **more: Any) -> Found:
    return search(line(noise), make_plan(trials, **more), store=open_store(None))


def test_the_best_three_are_made_again_from_two_more_seeds() -> None:
    found = run(1.0)
    first, last = found.trials[:-REPEATS], found.trials[-REPEATS:]
    assert not any(map(is_repeat, first))
    best = sorted(first, key=lambda trial: trial.value)[:3]
    expected = [{**one.parameters, REPEAT: seed} for seed in (1, 2) for one in best]
    assert [dict(trial.parameters) for trial in last] == expected
    assert found.reason == "all 20 trials were run"


def test_where_seeds_differ_by_more_than_the_best_trials_the_mean_over_seeds_decides() -> None:
    found = run(1.0)
    noise = measure_noise(found.trials)
    assert noise is not None
    assert noise.large
    best = sorted(found.trials[:-REPEATS], key=lambda trial: trial.value)[:3]
    values = {
        one.number: [
            line(1.0)(Assignment(0, {**one.parameters, REPEAT: k}, 0, None, None, print)).values[0] for k in range(3)
        ]
        for one in best
    }
    assert noise.means == pytest.approx({number: np.mean(one) for number, one in values.items()})
    assert noise.among_seeds == pytest.approx(np.sqrt(np.mean([np.var(one, ddof=1) for one in values.values()])))
    assert noise.among_best == pytest.approx(np.std([one[0] for one in values.values()], ddof=1))
    winner = make_plan(20).best(found.trials)
    assert winner is not None
    assert Tried(SPACE, found.trials, ()).best == winner
    assert winner.number == min(noise.means, key=noise.means.get) != best[0].number
    assert "seeds differ by more than the best trials" in tell_noise(found.trials)


def test_where_they_differ_by_less_the_best_trial_is_the_best_and_it_has_its_model() -> None:
    found = run(1e-6)
    best = min(found.trials[:-REPEATS], key=lambda trial: trial.value)
    assert make_plan(20).best(found.trials) == Tried(SPACE, found.trials, ()).best == best
    assert found.learned == (best.parameters["x"], 0)
    assert "seeds differ by less than the best trials" in tell_noise(found.trials)


def test_where_a_seed_changes_nothing_one_repeat_says_so_and_the_search_goes_on() -> None:
    found = run(0.0)
    assert [trial.number for trial in found.trials if is_repeat(trial)] == [14]
    assert len(found.trials) == 20
    assert "a seed changes nothing" in tell_noise(found.trials)


@pytest.mark.parametrize(("trials", "again"), [(5, 0), (6, 2), (8, 2), (9, 3), (17, 3), (18, 6), (40, 6)])
def test_at_most_a_third_of_the_trials_are_repeats_and_too_few_say_so(trials: int, again: int) -> None:
    found = run(1.0, trials=trials)
    assert [is_repeat(trial) for trial in found.trials] == [False] * (trials - again) + [True] * again
    noise = measure_noise(found.trials)
    assert (noise is None) == (again == 0)
    if noise is None:
        assert "it takes 6 trials or more; the score is of one seed" in tell_noise(found.trials)
    else:
        assert (len(noise.means), noise.seeds) == (min(again, 3), 2 if again == 6 else 1)


def test_what_is_told_of_a_lucky_winner_is_not_luck() -> None:
    """Points are worth 0 to 1 and a seed moves each by a deviation of 1: the first seed's best looks far better than it
    is, and the mean over all its seeds keeps some of that. What is told does not."""
    first, mean, told = [], [], []
    for world in range(60):
        found = search(line(1.0, world=world), make_plan(20), store=open_store(None))
        judged, noise = judge_best(found.trials), measure_noise(found.trials)
        assert judged is not None
        assert noise is not None
        if not noise.large:
            continue
        lucky = min(originals(found.trials), key=lambda trial: trial.values)
        first.append(lucky.values[0] - lucky.parameters["x"] / 100)
        truth = judged[0].parameters["x"] / 100
        mean.append(noise.means.get(judged[0].number, np.nan) - truth)
        told.append(judged[1] - truth)
    assert len(told) > 50
    assert np.mean(first) < -1.2
    assert np.nanmean(mean) < -0.4
    assert abs(np.mean(told)) < 2.0 * np.std(told) / np.sqrt(len(told))
    assert abs(np.mean(told)) < 0.2


def test_a_study_that_goes_on_makes_a_new_best_again_and_no_old_one_twice(tmp_path: Path) -> None:
    def go(place: Path, trials: int, objective: Any = line(1.0)) -> Found:  # noqa: B008  (a constant)
        store = open_store(place)
        try:
            return search(objective, make_plan(trials), store=store)
        finally:
            store.close()

    go(tmp_path / "whole", 20)
    whole = go(tmp_path / "whole", 40)
    points = [dict(trial.parameters) for trial in whole.trials]
    assert all(points.count(point) == 1 for point in points)
    best = sorted(originals(whole.trials), key=lambda trial: trial.values)[:TOP]
    assert any(trial.number >= 20 for trial in best)  # there is a new best
    assert all({**one.parameters, REPEAT: seed} in points for one in best for seed in (1, 2))
    assert 0 < sum(map(is_repeat, whole.trials[20:])) < REPEATS
    assert len(whole.trials) == 40 or whole.reason.startswith("there is no room for another trial and the 2 repeats")
    for stop in (1, 16, 17):
        left = [stop]

        def objective(assignment: Assignment, *, left: list[int] = left) -> Outcome:
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
            return line(1.0)(assignment)

        go(tmp_path / str(stop), 20)
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path / str(stop), 40, objective)
        found = go(tmp_path / str(stop), 40, objective)
        assert [(t.parameters, t.values) for t in found.trials] == [(t.parameters, t.values) for t in whole.trials]


def test_a_good_trial_that_ended_too_late_to_be_made_again_can_still_be_the_best() -> None:
    def done(number: int, x: int, value: float, seed: int = 0) -> Trial:
        return Trial(number, TrialState.COMPLETE, (value,), {"x": x, **({REPEAT: seed} if seed else {})})

    known = [done(n, n, 1.0 + 0.05 * n) for n in range(3)]
    again = [done(3 * seed + n, n, 1.0 + 0.05 * n + 0.2 * seed, seed) for seed in (1, 2) for n in range(3)]
    trials = (*known, *again)
    noise = measure_noise(trials)
    assert noise is not None
    assert noise.large
    plan = make_plan(10)
    assert plan.best(trials) == known[0]
    assert noise.worth == pytest.approx(1.3)  # of the fresh seeds alone
    assert plan.best((*trials, done(9, 9, 1.099))) == known[0]  # the luck of the best of four is 0.2 and more
    late = (*trials, done(9, 9, 0.5))
    assert plan.judge(late) == (done(9, 9, 0.5), pytest.approx(0.5 + 0.2 * expected_largest(4), rel=0.05))
    assert "Trial 9 was not made again, and is the best all the same" in tell_noise(late)


def test_no_searcher_stop_or_pruner_sees_a_repeat() -> None:
    seen: list[Trial] = []

    class Searcher:
        def suggest(self, history: History) -> Any:
            seen.extend(history.trials)
            return RandomSearcher().suggest(history)

    def stop(trials: Sequence[Trial]) -> str:
        seen.extend(trials)
        return "enough" if len(trials) == 8 else ""

    plan = make_plan(30, stops=(stop,))
    object.__setattr__(plan, "searcher", Searcher())
    found = search(line(1.0), plan, store=open_store(None))
    assert (len(found.trials), found.reason) == (8 + REPEATS, "enough")  # a stop is followed by the repeats
    assert seen
    assert not any(map(is_repeat, seen))
    pruner = SparesRepeats(MedianPruner(warmup=1, startup=1))
    done = Trial(0, TrialState.COMPLETE, (1.0,), steps=((1, 1.0),))
    again = Trial(1, TrialState.COMPLETE, (1.0,), {REPEAT: 1}, steps=((1, 9.0),))
    assert "above 1, the median of 1" in pruner.hopeless(Trial(2, TrialState.RUNNING, steps=((1, 2.0),)), [done, again])
    worse = Trial(2, TrialState.RUNNING, (), {REPEAT: 1}, steps=((1, 2.0),))
    assert not pruner.hopeless(worse, [done, again])


def test_a_study_that_is_interrupted_at_any_trial_ends_as_one_that_was_not(tmp_path: Path) -> None:
    whole = run(1.0, trials=12)
    for stop in range(1, 12):
        calls: list[Any] = []

        def objective(assignment: Assignment, *, stop: int = stop, calls: list[Any] = calls) -> Outcome:
            if len(calls) == stop:
                calls.append(None)
                raise KeyboardInterrupt
            return line(1.0, calls=calls)(assignment)

        store = open_store(tmp_path / str(stop))
        with pytest.raises(KeyboardInterrupt):
            search(objective, make_plan(12), store=store)
        store.close()
        found = search(objective, make_plan(12), store=open_store(tmp_path / str(stop)))
        assert [(t.parameters, t.values) for t in found.trials] == [(t.parameters, t.values) for t in whole.trials]


def test_time_for_the_repeats_is_kept_free(clock: Any) -> None:
    def objective(assignment: Assignment) -> Outcome:
        clock.now += 10.0
        return line(1.0)(assignment)

    plan = Plan(SPACE, RandomSearcher(), Limits(clock(), 200.0, None, clock), 7, repeats=True)
    found = search(objective, plan, store=open_store(None))
    assert [is_repeat(trial) for trial in found.trials] == [False] * 14 + [True] * 6


@pytest.mark.parametrize("budget_s", [95.0, 99.0, 105.0, 199.0])
def test_a_repeat_that_the_budget_has_no_room_for_is_not_begun(clock: Any, budget_s: float) -> None:
    def objective(assignment: Assignment) -> Outcome:
        clock.now += 10.0
        return line(1.0)(assignment)

    limits = Limits(clock(), budget_s, None, clock)
    plan = Plan(SPACE, RandomSearcher(), limits, 7, repeats=True, heeds=lambda point: True)
    found = search(objective, plan, store=open_store(None))
    assert any(is_repeat(trial) for trial in found.trials)
    assert budget_s - 10.0 < limits.spent <= budget_s


def test_a_network_is_judged_by_its_mean_over_seeds_and_is_the_one_of_its_own_seed(world: Any, tmp_path: Path) -> None:
    seeds: list[int] = []

    def learn(spec: Any, **given: Any) -> Any:
        seeds.append(given["train"].seed)
        return fit(spec, **given)

    train = TrainSpec(epochs=1, steps=2, learning_rate=1e-3)
    asked: dict[str, Any] = {"model": "nlinear", "train": train, "trials": 10, **world.given}
    asked |= {"storage": tmp_path / "study", "ledger": tmp_path / "ledger"}
    study = tune(RATES, seeds="auto", learn=learn, **asked)
    assert sorted(seeds) == [train.seed] * 4 + [train.seed + 1] * 3 + [train.seed + 2] * 3
    assert study.noise is not None
    assert study.notes[-1] == str(study.noise)
    assert study.best.number in study.noise.means
    assert study.score == (study.noise.worth if study.noise.large else study.best.value)
    alone = fit(study.spec, panel=world.panel, split=world.split, task=world.task, train=study.train, view=study.view)
    assert study.train.seed == train.seed
    for name, array in alone.tensors().items():
        assert np.array_equal(array, study.fitted.tensors()[name])
    again = tune(RATES, seeds="auto", **asked)
    assert (again.trials, again.score, again.notes) == (study.trials, study.score, study.notes)
    assert again.to_dict()["noise"]["seeds"] == 2
    assert study.account is not None
    assert study.account.trials == 10
    with pytest.raises(ConfigError, match="its seeds is auto, not None"):
        tune(RATES, **asked)


def test_points_that_are_asked_for_are_tried_right_after_the_default(world: Any) -> None:
    space = SearchSpace("damped", {"model.damping": FloatRange(0.0, 1.0), "model.recent": IntRange(2, 14)})
    points = [{"model.damping": 0.5, "model.recent": 8}, {"model.damping": 0.9, "model.recent": 3}]
    study = tune(space, model="damped", trials=4, first=points, **world.given)
    assert [dict(trial.parameters) for trial in study.trials[:2]] == points  # the first of them is the default
    with pytest.raises(ConfigError, match="recnt"):
        tune(space, model="damped", trials=4, first=[{"model.recnt": 3}], **world.given)


def test_where_noise_is_large_a_study_is_worth_its_mean_over_seeds_wherever_it_is_compared(world: Any) -> None:
    study = tune(RATES, model="nlinear", trials=2, train=TrainSpec(epochs=1, steps=2), ledger=False, **world.given)
    assert study.value == study.best.value
    assert study.shown == study.best.scores[study.metric]
    told: dict[str, Any] = {"means": {0: 9.0, study.best.number: 6.5}, "best": study.best.number, "luck": 0.5}
    told |= {"worth": 7.0, "seeds": 2}
    noisy = replace(study, noise=Noise(0.2, 0.1, **told))
    assert noisy.value == noisy.score == noisy.shown == noisy.to_dict()["score"] == 7.0
    other = replace(noisy, best=replace(noisy.best, number=1))
    assert other.gain == pytest.approx(1 - 7 / other.noise.means[0])
    assert replace(noisy, best=replace(noisy.best, number=0)).gain == 0.0
    calm = replace(study, noise=Noise(0.1, 0.2, **told))
    assert calm.value == study.value


def test_the_account_the_event_and_the_trials_tell_the_one_score_of_a_study(world: Any, tmp_path: Path) -> None:
    """A network whose seed moves its score by far more than its learning rate does."""
    heard: list[Any] = []

    def learn(spec: Any, **given: Any) -> Any:
        seed = given["train"].seed
        draw = np.random.default_rng([seed, round(1e6 * given["train"].learning_rate)]).random()
        return fit(spec, **{**given, "train": replace(given["train"], learning_rate=1e-4 + 0.01 * draw)})

    space = SearchSpace("nlinear", {"train.learning_rate": FloatRange(1e-4, 1e-2, log=True)})
    asked: dict[str, Any] = {"model": "nlinear", "train": TrainSpec(epochs=1, steps=2), "trials": 18, **world.given}
    study = tune(space, seeds="auto", learn=learn, ledger=tmp_path, callbacks=(heard.append,), searcher="qmc", **asked)
    assert study.noise is not None
    assert study.noise.large
    assert study.account is not None
    judged = judge_best(study.trials)
    assert judged is not None
    assert (heard[-1].best, heard[-1].value) == (study.best.number, study.value) == (judged[0].number, judged[1])
    assert study.account.score == study.score == Tried.of(study).value
    assert study.account.seeds == 2
    assert study.score > min(trial.values[0] for trial in originals(study.trials) if trial.values)
    assert np.isfinite(study.account.corrected)
    assert "(over 2 fresh seeds)" in str(study)
    assert [event.again for event in heard if isinstance(event, TrialEnded)] == [is_repeat(t) for t in study.trials]
