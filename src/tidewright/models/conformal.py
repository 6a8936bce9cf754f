"""`Conformal`: a fitted model whose quantiles were moved so that they cover what they say.

N windows, H horizon, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from tidewright.data.task import Task
from tidewright.errors import BundleError
from tidewright.features.view import View
from tidewright.features.windows import Doubles, Windows
from tidewright.models.calibrated import Calibrated
from tidewright.models.fitted import Fitted
from tidewright.models.spec import ModelSpec

Method = Literal["split", "cqr"]
Unit = Literal["width", "absolute"]
MARK = "conformal."  # a tensor whose name begins so says that, and how, a model was made conformal


@dataclass(frozen=True, eq=False, slots=True)
class Conformal:
    """The model `inner` with `offsets` [H, Q] added to its quantiles ("cqr") or to its median ("split").

    They count in the distance between the outermost quantiles of the same window and step ("width"), so that they fit
    series of any size, or in the target's own unit ("absolute"). The median is the inner model's own.
    """

    inner: Fitted
    offsets: Doubles
    method: Method
    unit: Unit

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
        """See `Fitted.history`: the inner model's own."""
        return self.inner.history

    def predict(self, windows: Windows) -> Doubles:
        """See `Fitted.predict`."""
        return self.move(self.inner.predict(windows))

    def move(self, quantiles: Doubles) -> Doubles:
        """The quantiles [N, H, Q] that this model answers where the inner one says these."""
        base = start_from(quantiles, method=self.method, median=self.task.median)
        moved = base + self.offsets * measure_unit(quantiles, self.unit)[:, :, None]
        return put_in_order(moved, median=self.task.median)

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """See `Fitted.tensors`: the inner model's, and the offsets under a name that says what they are."""
        return {**self.inner.tensors(), f"{MARK}{self.method}.{self.unit}": self.offsets}


def start_from(quantiles: Doubles, *, method: Method, median: int) -> Doubles:
    """What offsets are added to: the quantiles [N, H, Q] themselves, or the median [N, H, 1]."""
    return quantiles if method == "cqr" else quantiles[:, :, median : median + 1]


def measure_unit(quantiles: Doubles, unit: Unit) -> Doubles:
    """What an offset of 1 is worth in each cell [N, H]."""
    return np.asarray(quantiles[:, :, -1] - quantiles[:, :, 0]) if unit == "width" else np.ones(quantiles.shape[:2])


def put_in_order(quantiles: Doubles, *, median: int) -> Doubles:
    """Quantiles that ascend: no upper one below one nearer to the median, no lower one above; intervals only widen.

    >>> put_in_order(np.array([[[3.0, 2.0, 1.0, 5.0]]]), median=1)
    array([[[2., 2., 2., 5.]]])
    """
    upper = np.maximum.accumulate(quantiles[:, :, median:], axis=2)
    lower = np.minimum.accumulate(quantiles[:, :, median::-1], axis=2)[:, :, ::-1]
    return np.concatenate([lower[:, :, :-1], upper], axis=2)


def innermost(fitted: Fitted) -> Fitted:
    """The model itself, out of what was put around it."""
    return fitted.inner if isinstance(fitted, (Calibrated, Conformal)) else fitted


def read_mark(tensors: Mapping[str, npt.NDArray[Any]], task: Task) -> tuple[str, Method, Unit] | None:
    """The name, method and unit of the offsets among tensors; None where there are none. Raises `BundleError`."""
    marks = [name for name in tensors if name.startswith(MARK)]
    if not marks:
        return None
    wanted = (task.horizon, len(task.quantiles))
    for method in get_args(Method):
        for unit in get_args(Unit):
            name, found = f"{MARK}{method}.{unit}", tensors[marks[0]]
            if marks == [name] and found.shape == wanted and found.dtype == np.float64 and np.isfinite(found).all():
                return name, method, unit
    raise BundleError(
        f"the conformal offsets {', '.join(marks)} should be one finite float64 array of the shape {wanted}. "
        "Export the model again."
    )
