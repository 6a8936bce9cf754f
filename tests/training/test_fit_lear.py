"""LEAR's matrix against numpy's, what it sees, and how its penalty is chosen."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, Split
from tidewright.data.task import Task
from tidewright.errors import ConfigError, FitError
from tidewright.features.view import View
from tidewright.features.windows import cut_windows
from tidewright.models.build import build_spec
from tidewright.models.torch.fitted import TorchFitted
from tidewright.training.fit import fit

TASK = Task(horizon=6)
VIEW = View(24, relative=True)


@cache
def panel(*, days: int = 200, gap: bool = False) -> Panel:
    """Six-hour days of prices that follow a known load and the prices of the day before."""
    draw = np.random.default_rng(0)
    rows = 6 * days
    load = draw.normal(size=rows)
    price = np.zeros(rows)
    for row in range(6, rows):
        price[row] = 0.5 * price[row - 6] + 2.0 * load[row] - load[row - 6] + 0.1 * draw.normal()
    times = [datetime(2024, 1, 1) + timedelta(hours=row) for row in range(rows)]
    table = pl.DataFrame({"hour": times, "price": 30.0 + price, "load": load})
    if gap:
        table = table.with_columns(
            pl.when(pl.col("hour").dt.hour() % 6 == 3).then(None).otherwise("price").alias("price")
        )
    return Panel.from_table(table, time="hour", target="price", known=["load"])


def learn(given: Panel | None = None, **options: Any) -> TorchFitted:
    given = given or panel()
    last = given.span[1]
    split = Split(Cutoffs(23, last - 246, 6), Cutoffs(last - 240, last - 6, 6), None, 6, 6, 0)
    spec = build_spec("lear", {"season": 6, "lags": (1, 2), **options})
    fitted = fit(spec, panel=given, split=split, task=TASK, view=VIEW)
    assert isinstance(fitted, TorchFitted)
    return fitted


def test_the_matrix_is_the_ridge_regression_of_numpy() -> None:
    fitted = learn(squash=False, penalties=(0.2,))
    split_last = panel().span[1] - 246
    windows = cut_windows(panel(), VIEW, horizon=6, cutoffs=Cutoffs(23, split_last, 6))
    past, labels = windows.history(), windows.labels()
    mean, scale = past.mean(1, keepdims=True), past.std(1, keepdims=True)
    load = windows.batch().known[:, :, 0].astype(np.float64)
    load = (load - load[:, :24].mean(1, keepdims=True)) / load[:, :24].std(1, keepdims=True)
    rows = np.hstack([((past - mean) / scale)[:, -12:], load[:, 12:]])
    wanted = (labels - mean) / scale
    units = (rows - rows.mean(0)) / rows.std(0)
    weights = np.linalg.solve(
        units.T @ units + 0.2 * len(rows) * np.eye(rows.shape[1]), units.T @ (wanted - wanted.mean(0))
    )
    expected = mean + scale * (units @ weights + wanted.mean(0))
    np.testing.assert_allclose(fitted.predict(windows)[:, :, 1], expected, atol=2e-3)


def test_a_known_covariate_and_the_season_before_are_found() -> None:
    fitted = learn()
    last = panel().span[1]
    windows = cut_windows(panel(), VIEW, horizon=6, cutoffs=Cutoffs(last - 240, last - 6, 6))
    error = np.abs(fitted.predict(windows)[:, :, 1] - windows.labels()).mean()
    assert error < 0.25 * np.abs(windows.history()[:, -6:] - windows.labels()).mean()


def test_the_penalty_is_the_best_on_validation() -> None:
    many = learn(penalties=(0.003, 0.1, 30.0))
    losses = [record["validation_loss"] for record in many.history]
    assert [record["penalty"] for record in many.history] == [0.003, 0.1, 30.0]
    best = learn(penalties=((0.003, 0.1, 30.0)[int(np.argmin(losses))],))
    assert {name: array.tobytes() for name, array in many.tensors().items()} == {
        name: array.tobytes() for name, array in best.tensors().items()
    }
    assert losses[2] > 2 * min(losses)


def test_windows_without_all_labels_are_left_out_and_none_is_an_error() -> None:
    with pytest.raises(FitError, match="no training window has all its labels"):
        learn(panel(gap=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"season": 0}, r"lear.season is made of whole numbers of 1 or more; got 0"),
        ({"lags": (1, 1)}, r"lear.lags are different numbers of seasons, at least one; got \(1, 1\)"),
        ({"lags": ()}, r"lear.lags are different numbers"),
        ({"penalties": (0.0,)}, r"lear.penalties are numbers above 0, at least one; got \(0.0,\)"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_spec("lear", options)
