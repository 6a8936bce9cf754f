"""`Logged`: a fitted model that sees and answers the logarithm of the target, as one on the original scale.

N windows, L lookback, H horizon, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.task import Task
from tidewright.features.view import View
from tidewright.features.windows import Doubles, Windows
from tidewright.models.ensemble import sees_any
from tidewright.models.fitted import Fitted
from tidewright.models.spec import ModelSpec

MOST = 88.0  # the largest logarithm that is answered: its exponential is still a float32


@dataclass(frozen=True, eq=False, slots=True)
class Logged:
    """The model `inner`, which learned from log(y + offset), given windows of y and answering quantiles of y.

    Its view says so by `log`, which is the offset. A value at or below -offset counts as missing, and a window without
    any other gets no answer (NaN). Quantiles keep their order; a mean of logarithms is no mean of y.
    """

    inner: Fitted
    offset: float

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
        return replace(self.inner.view, log=self.offset)

    @property
    def history(self) -> tuple[Mapping[str, Any], ...]:
        """See `Fitted.history`: the inner model's own, with losses of logarithms."""
        return self.inner.history

    def predict(self, windows: Windows) -> Doubles:
        """See `Fitted.predict`."""
        logs = self.log_windows(windows)
        return self.restore(self.inner.predict(logs), seen=sees_any(logs))

    def restore(self, answer: Doubles, *, seen: npt.NDArray[np.bool_]) -> Doubles:
        """The quantiles [N, H, Q] of y for these of its logarithms; NaN in windows [N] where none was `seen`."""
        return np.where(seen[:, None, None], np.exp(np.minimum(answer, MOST)) - self.offset, np.nan)

    def log_windows(self, windows: Windows) -> Windows:
        """The same windows as the inner model sees them."""
        return replace(windows, y=take_logs(windows.y, self.offset))

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """See `Fitted.tensors`: the inner model's."""
        return self.inner.tensors()


def take_logs(values: Doubles, offset: float) -> Doubles:
    """log(y + offset) as a model gets it: of y rounded to float32, and rounded so itself; NaN for y <= -offset.

    >>> take_logs(np.array([0.0, -1.0, np.nan]), 1.0)
    array([ 0., nan, nan])
    """
    moved = values.astype(np.float32).astype(np.float64) + offset
    there = moved > 0.0
    logs = np.log(np.where(there, moved, 1.0))
    return np.where(there, logs.astype(np.float32), np.nan).astype(np.float64)


def plain(fitted: Fitted) -> Fitted:
    """The model itself, which may see and answer logarithms."""
    return fitted.inner if isinstance(fitted, Logged) else fitted
