"""The call that takes a function's place. It is the hot path: what is rare happens elsewhere."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from tidewright.inference.jit.hot import DOUBTFUL, Group, HotFunction

P = ParamSpec("P")
R = TypeVar("R")


def make_call(function: Callable[P, R], hot: HotFunction) -> Callable[P, R]:
    """A function of the same name and parameters: the compiled form of its kind of arguments answers, or the function
    itself.
    """
    call = _make_plain(function, hot) if hot.whole.reason else _make_quick(function, hot)
    call.hot = hot  # type: ignore[attr-defined]  # lives as long as the call does
    return call


def _make_plain(function: Callable[P, R], hot: HotFunction) -> Callable[P, R]:
    """Of a function that is never compiled."""
    tick = hot.whole.interpreted.tick

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        tick()
        return function(*args, **kwargs)

    return call


def _make_quick(function: Callable[P, R], hot: HotFunction) -> Callable[P, R]:
    names, by_place, *_ = hot.parameters
    size = len(names) if len(names) == by_place else -1
    find, fill = hot.table.get, hot.parameters.fill

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        row = args if len(args) == size and not kwargs else fill(args, kwargs)
        form: Any = find(tuple(map(type, row)))
        if form.__class__ is Group:
            place = form.place  # of one array as `make_marker` does, without its call
            key = form.mark(row) if place < 0 else (id((array := row[place]).dtype), array.ndim, array.flags.num)
            form = form.get(key)
        form = form or hot.enter(row)
        entry = form.entry
        if entry is None:
            if form.cold:
                return hot.interpret(form, row, args, kwargs)
            form.tick_interpreted()
            return function(*args, **kwargs)
        n = form.tick()
        if n >= form.check_at:
            return hot.careful(form, row, args, kwargs, n)
        try:
            answer = entry(*row)
        except DOUBTFUL:
            pass
        else:
            return answer if form.restore is None else form.restore(answer)
        return hot.doubt(form, args, kwargs)

    return call
