"""Estimators of a series' own number: better than their floors where there is something to see, and never by a leak."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidewright import optional
from tidewright.data.panel import Panel
from tidewright.data.simulate import fractional_panel
from tidewright.errors import ColumnError, ConfigError, DataError, FitError, MissingExtraError, UnknownNameError
from tidewright.features.shape import ShapeSpec
from tidewright.models.estimator import Estimator
from tidewright.models.specs.estimators import ESTIMATORS, BoostingEstimator, ForestEstimator, VectorEstimator
from tidewright.training.fit_estimator import fit_estimator

QUICK = {
    "random_forest": ForestEstimator(trees=40),
    "svr": VectorEstimator(),
    "gradient_boosting": BoostingEstimator(rounds=60),
}
every_estimator = pytest.mark.parametrize("name", ESTIMATORS)


def world(count: int = 120, *, seed: int = 0, length: int = 200) -> Panel:
    hursts = np.random.default_rng(seed).uniform(0.1, 0.9, count)
    return fractional_panel(hursts=hursts.tolist(), length=length, seed=seed)


@cache
def fitted(name: str) -> Estimator:
    return fit_estimator(QUICK[name], world(), target="hurst")


def truth(panel: Panel) -> np.ndarray:
    return panel.values("hurst")[panel.offsets[:-1]]


@every_estimator
def test_the_hurst_exponent_is_learned_far_better_than_by_a_floor(name: str) -> None:
    own, *floors = fitted(name).judgement.scores
    assert [score.model for score in fitted(name).judgement.scores] == [name, "mean", "median"]
    assert own.mae < 0.3 * min(score.mae for score in floors)
    assert fitted(name).judgement.p_value < 0.001


@every_estimator
def test_series_of_another_seed_are_estimated_as_well_as_the_scores_say(name: str) -> None:
    other = world(300, seed=9)
    table = fitted(name).estimate(other)
    errors = np.abs(table["estimate"].to_numpy() - truth(other))
    assert errors.mean() == pytest.approx(fitted(name).judgement.scores[0].mae, rel=0.25)
    inside = (table["lower"].to_numpy() <= truth(other)) & (truth(other) <= table["upper"].to_numpy())
    assert inside.mean() == pytest.approx(0.8, abs=0.09)
    assert fitted(name).judgement.covered == pytest.approx(0.8, abs=0.06)


@every_estimator
def test_a_target_that_the_series_do_not_hold_is_estimated_no_better_than_by_its_floor(name: str) -> None:
    panel, shares, chances = world(), [], []
    for seed in range(4):
        shuffled = np.random.default_rng(seed).permutation(truth(panel))
        target = dict(zip(panel.series_ids, shuffled.tolist(), strict=True))
        judged = fit_estimator(QUICK[name], panel, target=target, seed=seed).judgement
        shares.append(judged.scores[0].mae / min(score.mae for score in judged.scores[1:]))
        chances.append(judged.p_value)
    assert np.mean(shares) > 0.99
    assert min(chances) > 0.01


def copies() -> tuple[Panel, dict[Any, float], dict[Any, str]]:
    """Forty series with a number drawn at random, each there three times."""
    panel, drawn = world(40), np.random.default_rng(2).normal(size=40)
    parts = [panel.table.with_columns(pl.col("series") + f"_{copy}") for copy in range(3)]
    many = Panel.from_table(pl.concat(parts).sort("series", "time"), series="series", time="time", target="value")
    kin = {name: str(name).partition("_")[0] for name in many.series_ids}
    numbers = dict(zip(panel.series_ids, drawn, strict=True))
    return many, {name: numbers[root] for name, root in kin.items()}, kin


def test_copies_of_a_series_betray_each_other_unless_they_are_of_one_group() -> None:
    panel, target, kin = copies()
    leaked = fit_estimator(QUICK["random_forest"], panel, target=target)
    assert leaked.judgement.scores[0].mae < 0.5 * leaked.judgement.scores[1].mae
    honest = fit_estimator(QUICK["random_forest"], panel, target=target, groups=kin)
    assert honest.judgement.scores[0].mae > 0.95 * honest.judgement.scores[1].mae
    assert honest.judgement.p_value > 0.05


def test_groups_can_be_a_static_column() -> None:
    panel, target, kin = copies()
    table = panel.table.with_columns(pl.Series("root", [kin[name] for name in panel.table["series"]]))
    other = Panel.from_table(table, series="series", time="time", target="value", static=["root"])
    ours, theirs = (fit_estimator("svr", p, target=target, groups=g) for p, g in ((panel, kin), (other, "root")))
    assert ours.judgement == theirs.judgement


@every_estimator
def test_the_same_seed_gives_the_same_bits_and_another_seed_other_folds(name: str) -> None:
    again = fit_estimator(QUICK[name], world(), target="hurst")
    assert [a.tobytes() for a in again.tensors().values()] == [a.tobytes() for a in fitted(name).tensors().values()]
    assert again.judgement == fitted(name).judgement
    assert fit_estimator(QUICK[name], world(), target="hurst", seed=1).judgement != fitted(name).judgement


@every_estimator
def test_a_changed_future_changes_no_estimate_and_nothing_that_is_learned(name: str) -> None:
    panel = world(60)
    later = panel.positions > 150
    changed = panel.table.with_columns(pl.Series("value", np.where(later, 99.0, panel.target)))
    other = Panel.from_table(changed, series="series", time="time", target="value", static=["hurst"])
    ours, theirs = (fit_estimator(QUICK[name], p, target="hurst", until=150) for p in (panel, other))
    assert [a.tobytes() for a in ours.tensors().values()] == [a.tobytes() for a in theirs.tensors().values()]
    assert ours.estimate(panel, until=150).equals(ours.estimate(other, until=150))


@every_estimator
def test_a_series_alone_gets_the_estimate_that_it_gets_among_others(name: str) -> None:
    panel = world(8, seed=3)
    alone = [fitted(name).estimate(panel.select([series])) for series in panel.series_ids]
    assert pl.concat(alone).equals(fitted(name).estimate(panel))


@every_estimator
def test_what_can_not_be_measured_is_not_estimated(name: str) -> None:
    table = pl.DataFrame(
        {"id": ["a"] * 3 + ["b"] * 40, "t": [*range(3), *range(40)], "y": [1.0, 2.0, 4.0] + [5.0] * 40}
    )
    made = fitted(name).estimate(Panel.from_table(table, series="id", time="t", target="y"))
    assert made["estimate"].to_list() == [None, None]
    assert made["lower"].to_list() == [None, None]
    assert made["measured"].to_list()[1] == 4  # count, share missing, mean, deviation


def test_a_table_is_not_estimated() -> None:
    table = world(30, seed=1).table
    with pytest.raises(DataError, match="an estimate is made from a Panel; got DataFrame"):
        fitted("svr").estimate(table)  # type: ignore[arg-type]  # that is the point


def test_a_column_of_ids_with_a_name_of_the_answer_is_refused() -> None:
    table = pl.DataFrame({"lower": ["a"] * 40, "t": range(40), "y": np.arange(40.0)})
    with pytest.raises(ColumnError, match="'lower', has a name of the answer"):
        fitted("svr").estimate(Panel.from_table(table, series="lower", time="t", target="y"))


def test_series_without_a_target_or_too_short_are_left_out_aloud() -> None:
    panel = world(40)
    target: dict[Any, float] = dict(zip(panel.series_ids[:-5], truth(panel)[:-5].tolist(), strict=True))
    estimator = fit_estimator("svr", panel, target=target)
    assert estimator.notes == ({"left_out": 5, "reason": "no target"},)
    assert estimator.judgement.scores[0].n == 35


def test_a_machine_learns_from_so_many_series_at_most_and_says_so() -> None:
    estimator = fit_estimator(VectorEstimator(most_rows=50), world(), target="hurst")
    assert estimator.notes == ({"rows": 50, "of": 120, "reason": "most_rows"},)
    assert len(estimator.tensors()["vectors"]) <= 50


OTHER: dict[str, Any] = {
    "trees": 11,
    "min_leaf": 25,
    "feature_share": 0.1,
    "cost": 0.01,
    "tube": 0.6,
    "width": 3.0,
    "most_rows": 60,
    "rounds": 5,
    "leaves": 3,
    "learning_rate": 0.3,
    "row_share": 0.4,
}
OPTIONS = [(name, each.name) for name, spec in QUICK.items() for each in fields(spec) if each.name != "name"]


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_every_option_of_an_estimator_changes_what_it_learns(name: str, option: str) -> None:
    base: Any = QUICK[name]
    changed = type(base)(**{each.name: getattr(base, each.name) for each in fields(base)} | {option: OTHER[option]})
    guessed = fit_estimator(changed, world(), target="hurst", folds=2).estimate(world(5, seed=4))
    assert not guessed.equals(fitted(name).estimate(world(5, seed=4)))


def test_features_coverage_folds_and_shape_change_the_estimator() -> None:
    base = fitted("svr")
    few = fit_estimator("svr", world(), target="hurst", features=["dfa", "hurst_whittle"])
    assert few.features == ("dfa", "hurst_whittle")
    assert few.judgement.scores[0].mae > base.judgement.scores[0].mae
    wide = fit_estimator("svr", world(), target="hurst", coverage=0.95)
    assert np.ptp(wide.offsets) > np.ptp(base.offsets)
    assert fit_estimator("svr", world(), target="hurst", folds=10).judgement != base.judgement
    assert fit_estimator("svr", world(), target="hurst", shape=ShapeSpec(levels=2)).features != base.features


@every_estimator
def test_a_missing_package_is_an_error_and_never_another_estimator(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional, "has", lambda module: False)
    with pytest.raises(MissingExtraError, match=f"the estimator {name} needs the package"):
        fit_estimator(QUICK[name], world(30), target="hurst")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"target": "hurts"}, ColumnError, "no static column is called 'hurts'. Did you mean 'hurst'"),
        ({"target": {"zz": 1.0}}, ConfigError, "a series that the panel does not have: 'zz'"),
        ({"target": {"s00": float("inf")}}, ConfigError, "the target of series 's00' is infinite"),
        ({"target": {"s00": 1.0}}, FitError, "20 series with a target and enough rows, in 5 groups or more; got 1"),
        ({"folds": 1}, ConfigError, "folds is a whole number, 2 or more; got 1"),
        ({"coverage": "x"}, ConfigError, "between 0 and 1; got 'x'"),
        ({"seed": -1}, ConfigError, "the seed is a whole number, 0 or more; got -1"),
        ({"target": None}, ConfigError, "a mapping from series to numbers"),
        ({"target": {"s00": "x"}}, ConfigError, "a mapping from series to numbers"),
        ({"coverage": 1.0}, ConfigError, "coverage is the share of series inside the interval"),
        ({"features": ["dfaa"]}, UnknownNameError, "no feature is called 'dfaa'. Did you mean 'dfa'"),
        ({"features": "dfa"}, ConfigError, "features are different names, one or more; got 'dfa'"),
        ({"groups": {"s00": 1}}, ConfigError, "series 's01' has no group .39 in all"),
        ({"groups": "shop"}, ColumnError, "no static column is called 'shop'"),
        ({"model": "forest"}, UnknownNameError, "no estimator is called 'forest'"),
    ],
)
def test_what_can_not_be_fitted_is_refused_with_a_remedy(options, error, message) -> None:  # type: ignore[no-untyped-def]
    given = {"model": "svr", "target": "hurst", **options}
    with pytest.raises(error, match=message):
        fit_estimator(given.pop("model"), world(40), **given)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ForestEstimator(trees=0), "random_forest: trees is a whole number, 1 or more; got 0"),
        (lambda: ForestEstimator(feature_share=1.5), "feature_share lies above 0 and is at most 1; got 1.5"),
        (lambda: VectorEstimator(cost=0.0), "svr: cost is a number above 0; got 0.0"),
        (lambda: BoostingEstimator(leaves=1), "leaves is a whole number, 2 or more; got 1"),
    ],
)
def test_an_option_without_a_meaning_is_refused(make, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=message):
        make()
