"""The elastic net of classes: multinomial logistic regression by scikit-learn, given back as arrays.

C cells, F features, K classes.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.models.line import Line
from tidewright.models.specs.regression import ElasticNet
from tidewright.optional import require
from tidewright.training.cells import Cells, Goal, Learned, Learning, count_classes, measure_loss
from tidewright.training.choose_penalty import choose_penalty
from tidewright.training.learn_svr import measure_columns

Doubles = npt.NDArray[np.float64]
MOST_PASSES = 100


def learn_logistic(
    spec: ElasticNet, rows: Doubles, *, learn: Cells, judge: Cells, goals: tuple[Goal, ...], learning: Learning
) -> Learned:
    """One line a penalty and class, the largest penalty first, the best one on validation; losses are log losses.

    `rows` [C, F] are the features that are learned from in units of their deviation, 0 where one is missing. A penalty
    is in units of the mean log loss.
    """
    linear = require("sklearn.linear_model", extra="forests", purpose="the model elastic_net")
    classes, units = count_classes(goals), measure_columns(learn.features)
    solver, tolerance = ("lbfgs", 1e-5) if spec.l1_share == 0.0 else ("saga", 1e-3)
    model = linear.LogisticRegression(
        l1_ratio=spec.l1_share, solver=solver, tol=tolerance, max_iter=MOST_PASSES, warm_start=True,
        random_state=learning.seed,
    )  # fmt: skip

    def solve(penalty: float) -> tuple[Line, bool]:
        solved = _solve(model.set_params(C=1.0 / (len(rows) * penalty)), rows, learn)
        return _read_line(model, classes, units), solved

    def measure(line: Line) -> tuple[float, float]:
        trained, judged = (
            measure_loss(goals[0], one, line.predict(one.features, width=classes)) for one in (learn, judge)
        )
        return trained, judged

    return choose_penalty(spec.penalties, solve, judge=measure, goal="class", cells=len(rows), learning=learning)


def _solve(model: Any, rows: Doubles, learn: Cells) -> bool:
    """Fits the model from where it is; whether it is solved to the end."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(rows, learn.labels.astype(np.int64), sample_weight=learn.weights)
    return not heard


def _read_line(model: Any, classes: int, units: tuple[Doubles, Doubles]) -> Line:
    """The scores of all classes; of two scikit-learn keeps that of the second alone."""
    first = classes - len(model.coef_)
    weights, bias = np.zeros((len(units[0]), classes)), np.zeros(classes)
    weights[:, first:], bias[first:] = model.coef_.T, model.intercept_
    return Line(weights, bias, *units)
