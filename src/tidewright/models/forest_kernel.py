"""The compiled walks through a forest. Imported when first used, because numba takes 0.4 s."""

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
                for column in range(values.shape[1]):
                    out[row, outputs[tree] + column] += values[node, column]
    return out


def _walk_sets(inputs: Any, nodes: Any, values: Any, roots: Any, outputs: Any, width: int) -> Any:
    feature, threshold, left, right, absent_left, sets, members = nodes
    out = np.zeros((len(inputs), width))
    levels = 8 * members.shape[1]
    for start in range(0, len(inputs), BLOCK):
        for tree in range(len(roots)):
            for row in range(start, min(start + BLOCK, len(inputs))):
                node = roots[tree]
                while feature[node] >= 0:
                    value = inputs[row, feature[node]]
                    if np.isnan(value):
                        goes_left = absent_left[node]
                    elif sets[node] < 0:
                        goes_left = value <= threshold[node]
                    else:
                        level = int(value)
                        inside = 0 <= level < levels
                        goes_left = inside and (members[sets[node], level >> 3] >> (level & 7)) & 1 == 1
                    node = left[node] if goes_left else right[node]
                for column in range(values.shape[1]):
                    out[row, outputs[tree] + column] += values[node, column]
    return out


walk = njit(cache=True, nogil=True)(_walk)
walk_sets = njit(cache=True, nogil=True)(_walk_sets)
