"""`run`: from a table to a verified forecast, a sealed bundle and, for a market, a decision."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tidewright.data.forecast import Forecast
from tidewright.data.inspect import inspect
from tidewright.data.panel import Panel
from tidewright.data.splits import Split, split_holdout
from tidewright.data.task import Task
from tidewright.errors import DataError
from tidewright.inference.session import Session
from tidewright.tracking.record import Recorder, open_recorder
from tidewright.training.events import Callback
from tidewright.workflows.contest import Contest, Tell, hold_contest
from tidewright.workflows.decide import decide
from tidewright.workflows.load import Loaded, load
from tidewright.workflows.result import Decision, Note, RunResult
from tidewright.workflows.seal import seal
from tidewright.workflows.settings import DataSettings, RunSettings, read_settings
from tidewright.workflows.summary import summarise

RESERVE_S, RESERVE_SHARE = 25.0, 0.35  # of the budget: for sealing, deciding, tracking and the report


def run(
    table: Any = None,
    *,
    overrides: Sequence[str] = (),
    callbacks: Sequence[Callback] = (),
    tell: Tell = lambda _: None,
    **options: Any,
) -> RunResult:
    """A whole run on a table (pandas, polars, Arrow, a path; none: the packaged market) within `budget_s` seconds.

    `options` are fields of `RunSettings`, or of its `data` part (`time`, `target`, `series`, `past`, `known`, `static`,
    `frequency`, `calendar`, `layout`); `overrides` are strings in Hydra's grammar. `tell` hears what is being done,
    `callbacks` hear every epoch and trial. Raises `DataError` or `ConfigError` before anything is fitted.
    """
    settings = read_settings(overrides, _dotted(options, table))
    return run_settings(settings, table=table, callbacks=callbacks, tell=tell)


def run_settings(
    settings: RunSettings,
    *,
    table: Any = None,
    callbacks: Sequence[Callback] = (),
    tell: Tell = lambda _: None,
) -> RunResult:
    """The same, from validated settings."""
    clock = _Clock(tell)
    clock("reading the table")
    loaded = load(settings, table)
    panel, task = loaded.panel, Task(horizon=settings.horizon, quantiles=settings.quantiles)
    season = settings.season or panel.frequency.season
    verdict = inspect(panel, horizon=task.horizon)
    split = split_holdout(
        panel, task, validation=settings.split.validation, test=settings.split.test,
        purge=settings.split.purge, embargo=settings.split.embargo,
    )  # fmt: skip
    recorder = open_recorder(
        Path(settings.folder),
        name=loaded.name,
        settings=settings.model_dump(mode="json"),
        track=settings.track,
    )
    reserve = min(RESERVE_S, RESERVE_SHARE * settings.budget_s)
    contest = hold_contest(
        panel, split=split, task=task, season=season, settings=settings, budget_s=settings.budget_s - reserve,
        callbacks=(*callbacks, recorder.listen), tell=clock,
    )  # fmt: skip
    board = contest.leaderboard
    winner = contest.fitted[board.winner]
    clock("sealing the bundle")
    row = board.row(board.winner)
    serving, session = seal(
        winner, panel=panel, folder=recorder.folder / "bundle", strict=settings.strict,
        metrics={"validation": dict(row.validation), "test": dict(row.test), "best_floor": board.best_floor, "reason": board.reason},
    )  # fmt: skip
    forecast, notes = _forecast(session, panel)
    decision = _decide(loaded, split, contest, settings, clock)
    result = RunResult(
        run_id=recorder.run_id,
        folder=recorder.folder,
        settings=settings,
        panel=panel,
        verdict=verdict,
        task=task,
        split=split,
        season=season,
        leaderboard=board,
        evaluations=contest.tests,
        fitted=contest.fitted,
        serving=serving,
        forecast=forecast,
        decision=decision,
        study=contest.study,
        notes=(*_repairs(panel), *_failures(contest), *notes),
        next_command=f"tidewright predict {serving.path} {settings.data.path or 'YOUR_TABLE.csv'}",
        seconds=clock.seconds,
        stages=clock.stages,
    )
    return _record(result, recorder, clock)


class _Clock:
    """Tells what is being done, and remembers how long each stage took."""

    def __init__(self, tell: Tell) -> None:
        self._tell, self._started = tell, time.monotonic()
        self._stage, self._since = "", self._started
        self.stages: dict[str, float] = {}

    def __call__(self, stage: str) -> None:
        now = time.monotonic()
        if self._stage:
            self.stages[self._stage] = self.stages.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = stage, now
        self._tell(stage)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started


def _decide(
    loaded: Loaded, split: Split, contest: Contest, settings: RunSettings, clock: Callable[[str], None]
) -> Decision | None:
    if loaded.prices is None:
        return None
    clock("deciding")
    board = contest.leaderboard
    return decide(
        loaded.panel, loaded.prices, split=split, board=board, fitted=contest.fitted[board.winner],
        validation=contest.validations[board.winner], settings=settings.decide, trials=contest.trials,
    )  # fmt: skip


def _forecast(session: Session, panel: Panel) -> tuple[Forecast | None, tuple[Note, ...]]:
    """The winner's forecast of the true future, or a note that says which known values it lacks."""
    try:
        return session.forecast(panel), ()
    except DataError as error:
        return None, (Note("forecast", "the steps after the table's end", "none", str(error)),)


def _repairs(panel: Panel) -> tuple[Note, ...]:
    return tuple(Note("repair", "the table as it is", repair.kind, repair.detail) for repair in panel.repairs)


def _failures(contest: Contest) -> tuple[Note, ...]:
    failed = contest.leaderboard.failed
    return tuple(Note("left out", name, "nothing in its place", reason) for name, reason in failed.items())


def _record(result: RunResult, recorder: Recorder, clock: _Clock) -> RunResult:
    """Writes the run's record; what the tracker could not do is a note of the result."""
    clock("recording the run")
    recorder.finish(summarise(result))
    notes = tuple(Note("tracking", note.asked, note.used, note.reason) for note in recorder.notes)
    clock("done")
    return replace(result, notes=(*result.notes, *notes), seconds=clock.seconds, stages=clock.stages)


def _dotted(options: Mapping[str, Any], table: Any) -> dict[str, Any]:
    """Options by their dotted keys; a table without a recipe is recipe `table`."""
    dotted = {
        f"data.{key}" if key in DataSettings.model_fields else key: value for key, value in options.items()
    }
    if table is None and "data.path" not in dotted:
        dotted.setdefault("recipe", "market")
    if isinstance(table, (str, Path)):
        dotted["data.path"] = str(table)
    return dotted
