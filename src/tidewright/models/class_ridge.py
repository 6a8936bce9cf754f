"""Ridge of classes: a linear map from the classes of a window's rows to a margin of each class at each step.

N windows, L lookback, H horizon, K classes, k columns that tell the class of a row (models/class_inputs).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.task import Task
from tidewright.features.view import View
from tidewright.features.windows import Doubles, Windows
from tidewright.models.calibrated import softmax
from tidewright.models.class_inputs import seen_classes
from tidewright.models.floors import chunks
from tidewright.models.spec import Ridge


@dataclass(frozen=True, eq=False)
class ClassRidge:
    """A fitted ridge: margins are `bias` [H * K] + the told rows of a window times `weights` [L * k, H * K].

    They are least squares' estimates of each class's one or zero; `predict` gives their softmax, which is to be
    calibrated. A row without a class is told by `shares` [k], those of training.
    """

    spec: Ridge
    task: Task
    view: View
    shares: Doubles
    weights: Doubles
    bias: Doubles
    history: tuple[Mapping[str, Any], ...] = field(default=())

    def predict(self, windows: Windows) -> Doubles:
        """The probability of each class [N, H, K]."""
        out = np.empty((len(windows), self.task.horizon, self.task.width))
        for rows in chunks(len(windows), len(self.weights)):
            told = tell_rows(windows.history(rows), self.shares, classes=self.task.width)
            out[rows] = softmax((self.bias + told @ self.weights).reshape(out[rows].shape))
        return out

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """See `Fitted.tensors`."""
        return {"shares": self.shares, "weights": self.weights, "bias": self.bias}


def tell_rows(past: Doubles, shares: Doubles, *, classes: int) -> Doubles:
    """Histories [N, L] as columns [N, L * k] of ones and zeros, the oldest row first; `shares` where one is missing."""
    told = seen_classes(past, classes)
    return np.where(np.isnan(told), np.tile(shares, past.shape[1]), told)
