"""How long graphs take to answer, in turns, so that a busy moment hits all of them."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np

from tidewright.features.windows import Batch
from tidewright.registry.parity import open_graph, to_feed
from tidewright.registry.trial_windows import take

ROUNDS, ROUND_S = 7, 0.005


def time_graphs(graphs: Sequence[bytes], batch: Batch, *, sizes: Sequence[int]) -> list[dict[str, float]]:
    """The median microseconds of one answer of each graph on one thread, by batch size; the batch's windows go over and
    over.
    """
    sessions = [open_graph(graph) for graph in graphs]
    found: list[dict[str, float]] = [{} for _ in graphs]
    for size in sizes:
        rows = np.arange(size) % len(batch.target)
        feed = dict(to_feed(take(batch, rows), names=[value.name for value in sessions[0].get_inputs()]))
        calls = [_count(session, feed) for session in sessions]
        rounds = [[_time(s, feed, calls=n) for s, n in zip(sessions, calls, strict=True)] for _ in range(ROUNDS)]
        for place, times in enumerate(zip(*rounds, strict=True)):
            found[place][str(size)] = 1e6 * float(np.median(times))
    return found


def _count(session: Any, feed: dict[str, Any]) -> int:
    """How many answers fill a round; the first one, which is slower, is not looked at."""
    session.run(None, feed)
    return max(1, int(ROUND_S / _time(session, feed, calls=1)))


def _time(session: Any, feed: dict[str, Any], *, calls: int) -> float:
    started = perf_counter()
    for _ in range(calls):
        session.run(None, feed)
    return (perf_counter() - started) / calls
