"""What the page on a search shows, as rows of plain data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tidewright.metrics.accuracy import METRICS
from tidewright.metrics.returns import OBJECTIVES
from tidewright.tracking.local import list_runs
from tidewright.tuning.goals import find_goal
from tidewright.tuning.kept import Kept
from tidewright.tuning.repeats import originals
from tidewright.tuning.trial import Trial, TrialState, best_trial

Row = dict[str, Any]


def show_value(value: float | None, metric: str) -> float | None:
    """What was made small, as the metric's own value."""
    known = metric in METRICS or metric in OBJECTIVES
    return find_goal(metric).show(value) if known and value is not None else value


def count_states(kept: Kept) -> dict[str, int]:
    """How many trials are in each state; 0 where none is."""
    counts = Counter(trial.state for trial in kept.trials)
    return {str(state): counts[state] for state in TrialState}


def list_reasons(kept: Kept) -> list[Row]:
    """Why trials were pruned or failed, the most frequent reason first; numbers within a reason are left out."""
    counts: Counter[tuple[str, str]] = Counter()
    for trial in kept.trials:
        if trial.state in (TrialState.PRUNED, TrialState.FAILED):
            counts[str(trial.state), _without_numbers(trial.error)] += 1
    return [{"state": state, "trials": n, "reason": reason} for (state, reason), n in counts.most_common()]


def list_history(kept: Kept) -> list[Row]:
    """The score of every complete trial that is no repeat, and the best so far, in the order of the number."""
    rows: list[Row] = []
    best: Trial | None = None
    for trial in originals(kept.trials):
        if trial.state is TrialState.COMPLETE:
            best = best_trial([trial, *([best] if best else [])])
            assert best is not None, "the trial is complete"
            scores = (show_value(one.value, kept.metric) for one in (trial, best))
            rows.append({"trial": trial.number, **dict(zip(("score", "best so far"), scores, strict=True))})
    return rows


def list_trials(kept: Kept) -> list[Row]:
    """Every trial, the newest first: its state, score, real and told seconds, options and reason."""
    return [
        {
            "trial": trial.number,
            "state": str(trial.state),
            kept.metric or "value": show_value(trial.value, kept.metric),
            "seconds": None if trial.state is TrialState.RUNNING else trial.seconds,
            "told": trial.expected_s,
            **{name: _plain(value) for name, value in trial.parameters.items()},
            "reason": trial.error,
        }
        for trial in reversed(kept.trials)
    ]


def list_running(kept: Kept) -> list[Row]:
    """The trials that run: how far they came."""
    return [
        {
            "trial": trial.number,
            "step": max((step for step, _ in trial.steps), default=0),
            "last": trial.losses[-1] if trial.losses else None,
            **{name: _plain(value) for name, value in trial.parameters.items()},
        }
        for trial in kept.running
    ]


def list_losses(trials: Sequence[Trial]) -> list[Row]:
    """What trials reported, step by step, a column a trial."""
    steps = sorted({step for trial in trials for step in trial.finite_steps})
    return [
        {"step": step, **{f"trial {one.number}": one.finite_steps.get(step, math.nan) for one in trials}}
        for step in steps
    ]


def list_run_rows(folder: str) -> list[Row]:
    """The runs of a folder, newest first."""
    return [
        {
            "run": run.id,
            "what": run.name,
            "command": run.command,
            "state": str(run.state),
            "model": run.spec.get("name", ""),
            "seconds": run.seconds,
            "error": run.error,
        }
        for run in list_runs(folder).runs
    ]


def _plain(value: Any) -> Any:
    return str(list(value)) if isinstance(value, tuple) else value


def _without_numbers(text: str) -> str:
    """
    >>> _without_numbers("its best value 0.43 up to step 2 is above 0.33")
    'its best value # up to step # is above #'
    """
    words = text.split(" ")
    return " ".join("#" if word.strip(",.;:()").replace(".", "").replace("-", "").isdigit() else word for word in words)
