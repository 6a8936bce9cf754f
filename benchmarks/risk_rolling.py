"""CPU seconds of the rolling value at risk of many assets, beside pandas and a loop over numpy.

500 assets over 5,000 days, windows of 250, one thread. Ours gives value at risk and expected shortfall of every bar, in
processes of their own: the first call, whose kernels come from numba's cache, and the next ones. The packages are
imported before, on both sides. pandas: `rolling(250).quantile(0.05)`, or mean and deviation, which is the
value at risk alone. numpy: a loop over bars, `partition` of each window, or mean and deviation, for both figures. The
figures of both sides are compared. One JSON line a comparison; ratio is ours / theirs.

    python benchmarks/risk.py --part rolling
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
os.environ.update(THREADS)

import numpy as np
from tell import make_line, round_line

BARS, ASSETS, WINDOW, CONFIDENCE, REPEATS = 5_000, 500, 250, 0.95, 5


def compare_rolling() -> Iterator[dict[str, Any]]:
    """Both methods against both peers, the sides in turn."""
    returns = make_returns()
    shape = f"{ASSETS} assets, {BARS} days, window {WINDOW}, medians"
    for method, pandas_way, numpy_way in (
        ("historical", roll_pandas_quantile, roll_numpy_partition),
        ("normal", roll_pandas_normal, roll_numpy_normal),
    ):
        run_ours(method)  # fills numba's cache
        check(method, returns, pandas_way, numpy_way)
        rounds = [(run_ours(method), cpu(pandas_way, returns), cpu(numpy_way, returns)) for _ in range(REPEATS)]
        first, again = (statistics.median(one[0][which] for one in rounds) for which in (0, 1))
        for peer, theirs in (
            ("pandas rolling", [one[1] for one in rounds]),
            ("a numpy loop", [one[2] for one in rounds]),
        ):
            for call, ours in (("first", first), ("next", again)):
                name = f"rolling {method} VaR, {call} call vs {peer}"
                line = make_line(name, ours, statistics.median(theirs), unit="cpu_s", n=REPEATS, note=shape)
                yield round_line(line, digits=4)


def run_ours(method: str) -> tuple[float, float]:
    """CPU seconds of a first and a next call, in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, method],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | THREADS,
    )
    first, again = json.loads(done.stdout.strip().splitlines()[-1])
    return first, again


def time_ours(method: str) -> tuple[float, float]:
    """The same in this process."""
    import numba  # noqa: F401  # as the peers' packages are
    import scipy.special  # noqa: F401

    from tidewright.portfolio.risk.rolling import rolling_var

    returns, names = make_returns(), [f"a{k}" for k in range(ASSETS)]
    calls = [
        cpu(
            lambda values: rolling_var(values, assets=names, window=WINDOW, confidence=CONFIDENCE, method=method),
            returns,
        )
        for _ in range(4)
    ]
    return calls[0], statistics.median(calls[1:])


def cpu(way: Callable[[Any], Any], returns: Any) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    way(returns)
    return time.process_time() - start


def make_returns() -> Any:
    """Daily returns with fat tails."""
    return np.random.default_rng(0).standard_t(4, (BARS, ASSETS)) / 100


def roll_pandas_quantile(returns: Any) -> Any:
    """Value at risk alone."""
    import pandas as pd

    lower = pd.DataFrame(returns).rolling(WINDOW).quantile(1 - CONFIDENCE, interpolation="lower")
    return -lower.shift(1).to_numpy()


def roll_pandas_normal(returns: Any) -> Any:
    """Value at risk alone."""
    import pandas as pd

    windows = pd.DataFrame(returns).rolling(WINDOW)
    return (-windows.mean() + 1.6448536269514722 * windows.std()).shift(1).to_numpy()


def roll_numpy_partition(returns: Any) -> Any:
    """Value at risk and expected shortfall, a bar at a time for all assets."""
    worst = WINDOW - int(np.ceil(WINDOW * CONFIDENCE - 1e-9)) + 1
    var, es = np.full_like(returns, np.nan), np.full_like(returns, np.nan)
    for bar in range(WINDOW, BARS):
        tail = np.partition(returns[bar - WINDOW : bar], worst - 1, axis=0)[:worst]
        mass = WINDOW * (1 - CONFIDENCE)
        var[bar] = -tail[-1]
        es[bar] = -(tail[:-1].sum(axis=0) + (mass - worst + 1) * tail[-1]) / mass
    return var, es


def roll_numpy_normal(returns: Any) -> Any:
    """Value at risk and expected shortfall, a bar at a time for all assets."""
    var, es = np.full_like(returns, np.nan), np.full_like(returns, np.nan)
    for bar in range(WINDOW, BARS):
        window = returns[bar - WINDOW : bar]
        mean, spread = window.mean(axis=0), window.std(axis=0, ddof=1)
        var[bar] = -mean + 1.6448536269514722 * spread
        es[bar] = -mean + 2.0627128075074257 * spread
    return var, es


def check(method: str, returns: Any, pandas_way: Callable[[Any], Any], numpy_way: Callable[[Any], Any]) -> None:
    """Both peers give our figures."""
    from tidewright.portfolio.risk.rolling import rolling_var

    names = [f"a{k}" for k in range(ASSETS)]
    ours = rolling_var(returns, assets=names, window=WINDOW, confidence=CONFIDENCE, method=method)
    var, es = numpy_way(returns)
    np.testing.assert_allclose(ours.var, var, atol=1e-12)
    np.testing.assert_allclose(ours.es, es, atol=1e-12)
    np.testing.assert_allclose(ours.var, pandas_way(returns), atol=1e-9)


if __name__ == "__main__":
    print(json.dumps(time_ours(sys.argv[1])))
