"""What plain options may be, checked where they enter: whole numbers, seconds, flags, text, paths.

Each raises `ConfigError` that names the option.
"""

from __future__ import annotations

import os
from math import inf
from pathlib import Path
from typing import Any

from tidewright.errors import ConfigError

MOST_S = 1e9  # seconds: more than that no wait of the interpreter takes


def check_whole(name: str, value: Any, *, least: int = 1, most: int | None = None) -> None:
    """Refuses other than a whole number in its range.

    >>> check_whole("rows", 0)
    Traceback (most recent call last):
        ...
    tidewright.errors.ConfigError: rows is a whole number, 1 or more; got 0.
    """
    fits = isinstance(value, int) and not isinstance(value, bool) and least <= value
    if not fits or (most is not None and value > most):
        wanted = f", {least} or more" if most is None else f" from {least} to {most}"
        raise ConfigError(f"{name} is a whole number{wanted}; got {value!r}.")


def check_real(name: str, value: Any, *, words: str, low: float, high: float = inf, open_low: bool = False) -> None:
    """Refuses other than a finite number from `low` (not that itself where it is open) to `high`; `words` say so."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not low <= value <= high or value == inf or (open_low and value == low):
        raise ConfigError(f"{name} is {words}; got {value!r}.")


def check_seconds(name: str, value: object, *, endless: bool = True) -> None:
    """Refuses other than a number of seconds above 0, or, where it is `endless`, None."""
    if value is not None or not endless:
        words = f"a number of seconds above 0{', or None' if endless else ''}"
        check_real(name, value, words=words, low=0.0, high=MOST_S, open_low=True)


def check_flag(name: str, value: object) -> None:
    """Refuses other than True and False, such as "no", which Python takes for True."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name} is True or False; got {value!r}.")


def check_text(name: str, value: object) -> None:
    """Refuses other than text."""
    if not isinstance(value, str):
        raise ConfigError(f"{name} is text; got {value!r}.")


def check_calls(name: str, value: object) -> None:
    """Refuses other than a list of functions, such as one alone."""
    if not isinstance(value, (list, tuple)) or not all(map(callable, value)):
        raise ConfigError(f"{name} is a list of functions, such as [print]; got {value!r}.")


def check_call(name: str, value: object) -> None:
    """Refuses what can't be called."""
    if not callable(value):
        raise ConfigError(f"{name} is a function, such as time.monotonic; got {value!r}.")


def to_path(name: str, value: Any, *, of: str) -> Path:
    """A path that a user gave; nothing, which would be the present folder, is none.

    >>> to_path("bundle", 5, of="a bundle's folder")
    Traceback (most recent call last):
        ...
    tidewright.errors.ConfigError: bundle is the path of a bundle's folder; got 5. Give text or a Path.
    """
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value) or isinstance(os.fspath(value), bytes):
        raise ConfigError(f"{name} is the path of {of}; got {value!r}. Give text or a Path.")
    return Path(value)


def check_kind(name: str, value: object, *, kind: type, advice: str) -> None:
    """Refuses what is no such record, with what makes one."""
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise ConfigError(f"{name} is {article} {kind.__name__}; got {value!r}. {advice}")
