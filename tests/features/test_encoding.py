"""Target encoding against a loop over earlier rows, and worlds in which it must not know anything."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

import tidewright as tw
from tidewright.data.panel import Panel
from tidewright.data.splits import Split, split_holdout
from tidewright.data.task import Task
from tidewright.errors import ColumnError, ConfigError, FrequencyError
from tidewright.features.encoding import fit_target_encoding
from tidewright.training.evaluate import evaluate

COLUMNS = ("kind", "shop", "promo", "visits")


def make_panel(*, series: int = 6, rows: int = 50, seed: int = 0, noise_only: bool = False) -> Panel:
    """Shops of two kinds, some of which begin later; a known promotion class and a past class `visits`."""
    draw = np.random.default_rng(seed)
    days = pl.date_range(date(2024, 1, 1), date(2024, 12, 31), eager=True)
    parts = []
    for number in range(series):
        length = rows - int(draw.integers(0, 10))
        promo = draw.integers(0, 3, length).astype(float)
        sold = draw.normal(size=length)
        if not noise_only:
            sold += 10.0 * (number % 2) + 3.0 * promo
            sold[draw.random(length) < 0.1] = np.nan
            sold[-1] = 1.0
        part: dict[str, Any] = {"shop": f"s{number}", "day": days[rows - length : rows], "sold": sold, "promo": promo}
        part |= {"kind": "ab"[number % 2], "visits": draw.integers(0, 4, length).astype(float)}
        parts.append(pl.DataFrame(part).with_columns(pl.col("sold").fill_nan(None)))
    roles: dict[str, Any] = {"static": ["kind"], "known": ["promo"], "past": ["visits"]}
    return Panel.from_table(pl.concat(parts), series="shop", time="day", target="sold", **roles)


def split_of(panel: Panel, horizon: int = 3) -> Split:
    return split_holdout(panel, Task(horizon=horizon), validation=6, test=6)


def level_of(panel: Panel, name: str, row: int) -> Any:
    return panel.table[name][row]


@pytest.mark.parametrize("name", COLUMNS)
def test_a_row_is_the_smoothed_mean_of_earlier_training_rows_of_its_level(name: str) -> None:
    panel = make_panel()
    split = split_of(panel)
    encoded = fit_target_encoding(panel, split, columns=[name], smoothing=5.0).apply(panel).values(f"{name}_encoded")
    until, delay = split.train.last + split.horizon, split.horizon if name == "promo" else 1
    for row in range(len(panel.table)):
        reach = min(int(panel.positions[row]) - delay, until)
        seen = (panel.positions <= reach) & ~np.isnan(panel.target)
        own = seen & (panel.table[name] == level_of(panel, name, row)).to_numpy()
        if not seen.any():
            assert np.isnan(encoded[row])
            continue
        wanted = (panel.target[own].sum() + 5.0 * panel.target[seen].mean()) / (own.sum() + 5.0)
        assert encoded[row] == pytest.approx(wanted, rel=1e-12, abs=1e-12)


def test_a_column_keeps_what_is_known_of_it() -> None:
    panel = make_panel()
    roles = fit_target_encoding(panel, split_of(panel), columns=COLUMNS).apply(panel).roles
    assert roles.known == ("promo", "promo_encoded")
    assert roles.past == ("visits", "kind_encoded", "shop_encoded", "visits_encoded")


def test_a_level_that_training_did_not_see_is_the_mean_of_all() -> None:
    panel = make_panel()
    split = split_of(panel)
    encoding = fit_target_encoding(panel, split, columns=["kind", "shop", "promo"])
    table = panel.table.filter(pl.col("shop") == "s0").with_columns(shop=pl.lit("new"), kind=pl.lit("c"), promo=9.0)
    roles: dict[str, Any] = {"static": ["kind"], "known": ["promo"]}
    other = Panel.from_table(table, series="shop", time="day", target="sold", frequency="1d", **roles)
    last = split.train.last + split.horizon
    mean = np.nanmean(panel.target[panel.positions <= last])
    seen = encoding.apply(other)
    for name in ("kind", "shop", "promo"):
        assert seen.values(f"{name}_encoded")[-1] == pytest.approx(mean)
    missing = encoding.apply(
        Panel.from_table(
            table.with_columns(kind=pl.lit(None, dtype=pl.String)), series="shop", time="day", target="sold", **roles
        )
    )
    assert missing.values("kind_encoded")[-1] == pytest.approx(mean)


def test_validation_and_test_change_nothing_and_see_training_alone() -> None:
    panel = make_panel()
    split = split_of(panel)
    after = panel.positions > split.train.last + split.horizon
    table = panel.table.with_columns(pl.Series("sold", np.where(after, 999.0, panel.target)).fill_nan(None))
    roles: dict[str, Any] = {"static": ["kind"], "known": ["promo"], "past": ["visits"]}
    other = Panel.from_table(table, series="shop", time="day", target="sold", **roles)
    ours = fit_target_encoding(panel, split, columns=COLUMNS).apply(panel)
    theirs = fit_target_encoding(other, split, columns=COLUMNS).apply(other)
    for name in COLUMNS:
        assert ours.values(f"{name}_encoded").tobytes() == theirs.values(f"{name}_encoded").tobytes()


@pytest.mark.parametrize("cut", [3, 11, 20, 30, 37])
def test_nothing_after_a_cutoff_changes_what_is_seen_at_it_even_in_training(cut: int) -> None:
    panel = make_panel()
    split = split_of(panel)
    changed = np.where(panel.positions > cut, panel.target * -7.0 + 1.0, panel.target)
    table = panel.table.with_columns(pl.Series("sold", changed).fill_nan(None))
    roles: dict[str, Any] = {"static": ["kind"], "known": ["promo"], "past": ["visits"]}
    other = Panel.from_table(table, series="shop", time="day", target="sold", **roles)
    ours, theirs = (fit_target_encoding(p, split, columns=COLUMNS).apply(p) for p in (panel, other))
    for name in COLUMNS:
        reach = cut + (split.horizon if name == "promo" else 1)  # a known column is seen over the whole horizon
        seen = panel.positions <= reach
        assert ours.values(f"{name}_encoded")[seen].tobytes() == theirs.values(f"{name}_encoded")[seen].tobytes()


def test_in_a_world_without_anything_to_know_it_knows_nothing() -> None:
    panel = make_panel(series=300, rows=24, noise_only=True)
    split = split_of(panel, horizon=2)
    encoding = fit_target_encoding(panel, split, columns=["shop"], smoothing=1.0)
    seen = encoding.apply(panel).values("shop_encoded")
    train = panel.positions <= split.train.last
    inside = train & ~np.isnan(seen)
    honest = np.corrcoef(seen[inside], panel.target[inside])[0, 1]
    means = pl.DataFrame({"s": panel.table["shop"], "y": panel.target}).filter(pl.Series(train)).group_by("s").mean()
    leaky = panel.table.select("shop").join(means, left_on="shop", right_on="s", how="left")["y"].to_numpy()
    assert np.corrcoef(leaky[inside], panel.target[inside])[0, 1] > 0.2  # what a fit on all rows would find
    assert abs(honest) < 3.0 / np.sqrt(inside.sum())


def test_trees_with_an_encoding_score_at_chance_where_labels_are_shuffled() -> None:
    panel, task = make_panel(series=120, rows=40, noise_only=True), Task(horizon=2, quantiles=(0.5,))
    split = split_of(panel, horizon=2)
    encoded = fit_target_encoding(panel, split, columns=["shop"], smoothing=1.0).apply(panel)
    spec = tw.build_spec("lightgbm", {"rounds": 40, "min_leaf": 5})
    fitted = tw.fit(spec, panel=encoded, split=split, task=task, view=tw.View(4))
    scores = evaluate(fitted, panel=encoded, split=split, cutoffs=split.validation)
    actual = scores.windows.labels()
    chance = np.nanmean(np.abs(actual - np.nanmedian(panel.target[panel.positions <= split.train.last])))
    assert scores.scores["mae"] > 0.97 * chance


def test_what_can_t_be_encoded_is_named() -> None:
    panel = make_panel()
    with pytest.raises(ColumnError, match=r"no column to encode is called 'knd'\. Did you mean 'kind'"):
        fit_target_encoding(panel, split_of(panel), columns=["knd"])
    with pytest.raises(ConfigError, match="smoothing is a number of rows, above 0"):
        fit_target_encoding(panel, split_of(panel), columns=["kind"], smoothing=0.0)
    encoding = fit_target_encoding(panel, split_of(panel), columns=["promo"])
    bare = Panel.from_table(panel.table.select("shop", "day", "sold"), series="shop", time="day", target="sold")
    with pytest.raises(ColumnError, match="the known column 'promo' of training is not in this panel"):
        encoding.apply(bare)


def test_an_encoding_of_another_target_role_or_type_is_refused() -> None:
    panel = make_panel()
    encoding = fit_target_encoding(panel, split_of(panel), columns=["promo", "shop"])
    roles = {"past": ["visits"], "known": ["promo"], "static": ["kind"]}
    renamed = panel.table.rename({"sold": "sales"})
    with pytest.raises(ColumnError, match="the target column 'sold' of training is not in this panel"):
        encoding.apply(Panel.from_table(renamed, series="shop", time="day", target="sales", **roles))
    late = Panel.from_table(panel.table, series="shop", time="day", target="sold", past=["visits", "promo"])
    with pytest.raises(ColumnError, match="column 'promo' was known in training, and is past in this panel"):
        encoding.apply(late)
    numbered = panel.table.with_columns(shop=pl.col("shop").rank("dense").cast(pl.Int64))
    with pytest.raises(ColumnError, match="the series in 'shop' were String in training and are Int64 now"):
        encoding.apply(Panel.from_table(numbered, series="shop", time="day", target="sold", **roles))


def test_a_panel_that_begins_later_is_encoded_alike() -> None:
    panel = make_panel()
    encoding = fit_target_encoding(panel, split_of(panel), columns=COLUMNS)
    late = Panel.from_table(
        panel.table.filter(pl.col("day") > date(2024, 1, 20)), series="shop", time="day", target="sold",
        static=["kind"], known=["promo"], past=["visits"],
    )  # fmt: skip
    whole, part = encoding.apply(panel), encoding.apply(late)
    names = ["shop", "day", *(f"{name}_encoded" for name in COLUMNS)]
    kept = whole.table.filter(pl.col("day") > date(2024, 1, 20)).select(names)
    assert kept.equals(part.table.select(names))


def test_a_panel_of_another_grid_is_refused() -> None:
    panel = make_panel()
    encoding = fit_target_encoding(panel, split_of(panel), columns=["kind"])
    weekly = panel.table.filter(pl.col("day").dt.weekday() == 1)
    other = Panel.from_table(weekly, series="shop", time="day", target="sold", static=["kind"], frequency="1w")
    with pytest.raises(FrequencyError, match="learned from data of the frequency 1d; this panel has 1w"):
        encoding.apply(other)


@pytest.mark.parametrize("smoothing", [float("inf"), "20", True])
def test_smoothing_is_a_finite_number(smoothing: Any) -> None:
    panel = make_panel()
    with pytest.raises(ConfigError, match="smoothing is a number of rows, above 0"):
        fit_target_encoding(panel, split_of(panel), columns=["kind"], smoothing=smoothing)


def test_columns_are_no_text() -> None:
    panel = make_panel()
    with pytest.raises(ConfigError, match="Write \\['kind'\\]"):
        fit_target_encoding(panel, split_of(panel), columns="kind")
