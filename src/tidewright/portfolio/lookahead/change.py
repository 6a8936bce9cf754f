"""Ways to change numbers that a function must not have seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Change = Callable[[NDArray[Any], np.random.Generator], NDArray[Any]]
TRUNCATE = "truncate"  # the one way that changes no number: the future is not there


def change_values(values: NDArray[Any], *, way: str, generator: np.random.Generator) -> NDArray[Any]:
    """Other values [n] of the same type. Prices stay above zero, whole numbers whole, truths truths."""
    if values.dtype.kind == "b":
        return _change_truths(values, way=way, generator=generator)
    changed = WAYS[way](values.astype(np.float64), generator)
    if values.dtype.kind in "iu":
        limits = np.iinfo(values.dtype)
        changed = np.clip(np.rint(changed), limits.min / 2, limits.max / 2)
    return np.asarray(changed.astype(values.dtype))


def _shuffle(values: NDArray[Any], generator: np.random.Generator) -> NDArray[Any]:
    return generator.permutation(values)


def _noise(values: NDArray[Any], generator: np.random.Generator) -> NDArray[Any]:
    draws = generator.normal(size=values.size)
    return values * np.exp(0.5 * draws) if values.min() > 0 else values + _spread(values) * draws


def _raise(values: NDArray[Any], generator: np.random.Generator) -> NDArray[Any]:
    factor = generator.uniform(2.0, 4.0)
    return values * factor if values.min() > 0 else values + factor * _spread(values)


def _lower(values: NDArray[Any], generator: np.random.Generator) -> NDArray[Any]:
    factor = generator.uniform(2.0, 4.0)
    return values / factor if values.min() > 0 else values - factor * _spread(values)


def _spread(values: NDArray[Any]) -> float:
    return float(values.std()) or float(np.abs(values).max()) or 1.0


def _change_truths(values: NDArray[Any], *, way: str, generator: np.random.Generator) -> NDArray[Any]:
    if way in ("raise", "lower"):
        return np.full_like(values, way == "raise")
    return generator.permutation(values) if way == "shuffle" else generator.random(values.size) < 0.5


WAYS: Mapping[str, Change] = MappingProxyType({"shuffle": _shuffle, "noise": _noise, "raise": _raise, "lower": _lower})
