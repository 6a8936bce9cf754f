"""Random forests and extra trees learned by scikit-learn, a few trees at a time, and given back as arrays.

C cells, F features, Q goals. A leaf holds the goals of all cells that reach it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.models.calibrated import RAREST
from tidewright.models.specs.forests import ExtraTrees, RandomForest
from tidewright.optional import require
from tidewright.training.cells import Cells, Goal, Learned, Learning, count_classes, measure_loss
from tidewright.training.from_sklearn import read_trees

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
EVERY = 10  # trees between two events, and two looks at the deadline


def learn_forest(
    spec: RandomForest | ExtraTrees, *, learn: Cells, judge: Cells, goals: tuple[Goal, ...], learning: Learning
) -> Learned:
    """See `Learner`. The same seed gives the same trees, whatever the threads; the first of them are those of a smaller
    forest. More trees do no harm, so validation ends nothing, and `least_gain` has no say.
    """
    model, learn = _start(spec, goals, learning), _weighty(learn)
    labels = learn.labels[:, 0] if learn.labels.shape[1:] == (1,) else learn.labels  # scikit-learn has it so
    grown = [_Grown(cells, goals) for cells in (learn, judge)]
    values: list[Doubles] = []
    history: list[Mapping[str, Any]] = []
    late = False
    while len(values) < spec.trees and not late:
        model.set_params(n_estimators=min(len(values) + EVERY, spec.trees))
        model.fit(learn.features, labels, sample_weight=learn.weights)
        for tree in model.estimators_[len(values) :]:
            values.append(fill_leaves(tree, learn, goals))
            for side in grown:
                side.add(tree, values[-1])
        losses = [side.losses() for side in grown]
        history.append(learning.tell(len(values), float(np.mean(losses[0])), float(np.mean(losses[1]))))
        late = learning.deadline is not None and time.monotonic() > learning.deadline
    reason = "all trees" if len(values) == spec.trees else "deadline"
    told = [
        {**_name(goal), "trees": len(values), "validation_loss": loss, "stopped": reason}
        for goal, loss in zip(goals[:1] if count_classes(goals) else goals, losses[1], strict=True)
    ]
    return Learned(read_trees(model.estimators_, values), (*history, *told))


def _start(spec: RandomForest | ExtraTrees, goals: Sequence[Goal], learning: Learning) -> Any:
    ensemble = require("sklearn.ensemble", extra="forests", purpose=f"the model {spec.name}")
    options = {
        "n_estimators": 0,
        "warm_start": True,
        "min_samples_leaf": spec.min_leaf,
        "max_features": spec.feature_share,
        "random_state": learning.seed,
        "n_jobs": learning.threads,
    }
    kind = "Classifier" if count_classes(goals) else "Regressor"
    if isinstance(spec, RandomForest):
        return getattr(ensemble, f"RandomForest{kind}")(**options, max_samples=spec.row_share)
    return getattr(ensemble, f"ExtraTrees{kind}")(**options)


def _weighty(cells: Cells) -> Cells:
    """The cells that weigh something: a leaf of others would have no answer."""
    if cells.weights is None or (cells.weights > 0).all():
        return cells
    kept = cells.weights > 0
    return replace(
        cells,
        features=cells.features[kept],
        labels=cells.labels[kept],
        weights=cells.weights[kept],
        steps=cells.steps[kept],
    )


def fill_leaves(tree: Any, cells: Cells, goals: Sequence[Goal]) -> Doubles:
    """What each node of a tree says of each goal [nodes, Q], by the cells that reach it; 0 where none does.
    Where labels are a table, each column has its own goal.

    A quantile is taken between the middles of the cells' weights (Hazen), and is the end's label beyond them.
    """
    if cells.labels.ndim == 2:
        pairs = zip(cells.labels.T, goals, strict=True)
        return np.hstack([fill_leaves(tree, replace(cells, labels=column), [goal]) for column, goal in pairs])
    leaf = tree.tree_.apply(cells.features)
    order = np.lexsort((cells.labels, leaf))
    leaf, labels = leaf[order], cells.labels[order].astype(np.float64)
    weights = np.ones(len(labels)) if cells.weights is None else cells.weights[order].astype(np.float64)
    first = np.flatnonzero(np.diff(leaf, prepend=-1))
    last = np.append(first[1:], len(leaf)) - 1
    run = np.cumsum(weights)
    before = np.where(first > 0, run[first - 1], 0.0)
    total = run[last] - before
    out = np.zeros((tree.tree_.node_count, len(goals)))
    for place, goal in enumerate(goals):
        if goal.kind == "class":
            found = np.add.reduceat(weights * (labels == goal.label), first) / total
        elif goal.kind == "mean":
            found = np.add.reduceat(weights * labels, first) / total
        else:
            found = _interpolate(labels, run - 0.5 * weights, before + goal.level * total, first=first, last=last)
        out[leaf[first], place] = found
    return out


def _interpolate(labels: Doubles, middles: Doubles, wanted: Doubles, *, first: Ints, last: Ints) -> Doubles:
    """The labels at places among the middles of weights, each within its own stretch first..last."""
    above = np.clip(np.searchsorted(middles, wanted), first, last)
    below = np.maximum(above - 1, first)
    span = middles[above] - middles[below]
    share = np.clip((wanted - middles[below]) / np.where(span > 0, span, 1.0), 0.0, 1.0)
    return np.where(span > 0, labels[below] + share * (labels[above] - labels[below]), labels[above])


def _name(goal: Goal) -> dict[str, Any]:
    name = {"quantile": goal.level} if goal.kind == "quantile" else {"goal": goal.kind}
    return name if goal.step is None else {**name, "step": goal.step}


@dataclass(eq=False, slots=True)
class _Grown:
    """What the trees so far say of some cells, summed."""

    cells: Cells
    goals: tuple[Goal, ...]
    count: int = 0
    total: Doubles = field(init=False)

    def __post_init__(self) -> None:
        self.total = np.zeros((len(self.cells.labels), len(self.goals)))

    def add(self, tree: Any, values: Doubles) -> None:
        """One more tree's answers."""
        self.total += values[tree.tree_.apply(self.cells.features)]
        self.count += 1

    def losses(self) -> list[float]:
        """The quantile loss, or the squared error, of each goal; of classes the log loss of all."""
        if self.goals[0].kind == "class":
            scores = np.log(np.maximum(self.total / self.count, RAREST))
            return [measure_loss(self.goals[0], self.cells, scores)]
        errors = self.cells.labels.reshape(len(self.total), -1) - self.total / self.count
        found = []
        for place, goal in enumerate(self.goals):
            error = errors[:, place]
            loss = error**2 if goal.kind == "mean" else np.maximum(goal.level * error, (goal.level - 1.0) * error)
            found.append(float(np.average(loss, weights=self.cells.weights)))
        return found
