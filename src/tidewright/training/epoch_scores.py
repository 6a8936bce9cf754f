"""Scores of a network after an epoch, on the original scale, for those who follow a training.

M members of a population, N windows, H horizon, Q quantiles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from tidewright.features.windows import Doubles
from tidewright.metrics.accuracy import Scored, score
from tidewright.models.logged import MOST
from tidewright.models.torch.network import ForecastNet
from tidewright.training.epoch import Course
from tidewright.training.events import Callback, wants_scores
from tidewright.training.gather import Source
from tidewright.training.logs import OfLogs

FOLLOWED = ("mape", "rmse", "mae")
MOST_WINDOWS, LEAST_WINDOWS, SHARE = 512, 64, 40


def score_epoch(network: ForecastNet, course: Course) -> dict[str, float]:
    """MAPE, RMSE and MAE of the point forecast on windows of training and validation, by name (train_mae); nothing
    where no callback `wants_scores`, several processes learn, or positions are learned.

    So that it costs next to nothing, they are of at most 512 windows of each part, evenly spaced, and of no more than
    a fortieth of those that an epoch learns from, but of 64. Weights and draws are left as they are.
    """
    return {} if course.team.size > 1 else score_members(network, [course])[0]


def score_members(network: ForecastNet, courses: Sequence[Course]) -> list[dict[str, float]]:
    """The same of each of M members that learn side by side in a network, in one pass: their courses share sources."""
    first, followed = courses[0], [wants_scores(course.callbacks) for course in courses]
    found: list[dict[str, float]] = [{} for _ in courses]
    if not any(followed):
        return found
    learned = min(len(first.training), first.train.steps * first.train.windows)
    most = min(MOST_WINDOWS, max(LEAST_WINDOWS, learned // SHARE))
    for part, source in {"train": first.training, "validation": first.judging}.items():
        if not isinstance(source, Source):
            continue
        actual, points = _forecast(network, source, most=most, members=len(courses))
        for own, course, point, heard in zip(found, courses, points, followed, strict=True):
            scores = _score(actual, point, offset=_offset(course.callbacks)) if heard else {}
            own |= {f"{part}_{name}": value for name, value in scores.items()}
    return found


def _forecast(network: ForecastNet, source: Source, *, most: int, members: int) -> tuple[Doubles, Doubles]:
    """Labels [N, H] of some windows, and each member's median of them [M, N, H]."""
    median = network.shape.quantiles.index(0.5)
    network.eval()
    with torch.inference_mode():
        index = torch.linspace(0, len(source) - 1, min(most, len(source)), device=source.begins.device).long()
        inputs, labels = source.batch(index.repeat(members))
        point = network(**inputs)[:, :, median]
    count = len(index)
    return labels[:count].double().cpu().numpy(), point.double().cpu().numpy().reshape(members, count, -1)


def _score(actual: Doubles, point: Doubles, *, offset: float | None) -> dict[str, float]:
    if offset is not None:
        actual, point = (np.exp(np.minimum(one, MOST)) - offset for one in (actual, point))
    if not np.isfinite(point).all():
        return dict.fromkeys(FOLLOWED, math.nan)
    return score(Scored(actual, point), FOLLOWED)


def _offset(callbacks: Sequence[Callback]) -> float | None:
    """What was added before logarithms were taken; None where none were."""
    return next((one.offset for one in callbacks if isinstance(one, OfLogs)), None)
