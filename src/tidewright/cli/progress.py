"""Progress on stderr: what is being done, a line of losses while a model learns, and a table while a search runs."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tidewright.cli.search_view import SearchView
from tidewright.training.events import EpochEnded, Event, FitStarted, SearchEnded, SearchStarted

REFRESH = 2.0  # times a second that the table of a search is drawn


class ProgressView:
    """A context: `tell(stage)` and `hear(event)` show what is going on.

    Where stderr is no terminal, or `plain` lines are asked for, nothing moves: a stage or a trial is a line. Nothing is
    said when `quiet`.
    """

    def __init__(self, *, quiet: bool, plain: bool = False) -> None:
        self._console = Console(stderr=True)
        self._quiet = quiet
        self._moves = not quiet and not plain and self._console.is_terminal
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24))
        more = (TextColumn("{task.fields[loss]}"), TimeElapsedColumn())
        self._bar = Progress(*columns, *more, console=self._console, transient=True)
        self._task = self._bar.add_task("starting", total=None, loss="")
        self._started = time.monotonic()
        self._search = SearchView()
        self._table: Live | None = None

    def __enter__(self) -> ProgressView:
        if self._moves:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_table()
        if self._moves:
            self._bar.stop()

    def tell(self, stage: str) -> None:
        """A new stage has begun."""
        self.say(stage)
        self._bar.update(self._task, description=stage, total=None, completed=0, loss="")

    def hear(self, event: Event) -> None:
        """Something happened while a model learned or was searched."""
        self._search.hear(event)
        if isinstance(event, SearchStarted) and self._moves:
            self._open_table()
        elif isinstance(event, SearchEnded):
            self._close_table()
        if (not self._moves or isinstance(event, SearchStarted | SearchEnded)) and (line := self._search.line(event)):
            self.say(line)
        if self._moves and self._table is None:
            self._move_bar(event)

    def count(self, done: int, total: int) -> None:
        """So many of a stage's parts are done."""
        self._bar.update(self._task, total=total, completed=done)

    def say(self, line: str) -> None:
        """A line that is no stage."""
        if not self._quiet:
            seconds = time.monotonic() - self._started
            self._console.print(f"[dim]{seconds:6.1f} s[/dim]  ", end="", highlight=False)
            self._console.print(line, highlight=False, markup=False)

    def _move_bar(self, event: Event) -> None:
        if isinstance(event, FitStarted) and event.epochs:
            self._bar.update(self._task, total=event.epochs, completed=0, loss="")
        elif isinstance(event, EpochEnded):
            self._bar.update(self._task, completed=event.epoch, loss=f"validation loss {event.validation_loss:.4g}")

    def _open_table(self) -> None:
        self._close_table()
        self._bar.stop()  # a terminal has room for one thing that moves
        self._table = Live(
            self._search, console=self._console, refresh_per_second=REFRESH, transient=True, vertical_overflow="crop"
        )
        self._table.start()

    def _close_table(self) -> None:
        if self._table is not None:
            self._table.stop()
            self._table = None
            self._bar.start()
