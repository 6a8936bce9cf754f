"""Two sides that were timed in turns: the ratio of their times with an interval, and what follows in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tidewright.inference.timing import Rounds
from tidewright.metrics.bootstrap import Floats, block_bootstrap_ratio

SEED, DRAWS = 0, 4000
SLACK = 0.03  # a backend beside itself came out at 0.97 to 1.03 of its own time (benchmarks/bench_ab.py)
NONE = f"no difference beyond {SLACK:.0%} can be told"


@dataclass(frozen=True, slots=True)
class Ratio:
    """The optimised side's time over the baseline's, and where it may lie: `level` is the share of such intervals that
    should hold the true one.
    """

    value: float
    low: float
    high: float
    level: float

    @property
    def less(self) -> bool:
        """Whether the optimised side takes less, by more than `SLACK`."""
        return self.high < 1.0 - SLACK

    @property
    def more(self) -> bool:
        """Whether it takes more, by more than `SLACK`."""
        return self.low > 1.0 + SLACK

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
    elif not (time.less or time.more):
        words = f"{NONE}: {told}; answers are alike to {apart:.1e}"
    else:
        words = f"{told} and answers alike to {apart:.1e}: {'use it' if time.less else f'keep {baseline}'}"
    return Compared(batch_size, time, cpu, len(ours.wall_s), apart, allowed, words)


def sum_up(compared: Sequence[Compared], *, baseline: str, optimised: str) -> str:
    """What follows for all batch sizes together."""
    if not all(one.alike for one in compared):
        return f"keep {baseline}: the answers of {optimised} are not the same"
    sizes = {
        f"use {optimised}": [one.batch_size for one in compared if one.time.less],
        f"keep {baseline}": [one.batch_size for one in compared if one.time.more],
        NONE: [one.batch_size for one in compared if not (one.time.less or one.time.more)],
    }
    told = {words: found for words, found in sizes.items() if found}
    if len(told) == 1:
        return next(iter(told))
    return "; ".join(f"{words} at batch {', '.join(map(str, found))}" for words, found in told.items())


def _divide(ours: Floats, theirs: Floats, *, level: float) -> Ratio:
    """The ratio of sums over rounds, whose pairs are resampled: what else the machine did is common to a pair, and the
    ratios of neighbours do not hang together (correlation -0.07 where that was measured).
    """
    found = block_bootstrap_ratio(ours, theirs, block=1, seed=SEED, level=level, draws=DRAWS)
    return Ratio(float(ours.sum() / theirs.sum()), found.low, found.high, level)
