"""Records as plain JSON data, and back: NaN is null, an infinity is the text "inf" or "-inf"."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np


def to_plain(value: Any) -> Any:
    """Dicts, lists, text and finite numbers that say the same; a record becomes a dict of its fields.

    >>> to_plain({"a": (1, 2.5), "b": float("nan"), "c": float("-inf")})
    {'a': [1, 2.5], 'b': None, 'c': '-inf'}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
        return [to_plain(one) for one in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, (date, Path)):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a {type(value).__name__} can't be kept in a record: {value!r}. Bring plain data.")


def to_number(value: Any) -> float:
    """A number as it was before it was written.

    >>> to_number(None), to_number("-inf"), to_number(0)
    (nan, -inf, 0.0)
    """
    return math.nan if value is None else float(value)


def dump(value: Any) -> str:
    """One line of strict JSON."""
    return json.dumps(to_plain(value), allow_nan=False, ensure_ascii=False)
