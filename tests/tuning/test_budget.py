"""A budget is used, not passed, and what it cut short is judged by what it learned or given up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tidewright import ArchitectureType, ModelConfig, PyTorchModelFactory
from tidewright.models.build import build_spec
from tidewright.runtime import detect_runtime
from tidewright.training.fit import fit
from tidewright.training.fit_arrays import Labelled
from tidewright.training.spec import TrainSpec
from tidewright.tuning.array_objective import ArrayObjective
from tidewright.tuning.crew import Alone, Died, Ended, Hearing, end_late
from tidewright.tuning.limits import Limits
from tidewright.tuning.objective import Assignment, Outcome, Pruned, give_up_short
from tidewright.tuning.panel_objective import PanelObjective
from tidewright.tuning.search import Found, Plan, orders_of, search
from tidewright.tuning.searchers.draw import RandomSearcher
from tidewright.tuning.space import FloatRange, IntRange, SearchSpace
from tidewright.tuning.start import start_candidate
from tidewright.tuning.store import TrialStore
from tidewright.tuning.task import Orders, Task
from tidewright.tuning.trial import Trial, TrialState

SPACE = SearchSpace("net", {"epochs": IntRange(8, 24), "epoch_s": FloatRange(0.1, 0.6, log=True)})
JUDGING_S = 0.2


class Clock:
    """Seconds that pass only when something takes them."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


class Shift:
    """`workers` trials at a time on one clock: each begins when it is begun, the first to end is told first."""

    def __init__(self, orders: Orders, clock: Clock, *, workers: int) -> None:
        self._orders, self._clock, self._workers = orders, clock, workers
        self._running: list[tuple[float, Ended, list[tuple[int, float]]]] = []

    def begin(self, task: Task) -> None:
        alone, began, said = Alone(self._orders), self._clock.now, list[tuple[int, float]]()
        alone.begin(task)
        over = alone.wait(Hearing(lambda number, step, value: said.append((step, value)), lambda event: None))
        assert isinstance(over, Ended)
        self._running.append((self._clock.now, over, said))
        self._clock.now = began

    @property
    def free(self) -> bool:
        return len(self._running) < self._workers

    @property
    def busy(self) -> bool:
        return bool(self._running)

    def wait(self, hear: Hearing) -> Ended | Died:
        first = min(self._running, key=lambda one: one[0])
        self._running.remove(first)
        self._clock.now, over, said = first
        for step, value in said:
            hear.keep(over.trial.number, step, value)
        return over


def learn(clock: Clock, assignment: Assignment) -> Outcome:
    """Learns as a network does: no epoch is begun that would probably end after the deadline."""
    own, noise = assignment.point, math.exp(np.random.default_rng(assignment.number).normal(0.0, 0.2))
    started, cut, epoch_s = clock.now, False, own["epoch_s"] * noise
    for epoch in range(1, own["epochs"] + 1):
        clock.now += epoch_s
        assignment.report(epoch, 1.0 / epoch)
        if assignment.deadline is not None and clock.now + epoch_s > assignment.deadline:
            cut = epoch < own["epochs"]
            break
    seconds = clock.now - started
    if cut:
        give_up_short(assignment, seconds)
    clock.now += JUDGING_S
    return Outcome((1.0 / epoch,), fit_seconds=seconds, cut_short=cut, learned=epoch)


def spend(budget_s: float, *, workers: int, seed: int, heeds: Callable[..., bool]) -> tuple[float, Found]:
    """The share of a budget that a search took, and what it found."""
    clock = Clock()
    limits = Limits(clock(), budget_s, None, clock)
    plan = Plan(SPACE, RandomSearcher(), limits, seed, heeds=heeds)
    objective = partial(learn, clock)
    crew = Shift(orders_of(objective, plan), clock, workers=workers)
    found = search(objective, plan, store=TrialStore.in_memory(), crew=crew)
    return limits.spent / budget_s, found


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("budget_s", [20.0, 60.0, 120.0])
def test_a_budget_is_used_by_all_workers_and_not_passed(budget_s: float, workers: int) -> None:
    idle, cut = [], 0
    for seed in range(4 if budget_s == 20.0 else 2):
        share, found = spend(budget_s, workers=workers, seed=seed, heeds=lambda point: True)
        assert 0.95 <= share <= 1.02, (seed, found.reason)
        idle.append(spend(budget_s, workers=workers, seed=seed, heeds=lambda point: False)[0])
        last = [trial for trial in found.trials if trial.cut_short]
        cut += len(last)
        assert all(one.fit_seconds >= 0.2 * one.expected_s - 1e-9 for one in last if one.expected_s)
        best = min((one for one in found.trials if one.value is not None), key=lambda one: one.values)
        assert found.learned == len(best.steps)  # what was judged, and no more and no less
    assert cut > 0
    if budget_s == 20.0:
        assert min(idle) < 0.9  # a trial that is not to be cut short is not begun


def test_a_trial_that_was_hardly_begun_is_given_up_with_the_reason() -> None:
    made = (spend(20.0, workers=1, seed=seed, heeds=lambda point: True)[1].trials for seed in range(50))
    trials = next(trials for trials in made if trials[-1].state is TrialState.PRUNED)
    assert "the budget ended it after " in trials[-1].error
    assert (trials[-1].value, trials[-1].cut_short) == (None, False)
    assert len(trials[-1].steps) > 0


def test_the_only_trial_counts_however_short_it_was() -> None:
    _, found = spend(1.0, workers=1, seed=0, heeds=lambda point: True)
    assert [(trial.state, trial.cut_short) for trial in found.trials] == [(TrialState.COMPLETE, True)]


def test_a_worker_that_is_ended_late_was_given_up_where_it_heeds_the_deadline_and_failed_where_not() -> None:
    task = Task(Trial(3, TrialState.RUNNING), (), 10.0, None, last=10.3)
    assert end_late(task).trial.state is TrialState.FAILED
    assert end_late(replace(task, least_s=0.5)).trial.state is TrialState.PRUNED


def test_a_model_that_learned_too_little_is_given_up_and_its_bet_is_kept_as_such(world: Any, clock: Any) -> None:
    def learn_slowly(spec: Any, *, deadline: float, **given: Any) -> Any:
        clock.now += 3.0
        return _Told(fit(spec, **given), ({"stopped": "deadline"},))

    work, kept = replace(_open(world, "damped"), learn=learn_slowly, clock=clock), list[Any]()
    ledger = SimpleNamespace(add=lambda number, point, **told: kept.append(told["state"]), notes=())
    work = replace(work, ledger=ledger)
    asked = Assignment(1, {}, 42, clock.now + 3.0, None, lambda step, value: None, least_s=3.5)
    with pytest.raises(Pruned, match=r"the budget ended it after 3\.0 s of learning; it takes 3\.5 s"):
        work(asked)
    assert work(replace(asked, least_s=2.5)).cut_short
    assert kept == ["pruned", "complete"]


def test_a_network_of_plain_arrays_that_learned_too_little_is_given_up() -> None:
    late = Assignment(1, {}, 42, -math.inf, None, lambda step, value: None, least_s=1e9)
    work = _open_arrays(folds=1)
    with pytest.raises(Pruned, match="the budget ended it after"):
        work(late)
    assert work(replace(late, least_s=0.0)).cut_short
    assert not work(replace(late, deadline=None)).cut_short


def test_folds_of_plain_arrays_share_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []

    def learn_fold(self: Any, network: Any, fold: Any, *, train: Any, assignment: Assignment) -> Any:
        assert assignment.deadline is not None
        given.append(assignment.deadline)
        return {"loss": 1.0}, "epochs"

    monkeypatch.setattr(ArrayObjective, "_learn", learn_fold)
    now = time.monotonic()
    _open_arrays(folds=2)(Assignment(1, {}, 42, now + 1000.0, None, lambda step, value: None))
    assert given == [pytest.approx(now + 500.0, abs=100.0), now + 1000.0]


def _open_arrays(*, folds: int) -> ArrayObjective:
    config = ModelConfig(ArchitectureType.FEED_FORWARD, 3, [4], dropout_rate=0.0, use_batch_norm=False)
    draw = np.random.default_rng(0)
    rows = Labelled(*(draw.normal(size=(40, width)).astype(np.float32) for width in (3, 1)))
    train = TrainSpec(epochs=9, steps=2, batch_size=8, loss="mse")
    return ArrayObjective(
        lambda: PyTorchModelFactory().create_model(config), ((rows, rows),) * folds, train, "loss", 0.0, 252.0,
        detect_runtime("cpu"),
    )  # fmt: skip


def test_networks_and_boosted_trees_heed_a_deadline_and_what_is_solved_at_once_does_not(world: Any) -> None:
    work, names = _open(world, "lightgbm"), ("lightgbm", "svr", "damped", "nlinear", "lear", "auto_ets")
    assert [name for name in names if work.heeds({"model": name})] == ["lightgbm", "nlinear"]
    assert work.heeds({})
    assert not replace(work, learn=partial(fit)).heeds({})  # nothing is known of it


def test_what_opens_a_network_is_loaded_while_the_first_trials_run(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    monkeypatch.setattr("tidewright.tuning.panel_objective.import_module", loaded.append)
    _open(world, "lightgbm").prepare()
    assert loaded == []
    _open(world, "nlinear").prepare()
    assert loaded == ["tidewright.training.fit_torch"]


def _open(world: Any, model: str) -> PanelObjective:
    space, spec = SearchSpace(model, {}), build_spec(model)
    default = start_candidate(space, spec, **world.given, season=7, train=TrainSpec(), view=None)
    return PanelObjective(world.panel, world.split, world.task, 7, default, "mase", fit, Clock())


class _Told:
    """A model with another history."""

    def __init__(self, inner: Any, history: tuple[dict[str, Any], ...]) -> None:
        self._inner, self.history = inner, history

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
