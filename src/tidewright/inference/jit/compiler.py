"""Compiles functions in the background once they are hot, and keeps what won."""

from __future__ import annotations

import logging
import math
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Condition
from time import perf_counter
from types import FunctionType
from typing import Any, ParamSpec, TypeVar, overload
from weakref import WeakSet

from tidewright.checks import check_kind, check_real, check_seconds, check_whole
from tidewright.errors import ConfigError
from tidewright.inference.jit.call import make_call
from tidewright.inference.jit.form import Form
from tidewright.inference.jit.hot import HotFunction, Row, copy_row, schedule
from tidewright.inference.jit.tracker import HotPathTracker
from tidewright.inference.jit.verdict import RefusalError, Verdict, compile_form, explain, judge

P = ParamSpec("P")
R = TypeVar("R")
LEAST_S = 4e-7  # less than a compiled call costs with all that stands around it
ENOUGH = 64  # calls whose mean says so
_LOGGER = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Job:
    hot: HotFunction
    form: Form
    seconds: float = 0.0


class JITCompiler:
    """Counts the calls of the functions that it wraps, compiles those that are hot by Numba in a thread of its own, and
    lets a compiled form answer only where it gives the interpreted answers and is faster on the observed arguments.

    `min_calls` and `payback` say when a function is hot (see `HotPathTracker`; `payback=0` compiles after `min_calls`),
    `cache_size` how many compiled forms are kept: of more, the one that was called least since the last time goes.
    `share` is the share of a compiled form's time that measuring it again may take. A failure to compile is never
    raised: the function stays interpreted and `get_performance_stats` says why. Threads may share all of it.
    """

    def __init__(self, *, min_calls: int = 10, cache_size: int = 50, payback: float = 1.0, share: float = 0.02) -> None:
        check_whole("cache_size", cache_size)
        words = "the share of time for measuring again, above 0 and at most 1"
        check_real("share", share, words=words, low=0.0, high=1.0, open_low=True)
        self.tracker = HotPathTracker(min_calls=min_calls, payback=payback)
        self.cache_size, self.share = cache_size, share
        self._functions: WeakSet[HotFunction] = WeakSet()
        self._turn = Condition()  # guards what follows
        self._jobs: deque[_Job] = deque()
        self._pool: ThreadPoolExecutor | None = None  # of one thread, while there are jobs
        self._past: Counter[str] = Counter()  # of evicted forms
        self._compile_seconds = 0.0

    def wrap(self, function: Callable[P, R], /, *, min_calls: int | None = None) -> Callable[P, R]:
        """The function, counted, and compiled once it is hot. `min_calls` stands for the compiler's own.

        Raises `ConfigError` for what is no function that was written in Python.
        """
        least = self.tracker.min_calls if min_calls is None else HotPathTracker(min_calls=min_calls).min_calls
        hot = HotFunction(_check_function(function), owner=self, min_calls=least)
        call = make_call(function, hot)
        call.compiler = self  # type: ignore[attr-defined]
        with self._turn:
            self._functions.add(hot)
        return call

    def wait(self, timeout_s: float | None = None) -> bool:
        """Waits until nothing is left to compile; False where the time ran out before."""
        check_seconds("timeout_s", timeout_s)
        with self._turn:
            return self._turn.wait_for(lambda: self._pool is None, timeout_s)

    def note(self, hot: HotFunction, form: Form, row: Row) -> None:
        """Counts interpreted calls, and asks for a compilation where they make it hot."""
        with self._turn:
            times = form.take_pending(min_calls=hot.min_calls)
        if form.state != "cold" or not times:
            return
        if self.tracker.note(form, seconds=sum(times), calls=len(times), min_calls=hot.min_calls):
            self._ask(hot, form, row)
        elif sum(times) < LEAST_S * len(times):
            self._pass_over(form)

    def get_performance_stats(self) -> dict[str, Any]:
        """What was counted and measured, as plain data.

        `calls`, `compiled_calls` (answered by a compiled form), `compile_seconds`, `compiled` (forms that answer now),
        `refused`, `dropped`, `evicted`, `threshold_seconds` (what a path must have taken to be hot) and `functions`: by
        name a list of kinds of arguments, each with its state, calls, the measured times in microseconds, the speed-up,
        and the reason why it is interpreted. Forms of functions that are no more are not counted.
        """
        with self._turn:
            functions = list(self._functions)
            past, seconds = Counter(self._past), self._compile_seconds
        described: dict[str, list[dict[str, Any]]] = {}
        for hot in functions:
            described.setdefault(hot.name, []).extend(_describe(form) for form in hot.forms())
        forms = [form for found in described.values() for form in found]
        states = Counter(form["state"] for form in forms)
        return {
            "calls": past["calls"] + sum(form["calls"] for form in forms),
            "compiled_calls": past["compiled_calls"] + sum(form["compiled_calls"] for form in forms),
            "compile_seconds": seconds,
            **{state: states[state] for state in ("compiled", "compiling", "refused", "dropped")},
            "evicted": past["evicted"],
            "cache_size": self.cache_size,
            "min_calls": self.tracker.min_calls,
            "threshold_seconds": self.tracker.threshold_s,
            "functions": described,
        }

    def _ask(self, hot: HotFunction, form: Form, row: Row) -> None:
        """A hot form is compiled once, whichever threads ask for it."""
        sample = copy_row(row)
        with self._turn:
            if form.state != "cold":
                return
            self.tracker.forget(form)
            if sample is None:
                form.end("refused", "its arguments are too large to be copied for a check")
                return
            form.samples.append(sample)
            form.state = "compiling"
            self._jobs.append(_Job(hot, form))
            if self._pool is not None:
                return
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="tidewright-jit")
        self._go_on()

    def _pass_over(self, form: Form) -> None:
        """A function that is over before a compiled form's call would be is not counted any longer."""
        spent = self.tracker.spent(form)
        if spent.calls < ENOUGH or spent.seconds >= LEAST_S * spent.calls:
            return
        with self._turn:
            if form.state != "cold":
                return
            self.tracker.forget(form)
            form.end("refused", f"it takes {1e6 * spent.seconds / spent.calls:.2g} us a call: nothing is to be won")

    def _go_on(self) -> None:
        """Has the next job done; where none is left, or the program ends, lets the thread go."""
        with self._turn:
            job = self._jobs.popleft() if self._jobs else None
            done = None if job is None else self._send(job)
            if job is None or done is None:
                assert self._pool is not None
                self._pool.shutdown(wait=False)
                self._pool = None
                self._turn.notify_all()
                return
        done.add_done_callback(partial(self._end, job))

    def _send(self, job: _Job) -> Future[Verdict] | None:
        """A job in the thread, which catches what the function or Numba raises; None where the program ends."""
        assert self._pool is not None
        try:
            return self._pool.submit(self._judge, job)
        except RuntimeError:  # the interpreter takes no more
            return None

    def _judge(self, job: _Job) -> Verdict:
        """The verdict on a form. Raises `RefusalError`, and what the function or Numba raises."""
        started, form = perf_counter(), job.form
        try:
            made = compile_form(job.hot.function, form.samples[0])
            form.compile_seconds = perf_counter() - started
            return judge(job.hot.function, made, samples=form.samples[:])
        finally:
            job.seconds = perf_counter() - started

    def _end(self, job: _Job, done: Future[Verdict]) -> None:
        """Takes the compiled form, or keeps the reason why the function stays interpreted, and goes on."""
        error = done.exception()
        form, verdict = job.form, None if error else done.result()
        try:
            form.compile_seconds = form.compile_seconds or job.seconds
            self.tracker.note_compiled(seconds=job.seconds, paid=verdict is not None)
            reason = str(error) if isinstance(error, RefusalError) else explain(error) if error else ""
            if error and not isinstance(error, RefusalError):
                _LOGGER.info("%s stays interpreted", job.hot.name, exc_info=error)
            self._settle(job, verdict, reason=reason)
        finally:
            self._go_on()

    def _settle(self, job: _Job, verdict: Verdict | None, *, reason: str) -> None:
        form = job.form
        with self._turn:
            self._compile_seconds += job.seconds
            if verdict is None:
                form.end("refused", reason)
                return
            self._make_room()
            form.samples.clear()
            form.made, form.restore = verdict.made, verdict.restore
            form.interpreted_us, form.compiled_us = verdict.interpreted_us, verdict.compiled_us
            form.speed_up = verdict.speed_up
            form.ratios = [verdict.speed_up]
            schedule(form, form.compiled.read(), share=self.share)
            form.state, form.cold = "compiled", False
            form.entry = verdict.made.entry  # last: from here on it answers

    def _make_room(self) -> None:
        """Evicts compiled forms until there is room for one more: those that were called least since the last time."""
        held = [(hot, form) for hot in self._functions for form in hot.forms() if form.state == "compiled"]
        fresh = {id(form): form.compiled.read() for _, form in held}
        held.sort(key=lambda pair: fresh[id(pair[1])] - pair[1].seen)
        beyond = len(held) - self.cache_size + 1
        if beyond <= 0:
            return
        for hot, form in held[:beyond]:
            hot.discard(form)
            form.end("evicted", "other compiled forms were called more")
            calls, compiled = form.counts()
            self._past.update(calls=calls, compiled_calls=compiled, evicted=1)
        for _, form in held:
            form.seen = fresh[id(form)]


@overload
def jit_if_hot(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def jit_if_hot(
    *, min_calls: int = 10, compiler: JITCompiler | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def jit_if_hot(
    function: Callable[..., Any] | None = None, /, *, min_calls: int = 10, compiler: JITCompiler | None = None
) -> Any:
    """Compiles a function once it is hot: `@jit_if_hot`, or `@jit_if_hot(min_calls=10, compiler=...)`.

    Without a compiler it has one of its own, which stands as `compiler` at the decorated function.

    >>> @jit_if_hot
    ... def clip(x: float, low: float) -> float:
    ...     return x if x > low else low
    >>> clip(0.5, low=1.0), clip.compiler.get_performance_stats()["calls"]
    (1.0, 1)
    """
    owner = JITCompiler(min_calls=min_calls) if compiler is None else compiler
    check_kind("compiler", owner, kind=JITCompiler, advice="Make one with tw.JITCompiler().")
    if function is None:
        return lambda found: owner.wrap(found, min_calls=min_calls)
    return owner.wrap(function)


def _check_function(function: object) -> FunctionType:
    if not isinstance(function, FunctionType):
        raise ConfigError(
            f"only functions written in Python are compiled; got {function!r}. Decorate the function itself, below "
            "@staticmethod or @classmethod; what Numba compiled needs nothing."
        )
    return function


def _known(value: float) -> float | None:
    """A measured number, or None where nothing was measured."""
    return None if math.isnan(value) else value


def _describe(form: Form) -> dict[str, Any]:
    calls, compiled = form.counts()
    return {
        "arguments": form.kind,
        "state": form.state,
        "reason": form.reason,
        "calls": calls,
        "compiled_calls": compiled,
        "answered_again": form.doubts,
        "measured_again": form.checks,
        "compile_seconds": form.compile_seconds,
        "interpreted_us": _known(form.interpreted_us),
        "compiled_us": _known(form.compiled_us),
        "speed_up": _known(form.speed_up),
    }
