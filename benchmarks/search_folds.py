"""Does a search that judges on three folds pick a better model than one that judges on one, for as many fits?
And does a set of options for each series beat one for all?

    python benchmarks/search_folds.py      # about 4 CPU minutes on one thread; or a part: damped each lightgbm

"damped", "lightgbm": six series of Walmart's weekly sales, drawn anew for each seed, 4 weeks ahead, over the package's
own spaces of the damped seasonal naive (4 options, 30 fits a search) and of LightGBM (6 options, 18 fits): all on the
last 13 weeks before the test, beside a third as many trials on three times 13 weeks. "each": eight series with 39 weeks
of validation, and the 7 channels of ETTh1's first 14,400 hours in means of four, 6 steps ahead, by the damped seasonal
naive: `tune_each` (30 trials of all series, then 10 of each) beside its own shared study, and each series searched
alone. The test part is the last 26 weeks, or a fifth; MASE, lag a year for weeks, a day for ETTh1.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from tell import keep

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[variable] = "1"

import numpy as np
import polars as pl
from board_fit import DATA, ROOT

from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.training.evaluate import evaluate
from tidewright.tuning.read_space import find_space
from tidewright.tuning.tune import tune
from tidewright.workflows.tune_each import tune_each

OUT = ROOT / "benchmarks" / "results" / "search_folds.jsonl"
CASES = {"damped": (30, 20), "lightgbm": (18, 6)}  # fits a search, seeds
SIZE = 6
SHARED, OWN, COUNT, EACH_SEEDS = 30, 10, 8, {"walmart": 4, "etth1": 1}


def open_walmart(seed: int, count: int, *, validation: int = 13) -> dict[str, Any]:
    """Some series of 140 weeks or more, with their split."""
    raw = pl.read_parquet(DATA / "walmart" / "train.parquet").filter(pl.len().over("Store", "Dept") >= 140)
    raw = raw.select(
        pl.format("{} {}", "Store", "Dept").alias("series"), pl.col("Date").str.to_date(), pl.col("Weekly_Sales")
    )
    kept = np.random.default_rng(seed).choice(raw["series"].unique().sort().to_numpy(), count, replace=False)
    panel = Panel.from_table(
        raw.filter(pl.col("series").is_in(list(kept))),
        series="series", time="Date", target="Weekly_Sales", frequency="1w",
    )  # fmt: skip
    task = Task(horizon=4, quantiles=(0.5,))
    return {"panel": panel, "task": task, "split": split_holdout(panel, task, validation=validation, test=26)}


def open_ett() -> dict[str, Any]:
    """Seven channels of ETTh1 in means of four hours, with their split."""
    raw = pl.read_csv(DATA / "ett" / "ETTh1.csv", try_parse_dates=True).head(14_400)
    long = raw.unpivot(index="date", variable_name="channel", value_name="value")
    long = (
        long.sort("channel", "date")
        .group_by_dynamic("date", every="4h", group_by="channel")
        .agg(pl.col("value").mean())
    )
    panel = Panel.from_table(long, series="channel", time="date", target="value", frequency="4h")
    task = Task(horizon=6, quantiles=(0.5,))
    return {"panel": panel, "task": task, "split": split_holdout(panel, task, validation=480, test=720)}


def compare_folds(model: str) -> Iterator[dict[str, Any]]:
    """Test scores of the winners of both searches, and of the default, over seeds."""
    fits, seeds = CASES[model]
    found: dict[str, list[float]] = {"one": [], "three": [], "default": []}
    spent = {"one": 0.0, "three": 0.0}
    for seed in range(seeds):
        asked: dict[str, Any] = {"model": model, "seed": seed, "pruner": "none", "ledger": False}
        given = open_walmart(seed, SIZE)
        for name, folds in (("one", 1), ("three", 3)):
            started = time.process_time()
            study = tune(find_space(model), folds=folds, trials=fits // folds, **asked, **given)
            spent[name] += (time.process_time() - started) / seeds
            found[name].append(score(study.fitted, given))
        default = tune(find_space(model), trials=1, **asked, **given)
        found["default"].append(score(default.fitted, given))
        print(model, seed, {name: round(values[-1], 4) for name, values in found.items()}, file=sys.stderr, flush=True)
    note = f"CPU s a search {spent['three']:.1f} and {spent['one']:.1f}"
    case = f"walmart, {model}: 3 folds x {fits // 3} trials vs 1 fold x {fits}"
    yield compare(case, found["three"], found["one"], note=note)
    for name, folds in (("three", "3 folds"), ("one", "1 fold")):
        yield compare(f"walmart, {model}: winner over {folds} vs the default", found[name], found["default"])


def score(fitted: Any, given: dict[str, Any]) -> float:
    """MASE on the test part."""
    panel, split = given["panel"], given["split"]
    return evaluate(fitted, panel=panel, split=split, cutoffs=split.test).scores["mase"]


def compare_each() -> Iterator[dict[str, Any]]:
    """Test scores of `tune_each`, of its shared model, and of each series searched alone."""
    for board in ("walmart", "etth1"):
        found: dict[str, list[float]] = {"each": [], "shared": [], "alone": []}
        kept = []
        for seed in range(EACH_SEEDS[board]):
            given = open_walmart(100 + seed, COUNT, validation=39) if board == "walmart" else open_ett()
            asked: dict[str, Any] = {"model": "damped", "space": find_space("damped"), "seed": seed, "ledger": False}
            asked |= {"pruner": "none", **{name: one for name, one in given.items() if name != "panel"}}
            tuned = tune_each(given["panel"], trials=OWN, shared_trials=SHARED, **asked)
            alone = tune_each(given["panel"], trials=OWN, shared=False, **asked)
            found["each"].append(tuned.test["each"]["mase"])
            found["shared"].append(tuned.test["shared"]["mase"])
            found["alone"].append(alone.test["each"]["mase"])
            kept.append(len(tuned.study.kept))
            told = {name: round(values[-1], 4) for name, values in found.items()}
            print(board, seed, told, kept[-1], file=sys.stderr, flush=True)
        count = len(given["panel"].series_ids)
        note = f"of {count} series {np.mean(kept):.1f} kept their own on average"
        yield compare(
            f"{board}, a set for each where it is better vs one set for all", found["each"], found["shared"], note=note
        )
        yield compare(f"{board}, each series searched alone vs one set for all", found["alone"], found["shared"])


def compare(name: str, ours: Sequence[float], theirs: Sequence[float], *, note: str = "") -> dict[str, Any]:
    """A line: means over seeds, and how often ours is the better one."""
    gap = np.subtract(ours, theirs)
    told = f"difference {gap.mean():+.4f}"
    told += f", standard error {gap.std(ddof=1) / np.sqrt(len(gap)):.4f}" if len(gap) > 1 else ""
    told += f"; better in {int((gap < 0).sum())} of {len(gap)}, alike in {int((gap == 0).sum())}"
    a, b = float(np.mean(ours)), float(np.mean(theirs))
    line = {"name": name, "ours": a, "theirs": b, "unit": "mean test MASE", "ratio": a / b, "n": len(gap)}
    return {**line, "note": "; ".join(filter(None, (told, note)))}


def main() -> None:
    """Writes a line a comparison; those of other parts stay."""
    if not (DATA / "walmart").exists():
        sys.exit(f"the data are missing: {DATA}")
    for part in sys.argv[1:] or ["damped", "each", "lightgbm"]:
        for line in compare_each() if part == "each" else compare_folds(part):
            keep(line, out=OUT)


if __name__ == "__main__":
    main()
