"""Splits in time: by grid position over the whole panel, with no label shared between the parts.

A cutoff is the position of the last row that a window's inputs may hold; its labels are the H positions after
it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from tidewright.data.frequency import Frequency, Ints, format_time
from tidewright.data.panel import Panel, check_panel
from tidewright.data.task import Task
from tidewright.errors import ConfigError, FrequencyError, ShortSeriesError

MOST_CUTOFFS, FEWEST_CUTOFFS = 250, 24  # scored unless a stride is given
MOST_WINDOWS = 20_000  # scored by cutoffs of all series, unless that leaves fewer cutoffs than the fewest


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """The positions first, first + stride, ... up to last at most.

    `grid` is the one that they count on, so that they mean the same dates everywhere: `check_grid` refuses them for a
    panel that counts from another date. Without it they are positions of whatever panel they are used with.
    """

    first: int
    last: int
    stride: int = 1
    grid: Frequency | None = field(default=None, repr=False)

    @property
    def positions(self) -> Ints:
        """Every cutoff [C], ascending."""
        return np.arange(self.first, self.last + 1, self.stride, dtype=np.int64)

    def __len__(self) -> int:
        return max(0, (self.last - self.first) // self.stride + 1)

    def on(self, panel: Panel) -> Cutoffs:
        """The same dates as positions of another panel of their frequency. Raises `FrequencyError`."""
        grid, own = self.grid, panel.frequency
        if grid is None:
            raise FrequencyError("these cutoffs are positions of no panel's dates. Make them with a split of a panel.")
        if (grid.unit, grid.count, grid.calendar) != (own.unit, own.count, own.calendar):
            raise FrequencyError(f"the cutoffs count {grid.name}, and this panel has {own.name}. Split this panel.")
        first, last = own.positions(grid.times(np.array([self.first, self.last]))).tolist()
        return replace(self, first=first, last=last, grid=own)


@dataclass(frozen=True, slots=True)
class Split:
    """Which cutoffs train, which validate and which test.

    The first cutoff of a part is `purge` + `embargo` positions after the last one of the part before it. The
    purge is at least the horizon, so that no label of one part is a label of another.
    `test` is None for a fold of cross-validation.
    """

    train: Cutoffs
    validation: Cutoffs
    test: Cutoffs | None
    horizon: int
    purge: int
    embargo: int

    def on(self, panel: Panel) -> Split:
        """The same dates for another panel of the same frequency: one with a longer history, say.

        Raises `FrequencyError`.
        """
        test = None if self.test is None else self.test.on(panel)
        return replace(self, train=self.train.on(panel), validation=self.validation.on(panel), test=test)

    def explain(self, panel: Panel) -> str:
        """The split in words, with dates.

        The dates of a part are those of its labels. Raises `FrequencyError` for a panel that counts from another date.
        """
        check_grid(self.train, panel)
        parts = [("train", self.train), ("validation", self.validation)]
        if self.test is not None:
            parts.append(("test", self.test))
        lines = [
            f"{name:<10} {panel.time_at(c.first + 1)} to {panel.time_at(c.positions[-1] + self.horizon)}  ({len(c)} "
            f"cutoffs, every {c.stride})"
            for name, c in parts
        ]
        lines.append(
            f"between parts: {self.purge} steps purged (horizon {self.horizon}), {self.embargo} steps of embargo"
        )
        return "\n".join(lines)


def split_holdout(
    panel: Panel,
    task: Task,
    *,
    validation: int | None = None,
    test: int | None = None,
    purge: int | None = None,
    embargo: int = 0,
    stride: int | None = None,
) -> Split:
    """The last `test` positions are the test, the `validation` positions before them validate, the rest
    trains.

    By default each is 15 % of the span, at least twice the horizon; in a short panel a third of the span less two
    horizons, but never less than one horizon. `stride` is the distance between scored
    cutoffs (default: so that at most 250 of them, and with many series at most 20,000 windows but at least 24 cutoffs,
    are scored); training uses every cutoff. Raises `ShortSeriesError`.
    """
    first, last = panel.span
    length, horizon = last - first + 1, task.horizon
    usual = min(max(2 * horizon, round(0.15 * length)), max(horizon, (length - 2 * horizon) // 3))
    usually = validation is None and test is None
    validation, test = usual if validation is None else validation, usual if test is None else test
    purge = _check_purge(purge, horizon, embargo)
    if stride is not None and stride < 1:
        raise ConfigError(f"stride is the distance between scored cutoffs, 1 or more; got {stride}.")
    for name, size in (("validation", validation), ("test", test)):
        if size < horizon:
            raise ConfigError(f"{name} has {size} steps, less than the horizon {horizon}. Give it at least {horizon}.")
    test_from, gap = last - test, purge - horizon + embargo
    valid_to = test_from - gap
    valid_from = valid_to - validation
    train_to = valid_from - gap - horizon
    if train_to < first:
        need = validation + test + 2 * gap + horizon + 1
        raise ShortSeriesError(
            f"the panel spans {length} steps, but validation {validation}, test {test} and horizon {horizon} "
            f"need {need}. Ask for a {'shorter horizon' if usually else 'smaller part'}, or bring longer series."
        )
    return Split(
        train=Cutoffs(first, train_to, grid=panel.frequency),
        validation=choose_cutoffs(valid_from, valid_to - horizon, stride=stride, panel=panel),
        test=choose_cutoffs(test_from, last - horizon, stride=stride, panel=panel),
        horizon=horizon,
        purge=purge,
        embargo=embargo,
    )


def split_rolling(
    panel: Panel,
    task: Task,
    *,
    folds: int,
    validation: int | None = None,
    purge: int | None = None,
    embargo: int = 0,
    window: Literal["expanding", "sliding"] = "expanding",
    until: int | None = None,
) -> tuple[Split, ...]:
    """Walk-forward folds, oldest first: each validates on the next `validation` positions (default: the
    horizon).

    The last fold ends at `until` (default: the panel's end), so that folds can leave a test part out. A
    sliding window keeps the training length of the first fold; an expanding one grows. Raises
    `ShortSeriesError`.
    """
    if folds < 1:
        raise ConfigError(f"folds is the number of walk-forward folds, 1 or more; got {folds}.")
    first, end = panel.span
    last = end if until is None else until
    if last > end:
        raise ConfigError(f"the folds would end at position {last}, but the panel's last value stands at {end}.")
    validation = task.horizon if validation is None else validation
    purge = _check_purge(purge, task.horizon, embargo)
    if validation < task.horizon:
        raise ConfigError(f"validation has {validation} steps, less than the horizon {task.horizon}.")
    starts = [last - validation * (folds - k) for k in range(folds)]
    ends = [start - purge - embargo for start in starts]
    if ends[0] < first:
        raise ShortSeriesError(
            f"{folds} folds of {validation} steps with a purge of {purge} leave no training part in {last - first + 1} "
            "steps. Ask for fewer or shorter folds."
        )
    size = ends[0] - first
    return tuple(
        Split(
            train=Cutoffs(first if window == "expanding" else end - size, end, grid=panel.frequency),
            validation=choose_cutoffs(start, start + validation - task.horizon, stride=None, panel=panel),
            test=None,
            horizon=task.horizon,
            purge=purge,
            embargo=embargo,
        )
        for start, end in zip(starts, ends, strict=True)
    )


def walk_back(split: Split, *, folds: int) -> tuple[Split, ...]:
    """Walk-forward folds, oldest first, whose last is the split itself without its test part.

    Each validates on as many cutoffs as the split, as far apart, right before those of the next fold, and trains from
    where the split does, with its purge and embargo. Raises `ShortSeriesError` where the first would train on nothing.
    """
    if isinstance(folds, bool) or not isinstance(folds, int) or folds < 1:
        raise ConfigError(f"folds is the number of walk-forward folds, 1 or more; got {folds!r}.")
    count, stride = len(split.validation), split.validation.stride
    size = (count - 1) * stride + max(stride, split.horizon)  # no label of one fold is another's
    back = (folds - 1) * size
    if split.train.last - back < split.train.first:
        raise ShortSeriesError(
            f"{folds} folds of {size} steps leave no training part: the split trains on "
            f"{split.train.last - split.train.first + 1} steps. Ask for fewer folds or a shorter validation part."
        )
    return tuple(_move_back(split, place * size) for place in reversed(range(folds)))


def thin(split: Split, *, most: int) -> Split:
    """The same split with at most `most` cutoffs in validation and in test, evenly apart: for models whose answers are
    slow.
    """

    def few(part: Cutoffs) -> Cutoffs:
        return replace(part, stride=part.stride * -(-len(part) // most))

    return replace(split, validation=few(split.validation), test=None if split.test is None else few(split.test))


def widen_purge(split: Split, horizon: int) -> Split:
    """The same split for a horizon that may be longer: training ends so much earlier that no label is one of
    validation. Validation and test stay as they are. Raises `ShortSeriesError` where nothing would train.
    """
    more = horizon - split.purge - split.embargo
    if more <= 0:
        return split
    train = replace(split.train, last=split.train.last - more)
    if len(train) < 1:
        raise ShortSeriesError(
            f"a horizon of {horizon} leaves no training part: the split has {len(split.train)} cutoffs to learn from, "
            f"and {more} more steps would be purged. Ask for a shorter horizon."
        )
    return replace(split, train=train, purge=split.purge + more)


def without_test(split: Split) -> Split:
    """The same split with no test part: what a search may see."""
    return replace(split, test=None)


def check_grid(cutoffs: Cutoffs, panel: Panel) -> None:
    """Raises `FrequencyError` where positions that were made for one panel are other dates of this one."""
    check_panel(panel, "a model or a score")
    grid, own = cutoffs.grid, panel.frequency
    if grid is None or grid.counts_as(own):
        return
    raise FrequencyError(
        f"the split was made of a panel that counts {grid.name} from {format_time(grid.anchor, grid)}, and this one "
        f"counts {own.name} from {format_time(own.anchor, own)}: its positions are other dates here. Split this panel, "
        "or take split.on(panel)."
    )


def _move_back(split: Split, steps: int) -> Split:
    def earlier(part: Cutoffs) -> Cutoffs:
        return replace(part, last=part.last - steps)

    validation = earlier(split.validation)
    return replace(
        split,
        train=earlier(split.train),
        validation=replace(validation, first=validation.first - steps),
        test=None,
    )


def _check_purge(purge: int | None, horizon: int, embargo: int) -> int:
    purge = horizon if purge is None else purge
    if purge < horizon:
        raise ConfigError(
            f"purge {purge} is less than the horizon {horizon}: labels would be shared between the parts."
        )
    if embargo < 0:
        raise ConfigError(f"embargo is a number of steps, 0 or more; got {embargo}.")
    return purge


def choose_cutoffs(first: int, last: int, *, stride: int | None, panel: Panel) -> Cutoffs:
    """The scored cutoffs from `first` to `last`: every `stride`, by default as many as `split_holdout` says."""
    if stride is None:
        most = min(MOST_CUTOFFS, max(FEWEST_CUTOFFS, MOST_WINDOWS // panel.n_series))
        stride = max(1, -(-(last - first + 1) // most))
    return Cutoffs(first, last, stride, panel.frequency)
