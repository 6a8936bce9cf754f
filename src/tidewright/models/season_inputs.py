"""How windows stand to the season before them: what models of cells see by `ratios`, `around` and `align`.

C cells, N windows, P past and K known covariates. Columns are the target, then every past covariate. Everything is
reduced in float64 from float32 values and rounded to float32 at the end, as in tree_inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidewright.data.frequency import Ints
from tidewright.errors import ConfigError
from tidewright.features.lags import rolling_columns
from tidewright.features.windows import Windows

Singles = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SeasonInputs:
    """The lengths of `ratios` and the offsets `around` a step's season, with the season's length and the lookback.

    `align` is the place of the known covariate that says how far the step's place in the season before has moved.
    """

    season: int
    lookback: int
    ratios: tuple[int, ...] = ()
    around: tuple[int, ...] = ()
    align: int | None = None

    def window_names(self, past: int) -> list[str]:
        """The names of `ratio_features`."""
        return [f"{column}ratio{length}" for column in _prefixes(past) for length in self.ratios]

    def step_names(self, past: int, known: int) -> list[str]:
        """The names of `around_features`."""
        if not self.around:
            return []
        shape = [f"{column}around{offset:+d}" for column in _prefixes(past) for offset in self.around]
        return [*shape, *(f"known{i}_before" for i in range(known))]

    def places(self, steps: Ints, offset: int = 0) -> Ints:
        """Where in the lookback the step's season before stands, moved by an offset [C]; steps count from 1."""
        return self.lookback - self.season + (np.asarray(steps) - 1) % self.season + offset

    @property
    def reach(self) -> int:
        """How many rows back the features look."""
        back = [self.season + length for length in self.ratios]
        return max([*back, *(self.season + max(-offset, 0) for offset in self.around)], default=0)


def check_season(inputs: SeasonInputs, *, model: str) -> None:
    """Raises `ConfigError` for ratios and offsets that the lookback does not hold, or that mean nothing."""
    whole = all(isinstance(n, int) and not isinstance(n, bool) for n in (*inputs.ratios, *inputs.around))
    good = whole and min(inputs.ratios, default=1) >= 1 and max(map(abs, inputs.around), default=0) < inputs.season
    if not good or any(len(set(numbers)) != len(numbers) for numbers in (inputs.ratios, inputs.around)):
        raise ConfigError(
            f"{model}: ratios are different whole numbers from 1, and around different whole numbers below a season "
            f"({inputs.season} rows) in size; got {inputs.ratios} and {inputs.around}."
        )
    if inputs.reach > inputs.lookback or (inputs.reach and inputs.season < 2):
        raise ConfigError(
            f"{model}: ratios {inputs.ratios} and around {inputs.around} with a season of {inputs.season} rows look "
            f"{inputs.reach} rows back, and the lookback is {inputs.lookback}. Ask for a longer lookback or for less."
        )


def ratio_features(inputs: SeasonInputs, windows: Windows) -> Singles:
    """The sum of the newest rows over that of the same rows a season before [N, (1 + P) * ratios].

    Rows count where both are observed; NaN where none are, or where the sum before is not above 0.
    """
    if not inputs.ratios:
        return np.empty((len(windows), 0), dtype=np.float32)
    lengths = np.array(inputs.ratios, dtype=np.int64)
    parts = []
    back = windows.rows[:, None] - np.arange(lengths.max())
    starts = windows.offsets[windows.series, None]
    inside = back - inputs.season >= starts
    for flat in _columns(windows):
        now = flat[np.where(inside, back, 0)]
        before = flat[np.where(inside, back - inputs.season, 0)]
        both = inside & ~np.isnan(now) & ~np.isnan(before)
        top, bottom = (np.cumsum(np.where(both, part, 0.0), axis=1)[:, lengths - 1] for part in (now, before))
        known = bottom > 0.0
        parts.append(np.where(known, top, np.nan) / np.where(known, bottom, 1.0))
    return np.hstack(parts).astype(np.float32)


def around_features(inputs: SeasonInputs, windows: Windows, *, index: Ints, steps: Ints) -> Singles:
    """The values around each step's season before, over the column's mean size in the lookback, and the known
    covariates right there [C, (1 + P) * around + K]; cell c is window index[c], step steps[c] from 1.
    """
    if not inputs.around:
        return np.empty((len(index), 0), dtype=np.float32)
    rows, starts = windows.rows[index], windows.offsets[windows.series[index]]
    first = rows - (inputs.lookback - 1)
    parts = []
    for flat in _columns(windows):
        size = column_size(flat, windows)[index, None]
        before = [read_season(inputs, windows, flat, index=index, steps=steps, offset=one) for one in inputs.around]
        parts.append((np.column_stack(before) / size).astype(np.float32))
    same = first + inputs.places(steps)
    there = same >= starts
    parts.append(np.where(there[:, None], windows.known[np.where(there, same, 0)], np.float32(np.nan)))
    return np.hstack(parts)


def read_season(
    inputs: SeasonInputs, windows: Windows, flat: Doubles, *, index: Ints, steps: Ints, offset: int = 0
) -> Doubles:
    """A column's value [C] in the season before each step, moved by an offset; NaN where the lookback has none.

    With `align` the value of the row that is like the step's: between two rows where it has moved by a part of one, of
    these the observed one where the other is missing, and as if it had not moved where both are.
    """
    place = inputs.places(steps, offset)
    plain = _read(inputs, windows, flat, index=index, place=place)
    if inputs.align is None:
        return plain
    shift = _shifts(inputs, windows, index=index, steps=steps)
    whole = np.floor(shift)
    total, weight = np.zeros(len(plain)), np.zeros(len(plain))
    for back, share in ((whole, 1.0 - (shift - whole)), (whole + 1.0, shift - whole)):
        value = _read(inputs, windows, flat, index=index, place=place - back.astype(np.int64))
        seen = ~np.isnan(value) & (share > 0.0)
        total, weight = total + np.where(seen, share * value, 0.0), weight + np.where(seen, share, 0.0)
    return np.where(weight > 0.0, total / np.where(weight > 0.0, weight, 1.0), plain)


def _shifts(inputs: SeasonInputs, windows: Windows, *, index: Ints, steps: Ints) -> Doubles:
    """How far each step's place has moved [C], a season at most; 0 where nothing says so."""
    ahead = windows.rows[index] + steps
    inside = ahead < windows.offsets[windows.series[index] + 1]
    given = np.where(inside, windows.known[np.where(inside, ahead, 0), inputs.align], np.float32(np.nan))
    return np.clip(np.where(np.isnan(given), 0.0, given.astype(np.float64)), -inputs.season, inputs.season)


def _read(inputs: SeasonInputs, windows: Windows, flat: Doubles, *, index: Ints, place: Ints) -> Doubles:
    """A column's values [C] at places in the lookback; NaN outside it and before the series' start."""
    rows = windows.rows[index] - (inputs.lookback - 1) + place
    there = (place >= 0) & (place < inputs.lookback) & (rows >= windows.offsets[windows.series[index]])
    return np.where(there, flat[np.where(there, rows, 0)], np.nan)


def column_size(flat: Doubles, windows: Windows) -> Doubles:
    """The mean of a column's absolute values in each window [N]: 1 where all are 0, NaN where there are none."""
    size = rolling_columns(np.abs(flat), windows.offsets, [windows.lookback], ["mean"], rows=windows.rows)[:, 0]
    return np.where(size == 0.0, 1.0, size)


def _columns(windows: Windows) -> Iterator[Doubles]:
    """The target and the past covariates [T], as a model gets them: rounded to float32."""
    yield windows.y.astype(np.float32).astype(np.float64)
    for column in windows.past.T:
        yield np.ascontiguousarray(column, dtype=np.float64)


def _prefixes(past: int) -> list[str]:
    return ["", *(f"past{i}_" for i in range(past))]
