"""Several windows as one request: a list, or a stream that never ends. Each item is an array [L] or [N, L] of past
values, or a mapping of arrays by input name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol, TypeGuard

import numpy as np

from tidewright.checks import check_whole
from tidewright.errors import ColumnError, ConfigError, DataError
from tidewright.inference.session import Prediction

Item = Any  # an array, or a mapping of arrays


class Predicts(Protocol):
    """What answers windows."""

    def predict(self, x: Any, /) -> Prediction:
        """See `Session.predict`."""
        ...


def check_session(one: object) -> None:
    """Raises `ConfigError` for what is no session, such as a bundle or its path."""
    if not (hasattr(one, "predict") and hasattr(one, "stages")):
        raise ConfigError(f"a session is needed, got {type(one).__name__}. Open a bundle with tw.open first.")


def is_items(x: Any) -> TypeGuard[Sequence[Item]]:
    """Whether it is a list of arrays or of mappings; one of plain numbers is an array."""
    return isinstance(x, (list, tuple)) and bool(x) and isinstance(x[0], (np.ndarray, Mapping))


def join_items(items: Sequence[Item], *, start: int = 0, axes: int = 1) -> dict[str, Any]:
    """All windows of a list by input name, in its order. Raises `DataError` and `ColumnError`, which name the item.

    `start` is the number of the first, `axes` how many dimensions one window of the target has.
    """
    windows = [_to_windows(item, number, axes=axes) for number, item in enumerate(items, start)]
    first = windows[0]
    for number, item in enumerate(windows, start):
        if item.keys() != first.keys():
            raise ColumnError(
                f"item {number} has the inputs {', '.join(map(str, item))}, and item {start} "
                f"{', '.join(map(str, first))}. Give all the same."
            )
        for name, array in item.items():
            if array.shape[1:] != first[name].shape[1:]:
                raise DataError(
                    f"item {number} has windows of the shape {array.shape[1:]} for '{name}', and item {start} of "
                    f"{first[name].shape[1:]}. Give windows of one shape."
                )
    return {name: np.concatenate([item[name] for item in windows]) for name in first}


def count_windows(item: Item, *, axes: int = 1) -> int:
    """How many windows an item holds, which `join_items` has looked at."""
    target = item["target"] if isinstance(item, Mapping) else item
    return 1 if target.ndim == axes else len(target)


def predict_stream(session: Predicts, items: Iterable[Item], *, batch_size: int) -> Iterator[Prediction]:
    """The answer to each item, in order, `batch_size` of them a call; nothing is asked of `items` before it is needed.

    An error names the item by its place in the stream, after the answers to those before it were given. `latency_ms` is
    that of the call. Raises `ConfigError`, `DataError` and `ColumnError`.
    """
    check_whole("batch_size", batch_size)
    if not isinstance(items, Iterable):
        raise ConfigError(f"items are a list or a stream of windows; got {items!r}. Give [{items!r}] for one.")
    return _stream(session, iter(items), batch_size=batch_size)


def _stream(session: Predicts, items: Iterator[Item], *, batch_size: int) -> Iterator[Prediction]:
    place = 0
    while batch := list(islice(items, batch_size)):
        try:
            whole = session.predict(join_items(batch))
        except DataError:  # one of them: the others are answered
            yield from _answer_singly(session, batch, place=place)
        else:
            start = 0
            for item in batch:
                stop = start + count_windows(item)
                yield whole._replace(quantiles=whole.quantiles[start:stop].copy())
                start = stop
        place += len(batch)


def _answer_singly(session: Predicts, batch: list[Item], *, place: int) -> Iterator[Prediction]:
    for number, item in enumerate(batch):
        windows = _to_windows(item, place + number, axes=1)
        try:
            answer = session.predict(windows)
        except DataError as error:
            raise type(error)(f"item {place + number} of the stream: {error}") from error
        yield answer


def _to_windows(item: Item, number: int, *, axes: int) -> dict[str, Any]:
    """The arrays of an item by name, each [N, ...]."""
    arrays = dict(item) if isinstance(item, Mapping) else {"target": item}
    target = arrays.get("target")
    if not all(isinstance(array, np.ndarray) and array.dtype.kind in "fiu" for array in arrays.values()):
        kinds = ", ".join(str(getattr(array, "dtype", type(array).__name__)) for array in arrays.values())
        raise DataError(f"item {number} holds {kinds}; arrays of numbers are needed. Convert them with numpy.")
    if target is None:
        raise ColumnError(f"item {number} lacks the input 'target'. Give each item every input.")
    if not target.ndim:
        raise DataError(f"item {number} is a single value ({str(target)[:40]}). Give an array of each window's values.")
    if target.ndim == axes:
        arrays = {name: array[None] for name, array in arrays.items()}
    counts = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        raise DataError(f"item {number} holds {counts} windows; every input holds the same, one or more.")
    return arrays
