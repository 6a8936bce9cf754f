"""The compiled loops of `numerics`, for arrays [N] of float64 in C order: anything else is a TypeError.

Imported when first used, because numba takes 0.4 s.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import float64, njit

_SUMS = {"reassoc", "nsz", "contract"}  # sums in any order: several values are added at once; NaN stays NaN


def _softmax(x):  # type: ignore[no-untyped-def]
    most = x[0]
    for i in range(len(x)):
        most = max(most, x[i])
    out = np.empty_like(x)
    for i in range(len(x)):
        out[i] = math.exp(x[i] - most)
    out /= out.sum()
    return out


def _standardise(x):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(len(x)):
        total += x[i]
    mean, squares = total / len(x), 0.0
    for i in range(len(x)):
        squares += (x[i] - mean) ** 2
    scale = 1.0 / math.sqrt(squares / len(x))
    out = np.empty_like(x)
    for i in range(len(x)):
        out[i] = (x[i] - mean) * scale
    return out


def _dot(a, b):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


def _distance(a, b):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(len(a)):
        total += (a[i] - b[i]) ** 2
    return math.sqrt(total)


_VECTOR = float64[::1]


def _compile(function: Any, signature: Any) -> Any:
    return njit(signature, cache=True, nogil=True, error_model="numpy", fastmath=_SUMS)(function)


softmax = _compile(_softmax, _VECTOR(_VECTOR))
standardise = _compile(_standardise, _VECTOR(_VECTOR))
dot = _compile(_dot, float64(_VECTOR, _VECTOR))
distance = _compile(_distance, float64(_VECTOR, _VECTOR))
