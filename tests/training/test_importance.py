"""Importance finds what a model uses, leaves what it doesn't at nothing, and moves real courses in whole blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

import tidewright as tw
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError, ShortSeriesError
from tidewright.features.view import View, fit_static
from tidewright.features.windows import Windows
from tidewright.models.spec import ModelSpec
from tidewright.training.importance import list_features, permutation_importance

TASK = Task(horizon=3, quantiles=(0.5,))
LOOKBACK = 5


def make_panel(series: int = 4, rows: int = 120) -> Panel:
    """The target is 10 times `price` and 3 times the shop's kind; `noise`, `visits` and `town` are nothing to it."""
    draw = np.random.default_rng(0)
    hours = [datetime(2024, 1, 1) + timedelta(hours=h) for h in range(rows)]
    parts = []
    for number in range(series):
        price, kind = draw.normal(size=rows), float(number % 2)
        part: dict[str, Any] = {"shop": f"s{number}", "hour": hours, "price": price, "noise": draw.normal(size=rows)}
        part |= {"visits": draw.normal(size=rows), "kind": kind, "town": "abc"[number % 3]}
        parts.append(pl.DataFrame({**part, "sold": 10.0 * price + 3.0 * kind + 0.1 * draw.normal(size=rows)}))
    roles: dict[str, Any] = {"past": ["visits"], "known": ["price", "noise"], "static": ["kind", "town"]}
    return Panel.from_table(pl.concat(parts), series="shop", time="hour", target="sold", **roles)


PANEL = make_panel()
SPLIT = split_holdout(PANEL, TASK, validation=24, test=12)
VIEW = View(LOOKBACK, ("hour",), fit_static(PANEL))


@dataclass(frozen=True, eq=False)
class Knows:
    """A model that knows the world's formula, and remembers what it was shown."""

    task: Task = TASK
    view: View = VIEW
    spec: ModelSpec = field(default_factory=lambda: tw.build_spec("lightgbm"))
    history: tuple[Mapping[str, Any], ...] = ()
    shown: list[Windows] = field(default_factory=list)

    def predict(self, windows: Windows) -> np.ndarray:
        self.shown.append(windows)
        batch = windows.batch()
        kind = batch.static[:, 0]
        return (10.0 * batch.known[:, self.view.lookback :, 0] + 3.0 * kind[:, None])[:, :, None].astype(np.float64)

    def tensors(self) -> dict[str, Any]:
        return {}


def test_what_is_used_is_found_in_the_unit_of_the_metric_and_the_rest_is_nothing() -> None:
    found = permutation_importance(Knows(), panel=PANEL, split=SPLIT, repeats=4)
    table = {row["feature"]: row for row in found.table().to_dicts()}
    assert list(table)[:2] == ["price", "kind"]
    assert found.table()["part"].to_list()[:2] == ["known", "static"]
    assert table["price"]["importance"] == pytest.approx(10.0 * 2.0 / np.sqrt(np.pi), rel=0.2)  # E|x - x'| of normals
    assert 0.5 < table["kind"]["importance"] <= 3.1
    assert table["price"]["spread"] > 0
    for name in ("sold", "visits", "noise", "town", "hour"):
        assert (table[name]["importance"], table[name]["spread"]) == (0.0, 0.0)
    assert found.baseline == pytest.approx(0.08, abs=0.02)
    assert found.values.shape == (7, 4)
    assert found.block == 24  # the season of hours


@pytest.mark.parametrize("metric", ["mse", "wape", "mase"])
def test_every_metric_grows_where_a_needed_feature_is_away(metric: str) -> None:
    found = permutation_importance(Knows(), panel=PANEL, split=SPLIT, metric=metric, features=["price"], repeats=2)
    assert (found.values > 2 * found.baseline).all()


def test_a_block_of_cutoffs_sees_one_course_from_another_time_in_every_series() -> None:
    model = Knows()
    permutation_importance(model, panel=PANEL, split=SPLIT, features=["price"], block=6, repeats=1)
    before, moved = model.shown
    price = PANEL.values("price").astype(np.float32)
    true, seen = before.batch(), moved.batch()
    shifts = np.empty(len(before), dtype=np.int64)
    for window in range(len(before)):
        row = int(before.rows[window])
        start = PANEL.offsets[before.series[window]]
        rows = PANEL.rows_of(PANEL.series_ids[before.series[window]])
        width = LOOKBACK + TASK.horizon
        courses = np.lib.stride_tricks.sliding_window_view(price[rows], width)
        (place,) = np.flatnonzero((courses == seen.known[window, :, 0]).all(axis=1))
        shifts[window] = place + LOOKBACK - 1 + start - row
        np.testing.assert_array_equal(seen.known[window, :, 1:], true.known[window, :, 1:])
    for name in ("target", "past", "static"):
        np.testing.assert_array_equal(getattr(seen, name), getattr(true, name))
    blocks = (before.cutoffs - before.cutoffs.min()) // 6
    assert [len(set(shifts[blocks == block].tolist())) for block in np.unique(blocks)] == [1] * 4
    assert len(set(shifts.tolist())) > 1
    assert (np.abs(shifts) >= 4).all()  # the last block is of 4 cutoffs


def test_the_repeats_of_a_single_cutoff_are_spread_over_all_other_times() -> None:
    model, last = Knows(), SPLIT.validation.last
    one = Cutoffs(last, last)
    permutation_importance(model, panel=PANEL, split=SPLIT, cutoffs=one, features=["price"], repeats=4)
    courses = np.lib.stride_tricks.sliding_window_view(PANEL.values("price").astype(np.float32)[PANEL.rows_of("s0")], 8)
    found = [windows.batch().known[0, :, 0] for windows in model.shown[1:]]
    places = sorted(int(np.flatnonzero((courses == course).all(axis=1))[0]) for course in found)
    quarter = (last - LOOKBACK + 1) / 4
    assert [int(place / quarter) for place in places] == [0, 1, 2, 3]


def test_the_history_and_the_statics_are_moved_too() -> None:
    model = Knows()
    permutation_importance(model, panel=PANEL, split=SPLIT, features=["sold", "town"], repeats=1)
    before, history, town = model.shown
    assert not np.array_equal(history.history(), before.history())
    np.testing.assert_array_equal(history.batch().known, before.batch().known)
    assert not np.array_equal(town.batch().static[:, 1:], before.batch().static[:, 1:])
    np.testing.assert_array_equal(town.batch().static[:, 0], before.batch().static[:, 0])


def test_a_model_that_learned_shows_what_it_learned() -> None:
    spec = tw.build_spec("lightgbm", {"rounds": 40, "learning_rate": 0.2})
    fitted = tw.fit(spec, panel=PANEL, split=SPLIT, task=TASK, view=VIEW)
    table = tw.permutation_importance(fitted, panel=PANEL, split=SPLIT, repeats=3).table()
    assert table["feature"][0] == "price"
    rest = table.filter(pl.col("feature").is_in(["noise", "visits", "hour"]))
    assert rest["importance"].abs().max() < 0.1 * table["importance"][0]


def test_networks_and_ensembles_are_asked_like_any_model() -> None:
    train = tw.TrainSpec(epochs=1, steps=2, batch_size=16)
    data: dict[str, Any] = {"panel": PANEL, "split": SPLIT}
    members = [tw.fit(tw.build_spec(name), **data, task=TASK, train=train) for name in ("lstm", "lightgbm", "ridge")]
    both = tw.fit_ensemble(members, **data, rule="mean")
    for fitted in (members[0], both):
        found = permutation_importance(fitted, **data, repeats=1, most=20)
        assert np.isfinite(found.values).all()
        assert {"sold", "visits", "price", "noise", "kind", "town"} <= {one.name for one in found.features}
        assert (found.values != 0.0).sum() >= 5


def test_the_same_seed_gives_the_same_and_fewer_windows_are_evenly_spread() -> None:
    asked: dict[str, Any] = {"panel": PANEL, "split": SPLIT, "features": ["price"], "repeats": 2}
    first, same, other = (permutation_importance(Knows(), **asked, seed=seed).values for seed in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
    assert permutation_importance(Knows(), **asked, most=10).count == 10


def test_a_floor_has_its_history_alone() -> None:
    fitted = tw.fit(tw.build_spec("naive"), panel=PANEL, split=SPLIT, task=TASK)
    table = permutation_importance(fitted, panel=PANEL, split=SPLIT, repeats=2).table()
    assert table["feature"].to_list() == ["sold"]


def test_features_are_named_once_however_many_columns_they_have() -> None:
    names = [(one.name, one.part, len(one.columns)) for one in list_features(PANEL, VIEW)]
    assert names == [
        ("sold", "target", 1), ("visits", "past", 1), ("price", "known", 1), ("noise", "known", 1),
        ("hour", "known", 2), ("kind", "static", 1), ("town", "static", 3),
    ]  # fmt: skip


def test_what_can_t_be_asked_is_answered_with_the_remedy() -> None:
    with pytest.raises(ConfigError, match=r"no feature of the model is called 'prise'\. Did you mean 'price'"):
        permutation_importance(Knows(), panel=PANEL, split=SPLIT, features=["prise"])
    with pytest.raises(ConfigError, match="repeats is a whole number, 1 or more; got 0"):
        permutation_importance(Knows(), panel=PANEL, split=SPLIT, repeats=0)
    short = Knows(view=View(80, (), VIEW.static))
    with pytest.raises(ShortSeriesError, match="Ask for shorter blocks or a shorter lookback"):
        permutation_importance(short, panel=PANEL, split=SPLIT, cutoffs=SPLIT.validation, block=200)
