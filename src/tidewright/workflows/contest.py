"""Floors and models fitted within a budget and scored on the same windows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from tidewright.data.panel import Panel
from tidewright.data.splits import Split, without_test
from tidewright.data.task import Task
from tidewright.errors import FitError, TidewrightError
from tidewright.features.view import View
from tidewright.models.build import build_spec
from tidewright.models.fitted import Fitted
from tidewright.models.spec import FLOORS, ModelSpec, kind_of
from tidewright.models.specs.lear import Lear
from tidewright.runtime import Runtime, detect_runtime
from tidewright.training.compare import Entrant, Leaderboard, compare, rank_value, usable_metric
from tidewright.training.ensemble import compose
from tidewright.training.evaluate import Evaluation, evaluate
from tidewright.training.events import Callback
from tidewright.training.fit import fit, keep_covariates, usual_view
from tidewright.training.seeds import fit_seeds
from tidewright.training.spec import TrainSpec
from tidewright.training.weigh import Chosen, blend, choose_weights, judge_mixture
from tidewright.tuning.study import Study, TrialState
from tidewright.workflows.settings import RunSettings

Tell = Callable[[str], None]
JUDGING_SHARE = 0.4  # of the budget at most, for scoring on validation and test
ENSEMBLE = "ensemble"
CUT = "not done learning: the budget ended it"


@dataclass(frozen=True, eq=False)
class Contest:
    """All that was fitted, by name, and how it did; `panels` hold the covariates that each model takes."""

    fitted: Mapping[str, Fitted]
    panels: Mapping[str, Panel]
    leaderboard: Leaderboard
    tests: Mapping[str, Evaluation]
    validations: Mapping[str, Evaluation]
    study: Study | None = None
    trials: int = 0
    runtime: Runtime | None = None


@dataclass(eq=False)
class _Field:
    """The contest while it goes on."""

    panel: Panel
    split: Split
    task: Task
    season: int
    settings: RunSettings
    callbacks: tuple[Callback, ...]
    runtime: Runtime
    panels: dict[str, Panel] = field(default_factory=dict)
    specs: dict[str, ModelSpec] = field(default_factory=dict)  # as they were asked for
    fitted: dict[str, Fitted] = field(default_factory=dict)
    seconds: dict[str, tuple[float, float]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    tried: dict[str, int] = field(default_factory=dict)
    scored: dict[tuple[str, bool, int], Evaluation] = field(default_factory=dict)
    mixture: tuple[tuple[str, ...], Chosen] | None = None  # the models that were weighed, and how

    def view(self, spec: ModelSpec) -> View:
        """What a model sees: as usual, but for a lookback that the user set, and covariates relative to the window."""
        holidays = self.settings.holidays
        view = usual_view(
            self.panel, split=self.split, task=self.task, season=self.season, takes=spec.takes, holidays=holidays
        )
        view = replace(view, relative=self.settings.relative and {"past", "known"} <= set(spec.takes))
        return view if self.settings.lookback is None else replace(view, lookback=self.settings.lookback)

    def enter(
        self,
        name: str,
        spec: ModelSpec,
        *,
        view: View | None,
        train: TrainSpec | None,
        deadline: float | None,
    ) -> None:
        """Fits one model; our own error about it is its entry in `failed` (and raised when the run is strict)."""
        started, cpu = time.monotonic(), time.process_time()
        self.specs[name], self.panels[name] = spec, keep_covariates(self.panel, spec.takes)
        try:
            self.fitted[name] = self._way(spec)(
                spec,
                panel=self.panels[name],
                split=without_test(self.split),
                task=self.task,
                view=view,
                train=train,
                season=self.season,
                callbacks=self.callbacks,
                deadline=deadline,
                runtime=self.runtime,
            )
        except TidewrightError as error:
            if self.settings.strict:
                raise
            self.failed[name] = str(error)
        else:
            if deadline is not None and any(step.get("stopped") == "deadline" for step in self.fitted[name].history):
                self.notes[name] = CUT
        self.seconds[name] = (time.monotonic() - started, time.process_time() - cpu)

    def _way(self, spec: ModelSpec) -> Callable[..., Fitted]:
        """How a model learns: once, or a network from several seeds or in cycles."""
        mix, strict = self.settings.mix, self.settings.strict
        network = kind_of(spec) == "torch"
        if network and not isinstance(spec, Lear) and mix.seeds > 1:
            return partial(fit_seeds, seeds=mix.seeds, strict=strict)
        if network and not isinstance(spec, Lear) and mix.snapshots > 1:
            from tidewright.training.snapshots import fit_snapshots

            return partial(fit_snapshots, cycles=mix.snapshots, strict=strict)
        return partial(fit, devices=self.settings.devices if network else 1, strategy=self.settings.strategy)

    def score(self, name: str, *, test: bool) -> Evaluation:
        """A model's scores on validation or, once, on test."""
        assert self.split.test is not None
        shortest = min(fitted.view.lookback for fitted in self.fitted.values())
        place = name, test, shortest
        if place not in self.scored and name == ENSEMBLE:
            self.scored[place] = self._score_mixture(test=test)
        if place not in self.scored:
            self.scored[place] = evaluate(
                self.fitted[name],
                panel=self.panels[name],
                split=self.split,
                season=self.season,
                model=name,
                shortest=shortest,
                cutoffs=self.split.test if test else self.split.validation,
            )
        return self.scored[place]

    def _score_mixture(self, *, test: bool) -> Evaluation:
        """The ensemble's scores, from its members'; on validation judged in time, where its weights were."""
        assert self.mixture is not None
        names, chosen = self.mixture
        kept = [place for place in range(len(names)) if chosen.weights[place] > 0]
        lost = [names[place] for place in kept if names[place] not in self.fitted]
        if lost:
            raise FitError(f"a member of the ensemble, {lost[0]}, could not be scored: {self.failed[lost[0]]}")
        if not test and chosen.judged is not None:
            return judge_mixture([self.score(name, test=False) for name in names], chosen, model=ENSEMBLE)
        members = [self.score(names[place], test=test) for place in kept]
        weights = chosen.weights if chosen.steps is None else chosen.steps
        return blend(members, weights[kept], model=ENSEMBLE, combine=chosen.combine)

    def score_all(self, *, test: bool) -> dict[str, Evaluation]:
        """The scores of all; a model that can't be scored joins those that failed (and raises when strict)."""
        for name in list(self.fitted):
            try:
                self.score(name, test=test)
            except TidewrightError as error:
                if self.settings.strict:
                    raise
                self.failed[name] = str(error)
                del self.fitted[name]
        return {name: self.score(name, test=test) for name in self.fitted}

    def entrant(self, name: str, validation: Evaluation, test: Evaluation) -> Entrant:
        """A model as the leaderboard takes it."""
        note, tried = self.notes.get(name, ""), self.tried.get(name, 1)
        return Entrant(validation, test, name in FLOORS, *self.seconds[name], note=note, tried=tried)

    def judging_seconds(self) -> float:
        """How long the scoring that is still to come will take, from how long the floors' validation takes."""
        started = time.monotonic()
        self.score_all(test=False)
        to_come = len(self.fitted) + 2 * (len(self.settings.models) + 1)  # tests of floors; both parts of models
        return to_come * (time.monotonic() - started) / max(len(self.fitted), 1)


def hold_contest(
    panel: Panel,
    *,
    split: Split,
    task: Task,
    season: int,
    settings: RunSettings,
    budget_s: float,
    callbacks: tuple[Callback, ...] = (),
    tell: Tell = lambda _: None,
) -> Contest:
    """Fits every floor and every chosen model, tunes the best in what is left of the budget, and compares them all."""
    until = time.monotonic() + budget_s
    ring = _Field(panel, split, task, season, settings, callbacks, _choose_runtime(settings))
    for name in FLOORS:
        tell(f"floor {name}")
        ring.enter(name, build_spec(name), view=None, train=None, deadline=None)
    until -= min(ring.judging_seconds(), JUDGING_SHARE * budget_s)
    train = replace(settings.train, seed=settings.seed) if settings.seed else settings.train
    names = list(settings.models)
    for turn, name in enumerate(names):
        tell(f"model {name}")
        hopeful = settings.tune.enabled and not ring.notes  # what was cut once would not be done twice
        share = len(names) - turn + (1 if hopeful else 0)
        left = max(until - time.monotonic(), 1.0)
        spec = build_spec(name, settings.models[name])
        ring.enter(name, spec, view=ring.view(spec), train=train, deadline=time.monotonic() + left / share)
    validations = ring.score_all(test=False)
    study = _tune_best(ring, validations, train, until, tell) if settings.tune.enabled else None
    if study is not None:  # the tuned model may see less than any other, and all are scored on what all can see
        validations = ring.score_all(test=False)
    if _form_ensemble(ring, validations, tell):
        validations = ring.score_all(test=False)
    if not any(name in ring.fitted for name in FLOORS):
        raise FitError(f"no floor could be fitted: {next(iter(ring.failed.values()), 'none was tried')}")
    tell("the test, once")
    tests = ring.score_all(test=True)
    entrants = [ring.entrant(name, validations[name], tests[name]) for name in ring.fitted]
    assert split.test is not None
    board = compare(
        entrants, metric=settings.metric, horizon=task.horizon, strides=(split.validation.stride, split.test.stride),
        seed=settings.seed, failed=ring.failed,
    )  # fmt: skip
    return Contest(ring.fitted, ring.panels, board, tests, validations, study, _count_trials(ring, study), ring.runtime)


def _count_trials(ring: _Field, study: Study | None) -> int:
    """All that was tried: models, those that failed, a search's trials and every mixture that was compared."""
    alone = {*ring.fitted, *ring.failed} - {ENSEMBLE}
    return len(alone) + ring.tried.get(ENSEMBLE, 0) + (len(study.trials) if study is not None else 0)


def _choose_runtime(settings: RunSettings) -> Runtime:
    """What networks compute with, as the settings ask. Raises `BackendError` when that isn't there and they are
    strict."""
    return detect_runtime(
        settings.device,
        settings.threads,
        precision=settings.precision,
        compile=settings.compile,
        strict=settings.strict,
    )


def _form_ensemble(ring: _Field, validations: Mapping[str, Evaluation], tell: Tell) -> bool:
    """Adds the ensemble of all that learned, when it is more than its best member; whether it did."""
    rule, names = ring.settings.ensemble, list(ring.fitted)
    if rule == "none" or len(names) < 2 or all(name in FLOORS for name in names):
        return False
    tell(f"ensemble of {len(names)}")
    started, cpu = time.monotonic(), time.process_time()
    chosen = choose_weights(
        [validations[name] for name in names],
        rule=rule,
        metric=ring.settings.metric,
        per_step=ring.settings.mix.per_step,
    )
    ring.tried[ENSEMBLE] = chosen.tried
    kept = [(name, weight) for name, weight in zip(names, chosen.weights, strict=True) if weight > 0]
    if len(kept) == 1:
        best = kept[0][0]
        ring.notes[best] = "; ".join(filter(None, (ring.notes.get(best), "no mixture with another did better")))
        return False
    ring.mixture = (tuple(names), chosen)
    ring.fitted[ENSEMBLE] = compose([ring.fitted[name] for name in names], chosen, panel=ring.panel)
    ring.panels[ENSEMBLE] = ring.panel
    shares = " + ".join(f"{weight:.2g} {name}" for name, weight in kept)
    ring.notes[ENSEMBLE] = f"the median of {', '.join(names)}" if chosen.combine == "median" else shares
    if chosen.steps is not None:
        ring.notes[ENSEMBLE] += ", on average over the steps"
    spent = [ring.seconds[name] for name, _ in kept]
    ring.seconds[ENSEMBLE] = (
        time.monotonic() - started + sum(wall for wall, _ in spent),
        time.process_time() - cpu + sum(used for _, used in spent),
    )
    return True


def _tune_best(
    ring: _Field, validations: dict[str, Evaluation], train: TrainSpec, until: float, tell: Tell
) -> Study | None:
    """Tunes the model that is best so far, when there is a space for it and time for two more fits like its first."""
    from tidewright.tuning.read_space import find_space, spaces
    from tidewright.tuning.tune import tune

    models = [name for name in ring.fitted if name not in FLOORS and name in spaces()]
    if not models:
        return None
    metric, _ = usable_metric(ring.settings.metric, [validations[name] for name in models])
    best = min(models, key=lambda name: rank_value(validations[name], metric))
    left = until - time.monotonic()
    if left < 2.0 * ring.seconds[best][0] + 1.0:
        ring.notes[best] = "; ".join(filter(None, (ring.notes.get(best), "not tuned: no time was left in the budget")))
        return None
    tell(f"tuning {best} for {left:.0f} s")
    started, cpu = time.monotonic(), time.process_time()
    study = tune(
        find_space(best),
        panel=ring.panels[best],
        split=without_test(ring.split),
        task=ring.task,
        model=ring.specs[best],
        budget_s=left,
        trials=ring.settings.tune.trials,
        view=ring.fitted[best].view,
        train=train,
        season=ring.season,
        seed=ring.settings.seed,
        metric=ring.settings.metric,
        callbacks=ring.callbacks,
        learn=partial(fit, runtime=ring.runtime),
    )
    name = f"{best} tuned"
    ring.fitted[name], ring.panels[name] = study.fitted, ring.panels[best]
    ring.tried[name] = sum(
        trial.state is not TrialState.FAILED for trial in study.trials
    )  # a pruned one was judged, too
    ring.seconds[name] = (time.monotonic() - started, time.process_time() - cpu)
    return study
