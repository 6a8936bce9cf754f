"""Simple regret after 60 trials, ten seeds: each searcher beside Optuna, Hyperopt and scikit-optimize themselves.

    python benchmarks/search.py                       # everything that is missing; goes on where it was stopped
    python benchmarks/search.py --only auto,skopt     # these alone
    python benchmarks/search.py --write               # results/search.jsonl from the runs that there are

Branin, Hartmann6 and Ackley8 (on [-32.768, 32.768], its optimum moved to a fixed place off the middle, where some
searchers begin), and the two tables of search_surfaces.py. A run keeps the best value and the CPU seconds of the
searcher alone: a surface's own are taken off. Differences are tested over the seeds, by turning their signs. Runs are
kept in results/search_runs.jsonl by searcher, surface and seed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tell import tell

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np
from board_fit import ROOT
from search_peers import PEERS
from search_surfaces import SPACES, Interpolated

from tidewright.tuning.ranges import FloatRange
from tidewright.tuning.searchers.auto import AutoSearcher
from tidewright.tuning.searchers.catalog import SEARCHERS
from tidewright.tuning.searchers.searcher import History
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.trial import Trial, TrialState

RUNS = ROOT / "benchmarks" / "results" / "search_runs.jsonl"
RESULTS = ROOT / "benchmarks" / "results" / "search.jsonl"
TRIALS, SEEDS = 60, 10
BEFORE = "gp, most probable"  # what `auto` was before the Gaussian process drew hyperparameters: kept for comparison
DEAR = ("numpyro", "skopt", "scikit-optimize GP", "Optuna GP")  # measured last
MOVED = np.random.default_rng(8).uniform(-16.0, 16.0, 8)
SCALES = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
PEAKS = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def branin(x: Any) -> float:
    """Its least value is 0.397887."""
    bent = x[1] - 5.1 / (4 * math.pi**2) * x[0] ** 2 + 5 / math.pi * x[0] - 6
    return float(bent**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x[0]) + 10)


def hartmann6(x: Any) -> float:
    """Its least value is -3.322368."""
    return float(-(np.array([1.0, 1.2, 3.0, 3.2]) * np.exp(-(SCALES * (x - PEAKS) ** 2).sum(axis=1))).sum())


def ackley8(x: Any) -> float:
    """Its least value is 0."""
    z = x - MOVED
    return float(-20 * np.exp(-0.2 * np.sqrt((z**2).mean())) - np.exp(np.cos(2 * np.pi * z).mean()) + 20 + math.e)


@dataclass(frozen=True, eq=False)
class Surface:
    """A function of a space's points, and the least value that it is known to have."""

    space: SearchSpace
    evaluate: Callable[[Mapping[str, Any]], float]
    least: float


def make_surfaces() -> dict[str, Surface]:
    """All five. No mean of a table's values is below the least of them."""
    found = {}
    for function, ends, least in (
        (branin, [(-5.0, 10.0), (0.0, 15.0)], 0.39788735772973816),
        (hartmann6, [(0.0, 1.0)] * 6, -3.322368011415512),
        (ackley8, [(-32.768, 32.768)] * 8, 0.0),
    ):
        ranges = {f"x{k}": FloatRange(low, high) for k, (low, high) in enumerate(ends)}
        found[function.__name__] = Surface(
            SearchSpace(function.__name__, ranges),
            lambda point, function=function: function(np.array(list(point.values()))),
            least,
        )
    for name, space in SPACES.items():
        table = Interpolated(name)
        found[name] = Surface(space, table, min(line["value"] for line in table.lines))
    return found


class Counted:
    """A surface that keeps the best value and its own CPU seconds."""

    def __init__(self, surface: Surface) -> None:
        self._evaluate, self.best, self.cpu_s = surface.evaluate, math.inf, 0.0

    def __call__(self, point: Mapping[str, Any]) -> float:
        started = time.process_time()
        value = self._evaluate(point)
        self.best, self.cpu_s = min(self.best, value), self.cpu_s + time.process_time() - started
        return value


def run_ours(name: str, surface: Surface, evaluate: Counted, *, seed: int) -> None:
    """One search, a trial after the other."""
    searcher = AutoSearcher(trials=TRIALS) if name == "auto" else SEARCHERS.load(name)()
    trials: list[Trial] = []
    for number in range(TRIALS):
        point = searcher.suggest(History(surface.space, tuple(trials), number, seed))
        assert point is not None
        trials.append(Trial(number, TrialState.COMPLETE, (evaluate(point),), dict(point)))


def measure(name: str, surface: Surface, *, seed: int) -> tuple[float, float]:
    """Simple regret, and the CPU seconds of the searcher."""
    evaluate, started = Counted(surface), time.process_time()
    if name in PEERS:
        PEERS[name](surface.space, evaluate, trials=TRIALS, seed=seed)
    else:
        run_ours(name, surface, evaluate, seed=seed)
    return evaluate.best - surface.least, time.process_time() - started - evaluate.cpu_s


def list_runs(only: list[str], *, first: int) -> list[tuple[str, int]]:
    """Searchers and seeds in the order in which they are run: cheap ones first."""
    names = [name for name in (*SEARCHERS, *PEERS) if name not in ("grid", "gp") and (not only or name in only)]
    cheap = [name for name in names if name not in DEAR]
    dear = [name for name in names if name in DEAR]
    return [(name, seed) for part in (cheap, dear) for seed in range(first, first + SEEDS) for name in part]


def read_runs() -> dict[tuple[str, str, int], dict[str, Any]]:
    """What was measured, by searcher, surface and seed."""
    lines = [json.loads(line) for line in RUNS.read_text().splitlines()] if RUNS.exists() else []
    return {(line["searcher"], line["surface"], line["seed"]): line for line in lines}


def write_results() -> None:
    """One line for each pair of ours and a peer (of `auto` and `numpyro` beside our best others too), on each surface,
    over the seeds that both have."""
    runs, lines = read_runs(), []
    ours = [name for name in (*SEARCHERS, BEFORE) if any(key[0] == name for key in runs)]
    for surface in dict.fromkeys(key[1] for key in runs):
        for name in ours:
            more = ("skopt", BEFORE) if name in ("auto", "numpyro", BEFORE) else ()
            for peer in (*PEERS, *(other for other in more if other != name)):
                seeds = sorted(key[2] for key in runs if key[:2] == (name, surface) and (peer, surface, key[2]) in runs)
                if seeds:
                    lines.append(_compare(runs, surface, name, peer, seeds))
    tell(lines, out=RESULTS)


def _compare(runs: Any, surface: str, name: str, peer: str, seeds: list[int]) -> dict[str, Any]:
    mine, theirs = ([runs[one, surface, seed] for seed in seeds] for one in (name, peer))
    gaps = [one["regret"] - other["regret"] for one, other in zip(mine, theirs, strict=True)]
    means = [statistics.mean(run["regret"] for run in part) for part in (mine, theirs)]
    middles = [statistics.median(run["regret"] for run in part) for part in (mine, theirs)]
    cpu = [statistics.mean(run["cpu_s"] for run in part) for part in (mine, theirs)]
    return {
        "name": f"{surface} {name} vs {peer}",
        "ours": means[0],
        "theirs": means[1],
        "unit": f"mean simple regret after {TRIALS} trials",
        "ratio": means[0] / means[1] if means[1] else None,
        "n": len(seeds),
        "note": f"medians {middles[0]:.3g} and {middles[1]:.3g}; less in {sum(gap < -1e-9 for gap in gaps)}, paired p "
        f"{flip_signs(gaps):.3f}; CPU s a search {cpu[0]:.2f} and {cpu[1]:.2f}",
    }


def flip_signs(gaps: list[float]) -> float:
    """The share of ways to turn the signs of paired differences whose mean is as far from 0, or farther: of all, or of
    as many draws where there are more than 15 differences."""
    if len(gaps) <= 15:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=len(gaps))))
    else:
        signs = np.random.default_rng(0).choice((-1.0, 1.0), (2**15, len(gaps)))
    means = np.abs(signs @ np.array(gaps))
    return float(np.mean(means >= abs(sum(gaps)) * (1.0 - 1e-9)))


def main() -> None:
    """Runs what is missing, then writes the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="searchers, with commas between them")
    parser.add_argument("--first", type=int, default=0, help="the first of the ten seeds")
    parser.add_argument("--write", action="store_true", help="only write the comparisons")
    given = parser.parse_args()
    done, surfaces = read_runs(), {} if given.write else make_surfaces()
    for name, seed in [] if given.write else list_runs([n for n in given.only.split(",") if n], first=given.first):
        for surface in surfaces:
            if (name, surface, seed) in done:
                continue
            regret, cpu_s = measure(name, surfaces[surface], seed=seed)
            line = {"searcher": name, "surface": surface, "seed": seed, "regret": regret, "cpu_s": round(cpu_s, 3)}
            with RUNS.open("a") as file:
                file.write(json.dumps(line) + "\n")
    write_results()


if __name__ == "__main__":
    main()
