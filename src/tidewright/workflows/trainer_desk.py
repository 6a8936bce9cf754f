"""What `AutoTrainer.optimize` does: the plan of its search, the search, and its best trial as a result."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from tidewright.errors import FallbackWarning, FitError
from tidewright.runtime import detect_runtime
from tidewright.training.events import Callback
from tidewright.training.spec import TrainSpec
from tidewright.tuning.array_objective import ArrayObjective, cut_folds
from tidewright.tuning.limits import Limits
from tidewright.tuning.pruners import MedianPruner, NoPruner
from tidewright.tuning.search import Found, Plan, orders_of, search
from tidewright.tuning.searchers.catalog import SEARCHERS
from tidewright.tuning.space import Choice, SearchSpace
from tidewright.tuning.store import TrialStore
from tidewright.tuning.together import Batch
from tidewright.tuning.trial import Trial, best_trial
from tidewright.workflows.auto_trainer import METHODS, METRICS, AutoTrainerConfig, BestResult
from tidewright.workflows.hyperparameter_space import ADDRESSES, HyperparameterSpace, OptimizerType

if TYPE_CHECKING:
    from tidewright.models.torch.classic import ClassicNet
    from tidewright.training.fit_arrays import Labelled

DROPOUT = "dropout_rates"
LAST_SHARE = 0.2  # of the budget: for the winner of folds, which learns once more on all rows
CUT = "the budget ended the winner's last fit before it was done learning"


@dataclass(frozen=True, eq=False)
class Desk:
    """A search that is ready to begin."""

    config: AutoTrainerConfig
    objective: ArrayObjective
    rows: tuple[Labelled, Labelled]
    plan: Plan
    method: str
    symbol: str | None
    together: int
    notes: tuple[str, ...]

    def search(self) -> Found:
        """Makes the trials."""
        orders = orders_of(self.objective, self.plan)
        crew = Batch(self.objective, orders, size=self.together) if self.together > 1 else None
        return search(self.objective, self.plan, store=TrialStore.in_memory(), crew=crew)

    def conclude(self, found: Found) -> BestResult:
        """The best trial. Raises `FitError` where none is complete."""
        best = best_trial(found.trials)
        if best is None:
            raise FitError(f"none of {len(found.trials)} trials could learn; the last said: {found.trials[-1].error}")
        scores, model, notes = dict(best.scores), found.learned, self.notes
        if len(self.objective.folds) > 1:  # the last fold's network has seen but a part of the rows
            outcome = replace(self.objective, folds=(self.rows,)).learn(best.parameters, deadline=self.end)
            scores, model = dict(outcome.scores), outcome.learned
            notes = (*notes, CUT) if outcome.cut_short else notes
        point: dict[str, Any] = {name: best.parameters.get(address) for name, address in ADDRESSES.items()}
        return BestResult(
            learning_rate=point["learning_rates"],
            batch_size=point["batch_sizes"],
            optimizer=OptimizerType(point["optimizers"]),
            dropout_rate=point[DROPOUT],
            weight_decay=point["weight_decay"],
            metric=self.config.metric,
            val_metric=scores[self.config.metric],
            scores=scores,
            model=model,
            symbol=self.symbol,
            method=self.method,
            trials=_table(found.trials, self.config.metric),
            seconds=self.plan.limits.clock() - self.plan.limits.started,
            notes=notes,
        )

    @property
    def end(self) -> float | None:
        """When all must be over, the winner's last fit too."""
        budget_s = self.config.budget_s
        return None if budget_s is None else self.plan.limits.started + budget_s


def open_desk(
    config: AutoTrainerConfig,
    factory: Callable[..., ClassicNet],
    rows: tuple[Labelled, Labelled],
    *,
    callbacks: tuple[Callback, ...],
    symbol: str | None,
) -> Desk:
    """The plan of a search. Raises `ConfigError`."""
    share = 1.0 if config.cv_folds == 1 else 1.0 - LAST_SHARE
    budget_s = None if config.budget_s is None else share * config.budget_s
    limits = Limits(time.monotonic(), budget_s, config.max_trials, time.monotonic)
    space, notes = _space(config.hyperparameter_space, factory, seed=config.seed, symbol=symbol)
    method, said = _method(config, space)
    objective = _objective(config, factory, rows)
    together, why = _together(config.together, objective, space)
    prune = config.prune and len(objective.folds) == 1
    plan = Plan(
        space=space,
        searcher=SEARCHERS.load(method)(),
        limits=limits,
        seed=config.seed,
        pruner=MedianPruner(warmup=config.min_epochs) if prune else NoPruner(),
        callbacks=callbacks,
        heeds=lambda point: True,
    )
    return Desk(config, objective, rows, plan, method, symbol, together, (*notes, *said, *why))


def _objective(
    config: AutoTrainerConfig, factory: Callable[..., ClassicNet], rows: tuple[Labelled, Labelled]
) -> ArrayObjective:
    from tidewright.training.judge_arrays import badness, judge_arrays

    for part in rows:
        badness(judge_arrays(part.labels, part.labels), config.metric)  # an error where they have no such score
    train = TrainSpec(
        epochs=config.max_epochs,
        least_epochs=config.min_epochs,
        patience=config.early_stopping_patience,
        loss="mse",
        seed=config.seed,
    )
    return ArrayObjective(
        factory=factory,
        folds=(rows,) if config.cv_folds == 1 else cut_folds(rows[0], folds=config.cv_folds, gap=config.cv_gap),
        train=train,
        metric=config.metric,
        cost_bps=config.cost_bps,
        periods_per_year=config.periods_per_year,
        runtime=detect_runtime("auto" if config.device is None else config.device),  # type: ignore[arg-type]  # checked there
    )


def _method(config: AutoTrainerConfig, space: SearchSpace) -> tuple[str, tuple[str, ...]]:
    """The searcher's name, and what is to be said of it."""
    method = METHODS[config.search_method]
    if method != "grid" or space.size <= config.max_trials:
        return method, ()
    note = (
        f"the grid has {space.size:g} points, more than max_trials={config.max_trials}: an even draw of them was tried "
        "(search_method random)"
    )
    warnings.warn(note, FallbackWarning, stacklevel=5)
    return "random", (note,)


def _together(asked: int, objective: ArrayObjective, space: SearchSpace) -> tuple[int, tuple[str, ...]]:
    """How many trials learn in one step, and what is to be said of it."""
    first = {address: one.choices[0] for address, one in space.ranges.items() if isinstance(one, Choice)}
    obstacle = objective.obstacle(first) if asked > 1 else ""
    return (1, (f"trials were made one by one: {obstacle}",)) if obstacle else (asked, ())


def _space(
    given: HyperparameterSpace, factory: Callable[..., ClassicNet], *, seed: int, symbol: str | None
) -> tuple[SearchSpace, tuple[str, ...]]:
    """The space, without dropout where the factory does not heed it."""
    from tidewright.training.fit_arrays import heeds

    name = symbol or "network"
    if heeds(factory, "dropout_rate", tuple(given.dropout_rates), seed=seed):
        return given.to_search_space(model=name), ()
    note = "the model factory makes the same network whatever dropout_rate is, so it was not searched"
    return given.to_search_space(model=name, without=(DROPOUT,)), (note,)


def _table(trials: tuple[Trial, ...], metric: str) -> pl.DataFrame:
    """A row a trial, the best first."""
    sign = -1.0 if METRICS[metric] else 1.0
    rows: list[dict[str, Any]] = [
        {
            "trial": trial.number,
            "state": str(trial.state),
            metric: None if trial.value is None else sign * trial.value,
            "seconds": trial.seconds,
            "epochs": len(trial.steps),
            "error": trial.error,
            **trial.parameters,
        }
        for trial in trials
    ]
    table = pl.DataFrame(rows, infer_schema_length=None)
    return table.sort(metric, descending=METRICS[metric], nulls_last=True, maintain_order=True)
