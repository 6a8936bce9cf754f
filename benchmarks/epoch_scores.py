"""What do scores of every epoch (MAPE, RMSE, MAE, training and validation) cost? CPU seconds of fits with and without.

Twenty stocks of three years; medians of alternating runs on one thread. "together" are eight feed-forward networks in
one batched step. usage: epoch_scores.py [RUNS [CASE ...]]; with cases the lines of the others stay.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl
from tell import add

from tidewright.data.market import load_market, to_returns
from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.models.build import build_spec
from tidewright.training.events import Event
from tidewright.training.fit import fit, keep_covariates
from tidewright.training.population import fit_population
from tidewright.training.spec import TrainSpec

CASES = ("lstm", "nlinear", "together")
TOGETHER, MEMBERS = "feedforward", 8
RESULTS = Path(__file__).parent / "results" / "epoch_scores.jsonl"


class Follower:
    """Hears, and asks for scores or not."""

    def __init__(self, wants_scores: bool) -> None:
        self.wants_scores = wants_scores

    def __call__(self, event: Event) -> None:
        """Does nothing."""


def cost(case: str, *, scores: bool, panel: Panel) -> float:
    spec, task = build_spec(TOGETHER if case == "together" else case), Task(horizon=5)
    given: dict[str, Any] = {"panel": keep_covariates(panel, spec.takes), "task": task}
    given |= {"split": split_holdout(panel, task), "callbacks": [Follower(scores)]}
    started = time.process_time()
    train = TrainSpec(epochs=4, patience=9)
    if case == "together":
        fit_population(spec, trains=[replace(train, seed=seed) for seed in range(MEMBERS)], way="batched", **given)
    else:
        fit(spec, train=train, **given)
    return time.process_time() - started


def main(runs: int, cases: Sequence[str]) -> None:
    table = load_market().filter(pl.col("date") >= date(2020, 1, 1))
    panel = to_returns(Panel.from_table(table, series="stock", time="date", target="price", calendar="XNYS"))
    for model in cases:
        cost(model, scores=True, panel=panel)  # warms up
        pairs = [(cost(model, scores=True, panel=panel), cost(model, scores=False, panel=panel)) for _ in range(runs)]
        ours, theirs = (median(side) for side in zip(*pairs, strict=True))
        line = {"name": f"{model}, scores of every epoch vs none", "ours": round(ours, 3), "theirs": round(theirs, 3)}
        line |= {"unit": "CPU s", "ratio": round(median(a / b for a, b in pairs), 3), "n": runs, "note": ""}
        add(line, out=RESULTS)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        RESULTS.unlink(missing_ok=True)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, sys.argv[2:] or CASES)
