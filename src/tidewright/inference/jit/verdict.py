"""Compiles a function for one kind of arguments, and decides by the observed ones whether that form is taken.

Nothing is run before the compiled code and its types have told that running it again does nothing but answer.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from types import FunctionType
from typing import Any

import numpy as np

from tidewright.inference.jit.answers import (
    find_difference,
    keep_none,
    make_restorer,
    name_type,
    refuse_native,
    shares_memory,
)
from tidewright.inference.jit.call import make_call
from tidewright.inference.jit.form import Form, Made
from tidewright.inference.jit.hot import HotFunction, Row, copy_row
from tidewright.inference.jit.source import find_outside, fold

MARGIN = 1.1  # a compiled form is taken where it is faster by this factor, its call's own cost included
BATCH_S = 2e-4  # what is timed at once takes at least this
BATCHES = 5
SLOW_S = 0.05  # a function that takes longer is timed once


class RefusalError(Exception):
    """A function that stays interpreted for this kind of arguments; its message says why."""


@dataclass(frozen=True)
class Verdict:
    """A compiled form that won."""

    made: Made
    restore: Callable[[Any], Any] | None
    interpreted_us: float
    compiled_us: float

    @property
    def speed_up(self) -> float:
        """Interpreted time by compiled time of the observed calls, the cost of the call itself included."""
        return self.interpreted_us / self.compiled_us


def compile_form(function: FunctionType, row: Row) -> Made:
    """A compiled entry for arguments of this kind.

    Arrays are read-only to it. Raises `RefusalError`, and whatever Numba raises where it can't compile.
    """
    import numba

    from tidewright.inference.jit.checked_pass import REFUSED, CheckedCompiler

    outside, why = find_outside(function)
    if why:
        raise RefusalError(why)
    kinds = tuple(_read_only(numba.typeof(one)) for one in row)
    if any(str(kind) == "uint64" and type(one) is int for kind, one in zip(kinds, row, strict=True)):
        raise RefusalError("an integer beyond int64")
    made = numba.njit(boundscheck=True, error_model="python", pipeline_class=CheckedCompiler)(fold(function))
    made.compile(kinds)
    result = made.overloads[kinds]
    reasons = result.metadata[REFUSED]
    if reasons:
        raise RefusalError("; ".join(dict.fromkeys(reasons)))
    return Made(result.entry_point, result.signature.return_type, outside, code=(made, result))


def judge(function: FunctionType, made: Made, *, samples: Sequence[Row]) -> Verdict:
    """The verdict on a compiled form by observed arguments. Raises `RefusalError` with the reason."""
    plain = fold(function)
    answers = [_check(plain, made, row=row) for row in samples]
    restore = _agree(answers, made.native)
    quick = _wrap(function, samples[0], entry=made.entry, restore=restore)
    times = [_race(plain, quick, row) for row in samples]
    slow, fast = (1e6 * statistics.fmean(column) for column in zip(*times, strict=True))
    if slow < MARGIN * fast:
        raise RefusalError(f"it does not win: {fast:.3g} us compiled, {slow:.3g} us interpreted, a call")
    return Verdict(made, restore, slow, fast)


def explain(error: BaseException) -> str:
    """One line of what a compiler says in many."""
    text = str(error)
    if "setitem" in text and "readonly array" in text:
        return "it changes its arguments: a compiled form may only read them; change a copy"
    lines = [line.strip(" -") for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()]
    told = [line for line in lines if line and not line.startswith(("Failed in", "During:", "File ", "<source"))]
    return f"Numba does not compile it ({type(error).__name__}): {' '.join(told[:2])[:300]}"


def _read_only(kind: Any) -> Any:
    return kind.copy(readonly=True) if hasattr(kind, "ndim") and hasattr(kind, "layout") else kind


def _check(plain: FunctionType, made: Made, *, row: Row) -> Any:
    """The interpreted answer, which is the same twice, leaves its arguments as they were and equals the compiled."""
    mine = copy_row(row)
    assert mine is not None
    expected, again = plain(*mine), plain(*mine)
    if any(find_difference(before, after) for before, after in zip(row, mine, strict=True)):
        raise RefusalError("it changes its arguments")
    why = refuse_native(expected, made.native)
    if why:
        raise RefusalError(why)
    if type(again) is not type(expected) or find_difference(expected, again):
        raise RefusalError("it gives two answers to the same arguments")
    found = made.entry(*mine)
    wrong = find_difference(expected, found)
    if wrong:
        raise RefusalError(f"its compiled answer is not the interpreted one: {wrong}")
    if shares_memory(found, mine) or shares_memory(expected, mine):
        raise RefusalError("it gives memory of its arguments")
    return expected


def _agree(answers: Sequence[Any], native: Any) -> Callable[[Any], Any] | None:
    """What restores the observed type of an answer. Raises `RefusalError` where calls gave several types."""
    there = [answer for answer in answers if answer is not None]
    names = {_name_types(answer) for answer in there}
    if len(names) > 1:
        raise RefusalError(f"it gives {' or '.join(sorted(names))}, by its arguments")
    restore = make_restorer(there[0]) if there else None
    if str(native).startswith("OptionalType"):
        if not there:
            raise RefusalError("every observed answer was None: the type of the others is not known")
        return keep_none(restore) if restore is not None else None
    return restore


def _name_types(answer: Any) -> str:
    if type(answer) is tuple:
        return f"({', '.join(map(_name_types, answer))})"
    return f"{type(answer).__name__} {name_type(answer)}" if isinstance(answer, np.generic) else type(answer).__name__


def _wrap(function: FunctionType, row: Row, *, entry: Any, restore: Any) -> Callable[..., Any]:
    """The call as it will be, with the compiled form in it: what it costs belongs to the measurement."""
    scratch = HotFunction(fold(function), owner=_Nobody(), min_calls=1)
    form = scratch.enter(row)
    form.restore, form.entry = restore, entry
    return make_call(scratch.function, scratch)


class _Nobody:
    """Owns a call that is only measured."""

    share = 1.0

    def note(self, hot: HotFunction, form: Form, row: Row) -> None:
        """Nothing is counted."""


def _race(plain: Callable[..., Any], quick: Callable[..., Any], row: Row) -> tuple[float, float]:
    """Seconds a call, interpreted and compiled: medians of batches in turns."""
    first = _time(plain, row, 1)
    if first > SLOW_S:
        return first, _time(quick, row, 1)
    calls = [max(1, min(1000, int(BATCH_S / max(_time(side, row, 1), 1e-9)))) for side in (plain, quick)]
    times = [(_time(plain, row, calls[0]), _time(quick, row, calls[1])) for _ in range(BATCHES)]
    slow, fast = (statistics.median(column) for column in zip(*times, strict=True))
    return slow, fast


def _time(call: Callable[..., Any], row: Row, calls: int) -> float:
    started = perf_counter()
    for _ in range(calls):
        call(*row)
    return (perf_counter() - started) / calls
