"""What a kept answer costs, what a cache costs where it does not help, and what "643 times" is.

python benchmarks/cache.py    # half a minute

Windows of 512 values (2 KB), one thread, batch 1, sides in turns. A hit is a window that was asked before, a miss one
that was not, in a cache that is full; p50 and p99 are of single calls, the clock's own time taken off. One JSON line
a comparison goes to stdout and to benchmarks/results/cache.jsonl.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import session_overhead as overhead

import tidewright as tw

RESULTS = Path(__file__).parent / "results" / "cache.jsonl"
WIDTH, WINDOWS, ENTRIES = 512, 20_000, 4_096


def main() -> None:
    overhead.SIZES = (WIDTH, 64, 32, 16, 1)
    with tempfile.TemporaryDirectory() as folder:
        overhead.write_network(Path(folder) / "mlp")
        mlp = tw.open(Path(folder) / "mlp", strict=True)
    overhead.LOOKBACK = WIDTH - 32  # its series have 480 rows
    lstm, _ = overhead.train_ours("lstm", 1)
    lines = [*measure("mlp", mlp, width=WIDTH), *measure("lstm", lstm, width=overhead.LOOKBACK, windows=3_000)]
    RESULTS.write_text("".join(json.dumps(one) + "\n" for one in lines))
    for one in lines:
        print(json.dumps(one))


def measure(name: str, session: Any, *, width: int, windows: int = WINDOWS, rounds: int = 9) -> list[dict[str, Any]]:
    """A hit against no cache, functools.lru_cache and, by percentiles, a miss; a miss against no cache."""
    rows = [row[None] for row in np.random.default_rng(1).normal(size=(windows, width)).astype(np.float32)]
    kept, plain = tw.cached(session, entries=ENTRIES), keep_plainly(session, ENTRIES)
    most = min(ENTRIES, windows // 2)
    again = rows[:100] * (windows // 100)
    sides: dict[str, tuple[Callable[[Any], Any], Sequence[Any]]] = {
        "none": (session.predict, rows),
        "miss": (tw.cached(session, entries=most).predict, rows),
        "plain miss": (keep_plainly(session, most), rows),
        "hit": (kept.predict, again),
        "plain": (plain, again),
    }
    means: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, (call, given) in sides.items():
            means[side] += time_parts(call, given)
    middle = {side: float(np.median(times)) for side, times in means.items()}
    each = {side: time_each(*sides[side]) for side in ("hit", "miss")}
    size = f"{width * 4 / 1024:.3g} KB, one thread"
    n = rounds * windows
    lines = [
        line(f"{name} hit vs no cache", middle["hit"], middle["none"], n=n, note=size),
        line(f"{name} hit vs functools.lru_cache on the bytes", middle["hit"], middle["plain"], n=n, note=size),
    ]
    more, least = (middle[side] - middle["none"] for side in ("miss", "plain miss"))
    note = f"{size}, full cache of {most}: {more:+.2f} us a miss, functools.lru_cache on the bytes {least:+.2f}"
    lines.append(line(f"{name} miss vs no cache", middle["miss"], middle["none"], n=n, note=note))
    for level in (50, 99):
        hit, miss = (float(np.percentile(each[side], level)) for side in ("hit", "miss"))
        note = f"{size}, single calls: {miss / hit:.0f} times, the documents' '643 times'"
        lines.append(line(f"{name} hit vs miss, p{level}", hit, miss, n=windows, note=note))
    return lines


def keep_plainly(session: Any, entries: int) -> Callable[[Any], Any]:
    """The least that keeps answers: no shape, no time, no bytes, no single flight."""

    @lru_cache(entries)
    def answer(data: bytes) -> Any:
        return session.predict(np.frombuffer(data, np.float32)[None])

    return lambda x: answer(x.tobytes())


def time_parts(call: Callable[[Any], Any], given: Sequence[Any], size: int = 200) -> list[float]:
    """The mean time of a call in microseconds, for each 200 calls."""
    found = []
    for start in range(0, len(given), size):
        part = given[start : start + size]
        started = time.perf_counter_ns()
        for x in part:
            call(x)
        found.append((time.perf_counter_ns() - started) / len(part) / 1e3)
    return found


def time_each(call: Callable[[Any], Any], given: Sequence[Any]) -> Any:
    """The time of each call in microseconds, without the clock's own."""
    clock = time.perf_counter_ns
    empty, found = [], []
    for x in given:
        started = clock()
        empty.append(clock() - started)
        started = clock()
        call(x)
        found.append(clock() - started)
    return np.maximum(np.array(found) - np.median(empty), 1) / 1e3


def line(name: str, ours: float, theirs: float, *, n: int, note: str) -> dict[str, Any]:
    return overhead.line(name, ours=ours, theirs=theirs, unit="us", n=n, note=note)


if __name__ == "__main__":
    main()
