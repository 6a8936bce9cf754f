"""Progress on stderr: what is being done, and a line of losses that moves while a model learns."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tidewright.training.events import EpochEnded, Event, FitStarted, TrialEnded


class ProgressView:
    """A context: `tell(stage)` and `hear(event)` show what is going on; no bar where stderr is no terminal."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(stderr=True)
        self._quiet = quiet
        self._live = not quiet and self._console.is_terminal
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24))
        more = (TextColumn("{task.fields[loss]}"), TimeElapsedColumn())
        self._bar = Progress(*columns, *more, console=self._console, transient=True)
        self._task = self._bar.add_task("starting", total=None, loss="")
        self._started = time.monotonic()

    def __enter__(self) -> ProgressView:
        if self._live:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._bar.stop()

    def tell(self, stage: str) -> None:
        """A new stage has begun."""
        if self._quiet:
            return
        seconds = time.monotonic() - self._started
        self._console.print(f"[dim]{seconds:6.1f} s[/dim]  {stage}", highlight=False)
        self._bar.update(self._task, description=stage, total=None, completed=0, loss="")

    def hear(self, event: Event) -> None:
        """Something happened while a model learned."""
        if not self._live:
            return
        if isinstance(event, FitStarted) and event.epochs:
            self._bar.update(self._task, total=event.epochs, completed=0, loss="")
        elif isinstance(event, EpochEnded):
            self._bar.update(self._task, completed=event.epoch, loss=f"validation loss {event.validation_loss:.4g}")
        elif isinstance(event, TrialEnded):
            value = "none" if event.value is None else f"{event.value:.4g}"
            self._bar.update(self._task, loss=f"trial {event.number}: {event.state}, {value}")
