"""What choosing the best of many trials does to its score: the probability of overfitting, and a corrected score.

C positions in time (cutoffs, or the bars of a backtest), in order; N trials; B blocks of positions; M ways to part
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from tidewright.errors import ConfigError
from tidewright.metrics.score_sums import Floats, ScoreSums

Mask = NDArray[np.bool_]
BLOCKS = 16  # of the symmetric cross-validation, as in its paper: 12,870 ways
FOLDS, HELD = 8, 2  # 28 ways to hold out a quarter: the least bias of those tried, see benchmarks/honest_account.py
LEAST_LEFT = 0.25  # of the positions, to choose from
CHUNK = 1_000_000  # scores held at once
FEWEST = 4  # positions that can be parted at all


@dataclass(frozen=True, slots=True)
class Overfitting:
    """How often the trial that is best on one half of the time is no better than the median trial on the other.

    `probability` is that share of the `ways` to halve `blocks` blocks: about 0.5 where no trial has an edge, near 0
    where the best one has. `logits` are the mean and the standard deviation of the logit of its rank there. Where it
    can't be had, `probability` is NaN and `reason` says why.
    """

    probability: float
    blocks: int
    ways: int
    trials: int
    logits: tuple[float, float] = (float("nan"), float("nan"))
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """The best of N trials, its score as it was found and as it would be found where it was not chosen.

    `score` and `corrected` are to be made small (`ScoreSums.scores`); their difference is the `optimism` of having
    chosen. `corrected` is NaN where it can't be had, and `reason` says why.
    """

    best: int
    score: float
    corrected: float
    trials: int
    positions: int
    reason: str = ""

    @property
    def optimism(self) -> float:
        """How much better the chosen trial looks than it is: corrected minus score."""
        return self.corrected - self.score


def probability_of_overfitting(sums: ScoreSums, *, blocks: int = BLOCKS) -> Overfitting:
    """The probability of backtest overfitting by combinatorially symmetric cross-validation.

    Time is cut into an even number of `blocks` (fewer where there are fewer positions); in each way to take half of
    them, the trial that is best on these is ranked among all on the other half. Trials with the same score share a
    rank. Source: Bailey, Borwein, Lopez de Prado and Zhu (2017), The Probability of Backtest Overfitting.

    >>> from tidewright.metrics.score_sums import sums_of_losses
    >>> edge = sums_of_losses(np.add.outer(np.arange(8.0) % 3, [0.0, 1.0, 2.0]))
    >>> probability_of_overfitting(edge, blocks=4).probability
    0.0
    """
    if blocks < 2 or blocks % 2:
        raise ConfigError(f"blocks is an even number of at least 2; got {blocks}.")
    blocks = min(blocks, sums.positions // 2 * 2)
    if reason := _find_obstacle(sums):
        return Overfitting(float("nan"), blocks, 0, sums.trials, reason=reason)
    parted = ScoreSums(_add_blocks(sums, blocks=blocks), sums.finish)
    halves = _part(blocks, blocks=blocks, held=blocks // 2)
    rows = max(1, CHUNK // sums.trials)
    logits = np.concatenate([_rank_best(parted, halves[at : at + rows]) for at in range(0, len(halves), rows)])
    spread = float(logits.std())
    return Overfitting(float(np.mean(logits <= 0.0)), blocks, len(halves), sums.trials, (float(logits.mean()), spread))


def measure_gap_error(sums: ScoreSums, trial: int, *, blocks: int = BLOCKS) -> float:
    """The standard error, over time, of how much better a trial scores than the median one: that of luck alone where
    all are equally good. By leaving out one block of positions at a time (Kuensch 1989, the block jackknife); 0 for
    fewer than two trials or positions.

    >>> from tidewright.metrics.score_sums import sums_of_losses
    >>> noise = np.random.default_rng(0).normal(1.0, 1.0, (400, 51))
    >>> 0.03 < measure_gap_error(sums_of_losses(noise), 0) < 0.07  # 1 / 20
    True
    """
    blocks = min(blocks, sums.positions)
    if sums.trials < 2 or blocks < 2:
        return 0.0
    parted = _add_blocks(sums, blocks=blocks)
    scores = sums.finish(parted.sum(axis=1)[:, None] - parted)
    gaps = scores[:, trial] - np.nanmedian(scores, axis=1)
    return float(np.sqrt((blocks - 1) / blocks * ((gaps - gaps.mean()) ** 2).sum()))


def _rank_best(sums: ScoreSums, inside: Mask) -> Floats:
    """The logit of the rank, on the other half, of the trial that is best on each half [M]; the first of equals."""
    seen, unseen = (_rank(sums.finish(sums.over(half))) for half in (inside, ~inside))
    theirs = unseen[np.arange(len(seen)), seen.argmin(axis=1)][:, None]
    rank = (unseen > theirs).sum(axis=1) + ((unseen == theirs).sum(axis=1) + 1) / 2.0  # N is the best
    return np.asarray(np.log(rank / (sums.trials + 1 - rank)))


def _add_blocks(sums: ScoreSums, *, blocks: int) -> Floats:
    """What each block adds to each trial's score [K, B, N]."""
    parts = np.array_split(sums.parts, blocks, axis=1)
    return np.stack([part.sum(axis=1) for part in parts], axis=1)


def correct_selection(sums: ScoreSums, *, lags: int = 0, folds: int = FOLDS, held: int = HELD) -> Selection:
    """The score of the best trial, corrected for having been chosen by that very score.

    Time is cut into `folds`; in each way to hold out `held` of them, the best trial on the rest is scored on what was
    held out, and all that was held out is scored together. `lags` positions beside a held one are left out of the
    choice: as many as a score depends on (ceil(horizon / stride) - 1 for forecasts). A way that leaves less than a
    quarter to choose from is not taken, and the score is then moved by what all trials together score better elsewhere.
    In simulated worlds the corrected score is nearly unbiased, and a little too cautious where trials differ, since it
    chooses from less.
    Source: nested cross-validation (Varma and Simon 2006), over combinations of blocks in time with a purge (Lopez de
    Prado 2018, Advances in Financial Machine Learning, chapter 12).

    >>> from tidewright.metrics.score_sums import sums_of_losses
    >>> noise = np.random.default_rng(0).normal(1.0, 1.0, (64, 50))
    >>> found = correct_selection(sums_of_losses(noise))
    >>> found.score < 0.75, 0.85 < found.corrected < 1.15
    (True, True)
    """
    if lags < 0 or not 0 < held < folds:
        raise ConfigError(f"lags is at least 0 and held from 1 to folds - 1; got {lags}, {held} of {folds}.")
    scores = _rank(sums.scores())
    best = int(scores.argmin())
    raw = float(scores[best]) if np.isfinite(scores[best]) else float("nan")
    reason, apart = _find_obstacle(sums), np.zeros((0, sums.positions), dtype=np.bool_)
    if not reason:
        apart, kept = _hold_out(sums, folds=folds, held=held, lags=lags)
        if not len(apart):
            reason = f"{sums.positions} cutoffs whose scores depend on {lags} before can't be parted"
    if reason:
        return Selection(best, raw, float("nan"), sums.trials, sums.positions, reason)
    chosen = _rank(sums.finish(sums.over(kept))).argmin(axis=1)
    held_out = sums.over(apart)
    outside = held_out[:, np.arange(len(chosen)), chosen].sum(axis=1)
    corrected = float(sums.finish(outside[:, None])[0]) - _compare_levels(sums, held_out)
    return Selection(best, raw, corrected, sums.trials, sums.positions)


def _hold_out(sums: ScoreSums, *, folds: int, held: int, lags: int) -> tuple[Mask, Mask]:
    """What is held out and what is chosen from [M, C], in the ways that leave enough to choose from; one fold at a time
    where no way to hold out more does."""
    apart = kept = np.zeros((0, sums.positions), dtype=np.bool_)
    for size in dict.fromkeys((held, 1)):
        apart = _part(sums.positions, blocks=min(folds, sums.positions), held=size)
        kept = ~_widen(apart, lags)
        enough = kept.sum(axis=1) >= max(1.0, LEAST_LEFT * sums.positions)
        apart, kept = apart[enough], kept[enough]
        if len(apart):
            break
    return apart, kept


def _compare_levels(sums: ScoreSums, held_out: Floats) -> float:
    """How much higher all trials score on what was held out [K, M, N] than over all the time: 0 where each position was
    held out as often."""
    apart = sums.finish(held_out.sum(axis=1)) - sums.scores()
    known = apart[np.isfinite(apart)]
    return float(known.mean()) if known.size else 0.0


def _find_obstacle(sums: ScoreSums) -> str:
    if sums.trials < 2:
        return "there is one trial, so nothing was chosen"
    if sums.positions < FEWEST:
        return f"{sums.positions} cutoffs are too few to be parted; {FEWEST} are needed"
    return ""


def _part(positions: int, *, blocks: int, held: int) -> Mask:
    """Which positions lie in the chosen blocks [M, C], for every way to choose `held` of them."""
    ways = np.array(list(combinations(range(blocks), min(held, blocks - 1))))
    taken = np.zeros((len(ways), blocks), dtype=np.bool_)
    taken[np.arange(len(ways))[:, None], ways] = True
    block = np.repeat(np.arange(blocks), [len(part) for part in np.array_split(np.arange(positions), blocks)])
    return np.asarray(taken[:, block])


def _rank(scores: Floats) -> Floats:
    return np.where(np.isfinite(scores), scores, np.inf)


def _widen(apart: Mask, lags: int) -> Mask:
    """The positions held out, and those within `lags` of one."""
    near = apart.copy()
    for step in range(1, min(lags, apart.shape[1] - 1) + 1):
        near[:, step:] |= apart[:, :-step]
        near[:, :-step] |= apart[:, step:]
    return near
