"""`solve_lear`: the matrix of a LEAR network in closed form, the penalty chosen on validation.

N windows, W numbers of a row, H horizon.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from tidewright.errors import ConfigError, FitError
from tidewright.models.specs.lear import Lear
from tidewright.models.torch.heads import PointHead
from tidewright.models.torch.lear import LearCore
from tidewright.models.torch.network import ForecastNet
from tidewright.training.epoch import JUDGE_CHUNK, Course
from tidewright.training.events import EpochEnded, emit

FLAT = 1e-6  # a column that moves less over the training rows gets no weight


def solve_lear(spec: Lear, network: ForecastNet, course: Course) -> tuple[Mapping[str, Any], ...]:
    """Puts the best matrix in place, and gives one record a penalty, its losses mean absolute errors of standardised
    windows.

    Windows with a missing label are left out. Raises `FitError` when none is left, and `ConfigError` for a
    network that is to learn anything but a point.
    """
    core = network.core
    assert isinstance(core, LearCore)
    if not isinstance(network.head, PointHead):
        raise ConfigError(
            "lear is solved for a point forecast, and learns no positions. Take another network for them."
        )
    gram, cross, mean, scale, centre = _products(network, core, course)
    history: list[dict[str, Any]] = []
    best: tuple[float, Tensor, Tensor] | None = None
    for number, penalty in enumerate(spec.penalties, start=1):
        started = time.monotonic()
        weights = torch.linalg.solve(gram + penalty * torch.eye(len(gram), dtype=gram.dtype), cross) / scale[:, None]
        _put(core, weights, centre - mean @ weights)
        losses = [_judge(network, source) for source in (course.training, course.judging)]
        history.append({"epoch": number, "penalty": penalty, "train_loss": losses[0], "validation_loss": losses[1]})
        seconds = time.monotonic() - started
        emit(course.callbacks, EpochEnded(course.model, course.key, number, losses[0], losses[1], seconds))
        if best is None or losses[1] < best[0]:
            best = losses[1], core.answer.weight.clone(), core.answer.bias.clone()
    assert best is not None
    core.answer.weight.data, core.answer.bias.data = best[1], best[2]
    history[-1]["stopped"] = "all penalties"
    return tuple(history)


def _products(network: ForecastNet, core: LearCore, course: Course) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """X'X [W, W] and X'Y [W, H] over N of standardised columns, the columns' mean and scale [W], the labels' mean."""
    total, width, ahead = 0, core.answer.in_features, core.answer.out_features
    squares, cross = torch.zeros(width, width, dtype=torch.float64), torch.zeros(width, ahead, dtype=torch.float64)
    sums, labels_sum = torch.zeros(width, dtype=torch.float64), torch.zeros(ahead, dtype=torch.float64)
    for rows, labels in _rows(network, core, course.training):
        squares += (rows.T @ rows).double()
        cross += (rows.T @ labels).double()
        sums, labels_sum, total = sums + rows.double().sum(0), labels_sum + labels.double().sum(0), total + len(rows)
    if not total:
        raise FitError("lear: no training window has all its labels. Ask for a shorter horizon, or fill the gaps.")
    mean, centre = sums / total, labels_sum / total
    scale = torch.sqrt((squares.diagonal() / total - mean**2).clamp(min=0.0))
    moves = scale > FLAT * (1.0 + mean.abs())
    scale = torch.where(moves, scale, torch.inf)
    gram = (squares / total - torch.outer(mean, mean)) / torch.outer(scale, scale)
    return gram, (cross / total - torch.outer(mean, centre)) / scale[:, None], mean, scale, centre


def _rows(network: ForecastNet, core: LearCore, source: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows [n, W] and standardised labels [n, H] of the windows that have all of them."""
    with torch.inference_mode():
        for index in torch.split(torch.arange(len(source), device=network.usual_scale.device), JUDGE_CHUNK):
            inputs, labels = source.batch(index)
            given, mean, scale = network.standardised(**inputs)
            wanted = (labels - mean) / scale
            full = torch.isfinite(wanted).all(dim=1)
            yield core.row(*given)[full].cpu(), (torch.asinh(wanted) if core.squash else wanted)[full].cpu()


def _put(core: LearCore, weights: Tensor, bias: Tensor) -> None:
    with torch.no_grad():
        core.answer.weight.copy_(weights.T)
        core.answer.bias.copy_(bias)


def _judge(network: ForecastNet, source: Any) -> float:
    """The mean absolute error of standardised windows over the labels that are there."""
    total, count = 0.0, 0
    with torch.inference_mode():
        for index in torch.split(torch.arange(len(source), device=network.usual_scale.device), JUDGE_CHUNK):
            inputs, labels = source.batch(index)
            score, mean, scale = network.score(**inputs)
            error = ((labels - mean) / scale - score[:, :, 0]).abs()
            seen = torch.isfinite(error)
            total, count = total + float(error[seen].double().sum()), count + int(seen.sum())
    return total / count if count else float("nan")
