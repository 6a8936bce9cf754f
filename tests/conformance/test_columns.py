"""Columns by name, for every model of the catalog: another order changes no bit, anything else unlike training is told.

A new entry of the catalog is tested by being there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import tidewright as tw
from tests.conformance.networks import SMALL as NETWORKS
from tests.conformance.test_trees_models import SMALL as CELLS
from tests.worlds import answers_slowly, quick_options
from tidewright.data.splits import Split, thin
from tidewright.errors import ColumnError, DataError, FrequencyError
from tidewright.features.scaling import replace_target
from tidewright.features.view import View, fit_static
from tidewright.models.fitted import Fitted
from tidewright.models.spec import FLOORS, MODELS, spec_key
from tidewright.registry.draft import load_draft, save_draft
from tidewright.training.change import Vintage, explain_change
from tidewright.training.conformal import conformalise
from tidewright.training.direction import fit_direction
from tidewright.training.fit import keep_covariates
from tidewright.training.importance import permutation_importance
from tidewright.training.population import fit_population
from tidewright.training.positions import weigh_positions
from tidewright.training.seeds import fit_seeds
from tidewright.training.snapshots import fit_snapshots
from tidewright.training.update import update

TASK = tw.Task(horizon=2, quantiles=(0.1, 0.5, 0.9))
TRAIN = tw.TrainSpec(epochs=1, steps=2, batch_size=16)
KINDS: dict[str, tuple[str, ...]] = {"past": ("load", "visits"), "known": ("price", "wind"), "static": ("size", "kind")}


def make_table(*, step: str = "1d", rows: int = 90) -> pl.DataFrame:
    draw = np.random.default_rng(5)
    days = pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2026, 1, 1), step, eager=True)[:rows]
    parts = []
    for number in range(3):
        told = {name: draw.normal(size=rows) for name in ("load", "visits", "price", "wind")}
        sold = 20.0 + number + 3.0 * told["price"] + draw.normal(size=rows)
        sold = np.where(np.arange(rows) < rows - 2, sold, np.nan)  # the last two rows are the known future
        part = pl.DataFrame({"day": days, "sold": sold, **told})
        fixed = {"shop": f"s{number}", "size": float(number), "kind": "new" if number else "old"}
        parts.append(part.with_columns(**{name: pl.lit(value) for name, value in fixed.items()}))
    return pl.concat(parts).fill_nan(None)


def read(table: pl.DataFrame, *, target: str = "sold", **kinds: tuple[str, ...]) -> tw.Panel:
    return tw.Panel.from_table(table, series="shop", time="day", target=target, **{**KINDS, **kinds})


def in_another_order() -> tw.Panel:
    table = make_table()
    return read(table.select(reversed(table.columns)), **{kind: names[::-1] for kind, names in KINDS.items()})


def renamed(kind: str) -> tw.Panel:
    first, second = KINDS[kind]
    return read(make_table().rename({first: f"{first}s"}), **{kind: (f"{first}s", second)})


def with_another(kind: str) -> tw.Panel:
    return read(make_table().with_columns(other=pl.col("size")), **{kind: (*KINDS[kind], "other")})


def without_one(kind: str) -> tw.Panel:
    return read(make_table().drop(KINDS[kind][0]), **{kind: KINDS[kind][1:]})


def retyped() -> tw.Panel:
    return read(make_table().with_columns(pl.col("size").cast(pl.String)))


def in_another_role() -> tw.Panel:
    return read(make_table(), past=("load",), known=("price", "wind", "visits"))


def of_another_target() -> tw.Panel:
    return read(make_table().rename({"sold": "sales"}), target="sales")


def with_a_longer_history() -> tw.Panel:
    early = make_table(rows=5).with_columns(pl.col("day").dt.offset_by("-5d"), sold=pl.lit(7.0))
    return read(pl.concat([early, make_table()]).sort("shop", "day"))


PANEL = read(make_table())
SPLIT = tw.split_holdout(PANEL, TASK, validation=6, test=6)
# what is unlike training, the kind that a model has to look at to mind, and what it is told
UNLIKE: dict[str, tuple[tw.Panel, str, str]] = {
    "past renamed": (renamed("past"), "past", "the past column 'load' of training is not in this panel.*mean 'loads'"),
    "known renamed": (renamed("known"), "known", "known column 'price' of training is not in this.*mean 'prices'"),
    "static renamed": (renamed("static"), "static", "static column 'size' of training is not in this.*mean 'sizes'"),
    "past missing": (without_one("past"), "past", "the past column 'load' of training is not in this panel"),
    "known missing": (without_one("known"), "known", "the known column 'price' of training is not in this panel"),
    "past added": (
        with_another("past"),
        "past",
        "the past column 'other' was not there in training",
    ),
    "known added": (
        with_another("known"),
        "known",
        "the known column 'other' was not there in training",
    ),
    "static added": (
        with_another("static"),
        "static",
        "the static column 'other' was not there in training",
    ),
    "static retyped": (retyped(), "static", "static column 'size' was Float64 in training and is String now"),
    "other role": (
        read(make_table(), past=("load",), known=("price", "wind", "visits")),
        "past",
        "was past in training",
    ),
    "target renamed": (
        read(make_table().rename({"sold": "sales"}), target="sales"),
        "",
        "target column 'sold' of train",
    ),
}
HOURLY = read(make_table(step="1h"))


@cache
def learn(name: str) -> Fitted:
    spec = tw.build_spec(name, {**NETWORKS, **CELLS}.get(name, quick_options(name) or small(name)))
    view = View(8, (), fit_static(PANEL) if "static" in spec.takes else View(8).static)
    panel = PANEL if name in FLOORS else keep_covariates(PANEL, spec.takes)
    return tw.fit(spec, panel=panel, split=split_for(name), task=TASK, view=view, train=TRAIN, season=2)


def split_for(name: str) -> Split:
    """A cutoff a part for models that fit each window."""
    return thin(SPLIT, most=1) if answers_slowly(name) else SPLIT


def small(name: str) -> dict[str, Any]:
    return {"rounds": 3} if name in ("lightgbm", "xgboost", "catboost") else {}


def ask(fitted: Fitted, panel: tw.Panel) -> np.ndarray:
    return tw.forecast(fitted, panel).table.select("0.1", "0.5", "0.9").to_numpy()


def evaluate(fitted: Fitted, panel: tw.Panel) -> np.ndarray:
    cutoffs = split_for(fitted.spec.name).test
    assert cutoffs is not None
    return tw.evaluate(fitted, panel=panel, split=SPLIT, cutoffs=cutoffs).forecast


every_model = pytest.mark.parametrize("name", MODELS)


@every_model
def test_another_order_of_columns_changes_no_bit(name: str) -> None:
    fitted = learn(name)
    assert np.array_equal(ask(fitted, in_another_order()), ask(fitted, PANEL))
    assert np.array_equal(evaluate(fitted, in_another_order()), evaluate(fitted, PANEL))


@every_model
def test_what_is_unlike_training_is_an_error_and_what_is_not_looked_at_changes_nothing(name: str) -> None:
    fitted = learn(name)
    said = ask(fitted, PANEL)
    for panel, kind, message in UNLIKE.values():
        if kind in ("", *fitted.spec.takes):
            for way in (ask, evaluate):
                with pytest.raises(ColumnError, match=message):
                    way(fitted, panel)
        elif not answers_slowly(name) or kind == "static":
            assert np.array_equal(ask(fitted, panel), said)
    with pytest.raises(FrequencyError, match="of the frequency 1d; this panel has 1h"):
        ask(fitted, HOURLY)


def join_models(panel: tw.Panel = PANEL) -> Fitted:
    """An ensemble whose members take other kinds of columns; one learned from them in another order."""
    other = tw.fit(
        tw.build_spec("feedforward", {"hidden": (4,)}), panel=in_another_order(), split=SPLIT, task=TASK,
        view=learn("lightgbm").view, train=TRAIN,
    )  # fmt: skip
    return tw.fit_ensemble([learn("naive"), learn("lightgbm"), other], panel=panel, split=SPLIT, rule="mean")


FAMILIES: dict[str, Callable[[], Fitted]] = {
    "floor": lambda: learn("naive"),
    "trees": lambda: learn("lightgbm"),
    "forest": lambda: learn("random_forest"),
    "network": lambda: learn("feedforward"),
    "statistical": lambda: learn("croston"),
    "ensemble": join_models,
    "conformal": lambda: conformalise(learn("lightgbm"), panel=in_another_order(), split=SPLIT),
}
every_family = pytest.mark.parametrize("family", FAMILIES)


def check_strict(fitted: Fitted, way: Callable[[tw.Panel], Any], *, takes: tuple[str, ...]) -> None:
    """What is unlike training is an error with the very same words, whatever is asked."""
    for panel, kind, message in UNLIKE.values():
        if kind in ("", *takes):
            with pytest.raises(ColumnError, match=message):
                way(panel)


@every_family
def test_a_model_is_brought_up_to_date_by_names(family: str) -> None:
    fitted = FAMILIES[family]()
    ours, theirs = (
        update(fitted, panel=panel, split=SPLIT, train=TRAIN, season=2) for panel in (PANEL, in_another_order())
    )
    assert np.array_equal(ask(ours, PANEL), ask(theirs, PANEL))
    learn_again = partial(update, fitted, split=SPLIT, train=TRAIN)
    check_strict(fitted, lambda panel: learn_again(panel=panel), takes=fitted.spec.takes)
    with pytest.raises(FrequencyError, match="1d; this panel has 1h"):
        learn_again(panel=HOURLY)


@every_family
def test_a_model_that_was_kept_and_opened_again_says_the_same(family: str, tmp_path: Path) -> None:
    fitted = FAMILIES[family]()
    tw.save_bundle(fitted, panel=in_another_order(), folder=tmp_path / "bundle", season=2)
    session = tw.open(tmp_path / "bundle")
    said = session.forecast(PANEL).table
    assert said.equals(session.forecast(in_another_order()).table)
    assert np.allclose(said.select("0.1", "0.5", "0.9").to_numpy(), ask(fitted, PANEL), rtol=1e-3)
    assert np.array_equal(ask(session.fitted, in_another_order()), ask(fitted, PANEL))
    assert session.fitted.view.schema == fitted.view.schema
    for way in (session.forecast, partial(ask, session.fitted)):
        check_strict(fitted, way, takes=fitted.spec.takes)
        with pytest.raises(FrequencyError, match="1d; this panel has 1h"):
            way(HOURLY)
    with pytest.raises(ColumnError, match="the target column 'sold' of training"):
        tw.save_bundle(fitted, panel=of_another_target(), folder=tmp_path / "other")


@every_family
def test_a_draft_keeps_the_columns_too(family: str, tmp_path: Path) -> None:
    fitted = FAMILIES[family]()
    save_draft(fitted, said=np.zeros((1, 2, 3)), panel=in_another_order(), folder=tmp_path / "draft")
    again, _ = load_draft(tmp_path / "draft")
    assert np.array_equal(ask(again, in_another_order()), ask(fitted, PANEL))
    check_strict(fitted, partial(ask, again), takes=fitted.spec.takes)


def test_an_ensemble_has_its_members_read_their_own_columns_and_takes_none_of_another_panel() -> None:
    ours, theirs = join_models(), join_models(in_another_order())
    assert np.allclose(ask(ours, PANEL), ask(theirs, in_another_order()), rtol=1e-12)
    alone = [ask(member, PANEL) for member in ours.members]  # type: ignore[attr-defined]
    assert np.allclose(ask(ours, PANEL), np.mean(alone, axis=0), rtol=1e-12)
    members = [learn("naive"), learn("lightgbm")]
    for rule in ("mean", "greedy"):
        way = partial(tw.fit_ensemble, members, split=SPLIT, rule=rule, season=2)
        check_strict(learn("lightgbm"), lambda panel, way=way: way(panel=panel), takes=learn("lightgbm").spec.takes)


def test_importances_stand_by_the_names_of_the_columns() -> None:
    fitted = learn("lightgbm")
    asked: dict[str, Any] = {"split": SPLIT, "cutoffs": SPLIT.train, "repeats": 2, "season": 2}
    ours, theirs = (
        permutation_importance(fitted, panel=panel, **asked).table().sort("feature")
        for panel in (PANEL, in_another_order())
    )
    assert ours.equals(theirs)
    check_strict(fitted, lambda panel: permutation_importance(fitted, panel=panel, **asked), takes=fitted.spec.takes)


def test_a_change_between_two_orders_of_columns_is_none() -> None:
    fitted = learn("lightgbm")
    change = explain_change(Vintage(fitted, PANEL), Vintage(fitted, in_another_order()))
    assert np.abs(change.parts).max() == 0.0
    with pytest.raises(ColumnError, match="the target column 'sold' of training"):
        explain_change(Vintage(fitted, PANEL), Vintage(fitted, of_another_target()))


def test_populations_seeds_and_snapshots_know_their_columns() -> None:
    spec = tw.build_spec("feedforward", {"hidden": (4,)})
    asked: dict[str, Any] = {"panel": PANEL, "split": SPLIT, "task": TASK, "view": learn("lightgbm").view}
    made = [
        *fit_population(spec, trains=[TRAIN, replace(TRAIN, seed=1)], **asked).fitted,
        fit_seeds(spec, seeds=2, train=TRAIN, **asked),
        fit_snapshots(spec, cycles=2, train=replace(TRAIN, epochs=2), **asked),
    ]
    for fitted in made:
        assert np.array_equal(ask(fitted, in_another_order()), ask(fitted, PANEL))
        check_strict(fitted, partial(ask, fitted), takes=spec.takes)


def test_a_direction_is_calibrated_by_names() -> None:
    ours, theirs = (
        fit_direction(learn("lightgbm"), panel=panel, cutoffs=SPLIT.train) for panel in (PANEL, in_another_order())
    )
    assert ours.calibration == theirs.calibration
    with pytest.raises(ColumnError, match="the target column 'sold' of training"):
        fit_direction(learn("lightgbm"), panel=of_another_target(), cutoffs=SPLIT.train)


def test_positions_are_decided_by_names() -> None:
    spec, train = tw.build_spec("feedforward", {"hidden": (4,)}), replace(TRAIN, loss="sharpe")
    ours, theirs = (replace_target(panel, 0.01 * (panel.target - 21.0)) for panel in (PANEL, in_another_order()))
    view = View(8, (), fit_static(PANEL))
    fitted = tw.fit_positions(spec, panel=ours, split=SPLIT, view=view, train=train)
    here, there = (weigh_positions(fitted, panel=panel, cutoffs=SPLIT.train).values for panel in (ours, theirs))
    assert np.array_equal(here, there)
    with pytest.raises(ColumnError, match="the target column 'sold' of training"):
        weigh_positions(fitted, panel=of_another_target(), cutoffs=SPLIT.train)


def test_a_table_is_no_panel_and_a_split_of_other_dates_is_refused() -> None:
    fitted, longer = learn("naive"), with_a_longer_history()
    learn_again = partial(tw.fit, fitted.spec, split=SPLIT, task=TASK)
    judge = partial(tw.evaluate, fitted, split=SPLIT, cutoffs=SPLIT.test)
    ways: list[Any] = [learn_again, judge, partial(update, fitted, split=SPLIT)]
    ways += [partial(tw.fit_ensemble, [fitted, fitted], split=SPLIT, rule="greedy")]
    for way in ways:
        with pytest.raises(FrequencyError, match="1d from 2024-01-01, and this one counts 1d from 2023-12-27"):
            way(panel=longer)
    for way in (learn_again, judge):
        with pytest.raises(DataError, match="is made from a Panel; got DataFrame"):
            way(panel=PANEL.table)
    moved = SPLIT.on(longer)
    again = tw.fit(fitted.spec, panel=longer, split=moved, task=TASK)
    ours, theirs = judge(panel=PANEL), tw.evaluate(again, panel=longer, split=moved, cutoffs=moved.test)
    assert np.array_equal(ours.windows.labels(), theirs.windows.labels())
    assert np.array_equal(ours.scored.point, theirs.scored.point)


def test_a_view_of_a_fitted_model_can_be_learned_with_on_another_panel() -> None:
    view, other = learn("feedforward").view, renamed("known")
    again = tw.fit(learn("feedforward").spec, panel=other, split=SPLIT, task=TASK, view=view, train=TRAIN)
    assert again.view.schema is not None
    assert again.view.schema.roles.known == ("prices", "wind")
    assert spec_key(view) == spec_key(replace(view, schema=None))
