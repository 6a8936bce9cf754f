"""What a run gives back: everything that its printed summary and its report say, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tidewright.data.findings import Verdict
from tidewright.data.forecast import Forecast
from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.data.task import Task
from tidewright.models.fitted import Fitted
from tidewright.portfolio.inference import DeflatedSharpe
from tidewright.portfolio.ledger import Ledger
from tidewright.portfolio.risk.record import Risk
from tidewright.portfolio.weights import Weights
from tidewright.training.compare import Leaderboard
from tidewright.training.evaluate import Evaluation
from tidewright.tuning.account import Account
from tidewright.tuning.study import Study
from tidewright.workflows.search_record import Search
from tidewright.workflows.settings import RunSettings

FORECAST = "forecast.csv"  # the winner's, of the true future, in the run's folder


@dataclass(frozen=True, slots=True)
class Note:
    """A choice, a repair or a fallback that was made: what was asked for, what was used, and why."""

    kind: str
    asked: str
    used: str
    reason: str


@dataclass(frozen=True, slots=True)
class Serving:
    """The sealed model, and how it answers: parity is the largest difference between the compiled and the eager answer,
    relative to the window's scale (None where there is no graph: see `backend_reason`); latencies are of one row, in
    milliseconds; `eager_ms` is the eager median. `settings` are device, threads and the like, in words."""

    path: Path
    digest: str
    backend: str
    parity: float | None
    tolerance: float
    latency_ms: Mapping[str, float]
    eager_ms: float
    backend_reason: str = ""
    settings: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Strategy:
    """One way of choosing weights, backtested over the test part: its account and its figures after costs."""

    name: str
    ledger: Ledger
    summary: Mapping[str, float]
    deflated: DeflatedSharpe | None


@dataclass(frozen=True, eq=False, slots=True)
class Decision:
    """The allocation for the next bar, the strategies it was weighed against, and whether a forecast moved it.

    `risk` is that of these weights over the next bar, None where too few bars tell it. The last of `strategies` is the
    one whose weights these are, the others are its floors.
    """

    weights: Weights
    strategies: tuple[Strategy, ...]
    used_forecast: bool
    reason: str
    trials: int
    periods_per_year: float
    risk: Risk | None


@dataclass(frozen=True, eq=False)
class RunResult:
    """A finished run. `evaluations` holds every model's test forecasts; `forecast` is the winner's, of the true future
    (None, with a note, where known covariates end with the table)."""

    run_id: str
    folder: Path
    settings: RunSettings
    panel: Panel
    verdict: Verdict
    task: Task
    split: Split
    season: int
    leaderboard: Leaderboard
    evaluations: Mapping[str, Evaluation]
    fitted: Mapping[str, Fitted]
    serving: Serving
    forecast: Forecast | None
    decision: Decision | None
    study: Study | None
    notes: tuple[Note, ...]
    next_command: str
    seconds: float
    stages: Mapping[str, float] = field(default_factory=dict)
    search: Search | None = None
    account: Account | None = None  # of the winner, after all that was tried on these data
