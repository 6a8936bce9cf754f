"""A run's result as plain data: what `--json` prints and what the run's record keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tidewright.portfolio.risk.record import Risk
from tidewright.training.compare import Row
from tidewright.workflows.result import FORECAST, Decision, RunResult


def summarise(result: RunResult) -> dict[str, Any]:
    """Every figure of a run, without its arrays; NaN is an undefined value."""
    board, serving = result.leaderboard, result.serving
    return {
        "run": result.run_id,
        "folder": str(result.folder),
        "data": result.verdict.to_dict(),
        "split": asdict(result.split),
        "task": {
            "horizon": result.task.horizon,
            "kind": str(result.task.kind),
            "classes": list(result.task.classes),
            "quantiles": list(result.task.quantiles),
            "season": result.season,
        },
        "winner": board.winner,
        "beat_floor": board.beat_floor,
        "best_floor": board.best_floor,
        "reason": board.reason,
        "metric": board.metric,
        "leaderboard": [_row(row) for row in board.rows],
        "failed": dict(board.failed),
        "bundle": {**asdict(serving), "path": str(serving.path)},
        "forecast": None if result.forecast is None else str(result.folder / FORECAST),
        "decision": None if result.decision is None else _decision(result.decision),
        "account": None if result.account is None else result.account.to_dict(),
        "search": None if result.search is None else result.search.to_dict(),
        "notes": [asdict(note) for note in result.notes],
        "seconds": result.seconds,
        "stages": dict(result.stages),
        "next": result.next_command,
    }


def _row(row: Row) -> Mapping[str, Any]:
    return {**asdict(row), "validation": dict(row.validation), "test": dict(row.test)}


def _decision(decision: Decision) -> Mapping[str, Any]:
    return {
        "method": decision.weights.method,
        "weights": dict(zip(decision.weights.assets, decision.weights.values.tolist(), strict=True)),
        "used_forecast": decision.used_forecast,
        "reason": decision.reason,
        "trials": decision.trials,
        "periods_per_year": decision.periods_per_year,
        "risk": None if decision.risk is None else _risk(decision.risk),
        "strategies": {
            s.name: {**s.summary, "deflated_sharpe": None if s.deflated is None else s.deflated.probability}
            for s in decision.strategies
        },
    }


def _risk(risk: Risk) -> Mapping[str, Any]:
    """Of the next bar, as positive losses; each asset's part sums to the whole."""
    book = risk.portfolio
    assert book is not None
    return {
        "confidence": risk.confidence,
        "method": risk.method,
        "bars": risk.bars,
        "value_at_risk": book.var,
        "expected_shortfall": book.es,
        "parts_of_shortfall": dict(zip(risk.assets, book.component_es.tolist(), strict=True)),
    }
