"""What changed a forecast: each cause alone moves its own part, and the parts add up to the whole."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import numpy as np
import polars as pl
import pytest

import tidewright as tw
from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError, DataError, FrequencyError
from tidewright.features.view import View, fit_static
from tidewright.features.windows import make_windows
from tidewright.models.fitted import Fitted
from tidewright.training.change import CAUSES, Change, Vintage, explain_change

TASK = Task(horizon=6, quantiles=(0.1, 0.5, 0.9))
ROWS = 160


def make_table(*, series: int = 3, rows: int = ROWS) -> pl.DataFrame:
    draw = np.random.default_rng(0)
    hours = [datetime(2024, 1, 1) + timedelta(hours=h) for h in range(rows + 20)]
    parts = []
    for number in range(series):
        price = draw.normal(size=rows + 20)
        sold = 50.0 + 5.0 * number + np.cumsum(draw.normal(size=rows + 20)) - 4.0 * price
        part: dict[str, Any] = {"shop": f"s{number}", "hour": hours, "sold": sold, "price": price}
        parts.append(pl.DataFrame({**part, "visits": sold + draw.normal(size=rows + 20), "area": 10.0 * number}))
    return pl.concat(parts)


def make_panel(table: pl.DataFrame, *, until: int = ROWS, start: int = 0) -> Panel:
    """The sales up to a row, with prices known ten hours more."""
    first = datetime(2024, 1, 1)
    last = first + timedelta(hours=until - 1)
    seen = table.filter(pl.col("hour").is_between(first + timedelta(hours=start), last + timedelta(hours=10)))
    gone = pl.col("hour") > last
    seen = seen.with_columns(pl.when(~gone).then(pl.col(name)).alias(name) for name in ("sold", "visits"))
    roles: dict[str, Any] = {"past": ["visits"], "known": ["price"], "static": ["area"]}
    return Panel.from_table(seen, series="shop", time="hour", target="sold", **roles)


TABLE = make_table()
PANEL = make_panel(TABLE)


def learn(leaves: int = 7, **view: Any) -> Fitted:
    split = split_holdout(PANEL, TASK)
    spec = tw.build_spec("lightgbm", {"rounds": 25, "leaves": leaves, "learning_rate": 0.2})
    return tw.fit(
        spec, panel=PANEL, split=split, task=TASK, view=View(24, ("hour", "fourier:12:1"), fit_static(PANEL), **view)
    )


@pytest.fixture(scope="module")
def model() -> Fitted:
    return learn()


def forecast(fitted: Fitted, panel: Panel, cutoff: int) -> np.ndarray:
    extended = panel.extend(TASK.horizon)
    rows = extended.offsets[:-1] + cutoff - extended.positions[extended.offsets[:-1]]
    return fitted.predict(make_windows(extended, fitted.view, horizon=TASK.horizon, rows=rows))[:, :, 1]


def sizes(change: Change) -> dict[str, float]:
    return dict(zip(change.causes, np.abs(change.parts).max(axis=(1, 2)).tolist(), strict=True))


def check_whole(change: Change, before: np.ndarray, after: np.ndarray) -> None:
    np.testing.assert_array_equal(change.stages[0], before)
    np.testing.assert_array_equal(change.stages[-1], after)
    np.testing.assert_allclose(change.parts.sum(axis=0), after - before, rtol=0, atol=1e-12)


def test_a_cutoff_that_rolls_on_is_new_data_and_nothing_else(model: Fitted) -> None:
    old, new = make_panel(TABLE, until=ROWS - 2), PANEL
    change = explain_change(Vintage(model, old), Vintage(model, new))
    check_whole(change, forecast(model, old, ROWS - 3)[:, 2:], forecast(model, new, ROWS - 1)[:, :4])
    found = sizes(change)
    assert found.pop("new data") > 0
    assert set(found.values()) == {0.0}


def test_a_revised_past_is_revised_data_and_nothing_else(model: Fitted) -> None:
    hour = datetime(2024, 1, 1) + timedelta(hours=ROWS - 5)
    table = TABLE.with_columns(
        sold=pl.when(pl.col("hour") == hour).then(pl.col("sold") + 30.0).otherwise(pl.col("sold"))
    )
    new = make_panel(table)
    change = explain_change(Vintage(model, PANEL), Vintage(model, new))
    check_whole(change, forecast(model, PANEL, ROWS - 1), forecast(model, new, ROWS - 1))
    found = sizes(change)
    assert found.pop("revised data") > 0
    assert set(found.values()) == {0.0}


def test_a_price_that_is_changed_ahead_is_known_covariates_and_nothing_else(model: Fitted) -> None:
    later = pl.col("hour") >= datetime(2024, 1, 1) + timedelta(hours=ROWS)
    new = make_panel(TABLE.with_columns(price=pl.when(later).then(-3.0).otherwise(pl.col("price"))))
    change = explain_change(Vintage(model, PANEL), Vintage(model, new))
    check_whole(change, forecast(model, PANEL, ROWS - 1), forecast(model, new, ROWS - 1))
    found = sizes(change)
    assert found.pop("known covariates") > 0
    assert set(found.values()) == {0.0}


def test_another_model_is_the_model_and_nothing_else(model: Fitted) -> None:
    other = learn(leaves=3)
    change = explain_change(Vintage(model, PANEL), Vintage(other, PANEL))
    check_whole(change, forecast(model, PANEL, ROWS - 1), forecast(other, PANEL, ROWS - 1))
    found = sizes(change)
    assert found.pop("model") > 0
    assert set(found.values()) == {0.0}


@pytest.mark.parametrize("order", [CAUSES, CAUSES[::-1], ("new data", "model", "revised data", "known covariates")])
def test_everything_at_once_adds_up_in_any_order(model: Fitted, order: tuple[Any, ...]) -> None:
    draw = np.random.default_rng(5)
    noise = {name: pl.col(name) + pl.Series(draw.normal(size=len(TABLE))) for name in ("sold", "visits", "price")}
    old = make_panel(TABLE, until=ROWS - 3)
    new = make_panel(TABLE.with_columns(**noise, area=pl.col("area") + 1.0), start=24)  # another anchor of the grid
    other = learn(leaves=3, relative=True)
    change = explain_change(Vintage(model, old), Vintage(other, new), order=order)
    cutoff = new.span[1]
    check_whole(change, forecast(model, old, ROWS - 4)[:, 3:], forecast(other, new, cutoff)[:, :3])
    assert change.causes == order
    assert min(sizes(change).values()) > 0


def test_another_order_gives_other_parts_of_the_same_whole(model: Fitted) -> None:
    old, other = make_panel(TABLE, until=ROWS - 2), learn(leaves=3)
    found = [explain_change(Vintage(model, old), Vintage(other, PANEL), order=order) for order in permutations(CAUSES)]
    wholes = [change.stages[-1] - change.stages[0] for change in found]
    assert all(np.array_equal(whole, wholes[0]) for whole in wholes)
    firsts = {change.parts[change.causes.index("model")].tobytes() for change in found}
    assert len(firsts) > 1


def test_the_table_and_the_summary_say_the_same(model: Fitted) -> None:
    change = explain_change(Vintage(model, make_panel(TABLE, until=ROWS - 2)), Vintage(learn(leaves=3), PANEL))
    table = change.table()
    assert table.columns == ["shop", "hour", "before", *CAUSES, "after"]
    assert len(table) == 3 * 4
    whole = table.select(pl.sum_horizontal("before", *CAUSES)).to_series()
    np.testing.assert_allclose(whole, table["after"], rtol=0, atol=1e-12)
    assert table["hour"].min() == datetime(2024, 1, 1) + timedelta(hours=ROWS)
    assert change.summary()["cause"].to_list() == list(CAUSES)
    np.testing.assert_allclose(change.summary()["mean"].sum(), (table["after"] - table["before"]).mean(), atol=1e-12)


def test_series_that_only_one_panel_has_are_left_out_and_quantiles_can_be_asked_for(model: Fitted) -> None:
    old = make_panel(TABLE.filter(pl.col("shop") != "s1"), until=ROWS - 1)
    change = explain_change(Vintage(model, old), Vintage(model, PANEL), quantile=0.9)
    assert change.series == ("s0", "s2")
    assert (change.stages > explain_change(Vintage(model, old), Vintage(model, PANEL)).stages).all()


def test_a_series_that_ended_long_ago_is_left_out(model: Fitted) -> None:
    ended = (pl.col("shop") == "s1") & (pl.col("hour") > datetime(2024, 1, 3))
    table = TABLE.with_columns(pl.when(~ended).then(pl.col(name)).alias(name) for name in ("sold", "visits"))
    change = explain_change(Vintage(model, make_panel(table, until=ROWS - 1)), Vintage(model, make_panel(table)))
    assert change.series == ("s0", "s2")
    alone = TABLE.filter(pl.col("shop") == "s1")
    gone = alone.with_columns(pl.when(pl.col("hour") < datetime(2024, 1, 2)).then(pl.col("sold")).alias("sold"))
    last = Vintage(model, make_panel(gone), ROWS - 1)
    with pytest.raises(DataError, match="no series has values before"):
        explain_change(last, last)


def test_a_cutoff_in_the_past_of_one_panel_can_be_compared_too(model: Fitted) -> None:
    change = explain_change(Vintage(model, PANEL, ROWS - 4), Vintage(model, PANEL))
    assert sizes(change)["new data"] > 0
    assert change.stages.shape == (5, 3, 3)


def test_what_can_t_be_compared_is_an_error_with_the_remedy(model: Fitted) -> None:
    now = Vintage(model, PANEL)
    with pytest.raises(ConfigError, match=r"a change is between two Vintage\(fitted, panel\); got TreesFitted"):
        explain_change(now, model)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(ConfigError, match="the order names each cause once"):
        explain_change(now, now, order=("model",))
    with pytest.raises(ConfigError, match=r"no quantile of lightgbm is called '0\.3'"):
        explain_change(now, now, quantile=0.3)
    with pytest.raises(DataError, match="have no time in common"):
        explain_change(now, Vintage(model, make_panel(TABLE, until=ROWS - 1)))
    with pytest.raises(DataError, match="have no time in common"):
        explain_change(Vintage(model, PANEL, ROWS - 9), now)
    strangers = make_panel(TABLE.with_columns(shop=pl.col("shop") + "x"))
    with pytest.raises(DataError, match="no series in common"):
        explain_change(now, Vintage(model, strangers))


def test_panels_of_two_grids_are_not_compared(model: Fitted) -> None:
    every = PANEL.table.filter(pl.col("hour").dt.hour() % 2 == 0)
    roles: dict[str, Any] = {"past": ["visits"], "known": ["price"], "static": ["area"]}
    other = Panel.from_table(every, series="shop", time="hour", target="sold", **roles)
    with pytest.raises(FrequencyError, match="frequency 1h; this panel has 2h"):
        explain_change(Vintage(model, PANEL), Vintage(model, other))


def test_a_table_is_no_panel(model: Fitted) -> None:
    with pytest.raises(DataError, match="a forecast is made from a Panel; got DataFrame"):
        tw.forecast(model, TABLE)  # type: ignore[arg-type]  # that is the point
