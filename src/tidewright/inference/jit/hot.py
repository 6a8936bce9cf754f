"""A function whose calls are counted: its forms by kind of arguments, and how each of its calls is answered."""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from threading import Lock
from time import perf_counter
from types import FunctionType
from typing import Any, Protocol

import numpy as np

from tidewright.errors import FallbackWarning
from tidewright.inference.jit.answers import find_difference
from tidewright.inference.jit.form import TOGETHER, Form
from tidewright.inference.jit.kinds import (
    Marks,
    are_native,
    describe_kind,
    find_arrays,
    make_marker,
    refuse_kind,
    settle_marks,
)
from tidewright.inference.jit.source import NO_CALL, read_parameters, refuse_function

KINDS = 32  # kinds of arguments of one function; any other is interpreted
SAMPLES = 3  # observed arguments that a compiled form is checked and measured on
SAMPLE_BYTES = 1 << 26
RECENT = 5  # measurements whose median says whether a form still wins
LEAST_GAP = 64  # compiled calls between two measurements
# what compiled code raises also where Python would not; anything else is the function's own
DOUBTFUL = (ArithmeticError, LookupError, ValueError, TypeError, AssertionError, NotImplementedError, SystemError)
DOUBTS, DOUBT_SHARE = 8, 0.05

Row = tuple[Any, ...]  # every argument in its place, defaults too


class Owner(Protocol):
    """What a counted function asks of its compiler."""

    @property
    def share(self) -> float:
        """The share of time that measuring again may take."""
        ...

    def note(self, hot: HotFunction, form: Form, row: Row) -> None:
        """Interpreted calls are pending; the last one had these arguments."""
        ...


class Group:
    """The forms of arguments of the same types by what `mark` sees of their arrays; one form may have several keys."""

    __slots__ = ("forms", "get", "mark", "place", "places", "settled")

    def __init__(self, places: tuple[int, ...]) -> None:
        self.places, self.mark = places, make_marker(places)
        self.place = places[0] if len(places) == 1 else -1
        self.forms: dict[Hashable, Form] = {}
        self.get = self.forms.get
        self.settled: dict[Marks, Form] = {}


class HotFunction:
    """The forms of one function. `args` and `kwargs` are as the caller gave them, `row` is all of them in place."""

    def __init__(self, function: FunctionType, *, owner: Owner, min_calls: int) -> None:
        self.function, self.owner, self.min_calls = function, owner, min_calls
        self.name = f"{function.__module__}.{function.__qualname__}"
        self.parameters = read_parameters(function)
        self.table: dict[tuple[type, ...], Group | Form] = {}
        self.whole = Form("any", state="refused", reason=refuse_function(function))
        self.rest = Form("other", state="refused", reason=f"more than {KINDS} kinds of arguments")
        self.wrong = Form("not a call", state="refused")  # calls that Python refuses, with its own error
        self._lock = Lock()

    def forms(self) -> list[Form]:
        """Every form, also those that stand for many kinds and were called."""
        with self._lock:
            found = self._known()
        return [*found, *(form for form in (self.whole, self.rest) if form.interpreted.read())]

    def enter(self, row: Row) -> Form:
        """The form of a kind of arguments that the quick look did not find; a new one, where there is none."""
        if row is NO_CALL:
            return self.wrong
        types = tuple(map(type, row))
        places = find_arrays(types)
        with self._lock:
            if not places:
                return self.table.get(types) or self._make_form(types, ())  # type: ignore[return-value]  # no group
            group = self.table.setdefault(types, Group(places))
            assert isinstance(group, Group)
            marks = settle_marks(row, places)
            form = group.settled.get(marks) or self._make_form(types, marks)
            if form is not self.rest and are_native(row, places):
                group.forms[group.mark(row)] = form
            return form

    def discard(self, form: Form) -> None:
        """Forgets a form: the next call of its kind is the first one."""
        with self._lock:
            group = self.table.get(form.types)
            if isinstance(group, Group):
                group.settled.pop(form.marks, None)
                for key in [key for key, known in group.forms.items() if known is form]:
                    del group.forms[key]
            elif group is form:
                del self.table[form.types]

    def interpret(self, form: Form, row: Row, args: Row, kwargs: dict[str, Any]) -> Any:
        """The function itself answers, and its time is noted: it may still become hot."""
        form.interpreted.tick()
        sample = copy_row(row) if form.state == "compiling" and len(form.samples) < SAMPLES else None
        pending = form.pending
        started = perf_counter()
        answer = self.function(*args, **kwargs)
        pending.append(perf_counter() - started)
        if sample is not None:
            form.samples.append(sample)
        if len(pending) >= form.note_at:
            self.owner.note(self, form, row)
        return answer

    def careful(self, form: Form, row: Row, args: Row, kwargs: dict[str, Any], n: int) -> Any:
        """A compiled call that looks first: at what it holds from outside, and whether it is to be measured."""
        outside = form.made.outside if form.made is not None else ()
        stale = next((one for one in outside if one.changed()), None)
        if stale is not None:
            self._drop(form, f"'{stale.name}', which it reads from outside, was changed")
            return self.doubt(form, args, kwargs)
        if n >= form.due_at and form.lock.acquire(blocking=False):
            try:
                return self._measure(form, row, args, kwargs, n)
            finally:
                form.lock.release()
        return self._answer(form, row, args, kwargs)

    def doubt(self, form: Form, args: Row, kwargs: dict[str, Any]) -> Any:
        """The compiled form raised what Python might not have: the function itself answers, or raises."""
        with self._lock:
            form.doubts += 1
            often = form.doubts > DOUBTS and form.doubts > DOUBT_SHARE * form.compiled.read()
        if often:
            self._drop(form, f"{form.doubts} calls had to be answered again, interpreted: it raised, or left int64")
        return self.function(*args, **kwargs)

    def _answer(self, form: Form, row: Row, args: Row, kwargs: dict[str, Any]) -> Any:
        entry = form.entry
        try:
            answer = entry(*row) if entry is not None else None
        except DOUBTFUL:
            entry = None
        if entry is None:  # asked again outside of the except clause: what it raises has no context of ours
            return self.doubt(form, args, kwargs)
        return answer if form.restore is None else form.restore(answer)

    def _measure(self, form: Form, row: Row, args: Row, kwargs: dict[str, Any], n: int) -> Any:
        """Both answer: the interpreted answer is given, and the compiled form goes where it differs or loses."""
        with self._lock:
            form.checks += 1
        started = perf_counter()
        expected = self.function(*args, **kwargs)
        middle = perf_counter()
        entry, restore = form.entry, form.restore
        try:
            answer = entry(*row) if entry is not None else expected
        except DOUBTFUL:
            return expected
        elapsed = perf_counter() - middle
        found = restore(answer) if restore is not None else answer
        wrong = find_difference(expected, found)
        if not wrong and type(found) is not type(expected):
            wrong = f"{type(found).__name__} in place of {type(expected).__name__}"
        if wrong:
            self._drop(form, f"its answer was not the interpreted one: {wrong}")
            warnings.warn(
                f"{self.name} is interpreted again: compiled, it gave {wrong}.", FallbackWarning, stacklevel=4
            )
        else:
            self._weigh(form, (middle - started) / max(elapsed, 1e-9), n)
        return expected

    def _weigh(self, form: Form, ratio: float, n: int) -> None:
        """Drops a form that stopped winning, and says when the next one is measured."""
        form.ratios = [*form.ratios, ratio][-RECENT:]
        form.speed_up = float(np.median(form.ratios))
        if len(form.ratios) >= 3 and form.speed_up < 1.0:
            self._drop(form, f"it stopped winning: {form.speed_up:.2f} times as fast as interpreted, by the last calls")
        schedule(form, n, share=self.owner.share, lost=ratio < 1.0)

    def _drop(self, form: Form, reason: str) -> None:
        if form.state == "compiled":
            form.end("dropped", reason)

    def _known(self) -> list[Form]:
        entries = self.table.values()
        return [form for entry in entries for form in (entry.settled.values() if isinstance(entry, Group) else [entry])]

    def _make_form(self, types: tuple[type, ...], marks: Marks) -> Form:
        """A new form in its place, or the one for all that are too many."""
        if len(self._known()) >= KINDS:
            return self.rest
        form = Form(describe_kind(types, marks), types=types, marks=marks, note_at=min(self.min_calls, TOGETHER))
        reason = refuse_kind(types, marks, names=self.parameters.names)
        if reason:
            form.end("refused", reason)
        group = self.table.get(types)
        if isinstance(group, Group):
            group.settled[marks] = form
        else:
            self.table[types] = form
        return form


def schedule(form: Form, n: int, *, share: float, lost: bool = False) -> None:
    """When a compiled form is measured next: so rarely that the interpreted calls take at most `share` of its time."""
    gap = LEAST_GAP if lost else max(LEAST_GAP, int(form.speed_up / share))
    form.due_at = n + gap
    form.check_at = 0 if form.made is not None and form.made.outside else form.due_at


def copy_row(row: Row) -> Row | None:
    """The arguments as they are now, or None where they are too large to be kept."""
    arrays = [one for one in row if type(one) is np.ndarray]
    if sum(array.nbytes for array in arrays) > SAMPLE_BYTES:
        return None
    return tuple([one.copy(order="K") if type(one) is np.ndarray else one for one in row])
