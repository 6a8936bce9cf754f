"""Forests, support vectors and the elastic net as forecasting models: what they learn, and that it can be repeated."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import fields, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.linear_model import ElasticNet as Net
from sklearn.svm import SVR as Machine

from tests.training.test_fit_trees import TASK, learn, noise, same, split, view
from tests.training.test_fit_trees import panel as make_panel
from tidewright import optional
from tidewright.data.splits import split_holdout
from tidewright.errors import BundleError, ConfigError, MissingExtraError
from tidewright.features.view import View
from tidewright.features.windows import cut_windows
from tidewright.models.build import build_spec
from tidewright.models.line import line_from_tensors
from tidewright.models.specs.forests import ExtraTrees, RandomForest
from tidewright.models.specs.regression import SVR, ElasticNet
from tidewright.models.specs.tabular import Tabular
from tidewright.training.cells import Cells, Goal, Learning
from tidewright.training.learn_elastic_net import learn_elastic_net
from tidewright.training.learn_forest import EVERY, fill_leaves, learn_forest
from tidewright.training.learn_svr import learn_svr, measure_columns
from tidewright.training.spec import TrainSpec

SMALL: dict[str, Any] = {
    "random_forest": RandomForest(trees=6, min_leaf=10, most_rows=2_000),
    "extra_trees": ExtraTrees(trees=6, min_leaf=10, most_rows=2_000),
    "svr": SVR(most_rows=400),
    "elastic_net": ElasticNet(penalties=(0.01, 0.1)),
}
GOALS = (Goal("quantile", 0.1), Goal("quantile", 0.5), Goal("quantile", 0.9))
every_model = pytest.mark.parametrize("name", SMALL)


def cells(rows: int = 400, *, seed: int = 0, weights: bool = False, gaps: bool = False) -> Cells:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, 6)).astype(np.float32)
    labels = (features[:, 0] + 0.5 * features[:, 1] * (features[:, 2] > 0) + 0.3 * rng.normal(size=rows)).astype(
        np.float32
    )
    if gaps:
        features[rng.random(features.shape) < 0.1] = np.nan
    drawn = rng.uniform(0.1, 2.0, rows).astype(np.float32) if weights else None
    return Cells(features, labels, drawn, np.tile([1, 2], rows // 2), {})


def learning(*, threads: int = 1, deadline: float | None = None, seed: int = 0) -> Learning:
    return Learning(
        seed, threads, 0.0, deadline, lambda *told: dict(zip(("round", "train", "validation"), told, strict=True))
    )


@every_model
def test_the_same_seed_gives_the_same_bytes_whatever_the_threads(name: str) -> None:
    assert same(learn(SMALL[name]), learn(SMALL[name], threads=2))


@pytest.mark.parametrize("name", ["random_forest", "extra_trees", "svr"])
def test_another_seed_learns_something_else(name: str) -> None:
    assert not same(learn(SMALL[name]), learn(SMALL[name], train=TrainSpec(seed=1)))


@every_model
def test_nothing_after_the_validation_part_is_seen(name: str) -> None:
    import polars as pl

    last = int(split().validation.positions[-1]) + TASK.horizon
    late = pl.Series(make_panel().positions > last)
    columns = [pl.when(late).then(pl.lit(1e6)).otherwise(pl.col(c)).alias(c) for c in ("sold", "visits", "price")]
    changed = replace(make_panel(), table=make_panel().table.with_columns(columns))
    assert same(learn(SMALL[name], panel=changed), learn(SMALL[name]))


@every_model
def test_a_season_is_found_and_the_quantiles_cover_what_they_say(name: str) -> None:
    assert split().test is not None
    model = learn(replace(SMALL[name], **({"trees": 40} if "trees" in CHANGES[name] else {})))
    windows = cut_windows(make_panel(), view(), horizon=4, cutoffs=split().test)
    answer, labels = model.predict(windows), windows.labels()
    error = np.nanmean(np.abs(answer[:, :, 1] - labels))
    assert error < 0.6 * np.nanmean(np.abs(windows.history()[:, -1:] - labels))
    seen = ~np.isnan(labels)
    covered = ((labels >= answer[:, :, 0]) & (labels <= answer[:, :, 2]))[seen].mean()
    assert 0.6 < covered < 0.97
    assert (np.diff(answer, axis=2) >= 0).all()


@every_model
def test_a_covariate_that_drives_the_target_is_found(name: str) -> None:
    world = noise(rows=800, driver=True)
    parts = split_holdout(world, TASK)
    spec = replace(SMALL[name], **({"trees": 30, "feature_share": 1.0} if "trees" in CHANGES[name] else {}))
    model = learn(spec, panel=world, split=parts, view=View(20), season=1)
    assert parts.test is not None
    windows = cut_windows(world, View(20), horizon=4, cutoffs=parts.test)
    sign = np.sign(model.predict(windows)[:, :, 1] - world.target[: parts.train.last].mean())
    assert (sign == np.sign(windows.labels())).mean() > 0.9


SHARED = {
    "lags": (1, 2),
    "rolling": (3,),
    "most_rows": 100,
    "statistics": ("mean", "max"),
    "unit": "level",
    "weigh": "target",
    "weight": "price",
}
GROWN = {"trees": 4, "min_leaf": 60, "feature_share": 0.9, "loss": "median"}
CHANGES: dict[str, dict[str, Any]] = {
    "random_forest": {**SHARED, **GROWN, "row_share": 0.5},
    "extra_trees": {**SHARED, **GROWN},
    "svr": {**SHARED, "cost": 0.1, "tube": 0.5, "width": 2.0},
    "elastic_net": {**SHARED, "penalties": (0.5,), "l1_share": 0.0},
}


@every_model
def test_every_option_of_its_own_is_changed_by_a_test(name: str) -> None:
    own = {field.name for field in fields(SMALL[name])} - {field.name for field in fields(Tabular)}
    assert own <= set(CHANGES[name])  # those that all models of cells share are tested with LightGBM too


@cache
def learned(name: str) -> Any:
    return learn(SMALL[name])


@pytest.mark.parametrize(
    ("name", "option"), [(name, option) for name, options in CHANGES.items() for option in options]
)
def test_every_option_changes_what_is_learned(name: str, option: str) -> None:
    assert not same(learn(replace(SMALL[name], **{option: CHANGES[name][option]})), learned(name))


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("random_forest", {"trees": 0}, "random_forest: trees is a whole number, 1 or more; got 0"),
        ("random_forest", {"row_share": 0.0}, "row_share lies above 0 and is at most 1"),
        ("extra_trees", {"feature_share": 2.0}, "feature_share lies above 0 and is at most 1"),
        ("random_forest", {"categories": "native"}, "random_forest has no way of its own with categories"),
        ("elastic_net", {"categories": "native"}, "elastic_net has no way of its own with categories"),
        ("svr", {"cost": 0.0}, "svr: cost is a number above 0; got 0.0"),
        ("svr", {"loss": "quantile"}, "no svr.loss is called 'quantile'"),
        ("elastic_net", {"l1_share": 1.5}, "l1_share lies between 0 .ridge. and 1 .lasso.; got 1.5"),
        ("elastic_net", {"penalties": ()}, "penalties are different numbers above 0"),
        ("elastic_net", {"penalties": (0.1, 0.1)}, "penalties are different numbers above 0"),
        ("elastic_net", {"loss": "median"}, "no elastic_net.loss is called 'median'"),
    ],
)
def test_options_without_a_meaning_are_refused(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_spec(name, given)


@every_model
def test_without_scikit_learn_it_is_an_error_that_says_how_to_install_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optional, "has", lambda module: module != "sklearn")
    with pytest.raises(MissingExtraError, match=rf"the model {name} needs .*\n?.*tidewright\[forests\]"):
        learn(SMALL[name])


def test_a_leaf_holds_the_quantiles_of_the_cells_that_reach_it() -> None:
    given = cells(gaps=True)
    tree = RandomForestRegressor(n_estimators=1, min_samples_leaf=9, random_state=0).fit(given.features, given.labels)
    only, goals = tree.estimators_[0], (*GOALS, Goal("mean"))
    made, leaf = fill_leaves(only, given, goals), only.apply(given.features)
    for node in np.unique(leaf):
        own = given.labels[leaf == node].astype(np.float64)
        np.testing.assert_allclose(made[node, :3], np.quantile(own, [0.1, 0.5, 0.9], method="hazen"), rtol=1e-12)
        assert made[node, 3] == pytest.approx(own.mean(), rel=1e-12)


def test_a_cell_of_twice_the_weight_counts_as_two_in_a_leafs_mean_and_moves_its_quantiles() -> None:
    given = cells(weights=True)
    tree = ExtraTreesRegressor(n_estimators=1, min_samples_leaf=9, random_state=0).fit(given.features, given.labels)
    only, leaf = tree.estimators_[0], tree.estimators_[0].apply(given.features)
    made = fill_leaves(only, given, (Goal("mean"), Goal("quantile", 0.5)))
    doubled = fill_leaves(only, replace(given, weights=2.0 * given.weights), (Goal("mean"), Goal("quantile", 0.5)))
    np.testing.assert_allclose(doubled, made, rtol=1e-9)
    for node in np.unique(leaf):
        own = leaf == node
        assert made[node, 0] == pytest.approx(np.average(given.labels[own], weights=given.weights[own]), rel=1e-5)
        below, above = given.labels[own] < made[node, 1], given.labels[own] > made[node, 1]
        half = 0.5 * given.weights[own].sum()
        assert given.weights[own][below].sum() <= half + given.weights[own].max()
        assert given.weights[own][above].sum() <= half + given.weights[own].max()


@pytest.mark.parametrize("weights", [False, True])
def test_the_mean_of_extra_trees_is_that_of_scikit_learn(weights: bool) -> None:
    given, spec = cells(weights=weights), ExtraTrees(trees=12, min_leaf=4, feature_share=0.5)
    made = learn_forest(spec, learn=given, judge=cells(seed=1), goals=(Goal("mean"),), learning=learning())
    model = ExtraTreesRegressor(n_estimators=12, min_samples_leaf=4, max_features=0.5, random_state=0)
    model.fit(given.features, given.labels, sample_weight=given.weights)
    other = cells(seed=2, gaps=True).features
    np.testing.assert_allclose(made.formula.predict(other, width=1)[:, 0], model.predict(other), rtol=1e-5, atol=1e-6)


def test_cells_that_weigh_nothing_are_as_if_they_were_not_there() -> None:
    given, spec = cells(), RandomForest(trees=5, min_leaf=4)
    weights = (np.arange(400) % 4 > 0).astype(np.float32)
    kept = Cells(*(part[weights > 0] for part in (given.features, given.labels, weights, given.steps)), {})
    options: dict[str, Any] = {"judge": cells(seed=1), "goals": GOALS, "learning": learning()}
    with_them = learn_forest(spec, learn=replace(given, weights=weights), **options).formula.tensors()
    without = learn_forest(spec, learn=kept, **options).formula.tensors()
    assert all(array.tobytes() == without[name].tobytes() for name, array in with_them.items())


def test_a_smaller_forest_is_the_beginning_of_a_larger_one_and_a_deadline_ends_it_there() -> None:
    spec = RandomForest(trees=3 * EVERY, min_leaf=20)
    options: dict[str, Any] = {"learn": cells(), "judge": cells(seed=1), "goals": GOALS}
    late = learn_forest(spec, **options, learning=learning(deadline=time.monotonic() - 1.0))
    assert [record["stopped"] for record in late.history[-3:]] == ["deadline"] * 3
    assert late.history[-1]["trees"] == EVERY
    whole = learn_forest(spec, **options, learning=learning())
    assert [record["stopped"] for record in whole.history[-3:]] == ["all trees"] * 3
    assert [record["round"] for record in whole.history[:3]] == [EVERY, 2 * EVERY, 3 * EVERY]
    small = learn_forest(replace(spec, trees=EVERY), **options, learning=learning())
    early = small.formula.tensors()
    assert all(array.tobytes() == early[name].tobytes() for name, array in late.formula.tensors().items())
    size = len(early["feature"])
    assert whole.formula.tensors()["feature"][:size].tobytes() == early["feature"].tobytes()


def test_the_losses_that_are_told_are_those_of_the_forest() -> None:
    judge = cells(seed=1, weights=True)
    made = learn_forest(RandomForest(trees=5, min_leaf=4), learn=cells(), judge=judge, goals=GOALS, learning=learning())
    errors = judge.labels[:, None] - made.formula.predict(judge.features, width=3)
    for place, (goal, record) in enumerate(zip(GOALS, made.history[-3:], strict=True)):
        loss = np.maximum(goal.level * errors[:, place], (goal.level - 1) * errors[:, place])
        assert record["validation_loss"] == pytest.approx(np.average(loss, weights=judge.weights), rel=1e-9)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("weights", [False, True])
def test_the_elastic_net_is_that_of_scikit_learn(share: float, weights: bool) -> None:
    given = cells(weights=weights)
    spec = ElasticNet(l1_share=share, penalties=(0.05,))
    made = learn_elastic_net(spec, learn=given, judge=cells(seed=1), goals=(Goal("mean"),), learning=learning())
    rows = (given.features - given.features.mean(axis=0)) / given.features.std(axis=0)
    level = np.average(given.labels, weights=given.weights)
    labels = (given.labels - level) / given.labels.std()
    if share == 0.0:  # the normal equations
        own = np.ones(len(labels)) if given.weights is None else given.weights.astype(np.float64)
        centred = rows - np.average(rows, axis=0, weights=own)
        gram = (centred * own[:, None]).T @ centred + 0.05 * len(labels) * np.eye(6)
        wanted = np.linalg.solve(gram, (centred * own[:, None]).T @ labels)
    else:
        net = Net(alpha=0.05, l1_ratio=share, tol=1e-9, max_iter=100_000)
        wanted = net.fit(rows.astype(np.float64), labels.astype(np.float64), sample_weight=given.weights).coef_
    weights_made = made.formula.tensors()["weights"][:, 0] / given.labels.std()
    np.testing.assert_allclose(weights_made, wanted, atol=2e-4)
    assert (share == 0.0) == (weights_made != 0.0).all()


def test_the_penalty_with_the_least_loss_on_validation_is_taken() -> None:
    spec = ElasticNet(penalties=(1e-4, 1e-2, 3.0))
    made = learn_elastic_net(spec, learn=cells(30), judge=cells(seed=1), goals=(Goal("mean"),), learning=learning())
    losses = {record["penalty"]: record["validation"] for record in made.history[:-1]}
    assert set(losses) == set(spec.penalties)
    assert made.history[-1]["penalty"] == min(losses, key=losses.__getitem__)
    late = learn_elastic_net(
        spec,
        learn=cells(30),
        judge=cells(seed=1),
        goals=(Goal("mean"),),
        learning=learning(deadline=time.monotonic() - 1.0),
    )
    assert (late.history[-1]["stopped"], late.history[-1]["penalty"]) == ("deadline", 3.0)


def test_a_line_knows_no_feature_beyond_ten_deviations_and_takes_missing_ones_for_the_mean() -> None:
    given = cells()
    made = learn_elastic_net(
        ElasticNet(penalties=(0.01,)), learn=given, judge=given, goals=(Goal("mean"),), learning=learning()
    ).formula
    centre, scale = measure_columns(given.features)
    far, farther, absent, mean = (np.zeros((1, 6), np.float32) for _ in range(4))
    far[0, 0], farther[0, 0] = centre[0] + 11 * scale[0], 1e6
    absent[0, 0], mean[0, 0] = np.nan, centre[0]
    assert made.predict(far, width=1) == made.predict(farther, width=1)
    assert made.predict(absent, width=1) == pytest.approx(made.predict(mean, width=1), rel=1e-6)
    with pytest.raises(ConfigError, match="a line reads float32 values; got float64"):
        made.predict(far.astype(np.float64), width=1)
    for name, wrong in (("weights", np.zeros((5, 1))), ("scale", np.zeros(6)), ("bias", np.array([np.nan]))):
        with pytest.raises(BundleError, match="the line's"):
            line_from_tensors({**made.tensors(), name: wrong}, n_features=6, width=1)


def test_support_vectors_are_those_of_scikit_learn() -> None:
    given, spec = cells(weights=True), SVR(cost=2.0, tube=0.2, width=1.2)
    made = learn_svr(spec, learn=given, judge=cells(seed=1), goals=(GOALS[1],), learning=learning())
    centre, scale = measure_columns(given.features)
    spread, level = given.labels.std(dtype=np.float64), given.labels.mean(dtype=np.float64)
    model = Machine(C=2.0, epsilon=0.2, gamma=0.2)
    model.fit((given.features - centre) / scale, (given.labels - level) / spread, sample_weight=given.weights)
    other = cells(seed=2).features
    wanted = level + spread * model.predict((other - centre) / scale)
    np.testing.assert_allclose(made.formula.predict(other, width=1)[:, 0], wanted, rtol=1e-6, atol=1e-6)
    assert made.history[-1]["cells"] == 400
    assert made.history[-1]["vectors"] == len(model.support_)


def test_the_history_says_how_many_cells_support_vectors_were_learned_from() -> None:
    assert learned("svr").history[-1]["cells"] <= 400


def test_predicting_needs_no_scikit_learn() -> None:
    code = (
        "import sys; sys.modules['sklearn'] = None; import numpy as np\n"
        "from tidewright.models.line import Line\n"
        "from tidewright.models.machine import Machine\n"
        "one = np.ones((1, 1))\n"
        "row = one.astype(np.float32)\n"
        "print(*Line(one, one[0], one[0], one[0]).predict(row, width=1)[0])\n"
        "print(*Machine(one, one, one[0], one[0], one[0], one[0]).predict(row, width=1)[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    answers = [float(line) for line in done.stdout.splitlines()]
    assert len(answers) == 2
    assert np.isfinite(answers).all()
