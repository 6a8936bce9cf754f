"""Advice follows from measured facts, and says them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from tidewright.data.panel import Panel
from tidewright.data.simulate import noise_panel, signal_panel
from tidewright.data.task import Task
from tidewright.models.facts import PanelFacts, measure_facts
from tidewright.models.recommend import RULES, recommend
from tidewright.models.spec import MODELS

TASK = Task(horizon=7)
USUAL = PanelFacts(
    series=5,
    rows=10_000,
    median_length=2_000,
    windows=20_000,
    horizon=7,
    lookback=14,
    past=0,
    known=0,
    static=0,
    missing_share=0.0,
    season=7,
    season_strength=0.8,
    trend_strength=0.1,
    noise_share=0.1,
    drift_share=0.5,
)


def names(panel: Panel, task: Task = TASK) -> list[str]:
    return [one.model for one in recommend(panel, task)]


def test_counts_are_those_of_the_panel() -> None:
    panel = signal_panel(n_series=4, length=300, seed=0, driver=1.0, static=True)
    facts = measure_facts(panel, TASK)
    assert (facts.series, facts.rows, facts.median_length, facts.season) == (4, 1200, 300, 7)
    assert (facts.past, facts.known, facts.static, facts.covariates) == (0, 1, 1, 2)
    assert facts.windows == 4 * (300 - 14 - 7 + 1)


def test_strengths_agree_with_a_decomposition_of_statsmodels() -> None:
    from statsmodels.tsa.seasonal import seasonal_decompose  # type: ignore[import-untyped]

    panel = signal_panel(n_series=1, length=400, seed=3, noise=0.8)
    parts = seasonal_decompose(panel.target, period=7)
    kept = np.isfinite(parts.resid)
    rest = parts.resid[kept].var()
    facts = measure_facts(panel, TASK)
    assert facts.season_strength == pytest.approx(1 - rest / (parts.resid + parts.seasonal)[kept].var(), abs=0.01)
    assert facts.trend_strength == pytest.approx(1 - rest / (parts.resid + parts.trend)[kept].var(), abs=0.01)
    assert facts.noise_share == pytest.approx(rest / panel.target.var(), abs=0.01)


@pytest.mark.parametrize("season", [24, 7])
def test_white_noise_has_next_to_no_season_and_a_cycle_is_all_season(season: int) -> None:
    grid = {24: "1h", 7: "1d"}[season]
    noise = measure_facts(noise_panel(n_series=3, length=1500, seed=0, frequency=grid), TASK)
    assert noise.season_strength < 0.1
    assert noise.noise_share > 0.8
    cycle = signal_panel(n_series=1, length=600, seed=0, frequency=grid, period=season, noise=1e-6)
    assert measure_facts(cycle, TASK).season_strength > 0.99


def test_a_gap_is_bridged_and_counted() -> None:
    days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 12, 31), eager=True)
    sold = np.sin(2 * np.pi * np.arange(366) / 7) * 5 + 50
    table = pl.DataFrame({"day": days, "sold": sold}).with_columns(
        pl.when(pl.int_range(366) == 100).then(None).otherwise(pl.col("sold")).alias("sold")
    )
    facts = measure_facts(Panel.from_table(table, time="day", target="sold"), TASK)
    assert facts.missing_share == pytest.approx(1 / 366)
    assert facts.season_strength > 0.95


def test_a_random_walk_is_advised_to_stay_with_the_last_value() -> None:
    first = recommend(noise_panel(n_series=3, length=600, seed=1, kind="walk"), TASK)[0]
    assert first.model == "naive"
    assert "random walk" in " ".join(first.why)


def test_covariates_bring_the_models_that_read_them_and_are_held_against_the_others() -> None:
    panel = signal_panel(n_series=25, length=300, seed=0, driver=2.0)
    found = {one.model: one for one in recommend(panel, TASK)}
    assert next(iter(found)) == "lightgbm"
    assert found["lightgbm"].why[0].startswith("1 known covariate")
    assert "25 series" in found["lightgbm"].why[1]
    told = {one.model: one.against for one in recommend(signal_panel(n_series=4, length=400, seed=0, driver=0.1), TASK)}
    assert "It can't read 1 known covariate." in told["ridge"]
    assert not any("can't read" in text for text in told["feedforward"])


def test_a_short_table_is_advised_no_network() -> None:
    found = names(signal_panel(n_series=2, length=60, seed=0))
    assert {MODELS[name].kind for name in found} == {"floor", "statistical"}


def test_there_is_always_a_floor_and_every_reason_is_a_sentence() -> None:
    for panel in (
        noise_panel(n_series=1, length=20, seed=0),
        signal_panel(n_series=30, length=500, seed=0, driver=1.0, static=True),
        signal_panel(n_series=2, length=900, seed=0, frequency="step"),
    ):
        found = recommend(panel, TASK)
        assert any(MODELS[one.model].kind == "floor" for one in found)
        for one in found:
            assert one.why
            assert all(text.endswith(".") and "nan" not in text for text in (*one.why, *one.against))


def test_every_rule_speaks_of_a_model_that_can_be_had_or_is_left_out() -> None:
    panel = signal_panel(n_series=30, length=900, seed=0, driver=1.0)
    assert set(names(panel)) <= set(MODELS)


@pytest.mark.parametrize(
    ("model", "change", "needed"),
    [
        ("naive", {"drift_share": 0.01}, "autocorrelation 0.01"),
        ("seasonal", {"season_strength": 0.9}, "strength 0.90"),
        ("lightgbm", {"series": 40}, "40 series"),
        ("random_forest", {"known": 2}, "2 known covariates"),
        ("elastic_net", {"known": 2, "windows": 5_000}, "5,000 windows and 2 known covariates"),
        ("xgboost", {"series": 40, "known": 1, "windows": 20_000}, "20,000 windows of 40 series"),
        ("catboost", {"series": 40, "static": 2}, "2 static covariates of 40 series"),
        ("feedforward", {"known": 2}, "2 known covariates"),
        ("nhits", {"horizon": 96}, "96 steps"),
        ("tcn", {"lookback": 336}, "336 steps"),
        ("cnn_lstm", {"past": 3}, "3 past covariates"),
        ("tft", {"known": 1, "static": 2}, "1 known covariate and 2 static covariates"),
        ("transformer", {"windows": 90_000}, "90,000 windows"),
    ],
)
def test_a_fact_that_speaks_for_a_model_is_cited(model: str, change: dict[str, float], needed: str) -> None:
    before, after = " ".join(RULES[model](USUAL)[0]), " ".join(RULES[model](replace(USUAL, **change))[0])  # type: ignore[arg-type]
    assert needed in after
    assert needed not in before


@pytest.mark.parametrize(
    ("model", "change", "needed"),
    [
        ("lstm", {"windows": 300}, "300 windows are few"),
        ("random_forest", {"windows": 100}, "100 windows are few"),
        ("random_forest", {"windows": 90_000}, "90,000 windows are many"),
        ("lstm", {"noise_share": 0.75}, "Noise is 75%"),
        ("lstm", {"lookback": 336}, "336 steps one by one"),
        ("seasonal", {"trend_strength": 0.9}, "trend is strong (0.90)"),
    ],
)
def test_a_fact_that_speaks_against_a_model_is_cited(model: str, change: dict[str, float], needed: str) -> None:
    before, after = " ".join(RULES[model](USUAL)[1]), " ".join(RULES[model](replace(USUAL, **change))[1])  # type: ignore[arg-type]
    assert needed in after
    assert needed not in before
