"""Trials that are judged on several walk-forward folds, or from several seeds."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidewright.data.splits import walk_back
from tidewright.errors import ConfigError, ShortSeriesError
from tidewright.models.fitted import Fitted
from tidewright.training.evaluate import evaluate, join_evaluations
from tidewright.training.events import EpochEnded, Event, FitEnded, FitStarted, TrialEnded
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec
from tidewright.tuning.over_parts import OverParts, over_parts
from tidewright.tuning.pruners import HalvingPruner, HyperbandPruner, MedianPruner, WilcoxonPruner
from tidewright.tuning.space import Choice, FloatRange, IntRange, SearchSpace
from tidewright.tuning.trial import Trial, TrialState
from tidewright.tuning.tune import tune

DAMPED = SearchSpace("damped", {"model.damping": FloatRange(0.0, 1.0), "model.recent": IntRange(2, 14)})
RATES = SearchSpace("nlinear", {"train.learning_rate": Choice((1e-3, 1e-2))})
SHORT = TrainSpec(epochs=2, steps=3, learning_rate=1e-3)


class Learner:
    """Really fits, keeps what it was asked for, and makes forecasts worse where a test says so."""

    def __init__(self, worse: Any = lambda spec: 0.0) -> None:
        self.worse = worse
        self.calls: list[dict[str, Any]] = []

    def __call__(self, spec: Any, **given: Any) -> Any:
        self.calls.append({"spec": spec, **given})
        return Off(fit(spec, **given), self.worse(spec))


class Off:
    def __init__(self, fitted: Fitted, off: float) -> None:
        self._fitted, self._off = fitted, off
        self.spec, self.task, self.view, self.history = fitted.spec, fitted.task, fitted.view, fitted.history

    def predict(self, windows: Any) -> Any:
        return self._fitted.predict(windows) + self._off


def test_the_folds_are_the_split_and_others_like_it_before_it_that_share_no_label(world: Any) -> None:
    folds = walk_back(world.split, folds=3)
    assert (folds[-1].train, folds[-1].validation) == (world.split.train, world.split.validation)
    assert all(fold.test is None for fold in folds)
    assert {len(fold.validation) for fold in folds} == {len(world.split.validation)}
    for fold in folds:
        assert fold.train.first == world.split.train.first
        assert fold.validation.first - fold.train.last == world.split.validation.first - world.split.train.last
    for before, after in itertools.pairwise(folds):
        assert before.validation.positions[-1] + world.task.horizon == after.validation.first
    with pytest.raises(ShortSeriesError, match=r"9 folds of \d+ steps leave no training part: the split trains on"):
        walk_back(world.split, folds=9)
    wrong: tuple[Any, ...] = (0, 2.0, "a")
    for folds in wrong:
        with pytest.raises(ConfigError, match="folds is the number of walk-forward folds"):
            walk_back(world.split, folds=folds)


def test_the_score_is_that_of_all_folds_together_and_each_fold_is_reported(world: Any) -> None:
    study = tune(DAMPED, model="damped", trials=2, folds=3, **world.given)
    for trial in study.trials:
        spec = study.spec if trial is study.best else type(study.spec)(**_options(trial, study.spec))
        judged = []
        for fold in walk_back(world.split, folds=3):
            fitted = fit(spec, panel=world.panel, split=fold, task=world.task)
            judged.append(evaluate(fitted, panel=world.panel, split=fold, cutoffs=fold.validation))
        assert trial.value == pytest.approx(join_evaluations(judged).scores["mase"], rel=1e-12)
        assert dict(trial.steps) == pytest.approx({n: one.scores["mase"] for n, one in enumerate(judged, start=1)})
    assert study.parts == (study.best.losses,)
    mean, spread = study.spread["folds"]
    assert (mean, spread) == (pytest.approx(np.mean(study.parts)), pytest.approx(np.std(study.parts, ddof=1)))
    assert f"over 3 folds: mean {mean:.4g}, standard deviation {spread:.2g}" in str(study)
    assert study.to_dict()["parts"] == [list(study.best.losses)]


def _options(trial: Trial, spec: Any) -> dict[str, Any]:
    return {"period": spec.period, **{name.removeprefix("model."): one for name, one in trial.parameters.items()}}


def test_no_fold_reads_the_test_part_and_the_account_counts_every_cutoff(world: Any) -> None:
    learner = Learner()
    study = tune(DAMPED, model="damped", trials=3, folds=2, learn=learner, **world.given)
    last = int(world.split.validation.positions[-1]) + world.task.horizon
    assert len(learner.calls) == 6
    assert all(call["panel"].positions.max() == last and call["split"].test is None for call in learner.calls)
    assert study.account is not None
    assert study.account.positions == 2 * len(world.split.validation)
    assert study.account.score == pytest.approx(study.score, rel=1e-6)


def test_the_model_is_the_one_of_the_split_and_of_the_first_seed(world: Any, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"model": "nlinear", "train": SHORT, "trials": 2, "storage": tmp_path, **world.given}
    study = tune(RATES, folds=2, seeds=2, keep=2, **asked)
    alone = fit(study.spec, panel=world.panel, split=world.split, task=world.task, train=study.train, view=study.view)
    for name, array in alone.tensors().items():
        assert np.array_equal(array, study.fitted.tensors()[name])
    again = tune(RATES, folds=2, seeds=2, keep=2, **asked)  # makes no trial, reads the checkpoint
    assert (again.trials, again.notes) == (study.trials, study.notes)
    for name, array in alone.tensors().items():
        assert np.array_equal(array, again.fitted.tensors()[name])
    files = {path.name for path in (tmp_path / "trials" / "00000").iterdir()}
    assert files >= {"fit1.safetensors", "checkpoint.safetensors", "fit3.safetensors", "fit4.safetensors"}
    for other in ({"folds": 1, "seeds": 2}, {"folds": 2, "seeds": 1}):
        with pytest.raises(ConfigError, match=r"its (folds|seeds) is 2, not None"):
            tune(RATES, **other, **asked)


def test_a_trial_from_several_seeds_scores_their_mean(world: Any) -> None:
    learner = Learner()
    asked: dict[str, Any] = {"model": "nlinear", "train": SHORT, "trials": 1, **world.given}
    study = tune(RATES, seeds=3, learn=learner, **asked)
    assert [call["train"].seed for call in learner.calls] == [SHORT.seed, SHORT.seed + 1, SHORT.seed + 2]
    values = study.trials[0].losses
    assert len(set(values)) == 3
    assert study.score == pytest.approx(np.mean(values))
    assert study.spread["seeds"] == (pytest.approx(np.mean(values)), pytest.approx(np.std(values, ddof=1)))
    assert values[0] == tune(RATES, **asked).score
    wrong: tuple[Any, ...] = (0, 1.5, "many")
    for seeds in wrong:
        with pytest.raises(ConfigError, match="seeds is from how many seeds"):
            tune(RATES, seeds=seeds, **asked)


def test_a_trial_that_is_worse_on_the_first_folds_is_ended_there(world: Any) -> None:
    space = SearchSpace("damped", {"model.recent": IntRange(2, 14)})
    learner = Learner(lambda spec: 50.0 if spec.recent == 3 else 0.0)
    asked: dict[str, Any] = {"model": "damped", "trials": 13, "folds": 3, **world.given}
    study = tune(space, learn=learner, pruner="halving", searcher="grid", **asked)
    bad = next(trial for trial in study.trials if trial.parameters["model.recent"] == 3)
    assert (bad.state, len(bad.steps)) == (TrialState.PRUNED, 1)
    assert "up to step 1 is not among the best" in bad.error
    assert sum(call["spec"].recent == 3 for call in learner.calls) == 1


def test_the_median_compares_means_so_far_and_the_last_fit_ends_none() -> None:
    others = [Trial(n, TrialState.COMPLETE, (1.0,), steps=((1, 1.0), (2, 3.0), (3, 1.0))) for n in range(5)]
    pruner = over_parts(MedianPruner(warmup=4), parts=3)
    assert not pruner.hopeless(Trial(5, TrialState.RUNNING, steps=((1, 0.5), (2, 3.4))), others)  # 1.95 is below 2
    assert "above 2, the median" in pruner.hopeless(Trial(5, TrialState.RUNNING, steps=((1, 0.9), (2, 3.4))), others)
    assert not pruner.hopeless(Trial(5, TrialState.RUNNING, steps=((1, 9.0), (2, 9.0), (3, 9.0))), others)
    assert not pruner.hopeless(Trial(5, TrialState.RUNNING), others)


def test_the_signed_rank_test_compares_fold_by_fold() -> None:
    best = Trial(0, TrialState.COMPLETE, (1.0,), steps=tuple((n, float(n)) for n in range(1, 7)))
    pruner = over_parts(WilcoxonPruner(), parts=6)
    worse = tuple((n, n + 0.1 * n) for n in range(1, 5))
    assert "its 4 folds are worse" in pruner.hopeless(Trial(1, TrialState.RUNNING, steps=worse), [best])
    assert not pruner.hopeless(Trial(1, TrialState.RUNNING, steps=worse[:3]), [best])  # three can't be significant
    assert over_parts(HyperbandPruner(most=30), parts=6) == OverParts(HyperbandPruner(most=6), 6)
    assert over_parts(HalvingPruner(), parts=6) == OverParts(HalvingPruner(), 6)


def test_the_fits_of_a_trial_are_told_as_one(world: Any) -> None:
    events: list[Event] = []
    tune(RATES, model="nlinear", train=SHORT, trials=1, folds=2, callbacks=[events.append], **world.given)
    kinds = [type(event) for event in events if isinstance(event, FitStarted | FitEnded | TrialEnded)]
    assert kinds == [FitStarted, FitEnded, TrialEnded]
    assert [event.epoch for event in events if isinstance(event, EpochEnded)] == [1, 2, 3, 4]


def test_a_budget_is_shared_by_the_fits_of_a_trial(world: Any, clock: Any) -> None:
    deadlines: list[float] = []

    def learn(spec: Any, *, deadline: float, **given: Any) -> Any:
        deadlines.append(deadline - clock.now)
        clock.now += 10.0
        return fit(spec, **given)

    tune(DAMPED, model="damped", folds=3, budget_s=60.0, trials=1, learn=learn, clock=clock, **world.given)
    assert deadlines == [20.0, 25.0, 40.0]


def test_every_metric_of_every_complete_trial_is_kept_and_told(world: Any) -> None:
    events: list[Event] = []
    study = tune(DAMPED, model="damped", trials=2, folds=2, callbacks=[events.append], **world.given)
    told = [event for event in events if isinstance(event, TrialEnded)]
    for trial, event in zip(study.trials, told, strict=True):
        assert {"mase", "mae", "rmse", "mape", "smape", "wape", "coverage"} <= set(trial.scores)
        assert event.metrics == {f"validation_{name}": value for name, value in trial.scores.items()}
