"""Where the next point comes from: Optuna's TPE (Bergstra et al. 2011) and its median pruner."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tidewright.optional import require
from tidewright.tuning.space import Choice, IntRange, Range, SearchSpace
from tidewright.tuning.study import Trial, TrialState

MOST_REPEATS = 100


@dataclass(frozen=True, eq=False)
class Asked:
    """A point to try; `handle` is Optuna's trial, None for a point that lies outside the space."""

    point: Mapping[str, Any]
    handle: Any


class Suggestions:
    """Points of a space, each given once, from what was told of the earlier ones."""

    def __init__(self, space: SearchSpace, *, default: Mapping[str, Any], seed: int, warmup: int) -> None:
        """`default` is the first point, wherever it lies; no trial is pruned in its first `warmup` epochs."""
        self._optuna = require("optuna", extra="tuning", purpose="tuning")
        self._space = space
        self._default: Mapping[str, Any] | None = default
        self._distributions = {name: _distribution(one, self._optuna) for name, one in space.ranges.items()}
        self._told: dict[str, Trial] = {}
        with quiet(self._optuna):
            self._study = self._optuna.create_study(
                sampler=self._optuna.samplers.TPESampler(n_startup_trials=10, seed=seed),
                pruner=self._optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=warmup),
            )

    def ask(self) -> Asked | None:
        """The next point; None when there is none that was not tried."""
        with quiet(self._optuna):
            if self._default is not None:
                return self._ask_default()
            for _ in range(MOST_REPEATS):
                if len(self._told) >= self._space.size:
                    return None
                handle = self._study.ask(self._distributions)
                point = {name: _decode(self._space.ranges[name], value) for name, value in handle.params.items()}
                earlier = self._told.get(_label(point))
                if earlier is None:
                    return Asked(point, handle)
                self._answer(handle, earlier)
        return None

    def tell(self, asked: Asked, trial: Trial) -> None:
        """What came of a point."""
        if asked.handle is not None:
            self._told[_label(asked.point)] = trial
            with quiet(self._optuna):
                self._answer(asked.handle, trial)

    def hopeless(self, asked: Asked, *, epoch: int, loss: float) -> bool:
        """Whether the best loss so far is worse than the median of earlier trials at this epoch.

        A loss that is not finite, or a second one of the same epoch, tells nothing.
        """
        if asked.handle is None or not math.isfinite(loss):
            return False
        if epoch in self._study.get_trials(deepcopy=False)[asked.handle.number].intermediate_values:
            return False
        asked.handle.report(loss, epoch)
        return bool(asked.handle.should_prune())

    def _ask_default(self) -> Asked:
        default = {name: (self._default or {})[name] for name in self._space.names}
        self._default = None
        if not self._space.holds(default):
            return Asked(default, None)
        self._study.enqueue_trial({name: _encode(self._space.ranges[name], value) for name, value in default.items()})
        return Asked(default, self._study.ask(self._distributions))

    def _answer(self, handle: Any, trial: Trial) -> None:
        states = self._optuna.trial.TrialState
        if trial.state is TrialState.COMPLETE:
            self._study.tell(handle, trial.value)
        else:
            self._study.tell(handle, state=states.PRUNED if trial.state is TrialState.PRUNED else states.FAIL)


@contextmanager
def quiet(optuna: Any) -> Iterator[None]:
    """Optuna's own logger says warnings only, for a while; no handler is touched."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _distribution(one: Range, optuna: Any) -> Any:
    kinds = optuna.distributions
    if isinstance(one, Choice):  # by label: Optuna takes no tuples
        return kinds.CategoricalDistribution(one.labels)
    kind = kinds.IntDistribution if isinstance(one, IntRange) else kinds.FloatDistribution
    return kind(one.low, one.high, log=one.log, step=one.step)


def _encode(one: Range, value: Any) -> Any:
    return json.dumps(value) if isinstance(one, Choice) else value


def _decode(one: Range, value: Any) -> Any:
    return one.choices[one.labels.index(value)] if isinstance(one, Choice) else value


def _label(point: Mapping[str, Any]) -> str:
    return json.dumps(point, sort_keys=True)
