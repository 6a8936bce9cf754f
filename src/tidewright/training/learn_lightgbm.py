"""LightGBM learned: one booster a goal, all of them a round at a time.

Goals are boosted side by side, each on its own thread: that takes two thirds of the CPU time of LightGBM's own
threads, which wait for each other at every split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tidewright.models.specs.trees import LightGBM
from tidewright.optional import require
from tidewright.training.boost_device import settle_device
from tidewright.training.boosting import Course, boost
from tidewright.training.cells import Cells, Goal, Learned, Learning, count_classes
from tidewright.training.quantile_steps import QuantileSteps, are_held, open_steps
from tidewright.training.read_lightgbm import read_lightgbm

BINS = 63  # values that a feature is cut into: as good as the usual 255 here, and a sixth faster


def learn_lightgbm(
    spec: LightGBM, *, learn: Cells, judge: Cells, goals: tuple[Goal, ...], learning: Learning
) -> Learned:
    """See `Learner`. The same seed gives the same trees, whatever the threads. One booster tells all classes apart."""
    classes = count_classes(goals)
    goals = goals[:1] if classes else goals
    device, fallback = settle_device(spec.name, learning.runtime, goals=len(goals))
    options = _options(spec, seed=learning.seed, threads=max(1, learning.threads // len(goals)), device=device)
    if learn.monotone:
        ways = [learn.monotone.get(place, 0) for place in range(learn.features.shape[1])]
        options |= {"monotone_constraints": ways, "monotone_constraints_method": "intermediate"}
    boosters = _start(options | _tell_apart(classes), goals, learn=learn, judge=judge)
    courses = [Course(*pair, learning.least_gain) for pair in zip(boosters, goals, strict=True)]
    for course in courses if learn.base is not None else ():
        course.best_loss = course.booster.validation_loss()
    together = min(learning.threads, len(goals))
    silence = partial(_silence, options)
    history = boost(courses, rounds=spec.rounds, learning=learning, together=together, prepare=silence)
    pairs = zip(boosters, courses, strict=True)
    texts = [own.text(course.best_round) for own, course in pairs]
    return Learned(read_lightgbm(texts, classes=classes), (*fallback, *history))


@dataclass(frozen=True, eq=False, slots=True)
class _Booster:
    booster: Any
    steps: QuantileSteps | None = None

    def update(self) -> bool:
        if self.steps is None:
            return bool(self.booster.update())
        steps = self.steps
        return bool(self.booster.update(fobj=lambda answer, _: steps.at(answer)))

    def text(self, rounds: int) -> str:
        return str(self.booster.model_to_string(num_iteration=rounds)) if rounds else ""

    def train_loss(self) -> float:
        return float(self.booster.eval_train()[0][2])

    def validation_loss(self) -> float:
        return float(self.booster.eval_valid()[0][2])


def _start(options: Mapping[str, Any], goals: tuple[Goal, ...], *, learn: Cells, judge: Cells) -> list[_Booster]:
    """A booster for each goal, all over one binned data set; one each where they begin from different bases."""
    lightgbm = require("lightgbm", extra="trees", purpose="the model lightgbm")
    held = are_held(learn, goals)
    given = {**options, **_objective(goals[0], held=held)}  # one for all, so that the data set is binned once
    columns: dict[str, Any] = {"params": given, "free_raw_data": False, "categorical_feature": list(learn.levels)}
    boosters = []
    for place, goal in enumerate(goals):
        if place == 0 or learn.base is not None:
            known, said = (None if one.base is None else one.base[:, place].copy() for one in (learn, judge))
            data = lightgbm.Dataset(learn.features, learn.labels, weight=learn.weights, init_score=known, **columns)
            check = data.create_valid(judge.features, judge.labels, weight=judge.weights, init_score=said, params=given)
        booster = lightgbm.Booster({**options, **_objective(goal, held=held)}, data)
        booster.add_valid(check, "validation")
        boosters.append(_Booster(booster, open_steps(goal, learn) if held else None))
    return boosters


def _tell_apart(classes: int) -> dict[str, Any]:
    if classes == 2:
        return {"objective": "binary", "metric": "binary_logloss"}
    return {"objective": "multiclass", "metric": "multi_logloss", "num_class": classes} if classes else {}


def _objective(goal: Goal, *, held: bool) -> dict[str, Any]:
    if goal.kind == "class":
        return {}
    if goal.kind == "mean":
        return {"objective": "regression", "metric": "l2"}
    return {"objective": "none" if held else "quantile", "metric": "quantile", "alpha": goal.level}


def _silence(options: Mapping[str, Any]) -> None:
    """LightGBM keeps its log level by thread, and takes it from the first thing that a thread makes."""
    lightgbm = require("lightgbm", extra="trees", purpose="the model lightgbm")
    lightgbm.Dataset(np.zeros((2, 1), dtype=np.float32), params=dict(options)).construct()


def _options(spec: LightGBM, *, seed: int, threads: int, device: str) -> dict[str, Any]:
    return {
        "learning_rate": spec.learning_rate,
        "num_leaves": spec.leaves,
        "min_data_in_leaf": spec.min_leaf,
        "feature_fraction": spec.feature_share,
        "bagging_fraction": spec.row_share,
        "bagging_freq": 1,
        "num_threads": threads,
        "device_type": device,
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed,
        "max_bin": BINS,
        "verbosity": -1,
    }
