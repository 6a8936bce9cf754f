"""Cells to learn from, and the seam between them and the libraries that learn.

A cell is a window and a step. C cells, F features, Q goals. Labels and features are in the spec's `unit`.

A new learner is four small things. (1) Its record in `models/specs/`, a frozen dataclass that inherits the fields of
`Tabular`, calls `check_tabular` in `__post_init__` and is an `Entry` of kind "trees". (2) A file here,
`learn_NAME.py`, with a function of the form of `Learner`, and its line in `LEARNERS`: it is handed the cells to learn
from, cells of validation to stop on, and its goals (one output each, in their order), and gives back a formula and a
history. (3) The formula: a `Forest`, or a class of its own in `models/` with `predict` and `tensors`; its reader is
named in `models/formula.READERS`. (4) For a class of its own an adder in `registry/onnx_formulas.ADDERS`. A spec whose
learner can't learn quantiles says so with `check_tabular(self, losses=("mean",))`; residuals then make the quantiles.
One that takes levels' numbers itself (`Cells.levels`) says so with `boosted=True`; others are given a feature a level.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from tidewright.data.frequency import BLOCK
from tidewright.data.panel import Panel
from tidewright.data.task import Task
from tidewright.errors import ConfigError, FitError
from tidewright.features.narrow import narrow_windows
from tidewright.features.windows import Cuts, Windows
from tidewright.models.formula import Formula
from tidewright.models.specs.tabular import Tabular
from tidewright.models.tree_inputs import TreeInputs, label_units, step_features, window_features, window_units
from tidewright.runtime import Runtime

Singles = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Tell = Callable[[int, float, float], Mapping[str, Any]]

LEARNERS = {
    "lightgbm": "tidewright.training.learn_lightgbm:learn_lightgbm",
    "random_forest": "tidewright.training.learn_forest:learn_forest",
    "extra_trees": "tidewright.training.learn_forest:learn_forest",
    "svr": "tidewright.training.learn_svr:learn_svr",
    "elastic_net": "tidewright.training.learn_elastic_net:learn_elastic_net",
    "xgboost": "tidewright.training.learn_xgboost:learn_xgboost",
    "catboost": "tidewright.training.learn_catboost:learn_catboost",
}
FARTHEST = 1e6  # labels farther from where they are counted from than this many units count as this far


@dataclass(frozen=True, eq=False, slots=True)
class Cells:
    """Features [C, F], labels [C], weights [C] (None: all alike) and steps [C], which count from 1. With the strategy
    "multi" a row is a window and labels are [C, H].

    `levels` are the places of features that hold the number of a level, and how many levels each has; NaN is none.
    `monotone` are the places of features that the answer rises (1) or falls (-1) with. `base` [C, goals] is what is
    said of each cell already, to which a learner adds.
    """

    features: Singles
    labels: Singles
    weights: Singles | None
    steps: Ints
    levels: Mapping[int, int]
    monotone: Mapping[int, int] = field(default_factory=dict)
    base: Doubles | None = None


@dataclass(frozen=True, slots=True)
class Goal:
    """What one output is to be: a quantile of a level, or the mean; of a step, where each is an output of its own. Or
    the score of a class: the logarithm of its probability, but for a constant of all classes (a forest gives the
    probability itself, support vectors a margin); the labels are then the numbers of classes.
    """

    kind: Literal["quantile", "mean", "class"]
    level: float = 0.5
    step: int | None = None
    label: int = 0


@dataclass(frozen=True, slots=True)
class Learning:
    """How to learn: reproducibly from `seed`, on so many `threads`, until no round betters the validation loss by the
    share `least_gain` or the `time.monotonic()` of `deadline` passes. `tell(round, train_loss, validation_loss)` is
    called now and then, and gives the record for the history. `runtime` says whether a GPU was asked for.
    """

    seed: int
    threads: int
    least_gain: float
    deadline: float | None
    tell: Tell
    runtime: Runtime | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Learned:
    """A formula, and what happened. The last records of the history say why each goal's learning `stopped`."""

    formula: Formula
    history: tuple[Mapping[str, Any], ...] = field(default=())


class Learner(Protocol):
    """One library's way to learn a formula; raises `MissingExtraError` where it is not installed."""

    def __call__(
        self, spec: Any, *, learn: Cells, judge: Cells, goals: tuple[Goal, ...], learning: Learning
    ) -> Learned:
        """The formula with one output a goal."""
        ...


def load_learner(model: str) -> Learner:
    """The learner of a model of the catalog."""
    module, _, name = LEARNERS[model].partition(":")
    learner: Learner = getattr(import_module(module), name)
    return learner


def set_goals(spec: Tabular, task: Task) -> tuple[Goal, ...]:
    """What a spec asks of its learner."""
    if task.classifies:
        return tuple(Goal("class", label=label) for label in range(len(task.classes)))
    if not spec.points:
        return tuple(Goal("quantile", level) for level in task.quantiles)
    return (Goal("mean") if spec.loss == "mean" else Goal("quantile", 0.5),)


def measure_loss(goal: Goal, cells: Cells, answer: npt.NDArray[np.floating[Any]]) -> float:
    """The weighted mean of the quantile or the squared loss of answers [C]; of classes of the log loss, for scores of
    all of them [C, K].
    """
    if goal.kind == "class":
        return float(np.average(class_losses(answer, cells.labels), weights=cells.weights))
    errors = cells.labels.astype(np.float64) - answer
    losses = errors**2 if goal.kind == "mean" else np.maximum(goal.level * errors, (goal.level - 1.0) * errors)
    return float(np.average(losses, weights=cells.weights))


def count_classes(goals: Sequence[Goal]) -> int:
    """How many classes there are to tell apart; 0 where goals are numbers."""
    return len(goals) if goals[0].kind == "class" else 0


def widen_scores(answer: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    """Scores of classes [C, K]; a library that gives two classes one score, [C], gives that of the second."""
    return answer if answer.ndim == 2 else np.column_stack([np.zeros_like(answer), answer])


def class_losses(scores: npt.NDArray[np.floating[Any]], labels: Singles) -> Doubles:
    """-log of the probability of each label [C] by scores [C, K]."""
    level = scores - scores.max(axis=1, keepdims=True)
    own = level[np.arange(len(labels)), labels.astype(np.int64)]
    return np.asarray(np.log(np.exp(level).sum(axis=1)) - own, dtype=np.float64)


def make_cells(
    spec: Tabular,
    inputs: TreeInputs,
    *,
    panel: Panel,
    windows: Windows | Cuts,
    most: int,
    seed: int,
    step: int | None = None,
) -> Cells:
    """At most `most` labelled cells of a step (default: of all), spread evenly over windows and steps.

    Raises `FitError` where there is none.
    """
    if step is None:
        place = _spread(len(windows) * windows.horizon, most, seed)
    else:
        place = _spread(len(windows), most, seed) * windows.horizon + step - 1
    used, index = np.unique(place // windows.horizon, return_inverse=True)
    chosen, steps = windows.subset(used), place % windows.horizon + 1
    rows = _label_rows(chosen, index, steps)
    labels = np.where(rows >= 0, chosen.y[np.maximum(rows, 0)], np.nan)
    seen = ~np.isnan(labels)
    if not seen.any():
        raise FitError(
            f"{spec.name}: none of {len(place)} sampled cells has a label. Raise most_rows, or bring fewer gaps."
        )
    chosen, index, steps = narrow_windows(chosen), index[seen], steps[seen]
    units = window_units(chosen, inputs.unit)
    shared = window_features(inputs, chosen, units)[index]
    own = step_features(inputs, chosen, units, index=index, steps=steps)
    start, scale = label_units(inputs, chosen, units, index=index, steps=steps)
    answer = np.clip((labels[seen] - start) / scale, -FARTHEST, FARTHEST).astype(np.float32)
    return Cells(
        np.hstack([shared, own]), answer, _weigh(spec, panel, scale=scale, rows=rows[seen]), steps, inputs.levels
    )


def make_rows(
    spec: Tabular, inputs: TreeInputs, *, panel: Panel, windows: Windows | Cuts, most: int, seed: int
) -> Cells:
    """At most `most` windows whose labels are all there, spread evenly, as rows with labels [C, H]; see `Abreast`.

    Raises `FitError` where there is none.
    """
    horizon, whole = windows.horizon, _find_whole(windows)
    if not whole.size:
        raise FitError(
            f"{spec.name}: none of {len(windows)} windows has a label at each of its {horizon} steps. Bring fewer "
            "gaps, or ask for the strategy step."
        )
    picked = windows.subset(whole[_spread(len(whole), most, seed)])
    index = np.repeat(np.arange(len(picked)), horizon)
    steps = np.tile(np.arange(1, horizon + 1), len(picked))
    chosen = narrow_windows(picked)
    units = window_units(chosen, inputs.unit)
    own = step_features(inputs, chosen, units, index=index, steps=steps).reshape(len(chosen), -1)
    start, scale = label_units(inputs, chosen, units, index=index, steps=steps)
    answer = np.clip((chosen.labels().reshape(-1) - start) / scale, -FARTHEST, FARTHEST).astype(np.float32)
    weights = _weigh(spec, panel, scale=scale, rows=picked.rows[index] + steps)
    return Cells(
        np.hstack([window_features(inputs, chosen, units), own]),
        answer.reshape(-1, horizon),
        None if weights is None else weights.reshape(-1, horizon).mean(axis=1),
        np.ones(len(chosen), dtype=np.int64),
        inputs.levels,
    )


def _find_whole(windows: Windows | Cuts) -> Ints:
    """The numbers of windows whose labels are all there; block by block, for labels of all would fill the memory."""
    parts, count = [], max(1, BLOCK // windows.horizon)
    for start in range(0, len(windows), count):
        numbers = np.arange(start, min(start + count, len(windows)))
        parts.append(numbers[~np.isnan(windows.subset(numbers).labels()).any(axis=1)])
    return np.concatenate(parts)


def _spread(total: int, most: int, seed: int) -> Ints:
    """At most `most` of `total` places, ascending: one at random from each of as many equal stretches."""
    if total <= most:
        return np.arange(total)
    shift = np.random.default_rng(seed).random(most)
    return np.asarray(np.minimum((np.arange(most) + shift) * (total / most), total - 1), dtype=np.int64)


def _label_rows(windows: Windows, index: Ints, steps: Ints) -> Ints:
    """The flat rows of labels; -1 beyond the series."""
    rows = windows.rows[index] + steps
    return np.where(rows < windows.offsets[windows.series[index] + 1], rows, -1)


def _weigh(spec: Tabular, panel: Panel, *, scale: Doubles, rows: Ints) -> Singles | None:
    """Weights [C] whose mean is 1, so that options in numbers of cells keep their meaning."""
    weights = np.ones(len(rows))
    if spec.weigh == "target":  # an error of one unit is `scale` of the target; its square that squared
        weights *= scale**2 if spec.loss == "mean" else scale
    if spec.weight:
        given = panel.values(spec.weight)[rows]
        if not (np.isfinite(given).all() and (given >= 0).all() and given.any()):
            raise ConfigError(
                f"{spec.name}: the weights in '{spec.weight}' are numbers of 0 or more in every row with a label, and "
                f"not all 0; the least is {np.min(given):g}. Fill the column, or leave weight out."
            )
        weights *= given
    if spec.weigh == "window" and not spec.weight:
        return None
    even: Singles = (weights / weights.mean()).astype(np.float32)
    return even
