"""The compiled sums of machines and lines. Imported when first used, because numba takes 0.4 s.

Each row is summed by itself, always in the same order: alone it has the bits that it has among others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

BLOCK = 64  # vectors


def _respond(inputs: Any, units: Any, vectors: Any, weights: Any, bias: Any, gamma: float) -> Any:
    """A block of vectors lies side by side, so that its distances are summed together."""
    out = np.empty((len(inputs), len(bias)))
    out[:] = bias
    block, apart = np.zeros((vectors.shape[1], BLOCK)), np.empty(BLOCK)
    for first in range(0, len(vectors), BLOCK):
        here = min(BLOCK, len(vectors) - first)
        block[:, :here] = vectors[first : first + here].T
        for c in range(len(inputs)):
            measure(inputs[c], units, block, apart)
            for v in range(here):
                near = np.exp(-gamma * apart[v])
                for q in range(len(bias)):
                    out[c, q] += weights[first + v, q] * near
    return out


def _measure(inputs: Any, units: Any, block: Any, apart: Any) -> None:
    """The squared distances of a row from a block of vectors."""
    centre, scale = units
    apart[:] = 0.0
    for f in range(len(centre)):
        value = inputs[f]
        z = 0.0 if np.isnan(value) else (value - centre[f]) / scale[f]
        for v in range(BLOCK):
            apart[v] += (z - block[f, v]) ** 2


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


measure = njit(cache=True, nogil=True)(_measure)
respond = njit(cache=True, nogil=True)(_respond)
add_up = njit(cache=True, nogil=True)(_add_up)
