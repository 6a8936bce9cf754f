"""Trials that are made together: the same trials, scores and bets as one at a time, in steps of a form."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.tuning.conftest import World
from tidewright.errors import ConfigError, FallbackWarning
from tidewright.features.view import View
from tidewright.models.build import build_spec
from tidewright.models.spec import FeedForward
from tidewright.runtime import Choice as Chosen
from tidewright.runtime import Runtime, detect_runtime
from tidewright.training.events import EpochEnded, FitEnded, FitStarted, TrialEnded
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec
from tidewright.tuning.ledger import TrialLedger, subject_of
from tidewright.tuning.limits import Limits
from tidewright.tuning.objective import Assignment, Outcome
from tidewright.tuning.open_store import open_store
from tidewright.tuning.pruners import HalvingPruner, NoPruner, Pruner
from tidewright.tuning.rules import Of, Rule
from tidewright.tuning.search import Plan, orders_of, search
from tidewright.tuning.searchers.catalog import SEARCHERS
from tidewright.tuning.searchers.draw import RandomSearcher
from tidewright.tuning.searchers.in_steps import StepSearcher
from tidewright.tuning.searchers.searcher import History
from tidewright.tuning.space import Choice, FloatRange, IntRange, SearchSpace
from tidewright.tuning.steps import plan_steps
from tidewright.tuning.store import TrialStore
from tidewright.tuning.study import Study
from tidewright.tuning.together import Batch, Result
from tidewright.tuning.trial import Trial, TrialState
from tidewright.tuning.tune import tune

RATES = {
    "train.learning_rate": FloatRange(1e-4, 1e-1, log=True),
    "train.weight_decay": FloatRange(1e-6, 1e-1, log=True),
}
OWN = SearchSpace("feedforward", {**RATES, "model.dropout": FloatRange(0.0, 0.5)})
FORMS = SearchSpace("nlinear", {"view.lookback": IntRange(8, 28), **RATES})
DAMPED = SearchSpace("damped", {"model.damping": FloatRange(0.0, 1.0)})
WIDTHS = SearchSpace("feedforward", {"model.hidden": Choice(((8,), (4,)))})
TRAIN = TrainSpec(epochs=4, steps=3, batch_size=16)
CLOSE = 2e-3  # of a score, after four epochs: sums of float32 in another order


def make_study(world: World, *, space: SearchSpace = OWN, together: Any = 4, trials: int = 8, **more: Any) -> Study:
    asked = {"train": TRAIN, "searcher": "random", "pruner": "none", "ledger": False, "model": space.model, **more}
    return tune(space, trials=trials, together=together, **asked, **world.given)


def forms(study: Study) -> list[Any]:
    return [trial.parameters["view.lookback"] for trial in study.trials]


def test_trials_made_together_have_the_points_scores_and_bets_of_those_made_alone(world: World, tmp_path: Path) -> None:
    told = {}
    for together in (1, 4):
        folder = tmp_path / str(together)
        study = make_study(world, together=together, ledger=folder)
        bets = TrialLedger(subject_of(_seen(world), task=world.task, metric="mase"), folder).bets()
        told[together] = study, bets
    (one, bets), (many, their_bets) = told[1], told[4]
    assert [t.parameters for t in one.trials] == [t.parameters for t in many.trials]
    assert [t.key for t in one.trials] == [t.key for t in many.trials]
    np.testing.assert_allclose([t.value for t in one.trials], [t.value for t in many.trials], rtol=CLOSE)
    np.testing.assert_allclose([t.losses for t in one.trials], [t.losses for t in many.trials], rtol=CLOSE)
    assert [t.scores.keys() for t in one.trials] == [t.scores.keys() for t in many.trials]
    for mine, theirs in zip(bets, their_bets, strict=True):
        assert (mine.number, mine.state, mine.key, mine.parameters) == (
            theirs.number, theirs.state, theirs.key, theirs.parameters,
        )  # fmt: skip
        np.testing.assert_array_equal(mine.positions, theirs.positions)
        np.testing.assert_allclose(mine.parts, theirs.parts, rtol=0.1, atol=0.05)
    assert one.account is not None
    assert many.account is not None
    assert one.account.trials == many.account.trials == 8


def _seen(world: World) -> Any:
    return world.panel.until(int(world.split.validation.positions[-1]) + world.split.horizon)


def test_a_step_is_of_one_form_and_the_same_seed_gives_the_same_study(world: World) -> None:
    one, two = (make_study(world, space=FORMS, trials=12, searcher=name) for name in ("tpe", "tpe"))
    assert [(t.parameters, t.values, t.steps) for t in one.trials] == [
        (t.parameters, t.values, t.steps) for t in two.trials
    ]
    assert [len(set(forms(one)[first : first + 4])) for first in (0, 4, 8)] == [1, 1, 1]
    assert len(set(forms(one))) > 1
    assert len({t.parameters["train.learning_rate"] for t in one.trials}) == 12
    assert {note for t in one.trials for note in t.notes} == {"made in one step of 4 trials"}
    assert one.seconds >= sum(t.seconds for t in one.trials)


def test_trials_are_pruned_inside_the_batch_and_their_bets_are_kept(world: World) -> None:
    study = make_study(world, pruner="halving", trials=4)
    states = Counter(str(t.state) for t in study.trials)
    assert states == {"pruned": 3, "complete": 1}
    lengths = sorted(len(t.steps) for t in study.trials)
    assert lengths[0] == 1 < lengths[-1] == 4
    assert all("is not among the best" in t.error for t in study.trials if t.state is TrialState.PRUNED)
    assert study.account is not None
    assert study.account.trials == 4


def test_a_trial_that_fails_leaves_its_step_alone(world: World) -> None:
    space = SearchSpace(
        "nlinear", {"train.learning_rate": Choice((1e-3, 1e30, 1e-2)), "train.clip": Choice((1.0, 1e9))}
    )
    study = make_study(
        world,
        space=space,
        together=6,
        trials=6,
        searcher="grid",
        train=TrainSpec(epochs=2, steps=3, batch_size=16, optimizer="sgd"),
    )
    failed = [t for t in study.trials if t.state is TrialState.FAILED]
    assert {t.parameters["train.learning_rate"] for t in failed} == {1e30}
    assert all("no longer finite" in t.error for t in failed)
    assert sum(t.state is TrialState.COMPLETE for t in study.trials) >= 4


def test_a_searched_horizon_is_judged_on_the_tasks_own(world: World) -> None:
    space = SearchSpace("nlinear", {"task.horizon": Choice((7, 3)), **RATES})
    one, many = (make_study(world, space=space, together=n, trials=4) for n in (1, 4))
    assert len({t.parameters["task.horizon"] for t in many.trials}) == 1
    np.testing.assert_allclose(one.trials[0].value, many.trials[0].value, rtol=CLOSE)
    assert [t.key for t in one.trials[:1]] == [t.key for t in many.trials[:1]]
    assert many.fitted.task == world.task


def test_each_trial_tells_its_own_fit(world: World) -> None:
    heard: list[Any] = []
    study = make_study(world, trials=4, callbacks=[heard.append])
    keys = [event.key for event in heard if isinstance(event, FitStarted)]
    assert sorted(keys) == sorted(t.key for t in study.trials)
    for trial in study.trials:
        own = [event for event in heard if getattr(event, "key", "") == trial.key]
        assert [type(event) for event in own] == [FitStarted, *[EpochEnded] * 4, FitEnded]
    assert [event.number for event in heard if isinstance(event, TrialEnded)] == [0, 1, 2, 3]


def test_the_best_model_of_a_step_comes_back_from_its_checkpoint(world: World, tmp_path: Path) -> None:
    first, again = (make_study(world, space=FORMS, trials=8, storage=tmp_path) for _ in range(2))
    assert again.trials == first.trials
    assert again.notes == first.notes
    for name, array in first.fitted.tensors().items():
        np.testing.assert_array_equal(array, again.fitted.tensors()[name])
    assert not list((tmp_path / "trials").glob("step-*"))


def test_a_budget_is_kept_and_what_it_cut_short_says_so(world: World, tmp_path: Path) -> None:
    train = TrainSpec(epochs=100_000, steps=2, batch_size=16, patience=100_000)
    asked: dict[str, Any] = {"together": 4, "budget_s": 0.6, "searcher": "random", "train": train, "ledger": False}
    study = tune(FORMS, model="nlinear", storage=tmp_path, **asked, **world.given)
    assert study.trials[0].cut_short  # the first one alone, for nothing is known of how long one takes
    assert study.best.cut_short
    assert study.trials[0].notes == ()
    again = tune(FORMS, model="nlinear", storage=tmp_path, **asked, **world.given)
    assert (again.notes, len(again.trials)) == (study.notes, len(study.trials))


def reduced() -> Runtime:
    return replace(detect_runtime("cpu"), precision=Chosen("bfloat16", "bfloat16", "asked for"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "damped", "space": DAMPED}, "damped is no network"),
        ({"folds": 2}, "each trial learns several times"),
        ({"seeds": "auto", "trials": 8}, "the last trials make the best ones again"),
        ({"adaptive": True}, "the space adapts to every trial"),
        ({"model": "lstm", "space": SearchSpace("lstm", RATES)}, "LSTM has no batched form"),
        ({"train": TrainSpec(epochs=1, steps=2, ema=0.5)}, "a population has no train.ema"),
        ({"space": WIDTHS}, "nothing is searched that networks of one form may differ in"),
        ({"learn": partial(fit, season=7)}, "teaches one model at a time"),
        ({"runtime": reduced}, "a batched step is in float32"),
    ],
)
def test_what_keeps_trials_from_being_made_together_is_said(world: World, changes: dict[str, Any], reason: str) -> None:
    changes = {"train": TrainSpec(epochs=1, steps=1, batch_size=16), "trials": 2, **changes}
    with pytest.warns(FallbackWarning, match=f"together=2: trials were made one by one: .*{reason}"):
        asked = make_study(world, together=2, **changes)
    assert any(reason in note for note in asked.notes)
    auto = make_study(world, together="auto", **changes)
    assert any(reason in note for note in auto.notes) == (changes.get("model") != "damped")
    assert not any("in one step" in note for trial in auto.trials for note in trial.notes)


def test_workers_make_one_trial_each() -> None:
    work: Any = SimpleNamespace(default=SimpleNamespace(spec=FeedForward()), learn=fit)
    plan = Plan(OWN, RandomSearcher(), Limits(0.0, None, 9, lambda: 0.0), 0)
    with pytest.warns(FallbackWarning, match="workers make one each"):
        assert plan_steps(4, work, plan, busy=True).size == 1
    assert plan_steps("auto", work, plan, busy=True).notes == ()


def test_a_default_that_can_t_learn_fails_and_the_others_are_tried(world: World) -> None:
    space = SearchSpace("adaptive_cnn", {"view.lookback": IntRange(24, 28), **RATES})
    short: dict[str, Any] = {"model": build_spec("adaptive_cnn", {"kernel_size": 21}), "view": View(8)}
    study = make_study(world, space=space, together="auto", trials=2, train=TrainSpec(epochs=1, steps=1), **short)
    assert [t.state for t in study.trials][:2] == [TrialState.FAILED, TrialState.COMPLETE]
    assert study.notes[0].startswith("trials were made one by one: the default can't learn (")


def test_what_is_made_together_is_chosen_by_what_was_measured(world: World) -> None:
    asked: dict[str, Any] = {"together": "auto", "trials": 2, "train": TrainSpec(epochs=1, steps=1, batch_size=16)}
    few = make_study(world, space=FORMS, **asked)
    assert few.notes[0].startswith("trials were made one by one: 2 trials are too few ")
    small = make_study(world, space=FORMS, **{**asked, "trials": 16})
    assert small.notes[0].startswith("up to 2 trials of a form were made in one step: a step of ")
    assert {note for trial in small.trials for note in trial.notes} == {"made in one step of 2 trials"}
    large = make_study(world, **{**asked, "train": TrainSpec(epochs=1, steps=1, batch_size=512)})
    assert large.notes[0].startswith("trials were made one by one: with ")
    assert make_study(world, **{**asked, "together": 1}).notes == ()


@pytest.mark.parametrize("wrong", [0, -1, True, 2.5, "many"])
def test_a_number_that_is_none_is_refused(world: World, wrong: Any) -> None:
    with pytest.raises(ConfigError, match='together is how many trials are made at a time, 1 or more, or "auto"'):
        make_study(world, together=wrong)


class Bowl:
    """A function of x whose form is k; it counts how it is called, and may be killed before the end."""

    def __init__(self, *, dies: bool = False) -> None:
        self.steps: list[list[int]] = []
        self.alone: list[int] = []
        self.dies = dies

    def __call__(self, assignment: Assignment) -> Outcome:
        self.alone.append(assignment.number)
        return self.judge(assignment)

    def judge(self, assignment: Assignment) -> Outcome:
        return Outcome((assignment.point["x"] ** 2 + assignment.point["k"],))

    def form(self, point: Mapping[str, Any]) -> Hashable:
        if point["k"] == 3:
            raise ConfigError("no such form")
        return point["k"]

    def make(self, assignments: Sequence[Assignment], *, hopeless: Callable[[int], str]) -> list[Result]:
        self.steps.append([one.number for one in assignments])
        for one in assignments:
            one.report(1, one.point["x"])
        given_up = [bool(hopeless(place)) for place in range(len(assignments))]
        self.pruned = sum(given_up)
        if self.dies:
            raise KeyboardInterrupt
        return [lambda one=one: self.judge(one) for one in assignments]


BOWL = SearchSpace("bowl", {"x": FloatRange(-1.0, 1.0), "k": IntRange(0, 5)})


def run_bowl(
    work: Bowl,
    *,
    store: TrialStore | None = None,
    size: int = 4,
    trials: int = 12,
    stop_at: int = -1,
    pruner: Pruner | None = None,
    clock: Any = lambda: 0.0,
    budget_s: float | None = None,
) -> Any:
    def hear(event: Any) -> None:
        if isinstance(event, TrialEnded) and event.number == stop_at:
            raise KeyboardInterrupt

    limits = Limits(clock(), budget_s, trials, clock)
    searcher = StepSearcher(RandomSearcher, size, lambda name: name == "x")
    plan = Plan(BOWL, searcher, limits, 5, pruner or NoPruner(), callbacks=(hear,))
    crew = Batch(work, orders_of(work, plan), size=size)
    return search(work, plan, store=store or TrialStore.in_memory(), crew=crew)


def test_what_was_made_is_not_made_again_when_a_step_was_killed_while_it_was_told(tmp_path: Path) -> None:
    whole = run_bowl(Bowl())
    with pytest.raises(KeyboardInterrupt):
        run_bowl(Bowl(), store=open_store(tmp_path), stop_at=5)
    with pytest.raises(KeyboardInterrupt):
        run_bowl(second := Bowl(), store=open_store(tmp_path), stop_at=6)
    resumed = run_bowl(third := Bowl(), store=open_store(tmp_path))
    assert second.steps == second.alone == []
    assert [number for step in third.steps for number in step] + third.alone == [8, 9, 10, 11]
    assert [(t.number, t.values, t.parameters) for t in resumed.trials] == [
        (t.number, t.values, t.parameters) for t in whole.trials
    ]
    assert not [path.name for path in tmp_path.rglob("step-*") if path.name != "step-00008.json"]


def test_a_step_that_was_killed_begins_anew_with_all_its_trials(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_bowl(first := Bowl(dies=True), store=open_store(tmp_path), pruner=HalvingPruner())
    resumed = run_bowl(second := Bowl(), store=open_store(tmp_path), pruner=HalvingPruner())
    assert first.steps[0] == second.steps[0]
    assert {len(step) for step in second.steps} == {4}
    assert len(resumed.trials) == 12


def test_a_point_of_no_form_is_made_alone() -> None:
    work = Bowl()
    found = run_bowl(work, trials=40)
    assert {t.number for t in found.trials if t.parameters["k"] == 3} == set(work.alone)
    assert len(work.alone) >= 4


def test_with_a_deadline_no_more_are_begun_at_once_than_would_be_done_by_then() -> None:
    now = [0.0]

    class Slow(Bowl):
        def judge(self, assignment: Assignment) -> Outcome:
            now[0] += 10.0
            return super().judge(assignment)

    work = Slow()
    run_bowl(work, trials=30, budget_s=72.0, clock=lambda: now[0])
    assert work.steps == [[1, 2, 3], [4, 5]]  # each is left its time to be judged
    assert work.alone == [0, 6]
    assert now[0] == 70.0


RULED = SearchSpace(
    "m",
    {
        "depth": IntRange(1, 6),
        "rate": FloatRange(1e-4, 1e-1, log=True),
        "width": IntRange(2, 64),
        "drop": FloatRange(0.0, 0.5),
    },
    rules={"width": Rule(high=Of("depth", times=8.0)), "drop": Rule(when={"depth": IntRange(3, 6)})},
)


@pytest.mark.parametrize("name", ["random", "qmc", "tpe", "gp", "auto", "cmaes", "nsga2"])
def test_points_keep_to_the_form_of_their_step_whatever_was_asked_before(name: str) -> None:
    def make() -> StepSearcher:
        return StepSearcher(SEARCHERS.load(name), 4, lambda option: option in ("rate", "drop"))

    kept, trials = make(), list[Trial]()
    for number in range(24):
        history = History(RULED, tuple(trials), number, 3)
        point = kept.suggest(history)
        assert point is not None
        assert RULED.holds(point)
        if number % 5 == 0:
            assert make().suggest(history) == point
        trials.append(Trial(number, TrialState.RUNNING, parameters=dict(point)))
        if number % 4 == 3:
            ended = [
                Trial(t.number, TrialState.COMPLETE, (math.log(t.parameters["rate"]),), t.parameters)
                for t in trials[-4:]
            ]
            trials[-4:] = ended
    shapes = [json.dumps([t.parameters["depth"], t.parameters["width"]]) for t in trials]
    assert all(len(set(shapes[first : first + 4])) == 1 for first in range(0, 24, 4))
    assert len(set(shapes)) > 1
    assert len({json.dumps(dict(t.parameters)) for t in trials}) == 24


def test_a_form_of_which_nothing_is_left_gives_way_to_another() -> None:
    space = SearchSpace("m", {"form": IntRange(1, 3), "rate": Choice((0.1, 0.2))})
    searcher, trials = StepSearcher(SEARCHERS.load("grid"), 4, lambda name: name == "rate"), list[Trial]()
    while (point := searcher.suggest(History(space, tuple(trials), len(trials), 0))) is not None:
        trials.append(Trial(len(trials), TrialState.COMPLETE, (0.0,), point))
    assert len({json.dumps(dict(t.parameters)) for t in trials}) == len(trials) == 6
