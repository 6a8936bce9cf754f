"""What a server counts; its text is written by `inference.metrics_text`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from threading import Lock

from tidewright.inference.latency import PENDING, Latency
from tidewright.inference.metrics_text import KINDS as SESSION_KINDS
from tidewright.inference.metrics_text import RECENT_S, Sample, summarise, summarise_recent
from tidewright.serving.shadow_tally import ShadowTally

KINDS = SESSION_KINDS | {
    "tidewright_requests_total": ("counter", "Requests by model, version, kind and HTTP status."),
    "tidewright_rows_total": ("counter", "Windows that were answered."),
    "tidewright_shared_runs_total": ("counter", "Runs that answered several requests of one turn of the loop."),
    "tidewright_shared_rows_total": ("counter", "Windows of these runs."),
    "tidewright_request_seconds": ("summary", "Time of a request in the server, from its head to its answer."),
    "tidewright_request_recent_seconds": ("gauge", f"The same of the last {RECENT_S} s; quantile 1 is the longest."),
    "tidewright_refused_total": ("counter", "Requests that no model was asked for, by HTTP status."),
    "tidewright_waiting": ("gauge", "Requests that wait or run beside the loop."),
    "tidewright_connections": ("gauge", "Open connections."),
    "tidewright_reloads_total": ("counter", "Bundles that were loaded after the start, by outcome."),
    "tidewright_split_total": ("counter", "Requests without a version that each arm of a split answered."),
    "tidewright_split_percent": ("gauge", "The share of an arm of a split."),
    "tidewright_shadow_total": ("counter", "Copies of the champion's requests for a shadow, by outcome."),
    "tidewright_shadow_errors_total": ("counter", "Copies that a shadow could not answer, by error."),
    "tidewright_shadow_seconds": ("summary", "Time of a shadow's answer."),
    "tidewright_shadow_difference": (
        "summary",
        "Mean absolute difference of a window's two answers, in the target's unit and in spreads of the champion.",
    ),
    "tidewright_shadow_largest_difference": ("gauge", "The largest of these."),
    "tidewright_record_rows_total": ("counter", "Rows of forecasts for the record, by event."),
    "tidewright_record_removed_total": ("counter", "Parts of the record that gave way to newer ones."),
    "tidewright_model_info": ("gauge", "1 for each served version, with its digest."),
}


class Tally:
    """The requests of one version of a model. Its version may be loaded again: the tally goes on."""

    __slots__ = ("answered", "clock", "failed", "lock", "rows", "shared_rows", "shared_runs")

    def __init__(self) -> None:
        self.answered: Counter[str] = Counter()  # by kind: infer, forecast
        self.failed: Counter[tuple[str, int]] = Counter()
        self.rows = self.shared_runs = self.shared_rows = 0
        self.clock = Latency(slots=True)  # its slots are turned by the server's sweep
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
        yield Sample("tidewright_shared_runs_total", labels, self.shared_runs)
        yield Sample("tidewright_shared_rows_total", labels, self.shared_rows)
        yield from summarise("tidewright_request_seconds", labels, self.clock.summary())
        yield from summarise_recent("tidewright_request_recent_seconds", labels, self.clock.summary(seconds=RECENT_S))


class Metrics:
    """What a server counts, over all its models."""

    def __init__(self) -> None:
        self.refused: Counter[int] = Counter()
        self.reloads: Counter[str] = Counter()
        self._tallies: dict[tuple[str, str], Tally] = {}
        self.split: Counter[tuple[str, str]] = Counter()  # answers by model and version
        self._shadows: dict[tuple[str, str, str], ShadowTally] = {}

    def shadow_tally(self, name: str, *, champion: str, version: str) -> ShadowTally:
        """The tally of a shadow; the same one after a reload."""
        return self._shadows.setdefault((name, champion, version), ShadowTally())

    def tally(self, name: str, version: str) -> Tally:
        """The tally of a version of a model; the same one after a reload."""
        return self._tallies.setdefault((name, version), Tally())

    def turn(self) -> None:
        """Counts what came since the last call as of now; called more often than a slot of the figures lasts."""
        for tally in list(self._tallies.values()):
            tally.clock.turn()

    def samples(self) -> Iterable[Sample]:
        """Its numbers."""
        for (name, version), tally in sorted(self._tallies.items()):
            yield from tally.samples({"model": name, "version": version})
        for (name, version), number in sorted(self.split.items()):
            yield Sample("tidewright_split_total", {"model": name, "version": version}, number)
        for (name, champion, version), shadow in sorted(self._shadows.items()):
            yield from shadow.samples({"model": name, "version": version, "champion": champion})
        for status, number in sorted(self.refused.items()):
            yield Sample("tidewright_refused_total", {"status": str(status)}, number)
        for outcome in ("done", "failed"):
            yield Sample("tidewright_reloads_total", {"outcome": outcome}, self.reloads[outcome])
