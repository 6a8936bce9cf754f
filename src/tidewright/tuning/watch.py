"""`Watch`: what a trial's fits tell, as the events of one fit, and what a pruner hears of it."""

from __future__ import annotations

from dataclasses import replace

from tidewright.training.events import EpochEnded, Event, FitEnded, FitStarted
from tidewright.tuning.objective import Assignment


class Watch:
    """Passes the events of a trial's fits on. One fit alone reports its validation losses; several are told as one
    whose epochs go on from fit to fit, and report their scores."""

    def __init__(self, assignment: Assignment, *, model: str, fits: int, wants_scores: bool = False) -> None:
        self.wants_scores = wants_scores
        self._assignment, self._model, self._fits = assignment, model, fits
        self._started, self._ended = False, 0
        self._before, self._last = 0, 0  # epochs of the fits that are over, and of all so far
        self._seconds, self._cpu_seconds = 0.0, 0.0

    def __call__(self, event: Event) -> None:
        """Hears an event of a fit. Raises `Pruned`."""
        if isinstance(event, FitStarted):
            if not self._started:
                self._assignment.tell(event)
            self._started = True
        elif isinstance(event, FitEnded):
            self._end(event)
        elif isinstance(event, EpochEnded):
            self._last = self._before + event.epoch
            self._assignment.tell(replace(event, epoch=self._last))
            if self._fits == 1:
                self._assignment.report(event.epoch, event.validation_loss)
        else:
            self._assignment.tell(event)

    def announce(self) -> None:
        """Says that a fit began, where it failed before it could say so."""
        if not self._started:
            self._assignment.tell(FitStarted(self._model, "", dict(self._assignment.point)))

    def _end(self, event: FitEnded) -> None:
        self._ended, self._before = self._ended + 1, self._last
        self._seconds, self._cpu_seconds = self._seconds + event.seconds, self._cpu_seconds + event.cpu_seconds
        if self._ended == self._fits:
            self._assignment.tell(replace(event, seconds=self._seconds, cpu_seconds=self._cpu_seconds))
