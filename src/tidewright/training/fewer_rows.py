"""What becomes of a model of cells when memory ends: it learns anew from half as many, and says so."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from tidewright.errors import BackendError, FallbackWarning, FitError

FEWEST = 1000  # rows that are learned from
ENDS = ("bad_alloc", "bad allocation")  # of memory, as C++ words it
FAILURES = {
    "lightgbm": ("lightgbm.basic", "LightGBMError"),
    "xgboost": ("xgboost.core", "XGBoostError"),
    "catboost": ("_catboost", "CatBoostError"),
}
Learned = TypeVar("Learned")


def learn_in_memory(
    learn: Callable[[int], Learned], *, rows: int, model: str, strict: bool
) -> tuple[Learned, tuple[Mapping[str, Any], ...]]:
    """What is learned from at most so many rows, or, where memory ends, from half of them, as often as that takes; and
    what the history says then.

    Raises `BackendError` instead when `strict`, and `FitError` where fewer than 1000 would be left.
    """
    told: list[Mapping[str, Any]] = []
    while True:
        try:
            return learn(rows), tuple(told)
        except MemoryError as error:
            reason = str(error) or "no memory"
        rows //= 2  # what the failed try held is free by now
        if rows < FEWEST:
            raise FitError(f"{model}: memory ran out with {2 * rows} rows or more: {reason}. Take a smaller model.")
        text = f"{model}: memory ran out; it learns anew from {rows} rows: {reason}"
        if strict:
            raise BackendError(f"{text}. Ask for at most so many (most_rows), or leave strict out.")
        warnings.warn(text, FallbackWarning, stacklevel=2)
        told.append({"fallback": text})


@contextmanager
def name_memory_error(model: str) -> Iterator[None]:
    """What a model's library in C++ raises when memory ends, as a `MemoryError`; every other error is passed on."""
    try:
        yield
    except _failure(model) as error:
        line = next((line for line in str(error).splitlines() if any(end in line for end in ENDS)), "")
        if line:
            raise MemoryError(line.strip()) from error
        raise


def _failure(model: str) -> type[BaseException]:
    """The one error of a model's library, which is loaded when it raises one."""
    module, name = FAILURES.get(model, ("", ""))
    failure: type[BaseException] = getattr(sys.modules[module], name) if module in sys.modules else MemoryError
    return failure
