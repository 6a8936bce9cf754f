"""What the hot-path JIT gains after its compile time: feature kernels as a user would write them, rules, numerics.

python benchmarks/jit.py

Three questions. Of every function: the decorated call once the verdict is there against the function itself, with the
CPU seconds of compiling, checking and measuring, and the calls after which these are paid back. From cold: all calls of
a program with the default options against the undecorated function, in CPU seconds, the background thread included.
And the compiled numerics against the faster one of NumPy's and SciPy's ways, at several sizes. Both sides run in turns,
one thread each; figures are medians, in CPU time of the calling thread. One JSON line a comparison goes to stdout and
to benchmarks/results/jit.jsonl.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # after the thread counts

import tidewright as tw

RESULTS = Path(__file__).resolve().parent / "results" / "jit.jsonl"
BATCH_S, ROUNDS = 1e-3, 41
DRAW = np.random.default_rng(0)
PRICES = 100.0 * np.exp(np.cumsum(0.01 * DRAW.normal(size=500)))
RETURNS = np.diff(np.log(PRICES))


# feature kernels as a user would write them


def roll_mean_loops(x: Any, window: int) -> Any:
    out = np.full(len(x), np.nan)
    for i in range(window - 1, len(x)):
        total = 0.0
        for j in range(i - window + 1, i + 1):
            total += x[j]
        out[i] = total / window
    return out


def roll_std_slices(x: Any, window: int) -> Any:
    out = np.full(len(x), np.nan)
    for i in range(window - 1, len(x)):
        out[i] = x[i - window + 1 : i + 1].std()
    return out


def roll_mean_cumsum(x: Any, window: int) -> Any:
    sums = np.cumsum(x)
    out = np.full(len(x), np.nan)
    out[window - 1] = sums[window - 1] / window
    out[window:] = (sums[window:] - sums[:-window]) / window
    return out


def dfa_loops(x: Any, scale: int) -> float:
    profile = np.cumsum(x - x.mean())
    middle, spread = 0.5 * (scale - 1), scale * (scale * scale - 1.0) / 12.0
    boxes = len(profile) // scale
    rest = 0.0
    for b in range(boxes):
        total, tilt, squares = 0.0, 0.0, 0.0
        for i in range(scale):
            y = profile[b * scale + i]
            total += y
            tilt += (i - middle) * y
            squares += y * y
        rest += squares - total * total / scale - tilt * tilt / spread
    return math.sqrt(rest / (boxes * scale))


def dfa_polyfit(x: Any, scale: int) -> float:
    profile = np.cumsum(x - x.mean())
    steps = np.arange(scale)
    rest = 0.0
    for b in range(len(profile) // scale):
        box = profile[b * scale : (b + 1) * scale]
        rest += ((box - np.polyval(np.polyfit(steps, box, 1), steps)) ** 2).sum()
    return math.sqrt(rest / (len(profile) // scale * scale))


def volatility_loop(prices: Any, window: int) -> Any:
    out = np.full(len(prices), np.nan)
    for i in range(window, len(prices)):
        squares = 0.0
        for j in range(i - window + 1, i + 1):
            r = math.log(prices[j] / prices[j - 1])
            squares += r * r
        out[i] = math.sqrt(squares / window * 252.0)
    return out


def volatility_whole(prices: Any) -> Any:
    r = np.diff(np.log(prices))
    return np.sqrt((r * r).mean() * 252.0)


# rules that users write


def crossover_loop(prices: Any, fast: int, slow: int) -> Any:
    signal = np.zeros(len(prices), dtype=np.int64)
    quick, calm = prices[0], prices[0]
    for i in range(1, len(prices)):
        before = quick > calm
        quick += 2.0 / (fast + 1) * (prices[i] - quick)
        calm += 2.0 / (slow + 1) * (prices[i] - calm)
        if (quick > calm) != before:
            signal[i] = 1 if quick > calm else -1
    return signal


def crossover_once(quick: float, calm: float, quick_before: float, calm_before: float) -> int:
    if quick > calm and quick_before <= calm_before:
        return 1
    if quick < calm and quick_before >= calm_before:
        return -1
    return 0


def size_once(equity: float, price: float, stop: float, risk: float) -> float:
    if stop >= price:
        return 0.0
    return min(equity * risk / (price - stop), equity / price)


def size_assets(equity: float, prices: Any, volatilities: Any, target: float) -> Any:
    out = np.zeros(len(prices))
    left = 1.0
    for i in range(len(prices)):
        weight = min(target / (volatilities[i] * len(prices)), 0.1, left)
        left -= weight
        out[i] = math.floor(equity * weight / prices[i])
    return out


def stop_loss_loop(prices: Any, stop: float, wait: int) -> Any:
    held, peak, since, earned = True, prices[0], 0, 0.0
    for i in range(1, len(prices)):
        if held:
            earned += math.log(prices[i] / prices[i - 1])
            peak = max(peak, prices[i])
            if prices[i] < (1.0 - stop) * peak:
                held, since = False, 0
        else:
            since += 1
            if since >= wait:
                held, peak = True, prices[i]
    return earned


def rank_by_lists(returns: Any) -> Any:
    ranked = sorted(range(len(returns)), key=lambda i: -returns[i])
    return np.array([ranked.index(i) for i in range(len(returns))])


VOLATILITIES = 0.1 + 0.3 * DRAW.random(100)
CASES: tuple[tuple[Callable[..., Any], tuple[Any, ...], str], ...] = (
    (roll_mean_loops, (PRICES, 20), "500 rows, window 20, two loops"),
    (roll_std_slices, (PRICES, 20), "500 rows, window 20, a loop over slices"),
    (roll_mean_cumsum, (PRICES, 20), "500 rows, window 20, NumPy alone"),
    (dfa_loops, (RETURNS, 16), "499 rows, boxes of 16, two loops"),
    (dfa_polyfit, (RETURNS, 16), "499 rows, boxes of 16, numpy.polyfit"),
    (volatility_loop, (PRICES, 20), "500 rows, window 20, two loops"),
    (volatility_whole, (PRICES,), "500 rows, NumPy alone"),
    (crossover_loop, (PRICES, 10, 30), "500 prices, one loop"),
    (crossover_once, (1.0, 0.9, 0.8, 0.9), "one bar, four numbers"),
    (size_once, (1e5, 50.0, 48.0, 0.01), "one asset, four numbers"),
    (size_assets, (1e5, PRICES[:100], VOLATILITIES, 0.1), "100 assets, one loop"),
    (stop_loss_loop, (PRICES, 0.05, 5), "500 prices, one loop"),
    (rank_by_lists, (RETURNS[:100],), "100 returns, lists and sorted"),
)
FROM_COLD = ((roll_mean_loops, 2000), (stop_loss_loop, 20_000), (size_assets, 50_000), (size_once, 1_000_000))


def main() -> None:
    lines = [*measure_first(), *measure_cases(), *measure_from_cold(), *measure_overhead(), *measure_numerics()]
    RESULTS.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for line in lines:
        print(json.dumps(line))


def line(name: str, *, ours: float, theirs: float, unit: str, n: int, note: str) -> dict[str, Any]:
    return {"name": name, "ours": ours, "theirs": theirs, "unit": unit, "ratio": ours / theirs, "n": n, "note": note}


def compile_hot(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, dict[str, Any], float]:
    """The wrapped function after its verdict, what the statistics say, and the CPU seconds that it took."""
    compiler = tw.JITCompiler(min_calls=3, payback=0.0)
    fast = compiler.wrap(function)
    for _ in range(2):
        fast(*args)
    started = time.process_time()
    fast(*args)
    compiler.wait()
    seconds = time.process_time() - started
    (forms,) = compiler.get_performance_stats()["functions"].values()
    return fast, forms[0], seconds


def measure_first() -> list[dict[str, Any]]:
    """What the first compilation of a process costs: numba's import, and its own start."""
    _, _, first = compile_hot(stop_loss_loop, (PRICES, 0.05, 5))
    _, _, second = compile_hot(stop_loss_loop, (PRICES, 0.05, 5))
    note = "compiling, checking and measuring stop_loss_loop, in CPU seconds; the first one imports and starts numba"
    return [line("first compilation of a process vs the next", ours=first, theirs=second, unit="s", n=1, note=note)]


def measure_cases() -> list[dict[str, Any]]:
    """Every function: the decorated call after the verdict against the function itself."""
    found = []
    for function, args, what in CASES:
        fast, form, seconds = compile_hot(function, args)
        ours, theirs = race(lambda f=fast, a=args: f(*a), lambda f=function, a=args: f(*a))
        note = f"{what}; {form['state']}, verdict in {seconds:.2f} CPU s"
        if form["state"] == "compiled":
            note += f", paid back after {math.ceil(1e6 * seconds / (theirs - ours)):,} calls"
        else:
            note += f": {form['reason'][:150]}"
        found.append(line(f"{function.__name__} vs itself", ours=ours, theirs=theirs, unit="us", n=ROUNDS, note=note))
    return found


def measure_from_cold() -> list[dict[str, Any]]:
    """All calls of a program, default options, compile time and counting included."""
    arguments = {function: args for function, args, _ in CASES}
    found = []
    for function, calls in FROM_COLD:
        args = arguments[function]
        theirs = run_all(function, args, calls)
        compiler = tw.JITCompiler()
        ours = run_all(compiler.wrap(function), args, calls, compiler=compiler)
        note = f"CPU seconds of {calls:,} calls with the default options, all that the JIT does included"
        found.append(
            line(f"{function.__name__} from cold vs itself", ours=ours, theirs=theirs, unit="s", n=1, note=note)
        )
    return found


def run_all(
    call: Callable[..., Any], args: tuple[Any, ...], calls: int, *, compiler: tw.JITCompiler | None = None
) -> float:
    started = time.process_time()
    for _ in range(calls):
        call(*args)
    if compiler is not None:
        compiler.wait()
    return time.process_time() - started


def measure_overhead() -> list[dict[str, Any]]:
    """What a decorated call costs beside the function: while it is counted, refused, and compiled."""

    def pick(x: Any, place: int) -> Any:
        return x[place]

    def add_up(x: Any) -> float:
        total = 0.0
        for i in range(len(x)):
            total += x[i]
        return total

    x = np.ones(3000)
    cold = tw.JITCompiler(min_calls=10**9)
    counted = cold.wrap(add_up)
    refused, form, _ = compile_hot(pick, (x, 1))
    assert form["state"] == "refused", form
    fast, form, _ = compile_hot(add_up, (x,))
    assert form["state"] == "compiled", form
    (entry,) = (one.entry for one in fast.hot.forms())
    few = x[:30]
    sides = (
        ("counted, not yet hot", lambda: counted(few), lambda: add_up(few), "a loop over 30 values"),
        ("refused", lambda: refused(x, 1), lambda: pick(x, 1), "an array and a number"),
        ("compiled", lambda: fast(few), lambda: entry(few), "a loop over 30 values; theirs: Numba's entry alone"),
    )
    found = []
    for what, ours, theirs, note in sides:
        left, right = race(ours, theirs, pick=min, rounds=400)  # what the code costs, not what the machine does besides
        more = f"{note}: {1000 * (left - right):.0f} ns more; the quickest of 400 batches"
        found.append(line(f"call {what} vs bare", ours=left, theirs=right, unit="us", n=400, note=more))
    return found


def measure_numerics() -> list[dict[str, Any]]:
    """The compiled formulas, and those that were not taken, against NumPy's and SciPy's fastest way."""
    found = []
    for size in (4, 16, 64, 256, 1024, 4096, 16384, 65536):
        x, y = DRAW.normal(size=(2, size))
        for what, ours, theirs in make_formulas(x, y):
            left = [race(ours, other) for other in theirs]
            mine, other = median(pair[0] for pair in left), min(pair[1] for pair in left)
            note = "float64, the fastest of NumPy's and SciPy's ways"
            found.append(line(f"{what} {size} vs numpy", ours=mine, theirs=other, unit="us", n=ROUNDS, note=note))
    return [*found, *measure_matrices()]


def make_formulas(x: Any, y: Any) -> tuple[tuple[str, Callable[[], Any], tuple[Callable[[], Any], ...]], ...]:
    from scipy.special import expit

    from tidewright.inference.jit import numerics

    sigmoid, _ = make_rejected()

    def softmax() -> Any:
        e = np.exp(x - x.max())
        return e / e.sum()

    def distance() -> Any:
        d = x - y
        return math.sqrt(d @ d)

    return (
        ("dot", lambda: numerics.fast_dot_product(x, y), (lambda: np.dot(x, y), lambda: x @ y)),
        (
            "distance",
            lambda: numerics.fast_euclidean_distance(x, y),
            (lambda: np.linalg.norm(x - y), distance),
        ),
        ("softmax", lambda: numerics.fast_softmax(x), (softmax,)),
        ("standardise", lambda: numerics.fast_standardise(x), (lambda: (x - x.mean()) / x.std(),)),
        ("sigmoid (not taken)", lambda: sigmoid(x), (lambda: expit(x), lambda: 1.0 / (1.0 + np.exp(-x)))),
    )


def make_rejected() -> list[Any]:
    """The compiled sigmoid and product of matrices, which did not win."""
    if not _REJECTED:
        from numba import njit

        options = {"fastmath": {"reassoc", "nsz", "contract"}, "error_model": "numpy"}
        _REJECTED.extend(njit(**options)(loops) for loops in (sigmoid_loop, multiply_loops))
    return _REJECTED


_REJECTED: list[Any] = []


def sigmoid_loop(x: Any) -> Any:
    out = np.empty_like(x)
    for i in range(len(x)):
        small = math.exp(-abs(x[i]))
        out[i] = (1.0 if x[i] >= 0.0 else small) / (1.0 + small)
    return out


def multiply_loops(a: Any, b: Any) -> Any:
    out = np.zeros((a.shape[0], b.shape[1]))
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            for j in range(b.shape[1]):
                out[i, j] += a[i, k] * b[k, j]
    return out


def measure_matrices() -> list[dict[str, Any]]:
    multiply = make_rejected()[1]
    found = []
    for size in (2, 4, 8, 16, 32, 64):
        a, b = DRAW.normal(size=(2, size, size))
        ours, theirs = race(lambda a=a, b=b: multiply(a, b), lambda a=a, b=b: np.dot(a, b))
        name = f"matrix product (not taken) {size} x {size} vs numpy"
        found.append(line(name, ours=ours, theirs=theirs, unit="us", n=ROUNDS, note="float64"))
    return found


def race(
    ours: Callable[[], Any], theirs: Callable[[], Any], *, pick: Callable[..., float] = median, rounds: int = ROUNDS
) -> tuple[float, float]:
    """Microseconds a call of batches in turns: their medians."""
    calls = [max(1, int(BATCH_S / max(min(time_calls(side, 1) for _ in range(5)), 1e-8))) for side in (ours, theirs)]
    pairs = [(time_calls(ours, calls[0]), time_calls(theirs, calls[1])) for _ in range(rounds)]
    return 1e6 * pick(pair[0] for pair in pairs), 1e6 * pick(pair[1] for pair in pairs)


def time_calls(call: Callable[[], Any], calls: int) -> float:
    """The mean CPU seconds of a call."""
    started = time.thread_time()
    for _ in range(calls):
        call()
    return (time.thread_time() - started) / calls


if __name__ == "__main__":
    main()
