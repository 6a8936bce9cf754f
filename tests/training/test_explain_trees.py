"""What the columns add to a forecast of trees adds up to the forecast, and lies where the world has it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

import tidewright as tw
from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError
from tidewright.features.view import View, fit_static
from tidewright.models.fitted import Fitted
from tidewright.training.conformal import conformalise
from tidewright.training.explain_trees import explain_trees

TASK = Task(horizon=3, quantiles=(0.1, 0.5, 0.9))


def make_panel() -> Panel:
    """Sales follow the price at the step, the visits of the hour before and the kind of shop; `noise` is nothing."""
    draw = np.random.default_rng(0)
    hours = [datetime(2024, 1, 1) + timedelta(hours=h) for h in range(260)]
    parts = []
    for number in range(4):
        price, visits = draw.normal(size=260), draw.normal(size=260)
        sold = 8.0 * price + 5.0 * np.concatenate([[0.0], visits[:-1]]) + draw.normal(size=260)
        part: dict[str, Any] = {"shop": f"s{number}", "hour": hours, "sold": sold, "price": price, "visits": visits}
        parts.append(pl.DataFrame({**part, "noise": draw.normal(size=260), "kind": "ab"[number % 2]}))
    roles: dict[str, Any] = {"known": ["price", "noise"], "past": ["visits"], "static": ["kind"]}
    return Panel.from_table(pl.concat(parts), series="shop", time="hour", target="sold", **roles)


PANEL = make_panel()
SPLIT = split_holdout(PANEL, TASK)
COLUMNS = {"sold", "visits", "price", "noise", "hour", "kind", "step"}


def learn(**options: Any) -> Fitted:
    spec = tw.build_spec("lightgbm", {"rounds": 30, "learning_rate": 0.2, **options})
    return tw.fit(spec, panel=PANEL, split=SPLIT, task=TASK, view=View(24, ("hour",), fit_static(PANEL), relative=True))


@pytest.fixture(scope="module")
def model() -> Fitted:
    return learn()


def check_sum(fitted: Fitted, **options: Any) -> None:
    found = explain_trees(fitted, panel=PANEL, split=SPLIT, most=25, background=10, **options)
    said = fitted.predict(found.windows)
    place = TASK.quantiles.index(found.quantile)
    sorted_alike = np.isclose(found.forecast, said[:, :, place], rtol=1e-9, atol=1e-9)
    assert sorted_alike.mean() > 0.8  # elsewhere quantiles crossed, and the model sorts them
    assert set(found.names) <= COLUMNS | set(fitted.inputs.names)  # type: ignore[attr-defined]


@pytest.mark.parametrize("quantile", [0.1, 0.5])
@pytest.mark.parametrize("by", ["column", "feature"])
def test_parts_add_up_to_the_forecast(model: Fitted, quantile: float, by: str) -> None:
    check_sum(model, quantile=quantile, by=by)


@pytest.mark.parametrize("options", [{"loss": "mean"}, {"unit": "season"}, {"categories": "native"}])
def test_parts_add_up_whatever_the_trees_count_in(options: dict[str, Any]) -> None:
    check_sum(learn(**options))


def test_with_one_quantile_nothing_crosses_and_the_sum_is_the_forecast() -> None:
    task = Task(horizon=3, quantiles=(0.5,))
    fitted = tw.fit(tw.build_spec("lightgbm", {"rounds": 20}), panel=PANEL, split=SPLIT, task=task)
    found = explain_trees(fitted, panel=PANEL, split=SPLIT, most=30, background=20)
    np.testing.assert_allclose(found.forecast, fitted.predict(found.windows)[:, :, 0], rtol=1e-9, atol=1e-9)


def test_the_parts_lie_where_the_world_has_them(model: Fitted) -> None:
    found = tw.explain_trees(model, panel=PANEL, split=SPLIT, most=60)
    assert set(found.names) == COLUMNS
    assert found.table()["feature"].to_list()[:2] == ["price", "visits"]
    place = found.names.index("price")
    price = np.stack([PANEL.values("price")[found.windows.rows + step] for step in (1, 2, 3)], axis=1)
    assert np.corrcoef(found.parts[:, :, place].ravel(), price.ravel())[0, 1] > 0.9
    visits = np.abs(found.parts[:, :, found.names.index("visits")]).mean(axis=0)
    assert visits[0] > 1.5 * visits[2]  # the visits of the last hour tell of the first step alone
    assert np.abs(found.parts[:, :, found.names.index("noise")]).mean() < 0.1 * np.abs(found.parts[:, :, place]).mean()


def test_a_conformal_model_is_read_through_and_the_seed_draws_the_background(model: Fitted) -> None:
    wide = conformalise(model, panel=PANEL, split=SPLIT)
    asked: dict[str, Any] = {"panel": PANEL, "split": SPLIT, "most": 5, "background": 5}
    np.testing.assert_array_equal(explain_trees(wide, **asked).parts, explain_trees(model, **asked).parts)
    assert not np.array_equal(explain_trees(model, **asked, seed=1).parts, explain_trees(model, **asked).parts)


def test_what_has_no_trees_is_an_error_that_says_what_to_do(model: Fitted) -> None:
    naive = tw.fit(tw.build_spec("naive"), panel=PANEL, split=SPLIT, task=TASK)
    with pytest.raises(ConfigError, match="naive has no trees to explain"):
        explain_trees(naive, panel=PANEL, split=SPLIT)
    with pytest.raises(ConfigError, match=r"no quantile of lightgbm is called '0\.3'"):
        explain_trees(model, panel=PANEL, split=SPLIT, quantile=0.3)
    with pytest.raises(ConfigError, match="no way to count players is called 'columns'"):
        explain_trees(model, panel=PANEL, split=SPLIT, by="columns")  # type: ignore[arg-type]
