"""Values as shares of their range in [0, 1], and back: what draws, sequences and models of points have in common."""

from __future__ import annotations

import json
import math
from typing import Any

from tidewright.tuning.ranges import Choice, FloatRange, IntRange, Range


def value_at(one: Range, share: float) -> Any:
    """The value at a share: evenly spread shares give evenly spread values, on a logarithmic range even ratios.

    >>> value_at(IntRange(1, 4), 0.0), value_at(IntRange(1, 4), 0.99)
    (1, 4)
    >>> round(value_at(FloatRange(1.0, 100.0, log=True), 0.5), 9)
    10.0
    """
    if isinstance(one, Choice):
        return one.choices[_index(share, len(one.choices))]
    low, high = float(one.low), float(one.high)
    if one.low == one.high:
        return one.low
    if isinstance(one, IntRange):
        if one.log:
            return one.nearest(math.exp(math.log(low - 0.5) + share * math.log((high + 0.5) / (low - 0.5))))
        return one.low + one.step * _index(share, int(one.size))
    if one.step is not None:
        return one.nearest(low + one.step * _index(share, int(one.size)))
    between = math.exp(math.log(low) + share * math.log(high / low)) if one.log else low + share * (high - low)
    return float(min(max(between, low), high))


def share_of(one: Range, value: Any) -> float:
    """The share at which a value of the range stands; one of several stands in the middle of its part.

    >>> share_of(IntRange(1, 4), 1), share_of(Choice(("a", "b")), "b"), share_of(FloatRange(0.0, 2.0), 0.5)
    (0.125, 0.75, 0.25)
    """
    if isinstance(one, Choice):
        return (one.labels.index(json.dumps(value)) + 0.5) / len(one.choices)
    low, high = float(one.low), float(one.high)
    if one.low == one.high:
        return 0.5
    if isinstance(one, IntRange) and one.log:
        return math.log(value / (low - 0.5)) / math.log((high + 0.5) / (low - 0.5))
    if one.step is not None:
        return float((round((value - low) / one.step) + 0.5) / one.size)
    return float(math.log(value / low) / math.log(high / low) if one.log else (value - low) / (high - low))


def is_continuous(one: Range) -> bool:
    """Whether there is no end of its values."""
    return isinstance(one, FloatRange) and math.isinf(one.size)


def _index(share: float, size: int) -> int:
    return min(max(int(share * size), 0), size - 1)
