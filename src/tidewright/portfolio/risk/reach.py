"""From one bar to a horizon of h bars: T bars, A assets."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.risk.record import HorizonBy, Tail


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Outcomes [n, A] over the horizon, what reads their tails, how the horizon was reached, and what there is to say.

    `splits_by` says how the parts of a portfolio's VaR are found, where that is not plain from the method.
    """

    outcomes: FloatArray
    tail: Tail
    horizon_by: HorizonBy
    notes: tuple[str, ...] = ()
    splits_by: str = ""


def compound_blocks(returns: FloatArray, *, bars: int) -> FloatArray:
    """The simple returns of all blocks of so many bars in a row [T - bars + 1, A]: prod(1 + r) - 1.

    >>> compound_blocks(np.array([[0.1], [0.1], [-0.5]]), bars=2).round(6).ravel().tolist()
    [0.21, -0.45]
    """
    growth, found, done, width = 1.0 + returns, None, 0, 1
    left = bars
    while left:  # by the binary digits of the length: a product of blocks of 1, 2, 4 ... bars
        if left & 1:
            part = growth if found is None else growth[done:]
            found = part if found is None else found[: len(part)] * part
            done += width
        left >>= 1
        if left:
            growth = growth[:-width] * growth[width:]
            width *= 2
    assert found is not None, "a block has a bar"
    return np.asarray(found[: len(returns) - bars + 1] - 1.0)


def take_blocks(returns: FloatArray, *, horizon: int, confidence: float) -> tuple[FloatArray, tuple[str, ...]]:
    """The blocks of `make_blocks`; less than one independent one beyond the confidence is an error."""
    bars = len(returns)
    apart = bars // horizon
    if apart * (1.0 - confidence) < 1.0 - 1e-9:
        needed = math.ceil(horizon / (1.0 - confidence) - 1e-9)
        raise AllocationError(
            f"{bars} bars hold {apart} blocks of {horizon}, of which {apart * (1.0 - confidence):.2g} are expected "
            f"beyond a confidence of {confidence:g}; at least one is needed. Bring {needed} bars, ask for a shorter "
            "horizon or a lower confidence, or take method='normal'."
        )
    return make_blocks(returns, horizon=horizon)


def make_blocks(returns: FloatArray, *, horizon: int) -> tuple[FloatArray, tuple[str, ...]]:
    """Blocks of the horizon [T - horizon + 1, A], each compounded, and what to say of them."""
    if horizon == 1:
        return returns, ()
    check_root(returns, horizon=horizon)
    apart = len(returns) // horizon
    blocks = compound_blocks(returns, bars=horizon)
    note = f"horizon by {len(blocks)} overlapping blocks of {horizon} bars, compounded; {apart} of them are independent"
    return blocks, (note,)


def check_root(returns: FloatArray, *, horizon: int) -> None:
    """A horizon longer than the data is beyond what the root of time may be asked."""
    if horizon > len(returns):
        raise AllocationError(
            f"a horizon of {horizon} bars is longer than the {len(returns)} bars of returns. Bring more bars, or ask "
            "for a shorter horizon."
        )
