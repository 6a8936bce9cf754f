"""Selection keeps what was planted and drops noise, copies and constants, and looks at the training part alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

import tidewright as tw
from tidewright.data.panel import Panel
from tidewright.data.splits import Split, split_holdout
from tidewright.data.task import Task
from tidewright.errors import ColumnError, ConfigError
from tidewright.training.select_features import FeatureChoice, select_features

NOISE = 8
SPEC = tw.build_spec("lightgbm", {"rounds": 40, "learning_rate": 0.2})


def make_panel(*, series: int = 4, rows: int = 300, seed: int = 0) -> Panel:
    """What is sold follows `price` (known) and yesterday's `visits` (past); `noise0` and so on are nothing to it.

    `price_in_cents` is nearly a copy of `price`, `year` and `land` are constant, `area` is another kind of noise.
    """
    draw = np.random.default_rng(seed)
    hours = [datetime(2024, 1, 1) + timedelta(hours=h) for h in range(rows)]
    parts = []
    for number in range(series):
        price, visits = draw.normal(size=rows), draw.normal(size=rows)
        sold = 8.0 * price + 5.0 * np.concatenate([[0.0], visits[:-1]]) + draw.normal(size=rows)
        part: dict[str, Any] = {"shop": f"s{number}", "hour": hours, "sold": sold, "price": price, "visits": visits}
        part |= {"price_in_cents": 100.0 * price + 5.0 * draw.normal(size=rows), "year": 2024.0, "land": "here"}
        part |= {f"noise{k}": draw.normal(size=rows) for k in range(NOISE)}
        parts.append(pl.DataFrame(part))
    noise = [f"noise{k}" for k in range(NOISE)]
    roles: dict[str, Any] = {"known": ["price", "price_in_cents", "year", *noise[:4]], "past": ["visits", *noise[4:]]}
    return Panel.from_table(pl.concat(parts), series="shop", time="hour", target="sold", static=["land"], **roles)


def split_of(panel: Panel) -> Split:
    return split_holdout(panel, Task(horizon=1), validation=30, test=30)


@pytest.fixture(scope="module")
def choice() -> FeatureChoice:
    panel = make_panel()
    return select_features(panel, split_of(panel), model=SPEC)


def test_the_planted_columns_stay_and_everything_else_goes(choice: FeatureChoice) -> None:
    assert set(choice.kept) == {"price", "visits"}
    assert set(choice.dropped) == {"price_in_cents", "year", "land", *(f"noise{k}" for k in range(NOISE))}


def test_every_column_has_its_reason(choice: FeatureChoice) -> None:
    reasons = {one.name: one.reason for one in choice.columns}
    assert reasons["year"] == reasons["land"] == "constant in training"
    assert reasons["price_in_cents"].startswith("correlation 0.999 with price")
    assert reasons["price"].endswith("above 0 in 4 of 4 blocks")
    assert all(reasons[f"noise{k}"].startswith(("not stable", "no more than chance")) for k in range(NOISE))
    table = choice.table()
    assert table["column"].to_list()[:2] == ["price", "visits"]
    assert set(table.columns) == {"column", "kept", "importance", "blocks_above_0", "reason"}
    assert choice.noise > 0


def test_it_can_be_applied_to_any_panel_with_the_kept_columns(choice: FeatureChoice) -> None:
    other = choice.apply(make_panel(series=2, rows=60, seed=5))
    assert (other.roles.known, other.roles.past, other.roles.static) == (("price",), ("visits",), ())
    bare = Panel.from_table(other.table.select("shop", "hour", "sold", "price"), series="shop", time="hour",
                            target="sold", known=["price"])  # fmt: skip
    with pytest.raises(ColumnError, match="no covariate 'visits', which was kept"):
        choice.apply(bare)


def test_nothing_after_the_training_part_changes_the_choice(choice: FeatureChoice) -> None:
    panel = make_panel()
    split = split_of(panel)
    later = panel.positions > split.train.last + split.horizon
    names = ["sold", "price", "visits", "noise0"]
    changed = {
        name: pl.Series(name, np.where(later, 1e3 + panel.values(name)[::-1], panel.values(name))) for name in names
    }
    table = panel.table.with_columns(**changed)
    roles: dict[str, Any] = {"known": panel.roles.known, "past": panel.roles.past, "static": panel.roles.static}
    other = Panel.from_table(table, series="shop", time="hour", target="sold", **roles)
    assert select_features(other, split, model=SPEC) == choice


def test_a_world_of_noise_keeps_nothing() -> None:
    panel = make_panel(seed=3)
    noise = pl.Series("sold", np.random.default_rng(9).normal(size=len(panel.table)))
    roles: dict[str, Any] = {"known": panel.roles.known, "past": panel.roles.past}
    world = Panel.from_table(panel.table.with_columns(noise), series="shop", time="hour", target="sold", **roles)
    assert select_features(world, split_of(world), model=SPEC, blocks=3).kept == ()


def test_stricter_and_looser_options_decide_otherwise(choice: FeatureChoice) -> None:
    panel = make_panel()
    loose = select_features(
        panel, split_of(panel), model=SPEC, correlation=1.0, blocks=2, metric="mse", repeats=1, most=99
    )
    assert not any(one.reason.startswith("correlation") for one in loose.columns)
    assert loose.metric == "mse"
    assert len(next(one for one in loose.columns if one.name == "price").importance) == 2
    assert choice.metric == "mae"


def test_what_can_t_be_chosen_from_is_an_error() -> None:
    panel = make_panel(rows=80)
    with pytest.raises(ConfigError, match="blocks are two or more"):
        select_features(panel, split_of(panel), blocks=1)
    bare = Panel.from_table(panel.table.select("shop", "hour", "sold"), series="shop", time="hour", target="sold")
    with pytest.raises(ColumnError, match="no past, known or static column to choose from"):
        select_features(bare, split_of(bare))
