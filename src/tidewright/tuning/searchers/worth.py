"""What the trials of a history are worth to a model: one number each, small is good."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tidewright.tuning.searchers.cube import Cube, Doubles
from tidewright.tuning.searchers.searcher import History
from tidewright.tuning.searchers.untried import rng_of
from tidewright.tuning.trial import Trial, TrialState


@dataclass(frozen=True, eq=False, slots=True)
class Worth:
    """Places [N, O] of the trials that ended, their values [N] standardised, and the places [M, O] of running ones."""

    places: Doubles
    values: Doubles
    pending: Doubles


def weigh_trials(history: History, cube: Cube) -> Worth:
    """The worth of every trial whose point lies in the space; nothing is known until one is complete."""
    inside = [trial for trial in history.trials if history.space.holds(trial.parameters)]
    ended = [trial for trial in inside if trial.state is not TrialState.RUNNING]
    running = [trial for trial in inside if trial.state is TrialState.RUNNING]
    pending = _places(running, cube)
    complete = [trial for trial in ended if trial.state is TrialState.COMPLETE]
    if not complete:
        return Worth(np.empty((0, len(cube.options))), np.empty(0), pending)
    known = dict(zip([trial.number for trial in complete], _values(complete, history), strict=True))
    scores = np.array(list(known.values()))
    instead = {TrialState.PRUNED: float(np.quantile(scores, 0.75)), TrialState.FAILED: float(scores.max())}
    values = np.array([known[t.number] if t.number in known else instead[t.state] for t in ended])
    return Worth(_places(ended, cube), standardise(values), pending)


def standardise(values: Doubles) -> Doubles:
    """Values with mean 0 and deviation 1, after a power (Yeo and Johnson, 2000) that brings them near normal."""
    from scipy.stats import yeojohnson

    spread = values.std()
    if spread < 1e-12 * max(1.0, float(np.abs(values).max())):
        return np.zeros_like(values)
    scaled = (values - values.mean()) / spread
    if len(values) < 5:
        return np.asarray(scaled)
    warped, _ = yeojohnson(scaled)
    return (
        np.asarray((warped - warped.mean()) / warped.std())
        if np.isfinite(warped).all() and warped.std() > 1e-9
        else scaled
    )


def _values(complete: list[Trial], history: History) -> Doubles:
    """One value a trial; several objectives by the weights of this number."""
    values = np.array([trial.values for trial in complete])
    if values.shape[1] == 1:
        return np.asarray(values[:, 0])
    low, high = values.min(axis=0), values.max(axis=0)
    scaled = (values - low) / np.where(high > low, high - low, 1.0)
    weights = rng_of(history, 1).dirichlet(np.ones(values.shape[1]))
    return np.asarray((scaled * weights).max(axis=1) + 0.05 * scaled @ weights)


def _places(trials: list[Trial], cube: Cube) -> Doubles:
    return np.array([cube.places(trial.parameters) for trial in trials]).reshape(len(trials), len(cube.options))
