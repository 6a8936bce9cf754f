"""Does the timing of a signal matter? Its result, among those of the same signal at other times.

n rows at which a signal earns, A assets, B permutations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.errors import AllocationError
from tidewright.metrics.bootstrap import choose_block
from tidewright.portfolio.costs import Costs
from tidewright.portfolio.forecasts.rank_ic import average_ranks
from tidewright.portfolio.inference.strategies import read_number
from tidewright.portfolio.inputs import FloatArray, read_matrix, refuse_prices

Rows = NDArray[np.intp]
Statistic = Callable[[Rows], FloatArray]  # rows of the signal [B, n] -> what each order comes to [B]
_CHUNK = 4_000_000  # numbers held at once
_LEAST = 20  # rows


@dataclass(frozen=True, slots=True, eq=False)
class Permutation:
    """A signal's `value` beside those of its permutations, `null` [B].

    `p_value` is the share of all orders, the true one among them, that come to at least the value: exact where the
    orders are equally likely. `block` is the length of the blocks that were moved, 0 for circular shifts.
    """

    statistic: str
    value: float
    p_value: float
    null: FloatArray = field(repr=False)
    scheme: str
    block: int
    rows: int
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.null.flags.writeable = False


def permutation_test(
    signal: ArrayLike,
    returns: ArrayLike,
    *,
    statistic: Literal["sharpe", "ic"] = "sharpe",
    scheme: Literal["shift", "blocks"] = "shift",
    block: int | None = None,
    costs: Costs | None = None,
    draws: int = 999,
    seed: int | np.random.Generator = 0,
) -> Permutation:
    """Whether a signal knows when: its result against that of the same signal moved in time.

    `signal` [T] or [T, A] is what is known after the close of bar t: for "sharpe" the position in each asset as a share
    of equity, which earns the simple `returns` of bar t + 1 (same shape), less `costs` of every change of position; for
    "ic" any number, whose rank correlation with those returns is taken over the assets of each date and averaged (with
    one asset: over time). Rows before the first whole row of the signal are left out. All assets move together, so what
    is alike among them stays.

    "shift" moves the whole signal around a circle, which keeps its persistence and its turnover; all shifts are taken
    where there are at most `draws`. "blocks" puts blocks of `block` rows in any order (default: the cube root of the
    rows; 1 is a free permutation); their joints break what persists, so they are for signals that hardly do. A signal
    that is always long keeps what the market rose by: the test asks of timing alone. One-sided: high is good.
    Sources: Aronson (2007), Evidence-Based Technical Analysis, chapter 6; Masters (2018), Testing and Tuning Market
    Trading Systems; the rule of one more: Phipson and Smyth (2010).

    >>> rng = np.random.default_rng(0)
    >>> returns = rng.normal(0, 0.01, 500)
    >>> knows = np.sign(np.append(returns[1:], 0.0) + rng.normal(0, 0.03, 500))
    >>> permutation_test(knows, returns).p_value < 0.01, permutation_test(knows[::-1], returns).p_value > 0.05
    (True, True)
    """
    draws = read_number(draws, least=19, name="draws", what="the number of permutations")
    _check_asked(statistic, scheme, block=block, costs=costs)
    given, earned, notes = _align(signal, returns)
    rows, generator = len(given), np.random.default_rng(seed)
    rate = 0.0 if costs is None else costs.rate
    measure = _sharpe_of(given, earned, rate=rate) if statistic == "sharpe" else _ic_of(given, earned)
    size = 0 if scheme == "shift" else _choose_block(block, rows=rows)
    draw = _shuffle_blocks if size else _shift
    orders = draw(rows, block=size, draws=draws, generator=generator)
    if not size and len(orders) == rows - 1:
        notes = (*notes, f"all {rows - 1} shifts were taken")
    value = float(measure(np.arange(rows)[None])[0])
    step = max(1, _CHUNK // given.size)
    null = np.concatenate([measure(orders[at : at + step]) for at in range(0, len(orders), step)])
    reached = null >= value - 1e-12 * abs(value)  # the same sum in another order is the same
    p_value = (1 + int(reached.sum())) / (1 + len(null))
    return Permutation(statistic, value, p_value, null, scheme, size, rows, notes)


def _check_asked(statistic: str, scheme: str, *, block: int | None, costs: Costs | None) -> None:
    if statistic not in ("sharpe", "ic"):
        raise AllocationError(f"statistic is {statistic!r}; it is 'sharpe' or 'ic'.")
    if scheme not in ("shift", "blocks"):
        raise AllocationError(f"scheme is {scheme!r}; it is 'shift' or 'blocks'.")
    if costs is not None and statistic == "ic":
        raise AllocationError("an information coefficient has no costs. Ask for statistic='sharpe', or leave them out.")
    if block is not None and scheme == "shift":
        raise AllocationError(
            "a shift moves the whole signal, not blocks. Ask for scheme='blocks', or leave block out."
        )


def _align(signal: ArrayLike, returns: ArrayLike) -> tuple[FloatArray, FloatArray, tuple[str, ...]]:
    """The signal [n, A] and what it earns [n, A], one bar later."""
    given, earned = (
        read_matrix(values[:, None] if values.ndim == 1 else values, noun=noun)
        for values, noun in ((np.asarray(signal), "signals"), (np.asarray(returns), "returns"))
    )
    if given.shape != earned.shape:
        raise AllocationError(f"the signal has the shape {np.shape(signal)}, returns {np.shape(returns)}. Align them.")
    refuse_prices(earned, names=tuple(f"column {column}" for column in range(earned.shape[1])))
    whole = np.isfinite(given).all(axis=1)
    first = int(whole.argmax()) if whole.any() else len(given)
    given, earned = given[first:-1], earned[first + 1 :]
    for noun, values in (("signal", given), ("returns", earned)):
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0]) + first + (noun == "returns")
            raise AllocationError(f"the {noun} of row {row} lack a number. Fill the gap, or leave those rows out.")
    if len(given) < _LEAST:
        raise AllocationError(f"{len(given)} rows of a signal can't be tested; at least {_LEAST} are needed.")
    return given, earned, (f"the first {first} rows have no signal",) if first else ()


def _sharpe_of(positions: FloatArray, earned: FloatArray, *, rate: float) -> Statistic:
    """The Sharpe ratio a period, ddof = 1, of positions at the rows of each order, after costs."""
    if not np.any(positions):
        raise AllocationError("the signal takes no position at all. Give shares of equity, positive for long.")

    def measure(orders: Rows) -> FloatArray:
        held = positions[orders]
        net = np.einsum("bna,na->bn", held, earned)
        if rate:
            before = np.concatenate([np.zeros_like(held[:, :1]), held[:, :-1]], axis=1)
            net = net - rate * np.abs(held - before).sum(axis=2)
        spread = net.std(axis=1, ddof=1)
        return np.asarray(np.divide(net.mean(axis=1), spread, out=np.zeros(len(net)), where=spread > 1e-15))

    return measure


def _ic_of(signal: FloatArray, earned: FloatArray) -> Statistic:
    """The mean rank correlation over assets, or over time where there is one asset."""
    count = signal.shape[1]
    if count == 2:
        raise AllocationError("a rank correlation over 2 assets says little; it takes one asset or at least 3.")
    by_time = count == 1
    left, right = (_score_ranks(values.T if by_time else values) for values in (signal, earned))
    if not left.any():
        raise AllocationError("the signal never differs, so it has no ranks. Check it.")
    left, right = (left.T, right.T) if by_time else (left, right)
    dates = 1 if by_time else int((left.any(axis=1) & right.any(axis=1)).sum())
    return lambda orders: np.einsum("bna,na->b", left[orders], right) / max(dates, 1)


def _score_ranks(values: FloatArray) -> FloatArray:
    """Ranks of each row, centred and of length one, so that a product is a correlation; 0 where nothing differs."""
    ranks = np.stack([average_ranks(row) for row in values])
    ranks -= ranks.mean(axis=1, keepdims=True)
    length = np.sqrt((ranks**2).sum(axis=1, keepdims=True))
    return np.asarray(np.divide(ranks, length, out=np.zeros_like(ranks), where=length > 0.0))


def _choose_block(block: int | None, *, rows: int) -> int:
    if block is None:
        return choose_block(rows)
    size = read_number(block, least=1, name="block", what="the length of the blocks that are moved")
    if 2 * size > rows:
        raise AllocationError(f"blocks of {size} leave {rows} rows nowhere to go. Ask for at most {rows // 2}.")
    return size


def _shift(rows: int, *, block: int, draws: int, generator: np.random.Generator) -> Rows:
    """Orders [B, n] of the rows around a circle; `block` is 0, for nothing is cut."""
    steps = np.arange(1, rows)
    if draws < rows - 1:
        steps = np.sort(generator.choice(steps, size=draws, replace=False))
    return np.asarray((np.arange(rows)[None] - steps[:, None]) % rows)


def _shuffle_blocks(rows: int, *, block: int, draws: int, generator: np.random.Generator) -> Rows:
    """Orders [B, n] of whole blocks; the last one may be shorter."""
    of_row = np.arange(rows) // block
    places = generator.permuted(np.tile(np.arange(of_row[-1] + 1), (draws, 1)), axis=1)
    return np.argsort(places[:, of_row], axis=1, kind="stable")
