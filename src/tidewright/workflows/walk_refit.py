"""One refit of a walk-forward: all that is learned at one bar, from what was known at its close."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tidewright.data.panel import Panel
from tidewright.data.splits import Split, split_rolling
from tidewright.data.task import Task
from tidewright.errors import FitError, TidewrightError
from tidewright.features.view import View
from tidewright.models.build import build_spec
from tidewright.models.fitted import Fitted
from tidewright.models.spec import FLOORS, ModelSpec, spec_key
from tidewright.training.compare import Entrant, Leaderboard, compare
from tidewright.training.evaluate import Evaluation, evaluate
from tidewright.training.fit import fit, keep_covariates, view_of
from tidewright.training.spec import TrainSpec
from tidewright.workflows.walk_settings import WalkSettings


@dataclass(frozen=True, slots=True)
class Choice:
    """How a model is learned until the next search: its records, and how many trials they were chosen from."""

    spec: ModelSpec
    view: View | None = None
    train: TrainSpec | None = None
    tried: int = 1

    @property
    def key(self) -> str:
        """Twelve digits that name it."""
        return spec_key(self.spec, *(one for one in (self.view, self.train) if one is not None))


@dataclass(frozen=True, eq=False)
class Refit:
    """What was learned after the close of the bar at `position`: models and floors by name, and how they compare on the
    validation bars before. `chosen` says how each model was learned."""

    position: int
    split: Split
    board: Leaderboard
    fitted: Mapping[str, Fitted]
    validations: Mapping[str, Evaluation]
    chosen: Mapping[str, Choice]
    searched: bool
    seconds: float

    @property
    def winner(self) -> str | None:
        """The model that beat its best floor with significance; None where none did."""
        return self.board.winner if self.board.beat_floor else None


def split_at(panel: Panel, task: Task, *, position: int, settings: WalkSettings) -> tuple[Panel, Split]:
    """What was known after the bar at a position, and its training and validation parts. Raises `ShortSeriesError`."""
    known = panel.until(position)
    (split,) = split_rolling(
        known, task, folds=1, validation=settings.validation, purge=settings.purge, embargo=settings.embargo,
        until=min(position, known.span[1]),
    )  # fmt: skip
    if settings.train_bars is not None:
        first = max(split.train.first, split.train.last - settings.train_bars + 1)
        split = replace(split, train=replace(split.train, first=first))
    return known, split


def choose(
    panel: Panel, split: Split, task: Task, *, settings: WalkSettings, failed: dict[str, str]
) -> dict[str, Choice]:
    """What a search finds for each model on a refit's own training and validation parts. A model whose search fails is
    out until the next search, and `failed` says why."""
    found: dict[str, Choice] = {}
    for name in settings.models:
        try:
            found[name] = _search(name, panel, split, task, settings)
        except FitError as error:
            failed[name] = f"its search: {error}"
    return found


def usual_choices(panel: Panel, split: Split, task: Task, *, settings: WalkSettings) -> dict[str, Choice]:
    """Every model as the settings have it."""
    return {name: _usual(name, panel, split, task, settings) for name in settings.models}


def refit(
    panel: Panel, *, position: int, task: Task, settings: WalkSettings, chosen: Mapping[str, Choice] | None
) -> Refit:
    """Learns all anew from the rows at or before a position; searches first where nothing was `chosen`.

    A model that fails is left out of this refit, and the board says why.
    """
    started = time.monotonic()
    known, split = split_at(panel, task, position=position, settings=settings)
    searched = chosen is None
    failed: dict[str, str] = {}
    if chosen is None:
        chosen = choose(known, split, task, settings=settings, failed=failed)
    fitted: dict[str, Fitted] = {}
    costs: dict[str, tuple[float, float]] = {}
    for name in (*FLOORS, *chosen):
        choice = chosen.get(name) or Choice(build_spec(name))
        began, cpu = time.monotonic(), time.process_time()
        try:
            fitted[name] = _learn(choice, known, split, task, settings)
        except TidewrightError as error:
            failed[name] = str(error)
        costs[name] = time.monotonic() - began, time.process_time() - cpu
    validations = _validate(fitted, known, split, settings, failed)
    entrants = [
        Entrant(one, None, name in FLOORS, *costs[name], tried=chosen[name].tried if name in chosen else 1)
        for name, one in validations.items()
    ]
    board = compare(
        entrants, metric=settings.metric, horizon=task.horizon, strides=(split.validation.stride, 1),
        seed=settings.seed, failed=failed,
    )  # fmt: skip
    return Refit(position, split, board, fitted, validations, dict(chosen), searched, time.monotonic() - started)


def _usual(name: str, panel: Panel, split: Split, task: Task, settings: WalkSettings) -> Choice:
    spec = build_spec(name, settings.models[name])
    view = view_of(spec, panel=keep_covariates(panel, spec.takes), split=split, task=task, season=settings.season)
    if settings.view_lookback is not None:
        view = replace(view, lookback=settings.view_lookback)
    return Choice(spec, view, replace(settings.train, seed=settings.seed))


def _search(name: str, panel: Panel, split: Split, task: Task, settings: WalkSettings) -> Choice:
    """The best of some trials; the settings' own options are the first of them."""
    from tidewright.tuning.read_space import usual_space
    from tidewright.tuning.tune import tune

    usual, space = _usual(name, panel, split, task, settings), usual_space(name)
    if space is None:
        return usual
    study = tune(
        space, panel=keep_covariates(panel, usual.spec.takes), split=split, task=task, model=usual.spec,
        trials=settings.trials, view=usual.view, train=usual.train, season=settings.season, seed=settings.seed,
        metric=settings.metric, ledger=False,
    )  # fmt: skip
    return Choice(study.spec, study.view, study.train, tried=len(study.trials))


def _learn(choice: Choice, panel: Panel, split: Split, task: Task, settings: WalkSettings) -> Fitted:
    return fit(
        choice.spec, panel=keep_covariates(panel, choice.spec.takes), split=split, task=task, view=choice.view,
        train=choice.train, season=settings.season,
    )  # fmt: skip


def _validate(
    fitted: dict[str, Fitted], panel: Panel, split: Split, settings: WalkSettings, failed: dict[str, str]
) -> dict[str, Evaluation]:
    """The scores of all on the same windows; what can't be scored joins those that failed."""
    shortest = min(one.view.lookback for one in fitted.values())
    found: dict[str, Evaluation] = {}
    for name, one in list(fitted.items()):
        try:
            found[name] = evaluate(
                one, panel=keep_covariates(panel, one.spec.takes), split=split, cutoffs=split.validation,
                season=settings.season, model=name, shortest=shortest,
            )  # fmt: skip
        except TidewrightError as error:
            failed[name] = str(error)
            del fitted[name]
    return found
