"""How a network on plain arrays is judged: squared error, accuracy, and what its positions would have earned.

N rows in the order of time, C outputs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from tidewright.errors import DataError
from tidewright.metrics.returns import sharpe, sortino
from tidewright.training.sharpe import COST_BPS, earn

Floats = npt.NDArray[np.float64]

GREATER_IS_BETTER = {"loss": False, "accuracy": True, "sharpe": True, "sortino": True}


def judge_arrays(
    labels: npt.ArrayLike, answers: npt.ArrayLike, *, cost_bps: float = COST_BPS, periods_per_year: float = 1.0
) -> dict[str, float]:
    """Every score that the labels [N, C] have a meaning for, of answers [N, C] on their scale.

    `loss` is the mean squared error. `accuracy` is the share of labels whose class is met: labels of 0 and 1 are
    classes, and an answer of 0.5 or more says 1; other labels are classes by their sign, those of 0 left out (NaN where
    nothing is left). `sharpe` and `sortino` take a label for the simple return that is earned from the fill, one row
    after the decision, on: the sign of an answer is its position, an equal part of the equity each, and what is traded
    costs `cost_bps` basis points; per period unless `periods_per_year` annualises them. They are left out where a label
    is -1 or less, which no simple return is but a total loss, or where the labels are classes.

    >>> found = judge_arrays([[0.01], [0.03], [-0.01], [0.02]], [[1.0], [2.0], [1.0], [0.1]], cost_bps=0.0)
    >>> round(found["sharpe"], 6), found["accuracy"], round(found["loss"], 4)
    (0.731925, 0.75, 1.4719)
    """
    actual, found = np.asarray(labels, dtype=np.float64), np.asarray(answers, dtype=np.float64)
    if actual.shape != found.shape or actual.ndim != 2:
        raise DataError(f"labels {actual.shape} and answers {found.shape} are both [N, C]; bring the same shape.")
    scores = {"loss": float(np.square(actual - found).mean()), "accuracy": _accuracy(actual, found)}
    if _is_class(actual) or actual.min() <= -1.0:
        return scores
    positions, earned = torch.from_numpy(np.sign(found)), torch.from_numpy(actual)
    returns = earn(positions, earned, rate=cost_bps / 10_000.0).numpy()
    scores["sharpe"] = sharpe(returns, periods_per_year=periods_per_year)
    scores["sortino"] = sortino(returns, periods_per_year=periods_per_year)
    return scores


def badness(scores: Mapping[str, float], metric: str) -> float:
    """A score to be made small. Raises `DataError` where the labels have no such score."""
    if metric not in scores:
        raise DataError(
            f"{metric} takes labels for simple returns, above -1 and not only 0 and 1; these are none. Bring returns, "
            "or take the metric loss or accuracy."
        )
    return -scores[metric] if GREATER_IS_BETTER[metric] else scores[metric]


def _is_class(labels: Floats) -> bool:
    return bool(np.isin(labels, (0.0, 1.0)).all())


def _accuracy(actual: Floats, found: Floats) -> float:
    if _is_class(actual):
        return float(((found >= 0.5) == (actual == 1.0)).mean())
    there = actual != 0.0
    return float((np.sign(found) == np.sign(actual))[there].mean()) if there.any() else float("nan")
