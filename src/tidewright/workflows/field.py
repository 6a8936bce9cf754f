"""`Field`: floors and models as they are fitted and scored on the same windows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from tidewright.data.panel import Panel
from tidewright.data.splits import Split, without_test
from tidewright.data.task import Task
from tidewright.errors import FitError, TidewrightError
from tidewright.features.view import View
from tidewright.models.fitted import Fitted, was_cut
from tidewright.models.spec import CLASS_FLOORS, FLOORS, ModelSpec, kind_of
from tidewright.models.specs.lear import Lear
from tidewright.runtime import Runtime, detect_runtime
from tidewright.training.compare import Entrant
from tidewright.training.evaluate import Evaluation, evaluate
from tidewright.training.events import Callback
from tidewright.training.fit import fit, keep_covariates, view_of
from tidewright.training.seeds import fit_seeds
from tidewright.training.spec import TrainSpec
from tidewright.training.weigh import Chosen, blend, judge_mixture
from tidewright.workflows.scoring_cost import catch_fallbacks, refuse_slow
from tidewright.workflows.settings import RunSettings

ENSEMBLE = "ensemble"
CUT = "not done learning: the budget ended it"


@dataclass(eq=False)
class Field:
    """The contest while it goes on. `shortest` is the lookback whose windows are scored (default: the shortest)."""

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
    shortest: int | None = None
    mixture: tuple[tuple[str, ...], Chosen] | None = None  # the models that were weighed, and how

    @property
    def floors(self) -> tuple[str, ...]:
        """The floors that every model stands beside."""
        return tuple(CLASS_FLOORS) if self.task.classifies else FLOORS

    def view(self, spec: ModelSpec) -> View:
        """What a model sees: as usual, but for what the user set: a lookback, units of the window, logarithms."""
        holidays = self.settings.holidays
        view = view_of(spec, panel=self.panel, split=self.split, task=self.task, season=self.season, holidays=holidays)
        relative = self.settings.relative and {"past", "known"} <= set(spec.takes)
        view = replace(view, relative=relative, log=self.settings.log)
        return view if self.settings.lookback is None else replace(view, lookback=self.settings.lookback)

    def kept_panel(self, spec: ModelSpec) -> Panel:
        """The panel with the covariates that a model takes."""
        return keep_covariates(self.panel, spec.takes)

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
        self.specs[name], self.panels[name] = spec, self.kept_panel(spec)
        try:
            fitted = self.learn(spec, split=self.split, view=view, train=train, deadline=deadline)
            refuse_slow(fitted, panel=self.panels[name], split=self.split, deadline=deadline)
            self.fitted[name] = fitted
        except TidewrightError as error:
            if self.settings.strict:
                raise
            self.failed[name] = str(error)
        else:
            if deadline is not None and was_cut(self.fitted[name]):
                self.notes[name] = CUT
        self.seconds[name] = (time.monotonic() - started, time.process_time() - cpu)

    def learn(
        self,
        spec: ModelSpec,
        *,
        split: Split,
        view: View | None,
        train: TrainSpec | None,
        deadline: float | None,
        checkpoint: Path | None = None,
    ) -> Fitted:
        """A model that has learned, with no sight of a test; a network that learns once goes on from a checkpoint."""
        way, once = self._way(spec)
        more = {"checkpoint": checkpoint} if once and kind_of(spec) == "torch" else {}
        return way(
            spec,
            panel=self.kept_panel(spec),
            split=without_test(split),
            task=self.task,
            view=view,
            train=train,
            season=self.season,
            callbacks=self.callbacks,
            deadline=deadline,
            runtime=self.runtime,
            **more,
        )

    def _way(self, spec: ModelSpec) -> tuple[Callable[..., Fitted], bool]:
        """How a model learns: a network from several seeds or in cycles, or (then True) once."""
        mix, strict = self.settings.mix, self.settings.strict
        network = kind_of(spec) == "torch"
        if network and not isinstance(spec, Lear) and mix.seeds > 1:
            return partial(fit_seeds, seeds=mix.seeds, strict=strict), False
        if network and not isinstance(spec, Lear) and mix.snapshots > 1:
            from tidewright.training.snapshots import fit_snapshots

            return partial(fit_snapshots, cycles=mix.snapshots, strict=strict), False
        return partial(fit, devices=self.settings.devices if network else 1, strategy=self.settings.strategy), True

    def score(self, name: str, *, test: bool) -> Evaluation:
        """A model's scores on validation or, once, on test."""
        assert self.split.test is not None
        shortest = self.shortest or min(fitted.view.lookback for fitted in self.fitted.values())
        place = name, test, shortest
        if place not in self.scored and name == ENSEMBLE:
            self.scored[place] = self._score_mixture(test=test)
        if place not in self.scored:
            with catch_fallbacks() as told:
                self.scored[place] = evaluate(
                    self.fitted[name],
                    panel=self.panels[name],
                    split=self.split,
                    season=self.season,
                    model=name,
                    shortest=shortest,
                    cutoffs=self.split.test if test else self.split.validation,
                )
            self.add_note(name, *(f"{'test' if test else 'validation'}: {text}" for text in told))
        return self.scored[place]

    def add_note(self, name: str, *texts: str) -> None:
        """Adds to what the leaderboard says beside a model, each text once."""
        said = self.notes.get(name, "").split("; ") if name in self.notes else []
        if new := [text for text in texts if text not in said]:
            self.notes[name] = "; ".join([*said, *new])

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
        return Entrant(validation, test, name in self.floors, *self.seconds[name], note=note, tried=tried)

    def judging_seconds(self) -> float:
        """How long the scoring that is still to come will take, from how long the floors' validation takes."""
        started = time.monotonic()
        self.score_all(test=False)
        to_come = len(self.fitted) + 2 * (len(self.settings.models) + 1)  # tests of floors; both parts of models
        return to_come * (time.monotonic() - started) / max(len(self.fitted), 1)


def choose_runtime(settings: RunSettings) -> Runtime:
    """What networks compute with, as the settings ask. Raises `BackendError` when that isn't there and they are
    strict."""
    return detect_runtime(
        settings.device,
        settings.threads,
        precision=settings.precision,
        compile=settings.compile,
        strict=settings.strict,
    )
