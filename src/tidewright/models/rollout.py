"""A forecast of one step that is fed its own point, for models of the strategy "recursive".

N windows, L lookback, H horizon.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tidewright.features.separate import to_windows
from tidewright.features.windows import Windows
from tidewright.models.formula import Formula
from tidewright.models.tree_inputs import TreeInputs, label_units, step_features, window_features, window_units


def roll_out(inputs: TreeInputs, formula: Formula, windows: Windows) -> npt.NDArray[np.float64]:
    """The points [N, H] on the original scale; each is seen, in float32, by the steps after it.

    Every step sees a window of its own, which ends where the step before it does, and counts in that window's units.
    """
    alone = to_windows(windows.batch(), horizon=windows.horizon)
    index, ones = np.arange(len(windows)), np.ones(len(windows), dtype=np.int64)
    points = np.empty((len(windows), windows.horizon))
    y = alone.y.copy()
    for step in range(windows.horizon):
        now = replace(alone, y=y, rows=alone.rows + step, horizon=1)
        units = window_units(now, inputs.unit)
        shared = window_features(inputs, now, units)
        features = np.hstack([shared, step_features(inputs, now, units, index=index, steps=ones)])
        start, scale = label_units(inputs, now, units, index=index, steps=ones)
        points[:, step] = start + scale * formula.predict(features, width=1)[:, 0]
        y[now.rows + 1] = points[:, step].astype(np.float32)
    return points
