"""Sessions timed on the bundle's own example, in turns; the quickest round counts, which other work disturbs least."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.inference.session import Session
from tidewright.registry.bundle import Bundle

ROUNDS = 15
ROUND_S = 0.001  # of each session and batch size, but one answer at least


def time_sessions(
    sessions: Mapping[str, Session], bundle: Bundle, *, batch_sizes: tuple[int, ...]
) -> dict[str, tuple[float, ...]]:
    """The seconds of one answer in the quickest round of each session, for each batch size."""
    found: dict[str, list[float]] = {name: [] for name in sessions}
    for size in batch_sizes:
        given = repeat_example(bundle, size)
        counts = {name: _count(session, given) for name, session in sessions.items()}
        rounds = [
            {name: _time(session, given, calls=counts[name]) for name, session in sessions.items()}
            for _ in range(ROUNDS)
        ]
        for name, times in found.items():
            times.append(min(each[name] for each in rounds))
    return {name: tuple(times) for name, times in found.items()}


def repeat_example(bundle: Bundle, size: int) -> npt.NDArray[Any] | dict[str, npt.NDArray[Any]]:
    """So many windows of the example, over and over: by position where the target is all there is."""
    batch, _ = bundle.example()
    rows = np.arange(size) % len(batch.target)
    feed = {name: np.ascontiguousarray(getattr(batch, name)[rows]) for name in bundle.manifest.widths.inputs}
    return feed["target"] if len(feed) == 1 else feed


def _count(session: Session, given: Any) -> int:
    """How many answers fill a round; the first ones, which are slower, are not looked at."""
    session.predict(given)
    return max(1, int(ROUND_S / _time(session, given, calls=1)))


def _time(session: Session, given: Any, *, calls: int) -> float:
    started = perf_counter()
    for _ in range(calls):
        session.predict(given)
    return (perf_counter() - started) / calls
