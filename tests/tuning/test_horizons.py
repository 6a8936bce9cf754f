"""A searched horizon changes the windows that are learned from, and never the steps that are judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tidewright.data.splits import widen_purge
from tidewright.data.task import Task
from tidewright.errors import BundleError, ConfigError, ShortSeriesError
from tidewright.features.view import View
from tidewright.features.windows import Windows, cut_windows
from tidewright.models.blockwise import Blockwise, answer_task
from tidewright.models.build import build_spec
from tidewright.registry.export import to_onnx
from tidewright.training.evaluate import evaluate
from tidewright.training.fit import fit, usual_view
from tidewright.training.spec import TrainSpec
from tidewright.tuning.change_space import change_space
from tidewright.tuning.horizons import explain_horizons
from tidewright.tuning.kin import AmongKin, among_kin
from tidewright.tuning.pruners import MedianPruner
from tidewright.tuning.read_space import find_space
from tidewright.tuning.space import Choice, FloatRange, IntRange, SearchSpace
from tidewright.tuning.study import TrialState
from tidewright.tuning.trial import Trial
from tidewright.tuning.tune import tune

QUICK = TrainSpec(epochs=1, steps=2, batch_size=32)


class Stub:
    """Says the window's last value plus 1 for the next step, 2 for the one after; quantiles are 3 below and above."""

    def __init__(self, horizon: int) -> None:
        self.spec, self.task, self.history = build_spec("nlinear"), Task(horizon), ()
        self.view, self.seen = View(14), list[np.ndarray]()

    def predict(self, windows: Windows) -> np.ndarray:
        assert windows.horizon == self.task.horizon
        self.seen.append(windows.batch().known)
        last = windows.history()[:, -1:]
        point = last + np.arange(1, windows.horizon + 1)
        return point[:, :, None] + np.array([-3.0, 0.0, 3.0])

    def tensors(self) -> dict[str, Any]:
        return {}


def windows_of(world: Any, horizon: int) -> Windows:
    view = usual_view(world.panel, split=world.split, task=world.task)
    return cut_windows(world.panel, view, horizon=horizon, cutoffs=world.split.validation)


def test_a_shorter_horizon_goes_on_from_its_own_median_and_its_errors_add_up(world: Any) -> None:
    windows = windows_of(world, 7)
    found = Blockwise(Stub(3), Task(7)).predict(windows)
    start = windows.history()[:, -1]
    np.testing.assert_allclose(found[:, :, 1], start[:, None] + np.arange(1, 8), rtol=1e-12)
    spread = np.repeat(3.0 * np.sqrt([1.0, 2.0, 3.0]), 3)[:7]
    np.testing.assert_allclose(found[:, :, 2] - found[:, :, 1], np.tile(spread, (len(windows), 1)), rtol=1e-9)
    np.testing.assert_allclose(found[:, :, 1] - found[:, :, 0], np.tile(spread, (len(windows), 1)), rtol=1e-9)


def test_known_values_beyond_the_asked_steps_are_not_seen(world: Any) -> None:
    windows = windows_of(world, 7)
    known = windows.y[:, None].astype(np.float32)  # as a column of lags would, it holds what comes after the cutoff
    stub = Stub(3)
    Blockwise(stub, Task(7)).predict(replace(windows, known=known, past=windows.past[:, :0]))
    first, _, third = (one[:, -3:, 0] for one in stub.seen)
    np.testing.assert_array_equal(first, windows.labels().astype(np.float32)[:, :3])
    np.testing.assert_array_equal(third[:, 0], windows.labels().astype(np.float32)[:, 6])
    assert np.isnan(third[:, 1:]).all()


def test_a_longer_horizon_gives_its_first_steps(world: Any) -> None:
    windows = windows_of(world, 7)
    np.testing.assert_array_equal(Blockwise(Stub(9), Task(7)).predict(windows), Stub(7).predict(windows))
    assert isinstance(answer_task(Stub(9), Task(7)), Blockwise)
    stub = Stub(7)
    assert answer_task(stub, Task(7)) is stub
    with pytest.raises(ConfigError, match=r"answers the quantiles \(0.1, 0.5, 0.9\); asked for \(0.5,\)"):
        Blockwise(Stub(3), Task(7, (0.5,)))


def test_block_by_block_a_network_says_what_it_says_when_its_own_answers_are_observed(world: Any) -> None:
    given = {"panel": world.panel, "split": world.split, "train": QUICK}
    inner = fit(build_spec("lstm", {"hidden": 4}), task=Task(3), **given)
    windows = windows_of(world, 7)
    windows = replace(
        windows,
        lookback=inner.view.lookback,
        known=cut_windows(world.panel, inner.view, horizon=7, cutoffs=world.split.validation).known,
    )
    found = Blockwise(inner, Task(7)).predict(windows)
    np.testing.assert_array_equal(found[:, :3], inner.predict(replace(windows, horizon=3)))
    y = windows.y.copy()
    y[windows.rows[0] + 1 : windows.rows[0] + 4] = found[0, :3, 1]
    second = replace(windows.subset(np.array([0])), y=y, horizon=3)
    second = replace(second, rows=second.rows + 3)
    np.testing.assert_allclose(found[:1, 3:6, 1], inner.predict(second)[:, :, 1], rtol=1e-5)
    assert (np.diff(found, axis=2) >= 0).all()
    with pytest.raises(BundleError, match=r"lstm learned 3 steps and answers 7, which has no graph"):
        to_onnx(Blockwise(inner, Task(7)))


def test_a_longer_horizon_purges_more_and_moves_nothing_that_is_judged(world: Any) -> None:
    split = world.split
    assert widen_purge(split, 7) is split
    wide = widen_purge(split, 14)
    assert (wide.purge, wide.train.last) == (14, split.train.last - 7)
    assert wide.train.last + 14 <= split.validation.first
    assert (wide.validation, wide.test) == (split.validation, split.test)
    with pytest.raises(ShortSeriesError, match=r"a horizon of 500 leaves no training part"):
        widen_purge(split, 500)


def test_every_horizon_is_learned_and_judged_on_the_same_cells(world: Any) -> None:
    space = SearchSpace("nlinear", {"task.horizon": Choice((1, 3, 9)), "train.clip": FloatRange(0.5, 1.5)})
    calls: list[tuple[int, int, tuple[int, int]]] = []

    def learn(spec: Any, **given: Any) -> Any:
        windows = cut_windows(
            given["panel"], given["view"], horizon=given["task"].horizon, cutoffs=given["split"].train
        )
        calls.append((given["task"].horizon, given["split"].purge, windows.labels().shape))
        return fit(spec, **given)

    study = tune(space, model="nlinear", trials=12, searcher="random", train=QUICK, learn=learn, **world.given)
    horizons = [trial.parameters["task.horizon"] for trial in study.trials]
    assert [call[0] for call in calls] == horizons
    assert set(horizons) == {1, 3, 7, 9}
    assert all(call[1] == max(7, call[0]) and call[2][1] == call[0] for call in calls)
    assert study.fitted.task == world.task
    judged = evaluate(study.fitted, panel=world.panel, split=world.split, cutoffs=world.split.validation)
    assert judged.forecast.shape[1] == 7
    assert judged.scores["mase"] == pytest.approx(study.best.value)
    assert len({trial.key for trial in study.trials}) == len(study.trials)
    assert study.notes[0].startswith(
        "the horizon is how many steps a model learns at once: every trial is judged on the 7"
    )


def test_the_documents_space_of_the_lstm_is_searched_as_it_is(world: Any) -> None:
    space = change_space(find_space("lstm"), {"model.hidden": "4..8", "train.epochs": "1..2"})
    study = tune(
        space, model=build_spec("lstm", {"hidden": 4}), trials=4, searcher="random", train=QUICK, **world.given
    )
    assert study.count(TrialState.COMPLETE) == 4
    assert all(space.holds(trial.parameters) for trial in study.trials[1:])
    assert len({trial.parameters["task.horizon"] for trial in study.trials}) > 2


def test_the_model_itself_is_searched(world: Any) -> None:
    parts = [
        SearchSpace("lstm", {"model.hidden": IntRange(4, 5)}),
        SearchSpace("lightgbm", {"model.leaves": IntRange(4, 5)}),
        SearchSpace("croston", {}),
    ]
    space = SearchSpace.of_models(parts)
    start = build_spec("lightgbm", {"rounds": 5, "min_leaf": 5})
    study = tune(space, model=start, trials=20, searcher="grid", train=QUICK, **world.given)
    assert {trial.parameters["model"] for trial in study.trials} == {"lstm", "lightgbm", "croston"}
    assert study.count(TrialState.COMPLETE) == len(study.trials) == 6  # all five points, and the default
    assert study.spec.name == study.best.parameters["model"] == study.fitted.spec.name
    assert study.trials[0].parameters == {"model": "lightgbm", "lightgbm.model.leaves": 31}
    with pytest.raises(ConfigError, match=r"the space is one of lstm\|lightgbm\|croston, but the model is tcn"):
        tune(space, model="tcn", trials=1, **world.given)


def test_a_model_that_sees_past_covariates_can_not_go_on_from_its_own_forecast(world: Any) -> None:
    panel = world.panel
    table = panel.table.with_columns(price=panel.table["sold"] * 2.0)
    priced = replace(panel, table=table, roles=replace(panel.roles, past=("price",)))
    space = SearchSpace("lstm", {"task.horizon": IntRange(1, 14)})
    with pytest.raises(ConfigError, match=r"task.horizon goes down to 1 of 7 steps, and lstm sees past covariates"):
        explain_horizons(space, panel=priced, task=world.task)
    longer = SearchSpace("lstm", {"task.horizon": IntRange(7, 14)})
    assert len(explain_horizons(longer, panel=priced, task=world.task)) == 1
    assert explain_horizons(SearchSpace("lstm", {"model.hidden": IntRange(4, 8)}), panel=priced, task=world.task) == ()


def test_a_trial_is_pruned_only_among_those_of_its_own_horizon() -> None:
    space = SearchSpace("lstm", {"task.horizon": IntRange(1, 2), "model.hidden": IntRange(4, 8)})
    pruner = among_kin(MedianPruner(warmup=1, startup=2), space)
    assert isinstance(pruner, AmongKin)

    def trial(number: int, horizon: int, loss: float) -> Trial:
        return Trial(number, TrialState.COMPLETE, (loss,), {"task.horizon": horizon}, steps=((1, loss),))

    others = [trial(0, 1, 0.1), trial(1, 1, 0.1), trial(2, 2, 0.9), trial(3, 2, 0.9)]
    assert pruner.hopeless(trial(4, 1, 0.5), others)
    assert not pruner.hopeless(trial(4, 2, 0.5), others)
    assert among_kin(MedianPruner(), SearchSpace("lstm", {"model.hidden": IntRange(4, 8)})) == MedianPruner()
