"""Whether live values come from where the reference's came: PSI, Kolmogorov-Smirnov and MMD, over blocks of time.

Values that follow each other are alike, so a p-value that takes each for a new one alarms all the time. Here whole
blocks of time change places: how often would as many blocks, drawn from all, differ as much as the live ones do? Blocks
are joined until the reference's hardly hang together; what is left of that makes the live difference smaller, by how
much more the mean of neighbours varies than that of blocks drawn apart, for few blocks can't show that they are
alike. Where too few are left, no test is made, and the reason is said. In worlds without drift, of autocorrelation 0 to
0.9, the tests hold that 5 % reject at 5 %, give or take three standard errors (tests/inference/test_drift.py);
benchmarks/drift.py has the rates of whole looks.

n values, B blocks, C columns, P draws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.errors import DataError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
BINS = 10
GRID = 128  # places where two distribution functions are compared for a p-value
FEWEST = 6  # blocks of the reference
ALIKE = 1.0  # standard errors of the correlation of neighbouring blocks that are let pass
MOST_ROWS = 1024  # of a kernel matrix


@dataclass(frozen=True, eq=False, slots=True)
class Blocked:
    """Values [n] (or [n, C]) and the block of each [n], counted in time; NaN values are left out when they are made."""

    values: Floats
    blocks: Ints

    @property
    def count(self) -> int:
        """How many blocks there are, from the first to the last."""
        return int(self.blocks.max()) + 1 if len(self.blocks) else 0


@dataclass(frozen=True, slots=True)
class Tested:
    """A statistic and its p-value; None where the test can't be made, and `reason` says why. `joined` is how many
    blocks of the reference were made one, `least` the smallest p-value that so many blocks can give, `held` how many
    times as much the mean of neighbours among them varies as that of blocks drawn apart.
    """

    statistic: float
    p_value: float | None
    joined: int = 1
    least: float = 0.0
    reason: str = ""
    held: float = 1.0


def block_values(values: npt.ArrayLike, blocks: npt.ArrayLike) -> Blocked:
    """Values with their blocks, without those that are missing (of rows [n, C]: without rows that lack one)."""
    table, places = np.asarray(values, dtype=np.float64), np.asarray(blocks, dtype=np.int64)
    kept = ~np.isnan(table) if table.ndim == 1 else ~np.isnan(table).any(axis=1)
    if np.isinf(table).any():
        raise DataError("the values hold an infinite one. Mend it, or leave it empty.")
    return Blocked(table[kept], places[kept])


def find_edges(values: npt.ArrayLike, *, bins: int = BINS) -> Floats:
    """The inner edges of quantile bins: a value belongs to the first bin whose edge is not below it.

    A value that is so common that it would be two edges has a bin of its own, so that what lies just below it is told
    apart from it; a column that never moves has three bins: below, at, and above.

    >>> find_edges([1.0, 2.0, 3.0, 4.0], bins=2), len(find_edges([5.0, 5.0, 5.0]))
    (array([2.]), 2)
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    if not known.size:
        return np.empty(0)
    levels = np.arange(1, bins) / bins
    found, times = np.unique(np.quantile(known, levels, method="inverted_cdf"), return_counts=True)
    common = found[times > 1] if len(np.unique(known)) > 1 else found
    return np.unique(np.concatenate([found, np.nextafter(common, -np.inf)]))


def psi(expected: npt.ArrayLike, actual: npt.ArrayLike, *, bins: int = BINS) -> float:
    """The population stability index over quantile bins of `expected`: the sum of (a - e) ln(a / e) over the bins'
    shares.

    Missing values are a bin of their own where there are any. An empty bin counts half a value. NaN where either side
    has no value. By custom below 0.1 is no shift and above 0.25 a large one; that knows nothing of how many values
    there are, so that alarms go by a p-value.
    Source: Lewis (1994), An introduction to credit scoring; Siddiqi (2006).
    """
    before, now = (np.asarray(one, dtype=np.float64).reshape(-1) for one in (expected, actual))
    if not before.size or not now.size:
        return math.nan
    edges = find_edges(before, bins=bins)
    counts = np.stack([_count(one, edges) for one in (before, now)]).astype(np.float64)
    counts = counts[:, counts.sum(axis=0) > 0]
    return float(_index(counts[:1], counts[1:])[0])


def ks_statistic(expected: npt.ArrayLike, actual: npt.ArrayLike) -> float:
    """The largest distance of two distribution functions; NaN values are left out, and without any other it is NaN.

    Source: Kolmogorov (1933), Smirnov (1948).
    """
    before, now = (np.sort(one[~np.isnan(one)]) for one in (np.asarray(expected, float), np.asarray(actual, float)))
    if not before.size or not now.size:
        return math.nan
    places = np.concatenate([before, now])
    ours = np.searchsorted(before, places, side="right") / before.size
    theirs = np.searchsorted(now, places, side="right") / now.size
    return float(np.abs(ours - theirs).max())


def mmd_statistic(expected: npt.ArrayLike, actual: npt.ArrayLike, *, width: float | None = None) -> float:
    """The unbiased squared maximum mean discrepancy of two samples [n, C] under a Gaussian kernel; it may be negative.

    The kernel is exp(-d^2 / (2 width^2)), the width by default the median distance of all pairs. NaN where a side has
    fewer than two rows.
    Source: Gretton, Borgwardt, Rasch, Schoelkopf and Smola (2012), A kernel two-sample test.
    """
    before, now = (np.asarray(one, dtype=np.float64) for one in (expected, actual))
    if len(before) < 2 or len(now) < 2:
        return math.nan
    kernel = _kernel(np.concatenate([before, now]), width)
    sums = _sum_blocks(kernel, np.repeat([0, 1], [len(before), len(now)]).astype(np.int64), count=2)
    return float(_discrepancy(sums, np.array([len(before), len(now)]), np.array([[False, True]]))[0])


def compare_values(reference: Blocked, live: Blocked, *, draws: int = 1999, seed: int = 0) -> tuple[Tested, Tested]:
    """The tests of one column, by the index (PSI) and by the largest distance (KS); p-values by drawing blocks.

    Statistics are those of `psi` and `ks_statistic`. The p-values compare with draws on bins and places of all values
    together, so that no part is favoured.
    """
    statistics = psi(reference.values, live.values), ks_statistic(reference.values, live.values)
    joined, held, reason = _find_joined(reference, live)
    if reason:
        none = [Tested(one, None, joined, reason=reason, held=held) for one in statistics]
        return none[0], none[1]
    values, blocks, live_blocks = _join(reference, live, joined)
    picks = draw_picks(int(blocks.max()) + 1, live_blocks, draws=draws, seed=seed)
    edges, places = find_edges(values), _find_places(values)
    counts = _count_blocks(values, blocks, edges)
    index, distance = _index_of(counts, picks), _distance_of(_count_blocks(values, blocks, places), picks)
    p_values = _permute(index, less=held), _permute(distance, less=math.sqrt(held))  # the index is a square
    least = least_p(picks.shape[1], live_blocks)
    made = [Tested(told, p_value, joined, least, held=held) for told, p_value in zip(statistics, p_values, strict=True)]
    return made[0], made[1]


def compare_means(reference: Blocked, live: Blocked, *, greater: bool, draws: int = 1999, seed: int = 0) -> Tested:
    """The test that the live mean is the reference's, against a greater one, or against any other."""
    if not len(live.values) or not len(reference.values):
        return Tested(math.nan, None, reason="there is nothing to compare")
    statistic = float(live.values.mean() - reference.values.mean())
    joined, held, reason = _find_joined(reference, live)
    if reason:
        return Tested(statistic, None, joined, reason=reason, held=held)
    values, blocks, live_blocks = _join(reference, live, joined)
    picks = draw_picks(int(blocks.max()) + 1, live_blocks, draws=draws, seed=seed)
    count = picks.shape[1]
    sums, sizes = np.bincount(blocks, values, count), np.bincount(blocks, minlength=count).astype(np.float64)
    mine, all_of = picks.astype(np.float64), (sums.sum(), sizes.sum())
    inside, size = mine @ sums, mine @ sizes
    apart = inside / np.maximum(size, 1) - (all_of[0] - inside) / np.maximum(all_of[1] - size, 1)
    p_value = _permute(apart if greater else np.abs(apart), less=math.sqrt(held))
    return Tested(statistic, p_value, joined, least_p(count, live_blocks), held=held)


def compare_rows(
    reference: Blocked, live: Blocked, *, joined: int, held: float = 1.0, draws: int = 1999, seed: int = 0
) -> Tested:
    """The test of all columns together, by the maximum mean discrepancy of rows [n, C] in the reference's deviations.

    `joined` is how many blocks are made one: the most that any of its columns needs; `held` likewise: see `Tested`.
    """
    if len(reference.values) < 2 or len(live.values) < 2:
        return Tested(math.nan, None, joined, reason="fewer than two whole rows are there")
    centre, scale = reference.values.mean(axis=0), reference.values.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    before, now = (Blocked((one.values - centre) / scale, one.blocks) for one in (reference, live))
    few = _explain_few(before, now, joined)
    values, blocks, live_blocks = _join(_thin(before), _thin(now), joined)
    kernel = _kernel(values, None)
    count = int(blocks.max()) + 1
    sums, sizes = _sum_blocks(kernel, blocks, count=count), np.bincount(blocks, minlength=count)
    if few:
        own = np.arange(count) >= count - live_blocks
        return Tested(float(_discrepancy(sums, sizes, own[None])[0]), None, joined, reason=few)
    picks = draw_picks(count, live_blocks, draws=draws, seed=seed)
    found = _discrepancy(sums, sizes, picks)
    return Tested(float(found[0]), _permute(found, less=held), joined, least_p(count, live_blocks), held=held)


def draw_picks(count: int, live: int, *, draws: int, seed: int) -> npt.NDArray[np.bool_]:
    """Which of `count` blocks are taken for the live ones [P + 1, B]: the last `live` first, then so many draws."""
    order = np.random.default_rng(seed).random((draws, count)).argsort(axis=1)
    return np.concatenate([np.arange(count)[None] >= count - live, order < live])


def least_p(count: int, live: int) -> float:
    """The smallest p-value that drawing `live` of `count` blocks can give.

    >>> least_p(20, 1)
    0.05
    """
    return 1.0 / math.comb(count, live)


def _permute(found: Floats, *, less: float) -> float:
    """The share of draws that are at least as far out as the first, made `less`; rounding makes no difference."""
    real, drawn = found[0] / less, found[1:]
    return float((1 + np.count_nonzero(drawn >= real - 1e-12 * max(abs(real), 1.0))) / (1 + len(drawn)))


def _find_joined(reference: Blocked, live: Blocked) -> tuple[int, float, str]:
    """How many blocks are made one so that neighbours are hardly alike, how far they still hold together (see
    `Tested`), and why that leaves too few.
    """
    joined = 1
    while True:
        few = _explain_few(reference, live, joined)
        alike, count = (0.0, 1) if few else _find_alike(reference, joined)
        if few or alike <= ALIKE / math.sqrt(count):
            return joined, 1.0 + 2.0 * alike, few
        joined *= 2


def _explain_few(reference: Blocked, live: Blocked, joined: int) -> str:
    before, now = reference.count // joined, live.count // joined
    if before >= FEWEST and now >= 1:
        return ""
    together = f", as {joined} of them hang together" if joined > 1 else ""
    return f"{before} blocks of the reference and {now} live ones are too few{together}; {FEWEST} and 1 are needed"


def _find_alike(reference: Blocked, joined: int) -> tuple[float, int]:
    """How alike neighbouring blocks are, in their level or in their spread: a correlation, at least 0; and how many
    blocks tell so.
    """
    values, blocks = reference.values, reference.blocks // joined
    ordered = np.sort(values)
    below, upto = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    rank = (below + upto) / len(values) - 1.0  # values that are equal have one rank
    size = np.bincount(blocks)
    most, count = 0.0, int(np.count_nonzero(size))
    for told in (rank, np.abs(rank)):
        means = np.bincount(blocks, told)[size > 0] / size[size > 0]
        moved = means - means.mean()
        total = float(moved @ moved)
        if total > 0:
            most = max(most, float(moved[1:] @ moved[:-1]) / total + 1.0 / count)
    return most, count


def _join(reference: Blocked, live: Blocked, joined: int) -> tuple[Any, Ints, int]:
    """All values with their joined blocks, the reference's first, and how many are live; the oldest remainder of each
    part, which makes no whole block, is left out.
    """
    parts: list[Floats] = []
    blocks: list[Ints] = []
    counts: list[int] = []
    for one in (reference, live):
        whole = one.count // joined
        place = (one.blocks - (one.count - max(whole, 1) * joined)) // joined
        kept = place >= 0
        parts.append(one.values[kept])
        blocks.append(place[kept] + sum(counts))
        counts.append(max(whole, 1))
    return np.concatenate(parts), np.concatenate(blocks), counts[1]


def _find_places(values: Floats) -> Floats:
    found = np.unique(values)
    return found if len(found) <= GRID else np.unique(np.quantile(values, np.arange(1, GRID) / GRID))


def _count(values: Floats, edges: Floats) -> Ints:
    """How many values lie in each bin, the missing ones last."""
    known = values[~np.isnan(values)]
    found = np.bincount(np.searchsorted(edges, known, side="left"), minlength=len(edges) + 1)
    return np.append(found, len(values) - len(known)).astype(np.int64)


def _count_blocks(values: Floats, blocks: Ints, edges: Floats) -> Floats:
    """How many values of each block lie in each bin [B, K]."""
    count, bins = int(blocks.max()) + 1, len(edges) + 1
    places = np.searchsorted(edges, values, side="left")
    return np.bincount(blocks * bins + places, minlength=count * bins).reshape(count, bins).astype(np.float64)


def _index_of(counts: Floats, picks: npt.NDArray[np.bool_]) -> Floats:
    live = picks.astype(np.float64) @ counts
    return _index(counts.sum(axis=0) - live, live)


def _index(before: Floats, now: Floats) -> Floats:
    """The index of counts [P, K] against counts [P, K]."""
    sizes = [np.maximum(one.sum(axis=1, keepdims=True), 1.0) for one in (before, now)]
    shares = [np.maximum(one, 0.5) / size for one, size in zip((before, now), sizes, strict=True)]
    return np.asarray(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum(axis=1))


def _distance_of(counts: Floats, picks: npt.NDArray[np.bool_]) -> Floats:
    live = picks.astype(np.float64) @ counts
    rest = counts.sum(axis=0) - live
    ours, theirs = (one.cumsum(axis=1) / np.maximum(one.sum(axis=1, keepdims=True), 1.0) for one in (rest, live))
    return np.asarray(np.abs(ours - theirs).max(axis=1))


def _thin(one: Blocked) -> Blocked:
    """At most half of `MOST_ROWS` rows, evenly spaced."""
    kept = np.unique(np.linspace(0, len(one.values) - 1, min(len(one.values), MOST_ROWS // 2)).astype(np.int64))
    return Blocked(one.values[kept], one.blocks[kept])


def _kernel(rows: Floats, width: float | None) -> Floats:
    squares = (rows**2).sum(axis=1)
    apart = np.maximum(squares[:, None] + squares[None] - 2.0 * rows @ rows.T, 0.0)
    if width is None:
        pairs = np.sqrt(apart[np.triu_indices(len(rows), 1)])
        width = float(np.median(pairs)) or float(pairs.mean()) or 1.0
    return np.asarray(np.exp(-apart / (2.0 * width**2)))


def _sum_blocks(kernel: Floats, blocks: Ints, *, count: int) -> Floats:
    """The sums of a kernel matrix by pairs of blocks [B, B], each row with itself left out."""
    member = np.zeros((count, len(blocks)))
    member[blocks, np.arange(len(blocks))] = 1.0
    return np.asarray(member @ (kernel - np.diag(np.diag(kernel))) @ member.T)


def _discrepancy(sums: Floats, sizes: npt.NDArray[Any], picks: npt.NDArray[np.bool_]) -> Floats:
    """The unbiased discrepancy of each pick [P]."""
    mine = picks.astype(np.float64)
    rest = 1.0 - mine
    within = [np.einsum("pb,bc,pc->p", one, sums, one, optimize=True) for one in (mine, rest)]
    across = np.einsum("pb,bc,pc->p", mine, sums, rest, optimize=True)
    first, second = mine @ sizes, rest @ sizes
    pairs = [np.maximum(n * (n - 1), 1.0) for n in (first, second)]
    return np.asarray(within[0] / pairs[0] + within[1] / pairs[1] - 2.0 * across / np.maximum(first * second, 1.0))
