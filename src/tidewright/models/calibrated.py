"""Probabilities of classes that mean what they say: a fitted model, and what its probabilities are made with.

N windows, H horizon, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.task import Task
from tidewright.errors import BundleError
from tidewright.features.view import View
from tidewright.features.windows import Doubles, Windows
from tidewright.models.fitted import Fitted
from tidewright.models.spec import ModelSpec

MARK = "calibration"  # the tensor that says that, and how, a model was calibrated
RAREST = 1e-6  # the probability that a smaller one counts as, before its logarithm is taken


@dataclass(frozen=True, slots=True)
class Scaling:
    """Probabilities [..., K] made softmax(slope * log p + shifts): sharper or flatter, and some classes more likely.

    With shifts of 0 it is a temperature of 1 / slope (Guo, Pleiss, Sun and Weinberger 2017), else temperature with
    bias (Alexandari, Kundaje and Shrikumar 2020); of two classes it is Platt's (1999) curve of the second's logit.
    The first shift is 0.

    >>> Scaling(1.0, (0.0, 0.0)).apply([0.2, 0.8])
    array([0.2, 0.8])
    """

    slope: float
    shifts: tuple[float, ...]

    def apply(self, probability: npt.ArrayLike) -> Doubles:
        """The calibrated probabilities, of the same shape."""
        held = np.maximum(np.asarray(probability, dtype=np.float64), RAREST)
        return softmax(self.slope * np.log(held) + np.array(self.shifts))


@dataclass(frozen=True, eq=False, slots=True)
class Calibrated:
    """The model `inner` with its probabilities calibrated by `scaling`; `note` is how that was found."""

    inner: Fitted
    scaling: Scaling
    note: Mapping[str, Any] = field(default_factory=dict)

    @property
    def spec(self) -> ModelSpec:
        """See `Fitted.spec`."""
        return self.inner.spec

    @property
    def task(self) -> Task:
        """See `Fitted.task`."""
        return self.inner.task

    @property
    def view(self) -> View:
        """See `Fitted.view`."""
        return self.inner.view

    @property
    def history(self) -> tuple[Mapping[str, Any], ...]:
        """See `Fitted.history`: the inner model's own, after how it was calibrated."""
        return (self.note, *self.inner.history) if self.note else self.inner.history

    def predict(self, windows: Windows) -> Doubles:
        """The probability of each class [N, H, K]."""
        return self.scaling.apply(self.inner.predict(windows))

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """See `Fitted.tensors`: the inner model's, and slope and shifts [1 + K]."""
        return {**self.inner.tensors(), MARK: np.array([self.scaling.slope, *self.scaling.shifts])}


def softmax(scores: Doubles) -> Doubles:
    """exp(scores) over their sum, along the last axis."""
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def read_scaling(tensors: Mapping[str, npt.NDArray[Any]], task: Task) -> Scaling | None:
    """The scaling among tensors; None where there is none. Raises `BundleError`."""
    found = tensors.get(MARK)
    if found is None:
        return None
    wanted = (1 + len(task.classes),)
    if not task.classifies or found.shape != wanted or found.dtype != np.float64 or not np.isfinite(found).all():
        raise BundleError(
            f"'{MARK}' should be finite float64 of the shape {wanted}, in a model of classes. Export anew."
        )
    return Scaling(float(found[0]), tuple(found[1:].tolist()))
