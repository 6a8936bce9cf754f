"""The tear sheet of a run's decision: the strategy whose weights are next, beside its floors, over the test part."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tidewright.portfolio.costs import Costs
from tidewright.portfolio.ledger import Ledger
from tidewright.report.sheet import FEWEST, Sheet, find_first, read_sheet
from tidewright.report.tear_sheet import write_tear_sheet
from tidewright.workflows.result import Decision, RunResult

SHEET = "tear_sheet.html"  # beside the run's report


def write_decision_sheet(result: RunResult, folder: Path) -> Path | None:
    """Writes the tear sheet into the folder; None without a decision, or where too few bars were traded."""
    decision = result.decision
    if decision is None or not has_sheet(decision):
        return None
    settings = result.settings.decide
    return write_tear_sheet(
        folder / SHEET,
        ledger=order_ledgers(decision),
        periods_per_year=decision.periods_per_year,
        costs=Costs(fee_bps=settings.fee_bps, half_spread_bps=settings.half_spread_bps),
        trials=max(decision.trials, 1),
        assumptions=[
            f"Weights are decided every {settings.decide_every} bars from the {settings.lookback} bars before, over "
            "the run's test part.",
            *tell_hindsight(result),
        ],
    )


def read_decision_sheet(decision: Decision) -> Sheet | None:
    """The decision's strategies side by side; None where too few bars were traded."""
    if not has_sheet(decision):
        return None
    return read_sheet(
        order_ledgers(decision),
        benchmark=None,
        benchmark_name="",
        groups=None,
        periods_per_year=decision.periods_per_year,
        risk_free=0.0,
        window=None,
    )


def has_sheet(decision: Decision) -> bool:
    """Whether enough bars were traded for a tear sheet."""
    ledgers = order_ledgers(decision)
    return next(iter(ledgers.values())).times.size - find_first(ledgers) >= FEWEST


def order_ledgers(decision: Decision) -> Mapping[str, Ledger]:
    """The account of the strategy whose weights are next, before those of its floors."""
    return {one.name: one.ledger for one in reversed(decision.strategies)}


def tell_hindsight(result: RunResult) -> tuple[str, ...]:
    """That the packaged stocks are survivors, in words."""
    if result.settings.recipe != "market":
        return ()
    return (
        f"All {result.panel.n_series} stocks traded from 1990 to 2022, which nobody could know beforehand: who chose "
        "in time held others too, some of them gone since, which flatters every strategy here, floors included.",
    )
