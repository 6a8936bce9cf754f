"""Two sides that were timed in turns: the ratio of their times with an interval, and what follows in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tidewright.inference.timing import Rounds
from tidewright.metrics.bootstrap import Floats, block_bootstrap_ratio, choose_block

SEED, DRAWS = 0, 4000


@dataclass(frozen=True, slots=True)
class Ratio:
    """The optimised side's time over the baseline's, and where it may lie: `level` is the share of such intervals that
    should hold the true one.
    """

    value: float
    low: float
    high: float
    level: float

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


@dataclass(frozen=True, slots=True)
class Compared:
    """The sides at one batch size: the ratio of times by the clock and on the processor, over how many rounds, the
    largest relative difference of their answers, how much is allowed, and what that says in words.
    """

    batch_size: int
    time: Ratio
    cpu: Ratio
    rounds: int
    apart: float
    allowed: float
    verdict: str

    @property
    def alike(self) -> bool:
        """Whether both answer the same within what is allowed."""
        return self.apart <= self.allowed


def compare_rounds(
    rounds: Mapping[str, Rounds], *, batch_size: int, apart: float, allowed: float, level: float
) -> Compared:
    """The second of two sides against the first."""
    (baseline, theirs), (optimised, ours) = rounds.items()
    time = _divide(ours.wall_s, theirs.wall_s, level=level)
    cpu = _divide(ours.cpu_s, theirs.cpu_s, level=level)
    told = f"{optimised} takes {time} of {baseline}'s time, {cpu} of its CPU"
    if not apart <= allowed:
        words = f"{told}, but answers differ by {apart:.1e}, and {allowed:g} is allowed: keep {baseline}"
    elif time.low <= 1.0 <= time.high:
        words = f"no difference can be told: {told}; answers are alike to {apart:.1e}"
    else:
        words = f"{told} and answers alike to {apart:.1e}: {'use it' if time.high < 1.0 else f'keep {baseline}'}"
    return Compared(batch_size, time, cpu, len(ours.wall_s), apart, allowed, words)


def sum_up(compared: Sequence[Compared], *, baseline: str, optimised: str) -> str:
    """What follows for all batch sizes together."""
    if not all(one.alike for one in compared):
        return f"keep {baseline}: the answers of {optimised} are not the same"
    sizes = {
        f"use {optimised}": [one.batch_size for one in compared if one.time.high < 1.0],
        f"keep {baseline}": [one.batch_size for one in compared if one.time.low > 1.0],
        "no difference can be told": [one.batch_size for one in compared if one.time.low <= 1.0 <= one.time.high],
    }
    told = {words: found for words, found in sizes.items() if found}
    if len(told) == 1:
        return next(iter(told))
    return "; ".join(f"{words} at batch {', '.join(map(str, found))}" for words, found in told.items())


def _divide(ours: Floats, theirs: Floats, *, level: float) -> Ratio:
    """The ratio of sums over rounds, resampled in blocks: neighbours share what else the machine did."""
    found = block_bootstrap_ratio(ours, theirs, block=choose_block(len(ours)), seed=SEED, level=level, draws=DRAWS)
    return Ratio(float(ours.sum() / theirs.sum()), found.low, found.high, level)
