"""How often is noise called skill, and skill found?

Worlds of returns in which no strategy has an edge, or one has; each test at 5 %. White's reality check and Hansen's SPA
beside arch's SPA with the same draws and blocks, the deflated Sharpe ratio of the best of 50 beside the plain one, the
permutation test of a persistent signal beside the 5 % that it promises; then CPU seconds of one SPA. One JSON line a
comparison; ratio is ours / theirs.

    python benchmarks/luck.py [--out benchmarks/results/luck.jsonl]
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

os.environ.update({f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")})

import numpy as np
from arch.bootstrap import SPA
from tell import make_line, open_parser, round_line, tell

import tidewright as tw
from tidewright.metrics.bootstrap import choose_stationary_block

WORLDS, DRAWS, LEVEL = 300, 300, 0.05
CASES: dict[str, dict[str, float]] = {
    "250 periods": {"rows": 250},
    "1,000 periods": {"rows": 1000},
    "250 periods, autocorrelation 0.2": {"rows": 250, "memory": 0.2},
    "1,000 periods, autocorrelation 0.2": {"rows": 1000, "memory": 0.2},
    "1,000 periods, fat tails (t4)": {"rows": 1000, "tails": 4},
    "250 periods, one with a Sharpe ratio of 3.8 a year": {"rows": 250, "edge": 0.0024},
}


def main() -> None:
    """Prints the lines, and keeps them in a file when asked to."""
    options = open_parser(__doc__).parse_args()
    tell((round_line(line, digits=4) for line in compare()), out=options.out)


def compare() -> Iterator[dict[str, Any]]:
    """Every comparison."""
    for case, given in CASES.items():
        yield from compare_spa(case, **given)
    yield compare_sharpe()
    for scheme in ("shift", "blocks"):
        yield count_permutations(scheme)
    yield time_spa()


def compare_spa(case: str, **given: float) -> Iterator[dict[str, Any]]:
    """The share of worlds in which each test finds something, 20 strategies."""
    found = {"SPA": 0, "reality check": 0, "arch": 0}
    for world in range(WORLDS):
        values = draw(world, **given)
        block = max(choose_stationary_block(one) for one in values.T)
        found["SPA"] += tw.spa(values, draws=DRAWS, seed=world).p_value <= LEVEL
        found["reality check"] += tw.reality_check(values, draws=DRAWS, seed=world).p_value <= LEVEL
        theirs = SPA(np.zeros(len(values)), -values, block_size=round(block), reps=DRAWS, seed=world)
        theirs.compute()
        found["arch"] += theirs.pvalues["consistent"] <= LEVEL
    for name in ("SPA", "reality check"):
        ours, theirs_share = found[name] / WORLDS, found["arch"] / WORLDS
        yield make_line(
            f"{name}, {case} vs arch SPA", ours, theirs_share, unit="share of worlds", n=WORLDS, note="20 strategies"
        )


def draw(world: int, *, rows: float, memory: float = 0.0, tails: float = 0.0, edge: float = 0.0) -> np.ndarray:
    """Returns [rows, 20]."""
    generator = np.random.default_rng(world)
    size = (int(rows), 20)
    values = 0.01 * (generator.standard_t(tails, size=size) if tails else generator.normal(size=size))
    for row in range(1, int(rows)) if memory else ():
        values[row] += memory * values[row - 1]
    values[:, 3] += edge
    return values


def compare_sharpe() -> dict[str, Any]:
    """Best of 50 strategies over 500 periods, called skill at 95 %."""
    plain = deflated = 0
    for world in range(WORLDS):
        values = np.random.default_rng(world).normal(0.0, 0.01, (500, 50))
        best = values[:, (values.mean(axis=0) / values.std(axis=0)).argmax()]
        plain += tw.probabilistic_sharpe(tw.sample_sharpe(best)) > 1 - LEVEL
        deflated += tw.deflate(best, trials=values).deflated.probability > 1 - LEVEL
    name = "deflated Sharpe, best of 50 without skill vs probabilistic Sharpe"
    return make_line(name, deflated / WORLDS, plain / WORLDS, unit="share of worlds", n=WORLDS, note="500 periods")


def count_permutations(scheme: str) -> dict[str, Any]:
    """A signal that changes side about every 15 of 250 bars and knows nothing."""
    alarms = 0
    for world in range(WORLDS):
        generator = np.random.default_rng(world)
        signal = np.sign(np.convolve(generator.normal(size=279), np.ones(30), "valid"))
        returns = generator.normal(0.0005, 0.01, 250)
        block = 50 if scheme == "blocks" else None
        alarms += tw.permutation_test(signal, returns, scheme=scheme, block=block, draws=249).p_value <= LEVEL
    name = f"permutation test by {scheme}, a persistent signal without skill vs the level"
    return make_line(name, alarms / WORLDS, LEVEL, unit="share of worlds", n=WORLDS, note="250 bars")


def time_spa() -> dict[str, Any]:
    """200 strategies over 1,250 periods, 1,000 draws."""
    values = np.random.default_rng(0).normal(0.0, 0.01, (1250, 200))

    def theirs() -> None:
        test = SPA(np.zeros(1250), -values, block_size=5, reps=1000, seed=0)
        test.compute()

    ours = [cpu(lambda: tw.spa(values, draws=1000, block=5)) for _ in range(5)]
    name = "one SPA, 200 strategies of 1,250 periods, 1,000 draws vs arch"
    return make_line(
        name,
        float(np.median(ours)),
        float(np.median([cpu(theirs) for _ in range(5)])),
        unit="cpu_s",
        n=5,
        note="medians",
    )


def cpu(call: Callable[[], Any]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    call()
    return time.process_time() - start


if __name__ == "__main__":
    main()
