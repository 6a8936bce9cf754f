"""Arithmetic that says when it is not what Python's would be, for code that Numba compiles.

A Python integer has no end, an int64 wraps in silence; `math.sqrt(-1.0)` is an error, Numba's is NaN; `int(nan)` is an
error, Numba's is any number. Each of these raises here: the caller then lets the interpreted function answer.
Imported when first used, because numba takes 0.4 s.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

BORDER = 2.0**63  # the least float that no int64 holds


def _make(name: str) -> Any:
    """An addition, subtraction or multiplication of int64 that raises OverflowError in place of wrapping."""

    def checked(typingctx: Any, left: Any, right: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            both = getattr(builder, f"{name}_with_overflow")(*args)
            with builder.if_then(builder.extract_value(both, 1), likely=False):
                context.call_conv.return_user_exc(builder, OverflowError, ("beyond int64",))
            return builder.extract_value(both, 0)

        return types.int64(types.int64, types.int64), build

    checked.__name__ = f"{name}_checked"
    return intrinsic(checked)


_SIMPLE = {operator.add: _make("sadd"), operator.sub: _make("ssub"), operator.mul: _make("smul")}
CHECKED = {
    **_SIMPLE,
    operator.iadd: _SIMPLE[operator.add],
    operator.isub: _SIMPLE[operator.sub],
    operator.imul: _SIMPLE[operator.mul],
}


@njit(error_model="python")
def check_one(answer, x):  # type: ignore[no-untyped-def]  # Numba types it
    """The answer of a function of one number, where Python gives one (CPython's math_1)."""
    if (math.isnan(answer) and not math.isnan(x)) or (math.isinf(answer) and not math.isinf(x) and not math.isnan(x)):
        raise ArithmeticError("outside what Python answers")
    return answer


@njit(error_model="python")
def check_two(answer, x, y):  # type: ignore[no-untyped-def]
    """The answer of a function of two numbers, where Python gives one."""
    unknown = math.isnan(x) or math.isnan(y)
    endless = math.isinf(x) or math.isinf(y)
    if (math.isnan(answer) and not unknown) or (math.isinf(answer) and not unknown and not endless):
        raise ArithmeticError("outside what Python answers")
    return answer


@njit(error_model="python")
def check_whole(x):  # type: ignore[no-untyped-def]
    """A float that can become an int64."""
    if not abs(x) < BORDER:  # NaN too
        raise OverflowError("no int64")
    return x


RESULTS = {1: check_one, 2: check_two}
MATH = frozenset(value for name, value in vars(math).items() if callable(value) and not name.startswith("_"))
TO_WHOLE = frozenset((int, round, math.floor, math.ceil, math.trunc, np.int64))
