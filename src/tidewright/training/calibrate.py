"""Probabilities calibrated on windows of validation: one curve for directions and for classes.

C cases, K classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tidewright.data.frequency import Ints
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs
from tidewright.errors import DataError
from tidewright.features.windows import Doubles, cut_windows
from tidewright.models.calibrated import RAREST, Calibrated, Scaling
from tidewright.models.fit_floors import sample_windows
from tidewright.models.fitted import Fitted
from tidewright.models.specs.tabular import MARGINS

MOST = 200_000  # cases that a curve is fitted to
MOST_OF_MARGINS = 20_000  # likewise, where a case costs a sum over all support vectors


def calibrate(fitted: Fitted, *, panel: Panel, cutoffs: Cutoffs) -> Calibrated:
    """The model with its probabilities of classes calibrated at some cutoffs (the validation part's), all steps alike.

    It is a temperature, which leaves the order of classes: shifts would move their shares to those of the part, and
    isotonic curves need more windows than a part has. A model of `MARGINS` gets shifts too, for a margin says on which
    side of a border a case lies, and nothing of how often its class comes (benchmarks/classification.py). Raises
    `DataError` where no label is known there.
    """
    margins, horizon = fitted.spec.name in MARGINS, fitted.task.horizon
    windows = cut_windows(panel, fitted.view, horizon=horizon, cutoffs=cutoffs, least=1)
    windows = sample_windows(windows, most=max(1, (MOST_OF_MARGINS if margins else MOST) // horizon))
    came = windows.labels()
    known = ~np.isnan(came)
    if not known.any():
        raise DataError("no label is known at these cutoffs, so nothing can be calibrated. Give earlier ones.")
    found = fit_scaling(fitted.predict(windows)[known], came[known], shifted=margins)
    told = {"slope": found.slope, "cells": int(known.sum())}
    if margins:
        return Calibrated(fitted, found, {"calibration": "temperature and shifts", **told, "shifts": found.shifts})
    return Calibrated(fitted, found, {"calibration": "temperature", **told})


def fit_scaling(probability: ArrayLike, came: ArrayLike, *, shifted: bool) -> Scaling:
    """The scaling of most likelihood for probabilities [C, K] of classes [C] that came; without shifts a temperature.

    With shifts its targets are Platt's (1999), which keep away from 0 and 1: a class that came n times among K counts
    as (n + 1) / (n + K) certain. The loss is convex; Newton's steps end where it is flat.
    """
    from scipy.optimize import minimize

    said, label = np.asarray(probability, dtype=np.float64), np.asarray(came).astype(np.int64)
    logs, classes = np.log(np.maximum(said, RAREST)), said.shape[1]
    wanted = _soften(label, classes) if shifted else np.eye(classes)[label]

    def loss(numbers: Doubles) -> tuple[float, Doubles]:
        scores = numbers[0] * logs + np.append(0.0, numbers[1:]) if shifted else numbers[0] * logs
        level = scores - scores.max(axis=1, keepdims=True)
        total = np.log(np.exp(level).sum(axis=1))
        apart = np.exp(level - total[:, None]) - wanted
        slopes = [(apart * logs).sum(axis=1).mean(), *(apart.mean(axis=0)[1:] if shifted else ())]
        return float((total - (wanted * level).sum(axis=1)).mean()), np.array(slopes)

    start = np.append(1.0, np.zeros(classes - 1 if shifted else 0))
    found = minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-8}).x
    shifts = tuple(found[1:].tolist()) if shifted else (0.0,) * (classes - 1)
    return Scaling(float(found[0]), (0.0, *shifts))


def _soften(label: Ints, classes: int) -> Doubles:
    """Platt's targets [C, K]."""
    count = np.bincount(label, minlength=classes)[label, None]
    return np.where(np.eye(classes, dtype=np.bool_)[label], count + 1.0, 1.0) / (count + classes)
