"""What weights of 20, 100 and 500 assets cost, what objective they reach and which limits they break, beside skfolio,
PyPortfolioOpt and Riskfolio-Lib.

1,000 days of returns with ten factors and heavy tails; five tasks: HRP; minimum variance, long only; the highest Sharpe
ratio at a rate of zero; minimum variance with ten sectors of at most 15 %, no asset over 10 %, and at most 0.5 traded
over the portfolio from equal weights (the sum of sizes); minimum expected shortfall at 95 %. Each side goes from the
table of returns to weights by its usual call, with its own solver. Turnover of the whole portfolio is an option of no
peer: in skfolio and PyPortfolioOpt it is written by hand in cvxpy, and Riskfolio-Lib, which bounds each asset's alone,
is left out there.

Seconds are CPU seconds, the median of runs after one that is not counted, on one thread. Objectives are worked out here
from the weights of each side: variance, Sharpe ratio, shortfall; a note says by how much each side breaks its limits.
ratio is ours / theirs: lower is better, but for the Sharpe ratio. Peers live in `.venv-allocate`, which this script
makes; a peer that can't be installed or fails is a line that says so and has no ratio.

    python benchmarks/allocate.py [--sizes 20 100 500] [--runs 5] [--keep]
"""

from __future__ import annotations

import os

for variable in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "NUMBA_NUM_THREADS",
):
    os.environ[variable] = "1"

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".venv-allocate"
RESULTS = Path(__file__).resolve().parent / "results" / "allocate.jsonl"
PEERS = {"skfolio": "skfolio==1.12.2", "pypfopt": "PyPortfolioOpt==1.6.0", "riskfolio": "riskfolio-lib==7.4"}
TASKS = ("hrp", "min_variance", "max_sharpe", "sectors and turnover", "min_cvar")
ROWS, SECTORS, HIGHEST, SHARE, TRADED, CONFIDENCE = 1_000, 10, 0.1, 0.15, 0.5, 0.95
Array = Any


def main() -> None:
    """Prints every comparison, and keeps them when asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 100, 500])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help=f"put the lines into {RESULTS.name}")
    parser.add_argument("--peer", choices=tuple(PEERS), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")  # the peers' own
    if asked.peer:
        (size,) = asked.sizes
        print(json.dumps({task: run_peer(asked.peer, task, size=size, runs=asked.runs) for task in TASKS}))
        return
    from tell import tell

    tell(compare(asked.sizes, runs=asked.runs), out=RESULTS if asked.keep else None)


def compare(sizes: list[int], *, runs: int) -> Iterator[dict[str, Any]]:
    """Every task and size beside every peer."""
    install_peers()
    for size in sizes:
        returns = draw(size)
        ours = {task: measure(partial(solve_ours, task, returns), runs=runs) for task in TASKS}
        for peer in PEERS:
            theirs = ask_peer(peer, size=size, runs=runs)
            for task in TASKS:
                if theirs.get(task) is not None:
                    yield from compare_one(task, peer, returns=returns, ours=ours[task], theirs=theirs[task], runs=runs)


def compare_one(
    task: str, peer: str, *, returns: Array, ours: dict[str, Any], theirs: dict[str, Any], runs: int
) -> Iterator[dict[str, Any]]:
    """The seconds of both sides, and what they reach."""
    from tell import make_line

    name = f"{task}, {returns.shape[1]} assets vs {peer}"
    if "failed" in theirs:
        yield {"name": name, "ours": ours["seconds"], "theirs": None, "unit": "cpu_s", "ratio": None, "n": runs,
               "note": f"the peer failed: {theirs['failed']}"}  # fmt: skip
        return
    broken = [find_broken(task, np.array(side["weights"])) for side in (ours, theirs)]
    note = f"{PEERS[peer]}; broken at most by {broken[0]:.1e} here, {broken[1]:.1e} there"
    yield make_line(name, ours["seconds"], theirs["seconds"], unit="cpu_s", n=runs, note=note)
    if task != "hrp":
        unit, reach = OBJECTIVES[task]
        reached = [reach(np.array(side["weights"]), returns) for side in (ours, theirs)]
        yield make_line(f"{name}: objective", *reached, unit=unit, n=1, note=note)


def draw(size: int) -> Array:
    """Daily returns [ROWS, size] of a market with ten factors, tails of a t of five and means of a few basis points."""
    rng = np.random.default_rng(size)
    moved = rng.standard_t(5, size=(ROWS, 10)) * 0.004
    loads = rng.normal(0, 0.5, (10, size))
    loads[0] = rng.uniform(0.5, 1.5, size)
    own = rng.standard_t(5, size=(ROWS, size)) * rng.uniform(0.004, 0.02, size)
    return moved @ loads + own + rng.normal(4e-4, 3e-4, size)


def name_sectors(size: int) -> list[str]:
    return [f"S{number % SECTORS}" for number in range(size)]


def find_broken(task: str, weights: Array) -> float:
    """By how much the weights break what the task allows."""
    worst = [abs(weights.sum() - 1.0), -weights.min()]
    if task == "sectors and turnover":
        sectors = np.array(name_sectors(weights.size))
        worst += [weights.max() - HIGHEST, np.abs(weights - 1 / weights.size).sum() - TRADED]
        worst += [weights[sectors == one].sum() - SHARE for one in set(sectors)]
    return float(max(0.0, *worst))


def vary(weights: Array, returns: Array) -> float:
    return float(weights @ np.cov(returns.T) @ weights)


def earn(weights: Array, returns: Array) -> float:
    return float(returns.mean(axis=0) @ weights) / vary(weights, returns) ** 0.5


def lose(weights: Array, returns: Array) -> float:
    losses = np.sort(-returns @ weights)[::-1]
    share = (1 - CONFIDENCE) * losses.size
    return float(losses @ np.clip(share - np.arange(losses.size), 0, 1) / share)


OBJECTIVES: dict[str, tuple[str, Callable[[Array, Array], float]]] = {
    "min_variance": ("variance", vary),
    "max_sharpe": ("sharpe", earn),
    "sectors and turnover": ("variance", vary),
    "min_cvar": ("shortfall", lose),
}


def measure(solve: Callable[[], Array], *, runs: int) -> dict[str, Any]:
    """CPU seconds and weights; a first run is not counted."""
    weights, spent = solve(), []
    for _ in range(runs):
        start = time.process_time()
        weights = solve()
        spent.append(time.process_time() - start)
    return {"seconds": median(spent), "weights": np.asarray(weights, dtype=float).tolist()}


def solve_ours(task: str, returns: Array) -> Array:
    """Our weights, by the one door."""
    import tidewright as tw

    names = [f"a{number}" for number in range(returns.shape[1])]
    if task != "sectors and turnover":
        return tw.allocate(returns, assets=names, method=task).values
    limits = tw.Limits.parse(
        f"each <= {HIGHEST}",
        f"turnover <= {TRADED}",
        *(f"S{number} <= {SHARE}" for number in range(SECTORS)),
        groups=dict(zip(names, name_sectors(len(names)), strict=True)),
    )
    held = np.full(len(names), 1 / len(names))
    return tw.allocate(returns, assets=names, method="min_variance", limits=limits, previous=held).values


def install_peers() -> None:
    """The peers' own environment."""
    if not HOME.exists():
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
        subprocess.run([str(HOME / "bin" / "pip"), "install", "-q", *PEERS.values()], check=True)


def ask_peer(peer: str, *, size: int, runs: int) -> dict[str, Any]:
    """A peer's seconds and weights of every task, in its own process."""
    command = [str(HOME / "bin" / "python"), __file__, "--peer", peer, "--sizes", str(size), "--runs", str(runs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no word"])[-1]
        return {task: {"failed": reason} for task in TASKS}
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def run_peer(peer: str, task: str, *, size: int, runs: int) -> dict[str, Any] | None:
    """In the peers' environment: seconds and weights, None where the peer has no such thing, or what it failed with."""
    solve = {"skfolio": solve_skfolio, "pypfopt": solve_pypfopt, "riskfolio": solve_riskfolio}[peer]
    returns = draw(size)
    if peer == "riskfolio" and task == "sectors and turnover":
        return None
    try:
        return measure(partial(solve, task, returns), runs=runs)
    except Exception as error:  # noqa: BLE001  # a peer's failure is a result of the comparison
        return {"failed": f"{type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}"}


def limit_by_hand(w: Any) -> list[Any]:
    """Sectors and turnover in cvxpy, for the peers that take it."""
    import cvxpy as cp

    size = w.shape[0]
    sectors = np.array(name_sectors(size))
    groups = np.array([(sectors == f"S{number}") * 1.0 for number in range(SECTORS)])
    return [groups @ w <= SHARE, cp.norm1(w - np.full(size, 1 / size)) <= TRADED]


def solve_skfolio(task: str, returns: Array) -> Array:
    from skfolio import RiskMeasure
    from skfolio.optimization import HierarchicalRiskParity, MeanRisk, ObjectiveFunction

    if task == "hrp":
        return HierarchicalRiskParity().fit(returns).weights_
    models = {
        "min_variance": MeanRisk(),
        "max_sharpe": MeanRisk(objective_function=ObjectiveFunction.MAXIMIZE_RATIO),
        "sectors and turnover": MeanRisk(max_weights=HIGHEST, add_constraints=limit_by_hand),
        "min_cvar": MeanRisk(risk_measure=RiskMeasure.CVAR, cvar_beta=CONFIDENCE),
    }
    return models[task].fit(returns).weights_


def solve_pypfopt(task: str, returns: Array) -> Array:
    import pandas as pd
    from pypfopt import EfficientCVaR, EfficientFrontier, HRPOpt

    table = pd.DataFrame(returns)
    if task == "hrp":
        found = HRPOpt(table).optimize()
        return [found[number] for number in range(returns.shape[1])]
    mean = table.mean()
    if task == "min_cvar":
        tail = EfficientCVaR(mean, table, beta=CONFIDENCE)
        tail.min_cvar()
        return tail.weights
    highest = HIGHEST if task == "sectors and turnover" else 1
    made = EfficientFrontier(mean, table.cov(), weight_bounds=(0, highest))
    if task == "max_sharpe":
        made.max_sharpe(risk_free_rate=0.0)
        return made.weights
    if task == "sectors and turnover":
        for number in range(2):
            made.add_constraint(lambda w, number=number: limit_by_hand(w)[number])
    made.min_volatility()
    return made.weights


def solve_riskfolio(task: str, returns: Array) -> Array:
    import pandas as pd
    import riskfolio as rp

    table = pd.DataFrame(returns, columns=[f"a{number}" for number in range(returns.shape[1])])
    if task == "hrp":
        found = rp.HCPortfolio(returns=table).optimization(model="HRP", rm="MV", rf=0, linkage="single")
        return found["weights"].to_numpy()
    made = rp.Portfolio(returns=table)
    made.assets_stats(method_mu="hist", method_cov="hist")
    made.alpha = 1 - CONFIDENCE
    risk, aim = ("CVaR", "MinRisk") if task == "min_cvar" else ("MV", "Sharpe" if task == "max_sharpe" else "MinRisk")
    found = made.optimization(model="Classic", rm=risk, obj=aim, rf=0, hist=True)
    if found is None:
        raise RuntimeError("no weights")
    return found["weights"].to_numpy()


if __name__ == "__main__":
    main()
