"""A recipe is plain data, and its name covers all that its columns depend on."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.worlds import small_panel
from tidewright.errors import ConfigError, UnknownNameError
from tidewright.features import recipe as recipes
from tidewright.features.events import add_events
from tidewright.features.holidays import add_holidays
from tidewright.features.lags import add_lags
from tidewright.features.recipe import FEATURES, build_recipe

EVENTS = pl.DataFrame({"when": [date(2024, 1, 3)]})


def test_a_recipe_does_what_its_steps_do_one_by_one() -> None:
    panel = small_panel()
    recipe = build_recipe(
        ("lags", {"lags": [1, 24]}), ("holidays", {"country": "US"}), ("events", {"events": EVENTS, "time": "when"})
    )
    wanted = add_events(add_holidays(add_lags(panel, lags=[1, 24]), country="US"), EVENTS, time="when")
    made = recipe.apply(panel)
    assert made.roles == wanted.roles
    assert made.table.equals(wanted.table)


def test_every_feature_of_the_catalog_takes_a_panel_and_gives_one() -> None:
    options: dict[str, dict[str, Any]] = {
        "lags": {"lags": [1]},
        "weighted": {"spans": [7]},
        "seasonal": {"counts": [3, "all"]},
        "technical": {"indicators": ["rsi:14"], "close": "area"},
        "holidays": {"country": "US"},
        "events": {"events": EVENTS, "time": "when"},
        "season_shift": {"country": "US", "season": 8736},
    }
    for name in FEATURES:
        made = build_recipe((name, options.get(name, {}))).apply(small_panel())
        assert len(made.roles.columns) > len(small_panel().roles.columns), name


@pytest.mark.parametrize(
    "other",
    [
        [("lags", {"lags": [1, 8]})],
        [("lags", {"lags": [1, 7], "least": 2})],
        [("lags", {"lags": [1, 7]}), ("holidays", {"country": "US"})],
        [("lags", {"rolling": [1, 7]})],
    ],
)
def test_another_step_or_option_is_another_name(other: list[tuple[str, dict[str, Any]]]) -> None:
    assert build_recipe(("lags", {"lags": [1, 7]})).digest != build_recipe(*other).digest


def test_the_same_recipe_has_the_same_name_however_it_is_written() -> None:
    first = build_recipe(("lags", {"lags": [1, 7], "least": 2}))
    assert first.digest == build_recipe(("lags", {"least": 2, "lags": (1, 7)})).digest


def test_another_order_is_another_name() -> None:
    steps: list[tuple[str, dict[str, Any]]] = [("lags", {"lags": [1]}), ("holidays", {"country": "US"})]
    assert build_recipe(*steps).digest != build_recipe(*reversed(steps)).digest


def test_another_table_of_events_is_another_name_and_a_file_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("when\n2024-01-03\n")
    first = build_recipe(("events", {"events": path, "time": "when"}))
    path.write_text("when\n2024-01-04\n")
    second = build_recipe(("events", {"events": path, "time": "when"}))
    assert first.digest != second.digest
    assert first.apply(small_panel()).values("event").sum() == second.apply(small_panel()).values("event").sum() == 96


def test_other_code_is_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = build_recipe(("lags", {"lags": [1]}))
    first = recipe.digest
    monkeypatch.setattr(recipes, "_version", lambda package: "9.9")
    recipes.code_digest.cache_clear()
    assert recipe.digest != first
    monkeypatch.undo()
    recipes.code_digest.cache_clear()
    assert recipe.digest == first


def test_what_is_no_step_is_answered_with_the_near_one() -> None:
    with pytest.raises(UnknownNameError, match="no feature is called 'lag'"):
        build_recipe(("lag", {}))
    with pytest.raises(UnknownNameError, match="no option of the feature lags is called 'lag'"):
        build_recipe(("lags", {"lag": [1]}))
    with pytest.raises(ConfigError, match="is text, a number or a list of these; got set"):
        build_recipe(("lags", {"lags": {1, 7}}))
    with pytest.raises(ConfigError, match="one step at least"):
        build_recipe()
