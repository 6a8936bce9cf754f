"""CPU seconds of a backtest of target weights with costs, beside vectorbt (its numba and rust engines) and bt.

5,000 days of 500 assets, weights of every day and of every 21st, 10 bps a trade, filled at the next close. Each side
runs in fresh processes, alternating, on one thread. The figure is the first call of a process that gives the equity of
every bar, without imports (their CPU seconds are in the note). vectorbt's compiled code is on disk from an earlier run;
a line of its own has its very first run. Equity is compared: without costs with vectorbt's own target percents, with
costs, vectorbt's account of our trades. bt holds fractions of shares too.

vectorbt and bt live in `.venv-peers-backtest`, which this script makes. ratio is ours / theirs.

    python benchmarks/backtest.py [--out benchmarks/results/backtest.jsonl]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tell import make_line, open_parser, round_line, tell

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / ".venv-peers-backtest"
DAYS, ASSETS, FEE_BPS = 5_000, 500, 10.0
IDLE = 1e6
LIMIT_S = 1_800
CASES = {"daily": 1, "monthly": 21}
SIDES = ("ours", "vectorbt numba", "vectorbt rust", "bt")
REPEATS = {"ours": 7, "vectorbt numba": 5, "vectorbt rust": 5, "bt": 1}


def main() -> None:
    """Prints the lines, and keeps them in a file when asked to."""
    parser = open_parser(__doc__)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--case", choices=sorted(CASES), default="daily", help=argparse.SUPPRESS)
    parser.add_argument("--free", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(
            json.dumps(serve(options.side, options.case, folder=options.folder, fee=0.0 if options.free else FEE_BPS))
        )
        return
    with tempfile.TemporaryDirectory() as folder:
        tell((round_line(one, digits=5) for one in compare(Path(folder))), out=options.out)


Runs = dict[tuple[str, str], list[dict[str, Any]]]


def compare(folder: Path) -> Iterator[dict[str, Any]]:
    """Every case beside every peer; bt, which takes minutes, comes last."""
    make_data(folder)
    peers = install()
    runs: Runs = {}
    for case in CASES:
        yield from compare_quick(runs, case, peers=[peer for peer in peers if peer != "bt"], folder=folder)
    for case in reversed(CASES) if "bt" in peers else ():
        try:
            runs["bt", case] = [ask("bt", case, folder=folder)]
        except subprocess.TimeoutExpired:
            print(f"bt did not end in {LIMIT_S} s with weights {case}; its line is left out", file=sys.stderr)
        else:
            yield compare_one(runs, "bt", case, folder=folder)


def compare_quick(runs: Runs, case: str, *, peers: list[str], folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of a case beside vectorbt's engines, in alternating runs; numba's very first run is one of them."""
    cold = ask("vectorbt numba", case, folder=folder, cold=True) if "vectorbt numba" in peers else None
    for repeat in range(max(REPEATS.values())):
        for side in ("ours", *peers):
            if repeat < REPEATS[side]:
                runs.setdefault((side, case), []).append(ask(side, case, folder=folder))
    for peer in peers:
        yield compare_one(runs, peer, case, folder=folder)
    if cold:
        ours = statistics.median(run["cpu_s"] for run in runs["ours", case])
        note = "nothing compiled on disk before"
        yield make_line(f"{case} vs vectorbt numba, first run", ours, cold["cpu_s"], unit="cpu_s", n=1, note=note)


def compare_one(runs: Runs, peer: str, case: str, *, folder: Path) -> dict[str, Any]:
    """The line of a case beside a peer."""
    ours, theirs = (statistics.median(run["cpu_s"] for run in runs[side, case]) for side in ("ours", peer))
    first = {"ours": runs["ours", case][0], peer: runs[peer, case][0]}
    note = tell_peer(first, peer, case, folder=folder)
    return make_line(f"{case} vs {peer}", ours, theirs, unit="cpu_s", n=len(runs[peer, case]), note=note)


def tell_peer(runs: dict[str, dict[str, Any]], peer: str, case: str, *, folder: Path) -> str:
    """Versions, imports, and how far the equities lie apart."""
    mine, other = (read_equity(folder, side, case, free=False) for side in ("ours", peer))
    apart = np.max(np.abs(other / mine - 1))
    words = [f"{runs[peer]['version']}; imports {runs['ours']['import_s']:.2f} and"]
    words[0] += f" {runs[peer]['import_s']:.2f} CPU s"
    if peer == "bt":
        words.append(f"equity with costs apart by at most {apart:.1e}")
    else:
        for free, side in ((True, "ours"), (True, peer)):
            ask(side, case, folder=folder, free=free)
        mine, theirs = (read_equity(folder, side, case, free=True) for side in ("ours", peer))
        same = np.max(np.abs(theirs / mine - 1))
        books = np.load(folder / f"{peer} {case} books.npy")
        with_costs = np.max(np.abs(books / read_equity(folder, "ours", case, free=False) - 1))
        if not (same < 1e-9 and with_costs < 1e-9):
            raise SystemExit(f"{peer} {case}: equities differ by {same} without costs, {with_costs} of the same trades")
        words.append(f"equity apart by {same:.0e} without costs, {with_costs:.0e} with costs of the same trades")
        words.append(
            f"its target percents, which leave fees out of what is split, lie up to {apart:.1e} apart with costs"
        )
    return "; ".join(words)


def read_equity(folder: Path, side: str, case: str, *, free: bool) -> np.ndarray[Any, Any]:
    """The equity [T] that a side found."""
    return np.asarray(np.load(folder / f"{side} {case}{' free' if free else ''}.npy"))


def make_data(folder: Path) -> None:
    """Prices and weights [T, A], in files that every side reads."""
    rng = np.random.default_rng(7)
    np.save(folder / "prices.npy", 100 * np.exp(np.cumsum(rng.normal(0.0002, 0.015, (DAYS, ASSETS)), axis=0)))
    weights = rng.dirichlet(np.ones(ASSETS), DAYS)
    for case, every in CASES.items():
        kept = np.where((np.arange(DAYS) % every == 0)[:, None], weights, np.nan)
        np.save(folder / f"{case}.npy", kept)


def ask(side: str, case: str, *, folder: Path, free: bool = False, cold: bool = False) -> dict[str, Any]:
    """The answer of a side in a process of its own."""
    python = sys.executable if side == "ours" else str(PEERS / "bin" / "python")
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
    environment = {**os.environ, **threads, "PYTHONPATH": str(ROOT / "src") if side == "ours" else ""}
    if cold:
        environment["NUMBA_CACHE_DIR"] = str(folder / f"cold {case}")
    command = [python, __file__, "--side", side, "--case", case, "--folder", str(folder), *(["--free"] if free else [])]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=LIMIT_S)
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def serve(side: str, case: str, *, folder: Path, fee: float) -> dict[str, Any]:
    """The CPU seconds of one side's first call; its equity, and vectorbt's account of our trades, go to files."""
    prices, weights = np.load(folder / "prices.npy"), np.load(folder / f"{case}.npy")
    begun = time.process_time()
    make = {"ours": open_ours, "bt": open_bt}.get(side, open_vectorbt)
    call, version = make(prices, weights, fee=fee, engine=side.rsplit(maxsplit=1)[-1])
    ready = time.process_time()
    equity, trades = call()
    spent = time.process_time() - ready
    free = fee == 0.0
    np.save(folder / f"{side} {case}{' free' if free else ''}.npy", equity)
    if side == "ours" and not free:
        np.save(folder / f"trades {case}.npy", trades())
    elif side.startswith("vectorbt") and not free and (folder / f"trades {case}.npy").exists():
        books = account_for(np.load(folder / f"trades {case}.npy"), prices, fee=fee, engine=side.rsplit(maxsplit=1)[-1])
        np.save(folder / f"{side} {case} books.npy", books)
    return {"cpu_s": spent, "import_s": ready - begun, "version": version}


def open_ours(prices: Any, weights: Any, *, fee: float, engine: str) -> Any:
    """Our call, which also gives what was traded."""
    from tidewright.portfolio.backtest import backtest_weights
    from tidewright.portfolio.costs import Costs

    times = np.datetime64("2000-01-03") + np.arange(DAYS)
    names = [f"asset {number}" for number in range(ASSETS)]
    costs = Costs(fee_bps=fee, half_spread_bps=0)

    def call() -> Any:
        ledger = backtest_weights(weights, prices, times=times, assets=names, costs=costs)
        return ledger.equity, lambda: ledger.trades

    return call, "tidewright"


def open_vectorbt(prices: Any, weights: Any, *, fee: float, engine: str) -> Any:
    """vectorbt's call: target percents of a group with shared cash, sales first, a bar after the decision."""
    import pandas as pd
    import vectorbt as vbt

    closes = pd.DataFrame(prices)
    size = pd.DataFrame(weights).shift(1)

    def call() -> Any:
        portfolio = vbt.Portfolio.from_orders(
            closes, size=size, size_type="targetpercent", fees=fee / 1e4, init_cash=1e6, group_by=True,
            cash_sharing=True, call_seq="auto", engine=engine,
        )  # fmt: skip
        return portfolio.value(engine=engine).to_numpy(), None

    return call, f"vectorbt {vbt.__version__}"


def account_for(trades: Any, prices: Any, *, fee: float, engine: str) -> Any:
    """vectorbt's equity of the same trades in units; idle money keeps its rounding of cash from cutting any."""
    import pandas as pd
    import vectorbt as vbt

    portfolio = vbt.Portfolio.from_orders(
        pd.DataFrame(prices), size=pd.DataFrame(trades), size_type="amount", fees=fee / 1e4, init_cash=1e6 + IDLE,
        group_by=True, cash_sharing=True, call_seq="auto", engine=engine,
    )  # fmt: skip
    return portfolio.value().to_numpy() - IDLE


def open_bt(prices: Any, weights: Any, *, fee: float, engine: str) -> Any:
    """bt's call: target weights a bar after the decision, fractions of shares, the same fee."""
    import bt
    import pandas as pd

    days = pd.bdate_range("2000-01-03", periods=DAYS)
    names = [f"asset {number}" for number in range(ASSETS)]
    closes = pd.DataFrame(prices, index=days, columns=names)
    size = pd.DataFrame(weights, index=days, columns=names).shift(1).dropna()

    def call() -> Any:
        strategy = bt.Strategy("weights", [bt.algos.WeighTarget(size), bt.algos.Rebalance()])
        backtest = bt.Backtest(
            strategy, closes, initial_capital=1e6, integer_positions=False, progress_bar=False,
            commissions=lambda units, price: abs(units) * price * fee / 1e4,
        )  # fmt: skip
        backtest.run()
        return backtest.strategy.values.to_numpy()[-DAYS:], None

    return call, f"bt {bt.__version__}"


def install() -> tuple[str, ...]:
    """The peers that can be imported, after making their environment if need be."""
    if not PEERS.exists():
        print("installing vectorbt and bt into .venv-peers-backtest (minutes, once) ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
        for package in ("vectorbt[rust]", "bt"):
            subprocess.run([str(PEERS / "bin" / "pip"), "install", "-q", package], check=False)
    found = []
    for peer, module in (("vectorbt numba", "vectorbt"), ("vectorbt rust", "vectorbt_rust"), ("bt", "bt")):
        done = subprocess.run([str(PEERS / "bin" / "python"), "-c", f"import {module}"], check=False)
        if done.returncode == 0:
            found.append(peer)
        else:
            print(f"{peer} can't be imported; its lines are left out", file=sys.stderr)
    return tuple(found)


if __name__ == "__main__":
    main()
