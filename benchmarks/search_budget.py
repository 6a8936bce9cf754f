"""Is a budget kept, and are a trial's seconds told well? Searches of LightGBM and of an LSTM on 20 stocks of 3 years.

A budget is the whole call of `tune`, wall time on a machine that may be busy: the start of workers, the last trial's
judging, and learning the best model again where that is needed. A trial's time is told by a regression on its options;
the other way, the median of the complete trials before it, is computed from the same record. An error is a factor,
exp of the median of |log(told / real)|, over complete trials from the seventh on. A case that is asked for takes the
place of its line; without any all are measured.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from datetime import date
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl
from tell import keep, make_line, open_parser, round_line

from tidewright.data.market import load_market, to_returns
from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import FitError
from tidewright.models.build import build_spec
from tidewright.training.fit import keep_covariates
from tidewright.tuning.read_space import usual_space
from tidewright.tuning.trial import Trial, TrialState
from tidewright.tuning.tune import tune

MODELS, WORKERS, BUDGETS = ["lightgbm", "lstm"], [1, 2], [20.0, 60.0, 120.0]
FIRST = 6  # trials that nothing is told of
RESULTS = Path(__file__).parent / "results" / "search_budget.jsonl"


def measure(model: str, workers: int, budget_s: float, panel: Panel) -> Iterator[dict[str, Any]]:
    task = Task(horizon=5)
    spec, space = build_spec(model), usual_space(model)
    assert space is not None
    panel = keep_covariates(panel, spec.takes)
    split = split_holdout(panel, task)
    started = time.monotonic()
    given = {"panel": panel, "split": split, "task": task, "model": spec, "ledger": False}
    case = f"{model}, {workers} worker{'s' if workers > 1 else ''}, {budget_s:g} s"
    try:
        study = tune(space, budget_s=budget_s, workers=workers, **given)
    except FitError as error:  # nothing was complete by then
        yield make_line(
            f"{case} vs its budget", time.monotonic() - started, budget_s, unit="s wall", n=0, note=str(error)
        )
        return
    seconds = time.monotonic() - started
    counts = ", ".join(f"{study.count(state)} {state}" for state in TrialState if study.count(state))
    note = f"{counts}; {study.reason}"
    yield make_line(f"{case} vs its budget", seconds, budget_s, unit="s wall", n=len(study.trials), note=note)
    ours, theirs = errors_of(study.trials)
    if ours:
        name = f"{case}: seconds of a trial, vs the median before"
        yield make_line(name, factor(ours), factor(theirs), unit="factor", n=len(ours))


def errors_of(trials: tuple[Trial, ...]) -> tuple[list[float], list[float]]:
    """How far off, in logarithms, what was told and what the median would have told."""
    whole = [one for one in trials if one.state is TrialState.COMPLETE and not one.cut_short]
    ours, theirs = [], []
    for place, trial in enumerate(whole):
        if place >= FIRST and trial.expected_s:
            ours.append(abs(math.log(trial.expected_s / trial.seconds)))
            theirs.append(abs(math.log(median(one.seconds for one in whole[:place]) / trial.seconds)))
    return ours, theirs


def factor(errors: list[float]) -> float:
    return math.exp(median(errors))


def main(models: list[str], workers: list[int], budgets: list[float], out: Path) -> None:
    table = load_market().filter(pl.col("date") >= date(2020, 1, 1))
    prices = Panel.from_table(table, series="stock", time="date", target="price", calendar="XNYS")
    panel = to_returns(prices)
    for model, count, budget_s in product(models, workers, budgets):
        for line in measure(model, count, budget_s, panel):
            keep(round_line(line, digits=3), out=out)


if __name__ == "__main__":
    parser = open_parser(__doc__)
    parser.set_defaults(out=RESULTS)
    parser.add_argument("--case", nargs="+", choices=MODELS, default=MODELS, help="models")
    parser.add_argument("--workers", nargs="+", type=int, default=WORKERS)
    parser.add_argument("--budgets", nargs="+", type=float, default=BUDGETS, help="seconds")
    asked = parser.parse_args()
    main(asked.case, asked.workers, asked.budgets, asked.out)
