"""Predictions: read from tables of any kind, refused with their place, and handed on as returns, spreads and views."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import tidewright as tw
from tests.worlds import small_panel
from tidewright.errors import AllocationError, ColumnError
from tidewright.portfolio.forecasts.predictions import Predictions
from tidewright.portfolio.forecasts.read import read_predictions
from tidewright.portfolio.walk import walk_weights

DAYS = [date(2024, 1, 1) + timedelta(days=step) for step in range(12)]
NAMES = ("A", "B", "C")


def make_table(*, cutoffs: int = 3, horizon: int = 2, model: str = "ridge") -> pl.DataFrame:
    """Cutoffs at every other day, returns of three assets."""
    rng = np.random.default_rng(0)
    rows = [
        (name, DAYS[2 * cut], DAYS[2 * cut + step], *np.sort(rng.normal(0, 0.01, 3)), model)
        for cut in range(cutoffs)
        for name in NAMES
        for step in range(1, horizon + 1)
    ]
    return pl.DataFrame(rows, schema=["series", "cutoff", "time", "0.1", "0.5", "0.9", "model"], orient="row")


def test_a_prediction_is_the_sum_of_its_medians_and_its_spread_that_of_a_normal_distribution() -> None:
    table = make_table()
    said = read_predictions(table)
    assert (said.model, said.assets, said.quantiles.shape) == ("ridge", NAMES, (3, 3, 2, 3))
    assert said.levels.tolist() == [0.1, 0.5, 0.9]
    one = table.filter((pl.col("series") == "B") & (pl.col("cutoff") == DAYS[2]))
    assert said.expected()[1, 1] == pytest.approx(one["0.5"].sum(), rel=1e-12)
    width = (one["0.9"] - one["0.1"]).to_numpy() / (2 * 1.2815515655446004)
    assert said.spread()[1, 1] == pytest.approx(np.sqrt((width**2).sum()), rel=1e-9)
    assert not said.quantiles.flags.writeable


@pytest.mark.parametrize(
    "bring", [lambda t: t.to_pandas(), lambda t: t.to_arrow(), lambda t: t.sample(fraction=1.0, shuffle=True, seed=1)]
)
def test_any_kind_of_table_in_any_order_is_the_same(bring: Callable[[pl.DataFrame], Any]) -> None:
    ours, theirs = read_predictions(make_table(), assets=NAMES), read_predictions(bring(make_table()), assets=NAMES)
    assert ours.quantiles.tobytes() == theirs.quantiles.tobytes()
    assert (ours.cutoffs == theirs.cutoffs).all()


def test_a_file_that_predict_writes_and_a_forecast_are_read_alike(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    days = pl.date_range(DAYS[0], DAYS[0] + timedelta(days=119), eager=True)
    stocks = [pl.DataFrame({"stock": name, "day": days, "return": rng.normal(0, 0.01, 120)}) for name in NAMES]
    panel = tw.Panel.from_table(pl.concat(stocks), series="stock", time="day", target="return")
    split = tw.split_holdout(panel, tw.Task(horizon=3))
    fitted = tw.fit(tw.build_spec("ridge"), panel=panel, split=split, task=tw.Task(horizon=3))
    forecast = tw.forecast(fitted, panel)
    forecast.table.write_csv(tmp_path / "said.csv")
    ours, theirs = read_predictions(forecast), read_predictions(tmp_path / "said.csv", series="stock", time="day")
    np.testing.assert_allclose(ours.quantiles, theirs.quantiles, rtol=1e-12)
    assert ours.assets == theirs.assets
    assert (ours.times == theirs.times).all()
    assert any("cutoff" in note for note in theirs.notes)  # text was read as dates, and says so


def test_several_models_are_kept_apart() -> None:
    both = pl.concat([make_table(), make_table(model="naive")])
    assert read_predictions(both, model="naive").model == "naive"
    with pytest.raises(AllocationError, match=r"2 models: \['ridge', 'naive'\]. Name one with model="):
        read_predictions(both)
    with pytest.raises(AllocationError, match=r"no model 'lstm', but \['ridge'\]"):
        read_predictions(make_table(), model="lstm")
    assert read_predictions(make_table().drop("model")).model == "unnamed"


def put(name: str, value: Any, *, row: int = 4) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda table: table.with_columns(
        pl.when(pl.int_range(pl.len()) == row).then(pl.lit(value)).otherwise(pl.col(name)).alias(name)
    )


BAD: dict[str, tuple[Callable[[pl.DataFrame], Any], str]] = {
    "no median": (lambda t: t.rename({"0.5": "middle"}), "no column '0.5', the median"),
    "no cutoff": (lambda t: t.drop("cutoff"), "has no column 'cutoff', but .*. Rename it"),
    "no series": (lambda t: t.rename({"series": "stock"}), "has no column 'series', but .*. Name it with series="),
    "empty": (lambda t: t.clear(), "the table of predictions is empty"),
    "text": (put("0.5", "much"), "column '0.5' holds String"),
    "a level twice": (lambda t: t.with_columns(pl.col("0.5").alias("0.50")), "a quantile level has two columns"),
    "NaN": (
        put("0.5", float("nan")),
        r"prediction of 'C' made at 2024-01-01 .* for 2024-01-02 .* is missing or infinite",
    ),
    "null": (put("0.9", None), "'C' made at 2024-01-01 .* is missing or infinite"),
    "crossing": (put("0.1", 0.5), r"'C' made at 2024-01-01 .* has quantiles that cross: they rise from 0.1 to 0.9"),
    "its own cutoff": (put("time", DAYS[0]), "'C' made at 2024-01-01 .* is of its cutoff or before"),
    "twice": (lambda t: pl.concat([t, t[4:5]]), "'C' made at 2024-01-01 .* comes twice"),
    "one step less": (lambda t: t[:4].vstack(t[5:]), "'C' has 1 steps at 2024-01-01 .*, others have 2"),
    "other times": (put("time", DAYS[11], row=5), "'C' is predicted for other times .* at 2024-01-01"),
    "prices": (lambda t: t.with_columns(pl.col("0.1", "0.5", "0.9") + 100), "these look like prices"),
    "steps for times": (lambda t: t.with_columns(pl.lit(3).alias("time")), "column 'time' holds Int"),
    "no name": (put("series", None), "1 rows have no series"),
    "no time": (put("time", None), "1 rows have no time in column 'time'"),
    "a bad date": (lambda t: t.with_columns(pl.lit("soon").alias("cutoff")), "'soon' in column 'cutoff' is not a time"),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_a_table_that_can_not_be_read_says_where(case: str) -> None:
    spoil, message = BAD[case]
    with pytest.raises((AllocationError, ColumnError, ValueError), match=message):
        read_predictions(spoil(make_table()))


def test_assets_are_taken_by_name() -> None:
    said = read_predictions(make_table(), assets=("C", "D", "A", "B"))
    assert said.notes == ("1 assets have no predictions, such as 'D'",)
    assert np.isnan(said.expected()[:, 1]).all()
    np.testing.assert_array_equal(said.expected()[:, [2, 3, 0]], read_predictions(make_table()).expected())
    with pytest.raises(AllocationError, match=r"1 predicted series are no asset: \['C'\]"):
        read_predictions(make_table(), assets=("A", "B"))


def test_what_came_is_summed_over_the_horizon_by_name_and_is_unknown_beyond_the_last_return() -> None:
    said = read_predictions(make_table())
    returns = np.random.default_rng(1).normal(0, 0.01, (6, 3))
    days = np.array(DAYS[:6], dtype="datetime64[D]")
    realised, known = said.realise(returns, times=days, assets=("C", "A", "B"))
    assert known.tolist() == [True, True, False]
    np.testing.assert_allclose(realised[1], (returns[3] + returns[4])[[1, 2, 0]], rtol=1e-12)
    assert np.isnan(realised[2]).all()
    with pytest.raises(AllocationError, match="1 predicted series have no returns, such as 'C'"):
        said.realise(returns[:, :2], times=days, assets=("A", "B"))
    with pytest.raises(AllocationError, match="the prediction of 2024-01-02 falls on no bar"):
        said.realise(returns[[0, 2, 3, 4, 5]], times=days[[0, 2, 3, 4, 5]], assets=("A", "B", "C"))


def test_a_view_holds_from_its_cutoff_to_the_next_one_or_the_end_of_its_horizon() -> None:
    said = read_predictions(make_table(cutoffs=5))
    days = np.array(DAYS, dtype="datetime64[D]")
    view = said.to_view(np.linspace(0.1, 0.5, 5), times=days, assets=("C", "B", "A"))
    expected, skill = np.asarray(view.expected), np.asarray(view.skill)
    assert np.flatnonzero(np.isfinite(expected).all(axis=1)).tolist() == list(range(10))
    for bar in (2, 3):
        np.testing.assert_array_equal(expected[bar], said.expected()[1, ::-1])
        assert skill[bar] == pytest.approx(0.2)
    returns = np.random.default_rng(2).normal(0, 0.01, (12, 3))
    walk = walk_weights(
        returns, times=days, assets=("C", "B", "A"), decide_every=1, lookback=4, rule="equal", view=view
    )
    assert walk.tilted == (*[True] * 7, False, False)
    with pytest.raises(AllocationError, match="'D' has no predictions"):
        said.to_view(0.1, times=days, assets=("A", "D"))
    with pytest.raises(AllocationError, match="no forecast holds at any bar: they were made from 2024-01-01"):
        said.to_view(0.1, times=days + 100, assets=NAMES)


def test_without_a_width_all_assets_count_as_equally_sure() -> None:
    said = read_predictions(make_table().drop("0.1", "0.9"))
    assert np.isnan(said.spread()).all()
    view = said.to_view(0.1, times=np.array(DAYS, dtype="datetime64[D]"), assets=NAMES)
    assert (np.asarray(view.uncertainty) == 1.0).all()
    with pytest.raises(AllocationError, match=r"the forecast of 'A' at 2024-01-05.* has no width"):
        said.views()


def test_views_are_plain_arrays_whose_errors_grow_where_weight_is_small() -> None:
    said = read_predictions(make_table(), assets=("A", "D", "B", "C"))
    views = said.views()
    assert views.assets == NAMES
    np.testing.assert_array_equal(views.expected, said.expected()[-1, [0, 2, 3]])
    np.testing.assert_allclose(views.covariance, np.diag(said.spread()[-1, [0, 2, 3]] ** 2))
    first = said.views(np.datetime64("2024-01-01"), weight=0.25)
    np.testing.assert_allclose(first.errors, 2 * said.spread()[0, [0, 2, 3]])
    related = np.full((4, 4), 0.5) + 0.5 * np.eye(4)
    both = said.views(correlation=related).covariance
    assert both[0, 1] == pytest.approx(0.5 * views.errors[0] * views.errors[1])
    with pytest.raises(AllocationError, match="weight is 0; it is above 0"):
        said.views(weight=0.0)
    with pytest.raises(AllocationError, match=r"correlations have the shape \(2, 2\)"):
        said.views(correlation=np.eye(2))
    with pytest.raises(AllocationError, match="no prediction was made at 2030-01-01"):
        said.views(np.datetime64("2030-01-01"))


def test_views_of_one_step_move_black_litterman_by_its_formula() -> None:
    said = read_predictions(make_table(), assets=("A", "D", "B", "C"))
    views = said.views()
    daily = views.per_step()
    np.testing.assert_allclose(daily.expected * 2, views.expected, rtol=1e-15)
    np.testing.assert_allclose(daily.covariance, np.diag(daily.errors**2), rtol=1e-12)
    assert (views.steps, daily.steps) == (2, 1)
    returns = np.random.default_rng(4).normal(0, 0.01, (200, 4))
    covariance = tw.covariance(returns, assets=("D", "A", "B", "C"))
    told = tw.Views.from_forecasts(daily.expected, uncertainty=daily.errors, assets=daily.assets)
    after = tw.black_litterman(told, covariance=covariance)
    prior, spread = after.prior[1:], 0.05 * covariance.values[1:, 1:]
    moved = spread @ np.linalg.solve(spread + daily.covariance, daily.expected - prior)
    np.testing.assert_allclose(after.mean[1:] - prior, moved, rtol=1e-9)


def test_a_forecast_of_classes_moves_no_weights() -> None:
    roles = small_panel().roles
    with pytest.raises(AllocationError, match="the forecast is of classes"):
        read_predictions(tw.Forecast(make_table(), roles, (), classes=("up", "down")))
    assert isinstance(read_predictions(make_table()), Predictions)
