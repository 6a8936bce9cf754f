"""How far weights use their limits, and which of these bind. A assets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.limits import Limits
from tidewright.portfolio.limits.rows import Limit

NEAR = 1e-6  # of the money: so near to its bound a limit binds


@dataclass(frozen=True, slots=True)
class LimitUse:
    """One limit in the words of who set it: the `value` that comes nearest to its `bound`, whether it `binds`, and the
    `assets` that do, where it is of each asset on its own."""

    words: str
    value: float
    bound: float
    binds: bool
    assets: tuple[str, ...] = ()


def use_limits(
    limits: Limits,
    weights: FloatArray,
    *,
    assets: Sequence[str],
    previous: FloatArray | None = None,
    covariance: FloatArray | None = None,
) -> tuple[LimitUse, ...]:
    """What weights [A] make of each limit, but for those that nobody wrote: `long only`, and `net = 1`.

    `long only` is left out too where it was written: it binds wherever an asset has no weight. A limit on turnover
    needs the `previous` weights [A] and one on tracking error the `covariance` [A, A] of a period; without them it is
    passed over.

    >>> used = use_limits(Limits.parse("A <= 0.4", "each <= 0.5"), np.array([0.4, 0.35, 0.25]), assets=("A", "B", "C"))
    >>> [(one.words, round(one.value, 3), one.binds) for one in used]
    [('each <= 0.5', 0.35, False), ('A <= 0.4', 0.4, True)]
    """
    names = tuple(assets)
    usual = {limits.words.get("long_only.lower", "long only")}
    if not any(place.startswith("net.") for place in limits.words) and limits.net == (1.0, 1.0):
        usual.add("net = 1")
    found = [
        _use(limit, weights, names, previous=previous, covariance=covariance)
        for limit in limits.resolve(names)
        if limit.words not in usual
    ]
    return (*(one for one in found if one is not None), *_count(limits, weights, names))


def _use(
    limit: Limit,
    weights: FloatArray,
    names: tuple[str, ...],
    *,
    previous: FloatArray | None,
    covariance: FloatArray | None,
) -> LimitUse | None:
    if limit.kind == "linear":
        return _use_rows(limit, weights, names)
    if limit.kind == "leverage":
        value = float(np.abs(weights).sum())
    elif limit.kind == "turnover" and previous is not None:
        value = float(np.abs(weights - previous).sum())
    elif limit.kind == "tracking_error" and covariance is not None:
        apart = weights - limit.rows[0]
        value = float(np.sqrt(max(0.0, apart @ covariance @ apart)))
    else:
        return None
    return LimitUse(limit.words, value, limit.upper, binds=limit.upper - value <= NEAR)


def _use_rows(limit: Limit, weights: FloatArray, names: tuple[str, ...]) -> LimitUse:
    values = limit.rows @ weights
    room = np.minimum(limit.upper - values, values - limit.lower)
    nearest = int(np.argmin(room))
    below = values[nearest] - limit.lower <= limit.upper - values[nearest]
    at: tuple[str, ...] = ()
    if len(limit.rows) > 1:
        at = tuple(names[int(np.argmax(limit.rows[row]))] for row in np.flatnonzero(room <= NEAR))
    bound = limit.lower if below else limit.upper
    return LimitUse(limit.words, float(values[nearest]), float(bound), binds=bool(room[nearest] <= NEAR), assets=at)


def _count(limits: Limits, weights: FloatArray, names: tuple[str, ...]) -> Iterator[LimitUse]:
    """The limits that are not convex."""
    sizes = np.abs(weights)
    held = np.flatnonzero(sizes > 0.0)
    if limits.names is not None:
        words = limits.say("names", "upper")
        yield LimitUse(words, float(held.size), float(limits.names), binds=held.size >= limits.names)
    if limits.min_position is not None and held.size:
        least = float(sizes[held].min())
        at = tuple(names[place] for place in held[sizes[held] - limits.min_position <= NEAR])
        yield LimitUse(limits.say("min_position", "lower"), least, limits.min_position, binds=bool(at), assets=at)
