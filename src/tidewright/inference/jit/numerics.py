"""Compiled forms of a few formulas, each for what it was measured to be faster at than NumPy: see docs/jit.md.

All of them take one-dimensional arrays [N] of float64 in C order by compiled loops, and anything else by NumPy's own
functions, with the same answer: sums are made in another order, so that the last digits may differ. A NaN gives NaN.
Sigmoid and the product of matrices are not among them: `scipy.special.expit` and `numpy.dot` were faster. Importing
this module takes 0.4 s, for numba; the first time on a machine it compiles.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tidewright.inference.jit.numeric_kernels import distance, dot, softmax, standardise

MOST = 256  # values; NumPy's exponential works on several at once and is faster beyond
_Array = np.ndarray
Floats = npt.NDArray[np.floating]


def fast_dot_product(a: Floats, b: Floats, /) -> float:
    """The sum of products of two arrays [N].

    >>> fast_dot_product(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    11.0
    """
    if type(a) is _Array and type(b) is _Array and a.shape == b.shape:  # no subclass: Numba would not see its mask
        try:
            return dot(a, b)  # type: ignore[no-any-return]
        except TypeError:  # another dtype or order
            pass
    return float(np.dot(a, b))


def fast_euclidean_distance(a: Floats, b: Floats, /) -> float:
    """The root of the sum of squared differences of two arrays [N].

    >>> fast_euclidean_distance(np.array([0.0, 0.0]), np.array([3.0, 4.0]))
    5.0
    """
    if type(a) is _Array and type(b) is _Array and a.shape == b.shape:
        try:
            return distance(a, b)  # type: ignore[no-any-return]
        except TypeError:
            pass
    return float(np.linalg.norm(np.subtract(a, b)))


def fast_softmax(x: Floats, /) -> Floats:
    """Shares of one, in proportion to the exponential of each value [N]. It does not overflow.

    >>> fast_softmax(np.array([1000.0, 1000.0]))
    array([0.5, 0.5])
    """
    if type(x) is _Array and 0 < x.size <= MOST:
        try:
            return softmax(x)  # type: ignore[no-any-return]
        except TypeError:
            pass
    shares: Floats = np.exp(x - x.max())
    shares /= shares.sum()
    return shares


def fast_standardise(x: Floats, /) -> Floats:
    """Values [N] less their mean, in units of their standard deviation (ddof 0); NaN where all are the same.

    >>> fast_standardise(np.array([1.0, 3.0]))
    array([-1.,  1.])
    """
    if type(x) is _Array and x.size:
        try:
            return standardise(x)  # type: ignore[no-any-return]
        except TypeError:
            pass
    answer: Floats = (x - x.mean()) / x.std()
    return answer
