"""What a tear sheet and its figures cost beside quantstats.

    python benchmarks/tear_sheet.py        # offline; prints one JSON line a comparison

5,000 bars of 100 simulated assets, a strategy and one floor, a benchmark, nine sectors. Ours has holdings, costs,
contributions and intervals by 1,000 resamples, which quantstats' page of one row of returns has not, and writes its
data as Parquet and JSON. CPU seconds of one thread, medians of runs in turns in one process, after a first run of each
that loads packages. One JSON line a comparison goes to stdout and to benchmarks/results/tear_sheet.jsonl.
"""

from __future__ import annotations

import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from tell import make_line, open_parser, round_line, tell

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[variable] = "1"

import matplotlib as mpl  # after the thread counts
import numpy as np
import pandas as pd

import tidewright as tw
from tidewright.portfolio import Costs, Ledger, backtest_weights

mpl.use("Agg")
BARS, ASSETS, RUNS = 5000, 100, 5
RESULTS = Path(__file__).resolve().parent / "results" / "tear_sheet.jsonl"


def make_ledgers() -> tuple[dict[str, Ledger], Any]:
    """Random monthly weights and equal ones, and a benchmark's levels."""
    draw = np.random.default_rng(0)
    market = draw.normal(2e-4, 0.008, (BARS, 1))
    prices = 100.0 * np.cumprod(1.0 + market + draw.normal(1e-4, 0.01, (BARS, ASSETS)), axis=0)
    rows = np.arange(250, BARS, 21)
    asked = {
        "mine": draw.dirichlet(np.ones(ASSETS), rows.size),
        "equal weight": np.full((rows.size, ASSETS), 1 / ASSETS),
    }
    times = np.datetime64("2003-01-01") + np.arange(BARS)
    ledgers = {
        name: backtest_weights(
            weights,
            prices,
            times=times,
            decided=times[rows],
            assets=[f"A{k}" for k in range(ASSETS)],
            costs=Costs(1.0, 2.0),
        )
        for name, weights in asked.items()
    }
    return ledgers, 100.0 * np.cumprod(1.0 + market[:, 0])


def take_turns(ours: Callable[[], Any], theirs: Callable[[], Any]) -> tuple[float, float]:
    """The median CPU seconds of each, after one run that is not counted."""
    spent: dict[Callable[[], Any], list[float]] = {ours: [], theirs: []}
    for _ in range(RUNS + 1):
        for call, seconds in spent.items():
            start = time.process_time()
            call()
            seconds.append(time.process_time() - start)
    return median(spent[ours][1:]), median(spent[theirs][1:])


def compare(folder: Path) -> Iterator[dict[str, Any]]:
    """The page, its size, and the figures alone."""
    import quantstats

    ledgers, levels = make_ledgers()
    returns, market = ledgers["mine"].net_returns(), levels[1:] / levels[:-1] - 1.0
    market = market[-returns.size :]
    days = pd.bdate_range("2003-01-01", periods=returns.size)
    theirs, beside = pd.Series(returns, index=days), pd.Series(market, index=days)
    pages = folder / "ours.html", folder / "theirs.html"
    groups = {f"A{k}": f"sector {k % 9}" for k in range(ASSETS)}

    def write() -> None:
        tw.write_tear_sheet(pages[0], ledger=ledgers, benchmark=levels, groups=groups, periods_per_year=252, trials=40)

    seconds = take_turns(write, lambda: quantstats.reports.html(theirs, beside, output=str(pages[1]), title="page"))
    note = f"{BARS} bars, {ASSETS} assets, a floor and a benchmark; quantstats: one row of returns and a benchmark"
    yield make_line("tear sheet vs quantstats reports.html", *seconds, unit="CPU s", n=RUNS, note=note)
    sizes = (page.stat().st_size / 1e6 for page in pages)
    yield make_line(
        "page vs quantstats reports.html", *sizes, unit="MB", n=1, note="ours has the drawing library, 4.8 MB"
    )
    seconds = take_turns(
        lambda: tw.summarise(returns, benchmark=market, periods_per_year=252, intervals=0.9),
        lambda: quantstats.reports.metrics(theirs, beside, mode="full", display=False),
    )
    note = f"{returns.size} returns: 30 figures with intervals by 1,000 resamples; quantstats: 81 rows without"
    yield make_line("figures vs quantstats reports.metrics", *seconds, unit="CPU s", n=RUNS, note=note)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # quantstats' own
    asked = open_parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tell((round_line(line, digits=4) for line in compare(Path(folder))), out=asked.out or RESULTS)
