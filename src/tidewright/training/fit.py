"""`fit`: one call that learns any model of the catalog and gives back a `Fitted`."""

from __future__ import annotations

import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tidewright.data.panel import Panel
from tidewright.data.splits import Split, check_grid
from tidewright.data.task import Task
from tidewright.errors import ConfigError
from tidewright.features.calendar import holiday_columns, usual_calendar
from tidewright.features.view import StaticEncoding, View, fit_static, keep_schema
from tidewright.models.fitted import Fitted
from tidewright.models.logged import Logged
from tidewright.models.spec import ModelSpec, kind_of, spec_key
from tidewright.models.specs.foundation import USUAL_CONTEXT
from tidewright.models.specs.statistical import usual_history
from tidewright.runtime import Runtime
from tidewright.training.calibrate import calibrate
from tidewright.training.distributed import Strategy, fit_network, leads
from tidewright.training.events import Callback, FitEnded, FitStarted, emit
from tidewright.training.fit_classes import settle_classes
from tidewright.training.logs import OfLogs, log_panel
from tidewright.training.spec import TrainSpec

COVARIATES = ("past", "known", "static")


def fit(
    spec: ModelSpec,
    *,
    panel: Panel,
    split: Split,
    task: Task,
    view: View | None = None,
    train: TrainSpec | None = None,
    season: int | None = None,
    callbacks: Sequence[Callback] = (),
    deadline: float | None = None,
    checkpoint: Path | None = None,
    runtime: Runtime | None = None,
    devices: int = 1,
    strategy: Strategy = "ddp",
) -> Fitted:
    """The fitted model. It sees the training and validation parts of `split` only.

    `view` says what it sees (default: `view_of`), `train` how a network learns, `season` the seasonal lag (default:
    the frequency's). `deadline` is a `time.monotonic()`: no epoch that would probably end after it, and no boosting
    round after it, is begun, but for the first; the history says when that happened. A network replaces the file
    `checkpoint` after every epoch, goes on from it where there is one (no further, with a deadline of minus infinity),
    and computes as `runtime` says (default: `detect_runtime`).

    `devices` processes teach a network together; `fit` starts them (a script makes the call under
    `if __name__ == "__main__"`), or torchrun has, and then every one of them gives the same model and only the first
    calls `callbacks` and writes. `batch_size` is the batch of all of them, and the losses are those of one process but
    for rounding; with dropout those of another seed, for each draws its own. `strategy` says what a process holds: all
    weights ("ddp") or its part of them ("fsdp"). A checkpoint goes on with any of these. Batch normalisation is taken
    over all processes on GPUs, and is an error on the CPU. A process that fails is a `FitError` that names it.

    A task of classes is told them from the panel, and its probabilities are calibrated on validation.

    Floors choose their own lookback, take neither train nor anything of the view but its `log`, and look at the target
    alone. Raises `ConfigError` for covariates that the model does not take (`keep_covariates` leaves them out).
    """
    train = train or TrainSpec()
    _check_request(spec, train, alone=devices == 1 and checkpoint is None)
    task, view = _settle(spec, panel=panel, split=split, task=task, view=view, season=season)
    asked = {"panel": panel, "split": split, "task": task, "season": season}
    learning = {"view": view, "train": train, "callbacks": callbacks, "deadline": deadline}
    computing = {"runtime": runtime, "devices": devices, "strategy": strategy, "checkpoint": checkpoint}
    return (_fit_plain if view.log is None else _fit_logs)(spec, asked=asked, learning=learning, computing=computing)


def _settle(
    spec: ModelSpec, *, panel: Panel, split: Split, task: Task, view: View | None, season: int | None
) -> tuple[Task, View]:
    """The task with its classes and what the model sees, both checked."""
    check_horizon(task, split)
    check_grid(split.train, panel)
    task = settle_classes(spec, task, panel=panel, split=split, view=view)
    view = replace(view or view_of(spec, panel=panel, split=split, task=task, season=season), schema=None)
    check_covariates(spec, panel, view)
    return task, view


def _fit_logs(
    spec: ModelSpec, *, asked: Mapping[str, Any], learning: Mapping[str, Any], computing: Mapping[str, Any]
) -> Fitted:
    """The model of the logarithms that a view asks for, on the original scale."""
    log = learning["view"].log
    logs, own = log_panel(asked["panel"], learning["view"], split=asked["split"])
    heard = tuple(OfLogs(one, log) for one in learning["callbacks"])
    return Logged(fit(spec, **{**asked, **learning, **computing, "panel": logs, "view": own, "callbacks": heard}), log)


def _fit_plain(
    spec: ModelSpec, *, asked: Mapping[str, Any], learning: Mapping[str, Any], computing: Mapping[str, Any]
) -> Fitted:
    """The model of what it sees as it is; the callbacks hear that it starts and ends."""
    tell = tuple(learning["callbacks"]) if leads() else ()
    key = spec_key(spec, learning["train"], learning["view"])
    emit(tell, FitStarted(spec.name, key, asdict(spec), learning["train"].epochs))  # type: ignore[call-overload]
    started, cpu = time.monotonic(), time.process_time()
    fitted = _teach(spec, asked=asked, learning={**learning, "callbacks": tell}, computing=computing)
    reason = str(fitted.history[-1].get("stopped", "")) if fitted.history else ""
    emit(tell, FitEnded(spec.name, key, time.monotonic() - started, time.process_time() - cpu, reason))
    learned: Fitted = replace(fitted, view=keep_schema(fitted.view, asked["panel"], takes=spec.takes))
    if asked["task"].classifies:
        return calibrate(learned, panel=asked["panel"], cutoffs=asked["split"].validation)
    return learned


def _teach(
    spec: ModelSpec, *, asked: Mapping[str, Any], learning: Mapping[str, Any], computing: Mapping[str, Any]
) -> Any:
    """What a model of its kind learns, by the function of that kind."""
    kind, runtime = kind_of(spec), computing["runtime"]
    view, deadline = learning["view"], learning["deadline"]
    taken = {name: one for name, one in asked.items() if name != "season"}
    learner: Any = spec  # of the kind that the catalog says
    if kind in ("floor", "class_floor"):
        return _teach_floor(learner, kind, **asked)
    if kind == "statistical":
        from tidewright.models.fit_statistical import fit_statistical

        strict = runtime is not None and runtime.strict
        return fit_statistical(learner, **asked, view=view, deadline=deadline, strict=strict)
    if kind == "foundation":
        from tidewright.models.foundation import fit_foundation

        return fit_foundation(learner, **taken, view=view, runtime=runtime)
    if kind == "trees":
        from tidewright.training.fit_trees import fit_trees

        return fit_trees(learner, **asked, **learning, runtime=runtime)
    return fit_network(spec, **taken, **learning, **computing)


def _teach_floor(spec: Any, kind: str, **asked: Any) -> Any:
    """A floor, or the ridge of classes, which is a model there."""
    if kind == "class_floor":
        from tidewright.models.class_floors import fit_class_floor

        return fit_class_floor(spec, **asked)
    if asked["task"].classifies:
        from tidewright.models.fit_class_ridge import fit_class_ridge

        return fit_class_ridge(spec, **asked)
    from tidewright.models.fit_floors import fit_floor

    return fit_floor(spec, **asked)


def _check_request(spec: ModelSpec, train: TrainSpec, *, alone: bool) -> None:
    if train.loss == "sharpe":
        raise ConfigError(
            "the loss sharpe learns positions and no forecast. Use fit_positions, or another loss such as quantile."
        )
    kind = kind_of(spec)
    if kind == "ensemble":
        raise ConfigError("an ensemble is made of models that have learned. Fit its members, then fit_ensemble.")
    if kind != "torch" and not alone:
        raise ConfigError(
            f"{spec.name} learns in one process and without a checkpoint. Leave these out, or fit a network."
        )


def check_horizon(task: Task, split: Split) -> None:
    """Raises `ConfigError` where the labels of one part of a split would be labels of another."""
    if task.horizon > split.purge + split.embargo:
        raise ConfigError(
            f"the split keeps its parts {split.purge + split.embargo} steps apart, for a horizon of {split.horizon}; "
            f"the task's horizon is {task.horizon}, so labels would be shared. Split for this task."
        )


def view_of(
    spec: ModelSpec,
    *,
    panel: Panel,
    split: Split,
    task: Task,
    season: int | None = None,
    holidays: Sequence[str] = (),
) -> View:
    """What a model of the catalog sees unless told otherwise: `usual_view` of the covariates that it takes.

    A statistical model sees as much history as it is given at most (`usual_history`), a foundation model its context,
    or what there is before validation.
    """
    view = usual_view(panel, split=split, task=task, season=season, takes=spec.takes, holidays=holidays)
    kind = kind_of(spec)
    if kind == "statistical":
        longest = usual_history(spec, panel.frequency.season if season is None else season)  # type: ignore[arg-type]  # the catalog's kind says so
    elif kind == "foundation":
        longest = spec.context or USUAL_CONTEXT  # type: ignore[attr-defined]  # likewise
    else:
        return view
    return View(max(2, min(longest, split.validation.first - panel.span[0] + 1)))


def usual_view(
    panel: Panel,
    *,
    split: Split,
    task: Task,
    season: int | None = None,
    takes: Container[str] = ("past", "known", "static"),
    holidays: Sequence[str] = (),
) -> View:
    """What a model sees unless told otherwise: a few seasons back, the grid's calendar, the static columns of
    training.

    The lookback is the largest of twice the horizon, two seasons and 16, at most a third of the training span
    (one season, if that is longer) and 336. `takes` are the kinds of covariates that the model takes: without
    "known" there is no calendar. `holidays` are codes (US, DE-BY, XNYS, US:end; see features/calendar) whose days join
    the calendar.
    """
    season = panel.frequency.season if season is None else season
    span = split.train.last - split.train.first + 1
    lookback = max(2, min(max(2 * task.horizon, 2 * season, 16), max(span // 3, season), 336))
    made = (*usual_calendar(panel.frequency), *holiday_columns(holidays))
    calendar = made if "known" in takes else ()
    static = fit_static(panel.until(split.train.last)) if "static" in takes else StaticEncoding()
    return View(lookback, calendar, static)


def keep_covariates(panel: Panel, takes: Container[str]) -> Panel:
    """The same panel with only the kinds of covariates that a model takes: past, known, static."""
    kept: dict[str, Any] = {kind: getattr(panel.roles, kind) if kind in takes else () for kind in COVARIATES}
    return replace(panel, roles=replace(panel.roles, **kept))


def read_panel(fitted: Fitted, panel: Panel) -> Panel:
    """The panel as a fitted model learned to see it: the covariates that it takes, by name, in the order it knows.

    Raises `ColumnError` and `FrequencyError` as `align` does.
    """
    made_here = fitted.view.schema is not None
    return fitted.view.read(panel if made_here else keep_covariates(panel, fitted.spec.takes))


def check_covariates(spec: ModelSpec, panel: Panel, view: View) -> None:
    """Raises `ConfigError` for covariates that a model does not take."""
    if kind_of(spec) in ("floor", "class_floor"):
        return
    given = {kind: getattr(panel.roles, kind) for kind in COVARIATES}
    given["known"] = (*given["known"], *view.calendar)
    given["static"] = given["static"] if view.static.columns else ()
    for kind, columns in given.items():
        if columns and kind not in spec.takes:
            raise ConfigError(
                f"{spec.name} takes no {kind} covariates; got {', '.join(columns)}. Leave them out "
                "(keep_covariates, a View without calendar or static), or choose a model that takes them."
            )
