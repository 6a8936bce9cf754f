"""What a server counts, and its Prometheus text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import NamedTuple

from tidewright.inference.latency import PENDING, Latency

QUANTILES = {"0.5": "p50_ms", "0.95": "p95_ms", "0.99": "p99_ms"}
_KINDS = {
    "tidewright_requests_total": ("counter", "Requests by model, version, kind and HTTP status."),
    "tidewright_rows_total": ("counter", "Windows that were answered."),
    "tidewright_request_seconds": ("summary", "Time of a request in the server, from its head to its answer."),
    "tidewright_inference_seconds": ("summary", "Time of a session's answer."),
    "tidewright_refused_total": ("counter", "Requests that no model was asked for, by HTTP status."),
    "tidewright_waiting": ("gauge", "Requests that wait or run beside the loop."),
    "tidewright_connections": ("gauge", "Open connections."),
    "tidewright_reloads_total": ("counter", "Bundles that were loaded after the start, by outcome."),
    "tidewright_model_info": ("gauge", "1 for each served version, with its digest."),
}


class Sample(NamedTuple):
    """One number: the metric's name (with a suffix such as `_count`), its labels, and its value."""

    name: str
    labels: Mapping[str, str]
    value: float
    suffix: str = ""


class Tally:
    """The requests of one version of a model. Its version may be loaded again: the tally goes on."""

    __slots__ = ("answered", "clock", "failed", "lock", "rows")

    def __init__(self) -> None:
        self.answered: Counter[str] = Counter()  # by kind: infer, forecast
        self.failed: Counter[tuple[str, int]] = Counter()
        self.rows = 0
        self.clock = Latency()
        self.lock = Lock()

    def count(self, kind: str, elapsed_ns: int, *, rows: int) -> None:
        """An answer. Called from the loop alone."""
        self.answered[kind] += 1
        self.rows += rows
        pending = self.clock.pending
        pending.append(elapsed_ns)
        if len(pending) > PENDING:
            self.clock.count()

    def samples(self, labels: Mapping[str, str]) -> Iterable[Sample]:
        """Its numbers."""
        counts = {(kind, 200): number for kind, number in self.answered.items()} | dict(self.failed)
        for (kind, status), number in sorted(counts.items()):
            yield Sample("tidewright_requests_total", {**labels, "kind": kind, "status": str(status)}, number)
        yield Sample("tidewright_rows_total", labels, self.rows)
        yield from summarise("tidewright_request_seconds", labels, self.clock.summary())


class Metrics:
    """What a server counts, over all its models."""

    def __init__(self) -> None:
        self.refused: Counter[int] = Counter()
        self.reloads: Counter[str] = Counter()
        self._tallies: dict[tuple[str, str], Tally] = {}

    def tally(self, name: str, version: str) -> Tally:
        """The tally of a version of a model; the same one after a reload."""
        return self._tallies.setdefault((name, version), Tally())

    def samples(self) -> Iterable[Sample]:
        """Its numbers."""
        for (name, version), tally in sorted(self._tallies.items()):
            yield from tally.samples({"model": name, "version": version})
        for status, number in sorted(self.refused.items()):
            yield Sample("tidewright_refused_total", {"status": str(status)}, number)
        for outcome in ("done", "failed"):
            yield Sample("tidewright_reloads_total", {"outcome": outcome}, self.reloads[outcome])


def summarise(name: str, labels: Mapping[str, str], summary: Mapping[str, float]) -> Iterable[Sample]:
    """A summary of `Latency` as samples in seconds."""
    count = summary["count"]
    for level, key in QUANTILES.items():
        yield Sample(name, {**labels, "quantile": level}, summary[key] / 1e3)
    yield Sample(name, labels, summary["mean_ms"] * count / 1e3 if count else 0.0, "_sum")
    yield Sample(name, labels, count, "_count")


def write_text(samples: Iterable[Sample]) -> str:
    """Samples in Prometheus' text format.

    >>> print(write_text([Sample("tidewright_waiting", {}, 2)]), end="")
    # HELP tidewright_waiting Requests that wait or run beside the loop.
    # TYPE tidewright_waiting gauge
    tidewright_waiting 2
    """
    groups: dict[str, list[str]] = {}
    for name, labels, value, suffix in samples:
        told = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
        groups.setdefault(name, []).append(f"{name}{suffix}{{{told}}}" if told else f"{name}{suffix}")
        groups[name][-1] += f" {_number(value)}"
    lines = []
    for name, rows in groups.items():
        kind, text = _KINDS[name]
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *rows]
    return "".join(f"{line}\n" for line in lines)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return str(int(value)) if float(value).is_integer() else repr(float(value))
