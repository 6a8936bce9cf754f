"""CatBoost learned: one model for all goals, whose leaves hold a value for each.

C cells, F features.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tidewright.models.forest import join_trees, make_leaf
from tidewright.models.specs.trees import CatBoost
from tidewright.optional import require
from tidewright.training.boost_device import settle_device
from tidewright.training.boosting import EVERY, PATIENCE
from tidewright.training.cells import Cells, Goal, Learned, Learning, count_classes, measure_loss
from tidewright.training.read_catboost import ABSENT, read_catboost

BINS = 63  # values that a feature is cut into, as for LightGBM


def learn_catboost(
    spec: CatBoost, *, learn: Cells, judge: Cells, goals: tuple[Goal, ...], learning: Learning
) -> Learned:
    """See `Learner`. The same seed gives the same trees. CatBoost adds to a base (`Cells.base`) of one output alone."""
    catboost = require("catboost", extra="boosters", purpose="the model catboost")
    device, fallback = settle_device(spec.name, learning.runtime, goals=len(goals))
    course = _Course(learning, history=list(fallback))
    data, check = (_make_pool(catboost, cells) for cells in (learn, judge))
    options = _options(spec, goals, learning=learning) | _hold(learn)
    if judge.base is not None:
        course.best_loss, course.based = _measure_base(judge, goals[0]), True
    if device == "GPU":
        model = catboost.CatBoost(to_gpu(options))
        model.fit(data, eval_set=check, use_best_model=False, early_stopping_rounds=PATIENCE)
        course.read(model.get_evals_result())
    else:
        model = catboost.CatBoost(options)
        model.fit(data, eval_set=check, use_best_model=False, callbacks=[course])
    course.close(spec.rounds)
    if not course.best_round:
        return Learned(join_trees([make_leaf(0.0)], [0]), tuple(course.history))
    model.shrink(course.best_round)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json", pool=data)
        dump = json.loads(path.read_text())
    first = int(count_classes(goals) == 2)
    forest = read_catboost(dump, n_features=learn.features.shape[1], levels=learn.levels, first=first)
    return Learned(forest, tuple(course.history))


@dataclass(eq=False, slots=True)
class _Course:
    """What happens, round by round; CatBoost calls it."""

    learning: Learning
    history: list[Mapping[str, Any]] = field(default_factory=list)
    best_round: int = 0
    best_loss: float = float("inf")
    based: bool = False  # whether `best_loss` is that of what is known already, which none of the rounds may better
    reason: str = ""
    last: tuple[int, float, float] = (0, 0.0, 0.0)

    def after_iteration(self, info: Any) -> bool:
        """Whether to go on after a round."""
        losses = [next(iter(info.metrics[part].values()))[-1] for part in ("learn", "validation")]
        number = int(info.iteration)
        self.last = (number, *losses)
        first = not self.best_round and not self.based
        if first or losses[1] < self.best_loss * (1.0 - self.learning.least_gain):
            self.best_round, self.best_loss = number, losses[1]
        if number - self.best_round >= PATIENCE:
            self.reason = "no better on validation"
        elif self.learning.deadline is not None and time.monotonic() > self.learning.deadline:
            self.reason = "deadline"
        if number % EVERY == 0 and not self.reason:
            self.history.append(self.learning.tell(*self.last))
        return not self.reason

    def read(self, losses: Mapping[str, Mapping[str, list[float]]]) -> None:
        """Every round at once, where CatBoost tells of them when it is done (on a GPU, which heeds no deadline)."""
        learned, judged = (next(iter(losses[part].values())) for part in ("learn", "validation"))
        for number, pair in enumerate(zip(learned, judged, strict=True), start=1):
            if not self.after_iteration(_Round(number, *pair)):
                break

    def close(self, rounds: int) -> None:
        """Tells the last round, and why it was the last."""
        number = self.last[0]
        if not self.history or self.history[-1].get("round") != number:
            self.history.append(self.learning.tell(*self.last))
        reason = self.reason or ("all rounds" if number >= rounds else "no split left")
        self.history.append({"rounds": self.best_round, "validation_loss": self.best_loss, "stopped": reason})


@dataclass(frozen=True, slots=True)
class _Round:
    """A round in the form in which CatBoost tells of it."""

    iteration: int
    learned: float
    judged: float

    @property
    def metrics(self) -> dict[str, dict[str, list[float]]]:
        """The losses."""
        return {"learn": {"loss": [self.learned]}, "validation": {"loss": [self.judged]}}


def to_gpu(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options for a GPU, where CatBoost has no share of features a split."""
    return {name: value for name, value in options.items() if name != "rsm"} | {"task_type": "GPU"}


def _measure_base(cells: Cells, goal: Goal) -> float:
    """CatBoost's loss of what is said of the cells already."""
    assert cells.base is not None
    loss = measure_loss(goal, cells, cells.base[:, 0])
    return float(np.sqrt(loss)) if goal.kind == "mean" else loss


def _numbers(cells: Cells) -> list[int]:
    """The places of features that are no levels, which CatBoost is given first."""
    return [place for place in range(cells.features.shape[1]) if place not in cells.levels]


def _hold(learn: Cells) -> dict[str, list[int]]:
    ways = [learn.monotone.get(place, 0) for place in (*_numbers(learn), *learn.levels)]
    return {"monotone_constraints": ways} if any(ways) else {}


def _make_pool(catboost: Any, cells: Cells) -> Any:
    """CatBoost's table: numbers first, then the levels' numbers as words."""
    numbers = _numbers(cells)
    words: Any = None
    if cells.levels:
        words = np.empty((len(cells.labels), len(cells.levels)), dtype=object)
        for column, (place, count) in enumerate(cells.levels.items()):
            known = np.array([*(str(level).encode() for level in range(count)), ABSENT.encode()], dtype=object)
            level = cells.features[:, place]
            words[:, column] = known[np.where(np.isnan(level), count, level).astype(np.int64)]
    table = np.ascontiguousarray(cells.features[:, numbers])
    features = catboost.FeaturesData(num_feature_data=table, cat_feature_data=words)
    return catboost.Pool(features, label=cells.labels, weight=cells.weights, baseline=cells.base)


def _options(spec: CatBoost, goals: tuple[Goal, ...], *, learning: Learning) -> dict[str, Any]:
    levels = ",".join(str(goal.level) for goal in goals)
    classes = count_classes(goals)
    losses = {
        "class": "Logloss" if classes == 2 else "MultiClass",
        "mean": "RMSE" if len(goals) == 1 else "MultiRMSE",
        "quantile": f"MultiQuantile:alpha={levels}" if len(goals) > 1 else f"Quantile:alpha={levels}",
    }
    return {
        "loss_function": losses[goals[0].kind],
        "iterations": spec.rounds,
        "depth": spec.depth,
        "learning_rate": spec.learning_rate,
        "l2_leaf_reg": spec.l2,
        "rsm": spec.feature_share,
        "bootstrap_type": "Bernoulli",
        "subsample": spec.row_share,
        "border_count": BINS,
        "max_ctr_complexity": 1,
        "thread_count": learning.threads,
        "random_seed": learning.seed,
        "allow_writing_files": False,
        "logging_level": "Silent",
    }
