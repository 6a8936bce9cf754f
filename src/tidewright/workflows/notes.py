"""What a run's notes and its record say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tidewright.data.panel import Panel
from tidewright.training.compare import Leaderboard
from tidewright.workflows.contest import Contest
from tidewright.workflows.result import Note, RunResult
from tidewright.workflows.summary import summarise


def collect_notes(panel: Panel, contest: Contest) -> tuple[Note, ...]:
    """Repairs, models that were left out, and what networks computed with."""
    return (*_repairs(panel), *_failures(contest), *_computing(contest))


def describe_result(result: RunResult) -> dict[str, Any]:
    """What the run's record says of its result."""
    board = result.leaderboard
    winner, row = result.fitted[board.winner], board.row(board.winner)
    parts = {"validation": row.validation, "test": row.test}
    return {
        "spec": asdict(winner.spec),  # type: ignore[call-overload]
        "view": asdict(winner.view),
        "metrics": {f"{part}.{name}": value for part, scores in parts.items() for name, value in scores.items()},
        "floors": {one.model: dict(one.test) for one in board.rows if one.floor},
        "bundle": str(result.serving.path),
        "bundle_digest": result.serving.digest,
        "choices": [
            {"choice": "winner", "used": board.winner, "reason": board.reason},
            {"choice": "result", "used": summarise(result)},
        ],
    }


def test_scores(board: Leaderboard) -> dict[str, Mapping[str, float]]:
    """Test scores of every model and floor, for the model card."""
    return {row.model: row.test for row in board.rows}


def _repairs(panel: Panel) -> tuple[Note, ...]:
    return tuple(Note("repair", "the table as it is", repair.kind, repair.detail) for repair in panel.repairs)


def _failures(contest: Contest) -> tuple[Note, ...]:
    failed = contest.leaderboard.failed
    return tuple(Note("left out", name, "nothing in its place", reason) for name, reason in failed.items())


def _computing(contest: Contest) -> tuple[Note, ...]:
    """What networks were asked to compute with and did not, and what was measured while they learned."""
    choices = contest.runtime.choices if contest.runtime else {}
    fallen = [Note(name, one.requested, one.used, one.reason) for name, one in choices.items() if one.fallback]
    told = [
        Note("computing", name, f"{step['precision']}{', compiled' if step['compiled'] else ''}", step[why])
        for name, fitted in contest.fitted.items()
        for step in fitted.history
        for why in ("measured", "fallback")
        if why in step
    ]
    return (*fallen, *told)
