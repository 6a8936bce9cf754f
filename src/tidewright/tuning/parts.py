"""`Part`: one of the fits that a trial is judged by, from one seed, on one walk-forward fold."""

from __future__ import annotations

from dataclasses import dataclass

from tidewright.data.splits import Split, walk_back
from tidewright.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Part:
    """Fit number `step` of a trial, from 1: learned and judged on `split`, from the candidate's own seed plus `seed`.

    `kept` says that its model is the trial's: learned on all of the training part, from the candidate's own seed.
    """

    step: int
    split: Split
    seed: int
    kept: bool


def cut_parts(split: Split, *, folds: int, seeds: int) -> tuple[Part, ...]:
    """The fits of every trial in their order: all folds of the first seed, then those of the next. Raises `ConfigError`
    and `ShortSeriesError`."""
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise ConfigError(f'seeds is from how many seeds each trial is learned, 1 or more, or "auto"; got {seeds!r}.')
    splits = walk_back(split, folds=folds)
    pairs = [(seed, place) for seed in range(seeds) for place in range(folds)]
    return tuple(
        Part(step, splits[place], seed, kept=seed == 0 and place == folds - 1)
        for step, (seed, place) in enumerate(pairs, start=1)
    )
