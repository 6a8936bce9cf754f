"""What a search looks like while it runs: the best so far, what became of the trials, those that run, and the time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from tidewright.training.events import (
    EpochEnded,
    Event,
    FloorsScored,
    SearchEnded,
    SearchStarted,
    TrialEnded,
    TrialStarted,
)

SHOWN = 6  # trials that ended last
FIXED, WIDE = 40, 11  # columns of the terminal that a row takes without options, and that an option takes


@dataclass
class _Running:
    number: int
    parameters: Mapping[str, Any]
    expected_s: float | None
    since: float
    epoch: int = 0
    loss: float | None = None


@dataclass
class SearchView:
    """Hears the events of searches, one after another; rich shows it, and `line` says an event in a line.

    Floors are those that were heard of before. `clock` gives seconds.
    """

    clock: Callable[[], float] = time.monotonic
    floors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    begun: SearchStarted | None = None
    ended: list[TrialEnded] = field(default_factory=list)
    running: dict[int, _Running] = field(default_factory=dict)
    since: float = 0.0
    over: SearchEnded | None = None

    def hear(self, event: Event) -> None:
        """Takes an event in."""
        if isinstance(event, FloorsScored):
            self.floors = event.scores
        elif isinstance(event, SearchStarted):
            self.begun, self.ended, self.running, self.since = event, list(event.earlier), {}, self.clock()
            self.over = None
        elif isinstance(event, SearchEnded):
            self.over = event
        elif isinstance(event, TrialStarted):
            told = (event.number, event.parameters, event.expected_s)
            self.running[event.number] = _Running(*told, self.clock())
        elif isinstance(event, EpochEnded) and event.trial in self.running:
            self.running[event.trial].epoch, self.running[event.trial].loss = event.epoch, event.validation_loss
        elif isinstance(event, TrialEnded):
            self.running.pop(event.number, None)
            self.ended.append(event)

    def line(self, event: Event) -> str:
        """An event in a line, for where no table can be; empty where it says little."""
        if isinstance(event, SearchStarted) and event.earlier:
            return f"{event.study}: {len(event.earlier)} trials are there from before, in {_time(event.spent_s)}"
        if isinstance(event, TrialEnded):
            score = "" if event.value is None else f", {self._metric} {self._show(event.value)}"
            told = "" if event.expected_s is None else f" (told {event.expected_s:.1f} s)"
            why = f": {event.error}" if event.error else ""
            return f"{event.study} trial {event.number} {event.state}{score} in {event.seconds:.1f} s{told}{why}"
        if isinstance(event, SearchEnded):
            return f"{self._best_line()}; {self._counts()}; ended because {event.reason}"
        return ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The head, the reasons, and a table of trials as wide as the terminal is."""
        yield Text(self._best_line(), style="bold")
        yield Text(f"{self._counts()}; {self._time_line()}")
        for state in ("pruned", "failed"):
            reasons = [trial.error for trial in self.ended if trial.state == state and trial.error]
            if reasons:
                text = f"{state} {len(reasons)}, the last: {reasons[-1]}"
                yield Text(text, style="dim", no_wrap=True, overflow="ellipsis")
        yield self._table(options.max_width)

    @property
    def best(self) -> TrialEnded | None:
        """The best complete trial, as the search says when it is over; before, the one of the least value. An earlier
        one from another seed is none of its own."""
        complete = [trial for trial in self.ended if trial.value is not None and not trial.again]
        if self.over is not None and self.over.best is not None:
            return next((trial for trial in complete if trial.number == self.over.best), None)
        return min(complete, key=lambda trial: (trial.value or 0.0, trial.number), default=None)

    @property
    def _metric(self) -> str:
        return self.begun.metric if self.begun else ""

    def _show(self, value: float) -> str:
        """A value in the metric's own direction."""
        from tidewright.tuning.goals import find_goal

        return f"{find_goal(self._metric).show(value):.4g}"

    def _best_line(self) -> str:
        study = self.begun.study if self.begun else ""
        if self.best is None or self.best.value is None:
            return f"{study}: no trial is complete yet"
        value = self.best.value if self.over is None or self.over.value is None else self.over.value
        line = f"{study}: best {self._metric} {self._show(value)}{self._unit()} (trial {self.best.number})"
        floor = self._floor()
        return line if floor is None else f"{line}, floor {floor[0]} {floor[1]:.4g}"

    def _unit(self) -> str:
        from tidewright.tuning.goals import find_goal

        unit = find_goal(self._metric).unit
        return {"": "", "ratio": "", "target": " in units of the target"}.get(unit, f" {unit}")

    def _floor(self) -> tuple[str, float] | None:
        """The best floor by the metric, where it is one of forecasts."""
        from tidewright.tuning.goals import find_goal

        known = {name: scores[self._metric] for name, scores in self.floors.items() if self._metric in scores}
        sign = -1.0 if find_goal(self._metric).direction == "higher" else 1.0
        return min(known.items(), key=lambda one: sign * one[1], default=None)

    def _counts(self) -> str:
        counts = Counter(trial.state for trial in self.ended)
        known = [f"{counts[state]} {state}" for state in ("complete", "pruned", "failed") if counts[state]]
        return ", ".join([*known, *([f"{len(self.running)} running"] if self.running else [])]) or "no trial yet"

    def _time_line(self) -> str:
        """How long it took, and how long it will probably go on."""
        assert self.begun is not None, "a search was heard of"
        spent = self.begun.spent_s + self.clock() - self.since
        left = [] if self.begun.budget_s is None else [max(0.0, self.begun.budget_s - spent)]
        more = self._rest()
        left += [] if more is None else [more]
        return _time(spent) + (f" spent, about {_time(min(left))} left" if left else " spent")

    def _rest(self) -> float | None:
        """Seconds until all trials that were asked for are probably done."""
        seconds = [trial.seconds for trial in self.ended]
        if self.begun is None or self.begun.trials is None or not seconds:
            return None
        rest = max(0, self.begun.trials - len(self.ended))
        return median(seconds) * rest / max(1, len(self.running))

    def _table(self, width: int) -> Table:
        last = self.ended[-SHOWN:]
        shown = [*(one.parameters for one in self.running.values()), *(one.parameters for one in last)]
        names = _differing(shown, most=max(0, (width - FIXED) // WIDE))
        table = Table(box=None, header_style="bold", pad_edge=False, expand=False)
        for head in ("trial", "state"):
            table.add_column(head, no_wrap=True)
        for head in (self._metric, "s", "told"):
            table.add_column(head, justify="right", no_wrap=True)
        for name in names:
            table.add_column(name.rpartition(".")[2], no_wrap=True, overflow="ellipsis", max_width=WIDE)
        for one in self.running.values():
            table.add_row(*self._running_row(one), *_cells(one.parameters, names), style="cyan")
        for trial in reversed(last):
            style = "bold green" if trial is self.best else "" if trial.state == "complete" else "dim"
            table.add_row(*self._ended_row(trial), *_cells(trial.parameters, names), style=style)
        return table

    def _running_row(self, one: _Running) -> tuple[str, ...]:
        state = f"epoch {one.epoch}" if one.epoch else "running"
        told = "" if one.expected_s is None else f"{one.expected_s:.1f}"
        return str(one.number), state, "", f"{self.clock() - one.since:.1f}", told

    def _ended_row(self, trial: TrialEnded) -> tuple[str, ...]:
        score = "" if trial.value is None else self._show(trial.value)
        told = "" if trial.expected_s is None else f"{trial.expected_s:.1f}"
        return str(trial.number), trial.state, score, f"{trial.seconds:.1f}", told


def _differing(points: Sequence[Mapping[str, Any]], *, most: int) -> list[str]:
    """The options that tell the points apart, those with the most values first."""
    names = dict.fromkeys(name for point in points for name in point)
    values = {name: len({str(point.get(name)) for point in points}) for name in names}
    return sorted((name for name in names if values[name] > 1), key=lambda name: -values[name])[:most]


def _cells(point: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    found = [point.get(name, "") for name in names]
    return [f"{value:.3g}" if isinstance(value, float) else str(value) for value in found]


def _time(seconds: float) -> str:
    """Seconds as minutes and seconds, hours too where there are any.

    >>> _time(63.4), _time(7384)
    ('1:03', '2:03:04')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
