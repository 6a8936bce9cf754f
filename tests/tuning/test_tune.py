"""The search: its budget, its failures, its pruning, and that it never reads the test part."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.errors import ConfigError, FitError, MissingExtraError
from tidewright.metrics.accuracy import seasonal_scale
from tidewright.models.fitted import Fitted
from tidewright.models.spec import Damped, SeasonalNaive
from tidewright.training.events import (
    EpochEnded,
    Event,
    FitEnded,
    FitStarted,
    SearchEnded,
    SearchStarted,
    TrialEnded,
    TrialStarted,
)
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec
from tidewright.tuning.space import Choice, FloatRange, IntRange, SearchSpace
from tidewright.tuning.study import Study
from tidewright.tuning.trial import TrialState
from tidewright.tuning.tune import tune

DAMPED = SearchSpace("damped", {"model.damping": FloatRange(0.0, 1.0), "model.recent": IntRange(2, 14)})


class Learner:
    """Really fits, and tells of the epochs that a test gives it; `hook` runs first and may raise."""

    def __init__(
        self,
        losses: Callable[[int], Sequence[float]] = lambda number: (),
        hook: Callable[[int, Any], None] = lambda number, spec: None,
    ) -> None:
        self.losses, self.hook = losses, hook
        self.calls: list[dict[str, Any]] = []
        self.epochs: list[int] = []

    def __call__(self, spec: Any, *, callbacks: Sequence[Callable[[Event], None]] = (), **given: Any) -> Fitted:
        number = len(self.calls)
        self.calls.append({"spec": spec, **given})
        self.epochs.append(0)
        self.hook(number, spec)
        for epoch, loss in enumerate(self.losses(number), start=1):
            self.epochs[-1] = epoch
            for callback in callbacks:
                callback(EpochEnded(spec.name, "", epoch, loss, loss, 0.0))
        return fit(spec, callbacks=callbacks, **given)


def account(study: Study) -> list[Any]:
    return [(t.state, t.value, dict(t.parameters), t.key, t.error) for t in study.trials]


def test_a_network_that_takes_no_covariates_is_searched_without_a_calendar(world: Any) -> None:
    space = SearchSpace("nlinear", {"train.learning_rate": FloatRange(1e-4, 1e-2)})
    study = tune(space, model="nlinear", trials=1, train=TrainSpec(epochs=1, steps=2), **world.given)
    assert study.trials[0].state is TrialState.COMPLETE
    assert study.fitted.view.calendar == ()


def test_the_first_trial_is_the_default_and_the_best_one_is_at_least_as_good(world: Any) -> None:
    study = tune(DAMPED, model="damped", trials=14, **world.given)
    assert study.trials[0].parameters == {"model.damping": Damped().damping, "model.recent": Damped().recent}
    values = [trial.value for trial in study.trials]
    assert study.best.value == min(values) < values[0]
    assert study.spec == replace(
        Damped(), damping=study.best.parameters["model.damping"], recent=study.best.parameters["model.recent"]
    )
    assert study.gain == pytest.approx(1 - study.best.value / values[0])
    assert study.reason == "all 14 trials were run"
    assert "best mase" in str(study)


def test_the_value_is_the_mase_of_the_validation_windows(world: Any) -> None:
    study = tune(DAMPED, model="damped", trials=2, **world.given)
    panel, cutoffs = world.panel, world.split.validation.positions
    past = np.where(panel.positions <= world.split.train.last + 7, panel.target, np.nan)
    scale = seasonal_scale(past, offsets=panel.offsets, season=7)
    errors = []
    for number in range(panel.n_series):
        y = panel.target[panel.offsets[number] : panel.offsets[number + 1]]
        for cut in cutoffs:  # the formula of the damped floor, by hand
            recent, before = y[cut - 7 : cut + 1], y[cut - 14 : cut - 6]
            ratio = np.clip(recent.mean() / before.mean(), 0.7, 1.4) ** 0.5
            errors.append(np.abs(y[cut - 6 : cut + 1] * ratio - y[cut + 1 : cut + 8]) / scale[number])
    assert study.trials[0].value == pytest.approx(np.mean(errors), rel=1e-9)


def test_the_same_seed_and_trials_give_the_same_study_and_another_seed_another(world: Any) -> None:
    one, two = (tune(DAMPED, model="damped", trials=13, **world.given) for _ in range(2))
    assert account(one) == account(two)
    other = tune(DAMPED, model="damped", trials=13, seed=1, **world.given)
    assert account(one)[0] == account(other)[0]
    assert account(one)[1:] != account(other)[1:]


def test_whatever_the_test_part_holds_the_study_is_the_same(world: Any, build_panel: Any) -> None:
    last = int(world.split.validation.positions[-1]) + world.task.horizon
    changed = build_panel(scale=1000.0, after=last)
    assert not np.array_equal(changed.target, world.panel.target)
    given = {**world.given, "panel": changed}
    assert account(tune(DAMPED, model="damped", trials=6, **given)) == account(
        tune(DAMPED, model="damped", trials=6, **world.given)
    )


def test_a_study_that_read_the_test_part_would_fail(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Forbidden:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"the search read test.{name}")

    last = int(world.split.validation.positions[-1]) + world.task.horizon
    seen: list[tuple[Panel, Split]] = []

    def learn(spec: Any, **given: Any) -> Fitted:
        seen.append((given["panel"], given["split"]))
        return fit(spec, **given)

    split = replace(world.split, test=Forbidden())
    with pytest.raises(AssertionError, match=r"read test\.first"):
        _ = split.test.first
    tune(DAMPED, panel=world.panel, split=split, task=world.task, model="damped", trials=3, learn=learn)
    assert len(seen) == 3
    assert all(panel.positions.max() == last and part.test is None for panel, part in seen)


def test_only_what_the_space_names_is_changed(world: Any) -> None:
    learner = Learner()
    space = SearchSpace("damped", {"model.recent": IntRange(2, 14)})
    tune(space, model=Damped(damping=0.25, period=7), trials=5, learn=learner, **world.given)
    assert {(call["spec"].damping, call["spec"].period) for call in learner.calls} == {(0.25, 7)}
    assert len({call["spec"].recent for call in learner.calls}) == 5


def test_a_default_outside_the_space_is_tried_all_the_same(world: Any) -> None:
    space = SearchSpace("damped", {"model.recent": IntRange(10, 14)})
    study = tune(space, model="damped", trials=4, **world.given)
    assert study.trials[0].parameters["model.recent"] == 8
    assert all(10 <= trial.parameters["model.recent"] <= 14 for trial in study.trials[1:])


def test_no_point_is_tried_twice_and_a_small_space_ends_the_search(world: Any) -> None:
    space = SearchSpace("damped", {"model.recent": Choice((4, 8)), "model.damping": Choice((0.0, 0.5, 1.0))})
    learner = Learner()
    study = tune(space, model="damped", trials=50, budget_s=1e6, learn=learner, **world.given)
    points = {tuple(trial.parameters.items()) for trial in study.trials}
    assert len(points) == len(study.trials) == len(learner.calls) == 6
    assert study.reason == "every point of the space that the sampler finds was tried"


def test_a_hopeless_trial_is_ended_early_and_the_others_are_not(world: Any) -> None:
    bad = {7, 9}
    learner = Learner(lambda number: [9.0 if number in bad else 1.0 / epoch for epoch in range(1, 21)])
    events: list[Event] = []
    study = tune(
        DAMPED,
        model="damped",
        train=TrainSpec(epochs=20),
        trials=11,
        learn=learner,
        callbacks=[events.append],
        **world.given,
    )
    pruned = {trial.number for trial in study.trials if trial.state is TrialState.PRUNED}
    assert pruned == bad
    # a fifth of 20 epochs is the warm-up: steps 1 to 3 are below it
    assert [learner.epochs[number] for number in sorted(bad)] == [4, 4]
    assert all(learner.epochs[number] == 20 for number in range(11) if number not in bad)
    assert [study.trials[number].value for number in bad] == [None, None]
    assert study.trials[7].losses == (9.0, 9.0, 9.0, 9.0)
    told = [event for event in events if isinstance(event, TrialEnded)]
    assert [event.state for event in told] == [str(trial.state) for trial in study.trials]
    assert study.best.number not in bad


def test_losses_of_different_kinds_prune_nothing(world: Any) -> None:
    space = SearchSpace("lstm", {"train.loss": Choice(("quantile", "mse")), "train.clip": FloatRange(0.1, 9.0)})
    floors = Learner(lambda number: [9.0 if number > 6 else 1.0] * 20)

    def learn(spec: Any, **given: Any) -> Fitted:
        return floors(SeasonalNaive(period=7), **given)

    study = tune(space, model="lstm", trials=10, learn=learn, **world.given)
    assert study.count(TrialState.PRUNED) == 0
    assert floors.epochs == [20] * 10


def test_a_repeated_or_undefined_loss_of_an_epoch_tells_the_pruner_nothing(world: Any) -> None:
    def learn(spec: Any, *, callbacks: Any, **given: Any) -> Fitted:
        for epoch, loss in [(1, 1.0), (1, 5.0), (2, math.nan), (3, 1.0)]:
            callbacks[0](EpochEnded(spec.name, "", epoch, loss, loss, 0.0))
        return fit(spec, **given)

    study = tune(DAMPED, model="damped", trials=8, learn=learn, **world.given)
    assert study.count(TrialState.COMPLETE) == 8


def test_a_failed_trial_is_failed_with_its_last_line_and_no_value(world: Any) -> None:
    def hook(number: int, spec: Any) -> None:
        if number in (0, 2):
            raise MemoryError(f"no room for trial {number}")

    events: list[Event] = []
    study = tune(DAMPED, model="damped", trials=5, learn=Learner(hook=hook), callbacks=[events.append], **world.given)
    states = [trial.state for trial in study.trials]
    assert states == ["failed", "complete", "failed", "complete", "complete"]
    assert study.trials[2].error == "MemoryError: no room for trial 2"
    assert study.trials[2].value is None
    assert study.gain is None
    kinds = [type(event) for event in events if not isinstance(event, SearchStarted | SearchEnded | TrialStarted)]
    # a trial that failed before its fit began is announced all the same
    assert kinds == [FitStarted, TrialEnded, FitStarted, FitEnded, TrialEnded] * 2 + [
        FitStarted,
        FitEnded,
        TrialEnded,
    ]


def test_a_failure_is_logged_with_its_traceback(world: Any, caplog: pytest.LogCaptureFixture) -> None:
    def hook(number: int, spec: Any) -> None:
        if number == 1:
            raise ZeroDivisionError("by zero")

    with caplog.at_level(logging.INFO, logger="tidewright"):
        tune(DAMPED, model="damped", trials=2, learn=Learner(hook=hook), **world.given)
    assert [record.getMessage() for record in caplog.records] == ["trial 1 failed"]
    assert "ZeroDivisionError: by zero" in caplog.text


def test_when_every_trial_fails_the_search_ends_soon_and_says_why(world: Any) -> None:
    def hook(number: int, spec: Any) -> None:
        raise RuntimeError("the disk is on fire")

    learner = Learner(hook=hook)
    with pytest.raises(FitError, match=r"none of 10 trials of damped could be completed; .*disk is on fire"):
        tune(DAMPED, model="damped", budget_s=1e9, learn=learner, **world.given)
    assert len(learner.calls) == 10


def test_a_missing_package_is_no_failed_trial(world: Any) -> None:
    def hook(number: int, spec: Any) -> None:
        raise MissingExtraError("training needs the package 'torch'")

    with pytest.raises(MissingExtraError, match="torch"):
        tune(DAMPED, model="damped", trials=3, learn=Learner(hook=hook), **world.given)


def test_an_interrupt_ends_the_search(world: Any) -> None:
    def hook(number: int, spec: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(DAMPED, model="damped", trials=3, learn=Learner(hook=hook), **world.given)


def test_a_score_of_zero_is_a_score(world: Any) -> None:
    class Oracle:
        """Knows the labels; every other trial is off by one."""

        def __init__(self, fitted: Fitted, off: float) -> None:
            self._fitted, self._off = fitted, off
            self.spec, self.task, self.view, self.history = fitted.spec, fitted.task, fitted.view, ()

        def predict(self, windows: Any) -> Any:
            return np.repeat(windows.labels()[:, :, None], 3, axis=2) + self._off

    made: list[Oracle] = []

    def learn(spec: Any, **given: Any) -> Any:
        made.append(Oracle(fit(spec, **given), off=float(len(made) % 2 == 0)))
        return made[-1]

    study = tune(DAMPED, model="damped", trials=4, learn=learn, **world.given)
    assert [trial.value == 0.0 for trial in study.trials] == [False, True, False, True]
    assert (study.best.number, study.best.value, study.gain) == (1, 0.0, 1.0)
    assert study.fitted is made[1]


def test_the_budget_ends_learning_and_no_trial_begins_that_would_outlast_it(world: Any, clock: Any) -> None:
    def hook(number: int, spec: Any) -> None:
        clock.now += 10.0

    learner = Learner(hook=hook)
    study = tune(DAMPED, model="damped", budget_s=35.0, learn=learner, clock=clock, **world.given)
    assert [call["deadline"] for call in learner.calls] == [1035.0] * 3
    assert len(study.trials) == 3
    assert study.seconds == 30.0
    assert study.reason == "5.0 of 35 s are left, and the next trial would take about 10.0 s"
    assert not any(trial.cut_short for trial in study.trials)


@pytest.mark.parametrize("reason", ["deadline", "rounds"])
def test_a_trial_that_the_budget_cut_short_counts_and_says_so(world: Any, clock: Any, reason: str) -> None:
    class Cut(Learner):
        def __call__(self, spec: Any, **given: Any) -> Any:
            fitted = super().__call__(spec, **given)
            object.__setattr__(fitted, "history", ({"stopped": reason},))
            return fitted

    def hook(number: int, spec: Any) -> None:
        clock.now = 1020.0

    study = tune(DAMPED, model="damped", budget_s=20.0, learn=Cut(hook=hook), clock=clock, **world.given)
    assert [(t.state, t.cut_short) for t in study.trials] == [(TrialState.COMPLETE, reason == "deadline")]
    assert study.reason == "the budget of 20 s is spent"


def test_time_for_judging_is_kept_from_learning(world: Any, clock: Any) -> None:
    deadlines = []

    class Slow:
        def __init__(self, fitted: Fitted) -> None:
            self._fitted = fitted
            self.spec, self.task, self.view, self.history = fitted.spec, fitted.task, fitted.view, ()

        def predict(self, windows: Any) -> Any:
            clock.now += 3.0
            return self._fitted.predict(windows)

    def learn(spec: Any, *, deadline: float, **given: Any) -> Any:
        deadlines.append(deadline)
        clock.now += 1.0
        return Slow(fit(spec, **given))

    tune(DAMPED, model="damped", budget_s=9.0, learn=learn, clock=clock, **world.given)
    assert deadlines == [1009.0, 1006.0]


def test_without_a_budget_there_is_no_deadline(world: Any) -> None:
    learner = Learner()
    tune(DAMPED, model="damped", trials=1, learn=learner, **world.given)
    assert learner.calls[0]["deadline"] is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "a search needs an end: give budget_s"),
        ({"budget_s": 0}, r"budget_s is a number of seconds above 0; got 0"),
        ({"budget_s": -1.0}, r"above 0; got -1"),
        ({"budget_s": math.nan}, r"above 0; got nan"),
        ({"budget_s": math.inf}, r"above 0; got inf"),
        ({"trials": 0}, r"trials is a whole number, 1 or more; got 0"),
        ({"trials": 2.5}, r"1 or more; got 2.5"),
        ({"trials": True}, r"1 or more; got True"),
        ({"trials": 2, "model": "lightgbm"}, r"the space is one of damped, but the model is lightgbm"),
        ({"trials": 2, "model": "dampd"}, r"Did you mean 'damped'"),
        ({"trials": 2, "metric": "mace"}, r"no metric is called 'mace'"),
    ],
)
def test_a_search_that_can_not_be_run_is_refused_before_it_begins(world: Any, given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tune(DAMPED, **{"model": "damped", **given}, **world.given)
