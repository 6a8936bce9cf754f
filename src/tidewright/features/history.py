"""What a series has been: exponentially weighted means, the same season before, the time since an event.

T rows in all, S series; series s owns the rows `offsets[s]:offsets[s + 1]`. A value at row t uses rows at or
before t of the same series, and nothing else. NaN is a missing value and is skipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from tidewright.catalog import explain_unknown
from tidewright.data.panel import Panel
from tidewright.errors import ConfigError, UnknownNameError
from tidewright.features.columns import add_columns, pair_columns, role_of
from tidewright.features.flat import Doubles, first_rows, read_flat, whole_numbers
from tidewright.features.lags import Window, check_least, check_windows, rolling_columns
from tidewright.features.statistics import name_window

_WEIGHTED = ("mean", "std")


def weighted_columns(
    flat: npt.ArrayLike,
    offsets: npt.ArrayLike,
    *,
    half_lives: Sequence[float] = (),
    spans: Sequence[float] = (),
    statistics: Sequence[str] = ("mean",),
    ignore_missing: bool = False,
    least: int = 1,
) -> Doubles:
    """Exponentially weighted statistics of all rows up to each [T, (len(half_lives) + len(spans)) * len(statistics)].

    Columns run over the half-lives and the spans, and within one over the statistics, "mean" and "std".

    A value counts half as much as one a half-life of rows later; a span n has the decay (n - 1) / (n + 1), so that
    values are as old on average as in a plain mean of n. The weights of the rows seen sum to one, and deviations are
    corrected for bias, as in pandas' `ewm` with adjust=True. A missing row gives the mean as it was; it ages the values
    before it, or doesn't with `ignore_missing` (pandas' ignore_na). NaN up to the `least`-th observed value (the second
    one at least for "std"). Infinite values count as missing.

    >>> weighted_columns([1.0, 3.0, np.nan, 8.0], [0, 3, 4], half_lives=[1.0]).round(4).ravel()
    array([1.    , 2.3333, 2.3333, 8.    ])
    """
    values, bounds = read_flat(flat, offsets)
    fewest = int(whole_numbers("the least number of observed values", [least], least=1)[0])
    decays = [0.5 ** (1.0 / half) for half in _positive("half-life", half_lives, above=0.0)]
    decays += [(span - 1.0) / (span + 1.0) for span in _positive("span", spans, above=1.0)]
    places = [_WEIGHTED.index(name) for name in _check_weighted(statistics)]
    made = np.empty((len(decays), 2, len(values)))
    if made.size:
        from tidewright.features.smooth_kernels import weigh

        for pair, decay in zip(made, decays, strict=True):
            weigh(values, bounds, decay, ignore_missing, fewest, pair)
    return made[:, places].reshape(len(decays) * len(places), len(values)).T


def seasonal_columns(
    flat: npt.ArrayLike,
    offsets: npt.ArrayLike,
    counts: Sequence[Window],
    statistics: Sequence[str] = ("mean", "std"),
    *,
    season: int,
    least: int = 1,
) -> Doubles:
    """Statistics of the last `counts` rows of the same season [T, len(counts) * len(statistics)]: rows t, t - season,
    t - 2 season and so on, the row itself among them. Otherwise as `rolling_columns`.

    >>> seasonal_columns([1.0, 5.0, 3.0, 9.0], [0, 4], [2], ["mean"], season=2).ravel()
    array([1., 5., 2., 7.])
    """
    values, bounds = read_flat(flat, offsets)
    length = int(whole_numbers("a season", [season], least=1)[0])
    place = np.arange(len(values))
    start = first_rows(place, bounds)
    phase = (place - start) % length
    order = np.lexsort((phase, start))  # stable: within a season the rows stay in time order
    joined = np.stack([start[order], phase[order]])
    edges = np.flatnonzero((np.diff(joined, axis=1, prepend=-1) != 0).any(axis=0))
    made = rolling_columns(values[order], np.append(edges, len(values)), counts, statistics, least=least)
    out = np.empty(made.shape, order="F")
    out[order] = made
    return out


def since_column(flat: npt.ArrayLike, offsets: npt.ArrayLike, *, value: float | None = None) -> Doubles:
    """How many rows ago the last event was [T]: 0 in its own row, NaN before the first one.

    An event is a row that is observed and not zero, or, given a `value`, one that equals it. A missing row is none.

    >>> since_column([0.0, 3.0, 0.0, np.nan, 5.0, 0.0], [0, 5, 6])
    array([nan,  0.,  1.,  2.,  0., nan])
    """
    values, bounds = read_flat(flat, offsets)
    event = ~np.isnan(values) & (values != 0.0) if value is None else values == value
    place = np.arange(len(values))
    last = np.maximum.accumulate(np.where(event, place, -1))
    return np.where(last >= first_rows(place, bounds), (place - last).astype(np.float64), np.nan)


def add_weighted(
    panel: Panel,
    *,
    column: str | None = None,
    half_lives: Sequence[float] = (),
    spans: Sequence[float] = (),
    statistics: Sequence[str] = ("mean",),
    ignore_missing: bool = False,
    least: int = 1,
) -> Panel:
    """The panel with exponentially weighted statistics of a column (default: the target).

    They are called sales_half7_mean and sales_span28_std; see `weighted_columns`. They are `past` columns, or `known`
    ones where the column itself is known.
    """
    name = panel.roles.target if column is None else column
    made = weighted_columns(
        panel.values(name),
        panel.offsets,
        half_lives=half_lives,
        spans=spans,
        statistics=statistics,
        ignore_missing=ignore_missing,
        least=least,
    )
    ages = [*(f"half{half:g}" for half in half_lives), *(f"span{span:g}" for span in spans)]
    names = [f"{name}_{age}_{statistic}" for age in ages for statistic in statistics]
    return add_columns(panel, pair_columns(names, made.T), role=role_of(panel, name), reach=panel.reach.get(name))


def add_seasonal(
    panel: Panel,
    *,
    counts: Sequence[Window],
    column: str | None = None,
    statistics: Sequence[str] = ("mean", "std"),
    season: int | None = None,
    least: int = 1,
) -> Panel:
    """The panel with statistics of a column's (default: the target's) last values at the same season.

    Named sales_season7_mean4: the mean of four values, seven rows apart. The default season is the frequency's. See
    `seasonal_columns`. They are `past` columns, or `known` ones where the column itself is known.
    """
    name = panel.roles.target if column is None else column
    length = panel.frequency.season if season is None else season
    check_windows(counts)
    check_least(counts, statistics, least)
    made = seasonal_columns(panel.values(name), panel.offsets, counts, statistics, season=length, least=least)
    names = [f"{name}_season{length}_{name_window(statistic, count)}" for count in counts for statistic in statistics]
    return add_columns(panel, pair_columns(names, made.T), role=role_of(panel, name), reach=panel.reach.get(name))


def add_since(panel: Panel, *, column: str | None = None, value: float | None = None) -> Panel:
    """The panel with the rows since the last event of a column (default: the target): sales_since, promo_since1.

    See `since_column`. It is a `past` column, or a `known` one where the column itself is known.
    """
    name = panel.roles.target if column is None else column
    if value is not None and (not isinstance(value, (int, float)) or math.isnan(value)):
        raise ConfigError(f"the value of an event is a number; got {value!r}. Leave it out: any that is not 0 is one.")
    made = since_column(panel.values(name), panel.offsets, value=value)
    new = f"{name}_since" if value is None else f"{name}_since{value:g}"
    return add_columns(panel, {new: made}, role=role_of(panel, name), reach=panel.reach.get(name))


def _check_weighted(statistics: Sequence[str]) -> Sequence[str]:
    if isinstance(statistics, str):
        raise ConfigError(f"statistics are a sequence of names; got the text {statistics!r}. Write ({statistics!r},).")
    for name in statistics:
        if name not in _WEIGHTED:
            raise UnknownNameError(explain_unknown("weighted statistic", name, _WEIGHTED))
    return statistics


def _positive(what: str, numbers: Sequence[float], *, above: float) -> list[float]:
    if not isinstance(numbers, Iterable):
        raise ConfigError(f"each {what} is given in a sequence; got {numbers!r}. Write [{numbers!r}].")
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not above < number < math.inf:
            raise ConfigError(f"a {what} is a number of rows above {above:g}; got {number!r}.")
    return [float(number) for number in numbers]
