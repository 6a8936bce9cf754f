"""How far two versions' answers to the same windows lie apart.

N windows, H horizon, Q quantiles.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.task import Task

Floats = npt.NDArray[np.floating[Any]]


def measure_difference(ours: Floats, theirs: Floats, *, task: Task, other: Task) -> tuple[Floats, Floats]:
    """The mean absolute difference of each window [N], as it is and over our spread, from the lowest quantile to the
    highest on average over the horizon; NaN where that is 0, as it is with one quantile alone.

    Other quantiles than ours are compared by their medians; of probabilities the spread is 1.

    >>> ours, theirs = np.array([[[1.0, 2.0, 3.0]]]), np.array([[[1.5, 2.5, 3.5]]])
    >>> measure_difference(ours, theirs, task=Task(1), other=Task(1))
    (array([0.5]), array([0.25]))
    """
    spread = np.ones(len(ours)) if task.classifies else (ours[:, :, -1] - ours[:, :, 0]).mean(axis=1)
    if task.quantiles != other.quantiles:
        ours, theirs = ours[:, :, [task.median]], theirs[:, :, [other.median]]
    absolute = np.abs(ours - theirs).mean(axis=(1, 2))
    return absolute, np.divide(absolute, spread, out=np.full(len(absolute), np.nan), where=spread > 0)
