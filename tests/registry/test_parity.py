"""A graph answers as its model does, or is not exported."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import ParityError
from tidewright.features.separate import to_windows
from tidewright.features.view import View
from tidewright.features.windows import Batch
from tidewright.models.floors import Floor
from tidewright.models.spec import Damped, Drift, Median, Naive, Ridge, SeasonalNaive
from tidewright.registry.difference import relative_difference
from tidewright.registry.export import to_onnx
from tidewright.registry.parity import check_parity, open_graph, run_graph
from tidewright.registry.trial_windows import hard_windows, real_windows
from tidewright.training.fit import fit

SPECS = (
    Naive(),
    SeasonalNaive(period=5),
    SeasonalNaive(period=30),
    Drift(lookback=12),
    Damped(period=4, recent=3),
    Damped(period=10, recent=8),
    Median(lookback=12),
    Ridge(),
)


def make_floor(spec, *, lookback=12, horizon=7, season=4, seed=0):
    draw = np.random.default_rng(seed)
    task = Task(horizon)
    weights = draw.normal(size=(lookback, horizon)) if isinstance(spec, Ridge) else None
    spread = np.sort(draw.normal(size=(horizon, 3)), axis=1)
    return Floor(spec, task, View(lookback), season, spread, weights)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.name}")
@pytest.mark.parametrize("shape", [(12, 7, 4), (1, 1, 1), (2, 3, 30), (9, 20, 8)])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_floor_s_graph_answers_as_its_formula_on_any_window(spec, shape, data):
    lookback, horizon, season = shape
    floor = make_floor(spec, lookback=lookback, horizon=horizon, season=season)
    # numbers below 1e-30 are left out: float32 keeps few digits of what comes of them
    wide = st.floats(-1e6, 1e6, width=32).map(lambda value: 0.0 if abs(value) < 1e-30 else value)
    numbers = wide | st.just(float("nan")) | st.sampled_from([0.0, 1.0, 7.5])
    rows = data.draw(st.lists(st.lists(numbers, min_size=lookback, max_size=lookback), min_size=1, max_size=5))
    target = np.array(rows, dtype=np.float32)
    target[np.isnan(target).all(axis=1), -1] = 3.0
    batch = Batch(
        target, *(np.empty((len(target), *rest), np.float32) for rest in ((lookback, 0), (lookback + horizon, 0), (0,)))
    )
    eager = floor.predict(to_windows(batch, horizon=horizon))
    graph = open_graph(to_onnx(floor).SerializeToString())
    assert relative_difference(run_graph(graph, batch), eager, target=target) <= 1.2e-7  # float32's own rounding


def test_a_graph_that_answers_differently_is_not_exported(monkeypatch):
    panel = small_panel()
    task = Task(4)
    fitted = fit(Naive(), panel=panel, split=split_holdout(panel, task), task=task)
    real = real_windows(panel, fitted.view, horizon=4)
    graph = to_onnx(replace(fitted, spread=fitted.spread * 1.001)).SerializeToString()
    with pytest.raises(ParityError, match=r"of 'naive' differs from the eager model by .* 1e-05 is allowed"):
        check_parity(fitted, graph, real=real)


def test_the_difference_is_relative_to_the_window_and_infinite_where_one_is_missing():
    target = np.array([[0.0, 2.0]], dtype=np.float32)
    eager = np.array([[[1e-9, 10.0]]])
    assert relative_difference(eager + 1e-3, eager, target=target) == pytest.approx(1e-4)
    assert relative_difference(eager * np.nan, eager, target=target) == np.inf
    assert relative_difference(eager[:, :, :1], eager, target=target) == np.inf
    assert relative_difference(np.zeros((1, 1, 2)), np.zeros((1, 1, 2)), target=target * 0) == 0.0


def test_hard_windows_hold_what_their_names_say_and_never_nothing():
    panel = small_panel()
    real = real_windows(panel, View(24), horizon=4)
    hard = dict(hard_windows(real))
    assert {len(hard[name].target) for name in ("one window", "three windows", "64 windows")} == {1, 3, 64}
    assert np.isnan(hard["holes"].target).mean() > 0.2
    assert np.ptp(hard["a constant"].target) == 0
    assert all((~np.isnan(batch.target)).any(axis=1).all() for batch in hard.values())
    assert all(batch.target.dtype == np.float32 for batch in hard.values())
