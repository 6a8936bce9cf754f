"""LightGBM learned: what it finds, when it stops, and that it can be repeated."""

import time
from dataclasses import fields, replace
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.worlds import small_panel
from tidewright.data.panel import Panel
from tidewright.data.splits import Split, split_holdout
from tidewright.data.task import Task
from tidewright.errors import ColumnError, ConfigError, RepairWarning
from tidewright.features.view import View
from tidewright.features.windows import cut_windows
from tidewright.models.spec import LightGBM, spec_key
from tidewright.models.tree_inputs import window_units
from tidewright.models.trees import TreesFitted
from tidewright.training.boosting import EVERY, PATIENCE
from tidewright.training.direction import fit_direction, see_direction
from tidewright.training.events import EpochEnded
from tidewright.training.fit import fit, usual_view
from tidewright.training.fit_trees import fit_trees
from tidewright.training.spec import TrainSpec

TASK = Task(horizon=4)
SMALL = LightGBM(rounds=12, min_leaf=5)


@cache
def panel() -> Panel:
    return small_panel(rows=360)


@cache
def split() -> Split:
    return split_holdout(panel(), TASK)


@cache
def view() -> View:
    return usual_view(panel(), split=split(), task=TASK)


def learn(spec: LightGBM = SMALL, **options: Any) -> TreesFitted:
    given = {"panel": panel(), "split": split(), "task": TASK, "view": view(), "threads": 1, **options}
    return fit_trees(spec, **given)


def same(one: TreesFitted, other: TreesFitted) -> bool:
    theirs = other.tensors()
    if set(theirs) != set(one.tensors()):
        return False
    return all(array.tobytes() == theirs[name].tobytes() for name, array in one.tensors().items())


def noise(*, rows: int = 400, driver: bool = False) -> Panel:
    """Independent noise; with a driver, its sign is that of a column known in advance."""
    draw = np.random.default_rng(3)
    sign = draw.choice([-1.0, 1.0], rows)
    values = np.abs(draw.normal(size=rows)) * sign if driver else draw.normal(size=rows)
    table = pl.DataFrame({"t": np.arange(rows), "y": values, "sign": sign})
    return Panel.from_table(table, time="t", target="y", known=["sign"])


def test_the_same_seed_gives_the_same_bytes_whatever_the_threads():
    assert same(learn(), learn())
    assert same(learn(), learn(threads=2))
    assert same(learn(threads=2), learn(threads=6))


def test_another_seed_gives_other_trees():
    assert not same(learn(), learn(train=TrainSpec(seed=1)))


def test_the_order_of_the_rows_in_the_table_changes_nothing():
    roles = {"past": ["visits"], "known": ["price"], "static": ["area", "kind"]}
    table = panel().table.select(panel().roles.columns).sample(fraction=1.0, shuffle=True, seed=1)
    with pytest.warns(RepairWarning, match="sorted"):
        shuffled = Panel.from_table(table, series="shop", time="hour", target="sold", **roles)
    assert same(learn(panel=shuffled), learn())


def test_nothing_after_the_validation_part_is_seen():
    last = int(split().validation.positions[-1]) + TASK.horizon
    late = pl.Series(panel().positions > last)
    changed = panel().table.with_columns(
        [pl.when(late).then(pl.lit(1e6)).otherwise(pl.col(name)).alias(name) for name in ("sold", "visits", "price")]
    )
    assert same(learn(panel=replace(panel(), table=changed)), learn())


def test_a_covariate_that_drives_the_target_is_found():
    world = noise(rows=800, driver=True)
    parts = split_holdout(world, TASK)
    model = learn(LightGBM(rounds=80, min_leaf=20), panel=world, split=parts, view=View(40), season=1)
    assert parts.test is not None
    windows = cut_windows(world, View(40), horizon=4, cutoffs=parts.test)
    sign = np.sign(model.predict(windows)[:, :, 1])
    assert (sign == np.sign(windows.labels())).mean() > 0.95
    used = model.formula.feature[model.formula.roots]
    assert (used == model.inputs.names.index("known0")).mean() > 0.5


def test_a_season_is_found_and_the_quantiles_cover_what_they_say():
    assert split().test is not None
    model = learn(LightGBM(rounds=120, min_leaf=5))
    windows = cut_windows(panel(), view(), horizon=4, cutoffs=split().test)
    answer, labels = model.predict(windows), windows.labels()
    error = np.nanmean(np.abs(answer[:, :, 1] - labels))
    assert error < 0.5 * np.nanmean(np.abs(windows.history()[:, -1:] - labels))
    seen = ~np.isnan(labels)
    covered = ((labels >= answer[:, :, 0]) & (labels <= answer[:, :, 2]))[seen].mean()
    assert 0.6 < covered < 0.95


def test_a_direction_is_asked_of_trees_as_of_networks():
    world = noise(rows=800, driver=True)
    parts = split_holdout(world, TASK)
    model = learn(LightGBM(rounds=80, min_leaf=20), panel=world, split=parts, view=View(40), season=1)
    rises = fit_direction(model, panel=world, cutoffs=parts.validation)
    assert parts.test is not None
    windows = cut_windows(world, View(40), horizon=4, cutoffs=parts.test)
    said, came = rises.predict(windows), see_direction(windows, question="rise")
    seen = ~np.isnan(came)
    assert np.mean((said[seen] - came[seen]) ** 2) < 0.6 * np.mean((came[seen].mean() - came[seen]) ** 2)


def test_noise_stops_early_with_the_best_round_kept():
    world = noise()
    model = learn(LightGBM(rounds=300), panel=world, split=split_holdout(world, TASK), view=View(8), season=1)
    for record in model.history[-3:]:
        assert record["stopped"] == "no better on validation"
        assert 1 <= record["rounds"] < 300 - PATIENCE
    counts = np.bincount(model.formula.outputs, minlength=3)
    assert counts.tolist() == [record["rounds"] for record in model.history[-3:]]


def test_a_passed_deadline_leaves_one_round_of_each_quantile_and_says_so():
    model = learn(deadline=time.monotonic() - 1.0)
    assert [record["stopped"] for record in model.history[-3:]] == ["deadline"] * 3
    assert np.bincount(model.formula.outputs).tolist() == [1, 1, 1]


def test_callbacks_hear_every_tenth_round_and_the_last_under_the_key_of_the_run():
    heard: list[EpochEnded] = []
    model = fit(
        SMALL,
        panel=panel(),
        split=split(),
        task=TASK,
        view=view(),
        callbacks=[lambda e: heard.append(e) if isinstance(e, EpochEnded) else None],
    )
    assert [event.epoch for event in heard] == [EVERY, SMALL.rounds]
    assert {event.key for event in heard} == {spec_key(SMALL, TrainSpec(), view())}
    assert heard[1].train_loss < heard[0].train_loss
    assert [record["round"] for record in model.history[:2]] == [EVERY, SMALL.rounds]
    assert model.history[1]["validation_loss"] == heard[1].validation_loss


CHANGES = {
    "rounds": 5,
    "leaves": 4,
    "learning_rate": 0.3,
    "min_leaf": 60,
    "feature_share": 0.3,
    "row_share": 0.5,
    "lags": (1, 2),
    "rolling": (3,),
    "most_rows": 500,
    "statistics": ("mean", "max"),
    "ratios": (3,),
    "around": (0, 1),
    "align": "price",
    "unit": "level",
    "loss": "median",
    "weigh": "target",
    "weight": "price",
    "categories": "native",
    "monotone": {"price": 1},
    "strategy": "direct",
}
BESIDE = {"monotone": {"loss": "mean"}}  # what an option asks for


def test_every_option_is_changed_by_a_test():
    assert {field.name for field in fields(LightGBM)} == {*CHANGES, "name"}


@pytest.mark.parametrize("option", CHANGES)
def test_every_option_of_the_spec_changes_the_trees(option):
    base = replace(SMALL, **BESIDE.get(option, {}))
    assert not same(learn(replace(base, **{option: CHANGES[option]})), learn(base))


def test_the_gain_that_is_asked_for_ends_the_boosting():
    greedy = learn(LightGBM(rounds=60, min_leaf=5), train=TrainSpec(least_gain=0.5))
    assert max(record["rounds"] for record in greedy.history[-3:]) < 20


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rounds": 0}, "rounds is a whole number, 1 or more; got 0"),
        ({"leaves": 1}, "leaves is a whole number, 2 or more; got 1"),
        ({"min_leaf": 1.5}, "min_leaf is a whole number"),
        ({"most_rows": True}, "most_rows is a whole number"),
        ({"learning_rate": 0.0}, "learning_rate lies above 0 and is at most 1; got 0.0"),
        ({"feature_share": 1.5}, "feature_share lies above 0"),
        ({"row_share": float("nan")}, "row_share lies above 0"),
        ({"unit": "windw"}, "no lightgbm.unit is called 'windw'. Did you mean 'window'"),
        ({"strategy": "recursiv"}, "Did you mean 'recursive'"),
        ({"strategy": "multi"}, "no leaves that hold a whole horizon. Take random_forest, extra_trees, catboost, or"),
        ({"strategy": "recursive"}, "a recursive model takes no past covariates.*got visits"),
        ({"categories": "nativ"}, "Did you mean 'native'"),
        ({"loss": "mse"}, "no lightgbm.loss is called 'mse'"),
        ({"statistics": ("mean", "med")}, "no rolling statistic of lightgbm is called 'med'"),
        ({"statistics": ("mean", "mean")}, "each rolling statistic is asked for once"),
        ({"lags": (500,)}, "each lag is a different whole number"),
        ({"ratios": (0,)}, r"ratios are different whole numbers from 1, .* got \(0,\) and \(\)"),
        ({"around": (1, 1)}, "around different whole numbers below a season"),
        ({"around": (24,)}, r"below a season \(24 rows\)"),
        ({"align": "pric"}, "no known column for lightgbm.align is called 'pric'. Did you mean 'price'"),
        ({"ratios": (25,)}, "look 49 rows back, and the lookback is 48. Ask for a longer lookback or for less"),
    ],
)
def test_options_without_a_meaning_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        learn(replace(SMALL, **given))


def test_threads_are_counted_from_one():
    with pytest.raises(ConfigError, match="threads is a whole number, 1 or more; got 0"):
        learn(threads=0)


def test_a_label_far_beyond_its_window_does_not_stop_the_training():
    values = np.concatenate([np.zeros(100), np.full(100, 1e25), np.random.default_rng(0).normal(size=200)])
    world = Panel.from_table(pl.DataFrame({"t": np.arange(400), "y": values}), time="t", target="y")
    parts = split_holdout(world, TASK)
    model = learn(panel=world, split=parts, view=View(8), season=1)
    windows = cut_windows(world, View(8), horizon=4, cutoffs=parts.train)
    assert np.isfinite(model.predict(windows)).all()


def test_lightgbm_prints_nothing(capfd):
    learn(threads=2)
    assert capfd.readouterr() == ("", "")


def skewed(*, sizes: tuple[float, ...] = (1.0, 1.0), rows: int = 300) -> Panel:
    """Independent log-normal draws of shops of some sizes: the median is the size, the mean 1.65 of it."""
    draw = np.random.default_rng(5)
    parts = [
        pl.DataFrame({"shop": f"s{i}", "t": np.arange(rows), "y": size * np.exp(draw.normal(size=rows))})
        for i, size in enumerate(sizes)
    ]
    return Panel.from_table(pl.concat(parts), series="shop", time="t", target="y")


@pytest.mark.parametrize(("loss", "level"), [("mean", 1.65), ("median", 1.0), ("quantile", 1.0)])
@pytest.mark.parametrize("unit", ["window", "level"])
def test_each_loss_finds_its_own_point_and_residuals_make_the_quantiles(loss, level, unit):
    world = skewed()
    parts = split_holdout(world, TASK, validation=80)
    spec = LightGBM(rounds=60, learning_rate=0.2, loss=loss, unit=unit)
    model = learn(spec, panel=world, split=parts, view=View(60), season=1)
    assert parts.test is not None
    windows = cut_windows(world, View(60), horizon=4, cutoffs=parts.test)
    answer, labels = model.predict(windows), windows.labels()
    assert answer[:, :, 1].mean() == pytest.approx(level, rel=0.25)
    assert (np.diff(answer, axis=2) >= 0).all()
    assert ((labels >= answer[:, :, 0]) & (labels <= answer[:, :, 2])).mean() == pytest.approx(0.8, abs=0.12)
    assert (model.offsets is None) == (loss == "quantile")


def test_weighing_by_the_target_favours_what_is_large():
    """Two kinds of shops that can't be told apart: large ones rise by half, small ones fall by half."""
    rows, draw = 400, np.random.default_rng(1)
    names = [f"s{i}" for i in range(4)]
    step = np.where(np.arange(rows) % 20 == 19, 1.0, 0.0)
    effect = {name: (100.0, 1.0) if i % 2 else (1.0, -1.0) for i, name in enumerate(names)}
    parts = [
        pl.DataFrame(
            {"shop": name, "t": np.arange(rows), "y": size * (draw.normal(size=rows) * 0.1 + sign * step), "flag": step}
        )
        for name, (size, sign) in effect.items()
    ]
    world = Panel.from_table(pl.concat(parts), series="shop", time="t", target="y", known=["flag"])
    split = split_holdout(world, Task(1))
    at = {}
    for weigh in ("window", "target"):
        spec = LightGBM(rounds=60, learning_rate=0.3, min_leaf=5, lags=(1,), rolling=(2,), weigh=weigh, loss="mean")
        model = learn(spec, panel=world, split=split, task=Task(1), view=View(40), season=1)
        windows = cut_windows(world, View(40), horizon=1, cutoffs=split.validation)
        flagged = windows.known[windows.rows + 1, 0] == 1.0
        at[weigh] = (model.predict(windows)[:, 0, 1] / window_units(windows)[1])[flagged].mean()
    assert abs(at["window"]) < 2.0 < at["target"], at


def test_a_column_of_weights_says_which_rows_count():
    """Half of the days follow a rule and half its opposite; the days without weight teach nothing."""
    rows, draw = 800, np.random.default_rng(2)
    driver, counted = draw.choice([-1.0, 1.0], rows), draw.choice([0.0, 1.0], rows)
    y = driver * np.where(counted == 1.0, 1.0, -1.0) + 0.1 * draw.normal(size=rows)
    table = pl.DataFrame({"t": np.arange(rows), "y": y, "driver": driver, "w": counted})
    whole = Panel.from_table(table, time="t", target="y", known=["driver"], past=["w"])
    split = split_holdout(whole, TASK)
    spec = LightGBM(rounds=60, min_leaf=20, weight="w")
    model = learn(spec, panel=whole, split=split, view=View(16), season=1)
    windows = cut_windows(whole, View(16), horizon=4, cutoffs=split.validation)
    steps = windows.rows[:, None] + np.arange(1, 5)
    inside = steps < rows
    same_sign = np.sign(model.predict(windows)[:, :, 1])[inside] == driver[steps[inside]]
    assert same_sign.mean() > 0.95


def test_weights_that_are_missing_below_0_or_in_no_column_are_refused():
    with pytest.raises(ColumnError, match="pric"):
        learn(replace(SMALL, weight="pric"))
    for value in (-1.0, None, 0.0):
        table = panel().table.with_columns(pl.lit(value, dtype=pl.Float64).alias("price"))
        with pytest.raises(ConfigError, match="'price' are numbers of 0 or more in every row with a label"):
            learn(replace(SMALL, weight="price"), panel=replace(panel(), table=table))


@pytest.mark.parametrize("unit", ["season", "growth"])
def test_units_of_the_season_count_from_the_season_before_and_need_one(unit):
    model = learn(LightGBM(rounds=1, learning_rate=1e-9, unit=unit, loss="median"))
    windows = cut_windows(panel(), view(), horizon=4, cutoffs=split().validation, least=48)
    before = windows.history()[:, -24:-20]
    seen = ~np.isnan(before)
    spread = window_units(windows, unit)[1][:, None]
    apart = ((model.predict(windows)[:, :, 1] - before) / spread)[seen]
    assert apart.std() < 1e-6  # but for the median, which a booster starts from
    with pytest.raises(ConfigError, match="which a lookback of 8 does not hold"):
        learn(replace(SMALL, unit=unit), view=replace(view(), lookback=8))
