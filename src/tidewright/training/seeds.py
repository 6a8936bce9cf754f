"""`fit_seeds`: one spec learned from several seeds, as one model."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.data.task import Task, refuse_classes
from tidewright.errors import ConfigError, FallbackWarning, FitError
from tidewright.features.view import View
from tidewright.models.ensemble import EnsembleFitted
from tidewright.models.fitted import Fitted
from tidewright.models.spec import ModelSpec, kind_of
from tidewright.models.specs.ensemble import MOST_MEMBERS
from tidewright.runtime import Runtime
from tidewright.training.ensemble import join
from tidewright.training.events import Callback
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec
from tidewright.training.weigh import Rule

Learned = Sequence[Fitted | FitError]


@dataclass(frozen=True, eq=False, slots=True)
class _Plan:
    """What all members share, as `fit` takes it."""

    spec: ModelSpec
    trains: tuple[TrainSpec, ...]
    given: Mapping[str, Any]
    deadline: float | None
    runtime: Runtime | None


def fit_seeds(
    spec: ModelSpec,
    *,
    seeds: int | Sequence[int] = 5,
    panel: Panel,
    split: Split,
    task: Task,
    view: View | None = None,
    train: TrainSpec | None = None,
    season: int | None = None,
    rule: Rule = "mean",
    metric: str = "mase",
    callbacks: Sequence[Callback] = (),
    deadline: float | None = None,
    runtime: Runtime | None = None,
    strict: bool = False,
) -> EnsembleFitted:
    """The model learned once from each seed (a number: so many from `train.seed` on), joined by a rule of
    `fit_ensemble`.

    Networks learn in one batched step where they can (`fit_population`), else one after the other, each with its share
    of the time until `deadline`; the history says which. A seed that fails is left out with a `FallbackWarning` and
    its reason in the history, and so is one that learned the very same as an earlier one; `strict` makes the first an
    error, as it is when all fail. Raises `ConfigError` for a floor, which draws nothing.
    """
    if kind_of(spec) in ("floor", "ensemble"):
        raise ConfigError(f"{spec.name} draws nothing, so seeds don't change it. Fit it once.")
    refuse_classes(task, "an ensemble of seeds")
    train = train or TrainSpec()
    trains = tuple(replace(train, seed=seed) for seed in read_seeds(seeds, first=train.seed))
    given: dict[str, Any] = {
        "panel": panel,
        "split": split,
        "task": task,
        "view": view,
        "season": season,
        "callbacks": callbacks,
    }
    way, learned = _learn(_Plan(spec, trains, given, deadline, runtime))
    kept, told = _sort_out(spec, trains, learned, strict=strict)
    told = ({"seeds": [one.seed for one in trains], "way": way}, *told)
    found = join(kept, panel=panel, split=split, rule=rule, metric=metric, season=season)
    return replace(found, history=(*told, *found.history))


def read_seeds(seeds: int | Sequence[int], *, first: int) -> tuple[int, ...]:
    """The seeds that are meant. Raises `ConfigError`.

    >>> read_seeds(3, first=7), read_seeds([1, 5], first=0)
    ((7, 8, 9), (1, 5))
    """
    if not isinstance(seeds, (int, Sequence)) or isinstance(seeds, (bool, str)):
        raise ConfigError(f"seeds are a whole number, or a sequence of them; got {seeds!r}.")
    found = tuple(range(first, first + seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not 1 <= len(found) <= MOST_MEMBERS or len(set(found)) < len(found):
        raise ConfigError(f"seeds are 1 to {MOST_MEMBERS}, each another number; got {seeds!r}.")
    return found


def left_out(model: str, what: str, reason: str) -> Mapping[str, Any]:
    """The record of a member that is missing, which is also warned of."""
    warnings.warn(f"{what} of {model} was left out of its ensemble: {reason}", FallbackWarning, stacklevel=3)
    return {"left_out": what, "reason": reason}


def _learn(plan: _Plan) -> tuple[str, Learned]:
    """What became of each seed, and how they learned."""
    from tidewright.training.population_form import is_batchable

    if kind_of(plan.spec) == "torch" and is_batchable(plan.trains[0]):
        from tidewright.training.population import fit_population

        population = fit_population(
            plan.spec, trains=plan.trains, deadline=plan.deadline, runtime=plan.runtime, **plan.given
        )
        return population.way.used, population.members
    members: list[Fitted | FitError] = []
    for place, train in enumerate(plan.trains):
        now, end = time.monotonic(), plan.deadline
        share = None if end is None else now + (end - now) / (len(plan.trains) - place)
        try:
            members.append(fit(plan.spec, train=train, deadline=share, runtime=plan.runtime, **plan.given))
        except FitError as error:
            members.append(error)
    return "one_by_one", members


def _sort_out(
    spec: ModelSpec, trains: Sequence[TrainSpec], learned: Learned, *, strict: bool
) -> tuple[list[Fitted], tuple[Mapping[str, Any], ...]]:
    """Those that learned, each another thing, and a record of every seed."""
    kept: list[Fitted] = []
    told: list[Mapping[str, Any]] = []
    failures = [one for one in learned if isinstance(one, FitError)]
    if failures and (strict or len(failures) == len(learned)):
        raise failures[0]
    for train, one in zip(trains, learned, strict=True):
        if isinstance(one, FitError):
            told.append(left_out(spec.name, f"seed {train.seed}", str(one)))
        elif any(_is_same(one, other) for other in kept):
            told.append(left_out(spec.name, f"seed {train.seed}", "it learned the very same as an earlier one"))
        else:
            kept.append(one)
            last = one.history[-1] if one.history else {}
            told.append({"seed": train.seed, "stopped": str(last.get("stopped", ""))})
    return kept, tuple(told)


def _is_same(one: Fitted, other: Fitted) -> bool:
    ours, theirs = one.tensors(), other.tensors()
    return ours.keys() == theirs.keys() and all(
        np.array_equal(array, theirs[name], equal_nan=array.dtype.kind == "f") for name, array in ours.items()
    )
