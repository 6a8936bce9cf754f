"""Moves of features: found in a model's own fields, made to the best try so far, never what the user settled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.worlds import small_panel, small_table
from tidewright.data.frequency import Frequency
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.features.view import StaticEncoding, View
from tidewright.models.build import build_spec
from tidewright.models.spec import MODELS
from tidewright.models.specs.trees import LightGBM
from tidewright.models.tree_inputs import least_lookback
from tidewright.workflows import feature_moves
from tidewright.workflows.attempts import Try
from tidewright.workflows.feature_moves import list_features, name_holidays
from tidewright.workflows.field import Field
from tidewright.workflows.moves import Moves
from tidewright.workflows.run import run
from tidewright.workflows.search_record import Attempt
from tidewright.workflows.settings import read_settings

RATIOS = "ratios 1 4 6, around -2 -1 0 1 2"
VIEW = View(52, static=StaticEncoding((("kind", ("new", "old")),)))


def words(name: str, *, season: int = 52, **own: Any) -> list[str]:
    return [move.what for move in list_features(build_spec(name, own), view=VIEW, season=season)]


def moves_of(name: str, *asked: str) -> Moves:
    panel, task = small_panel(rows=400), Task(horizon=3)
    settings = read_settings(["preset=standard", f"model={name}", *asked])
    ring = Field(panel, split_holdout(panel, task), task, 24, settings, (), None)  # type: ignore[arg-type]  # nothing is learned
    return Moves(ring, name, build_spec(name, settings.models[name]), train=settings.train)


def tell(moves: Moves, one: Try, score: float) -> None:
    moves.tell(one, Attempt(one.model, one.what, one.key, score, 1.0, 1.0, 1.0))


def test_features_are_found_in_the_fields_of_a_record() -> None:
    assert words("lightgbm") == [
        "unit growth",
        "ratios 2 4 8 13, around -2 -1 0 1 2",
        "loss median",
        "unit season",
        "rolling 4 8 16 32",
        "categories native",
        "unit level",
    ]
    assert "loss median" not in words("svr")  # it has no other loss
    assert words("dlinear") == []
    assert words("lightgbm", season=1) == ["unit level", "loss median", "rolling 4 8 16 32", "categories native"]
    assert words("lightgbm", unit="season", loss="mean", ratios=(3,), rolling=(5,), categories="native") == []
    cells = [name for name in MODELS if MODELS[name].kind == "trees"]
    assert all("unit growth" in words(name) for name in cells)


def test_each_move_is_made_to_the_best_try_and_says_so() -> None:
    moves = moves_of("lightgbm")
    assert moves.hope == feature_moves.FEATURE_HOPE
    tell(moves, moves.usual, 1.0)
    said = []
    for score in (0.9, 0.95, 0.8, 0.85):
        one = moves.next()
        assert one is not None
        tell(moves, one, score)
        said.append(one)
    loss = "unit growth; loss median"
    assert [one.what for one in said] == ["unit growth", f"unit growth; {RATIOS}", loss, f"{loss}; unit season"]
    assert said[1].options == {"model.unit": "growth", "model.ratios": (1, 4, 6), "model.around": (-2, -1, 0, 1, 2)}
    assert said[2].spec.ratios == ()  # type: ignore[attr-defined]  # trees; the try with ratios was no better


def test_a_lookback_grows_where_features_need_it_unless_it_was_settled() -> None:
    free, settled = moves_of("lightgbm"), moves_of("lightgbm", "lookback=26")
    assert settled.usual.view is not None
    free.usual = replace(free.usual, view=settled.usual.view)
    tries = {moves: [moves._apply(move) for move in moves._queue] for moves in (free, settled)}
    (longer,) = [one for one in tries[free] if one is not None and "ratios" in one.what]
    assert longer.what.endswith(", lookback 30")
    assert longer.view is not None
    assert longer.view.lookback == longer.options["view.lookback"] == 30
    assert not any("ratios" in one.what for one in tries[settled] if one is not None)
    assert all(one.view.lookback == 26 for one in tries[settled] if one is not None and one.view is not None)


def test_what_a_record_refuses_or_the_user_settled_is_no_try() -> None:
    moves = moves_of("random_forest")
    queued = {move.what for move in moves._queue}
    assert "categories native" in queued
    tries = [moves._apply(move) for move in moves._queue]
    assert "categories native" not in {one.what for one in tries if one is not None}
    unvaried = moves_of("lightgbm", "tune.enabled=false")
    assert not any(name.startswith("model.") for move in unvaried._queue for name in move.options)


def test_the_least_lookback_is_what_options_look_back_at() -> None:
    assert least_lookback(LightGBM(), season=12) == 1
    assert least_lookback(LightGBM(unit="growth"), season=12) == 12
    assert least_lookback(LightGBM(ratios=(3,), around=(-2, 1), lags=(14,)), season=12) == 15
    assert least_lookback(LightGBM(rolling=(20,)), season=12) == 20


def test_only_a_grid_that_names_an_exchange_has_holidays_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("holidays")
    assert name_holidays(Frequency("session", 1, 0, calendar="XNYS")) == ("holiday:XNYS",)
    assert name_holidays(Frequency("session", 1, 0, calendar="nowhere")) == ()
    assert name_holidays(Frequency("business", 1, 0)) == ()
    monkeypatch.setattr(feature_moves, "has", lambda _: False)
    assert name_holidays(Frequency("session", 1, 0, calendar="XNYS")) == ()


def test_a_preset_tries_other_features_of_trees(tmp_path: Path) -> None:
    table = small_table(series=2, rows=160, covariates=False)
    small = ["horizon=3", "track=false", f"folder={tmp_path}", "models.lightgbm.rounds=3", "tune.trials=4"]
    asked = ["preset=standard", "model=lightgbm", "strict=true", *small]
    result = run(table, overrides=asked, series="shop", time="hour", target="sold")
    assert result.search is not None
    tries = [one for one in result.search.attempts if not one.floor]
    assert tries[1].what == "unit growth"
    assert [any(word in one.what for one in tries) for word in ("ratios", "loss median")] == [True, True]
    assert all(one.score is not None for one in tries)
