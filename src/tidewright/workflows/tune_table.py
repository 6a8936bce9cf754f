"""`tune_table`: the best options of several models on a table, one study each, the winner scored once on the test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from tidewright.catalog import explain_unknown
from tidewright.data.digest import digest_panel
from tidewright.errors import ConfigError, FitError
from tidewright.metrics.bootstrap import Interval
from tidewright.models.build import build_spec
from tidewright.models.spec import ModelSpec, spec_key
from tidewright.tracking.listener import open_listener
from tidewright.tracking.run import begin_run
from tidewright.training.compare import CLASS_LOSSES, bootstrap_score
from tidewright.training.events import Callback, FloorsScored, emit
from tidewright.training.fit import keep_covariates
from tidewright.tuning.change_space import drop_numbers
from tidewright.tuning.goals import Goal, Judged
from tidewright.tuning.importance import weigh_options
from tidewright.tuning.open_store import hide_password, is_begun
from tidewright.tuning.read_space import UNTUNED, find_space, read_space, spaces, usual_space
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.steps import Asked
from tidewright.tuning.study import Study
from tidewright.tuning.trial import TrialState
from tidewright.tuning.tune import tune
from tidewright.workflows.contest import Tell
from tidewright.workflows.field import Field, choose_runtime
from tidewright.workflows.run import Prepared, make_folder, prepare
from tidewright.workflows.settings import RunSettings, read_settings, refuse_strange
from tidewright.workflows.stakes import place_ledger
from tidewright.workflows.tune_fallbacks import list_fallbacks, refuse_fallbacks
from tidewright.workflows.yardsticks import Floor, Said, judge_part, measure_floors, say_floors

DEFAULT_MODELS = ("lightgbm", "xgboost", "catboost", "random_forest", "lstm", "tcn", "transformer")
STUDIES = "studies"
IDLE = (
    "preset",
    "budget_s",
    "tune",
    "ensemble",
    "mix",
    "devices",
    "strategy",
    "decide",
)  # options of a run alone
SEEN = ("metric", "seed", "train", "season", "quantiles", "lookback", "relative", "log", "holidays")


@dataclass(frozen=True)
class TuneWords:
    """What a search is told beside what a run is: `models` (names of the catalog; none: those that the settings name,
    or one of each kind), how many `trials` and seconds each has, the `metric` (of forecasts or of returns; None: the
    run's), the `searcher` and `pruner` by name, whether its space is `adaptive`, whether it begins with points
    of earlier studies (`warm_start`), the `space` (a YAML file of one model's, or a folder with one for each; None: the
    package's), `wide` for the documents' ranges in place of those for minutes, and `storage` (None: a folder of its own
    among the runs), and how many `workers`, or which `ray` cluster, make its trials, or how many learn
    `together`. Each trial is judged on so many walk-forward `folds` from so many `seeds`."""

    models: tuple[str, ...] = ()
    trials: int | None = None
    budget_s: float | None = None
    metric: str | None = None
    searcher: str = "auto"
    adaptive: bool = False
    warm_start: bool = False
    pruner: str = "median"
    space: str | None = None
    wide: bool = False
    storage: str | None = None
    resume: bool = False
    workers: int | None = None
    ray: str | None = None
    together: Asked = "auto"
    folds: int = 1
    seeds: int | Literal["auto"] = 1


@dataclass(frozen=True, eq=False)
class Tuned:
    """The studies by model, those that `failed` with their reason, and the `winner` by its validation score.

    `test` is what the winner scored on the test part, which no study has read: {metric: score}. `floors` are what needs
    no search, the best on validation first. `folder` keeps the studies, `run` names the record. `advice` says so where
    a floor is as good as the winner on validation.
    """

    studies: Mapping[str, Study]
    failed: Mapping[str, str]
    winner: str
    metric: str
    floors: Mapping[str, Floor]
    test: Mapping[str, float]
    folder: str
    run: str
    plan: Prepared
    settings: RunSettings
    words: TuneWords
    advice: str = ""
    interval: Interval | None = None

    def rows(self) -> list[dict[str, Any]]:
        """A row a model, the best first: its validation score, what is left of it after all trials, its trials."""
        ranked = sorted(self.studies, key=lambda name: self.studies[name].value)
        return [
            _row(self.studies[name], test=self.test.get(self.metric) if name == self.winner else None)
            for name in ranked
        ]

    def to_dict(self) -> dict[str, Any]:
        """The result as plain data."""
        told = {name: study.to_dict() for name, study in self.studies.items()}
        told = {name: {**one, "importance": weigh_options(self.studies[name]).to_dict()} for name, one in told.items()}
        plain = {"winner": self.winner, "metric": self.metric, "folder": self.folder}
        plain |= {"run": self.run, "advice": self.advice}
        return {
            **plain,
            "models": self.rows(),
            "failed": dict(self.failed),
            "floors": {name: asdict(floor) for name, floor in self.floors.items()},
            "test": dict(self.test),
            "studies": told,
        }


def tune_table(
    settings: RunSettings,
    words: TuneWords,
    *,
    table: Any = None,
    callbacks: Sequence[Callback] = (),
    tell: Tell = lambda _: None,
) -> Tuned:
    """Searches each model's options on train and validation and scores the best of all once on the test.

    Every trial is kept as it is made: the same call with `resume` goes on after any interruption. Raises `ConfigError`
    before anything is learned, and `FitError` when no model could be tuned.
    """
    check_idle(settings)
    models = words.models or tuple(settings.models) or DEFAULT_MODELS
    chosen = {name: find_own_space(name, words) for name in models}
    if settings.kind == "classify":
        refuse_strange(models)
        if words.metric not in (None, *CLASS_LOSSES):
            raise ConfigError(explain_unknown("metric that ranks models of classes", words.metric, CLASS_LOSSES))
        chosen = {name: drop_numbers(space) for name, space in chosen.items()}
    tell("reading the table")
    plan = prepare(settings, table)
    make_folder(settings.folder)
    key = spec_key(lasting(words, settings))
    digest = digest_panel(plan.loaded.panel)
    own = spec_key({"key": key, "data": digest, "split": asdict(plan.split)})
    storage = words.storage or str(Path(settings.folder) / STUDIES / own)
    places = {name: _place(name, storage=storage, key=own) for name in models}
    check_resume(places, resume=words.resume)
    run = begin_run(plan.loaded.name, command="tidewright tune", key=key)
    listener = open_listener(run, folder=settings.folder, mlflow=settings.track, strict=settings.strict)
    with listener:
        listener.note(task=asdict(plan.task), split=asdict(plan.split), data={"digest": digest})
        floors = say_floors(plan)
        emit((*callbacks, listener), FloorsScored({name: said.scores for name, (_, said) in floors.items()}))
        asked = settings, replace(words, models=models)
        found = _tune_each(chosen, places, plan=plan, asked=asked, callbacks=(*callbacks, listener), tell=tell)
        listener.note(fallbacks=list_fallbacks(words.together, found[0]))
        tell("scoring the winner on the test")
        place, own = hide_password(storage), listener.run.id
        result = _conclude(*found, floors=floors, plan=plan, asked=asked, folder=place, run=own)
        listener.note(metrics={f"test_{name}": value for name, value in result.test.items() if math.isfinite(value)})
    return result


def lasting(words: TuneWords, settings: RunSettings) -> dict[str, Any]:
    """What two calls of the same search have alike: how long it goes on, and who makes the trials, may change."""
    changing = ("models", "resume", "budget_s", "trials", "workers", "ray", "together", "storage")
    told = {name: value for name, value in asdict(words).items() if name not in changing}
    specs = {name: build_spec(name, options) for name, options in settings.models.items()}
    changed = {name: spec_key(spec) for name, spec in specs.items() if spec != build_spec(name)}
    return {**told, **settings.model_dump(mode="json", include=set(SEEN)), "models": changed}


def check_idle(settings: RunSettings) -> None:
    """Raises `ConfigError` for an option that a search does not heed."""
    usual = read_settings([], {"kind": settings.kind})
    idle = [name for name in IDLE if getattr(settings, name) != getattr(usual, name)]
    if idle:
        raise ConfigError(
            f"{idle[0]} is an option of a run, and a search of models does not heed it. Leave it out; how long each "
            "model's search may take is said by --budget or --trials."
        )


def find_own_space(name: str, words: TuneWords) -> SearchSpace:
    """The space of a model. Raises `ConfigError` where it has none."""
    build_spec(name)  # an unknown name is told with the near one
    given = None if words.space is None else Path(words.space)
    if given is not None and given.is_file():
        space = read_space(given)
        if name not in space.models:
            raise ConfigError(
                f"{given} is a space of {space.model}, and {name} is searched too. Give a folder with a file for each."
            )
        return space
    if given is not None:
        if not given.exists():
            raise ConfigError(f"there is no '{given}'. Give a YAML file of a space, or a folder with several.")
        return find_space(name, folder=given)
    found = find_space(name) if words.wide and name in spaces() else usual_space(name)
    if found is None:
        raise ConfigError(
            f"there is nothing to search of {name}: {UNTUNED.get(name, 'it has no space')}. Leave it out."
        )
    return found


def _place(name: str, *, storage: str, key: str) -> tuple[str, str]:
    """Where the study of a model is kept, and its name there: a database keeps those of many tables."""
    return (storage, f"{name}-{key}") if "://" in storage else (f"{storage}/{name}", name)


def check_resume(places: Mapping[str, tuple[str, str]], *, resume: bool) -> None:
    """A study that is there is gone on with only where that was asked for."""
    begun = [model for model, (where, name) in places.items() if is_begun(where, name=name)]
    if begun and not resume:
        where = places[begun[0]][0]
        raise ConfigError(
            f"a search of {', '.join(begun)} was begun before and is kept in '{hide_password(where)}'. Go on with it: "
            "--resume. Or begin another one: with another seed (seed=1), or elsewhere (--storage)."
        )
    if resume and not begun:
        raise ConfigError("there is no such search to go on with: say what it was asked for, or leave out --resume.")


def _tune_each(
    spaces: Mapping[str, SearchSpace],
    places: Mapping[str, tuple[str, str]],
    *,
    plan: Prepared,
    asked: tuple[RunSettings, TuneWords],
    callbacks: tuple[Callback, ...],
    tell: Tell,
) -> tuple[dict[str, Study], dict[str, str]]:
    """The study of each model, and why others have none."""
    settings, words = asked
    studies: dict[str, Study] = {}
    failed: dict[str, str] = {}
    for name, space in spaces.items():
        tell(f"tuning {name}")
        try:
            studies[name] = _tune(
                name, space, plan=plan, settings=settings, words=words, place=places[name], callbacks=callbacks
            )
        except FitError as error:
            if settings.strict:
                raise
            failed[name] = str(error)
    if not studies:
        raise FitError(f"no model could be tuned; {next(iter(failed.values()))}")
    return studies, failed


def _tune(
    name: str,
    space: SearchSpace,
    *,
    plan: Prepared,
    settings: RunSettings,
    words: TuneWords,
    place: tuple[str, str],
    callbacks: tuple[Callback, ...],
) -> Study:
    spec = build_spec(name, settings.models.get(name, {}))
    panel = keep_covariates(plan.loaded.panel, spec.takes)
    asked = asked_of_tune(spec, plan=plan, settings=settings, words=words, callbacks=callbacks)
    with refuse_fallbacks(strict=settings.strict):
        return tune(space, panel=panel, model=spec, trials=words.trials, storage=place[0], name=place[1], **asked)


def asked_of_tune(
    spec: ModelSpec, *, plan: Prepared, settings: RunSettings, words: TuneWords, callbacks: tuple[Callback, ...]
) -> dict[str, Any]:
    """What a study of a model is asked for, but for its panel, its trials and its place."""
    loaded = plan.loaded.panel
    ring = Field(loaded, plan.split, plan.task, plan.season, settings, callbacks, choose_runtime(settings))
    return {
        "split": plan.split,
        "task": plan.task,
        "view": ring.view(spec),
        "budget_s": words.budget_s,
        "train": settings.learning,
        "season": plan.season,
        "seed": settings.seed,
        "metric": words.metric or settings.metric,
        "searcher": words.searcher,
        "adaptive": words.adaptive,
        "warm_start": words.warm_start,
        "pruner": words.pruner,
        "folds": words.folds,
        "seeds": words.seeds,
        "ledger": place_ledger(settings.folder),
        "workers": words.workers,
        "ray": words.ray,
        "callbacks": callbacks,
        "runtime": partial(choose_runtime, settings),
        "together": words.together,
    }


def _conclude(
    studies: Mapping[str, Study],
    failed: Mapping[str, str],
    *,
    floors: Said,
    plan: Prepared,
    asked: tuple[RunSettings, TuneWords],
    folder: str,
    run: str,
) -> Tuned:
    """The winner beside the floors, on validation and once on the test."""
    winner = min(studies, key=lambda name: studies[name].value)
    goal = studies[winner].goal
    measured = measure_floors(plan, goal, floors=floors)
    here, test = (
        judge_part(studies[winner].fitted, plan=plan, goal=goal, part=part) for part in ("validation", "test")
    )
    first = next(iter(measured))
    beaten = here.value < measured[first].badness  # of the same cutoffs: the search may have judged it on more folds
    advice = "" if beaten else f"Nothing beats {first} on validation: take {first}, or look for more columns."
    interval = _interval(test, goal=goal, plan=plan)
    scores = dict(test.scores)
    return Tuned(studies, failed, winner, goal.name, measured, scores, folder, run, plan, *asked, advice, interval)


def _interval(test: Judged, *, goal: Goal, plan: Prepared) -> Interval | None:
    """The interval of the winner's test score; None for one of returns, or where it has too few cutoffs."""
    if goal.of == "returns" or plan.split.test is None:
        return None
    steps = {"horizon": plan.task.horizon, "stride": plan.split.test.stride}
    return bootstrap_score(test.parts[0], test.parts[1], metric=goal.name, **steps)


def _row(study: Study, *, test: float | None) -> dict[str, Any]:
    account, best = study.account, study.best
    return {
        "model": study.spec.name,
        study.metric: study.shown,
        **{f"sd over {of}": spread for of, (_, spread) in study.spread.items()},
        "corrected": None if account is None else account.corrected,
        "test": test,
        "gain": study.gain,
        "trials": len(study.trials),
        "pruned": study.count(TrialState.PRUNED),
        "failed": study.count(TrialState.FAILED),
        "seconds": study.seconds,
        "best trial": best.number,
        "ended": study.reason,
    }
