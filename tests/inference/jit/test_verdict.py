"""What is compiled answers as Python and NumPy do, or is refused with the reason."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba.core.errors import NumbaError

from tidewright.inference.jit.form import Made
from tidewright.inference.jit.verdict import RefusalError, compile_form, explain, judge

X = np.arange(1.0, 6.0)


def refuse(function: Any, *row: Any) -> str:
    """The reason why a function is not compiled for these arguments."""
    try:
        made = compile_form(function, row)
        judge(function, made, samples=[row])
    except RefusalError as refusal:
        return str(refusal)
    except NumbaError as error:
        return explain(error)
    return ""


def fibonacci(n: int) -> int:
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


def powers(n: int) -> int:
    r = 1
    for _ in range(n):
        r *= 3
    return r


def roots(x: float) -> float:
    return math.sqrt(x) + math.exp(x)


def cut(x: float) -> int:
    return int(x) + round(x) + math.floor(x)


def lift(x: float, y: float) -> float:
    return x**y


def divide(x: float, y: float) -> float:
    return x / y


def pick(x: Any, i: int) -> float:
    return float(x[i])


@pytest.mark.parametrize(
    ("function", "good", "bad"),
    [
        (fibonacci, (90,), [(92,), (100,)]),
        (powers, (30,), [(40,), (60,)]),
        (roots, (2.0,), [(-1.0,), (1000.0,)]),
        (cut, (2.5,), [(float("nan"),), (1e19,), (-1e30,)]),
        (lift, (2.0, 0.5), [(-2.0, 0.5), (0.0, -1.0), (2.0, 2000.0)]),
        (divide, (1.0, 2.0), [(1.0, 0.0)]),
        (pick, (X, -1), [(X, 5), (X, -6)]),
    ],
)
def test_where_python_would_answer_otherwise_compiled_code_raises(
    function: Callable[..., Any], good: tuple[Any, ...], bad: list[tuple[Any, ...]]
) -> None:
    made = compile_form(function, good)
    assert made.entry(*good) == function(*good)
    for row in bad:
        with pytest.raises((ArithmeticError, IndexError)):
            made.entry(*row)


def test_nan_goes_through_as_in_python() -> None:
    made = compile_form(roots, (2.0,))
    assert math.isnan(made.entry(float("nan")))


def add_int32(x: Any) -> Any:
    return x[0] + x[1]


def add_truths(x: Any) -> Any:
    return x[0] + x[1]


def add_arrays(x: Any) -> Any:
    return (x + x).sum()


def double_first(x: Any) -> Any:
    return x[0] * 2.0


def total_from_whole_zero(x: Any) -> Any:
    total = 0
    for value in x:
        total += value
    return total


def either(x: float) -> Any:
    return x if x > 0 else 0


def pair(x: float) -> Any:
    return (x if x > 0 else 0), 1


def store_narrow(n: int) -> Any:
    out = np.zeros(n, dtype=np.int32)
    for i in range(n):
        out[i] = i
    return out


def square(n: int) -> int:
    return n**2


def shift(n: int) -> int:
    return n << 2


def invert(x: bool) -> int:
    return ~x


def change(x: Any) -> float:
    x[0] = 1.0
    return 1.0


def change_view(x: Any) -> float:
    part = x[1:]
    part[0] = 1.0
    return 1.0


def change_by_sort(x: Any) -> float:
    x.sort()
    return float(x[0])


def change_by_flat(x: Any) -> float:
    x.flat[0] = 1.0
    return 1.0


def change_as_contiguous(x: Any) -> float:
    np.ascontiguousarray(x)[0] = 1.0
    return 1.0


def give_view(x: Any) -> Any:
    return x[1:]


def give_itself(x: Any) -> Any:
    return x


def draw(x: Any) -> float:
    return float(x[0]) + np.random.normal()


def say(x: float) -> float:
    print("once")
    return x


TABLE = np.ones(3)


def read_outside(i: int) -> float:
    return float(TABLE[i])


def read_module(x: float) -> float:
    return x if pytest else 0.0


def make_list(x: float) -> Any:
    return [x, x]


def use_text(x: Any) -> Any:
    return x.to_numpy()


@pytest.mark.parametrize(
    ("function", "row", "reason"),
    [
        (add_int32, (np.array([1, 2], dtype=np.int32),), "arithmetic of int32 and int32"),
        (add_int32, (np.array([1, 2], dtype=np.uint8),), "arithmetic of uint8"),
        (add_truths, (np.array([True, True]),), "arithmetic of bool and bool"),
        (add_arrays, (np.array([1, 2], dtype=np.int32),), "arithmetic of int32 and int32"),
        (double_first, (np.ones(2, dtype=np.float32),), "float32, and float64 when compiled"),
        (total_from_whole_zero, (X,), "float64 or int64, by the way that is taken; begin with 0.0"),
        (either, (1.0,), "float64 or int64"),
        (pair, (1.0,), "float64 or int64"),
        (store_narrow, (3,), "writes int64 into an array of int32"),
        (square, (3,), "a power or a shift of integers"),
        (shift, (3,), "a power or a shift of integers"),
        (invert, (True,), "of a truth value"),
        (change, (X,), "it changes its arguments"),
        (change_view, (X,), "it changes its arguments"),
        (change_by_sort, (X,), "it changes its arguments"),
        (change_by_flat, (X,), "flat, by which it could change its arguments"),
        (change_as_contiguous, (X,), "ascontiguousarray"),
        (give_view, (X,), "view of its argument"),
        (give_itself, (X,), "view of its argument"),
        (draw, (X,), "random"),
        (say, (1.0,), "it calls print"),
        (read_outside, (1,), "reads 'TABLE' from outside"),
        (read_module, (1.0,), "reads the module 'pytest'"),
        (make_list, (1.0,), "a list"),
        (use_text, (1.0,), "Numba does not compile it"),
        (fibonacci, (2**63,), "beyond int64"),
        (divide, (1.0, 2.0), "it does not win"),
    ],
)
def test_what_would_answer_otherwise_is_refused_with_its_reason(
    function: Any, row: tuple[Any, ...], reason: str
) -> None:
    kept = [one.copy() if isinstance(one, np.ndarray) else one for one in row]
    assert reason in refuse(function, *row)
    assert all(np.array_equal(one, before) for one, before in zip(row, kept, strict=True))


def spread(x: Any) -> Any:
    low = high = x[0]
    for i in range(len(x)):
        low, high = min(low, x[i]), max(high, x[i])
    return low, high, high > low, len(x)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_the_observed_types_come_back(dtype: Any) -> None:
    x = np.arange(3000).astype(dtype)
    verdict = judge(spread, compile_form(spread, (x,)), samples=[(x,)])
    assert verdict.restore is not None
    answer, expected = verdict.restore(verdict.made.entry(x)), spread(x)
    assert [type(one) for one in answer] == [type(one) for one in expected]
    assert answer == expected


def find(x: Any, least: float) -> Any:
    for i in range(len(x)):
        if x[i] > least:
            return x[i]
    return None


def test_none_may_be_an_answer() -> None:
    x = np.arange(3000.0)
    verdict = judge(find, compile_form(find, (x, 5.0)), samples=[(x, 2990.0), (x, 1e9)])
    assert verdict.restore is not None
    assert verdict.restore(verdict.made.entry(x, 1e9)) is None
    assert type(verdict.restore(verdict.made.entry(x, 7.0))) is np.float64


def test_arrays_with_nan_are_equal_where_both_have_it_and_keep_their_dtype() -> None:
    def ratio(x: Any) -> Any:
        out = np.empty(len(x))
        for i in range(len(x)):
            out[i] = np.nan if i == 0 else x[i] / x[i - 1] - 1.0
        return out

    x = np.full(2000, np.nan)
    x[::3] = 2.0
    made = compile_form(ratio, (x,))
    found = judge(ratio, made, samples=[(x,)]).made.entry(x)
    assert np.array_equal(found, ratio(x), equal_nan=True)
    assert found.dtype == np.float64
    assert found.flags.writeable


def stub(entry: Callable[..., Any], native: Any) -> Made:
    return Made(entry, native, (), code=None)


def test_a_compiled_answer_that_differs_is_refused() -> None:
    from numba import float64

    with pytest.raises(RefusalError, match=r"is not the interpreted one: 2\.0 in place of 1\.0"):
        judge(lambda x: x, stub(lambda x: 2.0, float64), samples=[(1.0,)])


def test_a_function_that_gives_two_answers_is_refused() -> None:
    from numba import float64

    state = [0.0]

    def count(x: float) -> float:
        state[0] += 1.0
        return state[0]

    with pytest.raises(RefusalError, match="two answers to the same arguments"):
        judge(count, stub(lambda x: 1.0, float64), samples=[(1.0,)])


def test_a_function_that_changes_its_arguments_when_run_is_refused() -> None:
    from numba import float64

    with pytest.raises(RefusalError, match="changes its arguments"):
        judge(change, stub(lambda x: 1.0, float64), samples=[(X + 1.0,)])


def test_calls_that_gave_several_types_are_refused() -> None:
    from numba import float64

    def alter(x: float) -> Any:
        return np.float64(x) if x > 0 else x

    with pytest.raises(RefusalError, match="by its arguments"):
        judge(alter, stub(lambda x: x, float64), samples=[(1.0,), (-1.0,)])
