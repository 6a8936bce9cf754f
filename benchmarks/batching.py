"""What shared runs cost one caller, and what they give 32.

python benchmarks/batching.py    # a minute

The 100-64-32-16-1 network and an LSTM of 64 over 96 steps, one row a request, one thread a run, sides in turns: one
caller; 32 threads; and 32 tasks of one asyncio loop, which without batching hand each request to a pool of two threads.
Medians of rounds, in microseconds of wall time a request. One JSON line a comparison goes to stdout and to
benchmarks/results/batching.jsonl.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import session_overhead as overhead

import tidewright as tw

RESULTS = Path(__file__).parent / "results" / "batching.jsonl"
CLIENTS = 32


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        overhead.write_network(Path(folder) / "mlp")
        mlp = tw.open(Path(folder) / "mlp", strict=True)
    lstm, _ = overhead.train_ours("lstm", 1)
    lines = [*measure("mlp", mlp, width=100, calls=200), *measure("lstm", lstm, width=96, calls=40)]
    RESULTS.write_text("".join(json.dumps(one) + "\n" for one in lines))
    for one in lines:
        print(json.dumps(one))


def measure(name: str, session: Any, *, width: int, calls: int, rounds: int = 15) -> list[dict[str, Any]]:
    """Each way of asking, with and without batching."""
    x = np.random.default_rng(0).normal(size=(1, width)).astype(np.float32)
    with tw.batching(session) as shared, ThreadPoolExecutor(2) as two, ThreadPoolExecutor(CLIENTS) as many:

        async def hand_over() -> Any:
            return await asyncio.get_running_loop().run_in_executor(two, session.predict, x)

        ways: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {
            "1 caller": (
                lambda: time_calls(lambda: shared.predict(x), calls * CLIENTS),
                lambda: time_calls(lambda: session.predict(x), calls * CLIENTS),
            ),
            "32 threads": (
                lambda: time_threads(many, lambda: shared.predict(x), calls),
                lambda: time_threads(many, lambda: session.predict(x), calls),
            ),
            "32 tasks": (
                lambda: asyncio.run(time_tasks(lambda: shared.ask(x), calls)),
                lambda: asyncio.run(time_tasks(hand_over, calls)),
            ),
        }
        lines = []
        for way, sides in ways.items():
            before = shared.counts()
            times = [[side() for side in sides] for _ in range(rounds)]
            ours, theirs = (median(column) for column in zip(*times, strict=True))
            after = shared.counts()
            runs = after.runs - before.runs
            note = f"one row a request; {(after.rows - before.rows) / runs:.1f} rows a run" if runs else "runs at once"
            n = rounds * calls * CLIENTS
            case = f"{name} {way} vs no batching"
            lines.append(overhead.line(case, ours=ours, theirs=theirs, unit="us", n=n, note=note))
    return lines


def time_calls(call: Callable[[], Any], calls: int) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - started) / calls * 1e6


def time_threads(pool: ThreadPoolExecutor, call: Callable[[], Any], calls: int) -> float:
    started = time.perf_counter()
    for future in [pool.submit(time_calls, call, calls) for _ in range(CLIENTS)]:
        future.result()
    return (time.perf_counter() - started) / calls / CLIENTS * 1e6


async def time_tasks(call: Callable[[], Any], calls: int) -> float:
    async def repeat() -> None:
        for _ in range(calls):
            await call()

    started = time.perf_counter()
    await asyncio.gather(*[repeat() for _ in range(CLIENTS)])
    return (time.perf_counter() - started) / calls / CLIENTS * 1e6


if __name__ == "__main__":
    main()
