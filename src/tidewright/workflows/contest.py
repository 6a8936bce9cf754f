"""Floors and models fitted within a budget and scored on the same windows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import uuid4

from tidewright.data.panel import Panel
from tidewright.data.splits import Split, without_test
from tidewright.data.task import Task
from tidewright.errors import FitError
from tidewright.models.build import build_spec
from tidewright.models.fitted import Fitted
from tidewright.models.spec import FLOORS, MODELS, spec_key
from tidewright.runtime import Runtime
from tidewright.training.compare import Leaderboard, compare, rank_value, usable_metric
from tidewright.training.ensemble import compose
from tidewright.training.evaluate import Evaluation
from tidewright.training.events import Callback
from tidewright.training.spec import TrainSpec
from tidewright.training.weigh import choose_weights
from tidewright.tuning.account import Account
from tidewright.tuning.study import Study
from tidewright.tuning.trial import TrialState
from tidewright.workflows.field import ENSEMBLE, Field, choose_runtime
from tidewright.workflows.search_record import Search
from tidewright.workflows.settings import RunSettings
from tidewright.workflows.stakes import Stakes, place_ledger

Tell = Callable[[str], None]
JUDGING_SHARE = 0.4  # of the budget at most, for scoring on validation and test


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
    search: Search | None = None
    account: Account | None = None


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
    ring = Field(panel, split, task, season, settings, callbacks, choose_runtime(settings))
    Stakes(ring, metric=settings.metric, run="")  # a ledger that can't be read is an error before anything is learned
    for name in ring.floors:
        tell(f"floor {name}")
        ring.enter(name, build_spec(name), view=None, train=None, deadline=None)
    until -= min(ring.judging_seconds(), JUDGING_SHARE * budget_s)
    train = settings.learning
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
    return conclude(ring, validations, tell=tell, study=study)


def conclude(
    ring: Field,
    validations: dict[str, Evaluation],
    *,
    tell: Tell,
    study: Study | None = None,
    search: Search | None = None,
    stakes: Stakes | None = None,
) -> Contest:
    """Forms the ensemble, scores the test once, and compares all that was fitted; `stakes` hold the tries of a
    search."""
    if _form_ensemble(ring, validations, tell):
        validations = ring.score_all(test=False)
    if not any(name in ring.fitted for name in ring.floors):
        raise FitError(f"no floor could be fitted: {next(iter(ring.failed.values()), 'none was tried')}")
    tell("the test, once")
    tests = ring.score_all(test=True)
    entrants = [ring.entrant(name, validations[name], tests[name]) for name in ring.fitted]
    split = ring.split
    assert split.test is not None
    board = compare(
        entrants,
        metric=ring.settings.metric,
        horizon=ring.task.horizon,
        strides=(split.validation.stride, split.test.stride),
        seed=ring.settings.seed,
        failed=ring.failed,
    )
    trials = _count_trials(ring, study, search)
    account = _settle(ring, validations, board, study=study, stakes=stakes)
    return Contest(ring.fitted, ring.panels, board, tests, validations, study, trials, ring.runtime, search, account)


def _settle(
    ring: Field,
    validations: Mapping[str, Evaluation],
    board: Leaderboard,
    *,
    study: Study | None,
    stakes: Stakes | None,
) -> Account | None:
    """What the winner is worth after all that was tried on these data; None where the tries of a search were made for
    another metric."""
    stakes = stakes or Stakes(ring, metric=board.metric, run=uuid4().hex[:12])
    if stakes.goal.name != board.metric:
        return None
    tuned = set() if study is None else {f"{study.spec.name} tuned"}  # the study has kept it
    for name in sorted(set(validations) - stakes.models - tuned):
        fitted = ring.fitted.get(name)  # none, where it could not be scored on the test: it was tried all the same
        key = spec_key(name) if fitted is None else spec_key(name, fitted.spec, fitted.view)
        stakes.add(validations[name], model=name, key=key, options={})
    return stakes.settle(board.winner, study)


def _count_trials(ring: Field, study: Study | None, search: Search | None) -> int:
    """All that was tried: models, those that failed, a search's trials and every mixture that was compared."""
    alone = len({*ring.fitted, *ring.failed} - {ENSEMBLE}) if search is None else len(search.attempts)
    return alone + ring.tried.get(ENSEMBLE, 0) + (len(study.trials) if study is not None else 0)


def _form_ensemble(ring: Field, validations: Mapping[str, Evaluation], tell: Tell) -> bool:
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
    ring: Field, validations: dict[str, Evaluation], train: TrainSpec, until: float, tell: Tell
) -> Study | None:
    """Tunes the model that is best so far, when there is a space for it and time for two more fits like its first."""
    from tidewright.tuning.change_space import drop_numbers
    from tidewright.tuning.read_space import UNTUNED, usual_space
    from tidewright.tuning.tune import tune

    models = [name for name in ring.fitted if name not in FLOORS and name in MODELS and name not in UNTUNED]
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
    space, runtime = usual_space(best), ring.runtime
    assert space is not None
    study = tune(
        drop_numbers(space) if ring.task.classifies else space,
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
        ledger=place_ledger(ring.settings.folder),
        callbacks=ring.callbacks,
        runtime=lambda: runtime,
    )
    name = f"{best} tuned"
    ring.fitted[name], ring.panels[name] = study.fitted, ring.panels[best]
    ring.tried[name] = sum(
        trial.state is not TrialState.FAILED for trial in study.trials
    )  # a pruned one was judged, too
    ring.seconds[name] = (time.monotonic() - started, time.process_time() - cpu)
    return study
