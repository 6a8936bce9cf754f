"""What a study gains by beginning with the best points of an earlier one: ten trials on Walmart, warm and cold.

    python benchmarks/warm_start.py             # goes on where it was stopped
    python benchmarks/warm_start.py write       # results/warm_start.jsonl from the runs that there are

A seed draws two sets of 12 of Walmart's weekly series, of other departments in each. A study of 24 LightGBM trials on
the first set leaves its best points; on the second set ten trials are made without them and with them (three after the
default), all by `tune` itself with the same seed, `auto`. Regret is the best MASE on validation less the least that any
trial of that seed found on the second set, where the cold study goes on to 24 trials. Runs are kept in
results/warm_start_runs.jsonl.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tell import tell

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[variable] = "1"

import numpy as np
import polars as pl
from board_fit import DATA, ROOT

from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.features.view import View
from tidewright.tuning.read_space import usual_space
from tidewright.tuning.study import Study
from tidewright.tuning.tune import tune

RUNS = ROOT / "benchmarks" / "results" / "warm_start_runs.jsonl"
RESULTS = ROOT / "benchmarks" / "results" / "warm_start.jsonl"
SEEDS, SERIES, LONG, SHORT = range(10), 12, 24, 10


def draw_halves(seed: int) -> tuple[Panel, Panel]:
    """Two panels, of other departments each."""
    raw = pl.read_parquet(DATA / "walmart" / "train.parquet").filter(pl.len().over("Store", "Dept") >= 79)
    rng = np.random.default_rng(seed)
    departments = rng.permutation(np.unique(raw["Dept"].to_numpy()))
    halves = np.array_split(departments, 2)
    return _panel(raw, halves[0], rng), _panel(raw, halves[1], rng)


def _panel(raw: pl.DataFrame, departments: Any, rng: np.random.Generator) -> Panel:
    part = raw.filter(pl.col("Dept").is_in(departments.tolist())).select(
        pl.format("{} {}", "Store", "Dept").alias("series"), pl.col("Date").str.to_date(), pl.col("Weekly_Sales")
    )
    kept = rng.choice(part["series"].unique().sort().to_numpy(), SERIES, replace=False)
    part = part.filter(pl.col("series").is_in(kept.tolist()))
    return Panel.from_table(part, series="series", time="Date", target="Weekly_Sales", frequency="1w")


def study(panel: Panel, *, ledger: Path, trials: int, seed: int, warm: bool = False) -> Study:
    """One study of LightGBM, the median alone, 4 weeks ahead."""
    task = Task(horizon=4, quantiles=(0.5,))
    space = usual_space("lightgbm")
    assert space is not None
    given: dict[str, Any] = {"panel": panel, "split": split_holdout(panel, task), "task": task}
    asked: dict[str, Any] = {"view": View(52), "trials": trials, "seed": seed, "ledger": ledger, "warm_start": warm}
    return tune(space, model="lightgbm", season=1, **given, **asked)


def run(seed: int) -> dict[str, Any]:
    """The best value after each trial, cold, warm and of the long study on the second set."""
    first, second = draw_halves(seed)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        study(first, ledger=place / "a", trials=LONG, seed=seed)
        warm = study(second, ledger=place / "a", trials=SHORT, seed=seed + 50, warm=True)
        cold = study(second, ledger=place / "b", trials=LONG, seed=seed + 50)
    assert any("warm start" in note for trial in warm.trials for note in trial.notes)
    return {"warm": _path(warm), "cold": _path(cold)}


def _path(done: Study) -> list[float]:
    values = [np.inf if trial.value is None else trial.value for trial in done.trials]
    return [float(best) for best in np.minimum.accumulate(values)]


def read_runs() -> dict[int, dict[str, Any]]:
    """What was measured, by seed."""
    lines = [json.loads(line) for line in RUNS.read_text().splitlines()] if RUNS.exists() else []
    return {line["seed"]: line for line in lines}


def write() -> None:
    """One line for the regret after so many trials."""
    runs, lines = read_runs(), []
    least = {seed: min(run["warm"][-1], run["cold"][-1]) for seed, run in runs.items()}
    for trials in (4, SHORT):
        warm, cold = ([run[name][trials - 1] - least[seed] for seed, run in runs.items()] for name in ("warm", "cold"))
        means = [statistics.mean(warm), statistics.mean(cold)]
        better = sum(a < b for a, b in zip(warm, cold, strict=True))
        worse = sum(a > b for a, b in zip(warm, cold, strict=True))
        shares = [statistics.mean(part) / statistics.mean(least.values()) for part in (warm, cold)]
        note = (
            f"medians {statistics.median(warm):.3g} and {statistics.median(cold):.3g}; warm is better in {better} and "
        )
        note += (
            f"worse in {worse} of {len(runs)}; regret as a share of the least MASE {shares[0]:.2%} and {shares[1]:.2%}"
        )
        line: dict[str, Any] = {"name": f"lightgbm walmart warm vs cold, {trials} trials"}
        line |= {"ours": means[0], "theirs": means[1], "unit": "mean regret (MASE)"}
        lines.append({**line, "ratio": means[0] / means[1] if means[1] else None, "n": len(runs), "note": note})
    tell(lines, out=RESULTS)


def main() -> None:
    """Runs what is missing, then writes the comparison."""
    for seed in SEEDS if sys.argv[1:] != ["write"] else []:
        if seed not in read_runs():
            started = time.process_time()
            line = {"seed": seed, **run(seed), "cpu_s": round(time.process_time() - started, 1)}
            with RUNS.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(seed, line["cpu_s"], line["warm"], line["cold"], flush=True)
    write()


if __name__ == "__main__":
    main()
