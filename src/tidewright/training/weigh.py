"""Weights for models that have learned, from how they did on validation.

"stacking", "inverse" and weights by step are judged in time: what is said of a block of cutoffs is weighed by what the
blocks before it taught, so that the score there is not one of its own choosing.

K models, N windows, H horizon, Q quantiles, M cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from tidewright.catalog import explain_unknown
from tidewright.errors import ConfigError
from tidewright.features.windows import Doubles
from tidewright.metrics.accuracy import Scored, find_metric, score
from tidewright.models.ensemble import MOST_NUMBERS, take_mean, take_median
from tidewright.models.specs.ensemble import Combine
from tidewright.training.compare import usable_metric
from tidewright.training.evaluate import Evaluation
from tidewright.training.stack import MOST_CELLS, stack

Rule = Literal["greedy", "mean", "median", "inverse", "stacking"]
RULES = get_args(Rule)
ROUNDS = 40  # of the greedy choice at most: weights are multiples of one 40th or more
LEAST_GAIN = 1e-4  # of the score, below which a member is not added
LEAST_WEIGHT = 0.01  # of a member at any step; one with less is left out
LEAST_PLAN_GAIN = 1e-3  # of the score in time, below which weights stay drawn to equal ones, and alike at all steps
CELLS = 4_000_000  # forecast numbers that a choice is made on: windows are taken evenly
BORDERS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4)  # of the blocks in time, of all cutoffs: the first has equal weights
BANDS = 8  # of the horizon at most that have weights of their own; those of the steps between are interpolated
SHRINKS = (1.0, 0.75, 0.5, 0.25, 0.0)  # how far stacked weights are drawn towards equal ones
LOCALS = (0.0, 0.25, 0.5, 0.75)  # how far weights by step may leave those of all steps

Ints = npt.NDArray[np.int64]
Weigh = Callable[["_Sample"], Doubles]


@dataclass(frozen=True, eq=False, slots=True)
class Chosen:
    """The weights [K] of K models, 0 for those left out, what led to them, and how many mixtures were compared.

    `steps` [K, H] are the weights by step, where these differ. `judged` [N, H, Q] is what the mixture would have said
    with weights from earlier cutoffs alone, where it was judged so.
    """

    weights: Doubles
    history: tuple[Mapping[str, Any], ...]
    tried: int
    steps: Doubles | None = None
    combine: Combine = "mean"
    judged: Doubles | None = None

    def at(self, place: int) -> Doubles | float:
        """The weights of a model: by step, or one."""
        return float(self.weights[place]) if self.steps is None else self.steps[place]


def choose_weights(
    judged: Sequence[Evaluation], *, rule: Rule = "greedy", metric: str = "mase", per_step: bool = False
) -> Chosen:
    """Weights for models that were scored on the same windows; the rules are those of `fit_ensemble`.

    Raises `ConfigError` for another rule, and for weights by step of one that has no weights.
    """
    if rule not in RULES:
        raise ConfigError(explain_unknown("rule", rule, RULES))
    if rule in ("mean", "median"):
        if per_step:
            raise ConfigError(f"the rule {rule} has no weights, so none by step. Leave per_step out, or take stacking.")
        return weigh_alike(len(judged), combine=rule)
    sample = _open(judged, usable_metric(metric, judged)[0])
    if rule == "greedy" and not per_step:
        return _choose_greedily(sample.thin(), names=[one.model for one in judged])
    return _choose_in_time(sample, rule=rule, per_step=per_step)


def weigh_alike(count: int, *, combine: Combine = "mean") -> Chosen:
    """The same weight for all."""
    return Chosen(_equal(count), ({"rule": combine},), 1, combine=combine)


def blend(judged: Sequence[Evaluation], weights: npt.ArrayLike, *, model: str, combine: Combine = "mean") -> Evaluation:
    """What a mixture says and how it scores, from its members' evaluations on the same windows; weights are [K] or
    [K, H]."""
    shares, horizon = np.asarray(weights, dtype=np.float64), judged[0].forecast.shape[1]
    said = [one.forecast for one in judged]
    by_step = np.broadcast_to(shares.reshape(len(judged), -1), (len(judged), horizon))
    forecast = _take_middle(said) if combine == "median" else take_mean(((one, None) for one in said), weights=by_step)
    return _say(judged[0], forecast, model=model)


def _take_middle(said: Sequence[Doubles]) -> Doubles:
    """The median of what all say, of not too many windows at once."""
    numbers = len(said) * said[0].size
    parts = np.array_split(np.arange(len(said[0])), max(1, min(numbers // MOST_NUMBERS, len(said[0]))))
    return np.concatenate([take_median([(one[rows], None) for one in said]) for rows in parts])


def judge_mixture(judged: Sequence[Evaluation], chosen: Chosen, *, model: str) -> Evaluation:
    """How a mixture does where its weights were chosen: judged in time, if it was; else a little kind."""
    if chosen.judged is not None:
        return _say(judged[0], chosen.judged, model=model)
    weights = chosen.weights if chosen.steps is None else chosen.steps
    return blend(judged, weights, model=model, combine=chosen.combine)


@dataclass(frozen=True, eq=False, slots=True)
class _Sample:
    """What each model says [N, H, Q] beside what came, and the cutoff [N] of each window."""

    said: Sequence[Doubles]
    scored: Scored
    cutoffs: Ints
    metric: str

    def take(self, rows: npt.NDArray[Any]) -> _Sample:
        """Some windows of it."""
        return replace(
            self, said=[one[rows] for one in self.said], scored=self.scored.take(rows), cutoffs=self.cutoffs[rows]
        )

    def steps(self, some: Ints) -> _Sample:
        """Some steps of it."""
        scored = replace(self.scored, actual=self.scored.actual[:, some], forecast=self.scored.forecast[:, some])
        return replace(self, said=[one[:, some] for one in self.said], scored=scored)

    def thin(self, rows: npt.NDArray[Any] | None = None, *, most: int = CELLS) -> _Sample:
        """Its windows, or some of them [N], as many as hold at most so many numbers a model; taken evenly."""
        found = np.arange(len(self.cutoffs)) if rows is None else np.flatnonzero(rows)
        count = max(most // max(self.said[0][0].size, 1), 1)
        if len(found) > count:
            found = found[np.unique(np.linspace(0, len(found) - 1, count).astype(np.int64))]
        return self if len(found) == len(self.cutoffs) else self.take(found)

    def badness(self, forecast: Doubles) -> float:
        """The score of a forecast, to be made small."""
        scored = replace(self.scored, forecast=forecast)
        return find_metric(self.metric).badness(score(scored, [self.metric])[self.metric], scored=scored)

    def mix(self, weights: Doubles) -> Doubles:
        """What the models say together, by weights [K, H]."""
        return take_mean(((one, None) for one in self.said), weights=weights)


def _open(judged: Sequence[Evaluation], metric: str) -> _Sample:
    first = judged[0]
    return _Sample([one.forecast for one in judged], first.scored, first.windows.cutoffs, metric)


def _choose_greedily(sample: _Sample, *, names: Sequence[str]) -> Chosen:
    counts, history, tried = _add_greedily(sample)
    told = tuple({"round": n + 1, "added": names[k], sample.metric: value} for n, (k, value) in enumerate(history))
    return Chosen(counts / counts.sum(), told, tried)


def _add_greedily(sample: _Sample) -> tuple[Doubles, list[tuple[int, float]], int]:
    """How often each model was added [K], each addition with the score after it, and how many were weighed up."""
    total, counts = np.zeros_like(sample.said[0]), np.zeros(len(sample.said))
    best, history, tried = np.inf, [], 0
    for size in range(1, ROUNDS + 1):
        found = [sample.badness((total + one) / size) for one in sample.said]
        tried += len(found)
        place = int(np.argmin(found))
        if not found[place] < best - LEAST_GAIN * abs(best if np.isfinite(best) else 0.0):
            break
        best, total = found[place], total + sample.said[place]
        counts[place] += 1
        history.append((place, best))
    return counts, history, tried


def _choose_in_time(sample: _Sample, *, rule: Rule, per_step: bool) -> Chosen:
    """The weights of all cutoffs, drawn as far towards equal ones, and away from those of all steps, as did best when
    each block's came from the blocks before."""
    weigh = _WEIGHERS[rule]
    shrinks, locals_ = SHRINKS if rule == "stacking" else (0.0,), LOCALS if per_step else (0.0,)
    plans = [(shrink, local) for local in locals_ for shrink in shrinks]  # from the plainest on
    horizon, count = sample.said[0].shape[1], len(sample.said)
    blocks = [
        (own, _learn(sample.thin(past), weigh, per_step=per_step) if past.any() else None)
        for past, own in cut_blocks(sample.cutoffs, horizon=horizon)
    ]
    equal = np.full((count, horizon), 1.0 / count)
    best, chosen, said = np.inf, plans[0], sample.said[0]
    for plan in plans:
        forecast = np.empty_like(sample.said[0])
        for own, learned in blocks:
            forecast[own] = sample.take(own).mix(equal if learned is None else _shrink(learned, plan))
        value = sample.badness(forecast)
        if value < best - LEAST_PLAN_GAIN * abs(value):
            best, chosen, said = value, plan, forecast
    steps = _drop_small(_shrink(_learn(sample.thin(), weigh, per_step=per_step), chosen))
    told = {"rule": rule, "drawn_to_equal": chosen[0], "by_step": chosen[1], f"{sample.metric}_in_time": best}
    own_steps = steps if chosen[1] > 0 else None
    return Chosen(steps.mean(axis=1), (told,), len(plans), steps=own_steps, judged=said)


def cut_blocks(cutoffs: Ints, *, horizon: int) -> list[tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]:
    """Blocks of cutoffs [N] in time: which windows lie so far before that all their labels were known, and its own.

    >>> [(int(past.sum()), int(own.sum())) for past, own in cut_blocks(np.arange(16), horizon=2)]
    [(0, 1), (0, 1), (1, 2), (3, 4), (7, 4), (11, 4)]
    """
    found = np.unique(cutoffs)
    borders = np.unique([max(round(share * len(found)), 1) for share in BORDERS])
    parts = [part for part in np.split(found, borders) if len(part)]
    return [(cutoffs + horizon <= part[0], (cutoffs >= part[0]) & (cutoffs <= part[-1])) for part in parts]


def _learn(sample: _Sample, weigh: Weigh, *, per_step: bool) -> tuple[Doubles, Doubles]:
    """The weights of all steps together [K], and those by step [K, H] of the models that have any of these."""
    whole, horizon = weigh(sample), sample.said[0].shape[1]
    if not per_step:
        return whole, np.repeat(whole[:, None], horizon, axis=1)
    kept = np.flatnonzero(whole > 0)
    some = replace(sample, said=[sample.said[int(place)] for place in kept])
    bands = np.array_split(np.arange(horizon), min(BANDS, horizon))
    each = np.stack([weigh(some.steps(band)) for band in bands], axis=1)
    steps, centres = np.zeros((len(whole), horizon)), [band.mean() for band in bands]
    for place, row in zip(kept, each, strict=True):
        steps[place] = np.interp(np.arange(horizon), centres, row)
    return whole, steps


def _shrink(learned: tuple[Doubles, Doubles], plan: tuple[float, float]) -> Doubles:
    """The weights [K, H] of a plan: how far they are drawn towards equal ones, and how far they differ by step."""
    (whole, steps), (shrink, local) = learned, plan
    mixed = (1.0 - local) * whole[:, None] + local * steps
    return (1.0 - shrink) * mixed + shrink / len(whole)


def _drop_small(steps: Doubles) -> Doubles:
    kept = np.where(steps.max(axis=1, keepdims=True) < LEAST_WEIGHT, 0.0, steps)
    return np.asarray(kept / kept.sum(axis=0))


def _weigh_greedily(sample: _Sample) -> Doubles:
    counts, _, _ = _add_greedily(sample)
    return counts / counts.sum() if counts.any() else _equal(len(counts))  # none where nothing is scored


def _weigh_inversely(sample: _Sample) -> Doubles:
    """Weights as the inverse of each model's error (Bates, Granger 1969, with the metric for the squared error)."""
    errors = np.array([sample.badness(one) for one in sample.said])
    if not np.isfinite(errors).all():  # no cell is scored, or none at these steps
        return _equal(len(errors))
    if (errors <= 0).any():
        errors = np.where(errors <= 0, 1.0, np.inf)
    return np.asarray((1.0 / errors) / (1.0 / errors).sum())


def _weigh_by_stacking(sample: _Sample) -> Doubles:
    few = sample.thin(most=MOST_CELLS)
    return stack(np.stack(few.said), few.scored, few.metric)


_WEIGHERS: dict[Rule, Weigh] = {
    "greedy": _weigh_greedily,
    "inverse": _weigh_inversely,
    "stacking": _weigh_by_stacking,
}


def _equal(count: int) -> Doubles:
    return np.full(count, 1.0 / count)


def _say(first: Evaluation, forecast: Doubles, *, model: str) -> Evaluation:
    return Evaluation(model, first.windows, forecast, replace(first.scored, forecast=forecast))
