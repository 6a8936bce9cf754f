"""One epoch of a network: its batches, its steps, and what they are judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tidewright.models.torch.network import ForecastNet
from tidewright.runtime import Runtime, detect_runtime
from tidewright.training.events import Callback
from tidewright.training.gather import Source
from tidewright.training.gradients import find_gradients
from tidewright.training.learner import Learner
from tidewright.training.losses import Loss, open_loss
from tidewright.training.runs import Runs, draw_runs
from tidewright.training.schedule import plan_rates
from tidewright.training.spec import TrainSpec
from tidewright.training.team import ALONE, Team

History = Sequence[Mapping[str, Any]]
JUDGE_CHUNK = 1024  # validation windows at once: bounds the memory of a recurrent network's states


@dataclass(frozen=True, eq=False, slots=True)
class Course:
    """What a run never changes: who learns (`model`, `key`: for events), from what, how, until when."""

    model: str
    key: str
    training: Source | Runs
    judging: Source | Runs
    train: TrainSpec
    callbacks: tuple[Callback, ...] = ()
    deadline: float | None = None
    device: str = "cpu"
    team: Team = ALONE
    runtime: Runtime = field(default_factory=detect_runtime)


def run_epoch(learner: Learner, course: Course, *, measure: Loss, history: History = ()) -> float:
    """The epoch of steps that comes after those of `history`; the mean training loss."""
    network, optimizer, train = learner.network, learner.optimizer, course.train
    parameters = list(network.parameters())
    total = torch.zeros((), device=course.device)
    batches = draw_batches(len(course.training), train, shuffle=learner.shuffle)
    rates = plan_rates(train, history, steps=len(batches))
    network.train()
    for step, (index, rate) in enumerate(zip(batches, rates, strict=True), start=len(history) * len(batches)):
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        total += find_gradients(
            network,
            index.to(course.device),
            source=course.training,
            measure=measure,
            parts=train.accumulate,
            team=course.team,
            scale=learner.means.scale,
        )
        learner.means.descend(optimizer, parameters, clip=train.clip)
        if learner.average:
            learner.average.follow(step)
    return float(course.team.sum(total)) / course.team.size / len(batches)


def draw_batches(count: int, train: TrainSpec, *, shuffle: torch.Generator) -> tuple[Tensor, ...]:
    """One epoch's batches of window numbers: full ones up to `steps`, or all windows in even parts; runs of cutoffs
    for a Sharpe ratio."""
    if train.loss == "sharpe":
        return draw_runs(count, train, shuffle=shuffle)
    order = torch.randperm(count, generator=shuffle)
    most = train.steps * train.windows
    if count >= most:
        return tuple(torch.split(order[:most], train.windows))
    return tuple(torch.tensor_split(order, -(-count // train.windows)))


def measure_loss(
    network: ForecastNet, source: Source | Runs, *, measure: Loss, team: Team = ALONE, chunk: int = JUDGE_CHUNK
) -> float:
    """The mean loss over all windows of a source, `chunk` at once, in evaluation mode; of runs the one loss over all
    cutoffs."""
    network.eval()
    total, labels_seen = torch.zeros((), dtype=torch.float64, device=source.begins.device), 0
    with torch.inference_mode():
        chunk = len(source) if isinstance(source, Runs) else chunk
        for index in torch.split(torch.arange(len(source), device=source.begins.device), chunk):
            loss, count = team.measure(network, index, source=source, loss=measure)
            total, labels_seen = total + loss.double(), labels_seen + int(count)
        total = team.sum(total)
    return float(total) / max(labels_seen, 1)


def open_losses(course: Course, quantiles: tuple[float, ...]) -> tuple[Loss, Loss]:
    """What training and judging measure."""
    train = course.train
    options: dict[str, Any] = {"delta": train.delta, "unit": train.unit, "cost_bps": train.cost_bps}
    loss = partial(open_loss, train.loss, quantiles, **options, device=course.device)
    return loss(complete=course.training.complete), loss(complete=course.judging.complete)
