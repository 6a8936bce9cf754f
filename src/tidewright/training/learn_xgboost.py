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
from tidewright.training.cells import Cells, Goal, Learned, Learning, count_classes, measure_loss, widen_scores
from tidewright.training.quantile_steps import QuantileSteps, are_held, open_steps
from tidewright.training.read_xgboost import read_xgboost

BINS = 63  # values that a feature is cut into, as for LightGBM


def learn_xgboost(spec: XGBoost, *, learn: Cells, judge: Cells, goals: tuple[Goal, ...], learning: Learning) -> Learned:
    """See `Learner`. The same seed gives the same trees. One booster tells all classes apart."""
    classes = count_classes(goals)
    goals = goals[:1] if classes else goals
    xgboost = require("xgboost", extra="boosters", purpose="the model xgboost")
    device, fallback = settle_device(spec.name, learning.runtime, goals=len(goals))
    held, based = are_held(learn, goals), learn.base is not None
    boosters: list[_Booster] = []
    for place, goal in enumerate(goals):
        if place == 0 or based:  # one for all, unless they begin from different bases
            data, check = _make_tables(xgboost, (learn, judge), place, threads=learning.threads)
        options = _options(spec, goal, learning=learning, held=held) | {"device": device} | _hold(learn)
        options |= {"base_score": 0.0} if based else {}
        options |= _tell_apart(classes)
        booster = xgboost.Booster(options, cache=[data, check])
        steps = open_steps(goal, learn) if held else None
        boosters.append(_Booster(booster, goal, data=data, check=check, learn=learn, judge=judge, steps=steps))
    courses = [Course(*pair, learning.least_gain) for pair in zip(boosters, goals, strict=True)]
    for course in courses if based else ():
        course.best_loss = course.booster.validation_loss()
    history = boost(courses, rounds=spec.rounds, learning=learning, together=1)
    pairs = zip(boosters, courses, strict=True)
    dumps = [own.dump(course.best_round) for own, course in pairs]
    return Learned(read_xgboost(dumps, levels=learn.levels, classes=classes), (*fallback, *history))


@dataclass(eq=False, slots=True)
class _Booster:
    booster: Any
    goal: Goal
    data: Any = field(kw_only=True)
    check: Any = field(kw_only=True)
    learn: Cells = field(kw_only=True)
    judge: Cells = field(kw_only=True)
    steps: QuantileSteps | None = field(kw_only=True)
    rounds: int = 0

    def update(self) -> bool:
        steps = self.steps
        own = None if steps is None else lambda answer, _: steps.at(answer)
        self.booster.update(self.data, self.rounds, fobj=own)
        self.rounds += 1
        return False

    def dump(self, rounds: int) -> dict[str, Any] | None:
        """XGBoost's JSON of so many rounds; None of none."""
        return json.loads(self.booster[:rounds].save_raw("json")) if rounds else None

    def train_loss(self) -> float:
        return self._measure(self.learn, self.data)

    def validation_loss(self) -> float:
        return self._measure(self.judge, self.check)

    def _measure(self, cells: Cells, table: Any) -> float:
        if self.goal.kind != "class":
            return measure_loss(self.goal, cells, self.booster.predict(table))
        return measure_loss(self.goal, cells, widen_scores(self.booster.predict(table, output_margin=True)))


def _make_tables(xgboost: Any, parts: tuple[Cells, Cells], place: int, *, threads: int) -> tuple[Any, Any]:
    """XGBoost's tables of the cells to learn from and of those to judge, for the goal of that place."""
    learn, judge = parts
    kinds = ["c" if column in learn.levels else "q" for column in range(learn.features.shape[1])]
    columns: dict[str, Any] = {"feature_types": kinds, "enable_categorical": True, "nthread": threads}
    known, said = (None if one.base is None else one.base[:, place] for one in parts)
    data = xgboost.QuantileDMatrix(
        learn.features, learn.labels, weight=learn.weights, base_margin=known, max_bin=BINS, **columns
    )
    return data, xgboost.DMatrix(judge.features, judge.labels, base_margin=said, **columns)


def _hold(learn: Cells) -> dict[str, str]:
    ways = [learn.monotone.get(place, 0) for place in range(learn.features.shape[1])]
    return {"monotone_constraints": f"({','.join(map(str, ways))})"} if any(ways) else {}


def _tell_apart(classes: int) -> dict[str, Any]:
    if classes == 2:
        return {"objective": "binary:logistic"}
    return {"objective": "multi:softprob", "num_class": classes} if classes else {}


def _options(spec: XGBoost, goal: Goal, *, learning: Learning, held: bool) -> dict[str, Any]:
    objective: dict[str, Any] = {"objective": "reg:squarederror"}
    if goal.kind == "quantile" and not held:
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
