"""`run`: from a table to a verified forecast, a sealed bundle and, for a market, a decision."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tidewright.data.digest import digest_panel
from tidewright.data.findings import Verdict
from tidewright.data.forecast import Forecast
from tidewright.data.hierarchy import Hierarchy
from tidewright.data.inspect import inspect
from tidewright.data.panel import Panel
from tidewright.data.splits import FEWEST_CUTOFFS, Split, split_holdout, thin
from tidewright.data.task import Task, TaskKind
from tidewright.errors import ConfigError, DataError
from tidewright.features.calendar import check_calendar, holiday_columns
from tidewright.inference.session import Session
from tidewright.models.spec import MODELS, spec_key
from tidewright.tracking.listener import RunListener, open_listener
from tidewright.tracking.run import Run, begin_run
from tidewright.training.distributed import refuse_group
from tidewright.training.events import Callback
from tidewright.workflows.cohere import add_totals, check_hierarchy, cohere
from tidewright.workflows.contest import Contest, Tell, hold_contest
from tidewright.workflows.decide import decide
from tidewright.workflows.journal import Journal, hold_folder
from tidewright.workflows.load import Loaded, load
from tidewright.workflows.notes import collect_notes, describe_result, test_scores
from tidewright.workflows.result import FORECAST, Decision, Note, RunResult
from tidewright.workflows.resume import (
    PLAN,
    SEARCH,
    change_budget,
    check_digest,
    drop_parts,
    find_interrupted,
    find_same,
    keep_plan,
)
from tidewright.workflows.scoring_cost import SLOW_KINDS
from tidewright.workflows.seal import seal
from tidewright.workflows.search import hold_search
from tidewright.workflows.settings import DataSettings, RunSettings, parse_seconds, read_settings

RESERVE_S, RESERVE_SHARE = 8.0, 0.12  # of the budget: for sealing, deciding, tracking and the report


def run(
    table: Any = None,
    *,
    overrides: Sequence[str] = (),
    callbacks: Sequence[Callback] = (),
    tell: Tell = lambda _: None,
    resume: str | None = None,
    **options: Any,
) -> RunResult:
    """A whole run on a table (pandas, polars, Arrow, a path; none: the packaged market) within `budget_s` seconds.

    `options` are fields of `RunSettings`, or of its `data` part (`time`, `target`, `series`, `past`, `known`, `static`,
    `frequency`, `calendar`, `layout`); `overrides` are strings in Hydra's grammar. With a `preset` ("quick",
    "standard", "best") the run picks models, windows and options by itself. `tell` hears what is being done,
    `callbacks` hear every epoch and trial. `resume` is the id of a preset's run that was interrupted, or "last": it
    goes on as it was asked for, with the same `table` if that was no path; another `budget_s` may be given, and the
    `folder` of runs. Raises `DataError` or `ConfigError` before anything is fitted.
    """
    if resume is not None:
        return resume_run(resume, table=table, overrides=overrides, callbacks=callbacks, tell=tell, **options)
    settings = read_settings(overrides, _dotted(options, table))
    return run_settings(settings, table=table, callbacks=callbacks, tell=tell)


def resume_run(
    name: str,
    *,
    table: Any = None,
    overrides: Sequence[str] = (),
    callbacks: Sequence[Callback] = (),
    tell: Tell = lambda _: None,
    **options: Any,
) -> RunResult:
    """An interrupted run of a preset, to its end; see `run`. What was finished is not done again."""
    changes = {key: value for key, value in options.items() if value is not None}
    if overrides or set(changes) - {"budget_s", "folder"}:
        other = [*overrides, *sorted(set(changes) - {"budget_s", "folder"})]
        raise ConfigError(f"a run goes on as it was asked for; got {other[0]} too. Only its budget may be another one.")
    folder = Path(changes.get("folder", RunSettings().folder))
    record, settings, digest = find_interrupted(name, folder=folder)
    with hold_folder(folder / record.id / SEARCH):  # else it is not interrupted
        pass
    if isinstance(changes.get("budget_s"), str):
        changes["budget_s"] = parse_seconds(changes["budget_s"])
    settings = change_budget(settings, changes).model_copy(update={"folder": str(folder)})
    table = None if isinstance(table, (str, Path)) else table
    return run_settings(settings, table=table, callbacks=callbacks, tell=tell, again=(record, digest))


def run_settings(
    settings: RunSettings,
    *,
    table: Any = None,
    callbacks: Sequence[Callback] = (),
    tell: Tell = lambda _: None,
    again: tuple[Run, str] | None = None,
) -> RunResult:
    """The same, from validated settings; `again` is the record of an interrupted run and the digest of its data."""
    refuse_group("a run")
    clock = _Clock(tell)
    clock("reading the table")
    plan = prepare(settings, table)
    if again is not None:
        check_digest(digest_panel(plan.loaded.panel), wanted=again[1], run=again[0].id)
    make_folder(settings.folder)
    with _listen(settings, plan, again[0] if again else None) as listener:
        contest = _hold(plan, settings, listener, callbacks=callbacks, clock=clock)
        result = _conclude(plan, contest, settings=settings, run_id=listener.run.id, clock=clock)
        clock("recording the run")
        listener.note(**describe_result(result))
        if result.forecast is not None:
            result.forecast.table.write_csv(result.folder / FORECAST)
    drop_parts(Path(settings.folder) / listener.run.id / SEARCH)
    fallbacks = tuple(Note("tracking", one.asked, one.used, one.reason) for one in listener.run.fallbacks)
    clock("done")
    return replace(result, notes=(*result.notes, *fallbacks), seconds=clock.seconds, stages=clock.stages)


def _hold(
    plan: Prepared, settings: RunSettings, listener: RunListener, *, callbacks: Sequence[Callback], clock: _Clock
) -> Contest:
    """The contest of the models that were asked for, or of those that a preset picks."""
    asked: dict[str, Any] = {"split": plan.split, "task": plan.task, "season": plan.season, "settings": settings}
    asked |= {"callbacks": (*callbacks, listener), "tell": clock}
    if settings.preset is None:
        reserve = min(RESERVE_S, RESERVE_SHARE * settings.budget_s)
        left = max(settings.budget_s - reserve - clock.seconds, 0.0)
        return hold_contest(plan.loaded.panel, budget_s=left, **asked)
    folder = Path(settings.folder) / listener.run.id / SEARCH
    with hold_folder(folder):
        digest = digest_panel(plan.loaded.panel)
        same = None if (folder / PLAN).exists() else find_same(settings, digest=digest)
        if same is not None:
            clock(f"note: {same}, of the same, was interrupted; it goes on with: tidewright run --resume {same}")
        keep_plan(folder, settings, digest=digest)
        return hold_search(plan.loaded.panel, journal=Journal(folder), started=clock.started, **asked)


@dataclass(frozen=True, eq=False)
class Prepared:
    """What is known before anything is learned."""

    loaded: Loaded
    task: Task
    season: int
    verdict: Verdict
    split: Split
    tree: Hierarchy | None

    @property
    def panel(self) -> Panel:
        """The table that was read."""
        return self.loaded.panel


def prepare(settings: RunSettings, table: Any) -> Prepared:
    """The table read, judged and split. Raises before anything is learned."""
    check_hierarchy(settings.hierarchy, recipe=settings.recipe)
    loaded, tree = load(settings, table), None
    if settings.hierarchy.levels:
        panel, tree = add_totals(loaded.panel, settings.hierarchy)
        loaded = replace(loaded, panel=panel)
    panel, task = loaded.panel, _ask(settings, loaded.panel)
    verdict = inspect(panel, horizon=task.horizon)
    if not verdict.ok:
        raise DataError("\n".join(f"{one.message} {one.remedy}" for one in verdict.findings if one.severity == "error"))
    sizes = settings.split
    split = split_holdout(
        panel, task, validation=sizes.validation, test=sizes.test, purge=sizes.purge, embargo=sizes.embargo,
        stride=sizes.stride,
    )  # fmt: skip
    if sizes.stride is None and any(MODELS[name].kind in SLOW_KINDS for name in settings.models):
        split = thin(split, most=FEWEST_CUTOFFS)
    _check_lookback(settings, split)
    check_calendar(holiday_columns(settings.holidays), panel.frequency)
    return Prepared(loaded, task, settings.season or panel.frequency.season, verdict, split, tree)


def _ask(settings: RunSettings, panel: Panel) -> Task:
    if settings.kind == "classify":
        return Task(horizon=settings.horizon, kind=TaskKind.CLASSIFY, classes=panel.classes)
    return Task(horizon=settings.horizon, quantiles=settings.quantiles)


def _conclude(plan: Prepared, contest: Contest, *, settings: RunSettings, run_id: str, clock: _Clock) -> RunResult:
    """The winner sealed, its forecast of the true future, and the decision."""
    board, folder = contest.leaderboard, Path(settings.folder) / run_id
    panel = contest.panels[board.winner]
    clock("sealing the bundle")
    serving, session = seal(
        contest.fitted[board.winner],
        name=board.winner.replace(" ", "-"),
        panel=panel,
        split=plan.split,
        folder=folder / "bundle",
        scores=test_scores(board),
        run=run_id,
        season=plan.season,
        strict=settings.strict,
        overwrite=contest.search is not None and contest.search.resumed > 0,  # it may have been killed as it ended
    )
    forecast, notes = _forecast(session, panel)
    if forecast is not None and plan.tree is not None:
        forecast, note = cohere(forecast, plan.tree, contest, settings.hierarchy, metric=settings.metric)
        notes = (*notes, note)
    return RunResult(
        run_id=run_id,
        folder=folder,
        settings=settings,
        panel=plan.loaded.panel,
        verdict=plan.verdict,
        task=plan.task,
        split=plan.split,
        season=plan.season,
        leaderboard=board,
        evaluations=contest.tests,
        fitted=contest.fitted,
        serving=serving,
        forecast=forecast,
        decision=_decide(plan.loaded, plan.split, contest, settings, clock),
        study=contest.study,
        notes=(*collect_notes(plan.loaded.panel, contest), *notes),
        next_command=_next_command(settings, serving.path),
        seconds=clock.seconds,
        stages=clock.stages,
        search=contest.search,
        account=contest.account,
    )


class _Clock:
    """Tells what is being done, and remembers how long each stage took."""

    def __init__(self, tell: Tell) -> None:
        self._tell, self.started = tell, time.monotonic()
        self._stage, self._since = "", self.started
        self.stages: dict[str, float] = {}

    def __call__(self, stage: str) -> None:
        now = time.monotonic()
        if self._stage:
            self.stages[self._stage] = self.stages.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = stage, now
        self._tell(stage)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


def _check_lookback(settings: RunSettings, split: Split) -> None:
    """A window that is longer than the training part would be mostly padding."""
    steps = split.train.last - split.train.first + 1
    if settings.lookback is not None and settings.lookback > steps:
        raise ConfigError(
            f"lookback {settings.lookback} is longer than the training part, {steps} steps. Ask for less."
        )


def make_folder(folder: str) -> None:
    """The folder of runs, made before anything is learned."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the folder of runs '{folder}' can't be made: {error.strerror}. Name another one."
        ) from error


def _next_command(settings: RunSettings, bundle: Path) -> str:
    """What to type next: apply the bundle to newer rows; after the packaged market, a run on one's own table."""
    if settings.recipe == "market":
        return "tidewright run YOUR_TABLE.csv --series COLUMN --time COLUMN --target COLUMN --horizon STEPS"
    data = settings.data
    words = ["tidewright", "predict", str(bundle), data.path or "YOUR_TABLE.csv"]
    if data.layout != "long":
        words += ["--layout", data.layout]
    if data.layout == "columns" and data.target:
        words += ["--target", data.target]
    return shlex.join(words)


def _decide(
    loaded: Loaded, split: Split, contest: Contest, settings: RunSettings, clock: Callable[[str], None]
) -> Decision | None:
    if loaded.prices is None:
        return None
    clock("deciding")
    board = contest.leaderboard
    return decide(
        contest.panels[board.winner], loaded.prices, split=split, board=board, fitted=contest.fitted[board.winner],
        validation=contest.validations[board.winner], settings=settings.decide,
        trials=max(contest.trials, 0 if contest.account is None else contest.account.distinct),
    )  # fmt: skip


def _forecast(session: Session, panel: Panel) -> tuple[Forecast | None, tuple[Note, ...]]:
    """The winner's forecast of the true future, or a note that says which known values it lacks."""
    try:
        return session.forecast(panel), ()
    except DataError as error:
        return None, (Note("forecast", "the steps after the table's end", "none", str(error)),)


def _listen(settings: RunSettings, plan: Prepared, again: Run | None) -> RunListener:
    """The listener that keeps the run: what it was told is noted before anything is learned."""
    loaded, options = plan.loaded, settings.model_dump(mode="json")
    begun = again or begin_run(loaded.name, command="tidewright run", key=spec_key(options, asdict(plan.split)))
    listener = open_listener(
        begun, folder=settings.folder, mlflow=settings.track, strict=settings.strict, again=again is not None
    )
    listener.note(
        task=asdict(plan.task),
        split=asdict(plan.split),
        train=options["train"],
        data={
            "digest": digest_panel(loaded.panel),
            "frequency": loaded.panel.frequency.name,
            "rows": len(loaded.panel.table),
        },
        repairs=[asdict(repair) for repair in loaded.panel.repairs],
        choices=[{"choice": "settings", "used": options}],
    )
    return listener


def _dotted(options: Mapping[str, Any], table: Any) -> dict[str, Any]:
    """Options by their dotted keys; a table without a recipe is recipe `table`."""
    dotted = {f"data.{key}" if key in DataSettings.model_fields else key: value for key, value in options.items()}
    if table is None and "data.path" not in dotted:
        dotted.setdefault("recipe", "market")
    if isinstance(table, (str, Path)):
        dotted["data.path"] = str(table)
    return dotted
