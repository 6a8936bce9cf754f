"""The compiled walk through a forest. Imported when first used, because numba takes 0.4 s."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

BLOCK = 256  # rows that pass one tree together: the tree stays in the cache


def _walk(inputs: Any, nodes: Any, values: Any, roots: Any, outputs: Any, width: int) -> Any:
    feature, threshold, left, right, absent_left = nodes
    out = np.zeros((len(inputs), width))
    for start in range(0, len(inputs), BLOCK):
        for tree in range(len(roots)):
            for row in range(start, min(start + BLOCK, len(inputs))):
                node = roots[tree]
                while feature[node] >= 0:
                    value = inputs[row, feature[node]]
                    goes_left = absent_left[node] if np.isnan(value) else value <= threshold[node]
                    node = left[node] if goes_left else right[node]
                out[row, outputs[tree]] += values[node]
    return out


walk = njit(cache=True, nogil=True)(_walk)
