"""A run of a model that fits every window: to its end, within its budget, with what it fell back to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tiny_weights import tiny_weights
from tests.worlds import small_table
from tidewright.errors import FallbackWarning
from tidewright.inference.session import open_session
from tidewright.models.statistical import Statistical
from tidewright.registry.bundle import save_bundle
from tidewright.report.html import write_report
from tidewright.workflows.result import RunResult
from tidewright.workflows.run import run

TABLE = small_table(series=2, rows=150, covariates=False)
QUICK = ("model=auto_ets", "models.auto_ets.history=60", "horizon=4", "track=false", "ensemble=none")
SOON = "models.auto_ets.form=ANN"  # one form in place of a search among all
NAMES = {"series": "shop", "time": "hour", "target": "sold"}


def do(folder: Path, *overrides: str, **options: Any) -> RunResult:
    return run(TABLE, overrides=[*QUICK, f"folder={folder}", *overrides], **NAMES, **options)


def test_a_run_seals_forecasts_and_reports_whatever_wins(tmp_path: Path) -> None:
    result = do(tmp_path, SOON, budget_s=600.0)
    assert len(result.split.validation) <= 24
    assert {"auto_ets", "naive"} <= set(result.fitted)
    assert result.forecast is not None
    page = write_report(result, tmp_path / "report.html").read_text()
    assert result.leaderboard.winner in page
    if result.leaderboard.winner == "auto_ets":
        assert result.serving.parity is None
        assert "the bundle has no graph" in page
        assert open_session(result.serving.path).backend == "eager"


def test_a_model_that_can_not_be_scored_in_its_budget_is_left_out_with_the_remedy(tmp_path: Path) -> None:
    result = do(tmp_path, budget_s=0.5)
    assert "auto_ets" not in result.fitted
    why = result.leaderboard.failed["auto_ets"]
    assert "s a window" in why
    assert "a shorter history (models.auto_ets.history)" in why


def test_a_foundation_model_runs_to_the_end_as_any_other(tmp_path: Path) -> None:
    chosen = ("model=chronos", f"models.chronos.weights={tiny_weights('chronos')}", "horizon=4", "track=false")
    result = run(
        TABLE, overrides=[*chosen, f"folder={tmp_path}", "ensemble=mean", "tune.trials=2"], **NAMES, budget_s=600.0
    )
    assert "chronos" in result.fitted
    assert result.leaderboard.row("chronos").test["mae"] > 0
    sealed = save_bundle(result.fitted["ensemble"], panel=result.panel, folder=tmp_path / "mixed")
    assert open_session(sealed).backend == "eager"


def test_a_preset_tries_what_is_named_and_keeps_what_was_fitted(tmp_path: Path) -> None:
    chosen = ("preset=quick", "model=theta,croston", "models.theta.history=60", "horizon=4", "track=false")
    result = run(TABLE, overrides=[*chosen, f"folder={tmp_path}"], **NAMES, budget_s=600.0)
    assert {"theta", "croston"} <= set(result.fitted)
    assert result.search is not None


def test_what_the_last_value_answered_stands_beside_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Statistical.answer
    monkeypatch.setattr(
        Statistical, "answer", lambda self, windows: (plain(self, windows)[0], {0: "ValueError: no model"})
    )
    with pytest.warns(FallbackWarning, match="auto_ets failed on 1 of"):
        result = do(tmp_path, SOON, budget_s=600.0)
    assert "validation: auto_ets failed on 1 of" in result.leaderboard.row("auto_ets").note
    assert "test: auto_ets failed on 1 of" in result.leaderboard.row("auto_ets").note
