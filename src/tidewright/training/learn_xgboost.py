"""XGBoost learned: one booster a goal over one binned table, one goal after the other within a round.

C cells, F features. XGBoost's own threads share a round: its binned table must not be read by two boosters at once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tidewright.models.specs.trees import XGBoost
from tidewright.optional import require
from tidewright.training.boost_device import settle_device
from tidewright.training.boosting import Course, boost
from tidewright.training.cells import Cells, Goal, Learned, Learning, measure_loss
from tidewright.training.read_xgboost import read_xgboost

BINS = 63  # values that a feature is cut into, as for LightGBM


def learn_xgboost(spec: XGBoost, *, learn: Cells, judge: Cells, goals: tuple[Goal, ...], learning: Learning) -> Learned:
    """See `Learner`. The same seed gives the same trees."""
    xgboost = require("xgboost", extra="boosters", purpose="the model xgboost")
    kinds = ["c" if place in learn.levels else "q" for place in range(learn.features.shape[1])]
    columns: dict[str, Any] = {"feature_types": kinds, "enable_categorical": True, "nthread": learning.threads}
    data = xgboost.QuantileDMatrix(learn.features, learn.labels, weight=learn.weights, max_bin=BINS, **columns)
    check = xgboost.DMatrix(judge.features, judge.labels, **columns)
    device, fallback = settle_device(spec.name, learning.runtime, goals=len(goals))
    boosters = []
    for goal in goals:
        options = _options(spec, goal, learning=learning) | {"device": device} | _hold(learn)
        booster = xgboost.Booster(options, cache=[data, check])
        boosters.append(_Booster(booster, goal, data=data, check=check, learn=learn, judge=judge))
    courses = [Course(*pair, learning.least_gain) for pair in zip(boosters, goals, strict=True)]
    history = boost(courses, rounds=spec.rounds, learning=learning, together=1)
    pairs = zip(boosters, courses, strict=True)
    dumps = [json.loads(own.booster[: course.best_round].save_raw("json")) for own, course in pairs]
    return Learned(read_xgboost(dumps, levels=learn.levels), (*fallback, *history))


@dataclass(eq=False, slots=True)
class _Booster:
    booster: Any
    goal: Goal
    data: Any = field(kw_only=True)
    check: Any = field(kw_only=True)
    learn: Cells = field(kw_only=True)
    judge: Cells = field(kw_only=True)
    rounds: int = 0

    def update(self) -> bool:
        self.booster.update(self.data, self.rounds)
        self.rounds += 1
        return False

    def train_loss(self) -> float:
        return measure_loss(self.goal, self.learn, self.booster.predict(self.data))

    def validation_loss(self) -> float:
        return measure_loss(self.goal, self.judge, self.booster.predict(self.check))


def _hold(learn: Cells) -> dict[str, str]:
    ways = [learn.monotone.get(place, 0) for place in range(learn.features.shape[1])]
    return {"monotone_constraints": f"({','.join(map(str, ways))})"} if any(ways) else {}


def _options(spec: XGBoost, goal: Goal, *, learning: Learning) -> dict[str, Any]:
    objective: dict[str, Any] = {"objective": "reg:squarederror"}
    if goal.kind == "quantile":
        objective = {"objective": "reg:quantileerror", "quantile_alpha": goal.level}
    return {
        **objective,
        "tree_method": "hist",
        "max_depth": spec.depth,
        "learning_rate": spec.learning_rate,
        "min_child_weight": spec.min_leaf,
        "reg_lambda": spec.l2,
        "colsample_bytree": spec.feature_share,
        "subsample": spec.row_share,
        "max_bin": BINS,
        "nthread": learning.threads,
        "seed": learning.seed,
        "verbosity": 0,
    }
