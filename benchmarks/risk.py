"""What risk costs: 500 volatility models, and the value at risk of 500 assets over 5,000 days, beside their peers.

garch: CPU seconds of 500 GARCH(1,1) fits beside a plain loop over arch, and their wall time in two processes and one.
arrival: how many fits of short histories are given as converged, and how many of these are no maximum. formula: the
variance of the tenth day by GJR with leaning shocks, by formula, beside that of many paths. rolling: see
`risk_rolling.py`.
Simulated returns and the 20 US stocks that skfolio packages. One JSON line a comparison; ratio is ours / theirs.

    python benchmarks/risk.py [--part garch] [--part rolling] [--out benchmarks/results/risk.jsonl]
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(name, "1")

import math
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from risk_rolling import compare_rolling
from tell import keep, make_line, open_parser

import tidewright as tw

ASSETS, DAYS, ROUNDS = 500, 1250, 3
SHORT, STARTS = 300, (0, 3000)  # days of a short history of a stock, and where those begin


def main() -> None:
    """Prints the lines of the parts asked for, or of all, and keeps them when asked to."""
    parser = open_parser(__doc__)
    parser.add_argument("--part", action="append", choices=[*PARTS], help="one part (may be repeated)")
    options = parser.parse_args()
    for part in options.part or PARTS:
        for line in PARTS[part]():
            keep(line, out=options.out)


def compare_garch() -> Iterator[dict[str, Any]]:
    """The cost of many fits."""
    import numpy as np

    returns = simulate_garch(DAYS, ASSETS)
    names = [f"A{number}" for number in range(ASSETS)]
    warm(returns)
    pairs, apart = [], 0.0
    for _ in range(ROUNDS):
        (ours, mine), (theirs, other) = (
            time_cpu(lambda: tw.fit_volatility(returns, assets=names)),
            time_cpu(lambda: [fit_by_arch(column) for column in returns.T]),
        )
        pairs.append((mine, other))
        likelihoods = np.array([one.loglikelihood for one in theirs]) + DAYS * math.log(100.0)
        apart = max(apart, float(np.abs(ours.log_likelihood - likelihoods).max()))
    mine, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    note = f"one thread, {DAYS:,} days, normal; log-likelihoods {apart:.1e} apart at most; {describe_load()}"
    yield make_line(f"{ASSETS} garch fits vs a loop over arch", mine, other, unit="cpu_s", n=ROUNDS, note=note)

    def fit_in(workers: int) -> float:
        return time_wall(lambda: tw.fit_volatility(returns, assets=names, workers=workers))

    two, one = (statistics.median(side) for side in zip(*[(fit_in(2), fit_in(1)) for _ in range(ROUNDS)], strict=True))
    note = f"the start of both processes and their imports included; {describe_load()}"
    yield make_line(f"{ASSETS} garch fits: 2 processes vs 1", two, one, unit="wall_s", n=ROUNDS, note=note)


def compare_arrival() -> Iterator[dict[str, Any]]:
    """Fits that were given, and those among them below what the other side, or an unchanging volatility, reaches."""
    returns = load_stocks()
    for distribution in ("normal", "skewt"):
        given, short = [0, 0], [0, 0]
        for column in returns.T:
            for start in STARTS:
                values = column[start : start + SHORT]
                mine, flat = fit_ours(values, model="egarch", distribution=distribution)
                other = fit_by_arch(values, model="egarch", distribution=distribution)
                found = other.loglikelihood - SHORT * math.log(0.01) if other.convergence_flag == 0 else math.nan
                least = max(one for one in (mine, found, flat) if not math.isnan(one)) - 1.0
                for side, reached in enumerate((mine, found)):
                    given[side] += not math.isnan(reached)
                    short[side] += reached < least
        note = f"of 40; {short[0]} of ours and {short[1]} of theirs lack 1 or more of a log-likelihood that can be had"
        name = f"egarch {distribution}, {SHORT} days of stocks: fits given as converged vs arch"
        yield make_line(name, *given, unit="fits", n=returns.shape[1] * len(STARTS), note=note)


def compare_formula() -> Iterator[dict[str, Any]]:
    """How far formulas are from paths where the shocks lean."""
    import numpy as np
    from arch.data import sp500

    closes = sp500.load()["Adj Close"].to_numpy()
    returns = closes[1:] / closes[:-1] - 1.0
    ours = tw.fit_volatility(returns[:, None], assets=["SPX"], model="gjr", distribution="skewt")
    theirs = fit_by_arch(returns, model="gjr", distribution="skewt")
    drawn = ours.forecast(horizon=10, method="simulation", paths=400_000).variance[-1, 0]
    mine = abs(ours.forecast(horizon=10).variance[-1, 0] / drawn - 1.0)
    found = theirs.forecast(horizon=10, reindex=False).variance.to_numpy()[0, -1] * 1e-4
    note = "S&P 500, the tenth day's variance; relative to the mean of 400,000 paths"
    yield make_line("gjr skewt: formula off paths vs arch", mine, float(np.abs(found / drawn - 1.0)), unit="share", n=1,
                    note=note)  # fmt: skip


def fit_ours(values: Any, *, model: Any, distribution: Any) -> tuple[float, float]:
    """The log-likelihood, nan where there is no fit, and that of returns that do not change their volatility."""
    import numpy as np

    from tidewright.errors import FitError

    flat = -0.5 * values.size * (math.log(2.0 * math.pi * float(np.var(values))) + 1.0)
    try:
        fit = tw.fit_volatility(values[:, None], assets=["A"], model=model, distribution=distribution)
    except FitError:
        return math.nan, flat
    return float(fit.log_likelihood[0]), flat


def fit_by_arch(values: Any, *, model: str = "garch", distribution: str = "normal") -> Any:
    """As its documentation shows it, in percent."""
    from arch import arch_model

    kinds: dict[str, dict[str, Any]] = {"garch": {}, "gjr": {"o": 1}, "egarch": {"vol": "EGARCH", "o": 1}}
    asked: Any = {"dist": distribution, "rescale": False, **kinds[model]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return arch_model(100.0 * values, **asked).fit(disp="off", show_warning=False)


def simulate_garch(days: int, assets: int) -> Any:
    """Returns [T, A] of GARCH(1,1), each asset with weights of its own."""
    import numpy as np

    draw = np.random.default_rng(0)
    omega, alpha = draw.uniform(1e-6, 4e-6, assets), draw.uniform(0.04, 0.12, assets)
    beta = 0.97 - alpha - draw.uniform(0.0, 0.05, assets)
    variance, returns = omega / (1.0 - alpha - beta), np.empty((days, assets))
    for row in returns:
        shocks = np.sqrt(variance) * draw.standard_normal(assets)
        row[:] = 3e-4 + shocks
        variance = omega + alpha * shocks**2 + beta * variance
    return returns


def load_stocks() -> Any:
    """Returns [T, A] of the packaged stocks."""
    from tidewright.data.market import load_market

    table = load_market().pivot("stock", index="date", values="price").sort("date").drop("date")
    prices = table.to_numpy()
    return prices[1:] / prices[:-1] - 1.0


def warm(returns: Any) -> None:
    """Both sides import, and compile what they compile, before anything is timed."""
    tw.fit_volatility(returns[:, :1], assets=["A"])
    fit_by_arch(returns[:, 0])


def time_cpu(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and its CPU seconds."""
    started = time.process_time()
    answer = call()
    return answer, time.process_time() - started


def time_wall(call: Callable[[], Any]) -> float:
    """A call's seconds by the clock."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def describe_load() -> str:
    """How busy the machine is besides."""
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}"


PARTS: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
    "garch": compare_garch,
    "arrival": compare_arrival,
    "formula": compare_formula,
    "rolling": compare_rolling,
}

if __name__ == "__main__":
    main()
