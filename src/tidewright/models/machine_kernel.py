"""The compiled sums of machines and lines. Imported when first used, because numba takes 0.4 s.

Each row is summed by itself, always in the same order: alone it has the bits that it has among others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


def _respond(inputs: Any, units: Any, vectors: Any, weights: Any, bias: Any, gamma: float) -> Any:
    centre, scale = units
    count, width = len(vectors), len(bias)
    out = np.empty((len(inputs), width))
    row = np.empty(len(centre))
    for c in range(len(inputs)):
        for f in range(len(centre)):
            value = inputs[c, f]
            row[f] = 0.0 if np.isnan(value) else (value - centre[f]) / scale[f]
        out[c] = bias
        for v in range(count):
            apart = 0.0
            for f in range(len(row)):
                apart += (row[f] - vectors[v, f]) ** 2
            near = np.exp(-gamma * apart)
            for q in range(width):
                out[c, q] += weights[v, q] * near
    return out


def _add_up(inputs: Any, units: Any, weights: Any, bias: Any, reach: float) -> Any:
    centre, scale = units
    out = np.empty((len(inputs), len(bias)))
    for c in range(len(inputs)):
        out[c] = bias
        for f in range(len(centre)):
            value = inputs[c, f]
            if not np.isnan(value):
                z = min(max((value - centre[f]) / scale[f], -reach), reach)
                for q in range(len(bias)):
                    out[c, q] += weights[f, q] * z
    return out


respond = njit(cache=True, nogil=True)(_respond)
add_up = njit(cache=True, nogil=True)(_add_up)
