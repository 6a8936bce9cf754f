"""What do scores of every epoch (MAPE, RMSE, MAE, training and validation) cost? CPU seconds of fits with and without.

Twenty stocks of three years; medians of alternating runs on one thread. usage: epoch_scores.py [RUNS]
"""

from __future__ import annotations

import sys
import time
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
from tidewright.training.spec import TrainSpec

MODELS = ("lstm", "nlinear")
RESULTS = Path(__file__).parent / "results" / "epoch_scores.jsonl"


class Follower:
    """Hears, and asks for scores or not."""

    def __init__(self, wants_scores: bool) -> None:
        self.wants_scores = wants_scores

    def __call__(self, event: Event) -> None:
        """Does nothing."""


def cost(model: str, *, scores: bool, panel: Panel) -> float:
    spec, task = build_spec(model), Task(horizon=5)
    given: dict[str, Any] = {"panel": keep_covariates(panel, spec.takes), "task": task}
    started = time.process_time()
    train = TrainSpec(epochs=4, patience=9)
    fit(spec, split=split_holdout(panel, task), train=train, callbacks=[Follower(scores)], **given)
    return time.process_time() - started


def main(runs: int) -> None:
    table = load_market().filter(pl.col("date") >= date(2020, 1, 1))
    panel = to_returns(Panel.from_table(table, series="stock", time="date", target="price", calendar="XNYS"))
    for model in MODELS:
        cost(model, scores=True, panel=panel)  # warms up
        pairs = [(cost(model, scores=True, panel=panel), cost(model, scores=False, panel=panel)) for _ in range(runs)]
        ours, theirs = (median(side) for side in zip(*pairs, strict=True))
        line = {"name": f"{model}, scores of every epoch vs none", "ours": round(ours, 3), "theirs": round(theirs, 3)}
        line |= {"unit": "CPU s", "ratio": round(median(a / b for a, b in pairs), 3), "n": runs, "note": ""}
        add(line, out=RESULTS)


if __name__ == "__main__":
    RESULTS.unlink(missing_ok=True)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
