"""The elastic net learned by scikit-learn, its penalty chosen on validation cells, and given back as arrays.

C cells, F features.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.models.line import REACH, Line
from tidewright.models.specs.regression import ElasticNet
from tidewright.optional import require
from tidewright.training.cells import Cells, Goal, Learned, Learning, count_classes
from tidewright.training.choose_penalty import choose_penalty
from tidewright.training.learn_logistic import learn_logistic
from tidewright.training.learn_svr import measure_columns

Doubles = npt.NDArray[np.float64]
MOST_PASSES = 2_000  # over the coordinates


def learn_elastic_net(
    spec: ElasticNet, *, learn: Cells, judge: Cells, goals: tuple[Goal, ...], learning: Learning
) -> Learned:
    """See `Learner`: one line a penalty, the largest first, the best one on validation. Losses are squared errors.

    The history says which penalties were not solved to the end in so many passes.
    """
    require("sklearn.linear_model", extra="forests", purpose="the model elastic_net")
    centre, scale = measure_columns(learn.features)
    rows = np.clip(np.nan_to_num((learn.features - centre) / scale, nan=0.0), -REACH, REACH)
    if count_classes(goals):
        return learn_logistic(spec, rows, learn=learn, judge=judge, goals=goals, learning=learning)
    labels = learn.labels.astype(np.float64)
    level, spread = float(np.average(labels, weights=learn.weights)), float(labels.std()) or 1.0

    def solve(penalty: float) -> tuple[Line, bool]:
        weights, bias, solved = _solve(spec, rows, (labels - level) / spread, weights=learn.weights, penalty=penalty)
        return Line(weights[:, None] * spread, np.array([bias * spread + level]), centre, scale), solved

    def measure(line: Line) -> tuple[float, float]:
        return _mean_square(line, learn), _mean_square(line, judge)

    return choose_penalty(spec.penalties, solve, judge=measure, goal="mean", cells=len(labels), learning=learning)


def _solve(
    spec: ElasticNet, rows: Doubles, labels: Doubles, *, weights: npt.NDArray[np.float32] | None, penalty: float
) -> tuple[Doubles, float, bool]:
    """Weights [F] and bias for a penalty, and whether they are solved to the end."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import ElasticNet as Net
    from sklearn.linear_model import Ridge

    model: Any = Net(alpha=penalty, l1_ratio=spec.l1_share, precompute=True, max_iter=MOST_PASSES, tol=1e-5)
    if spec.l1_share == 0.0:  # the same objective, which coordinate descent is slow at
        model = Ridge(alpha=penalty * len(labels))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(rows, labels, sample_weight=weights)
    return model.coef_.astype(np.float64), float(model.intercept_), not heard


def _mean_square(line: Line, cells: Cells) -> float:
    errors = line.predict(cells.features, width=1)[:, 0] - cells.labels
    return float(np.average(errors**2, weights=cells.weights))
