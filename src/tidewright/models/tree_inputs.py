"""What trees see of a window and a step: lags, rolling statistics, the season's values, in the window's units.

C cells (a cell is one window and one step), F input features, N windows, L lookback, H horizon, P past, K
known and M static covariates. Of a target of classes they see which class a row had (models/class_inputs).
Everything is a function of the window's own lookback (and of `known` at the step), reduced in float64 from float32
values and rounded to float32 at the end, so that a compiled graph that sums in another order gets the same float32
but for one rounding in many millions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tidewright.data.frequency import Ints
from tidewright.errors import ConfigError, DataError
from tidewright.features.lags import lag_columns, rolling_columns
from tidewright.features.view import StaticEncoding
from tidewright.features.windows import Windows
from tidewright.models.class_inputs import class_names, seen_classes, told_classes, window_classes
from tidewright.models.season_inputs import SeasonInputs, around_features, check_season, ratio_features, read_season
from tidewright.models.specs.tabular import LEVEL_UNITS, ROLLED, SEASON_UNITS, Rolled, Tabular, Unit

Singles = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Relative = tuple[tuple[int, ...], tuple[int, ...]]
Units = Unit | Literal["class"]  # a class is counted from nothing, in nothing

CYCLES = (1, 2, 3, 7)  # how many seasons back the same season's values are taken
FLAT = 1e-6  # a deviation below this share of the mean is float32 noise: the window counts as constant


@dataclass(frozen=True, slots=True)
class TreeInputs:
    """Which features there are, in their order.

    `lags` count back from the first step (1: the last row of the window), `rolling` are lengths at the
    window's end, `cycles` count seasons back from the step, and `past`, `known` and `static` are numbers of
    covariates. `groups` are the first place and the number of the static columns that are the levels of one text
    column, where these are one feature. `relative_past` and `relative_known` are the places of covariates that are seen
    in units of the window too.
    `ratios` and `around` are those of the spec, and `align` is the place of its known covariate (see season_inputs).
    `classes` is how many classes the target has; 0 where it is a number.
    """

    lookback: int
    season: int
    lags: tuple[int, ...]
    rolling: tuple[int, ...]
    cycles: tuple[int, ...]
    past: int
    known: int
    static: int
    relative_past: tuple[int, ...] = ()
    relative_known: tuple[int, ...] = ()
    ratios: tuple[int, ...] = ()
    around: tuple[int, ...] = ()
    align: int | None = None
    groups: tuple[tuple[int, int], ...] = ()
    statistics: tuple[Rolled, ...] = ROLLED
    unit: Units = "window"
    classes: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names [F]: first those of the window, then those of the step."""
        window = class_names([f"lag{lag}" for lag in self.lags], self.classes)
        if self.classes:
            window += class_names([f"share{length}" for length in self.rolling], self.classes)
        else:
            window += [*(f"{what}{length}" for length in self.rolling for what in self.statistics), "spread"]
        window += [
            *(f"past{i}" for i in range(self.past)),
            *(f"static{i}" for i in self.static_places),
            *(f"level{i}" for i in range(len(self.groups))),
            *(f"past{i}_relative" for i in self.relative_past),
            *self.before.window_names(self.past),
        ]
        return (
            *window,
            *class_names([f"season{k}" for k in self.cycles], self.classes),
            "step",
            *(f"known{i}" for i in range(self.known)),
            *(f"known{i}_relative" for i in self.relative_known),
            *(f"known{i}_over_season{k}" for k in self.cycles for i in self.relative_known),
            *self.before.step_names(self.past, self.known),
        )

    @property
    def shared(self) -> int:
        """How many of the features are those of the window; they come first."""
        return self.names.index("step") - len(self.cycles) * len(told_classes(self.classes))

    @property
    def before(self) -> SeasonInputs:
        """What is seen of the season before."""
        return SeasonInputs(self.season, self.lookback, self.ratios, self.around, self.align)

    @property
    def static_places(self) -> tuple[int, ...]:
        """The static columns that are features of their own."""
        grouped = {place for first, count in self.groups for place in range(first, first + count)}
        return tuple(place for place in range(self.static) if place not in grouped)

    @property
    def levels(self) -> dict[int, int]:
        """The places among the features that hold levels' numbers, and how many levels each has."""
        names = self.names
        return {names.index(f"level{i}"): count for i, (_, count) in enumerate(self.groups)}

    def season_places(self, steps: Ints) -> Ints:
        """Where in the lookback the values of the steps' season stand [C, cycles]; steps count from 1."""
        phase = (np.asarray(steps)[:, None] - 1) % self.season
        return self.lookback + phase - self.season * np.array(self.cycles, dtype=np.int64)[None, :]


def plan_inputs(
    spec: Tabular,
    windows: Windows,
    *,
    season: int,
    relative: Relative = ((), ()),
    static: StaticEncoding | None = None,
    align: int | None = None,
    classes: int = 0,
) -> TreeInputs:
    """The features of a spec over such windows; empty `lags` and `rolling` mean the usual ones.

    `relative` are the places of the past and the known covariates that are seen in units of the window too, `align` is
    that of the known one that says how far a step's season has moved, and `classes` how many the target has.

    The usual lags are the last season (8 to 24 rows); the usual lengths one, two and seven seasons and the
    whole lookback, as far as it reaches. Raises `ConfigError` for a lag or a length beyond the lookback.
    """
    lookback = windows.lookback
    lags = spec.lags or tuple(range(1, min(lookback, max(8, min(season, 24))) + 1))
    usual = {max(4, season // 4), season, 2 * season, 7 * season, lookback}
    rolling = spec.rolling or tuple(sorted(length for length in usual if 2 <= length <= lookback))
    _check_lengths(spec, lags=lags, rolling=rolling, lookback=lookback)
    cycles = tuple(k for k in CYCLES if season > 1 and k * season <= lookback)
    if not cycles:
        _check_unaligned(spec, align, lookback=lookback, season=season)
    check_season(SeasonInputs(season, lookback, spec.ratios, spec.around), model=spec.name)
    return TreeInputs(
        lookback=lookback,
        season=season,
        lags=lags,
        rolling=rolling,
        cycles=cycles,
        past=windows.past.shape[1],
        known=windows.known.shape[1],
        static=windows.static.shape[1],
        relative_past=relative[0],
        relative_known=relative[1],
        ratios=spec.ratios,
        around=spec.around,
        align=align,
        groups=plan_groups(spec, static),
        statistics=spec.statistics,
        unit="class" if classes else spec.unit,
        classes=classes,
    )


def _check_lengths(spec: Tabular, *, lags: tuple[int, ...], rolling: tuple[int, ...], lookback: int) -> None:
    for what, numbers, least in (("lag", lags, 1), ("rolling length", rolling, 2)):
        wrong = [n for n in numbers if isinstance(n, bool) or not isinstance(n, int) or not least <= n <= lookback]
        if wrong or len(set(numbers)) != len(numbers):
            raise ConfigError(
                f"{spec.name}: each {what} is a different whole number from {least} to the lookback {lookback}; "
                f"got {numbers}. Ask for shorter ones or a longer lookback."
            )


def _check_unaligned(spec: Tabular, align: int | None, *, lookback: int, season: int) -> None:
    """Raises `ConfigError` for what counts from a season before, which the lookback does not hold."""
    if align is not None:
        raise ConfigError(
            f"{spec.name}: align moves the season before, which a lookback of {lookback} does not hold (season: "
            f"{season} rows). Ask for a longer lookback, or leave align out."
        )
    if spec.unit in SEASON_UNITS:
        raise ConfigError(
            f"{spec.name}: the unit {spec.unit} counts from the season before, which a lookback of {lookback} does not "
            f"hold (season: {season} rows). Ask for a longer lookback or another unit."
        )


def least_lookback(spec: Tabular, *, season: int) -> int:
    """The shortest lookback [rows] that a spec's own options can be seen in; `season` is in rows."""
    reach = SeasonInputs(season, 0, spec.ratios, spec.around).reach
    return max(1, reach, season if spec.unit in SEASON_UNITS else 1, *spec.lags, *spec.rolling)


def plan_groups(spec: Tabular, static: StaticEncoding | None) -> tuple[tuple[int, int], ...]:
    """The `groups` of static columns that a spec sees as one feature each."""
    found, first = [], 0
    for _, levels in () if static is None else static.columns:
        if levels and spec.categories == "native":
            found.append((first, len(levels)))
        first += len(levels) or 1
    return tuple(found)


def check_windows(inputs: TreeInputs, windows: Windows) -> None:
    """Raises `DataError` where windows are not those that the trees were trained on."""
    got = (windows.lookback, windows.past.shape[1], windows.known.shape[1], windows.static.shape[1])
    want = (inputs.lookback, inputs.past, inputs.known, inputs.static)
    if got != want:
        raise DataError(
            f"the trees were trained on windows of (lookback, past, known, static) {want}; got {got}. "
            "Cut the windows with the model's own view, from a panel with the same columns."
        )


def window_units(windows: Windows, unit: Units = "window") -> tuple[Doubles, Doubles]:
    """What is taken away and divided by [N]: each window's mean and its deviation (1 where its values don't vary).

    With the units "level" and "growth", 0 and the mean of its absolute values (1 where all are 0). NaN where a window
    holds no value. With the unit "class" 0 and 1.
    """
    if unit == "class":
        return np.zeros(len(windows)), np.ones(len(windows))
    flat = _single(windows)
    if unit in LEVEL_UNITS:
        sizes = rolling_columns(np.abs(flat), windows.offsets, [windows.lookback], ["mean"], rows=windows.rows)[:, 0]
        return sizes * 0.0, np.where(sizes > 0.0, sizes, np.where(np.isnan(sizes), np.nan, 1.0))
    moments = rolling_columns(flat, windows.offsets, [windows.lookback], ["mean", "std"], rows=windows.rows)
    return _units(moments[:, 0], moments[:, 1])


def label_units(
    inputs: TreeInputs, windows: Windows, units: tuple[Doubles, Doubles], *, index: Ints, steps: Ints
) -> tuple[Doubles, Doubles]:
    """What the answer of each cell is counted from and in [C]; cells as in `step_features`.

    Those of its window, but with the units "season" and "growth" from the newest observed value of the step's season.
    """
    start, scale = (unit[index] for unit in units)
    if inputs.unit in SEASON_UNITS:
        seen = season_values(inputs, windows, index=index, steps=steps)
        for cycle in range(seen.shape[1] - 1, -1, -1):  # the newest, where it is observed, has the last word
            start = np.where(np.isnan(seen[:, cycle]), start, seen[:, cycle])
    return start, scale


def window_features(inputs: TreeInputs, windows: Windows, units: tuple[Doubles, Doubles]) -> Singles:
    """The features of each window that are the same for every step [N, A]."""
    rows = windows.rows
    if inputs.classes:
        own = window_classes(_single(windows), windows, inputs.lags, inputs.rolling, count=inputs.classes)
    else:
        own = _own_features(inputs, windows, units)
    covariates = [windows.past[rows], _static_features(inputs, windows.static)[windows.series]]
    if inputs.relative_past:
        drifting = windows.past[:, inputs.relative_past].astype(np.float64)
        level, spread_within = _covariate_units(drifting, windows)
        covariates.append(((drifting[rows] - level) / spread_within).astype(np.float32))
    covariates.append(ratio_features(inputs.before, windows))
    return np.hstack([*(part.astype(np.float32) for part in own), *covariates])


def _own_features(inputs: TreeInputs, windows: Windows, units: tuple[Doubles, Doubles]) -> list[Doubles]:
    """Lags, rolling statistics and the spread of the target itself, in units of the window."""
    mean, scale = (unit[:, None] for unit in units)
    flat, offsets, rows = _single(windows), windows.offsets, windows.rows
    lags = (lag_columns(flat, offsets, [lag - 1 for lag in inputs.lags], rows=rows) - mean) / scale
    rolled = rolling_columns(flat, offsets, inputs.rolling, inputs.statistics, rows=rows)
    levels = [0.0 if name == "std" else 1.0 for name in inputs.statistics]  # a deviation has no level to take away
    centre = np.tile(levels, len(inputs.rolling))
    return [lags, (rolled - mean * centre) / scale, scale / (np.abs(mean) + scale)]


def _static_features(inputs: TreeInputs, static: Singles) -> Singles:
    """Static columns [S, .], those of a group as one: the number of the level that is there, NaN where none is."""
    parts = [static[:, inputs.static_places]]
    for first, count in inputs.groups:
        there = static[:, first : first + count] > 0.5
        number = np.where(there.any(axis=1), there.argmax(axis=1).astype(np.float32), np.float32(np.nan))
        parts.append(number[:, None])
    return np.hstack(parts)


def step_features(
    inputs: TreeInputs, windows: Windows, units: tuple[Doubles, Doubles], *, index: Ints, steps: Ints
) -> Singles:
    """The features of cells that depend on the step [C, B]; cell c is window index[c], step steps[c] from 1."""
    mean, scale = (unit[index, None] for unit in units)
    rows, series = windows.rows[index], windows.series[index]
    season = season_values(inputs, windows, index=index, steps=steps)
    season = seen_classes(season, inputs.classes) if inputs.classes else (season - mean) / scale
    ahead = rows + steps
    inside = ahead < windows.offsets[series + 1]
    known = np.where(inside[:, None], windows.known[np.where(inside, ahead, 0)], np.float32(np.nan))
    parts = [season.astype(np.float32), steps[:, None].astype(np.float32), known]
    if inputs.relative_known:
        back = _season_rows(inputs, windows, index=index, steps=steps)
        parts += _relative_steps(inputs, windows, index=index, ahead=np.where(inside, ahead, -1), back=back)
    return np.hstack([*parts, around_features(inputs.before, windows, index=index, steps=steps)])


def season_values(inputs: TreeInputs, windows: Windows, *, index: Ints, steps: Ints) -> Doubles:
    """The target where the steps' season was before [C, cycles], the newest first; NaN before the series' start.

    With `align` the newest is that of the row that is like the step's.
    """
    back, flat = _season_rows(inputs, windows, index=index, steps=steps), _single(windows)
    found = np.where(back >= 0, flat[np.maximum(back, 0)], np.nan)
    if inputs.align is not None:
        found[:, 0] = read_season(inputs.before, windows, flat, index=index, steps=steps)
    return found


def _season_rows(inputs: TreeInputs, windows: Windows, *, index: Ints, steps: Ints) -> Ints:
    """The flat rows of `season_values` [C, cycles]; -1 before the series' start."""
    back = windows.rows[index, None] + inputs.season_places(steps) - (inputs.lookback - 1)
    return np.where(back >= windows.offsets[windows.series[index], None], back, -1)


def _relative_steps(inputs: TreeInputs, windows: Windows, *, index: Ints, ahead: Ints, back: Ints) -> list[Singles]:
    """Known covariates [C, R] in units of the window, and [C, cycles * R] what they are above the seasons before.

    `ahead` [C] and `back` [C, cycles] are flat rows; -1 is a row that there is not.
    """
    own = windows.known[:, inputs.relative_known].astype(np.float64)
    level, spread = (unit[index] for unit in _covariate_units(own, windows))
    own = np.vstack([own, np.full((1, own.shape[1]), np.nan)])  # what the row -1 holds
    above = (own[ahead][:, None] - own[back]) / spread[:, None]
    return [part.astype(np.float32) for part in ((own[ahead] - level) / spread, above.reshape(len(ahead), -1))]


def _covariate_units(columns: Doubles, windows: Windows) -> tuple[Doubles, Doubles]:
    """The mean and the scale [N, R] of some covariates [T, R] within each window's lookback."""
    moments = [
        rolling_columns(column, windows.offsets, [windows.lookback], ["mean", "std"], rows=windows.rows)
        for column in np.ascontiguousarray(columns.T)
    ]
    mean, deviation = np.stack(moments, axis=2).swapaxes(0, 1)
    return _units(mean, deviation)


def _units(mean: Doubles, deviation: Doubles) -> tuple[Doubles, Doubles]:
    return mean, np.where(deviation > FLAT * np.abs(mean), deviation, 1.0)


def _single(windows: Windows) -> Doubles:
    """The target as a model gets it: rounded to float32."""
    return windows.y.astype(np.float32).astype(np.float64)
