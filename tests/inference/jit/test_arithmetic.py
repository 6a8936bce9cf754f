"""Compiled arithmetic gives what Python's and NumPy's numbers give, or raises, and the function itself answers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from tidewright.inference.jit.answers import make_restorer
from tidewright.inference.jit.verdict import compile_form


def work_out_whole(m: int, n: int) -> Any:
    return m + n, m - n, m * n, m // n, m % n, m / n, abs(m), min(m, n), max(m, n), m & n, m | n, m ^ n, m >> 3, -m


def work_out_real(a: float, b: float, m: int) -> Any:
    signs = a + b, a - b, a * b, -a, abs(a), min(a, b), max(a, b), round(a, 2), a < b, a == m, m <= b
    return (*signs, a / b, a // b, a % b, a + m, m - a, a * m, m / b, a**2, abs(a) ** b, math.atan(a), math.floor(a))


def work_out_numpy(c: Any, k: Any, a: float, m: int) -> Any:
    return c + a, c * m, c - k, a - c, k + m, k * k, k - m, -c, abs(c), c > a, k == m, c / a, k // m, k % m, np.sqrt(c)


def sometimes(*special: Any) -> Any:
    return st.sampled_from(special)


REAL = st.floats(-1e3, 1e3) | sometimes(0.5, -0.0, 1.0, -2.5, math.nan, math.inf, 1e16)
WHOLE = st.integers(-50, 50) | st.integers(-(2**31), 2**31) | sometimes(2**62, -(2**62), 2**63 - 1, -1)
EXAMPLES = {
    work_out_whole: (5, 7),
    work_out_real: (2.0, 3.0, 5),
    work_out_numpy: (np.float64(2.5), np.int64(3), 2.0, 5),
}


@pytest.fixture(scope="module")
def compiled() -> dict[Any, Any]:
    return {
        function: (compile_form(function, row).entry, make_restorer(function(*row)))
        for function, row in EXAMPLES.items()
    }


def same(one: Any, other: Any) -> bool:
    """`round(x, 2)` and `x ** 2` differ from Python's by the last digit."""
    close = math.isclose(one, other, rel_tol=1e-14) if isinstance(one, float) else one == other
    return type(one) is type(other) and (close or (math.isnan(one) and math.isnan(other)))


def agree(made: Any, function: Any, row: tuple[Any, ...]) -> None:
    """Python's own answers, item by item, unless the compiled code raised."""
    entry, restore = made[function]
    try:
        found = entry(*row)
    except (ArithmeticError, ValueError):
        reject()
    with np.errstate(all="ignore"):
        expected = function(*row)
    found = restore(found) if restore is not None else found
    assert all(map(same, expected, found)), (expected, found)


@given(WHOLE, WHOLE)
def test_whole_numbers_are_worked_out_as_python_does(compiled: Any, m: int, n: int) -> None:
    agree(compiled, work_out_whole, (m, n))


@given(REAL, REAL, WHOLE)
def test_real_numbers_are_worked_out_as_python_does(compiled: Any, a: float, b: float, m: int) -> None:
    agree(compiled, work_out_real, (a, b, m))


@given(REAL, WHOLE, REAL, WHOLE)
def test_numbers_of_numpy_are_worked_out_as_numpy_does(compiled: Any, c: float, k: int, a: float, m: int) -> None:
    agree(compiled, work_out_numpy, (np.float64(c), np.int64(k), a, m))
