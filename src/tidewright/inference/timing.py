"""Sessions timed on the bundle's own example, in turns, so that other work on the machine disturbs all of them alike.

To choose one, the quickest round counts; to judge them, every round after the first does. R rounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter, perf_counter_ns, process_time
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.inference.latency import Latency
from tidewright.inference.session import Session
from tidewright.registry.bundle import Bundle

ROUNDS = 15
ROUND_S = 0.001  # of each session and batch size, but one answer at least
JUDGED = 60  # rounds that the time of a judgement is cut into


def time_sessions(
    sessions: Mapping[str, Session], bundle: Bundle, *, batch_sizes: tuple[int, ...]
) -> dict[str, tuple[float, ...]]:
    """The seconds of one answer in the quickest round of each session, for each batch size."""
    found: dict[str, list[float]] = {name: [] for name in sessions}
    for size in batch_sizes:
        given = repeat_example(bundle, size)
        counts = {name: _count(session, given, seconds=ROUND_S) for name, session in sessions.items()}
        rounds = [
            {name: _time(session, given, calls=counts[name]) for name, session in sessions.items()}
            for _ in range(ROUNDS)
        ]
        for name, times in found.items():
            times.append(min(each[name] for each in rounds))
    return {name: tuple(times) for name, times in found.items()}


@dataclass(frozen=True, eq=False, slots=True)
class Rounds:
    """A session's rounds: the seconds of one answer in each [R], by the clock and on the processor (all threads of this
    process), and the summary of all answers, as `Latency` gives it.
    """

    wall_s: npt.NDArray[np.float64]
    cpu_s: npt.NDArray[np.float64]
    latency: Mapping[str, float]


def time_rounds(sessions: Mapping[str, Session], given: Any, *, seconds: float, least: int) -> dict[str, Rounds]:
    """The rounds of each session over so many seconds together, `least` at least however long an answer takes.

    Who goes first changes from round to round. What warms up, and finds how many answers fill a turn, is not looked at:
    turns of unlike length would share out unlike how a session is slower after another one ran.
    """
    round_s = seconds / (JUDGED * len(sessions))
    counts = {name: _fill(session, given, round_s=round_s) for name, session in sessions.items()}
    noted: dict[str, list[tuple[float, float]]] = {name: [] for name in sessions}
    latency = {name: Latency() for name in sessions}
    order, made, end = list(sessions), 0, perf_counter() + seconds
    while made < least or perf_counter() < end:
        for name in order:
            started = process_time()
            times = _answer(sessions[name], given, calls=counts[name])
            cpu_s = process_time() - started
            noted[name].append((sum(times) * 1e-9 / len(times), cpu_s / len(times)))
            latency[name].pending.extend(times)
            latency[name].count()
        order.reverse()
        made += 1
    parts = {name: np.array(each).T for name, each in noted.items()}
    return {name: Rounds(wall, cpu, latency[name].summary()) for name, (wall, cpu) in parts.items()}


def repeat_example(bundle: Bundle, size: int) -> npt.NDArray[Any] | dict[str, npt.NDArray[Any]]:
    """So many windows of the example, over and over: by position where the target is all there is."""
    batch, _ = bundle.example()
    rows = np.arange(size) % len(batch.target)
    feed = {name: np.ascontiguousarray(getattr(batch, name)[rows]) for name in bundle.manifest.widths.inputs}
    return feed["target"] if len(feed) == 1 else feed


def _count(session: Session, given: Any, *, seconds: float) -> int:
    """How many answers fill so many seconds; the first ones, which are slower, are not looked at."""
    session.predict(given)
    return max(1, int(seconds / _time(session, given, calls=1)))


def _fill(session: Session, given: Any, *, round_s: float) -> int:
    """The same by the median of about as many, which one slow answer does not move."""
    times = _answer(session, given, calls=_count(session, given, seconds=round_s))
    return max(1, int(round_s / (float(np.median(times)) * 1e-9)))


def _time(session: Session, given: Any, *, calls: int) -> float:
    return sum(_answer(session, given, calls=calls)) * 1e-9 / calls


def _answer(session: Session, given: Any, *, calls: int) -> list[int]:
    """The nanoseconds of each of so many answers."""
    times = []
    for _ in range(calls):
        started = perf_counter_ns()
        session.predict(given)
        times.append(perf_counter_ns() - started)
    return times
