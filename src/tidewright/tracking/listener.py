"""`RunListener`: a callback that keeps a run, whatever its trackers do."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from tidewright.errors import FallbackWarning, MissingExtraError
from tidewright.tracking.local import FOLDER, LocalRecord
from tidewright.tracking.mlflow_client import MlflowRecord
from tidewright.tracking.plain import to_plain
from tidewright.tracking.run import Fallback, Run, RunState
from tidewright.training.events import Event

TRACKER_ERRORS = (OSError, MissingExtraError)
NUMBERS = ("metrics", "floors")  # NaN stays NaN until it is written
GROWING = ("choices", "repairs", "fallbacks")


class Tracker(Protocol):
    """Where a run is kept. Every verb raises `OSError` when it can't."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def start(self, run: Run) -> Run:
        """Begins; gives the run back, with another id where its own was taken."""
        ...

    def hear(self, event: Mapping[str, Any]) -> None:
        """Keeps one event."""
        ...

    def finish(self, run: Run) -> str | None:
        """Keeps the last record; may give its own id of the run."""
        ...


class RunListener:
    """Hears the events of one run and tells its trackers; give it to `fit` and `tune` among the callbacks.

    A tracker that fails is left out from then on, and the run says so (`fallbacks`); training never notices,
    unless `strict`: then the failure is raised. The first tracker is the one that names the run, and the
    last to finish.
    """

    wants_scores = True  # of every epoch, on the original scale

    def __init__(self, run: Run, *, trackers: Sequence[Tracker], strict: bool = False) -> None:
        self.run = run
        self._strict = strict
        self._clock = time.monotonic()
        self._live: list[Tracker] = []
        for tracker in trackers:
            self._start(tracker)

    def __enter__(self) -> RunListener:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """Ends the run if it was not ended: as done, as interrupted, or as failed with the error's line."""
        if self.run.state is not RunState.RUNNING:
            return
        if error is None or isinstance(error, KeyboardInterrupt):
            self.finish(RunState.DONE if error is None else RunState.INTERRUPTED)
        else:
            self.finish(RunState.FAILED, error=traceback.format_exception_only(error)[-1].strip())

    def __call__(self, event: Event) -> None:
        """Tells every tracker."""
        described = describe(event, time_ms=int(time.time() * 1000))
        for tracker in list(self._live):
            try:
                tracker.hear(described)
            except TRACKER_ERRORS as error:
                self._leave_out(tracker, error)

    def note(self, **changes: Any) -> None:
        """Sets fields of the run's record; lists of records grow, all else is replaced."""
        fresh: dict[str, Any] = {}
        for name, value in changes.items():
            if name in GROWING:
                fresh[name] = (
                    *getattr(self.run, name),
                    *(one if name == "fallbacks" else to_plain(one) for one in value),
                )
            else:
                fresh[name] = value if name in NUMBERS else to_plain(value)
        self.run = replace(self.run, **fresh)

    def finish(self, state: RunState = RunState.DONE, *, error: str = "") -> Run:
        """Ends the run and gives its last record. What could not be tracked is warned of here, once."""
        seconds = time.monotonic() - self._clock
        ended = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
        self.run = replace(self.run, state=state, error=error, ended=ended, seconds=seconds)
        for tracker in reversed(self._live.copy()):
            try:
                given = tracker.finish(self.run)
                if given:
                    self.run = replace(self.run, mlflow_run=given)
            except TRACKER_ERRORS as failure:
                self._leave_out(tracker, failure)
        self._live = []
        for fallback in self.run.fallbacks:
            if fallback.used == "no tracking there":
                warnings.warn(f"{fallback.asked}: {fallback.reason}", FallbackWarning, stacklevel=2)
        return self.run

    def _start(self, tracker: Tracker) -> None:
        try:
            self.run = tracker.start(self.run)
            self._live.append(tracker)
        except TRACKER_ERRORS as error:
            self._leave_out(tracker, error)

    def _leave_out(self, tracker: Tracker, error: Exception) -> None:
        if self._strict:
            raise error
        if tracker in self._live:
            self._live.remove(tracker)
        fallback = Fallback(
            f"{tracker.name} of run {self.run.id}", "no tracking there", f"{type(error).__name__}: {error}"
        )
        self.run = replace(self.run, fallbacks=(*self.run.fallbacks, fallback))


def open_listener(
    run: Run,
    *,
    folder: Path | str = FOLDER,
    experiment: str = "tidewright",
    mlflow: bool = True,
    strict: bool = False,
    again: bool = False,
) -> RunListener:
    """A listener that keeps the run in `folder`: the local record and, unless told otherwise,
    `folder`/mlflow.db. `again`: it goes on with a run that was interrupted (MLflow has it as another one)."""
    place = Path(folder)
    trackers: list[Tracker] = [LocalRecord(place, again=again)]
    if mlflow:
        trackers.append(MlflowRecord(place, experiment=experiment))
    return RunListener(run, trackers=trackers, strict=strict)


def describe(event: Event, *, time_ms: int) -> dict[str, Any]:
    """An event as plain data: its name, when it came (milliseconds since 1970, UTC) and its fields."""
    return {"event": type(event).__name__, "time_ms": time_ms, **to_plain(event)}
