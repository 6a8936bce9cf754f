"""Forests against LightGBM, and what fitted trees see and answer."""

import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.worlds import small_panel
from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import BundleError, ConfigError, DataError
from tidewright.features.separate import to_windows
from tidewright.features.view import View
from tidewright.features.windows import Windows, cut_windows
from tidewright.models.forest import forest_from_tensors
from tidewright.models.spec import LightGBM
from tidewright.models.tree_inputs import (
    label_units,
    plan_inputs,
    season_values,
    step_features,
    window_features,
    window_units,
)
from tidewright.models.trees import TreesFitted, trees_from_tensors
from tidewright.training.fit import usual_view
from tidewright.training.fit_trees import fit_trees

TASK = Task(horizon=4)


@cache
def panel() -> Panel:
    return small_panel(rows=360)


@cache
def fitted() -> TreesFitted:
    split = split_holdout(panel(), TASK)
    view = usual_view(panel(), split=split, task=TASK)
    return fit_trees(LightGBM(rounds=30, min_leaf=5), panel=panel(), split=split, task=TASK, view=view, threads=1)


def windows(of: Panel | None = None) -> Windows:
    given = panel() if of is None else of
    cutoffs = split_holdout(panel(), TASK).validation
    return cut_windows(given, fitted().view, horizon=4, cutoffs=cutoffs, least=1)


def test_a_forest_takes_float32_only():
    with pytest.raises(ConfigError, match="float32 values; got float64"):
        fitted().formula.predict(np.zeros((1, 50)), width=3)


def test_trees_rebuilt_from_their_tensors_answer_with_the_same_bits():
    model = fitted()
    again = trees_from_tensors(model.tensors(), spec=model.spec, task=model.task, view=model.view)
    assert again.inputs == model.inputs
    assert again.predict(windows()).tobytes() == model.predict(windows()).tobytes()


def test_a_point_with_its_offsets_is_rebuilt_and_refused_without_them():
    split = split_holdout(panel(), TASK)
    spec = LightGBM(rounds=3, min_leaf=5, loss="mean", unit="level")
    model = fit_trees(spec, panel=panel(), split=split, task=TASK, view=fitted().view, threads=1)
    records = {"spec": model.spec, "task": model.task, "view": model.view}
    again = trees_from_tensors(model.tensors(), **records)
    assert again.predict(windows()).tobytes() == model.predict(windows()).tobytes()
    without = {name: array for name, array in model.tensors().items() if name != "offsets"}
    for tensors in (without, {**model.tensors(), "offsets": np.zeros((3, 3))}):
        with pytest.raises(BundleError, match="'offsets' should be float64 of the shape"):
            trees_from_tensors(tensors, **records)
    with pytest.raises(BundleError, match="absent otherwise; they are quantile and step"):
        trees_from_tensors(model.tensors(), **{**records, "spec": replace(model.spec, loss="quantile")})


BROKEN = {
    "a missing array": ("left", None),
    "another type": ("value", lambda a: a.astype(np.float32)),
    "a loop": ("left", np.zeros_like),
    "a child beyond the end": ("right", lambda a: a + 10**6),
    "a feature that is not there": ("feature", lambda a: np.where(a >= 0, 999, a).astype(np.int32)),
    "an output that is not there": ("outputs", lambda a: a + np.int32(7)),
    "fewer roots": ("roots", lambda a: a[:-1]),
    "fewer leaves": ("value", lambda a: a[:-1]),
    "no counts": ("counts", None),
    "a season beyond the lookback": ("counts", lambda a: a * 50),
    "a negative count": ("counts", lambda a: -a),
    "more covariates than features": ("counts", lambda a: np.array([a[0], 0, 0, 0])),
}


@pytest.mark.parametrize("case", BROKEN)
def test_tensors_that_describe_no_model_are_refused(case):
    model = fitted()
    name, change = BROKEN[case]
    tensors = {key: value for key, value in model.tensors().items() if key != name}
    if change is not None:
        tensors[name] = change(model.tensors()[name])
    with pytest.raises(BundleError, match="Train the model anew"):
        trees_from_tensors(tensors, spec=model.spec, task=model.task, view=model.view)


def test_a_forest_of_leaves_alone_is_sound():
    leaf = {name: getattr(fitted().formula, name)[-1:] for name in ("threshold", "absent_left")}
    whole = {name: np.zeros(1, dtype=np.int32) for name in ("left", "right", "roots", "outputs")}
    tensors = {**leaf, **whole, "feature": np.array([-1], dtype=np.int32), "value": np.array([2.5])}
    forest = forest_from_tensors(tensors, n_features=1, width=1)
    assert forest.predict(np.zeros((1, 1), dtype=np.float32), width=1).tolist() == [[2.5]]


def test_quantiles_ascend_on_the_original_scale():
    answer = fitted().predict(windows())
    assert answer.shape == (len(windows()), 4, 3)
    assert (np.diff(answer, axis=2) >= 0).all()
    assert (np.abs(answer[:, :, 1] - windows().labels()) < 100).sum() > 0.9 * (~np.isnan(windows().labels())).sum()


def test_a_window_never_sees_its_own_horizon():
    seen = panel()
    changed = seen.target.copy()
    cutoff = int(windows().rows[0])
    base = windows().subset(np.array([0]))
    changed[cutoff + 1 :] = 1e9
    past = base.past.copy()
    past[cutoff + 1 :] = -1e9
    after = replace(base, y=changed, past=past)
    assert fitted().predict(after).tobytes() == fitted().predict(base).tobytes()


def test_a_window_sees_nothing_before_its_lookback():
    batch = windows().batch()
    alone = to_windows(batch, horizon=4)
    assert fitted().predict(alone).tobytes() == fitted().predict(windows()).tobytes()


def test_one_series_alone_gets_the_rows_that_it_gets_among_others():
    everything = fitted().predict(windows())
    alone = fitted().predict(windows(panel().select(["s2"])))
    assert alone.tobytes() == everything[windows().series == 2].tobytes()


def test_known_covariates_at_the_step_reach_the_trees():
    base = windows()
    other = replace(
        base, known=base.known[:, :] * np.array([3.0] + [1.0] * (base.known.shape[1] - 1), dtype=np.float32)
    )
    assert not np.array_equal(fitted().predict(other), fitted().predict(base))


def test_features_have_their_names_and_values():
    inputs, base = fitted().inputs, windows()
    index = np.arange(len(base))
    units = window_units(base)
    steps = np.full(len(base), 3)
    table = np.hstack(
        [window_features(inputs, base, units), step_features(inputs, base, units, index=index, steps=steps)]
    )
    assert table.shape[1] == len(inputs.names)
    column = dict(zip(inputs.names, table.T, strict=True))
    past = base.batch().target.astype(np.float64)
    mean, scale = np.nanmean(past, axis=1), np.nanstd(past, axis=1, ddof=1)
    for name, expected in {
        "lag1": (past[:, -1] - mean) / scale,
        "lag5": (past[:, -5] - mean) / scale,
        "season1": (past[:, -24 + 2] - mean) / scale,
        "season2": (past[:, -48 + 2] - mean) / scale,
        "mean6": (np.nanmean(past[:, -6:], axis=1) - mean) / scale,
        "std24": np.nanstd(past[:, -24:], axis=1, ddof=1) / scale,
        "max6": (np.nanmax(past[:, -6:], axis=1) - mean) / scale,
        "spread": scale / (np.abs(mean) + scale),
        "step": steps,
        "past0": base.batch().past[:, -1, 0],
        "known0": base.batch().known[:, inputs.lookback + 2, 0],
        "static0": base.batch().static[:, 0],
    }.items():
        np.testing.assert_allclose(column[name], expected, rtol=1e-5, atol=1e-6, err_msg=name)


def test_ratios_and_what_is_around_the_season_before_have_their_names_and_values():
    base = replace(windows(), horizon=30)
    inputs = plan_inputs(LightGBM(ratios=(5, 24), around=(-2, 0, 3)), base, season=24)
    units, index, steps = window_units(base), np.arange(len(base)), np.full(len(base), 22)
    parts = [window_features(inputs, base, units), step_features(inputs, base, units, index=index, steps=steps)]
    column = dict(zip(inputs.names, np.hstack(parts).T, strict=True))
    past, visits = base.batch().target.astype(np.float64), base.batch().past[:, :, 0].astype(np.float64)
    for prefix, values in {"": past, "past0_": visits}.items():
        now, before = values[:, -5:], values[:, -29:-24]
        both = ~np.isnan(now) & ~np.isnan(before)
        ratio = np.where(both, now, 0).sum(axis=1) / np.where(both, before, 0).sum(axis=1)
        np.testing.assert_allclose(column[f"{prefix}ratio5"], ratio, rtol=1e-6)
        size = np.nanmean(np.abs(values), axis=1)
        np.testing.assert_allclose(column[f"{prefix}around-2"], values[:, -24 + 21 - 2] / size, rtol=1e-6)
        np.testing.assert_allclose(column[f"{prefix}around+0"], values[:, -24 + 21] / size, rtol=1e-6)
        assert np.isnan(column[f"{prefix}around+3"]).all()  # it would lie after the cutoff
    np.testing.assert_array_equal(column["known0_before"], base.batch().known[:, inputs.lookback - 24 + 21, 0])


MOVED = [(2.0, (2, 3), (1, 0)), (0.25, (0, 1), (0.75, 0.25)), (-1.5, (-2, -1), (0.5, 0.5))]


@pytest.mark.parametrize(("shift", "places", "shares"), MOVED)
def test_the_season_before_is_read_where_the_column_says_that_it_lay(shift, places, shares):
    base = replace(windows(), horizon=30)
    base = replace(base, y=np.where(np.isnan(base.y), 1.0, base.y), known=np.full_like(base.known, shift))
    inputs = plan_inputs(LightGBM(unit="growth", around=(-2, 0)), base, season=24, align=0)
    units, index, steps = window_units(base, "growth"), np.arange(len(base)), np.full(len(base), 7)
    names = inputs.names[inputs.shared :]
    column = dict(zip(names, step_features(inputs, base, units, index=index, steps=steps).T, strict=True))
    past = base.batch().target.astype(np.float64)
    size = np.abs(past).mean(axis=1)
    value = {n: sum(w * past[:, 24 + 6 + n - p] for p, w in zip(places, shares, strict=True)) for n in (-2, 0)}
    for offset in (-2, 0):
        np.testing.assert_allclose(column[f"around{offset:+d}"], value[offset] / size, rtol=1e-6)
    np.testing.assert_allclose(column["season1"], value[0] / size, rtol=1e-6)
    np.testing.assert_allclose(column["season2"], past[:, 6] / size, rtol=1e-6)  # two seasons before is as it was
    start, _ = label_units(inputs, base, units, index=index, steps=steps)
    np.testing.assert_allclose(start, value[0])


def test_a_season_that_has_not_moved_or_that_nothing_is_known_of_is_read_as_without_the_column():
    base = replace(windows(), horizon=30)
    plain = plan_inputs(LightGBM(around=(-20, 0, 5)), base, season=24)
    index, steps = np.repeat(np.arange(len(base)), 30), np.tile(np.arange(1, 31), len(base))
    seen = []
    for value, inputs in ((0.0, plain), (0.0, replace(plain, align=0)), (np.nan, replace(plain, align=0))):
        known = base.known.copy()
        known[:, 0] = value
        given = replace(base, known=known)
        found = step_features(inputs, given, window_units(given), index=index, steps=steps)
        names = inputs.names[inputs.shared :]
        seen.append(found[:, [not name.startswith("known0") for name in names]])
    np.testing.assert_array_equal(seen[1], seen[0])
    np.testing.assert_array_equal(seen[2], seen[0])


def test_of_two_rows_that_share_a_season_the_observed_one_stands_for_both():
    base = replace(windows().subset(np.array([0])), horizon=30)
    y = np.arange(len(base.y), dtype=np.float64)
    known = np.full_like(base.known, 0.25)
    inputs = plan_inputs(LightGBM(), base, season=24, align=0)
    index, steps = np.arange(len(base)), np.full(len(base), 3)
    place = base.rows - 24 + 3
    holes = y.copy()
    holes[place] = np.nan
    found = season_values(inputs, replace(base, y=holes, known=known), index=index, steps=steps)[:, 0]
    np.testing.assert_array_equal(found, (place - 1).astype(np.float32))
    holes[place - 1] = np.nan
    assert np.isnan(season_values(inputs, replace(base, y=holes, known=known), index=index, steps=steps)[:, 0]).all()


def test_where_the_column_stands_is_kept_and_an_array_that_does_not_fit_is_refused():
    split, view = split_holdout(panel(), TASK), View(48)
    given = {"panel": panel(), "split": split, "task": TASK, "view": view}
    model = fit_trees(LightGBM(rounds=5, min_leaf=5, align="price"), **given, threads=1)
    records = {"spec": model.spec, "task": TASK, "view": model.view}
    assert trees_from_tensors(model.tensors(), **records).inputs == model.inputs
    for wrong in (np.array([7]), np.array([0, 1])):
        with pytest.raises(BundleError, match="array 'align' is missing, or does not fit their spec"):
            trees_from_tensors({**model.tensors(), "align": wrong}, **records)
    with pytest.raises(BundleError, match="array 'align'"):
        trees_from_tensors(model.tensors(), **{**records, "spec": replace(model.spec, align="")})
    with pytest.raises(ConfigError, match="align moves the season before, which a lookback of 12 does not hold"):
        fit_trees(LightGBM(align="price"), **{**given, "view": View(12)}, threads=1)


def test_a_ratio_is_missing_where_nothing_was_before():
    batch = windows().batch(np.arange(3))
    target = np.full_like(batch.target, 5.0)
    target[0, :24], target[1, :24] = np.nan, 0.0
    inputs = replace(plan_inputs(LightGBM(), windows(), season=24), ratios=(3,))
    found = window_features(inputs, to_windows(replace(batch, target=target), horizon=4), (np.zeros(3), np.ones(3)))
    assert np.isnan(found[:2, inputs.names.index("ratio3")]).all()
    assert found[2, inputs.names.index("ratio3")] == 1.0


def test_steps_beyond_one_season_take_the_newest_value_of_their_season():
    base = windows()
    inputs = replace(plan_inputs(LightGBM(), base, season=6), cycles=(1,))
    places = inputs.season_places(np.array([1, 6, 7, 13]))
    assert places.ravel().tolist() == [
        inputs.lookback - 6,
        inputs.lookback - 1,
        inputs.lookback - 6,
        inputs.lookback - 6,
    ]


def test_a_constant_window_is_answered_in_units_of_one():
    batch = windows().batch(np.arange(2))
    flat = to_windows(replace(batch, target=np.full_like(batch.target, 3.7)), horizon=4)
    mean, scale = window_units(flat)
    assert mean.tolist() == [float(np.float32(3.7))] * 2
    assert scale.tolist() == [1.0, 1.0]
    assert np.isfinite(fitted().predict(flat)).all()


def test_a_window_without_any_value_gets_no_answer():
    batch = windows().batch(np.arange(2))
    empty = to_windows(replace(batch, target=np.full_like(batch.target, np.nan)), horizon=4)
    assert np.isnan(fitted().predict(empty)).all()


def test_windows_of_another_view_or_panel_are_refused():
    with pytest.raises(DataError, match="trained on windows of"):
        fitted().predict(replace(windows(), lookback=7))
    with pytest.raises(DataError, match="trained on windows of"):
        fitted().predict(replace(windows(), known=windows().known[:, 1:]))


@pytest.mark.parametrize(
    "given", [{"lags": (0,)}, {"lags": (1, 1)}, {"lags": (49,)}, {"rolling": (1,)}, {"rolling": (99,)}]
)
def test_lags_beyond_the_lookback_are_refused(given):
    with pytest.raises(ConfigError, match=r"different whole number from \d to the lookback 48"):
        plan_inputs(LightGBM(**given), windows(), season=24)


def test_a_short_lookback_without_a_season_still_has_features():
    base = replace(windows(), lookback=1)
    inputs = plan_inputs(LightGBM(), base, season=1)
    assert (inputs.lags, inputs.rolling, inputs.cycles) == ((1,), (), ())
    assert window_features(inputs, base, window_units(base)).shape[1] == 1 + 1 + inputs.past + inputs.static


def test_predicting_needs_no_lightgbm():
    code = (
        "import sys; sys.modules['lightgbm'] = None; import numpy as np\n"
        "from tidewright.models.forest import Forest; import tidewright.models.trees\n"
        "i = lambda *v: np.array(v, dtype=np.int32)\n"
        "forest = Forest(i(0, -1, -1), np.zeros(3, np.float32), i(1, 0, 0), i(2, 0, 0), np.zeros(3, bool), "
        "np.array([0.0, 1.0, 2.0]), i(0), i(0))\n"
        "got = forest.predict(np.array([[-1.0], [1.0], [np.nan]], dtype=np.float32), width=1).ravel().tolist()\n"
        "assert got == [1.0, 2.0, 2.0], got"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_large_panels_are_answered_in_parts_that_equal_the_whole(monkeypatch):
    whole = fitted().predict(windows())
    monkeypatch.setattr("tidewright.models.trees.CELLS", 12)
    assert fitted().predict(windows()).tobytes() == whole.tobytes()


def test_the_view_that_was_trained_on_is_kept():
    assert isinstance(fitted().view, View)
    assert fitted().spec.lags == fitted().inputs.lags
