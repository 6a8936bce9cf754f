"""Support vector regression and classification learned by scikit-learn, and given back as arrays.

C rows, F features, K classes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tidewright.models.machine import Machine
from tidewright.models.specs.regression import SVR
from tidewright.optional import require
from tidewright.training.cells import Cells, Goal, Learned, Learning, count_classes, measure_loss
from tidewright.training.from_sklearn import read_machine, read_margins

Singles = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
FLAT = 1e-6  # a deviation below this share of the mean is float32 noise


def learn_svr(spec: SVR, *, learn: Cells, judge: Cells, goals: tuple[Goal, ...], learning: Learning) -> Learned:
    """See `Learner`. It is solved in one go: a deadline does not end it. Losses are mean absolute errors; of classes
    log losses of the margins as they are, before they are calibrated.
    """
    classes = count_classes(goals)
    if classes:
        return _learn_classes(spec, learn=learn, judge=judge, goals=goals, learning=learning)
    assert len(goals) == 1
    machine = fit_machine(
        learn.features,
        learn.labels.astype(np.float64),
        weights=learn.weights,
        cost=spec.cost,
        tube=spec.tube,
        width=spec.width,
        purpose="the model svr",
    )
    losses = [_mean_error(machine, cells) for cells in (learn, judge)]
    told = {"quantile": 0.5, "cells": len(learn.labels), "vectors": len(machine.vectors), "validation_loss": losses[1]}
    return Learned(machine, (learning.tell(1, *losses), {**told, "stopped": "solved"}))


def fit_machine(
    inputs: Singles,
    goal: Doubles,
    *,
    cost: float,
    tube: float,
    width: float,
    purpose: str,
    weights: Singles | None = None,
) -> Machine:
    """The machine of rows [C, F] and labels [C]; `purpose` is what needs scikit-learn, where it is missing."""
    svm = require("sklearn.svm", extra="forests", purpose=purpose)
    centre, scale = measure_columns(inputs)
    level, spread = float(goal.mean()), float(goal.std()) or 1.0
    rows = np.nan_to_num((inputs - centre) / scale, nan=0.0)
    model = svm.SVR(kernel="rbf", C=cost, epsilon=tube, gamma=width / inputs.shape[1])
    model.fit(rows, (goal - level) / spread, sample_weight=weights)
    return read_machine(model, centre=centre, scale=scale, level=level, spread=spread)


def _learn_classes(spec: SVR, *, learn: Cells, judge: Cells, goals: tuple[Goal, ...], learning: Learning) -> Learned:
    machine = fit_margins(
        learn.features,
        learn.labels.astype(np.int64),
        classes=len(goals),
        weights=learn.weights,
        cost=spec.cost,
        width=spec.width,
    )
    losses = [
        measure_loss(goals[0], cells, machine.predict(cells.features, width=len(goals))) for cells in (learn, judge)
    ]
    told = {"goal": "class", "cells": len(learn.labels), "vectors": len(machine.vectors), "validation_loss": losses[1]}
    return Learned(machine, (learning.tell(1, *losses), {**told, "stopped": "solved"}))


def fit_margins(
    inputs: Singles,
    labels: npt.NDArray[np.int64],
    *,
    classes: int,
    cost: float,
    width: float,
    weights: Singles | None = None,
) -> Machine:
    """The machine of rows [C, F] whose outputs [K] are margins: of each class against the rest, above 0 on its side.

    Each is solved by itself (Cortes and Vapnik 1995); the vectors that any of them keeps are kept once.
    """
    svm = require("sklearn.svm", extra="forests", purpose="the model svr")
    centre, scale = measure_columns(inputs)
    rows = np.nan_to_num((inputs - centre) / scale, nan=0.0)
    solved = []
    for label in range(classes) if classes > 2 else (1,):
        model = svm.SVC(kernel="rbf", C=cost, gamma=width / inputs.shape[1])
        solved.append(model.fit(rows, labels == label, sample_weight=weights))
    return read_margins(solved, rows, centre=centre, scale=scale)


def measure_columns(inputs: Singles) -> tuple[Doubles, Doubles]:
    """The mean and the deviation [F] of what is there in each column; 0 and 1 for one that is empty, and a deviation of
    1 for one that does not move.
    """
    seen = np.isfinite(inputs)
    count = np.maximum(seen.sum(axis=0), 1)
    centre = np.where(seen, inputs, 0.0).sum(axis=0, dtype=np.float64) / count
    apart = np.where(seen, inputs - centre, 0.0)
    scale = np.sqrt((apart**2).sum(axis=0) / count)
    return centre, np.where(scale > FLAT * np.abs(centre), scale, 1.0)


def _mean_error(machine: Machine, cells: Cells) -> float:
    errors = np.abs(machine.predict(cells.features, width=1)[:, 0] - cells.labels)
    return float(np.average(errors, weights=cells.weights))
