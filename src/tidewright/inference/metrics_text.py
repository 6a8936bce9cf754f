"""Figures in Prometheus' text format: those of sessions, and any others.

>>> print(write_text([Sample("tidewright_waiting", {}, 2)], {"tidewright_waiting": ("gauge", "Who waits.")}), end="")
# HELP tidewright_waiting Who waits.
# TYPE tidewright_waiting gauge
tidewright_waiting 2
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tidewright.checks import check_text
from tidewright.errors import ConfigError
from tidewright.inference.batching import BatchingSession
from tidewright.inference.cache import CachedSession
from tidewright.inference.items import check_session
from tidewright.inference.session import Session

QUANTILES = {"0.5": "p50_ms", "0.95": "p95_ms", "0.99": "p99_ms"}
RECENT_S = 60
KINDS = {
    "tidewright_inference_seconds": ("summary", "Time of a session's answer."),
    "tidewright_inference_recent_seconds": ("gauge", f"The same of the last {RECENT_S} s; quantile 1 is the longest."),
    "tidewright_stage_seconds": ("summary", "Time of a part of an answer; of single windows, of some of them."),
    "tidewright_cache_total": ("counter", "What a cache did, by event."),
    "tidewright_cache_entries": ("gauge", "Answers that a cache holds."),
    "tidewright_cache_bytes": ("gauge", "Bytes that a cache holds, by level."),
    "tidewright_batching_total": ("counter", "What became of the requests of shared runs, by event."),
    "tidewright_batching_waiting": ("gauge", "Requests that wait for a shared run."),
}


class Sample(NamedTuple):
    """One number: the metric's name (with a suffix such as `_count`), its labels, and its value."""

    name: str
    labels: Mapping[str, str]
    value: float
    suffix: str = ""


def write_metrics(sessions: Mapping[str, Session]) -> str:
    """What sessions count, each under its label `session`. Raises `ConfigError`."""
    if not isinstance(sessions, Mapping):
        raise ConfigError(f"sessions by name are needed, got {type(sessions).__name__}. Give {{'sales': session}}.")
    for name, one in sessions.items():
        check_text("a session's name", name)
        check_session(one)
    samples = [sample for name, one in sessions.items() for sample in sample_session(one, {"session": name})]
    return write_text(samples, KINDS)


def sample_session(session: Session, labels: Mapping[str, str]) -> Iterable[Sample]:
    """What a session counts, and those that it wraps."""
    if isinstance(session, CachedSession):
        yield from _sample_cache(session, labels)
        yield from sample_session(session.session, labels)
        return
    if isinstance(session, BatchingSession):
        yield from _sample_batching(session, labels)
        yield from sample_session(session.session, labels)
        return
    yield from summarise("tidewright_inference_seconds", labels, session.latency())
    yield from summarise_recent("tidewright_inference_recent_seconds", labels, session.latency(seconds=RECENT_S))
    yield from sample_stages(session, labels)


def sample_stages(session: Session, labels: Mapping[str, str]) -> Iterable[Sample]:
    """The parts of a session's answers."""
    for stage, summary in session.stages().items():
        yield from summarise("tidewright_stage_seconds", {**labels, "stage": stage}, summary)


def summarise(name: str, labels: Mapping[str, str], summary: Mapping[str, float]) -> Iterable[Sample]:
    """A summary of `Latency` as samples in seconds."""
    count = summary["count"]
    for level, key in QUANTILES.items():
        yield Sample(name, {**labels, "quantile": level}, summary[key] / 1e3)
    yield Sample(name, labels, summary["mean_ms"] * count / 1e3 if count else 0.0, "_sum")
    yield Sample(name, labels, count, "_count")


def summarise_recent(name: str, labels: Mapping[str, str], summary: Mapping[str, float]) -> Iterable[Sample]:
    """A summary of the last seconds; none where nothing was answered."""
    for level, key in (*QUANTILES.items(), ("1", "max_ms")):
        if summary["count"]:
            yield Sample(name, {**labels, "quantile": level}, summary[key] / 1e3)


def write_text(samples: Iterable[Sample], kinds: Mapping[str, tuple[str, str]]) -> str:
    """Samples by name, with the type and the meaning that `kinds` has of each."""
    groups: dict[str, list[str]] = {}
    for name, labels, value, suffix in samples:
        told = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
        head = f"{name}{suffix}{{{told}}}" if told else f"{name}{suffix}"
        groups.setdefault(name, []).append(f"{head} {_number(value)}")
    lines = []
    for name, rows in groups.items():
        kind, text = kinds[name]
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *rows]
    return "".join(f"{line}\n" for line in lines)


def _sample_cache(session: CachedSession, labels: Mapping[str, str]) -> Iterable[Sample]:
    counts = session.counts()
    for event in ("hits", "misses", "joined", "evictions", "expiries"):
        yield Sample("tidewright_cache_total", {**labels, "level": "memory", "event": event}, getattr(counts, event))
    yield Sample("tidewright_cache_entries", labels, counts.entries)
    yield Sample("tidewright_cache_bytes", {**labels, "level": "memory"}, counts.bytes)
    if counts.disk is None:
        return
    for event in ("hits", "misses", "damaged", "expiries", "evictions", "unwritten"):
        yield Sample("tidewright_cache_total", {**labels, "level": "disk", "event": event}, getattr(counts.disk, event))
    yield Sample("tidewright_cache_bytes", {**labels, "level": "disk"}, counts.disk.bytes)


def _sample_batching(session: BatchingSession, labels: Mapping[str, str]) -> Iterable[Sample]:
    counts = session.counts()
    for event in ("at_once", "queued", "runs", "rows", "refused", "expired", "cancelled", "parted"):
        yield Sample("tidewright_batching_total", {**labels, "event": event}, getattr(counts, event))
    yield Sample("tidewright_batching_waiting", labels, counts.waiting)
    yield from summarise("tidewright_stage_seconds", {**labels, "stage": "queue"}, session.stages()["queue"])


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return str(int(value)) if float(value).is_integer() else repr(float(value))
