"""`check_lookahead`: change the future of a function's input, and compare the past of its output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.portfolio.lookahead.change import TRUNCATE, WAYS
from tidewright.portfolio.lookahead.outputs import ROUNDING, Difference, Output, compare, read_output
from tidewright.portfolio.lookahead.tables import Table, read_table
from tidewright.portfolio.lookahead.verdict import Lookahead

CUTS = 6
ALL_WAYS = (*WAYS, TRUNCATE)


def check_lookahead(
    function: Callable[[Any], Any],
    table: Any,
    *,
    times: ArrayLike | None = None,
    time: str | None = None,
    rows: int | Sequence[int] = CUTS,
    ways: Sequence[str] = ALL_WAYS,
    lag: int = 0,
    seed: int = 0,
) -> Lookahead:
    """Whether what `function(table)` gives for a bar depends on anything after that bar.

    `table` is an array [T] or [T, A], or a pandas, polars or Arrow table with a row a bar; a long one has its column of
    times named by `time`, and `times` are the dates of an array's rows. The function gives an array or a table with a
    row for each row, or a table with times of its own (a decision a month, say).

    The function is called twice with the same table: where the answers differ, it is random and nothing can be said.
    Then all after a cut is changed: shuffled, disturbed, raised, lowered, cut off; all at or before it must stay as it
    was, bit for bit. `rows` are so many cuts (spread over the last two thirds, and in gaps where there are missing
    values), or their rows. A difference of rounding alone (an FFT, another order of a sum) is a note. With `lag`, the
    output of bar t may see no more than bar t - lag: 1 for what is traded at the very bar's price.

    No check can prove that a function is clean: what a leak needs may not lie in this table, and a function that keeps
    what it learned at its first call hides its look-ahead from all others. It takes about `rows` times `ways` calls.

    >>> prices = np.cumprod(1 + np.random.default_rng(0).normal(0, 0.01, 300))
    >>> verdict = check_lookahead(lambda p: (p - p.mean()) / p.std(), prices)
    >>> verdict.clean, verdict.bar, verdict.to_end
    (False, 0, True)
    >>> check_lookahead(lambda p: p / np.maximum.accumulate(p), prices).clean
    True
    """
    if isinstance(lag, bool) or not isinstance(lag, int) or lag < 0:
        raise AllocationError(f"lag is {lag!r}; it is a number of bars, 0 or more.")
    unknown = [way for way in ways if way not in ALL_WAYS]
    if unknown or not ways:
        raise AllocationError(f"ways are among {', '.join(ALL_WAYS)}; got {', '.join(unknown) or 'none'}.")
    trial = _Trial(function, read_table(table, times=times, time=time), tuple(ways), lag, seed)
    cuts = _choose_cuts(trial.table, rows=rows)
    base, again = trial.ask(trial.table.whole()), trial.ask(trial.table.whole())
    unsure = compare(base, again, until=trial.table.count)
    if unsure is not None:
        return trial.tell("random", cuts, difference=unsure)
    found = None
    for cut in cuts:
        found = trial.find(base, cut)
        if found is not None:
            break
    if found is None:
        trial.notes += _note_blind(trial, base)
        return trial.tell("clean", cuts)
    difference, way = found
    reach = _find_reach(trial, base, difference.bar, least=cut + 1 - difference.bar, way=way)
    return trial.tell("look-ahead", cuts, difference=difference, cut=cut, way=way, reach=reach)


@dataclass(slots=True, eq=False)
class _Trial:
    """A function and the table that it is tried on, with the count of its calls."""

    function: Callable[[Any], Any]
    table: Table
    ways: tuple[str, ...]
    lag: int
    seed: int
    calls: int = 0
    notes: list[str] = field(default_factory=list)

    def ask(self, given: Any, *, until: int | None = None, doing: str = "") -> Output:
        """What the function gives for all bars, or those up to `until`."""
        self.calls += 1
        bars = self.table.bars if until is None else self.table.bars[self.table.bars <= until]
        with _Told(doing):
            answer = self.function(given)
        return read_output(answer, table=self.table, bars=bars)

    def answer(self, cut: int, way: str) -> Output:
        """What the function gives where all after bar `cut` is changed."""
        told = f"all after {self.table.name(max(cut, 0))} was changed ({way})"
        if way == TRUNCATE:
            return self.ask(self.table.cut(cut), until=cut, doing=told)
        generator = np.random.default_rng([self.seed, cut + 1, ALL_WAYS.index(way)])
        return self.ask(self.table.change(cut, way=way, generator=generator), doing=told)

    def find(self, base: Output, cut: int) -> tuple[Difference, str] | None:
        """The earliest difference that any way makes in what is known at the cut."""
        found: tuple[Difference, str] | None = None
        for way in self.ways:
            known = cut if way == TRUNCATE else cut + self.lag  # a bar that is cut off has no answer
            difference = compare(base, self.answer(cut, way), until=known)
            if difference is None:
                continue
            if difference.size <= ROUNDING:
                self._note(f"changes of rounding alone ({difference.size:.0e}) came from the future, as an FFT makes")
            elif found is None or difference.bar < found[0].bar:
                found = difference, way
        return found

    def changes(self, base: Output, bar: int, after: int, way: str) -> bool:
        """Whether the output of one bar changes where only bars after `after` are."""
        if way == TRUNCATE and bar > after:
            return False
        other = self.answer(after, way)
        left, right = (
            Output(one.bars[one.bars == bar], {name: column[one.bars == bar] for name, column in one.columns.items()})
            for one in (base, other)
        )
        difference = compare(left, right, until=bar)
        return difference is not None and difference.size > ROUNDING

    def _note(self, note: str) -> None:
        start = note.partition("(")[0]
        if not any(one.startswith(start) for one in self.notes):
            self.notes.append(note)

    def tell(
        self,
        kind: Any,
        cuts: tuple[int, ...],
        *,
        difference: Difference | None = None,
        cut: int | None = None,
        way: str = "",
        reach: int | None = None,
    ) -> Lookahead:
        place = {} if difference is None else _place(difference, self.table)
        return Lookahead(
            kind=kind,
            bars=self.table.count,
            cuts=cuts,
            ways=self.ways,
            calls=self.calls,
            seed=self.seed,
            cut="" if cut is None else self.table.name(cut),
            way=way,
            reach=reach,
            to_end=difference is not None and reach == self.table.count - 1 - difference.bar,
            notes=tuple(self.notes) if kind == "clean" else (),
            **place,
        )


class _Told:
    """A context in which an error of the user's function says when it came."""

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self._doing:
            error.add_note(
                f"While it was checked for look-ahead: {self._doing}. If the function needs more rows, give rows= that "
                "leave enough, or ways= without truncate."
            )


def _place(difference: Difference, table: Table) -> dict[str, Any]:
    return {
        "bar": difference.bar,
        "time": table.name(min(difference.bar, table.count - 1)),
        "column": difference.column,
        "before": difference.before,
        "after": difference.after,
    }


def _choose_cuts(table: Table, *, rows: int | Sequence[int]) -> tuple[int, ...]:
    """Bars after which all is changed: spread out, and some of those that lack a number where there are any."""
    last = table.count - 2
    if not isinstance(rows, int):
        chosen = sorted({int(row) for row in rows})
        if not chosen or chosen[0] < 0 or chosen[-1] > last:
            raise AllocationError(f"cuts are rows from 0 to {last}, so that a bar comes after each; got {list(rows)}.")
        return tuple(chosen)
    if rows < 1 or isinstance(rows, bool):
        raise AllocationError(f"rows is {rows!r}; it is a number of cuts, at least 1, or the rows themselves.")
    spread = np.linspace(table.count / 3, last, rows).astype(np.int64)
    gaps = np.flatnonzero(table.missing()[: last + 1])
    few = gaps[np.linspace(0, gaps.size - 1, min(gaps.size, max(1, rows // 2))).astype(np.int64)] if gaps.size else gaps
    return tuple(np.unique(np.clip(np.concatenate([spread, few]), 0, last)).tolist())


def _find_reach(trial: _Trial, base: Output, bar: int, *, least: int, way: str) -> int:
    """How many bars after `bar` its output sees: the fewest that may be left as they are for nothing to change."""
    ways = tuple(dict.fromkeys((way, *trial.ways)))
    low, high = least, trial.table.count - 1 - bar  # it sees `low`, and there are no more than `high`
    while low < high:
        middle = (low + high) // 2
        if any(trial.changes(base, bar, bar + middle, one) for one in ways):
            low = middle + 1
        else:
            high = middle
    return low


def _note_blind(trial: _Trial, base: Output) -> list[str]:
    """Where nothing that the function is given matters, nothing was shown."""
    if all(
        compare(base, trial.answer(-1, way), until=trial.table.count) is None for way in trial.ways if way != TRUNCATE
    ):
        return ["the output stayed the same when all of the input was changed: it may come from somewhere else"]
    return []
