"""What a backtest of signals costs: 5,000 bars of 500 assets, against vectorbt's from_signals on the same fills.

python benchmarks/backtest_signals.py

Moving averages of 10 and 50 bars that cross, a fixed sum of money an entry, one account for all, costs of 10 basis
points. vectorbt is given the signals one bar later, so that both fill at the same close; equities must agree to 1e-9.
Each first call is made in a process of its own, vectorbt's with an empty cache of Numba, and is counted with its
compiling, without imports; later calls are medians. Figures are CPU seconds. One JSON line a comparison goes to stdout
and to benchmarks/results/backtest_signals.jsonl. Needs the extra "vectorbt".
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # after the thread counts

import tidewright as tw

RESULTS = Path(__file__).resolve().parent / "results" / "backtest_signals.jsonl"
BARS, ASSETS, ROUNDS = 5_000, 500, 5
CASH, STAKE, RATE = 1e9, 1e6, 0.001
COSTS = tw.Costs(fee_bps=5, half_spread_bps=5)


def draw_world() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    closes = 100.0 * np.exp(np.cumsum(rng.normal(0.0002, 0.015, (BARS, ASSETS)), axis=0))
    opens = closes * np.exp(rng.normal(0.0, 0.003, closes.shape))
    ends = np.exp(np.abs(rng.normal(0.0, 0.005, (2, *closes.shape))))
    lines = tw.crossover(tw.moving_average(closes, 10), tw.moving_average(closes, 50))
    ranges = {"opens": opens, "highs": np.maximum(opens, closes) * ends[0], "lows": np.minimum(opens, closes) / ends[1]}
    return {"closes": closes, "above": lines.above, "below": lines.below, "ranges": ranges}


def run_ours(world: dict[str, Any], **options: Any) -> Any:
    days = np.datetime64("2000-01-01") + np.arange(BARS)
    names = tuple(f"asset {number}" for number in range(ASSETS))
    return tw.backtest_signals(
        world["above"], world["below"], world["closes"], times=days, assets=names, costs=COSTS, size="money",
        amount=STAKE, initial_cash=CASH, **options,
    ).ledger.equity  # fmt: skip


def run_theirs(world: dict[str, Any]) -> Any:
    import vectorbt as vbt

    later = [np.vstack([np.zeros((1, ASSETS), bool), world[name][:-1]]) for name in ("above", "below")]
    portfolio = vbt.Portfolio.from_signals(
        world["closes"], *later, size=STAKE / (1 + RATE), size_type="value", fees=RATE, init_cash=CASH,
        cash_sharing=True, group_by=True, call_seq="default",
    )  # fmt: skip
    return portfolio.value().to_numpy().ravel()


def measure(function: Callable[[], Any]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def measure_first(side: str) -> float:
    """The CPU seconds of a first call in a process of its own."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        done = subprocess.run(
            [sys.executable, __file__, side], env=environment, check=True, capture_output=True, text=True
        )
    return float(done.stdout.splitlines()[-1])


def report(name: str, ours: float, theirs: float, *, n: int, note: str) -> None:
    line = {"name": name, "ours": round(ours, 4), "theirs": round(theirs, 4), "unit": "CPU s"}
    line |= {"ratio": round(ours / theirs, 5), "n": n, "note": note}
    print(json.dumps(line), flush=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(line) + "\n")


def main() -> None:
    warnings.simplefilter("ignore")
    world = draw_world()
    if len(sys.argv) > 1:
        if sys.argv[1] == "theirs":
            import vectorbt  # noqa: F401  # its import is not counted
        print(measure(lambda: run_ours(world) if sys.argv[1] == "ours" else run_theirs(world)))
        return
    RESULTS.unlink(missing_ok=True)
    apart = float(np.max(np.abs(run_ours(world) / run_theirs(world) - 1.0)))
    assert apart < 1e-9, apart
    size = f"{BARS} bars x {ASSETS} assets, equities within {apart:.0e}"
    report("signals, first call vs vectorbt", measure_first("ours"), measure_first("theirs"), n=1, note=size)
    turns = [(measure(lambda: run_ours(world)), measure(lambda: run_theirs(world))) for _ in range(ROUNDS)]
    ours, theirs = (median(side) for side in zip(*turns, strict=True))
    report("signals, later calls vs vectorbt", ours, theirs, n=ROUNDS, note=size)
    stops = {"stop_loss": 0.05, "take_profit": 0.1, "trailing_stop": 0.08, **world["ranges"]}
    watched = median(measure(lambda: run_ours(world, **stops)) for _ in range(ROUNDS))
    report("signals with stops inside the bar vs without", watched, ours, n=ROUNDS, note="both are ours")


if __name__ == "__main__":
    main()
