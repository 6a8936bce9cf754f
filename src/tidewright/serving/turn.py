"""`Turn`: the small inferences that came in one turn of the event loop, answered at its end: one run for those of a
model whose rows take less time together.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterator, Sequence
from time import perf_counter_ns
from typing import Any, NamedTuple

from tidewright.errors import TidewrightError
from tidewright.inference.queued import describe_form, join_inputs
from tidewright.serving.quick import Quick, Small
from tidewright.serving.tensors import Asked

log = logging.getLogger(__name__)


class Held(NamedTuple):
    """A small inference, its body, when it was whole (ns), and what takes its answer."""

    small: Small
    body: bytes
    came: int
    tell: Callable[[bytes], None]


class _Read(NamedTuple):
    """The same, read: its place in the turn, its request, its arrays, what those of one run share, and its windows."""

    place: int
    held: Held
    asked: Asked
    x: Any
    form: Hashable
    size: int


class Turn:
    """Holds inferences until the loop has read all that came with them. Used by the loop's thread alone."""

    def __init__(self, quick: Quick) -> None:
        self._quick = quick
        self._held: list[Held] = []

    def add(self, small: Small, body: bytes, tell: Callable[[bytes], None]) -> None:
        """Has `tell` called with the whole answer, in the order of adding, before any task that is made from now on."""
        if not self._held:
            asyncio.get_running_loop().call_soon(self.end)
        self._held.append(Held(small, body, perf_counter_ns(), tell))

    def end(self) -> None:
        """Answers all that is held now."""
        held, self._held = self._held, []
        for one, answer in zip(held, self._answer(held), strict=True):
            one.tell(answer)

    def _answer(self, held: Sequence[Held]) -> list[bytes]:
        if len(held) == 1:
            return [self._quick.answer(held[0].small, held[0].body)]
        answers = [b""] * len(held)
        groups: dict[Hashable, list[_Read]] = {}
        for place, one in enumerate(held):
            try:
                read = self._read(place, one)
            except TidewrightError:  # told by the way of one alone
                read = None
            if read is None:
                answers[place] = self._quick.answer(one.small, one.body)
            else:
                groups.setdefault((one.small.served, read.form), []).append(read)
        for group in groups.values():
            for run in _cut(group, rows=group[0].held.small.served.batch):
                for read, answer in zip(run, self._run(run), strict=True):
                    answers[read.place] = answer
        return answers

    def _read(self, place: int, held: Held) -> _Read | None:
        """The request, read; None where it runs alone."""
        served = held.small.served
        if not served.batch:
            return None
        asked = self._quick.read(held.small, held.body)
        arrays = asked.arrays
        x: Any = arrays.get("target") if len(served.inputs) == 1 else arrays
        form, size = describe_form(x)
        return None if form is None else _Read(place, held, asked, x, form, size)

    def _run(self, run: Sequence[_Read]) -> list[bytes]:
        """The answers of one run, each with its own rows."""
        if len(run) == 1:
            return [self._quick.answer(run[0].held.small, run[0].held.body)]
        served = run[0].held.small.served
        try:
            values = served.session.predict(join_inputs([one.x for one in run])).quantiles
        except TidewrightError:  # whose fault it is fails alone, and the others are answered
            return [self._quick.answer(one.held.small, one.held.body) for one in run]
        except Exception:
            log.exception("a shared run failed; each of its requests is answered alone")
            return [self._quick.answer(one.held.small, one.held.body) for one in run]
        served.tally.shared_runs += 1
        served.tally.shared_rows += len(values)
        answers, start = [], 0
        for one in run:
            own = values[start : start + one.size]
            answers.append(self._quick.write(one.held.small, one.asked, own, started=one.held.came))
            start += one.size
        return answers


def _cut(group: Sequence[_Read], *, rows: int) -> Iterator[list[_Read]]:
    """A group in runs of at most `rows` windows; a longer request runs alone."""
    run: list[_Read] = []
    size = 0
    for one in group:
        if run and size + one.size > rows:
            yield run
            run, size = [], 0
        run.append(one)
        size += one.size
    yield run
