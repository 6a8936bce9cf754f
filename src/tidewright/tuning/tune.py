"""`tune`: the best options of a model that a budget finds, on train and validation only."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np

from tidewright.catalog import explain_unknown
from tidewright.data.panel import Panel
from tidewright.data.splits import Split, check_grid, without_test
from tidewright.data.task import Task
from tidewright.errors import ConfigError, FitError
from tidewright.features.view import View
from tidewright.metrics.accuracy import METRICS, seasonal_scale
from tidewright.models.build import build_spec
from tidewright.models.fitted import Fitted
from tidewright.models.spec import ModelSpec
from tidewright.runtime import Runtime
from tidewright.training.distributed import refuse_group
from tidewright.training.events import Callback, SearchEnded, SearchStarted, emit, wants_scores
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec
from tidewright.training.trade import Trading, check_tradable
from tidewright.tuning.account import Account, Earlier, settle
from tidewright.tuning.adaptive import AdaptiveSearchSpace
from tidewright.tuning.check_asked import check_asked
from tidewright.tuning.choose import choose_pruner, choose_searcher, names_option
from tidewright.tuning.crew import Crew
from tidewright.tuning.goals import find_goal
from tidewright.tuning.horizons import explain_horizons
from tidewright.tuning.identity import describe_study
from tidewright.tuning.keep_best import trial_folder
from tidewright.tuning.kin import among_kin
from tidewright.tuning.ledger import LOST, StudyLedger, open_ledger, subject_of
from tidewright.tuning.limits import Limits
from tidewright.tuning.open_store import open_store
from tidewright.tuning.over_parts import over_parts
from tidewright.tuning.panel_objective import PanelObjective
from tidewright.tuning.pruners import NoPruner, Pruner
from tidewright.tuning.repeats import SparesRepeats, measure_noise, tell_noise
from tidewright.tuning.search import Found, Plan, StopRule, event_of, search
from tidewright.tuning.searchers.adaptive import AdaptiveSearcher, sum_up
from tidewright.tuning.searchers.searcher import Searcher
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.start import start_candidate
from tidewright.tuning.steps import Asked, plan_steps
from tidewright.tuning.store import Point, TrialStore
from tidewright.tuning.study import Study
from tidewright.tuning.trial import Trial, TrialState
from tidewright.tuning.warm_study import begin_warm, end_warm, measure_panel


def tune(
    space: SearchSpace,
    *,
    panel: Panel, split: Split, task: Task, model: ModelSpec | str,
    budget_s: float | None = None, trials: int | None = None,
    view: View | None = None, train: TrainSpec | None = None, season: int | None = None,
    seed: int = 42,
    metric: str = "mase",
    searcher: str = "auto",
    adaptive: AdaptiveSearchSpace | bool = False,
    pruner: str = "median",
    first: Sequence[Mapping[str, Any]] = (),
    warm_start: bool | int = False,
    folds: int = 1,
    seeds: int | Literal["auto"] = 1,
    stops: Sequence[StopRule] = (),
    trading: Trading | None = None,
    ledger: Path | str | bool = True,
    callbacks: Sequence[Callback] = (),
    storage: str | Path | None = None, name: str | None = None, folder: str | Path | None = None,
    keep: int = 1,
    workers: int | None = None, ray: str | None = None,
    together: Asked = "auto",
    learn: Callable[..., Fitted] = fit,
    runtime: Callable[[], Runtime] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Study:  # fmt: skip
    """The best of the trials that fit into `budget_s` seconds, or of `trials` trials, whichever ends first.

    Trial 0 is the default: `model`, `train` and `view` as they are given. The others change only what the
    space names, at points of a `searcher` of `SEARCHERS`; what "auto" takes, and why, stands in the notes. With
    `adaptive` its space narrows to where trials were good (`AdaptiveSearchSpace`), which the trials' notes tell. A
    trial whose validation losses the `pruner` of `PRUNERS` finds hopeless is ended early ("median": from the sixth
    complete one on, what stays above the median of the earlier ones), unless the loss itself is searched. `stops` are
    further reasons to end, such as `Convergence`.
    Learning ends at the budget's end, and no trial begins that would probably not be done by then but those that learn
    in steps: these may be cut short. The test part is taken off the split and off the panel first. The same seed and
    number of trials give the same study. Where the model is an option of the space, `model` is the first one tried, and
    each sees the covariates that it takes; where the horizon is, a model learns so many steps at once and is judged on
    the task's (see `Blockwise`).
    Raises `ConfigError` and, when every trial failed, `FitError`.

    `metric` is any metric of forecasts or figure of returns (`find_goal`), made small or large as it should be. For one
    of returns ("sharpe", "sortino") the target is simple returns, and forecasts are traded as `trading` says, decided
    at a cutoff, filled a step later, after costs; with `TrainSpec(loss="sharpe")` the trials learn positions. Every
    trial that was judged joins the `ledger` of all trials on the same data (True: in `tidewright-runs`; a folder;
    False: none is kept), from which the study's `account` comes.

    With `folds` each trial is learned and judged on so many walk-forward folds: the split, and before it others like it
    (`walk_back`). Its score is taken over all of them together, its model is the split's; a trial reports the score of
    each fold, and the pruner compares these ("wilcoxon": fold by fold). With `seeds` each trial is learned from so many
    seeds, and its score is the mean; its model is that of the first. "auto" learns each from one seed, and the best
    three at the end from two more (fewer than 18 trials: from one; fewer than 9: the best two; fewer than 6: none):
    where seeds differ by more than these do among themselves, the best is the one with the best mean, and the study's
    score is of the fresh seeds alone (`Noise`). `first` are points that are tried right after the default.
    With `warm_start` the best points of earlier studies that the ledger's folder keeps come next (True: three), those
    of the same data or else of the most similar ones (`warm.choose_first`); where each is from stands in its notes.

    `storage` is where the study is kept under its `name` (default: the model's), see `open_store`: the same call goes
    on with it after any interruption, and comes to what it would have without one. Seconds that were spent until the
    last epoch or trial of earlier calls count. A network that was interrupted goes on from its last epoch; the `keep`
    best trials keep their checkpoints.

    With `workers` so many processes of this machine make trials at the same time, each with its share of the threads
    and a GPU of its own where there are several (a script makes the call under `if __name__ == "__main__"`); with `ray`
    ("auto" or an address) tasks of that cluster do, as many as `workers` says, or as it has GPUs where the model learns
    on one, else CPUs. `runtime` is called where a trial learns: a worker has its own threads and GPU. Many machines
    share a study when each makes the same call with the same PostgreSQL `storage`. Which points are tried then depends
    on which trial ends first. A worker that dies is replaced, and its trial is done again.

    `together` trials of one form learn in one batched step (`fit_population`), each with its own rate, decay, dropout
    and seed, and are pruned inside it: the first point of a step sets the form, the others differ from it in these
    alone. Each scores what it would alone but for rounding. "auto" takes steps where the network has a batched form
    and is small enough for them to pay, as was measured; what it takes, and why, stands in the notes. A step that was
    killed begins anew; what was made before it is kept.
    """
    check_asked(
        stops=stops, first=first, callbacks=callbacks, keep=keep, seed=seed, workers=workers, ray=ray, ledger=ledger,
        storage=storage, name=name, folder=folder,
    )  # fmt: skip
    limits, repeats = Limits(clock(), budget_s, trials, clock), seeds == "auto"
    work, notes = _pose(
        space, model, panel=panel, split=split, task=task, view=view, train=train, season=season, metric=metric,
        folds=folds, seeds=1 if repeats else seeds, trading=trading, learn=learn, runtime=runtime, clock=clock,
        followed=wants_scores(callbacks),
    )  # fmt: skip
    points, said = choose_searcher(searcher, space=space, trials=trials, adaptive=adaptive)
    plan = Plan(
        space, points, limits, seed, _choose_pruner(pruner, space=space, work=work, repeats=repeats),
        _first_points(work, space, first), tuple(stops), tuple(callbacks), keep=keep, repeats=repeats, heeds=work.heeds,
    )  # fmt: skip
    asked = {"searcher": searcher, "pruner": pruner, "trials": trials, "budget_s": budget_s}
    found = _carry_out(
        work, plan, again=lambda: choose_searcher(searcher, space=space, trials=trials)[0], notes=(*notes, *said),
        together=together, warm_start=warm_start, workers=workers, ray=ray, ledger=ledger, storage=storage,
        name=name or space.model, folder=folder,
    )  # fmt: skip
    return replace(found, asked=asked)


def _carry_out(
    work: PanelObjective,
    plan: Plan,
    *,
    again: Callable[[], Searcher],
    notes: tuple[str, ...],
    together: Any,
    warm_start: Any,
    workers: int | None,
    ray: str | None,
    **where: Any,
) -> Study:
    """The study, its trials made by whoever was asked for; `again` gives a fresh searcher."""
    with ExitStack() as stack:
        alone = ray is None and workers in (None, 1)
        work, plan, store = _open(stack, work, plan=plan, alone=alone, **where)
        plan, warm = begin_warm(work, plan, store=store, asked=warm_start)
        steps = plan_steps(together, work, plan, busy=not alone)
        plan = steps.change(plan, again)
        crew = stack.enter_context(steps.hire(work, plan, workers=workers, ray=ray))
        return _conclude(
            work, plan, store=store, crew=crew, notes=(*notes, *warm.notes, *steps.notes), earlier=warm.earlier
        )


def _open(
    stack: ExitStack,
    work: PanelObjective,
    *,
    plan: Plan,
    ledger: Path | str | bool,
    alone: bool,
    storage: str | Path | None,
    **more: Any,
) -> tuple[PanelObjective, Plan, TrialStore]:
    """The objective with the study's ledger, the plan with the seconds that were spent before, and the study's store,
    which is closed with the stack."""
    traits = None if ledger is False else measure_panel(work)  # now: the budget has it
    if ledger is False and not alone:
        ledger = stack.enter_context(TemporaryDirectory(prefix="tidewright-"))  # which workers can write to
    store = open_store(storage, **more)
    stack.callback(store.close)
    kept = open_ledger(ledger, subject=subject_of(work.panel, task=work.task, metric=work.metric))
    work = replace(work, ledger=StudyLedger(kept, study=store.key, traits=traits))
    if storage is not None:
        store.identify(describe_study(work, plan))
    limits = replace(plan.limits, started=plan.limits.started - store.spent())
    return work, replace(plan, limits=limits), store


def _pose(
    space: SearchSpace,
    model: ModelSpec | str,
    *,
    panel: Panel,
    split: Split,
    task: Task,
    view: View | None,
    train: TrainSpec | None,
    season: int | None,
    metric: str,
    trading: Trading | None,
    **more: Any,
) -> tuple[PanelObjective, tuple[str, ...]]:
    """The objective, without what lies in the test part, and what is to be said of it."""
    refuse_group("a search")
    spec = build_spec(model) if isinstance(model, str) else model
    split = without_test(split)
    check_grid(split.train, panel)
    panel = panel.until(int(split.validation.positions[-1]) + split.horizon)
    given: dict[str, Any] = {"panel": panel, "split": split, "task": task, "season": season}
    default = start_candidate(space, spec, **given, train=train or TrainSpec(), view=view)
    notes = explain_horizons(space, panel=panel, task=task)
    work = PanelObjective(panel, split, task, season, default, metric, trading=trading or Trading(), **more)
    metric, said = _usable_metric(metric, panel=panel, split=work.parts[0].split, season=season, task=task)
    return replace(work, metric=metric), (*notes, *said)


def _first_points(work: PanelObjective, space: SearchSpace, first: Sequence[Mapping[str, Any]]) -> tuple[Point, ...]:
    """The default's and those that are asked for, each once. Raises `ConfigError` for one that can't be tried."""
    found: list[Point] = [work.default.point(space)]
    for point in first:
        for name in (one for one in point if one not in space.names):
            raise ConfigError(f"first: {explain_unknown('option of the space', name, space.names)}")
        work.default.change(point)
        found += [] if point in found else [point]
    return tuple(found)


def _conclude(
    work: PanelObjective,
    plan: Plan,
    *,
    store: TrialStore,
    crew: Crew,
    notes: tuple[str, ...],
    earlier: tuple[Earlier, ...],
) -> Study:
    emit(plan.callbacks, _begin(work, plan, store))
    found = search(work, plan, store=store, crew=crew)
    judged = plan.judge(found.trials)
    told = (None, None) if judged is None else (judged[0].number, judged[1])
    emit(plan.callbacks, SearchEnded(plan.space.model, found.reason, plan.limits.spent, *told))
    if judged is None:
        raise FitError(_tell_none(plan.space.model, found.trials))
    best, fitted, note = judged[0], found.learned, ""
    if fitted is None:
        place = None if store.folder is None else trial_folder(store.folder, best.number)
        fitted, note = work.learn_again(best, folder=place)
    changed, noise = work.default.change(best.parameters), measure_noise(found.trials) if plan.repeats else None
    said = (
        note,
        tell_noise(found.trials) if plan.repeats else "",
        *end_warm(work, plan, found.trials, earlier=earlier),
    )
    return Study(
        space=plan.space,
        metric=work.metric,
        seed=plan.seed,
        spec=changed.spec,
        train=changed.train,
        view=changed.view,
        fitted=fitted,
        best=best,
        trials=found.trials,
        seconds=plan.limits.spent,
        reason=found.reason,
        notes=tuple(
            dict.fromkeys((*notes, *_adapted(plan, found), *filter(None, said), *_find_losses(work, found.trials)))
        ),
        account=_settle(work, best.number, noise=noise, earlier=earlier),
        noise=noise,
        folds=work.folds,
        seeds=work.seeds,
    )


def _tell_none(model: str, trials: Sequence[Trial]) -> str:
    """Why there is no best trial."""
    running = sum(trial.state is TrialState.RUNNING for trial in trials)
    if running:
        return (
            f"no trial of {model} is complete yet, and others are at work on {running} of {len(trials)}. Make the same "
            "call when they are done, or give it more time."
        )
    last = next((trial.error for trial in reversed(trials) if trial.error), "none has ended")
    return f"none of {len(trials)} trials of {model} could be completed; the last: {last}"


def _adapted(plan: Plan, found: Found) -> tuple[str, ...]:
    """What an adaptive space did, where one was asked for."""
    return sum_up(found.trials, plan.searcher.adaptive) if isinstance(plan.searcher, AdaptiveSearcher) else ()


def _begin(work: PanelObjective, plan: Plan, store: TrialStore) -> SearchStarted:
    limits, study = plan.limits, plan.space.model
    ended = tuple(event_of(study, trial) for trial in store.trials() if trial.state is not TrialState.RUNNING)
    return SearchStarted(study, work.metric, limits.trials, limits.budget_s, limits.spent, ended)


def _find_losses(work: PanelObjective, trials: Sequence[Trial]) -> tuple[str, ...]:
    """What could not be kept in the ledger, here or where a trial was made."""
    own = () if work.ledger is None else work.ledger.notes
    return (*own, *(note for trial in trials for note in trial.notes if note.startswith(LOST)))


def _settle(work: PanelObjective, number: int, **known: Any) -> Account | None:
    """The account of the best trial, from all that the ledger holds, and what else is `known` (see `settle`)."""
    if work.ledger is None:
        return None
    ledger, per_year = work.ledger.ledger, work.panel.frequency.periods_per_year
    goal, study = find_goal(work.metric), work.ledger.study
    return settle(
        ledger.bets(), study=study, number=number, goal=goal, subject=ledger.subject, per_year=per_year, **known
    )


def _choose_pruner(name: str, *, space: SearchSpace, work: PanelObjective, repeats: bool) -> Pruner:
    """The pruner among trials whose losses can be compared; none where the loss itself is searched. Scores of fits can
    be compared whatever was learned."""
    pruner = choose_pruner(name, space=space, epochs=work.default.train.epochs)
    if len(work.parts) > 1:
        pruner = over_parts(pruner, parts=len(work.parts))
    elif any(names_option(option, "train.loss") for option in space.names):
        pruner = NoPruner()
    else:
        pruner = among_kin(pruner, space)
    return SparesRepeats(pruner) if repeats else pruner


def _usable_metric(
    metric: str, *, panel: Panel, split: Split, season: int | None, task: Task
) -> tuple[str, tuple[str, ...]]:
    """The metric, or mae with a note when no series moves over a season of the training part."""
    of = "classes" if metric in METRICS and METRICS[metric].of == "classes" else "numbers"
    if (of == "classes") != task.classifies:
        other = "log_loss or brier" if task.classifies else "mase or mae"
        raise ConfigError(f"{metric} is of {of}, and this task is not. Ask for a metric such as {other}.")
    if find_goal(metric).of == "returns":
        check_tradable(panel, horizon=task.horizon, until=panel.span[1])
        return metric, ()
    if of == "classes" or "scale" not in "".join(METRICS[metric].needs):
        return metric, ()
    season = panel.frequency.season if season is None else season
    past = np.where(panel.positions <= split.train.last + split.horizon, panel.target, np.nan)
    scale = seasonal_scale(past, offsets=panel.offsets, season=season)
    if np.any(scale > 0):
        return metric, ()
    return "mae", (f"no series moves over a season ({season} rows) of training, so mae replaced {metric}.",)
