"""Intervals that cover what they say, around any fitted model, by its errors on windows that it did not learn from.

N windows, H horizon, Q quantiles.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil, floor

import numpy as np

from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, Split
from tidewright.data.task import refuse_classes
from tidewright.errors import ConfigError, DataError, ShortSeriesError
from tidewright.features.windows import Doubles, cut_windows
from tidewright.models.conformal import Conformal, Method, Unit, innermost, measure_unit, start_from
from tidewright.models.fitted import Fitted

ROUNDING = 1e-9  # of (n + 1) level, which float64 may put just above a whole number


def conformalise(
    fitted: Fitted,
    *,
    panel: Panel,
    split: Split,
    method: Method = "cqr",
    unit: Unit = "width",
    cutoffs: Cutoffs | None = None,
) -> Conformal:
    """The model with each quantile but the median moved, a step at a time, by its errors at calibration cutoffs.

    "cqr" moves the model's own quantiles (conformalised quantile regression: Romano, Patterson, Candes 2019, in its
    form with a correction on each side); "split" takes the median and the errors alone (Vovk, Gammerman, Shafer 2005).
    For windows that are exchangeable with those of calibration, a label lies at or below an upper quantile with at
    least the chance of its level, and below a lower one with at most its own. Windows of a time series overlap and
    drift, so measure the coverage on the test part. See `Conformal` for `unit`.

    The calibration cutoffs are the validation part's by default. Where that part also ended the training of a network
    it was chosen on these very errors, a little too kindly: `hold_out` keeps some of it for this alone.
    Calibrating anew replaces an earlier calibration. Raises `DataError` for too few windows, or a unit of 0.
    """
    refuse_classes(fitted.task, "a conformal interval")
    inner = innermost(fitted)
    cutoffs = split.validation if cutoffs is None else cutoffs
    windows = cut_windows(panel, inner.view, horizon=inner.task.horizon, cutoffs=cutoffs, least=1)
    quantiles, median = inner.predict(windows), inner.task.median
    apart = windows.labels()[:, :, None] - start_from(quantiles, method=method, median=median)
    offsets = find_offsets(_in_units(apart, measure_unit(quantiles, unit)), levels=inner.task.quantiles)
    return Conformal(inner, offsets, method, unit)


def find_offsets(errors: Doubles, *, levels: tuple[float, ...]) -> Doubles:
    """The offsets [H, Q] from errors [N, H, Q] (or [N, H, 1]): label less start, NaN where there is no label.

    With n labels, the error that is ceil((n + 1) level) in order for levels above 0.5, floor((n + 1) level) for those
    below; 0 for the median. Raises `DataError` where n is too small for a level.

    >>> find_offsets(np.arange(1.0, 10.0)[:, None, None], levels=(0.1, 0.5, 0.9))
    array([[1., 0., 9.]])
    """
    horizon = errors.shape[1]
    offsets = np.zeros((horizon, len(levels)))
    wide = np.broadcast_to(errors, (*errors.shape[:2], len(levels)))
    for step in range(horizon):
        seen = np.sort(wide[~np.isnan(wide[:, step, 0]), step], axis=0)
        for place, level in enumerate(levels):
            if level != 0.5:
                offsets[step, place] = seen[_rank(len(seen), level, step=step) - 1, place]
    if not np.isfinite(offsets).all():
        raise DataError(
            "the forecasts have no width in some calibration windows (a constant history), so errors have no unit. "
            'Ask for unit="absolute", or leave such series out.'
        )
    return offsets


def hold_out(split: Split, *, share: float = 0.5) -> tuple[Split, Cutoffs]:
    """The split to fit with, whose validation is the earlier part, and the latest `share` of its validation cutoffs,
    to calibrate with; no label of one is a label of the other. Raises `ConfigError` and `ShortSeriesError`.
    """
    if not 0.0 < share < 1.0:
        raise ConfigError(f"share is the part of the validation cutoffs that is held out, from 0 to 1; got {share}.")
    whole = split.validation
    gap = ceil((split.purge + split.embargo) / whole.stride)
    late = max(1, round(share * len(whole)))
    early = len(whole) - late - gap + 1
    if early < 1:
        raise ShortSeriesError(
            f"the validation part has {len(whole)} cutoffs; {late} to calibrate with and a gap of {gap} leave none to "
            "choose the model on. Make the validation part longer, or share smaller."
        )
    begin = whole.first + (len(whole) - late) * whole.stride
    kept = replace(whole, last=whole.first + (early - 1) * whole.stride)
    return replace(split, validation=kept), replace(whole, first=begin)


def _in_units(apart: Doubles, unit: Doubles) -> Doubles:
    """Errors [N, H, .] in units [N, H]: infinite where a unit is 0 and the error is not."""
    wide = np.broadcast_to(unit[:, :, None], apart.shape)
    endless = np.where(apart == 0.0, 0.0, np.where(np.isnan(apart), np.nan, np.copysign(np.inf, apart)))
    return np.asarray(np.divide(apart, wide, out=endless, where=wide > 0))


def _rank(count: int, level: float, *, step: int) -> int:
    """Which of `count` errors in order, from 1 on."""
    exact = (count + 1) * level
    rank = ceil(exact - ROUNDING) if level > 0.5 else floor(exact + ROUNDING)
    if not 1 <= rank <= count:
        need = ceil(1.0 / min(level, 1.0 - level) - ROUNDING) - 1
        raise DataError(
            f"the level {level:g} needs {need} calibration labels at least; step {step + 1} has {count}. "
            "Bring more cutoffs, or ask for a level nearer to the median."
        )
    return rank
