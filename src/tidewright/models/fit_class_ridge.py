"""Ridge of classes in closed form, by the floor's own solver: every lookback and penalty from one Gram matrix.

N windows, L lookback, H horizon, K classes, k columns that tell the class of a row, F = L * k, G = H * K.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.data.task import Task
from tidewright.errors import ShortSeriesError
from tidewright.features.view import View
from tidewright.features.windows import Doubles, Windows, cut_windows
from tidewright.models.class_inputs import told_classes
from tidewright.models.class_ridge import ClassRidge, tell_rows
from tidewright.models.fit_floors import JUDGED, Parts, few, ridge_windows, sample_windows, usual_lookbacks
from tidewright.models.fit_ridge import CACHED, solve_penalties
from tidewright.models.floors import chunks
from tidewright.models.spec import Ridge


@dataclass(frozen=True, eq=False, slots=True)
class _Sums:
    """Over `count` windows: of told rows [F] and labels' ones [G], of their products [F, F] and [F, G]."""

    count: int
    rows: Doubles
    labels: Doubles
    gram: Doubles
    cross: Doubles


def fit_class_ridge(spec: Ridge, *, panel: Panel, split: Split, task: Task, season: int | None = None) -> ClassRidge:
    """The ridge of the lookback and the penalty whose margins come nearest to validation's ones and zeros.

    It learns the ones and zeros of each class at each step by least squares, with a constant that is not penalised.
    `season` is the panel's seasonal lag (default: its frequency's), from which lookbacks are taken where the spec has
    none, up to 720 columns. Windows with a missing label are left out. Raises `ShortSeriesError` where none is left.
    """
    parts = Parts(panel, split, task, panel.frequency.season if season is None else season)
    shares = _count_shares(parts)
    spec = replace(spec, lookbacks=spec.lookbacks or usual_lookbacks(parts, columns=len(shares)))
    windows = ridge_windows(parts, max(spec.lookbacks), columns=len(shares))
    candidates = list(_solve(spec, _add_up(windows, shares, classes=task.width), parts, shares))
    losses = _judge(candidates, parts)
    place = int(np.argmin(losses))
    history = tuple(
        {"candidate": _describe(one), "validation_loss": loss, "chosen": number == place}
        for number, (one, loss) in enumerate(zip(candidates, losses, strict=True))
    )
    return replace(candidates[place], history=history)


def _count_shares(parts: Parts) -> Doubles:
    """The share of each told class among the rows of training [k]."""
    target = parts.panel.target[parts.panel.positions <= parts.split.train.last]
    seen = target[~np.isnan(target)]
    return np.array([(seen == label).mean() for label in told_classes(parts.task.width)])


def _add_up(windows: Windows, shares: Doubles, *, classes: int) -> _Sums:
    """One pass over the windows: products in single precision, summed in double."""
    width, answers = windows.lookback * len(shares), windows.horizon * classes
    count, rows, labels = 0, np.zeros(width), np.zeros(answers)
    gram, cross = np.zeros((width, width)), np.zeros((width, answers))
    for some in chunks(len(windows), width, cells=CACHED):
        came = windows.labels(some)
        full = ~np.isnan(came).any(axis=1)
        told = tell_rows(windows.history(some)[full], shares, classes=classes).astype(np.float32)
        ones = _mark(came[full], classes).astype(np.float32)
        gram += told.T @ told
        cross += told.T @ ones
        rows += told.sum(axis=0, dtype=np.float64)
        labels += ones.sum(axis=0, dtype=np.float64)
        count += len(told)
    if not count:
        raise ShortSeriesError(
            f"ridge: no training window of lookback {windows.lookback} has all {windows.horizon} labels. Ask for a "
            "shorter lookback or horizon, or fill the gaps."
        )
    return _Sums(count, rows, labels, gram, cross)


def _mark(labels: Doubles, classes: int) -> Doubles:
    """Labels [N, H] as ones and zeros [N, G]; NaN where one is missing."""
    same = labels[:, :, None] == np.arange(classes)
    return np.where(np.isnan(labels)[:, :, None], np.nan, same).reshape(len(labels), -1)


def _solve(spec: Ridge, sums: _Sums, parts: Parts, shares: Doubles) -> Iterator[ClassRidge]:
    """Each candidate; a shorter lookback has the newest columns of the longest one's products."""
    level = sums.labels / sums.count
    for lookback in spec.lookbacks:
        newest = slice(-lookback * len(shares), None)
        mean = sums.rows[newest] / sums.count
        left = sums.gram[newest, newest] - sums.count * np.outer(mean, mean)
        right = sums.cross[newest] - sums.count * np.outer(mean, level)
        for penalty, weights in solve_penalties(left, right, spec.penalties):
            chosen = replace(spec, lookbacks=(lookback,), penalties=(penalty,))
            yield ClassRidge(chosen, parts.task, View(lookback), shares, weights, level - mean @ weights)


def _judge(candidates: list[ClassRidge], parts: Parts) -> list[float]:
    """The mean squared error of each one's margins on the same validation windows."""
    lookbacks, classes = [one.view.lookback for one in candidates], parts.task.width
    windows = cut_windows(
        parts.panel, View(min(lookbacks)), horizon=parts.task.horizon, cutoffs=parts.split.validation, least=1
    )
    columns = max(len(one.weights) for one in candidates)
    windows = sample_windows(replace(windows, lookback=max(lookbacks)), most=few(JUDGED, columns))
    told = tell_rows(windows.history(), candidates[0].shares, classes=classes)
    wanted = _mark(windows.labels(), classes)
    margins = (one.bias + told[:, -len(one.weights) :] @ one.weights for one in candidates)
    return [float(np.nanmean((wanted - said) ** 2)) for said in margins]


def _describe(ridge: ClassRidge) -> str:
    return f"lookback {ridge.view.lookback}, penalty {ridge.spec.penalties[0]:g}"
