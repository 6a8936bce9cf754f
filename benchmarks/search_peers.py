"""The peers on a surface: Optuna, Hyperopt and scikit-optimize, called as they are by default, with a seed."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tidewright.tuning.ranges import Choice, FloatRange, IntRange
from tidewright.tuning.space import SearchSpace

Evaluate = Callable[[Mapping[str, Any]], float]


def run_optuna(space: SearchSpace, evaluate: Evaluate, *, trials: int, seed: int, sampler: str = "TPESampler") -> None:
    """Its default sampler (TPE, in 5 multivariate), or another by name."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: Any) -> float:
        return evaluate({name: _ask(trial, name, one) for name, one in space.ranges.items()})

    study = optuna.create_study(sampler=getattr(optuna.samplers, sampler)(seed=seed))
    study.optimize(objective, n_trials=trials)


def _ask(trial: Any, name: str, one: Any) -> Any:
    if isinstance(one, Choice):
        return json.loads(trial.suggest_categorical(name, one.labels))
    suggest = trial.suggest_int if isinstance(one, IntRange) else trial.suggest_float
    return suggest(name, one.low, one.high, log=one.log, step=one.step)


def run_hyperopt(space: SearchSpace, evaluate: Evaluate, *, trials: int, seed: int) -> None:
    """`fmin` with `tpe.suggest`; whole numbers are rounded ones of `quniform` or `qloguniform`."""
    import hyperopt

    def node(name: str, one: Any) -> Any:
        if isinstance(one, Choice):
            return hyperopt.hp.choice(name, list(range(len(one.choices))))
        if isinstance(one, FloatRange):
            ends = (np.log(one.low), np.log(one.high)) if one.log else (one.low, one.high)
            return (hyperopt.hp.loguniform if one.log else hyperopt.hp.uniform)(name, *ends)
        if one.log:
            return hyperopt.hp.qloguniform(name, np.log(one.low), np.log(one.high), 1)
        return hyperopt.hp.quniform(name, one.low, one.high, one.step)

    def objective(said: Mapping[str, Any]) -> float:
        return evaluate(
            {
                name: one.choices[said[name]]
                if isinstance(one, Choice)
                else one.nearest(said[name])
                if isinstance(one, IntRange)
                else said[name]
                for name, one in space.ranges.items()
            }
        )

    nodes = {name: node(name, one) for name, one in space.ranges.items()}
    rng = np.random.default_rng(seed)
    hyperopt.fmin(
        objective, nodes, algo=hyperopt.tpe.suggest, max_evals=trials, rstate=rng, show_progressbar=False, verbose=False
    )


def run_skopt(space: SearchSpace, evaluate: Evaluate, *, trials: int, seed: int) -> None:
    """`gp_minimize`; whole numbers with a step as multiples of it."""
    import skopt

    def dimension(one: Any) -> Any:
        if isinstance(one, Choice):
            return skopt.space.Categorical(list(one.labels))
        prior = "log-uniform" if one.log else "uniform"
        if isinstance(one, FloatRange):
            return skopt.space.Real(one.low, one.high, prior=prior)
        return skopt.space.Integer(one.low // one.step, one.high // one.step, prior=prior)

    def value(one: Any, said: Any) -> Any:
        if isinstance(one, Choice):
            return json.loads(said)
        return one.nearest(int(said) * one.step) if isinstance(one, IntRange) else float(said)

    def objective(said: list[Any]) -> float:
        parts = zip(space.ranges.items(), said, strict=True)
        return evaluate({name: value(one, part) for (name, one), part in parts})

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        skopt.gp_minimize(
            objective, [dimension(one) for one in space.ranges.values()], n_calls=trials, random_state=seed
        )


PEERS: dict[str, Callable[..., None]] = {
    "Optuna TPE": run_optuna,
    "Hyperopt TPE": run_hyperopt,
    "scikit-optimize GP": run_skopt,
    "Optuna GP": lambda *given, **more: run_optuna(*given, **more, sampler="GPSampler"),
}
