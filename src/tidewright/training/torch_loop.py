"""The one epoch loop of torch networks: in memory, seeded, checkpointed, with the best weights at its end."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tidewright.errors import ConfigError, FallbackWarning, FitError
from tidewright.models.spec import MODELS
from tidewright.models.torch.network import ForecastNet
from tidewright.runtime import Runtime, detect_runtime
from tidewright.training.checkpoint import Checkpoint, Progress, whole
from tidewright.training.events import Callback, EpochEnded, emit
from tidewright.training.gather import Source
from tidewright.training.gradients import find_gradients
from tidewright.training.learner import (
    Learner,
    keep_learner,
    open_learner,
    pack_learner,
    put_back,
    restore_learner,
    snapshot,
)
from tidewright.training.losses import Loss, open_loss
from tidewright.training.measured import Trial, resume, settle
from tidewright.training.precision import fall_back, open_means
from tidewright.training.room import START, Exhausted, Taken, attempt, find_batch_size, free_memory, held_memory
from tidewright.training.runs import Runs, draw_runs
from tidewright.training.schedule import is_gain, plan_rates
from tidewright.training.spec import TrainSpec
from tidewright.training.team import ALONE, Team, draw_apart

History = Sequence[Mapping[str, Any]]
Notes = Mapping[str, Any]
TIMED = 3  # steps of which the quickest counts, when a batch size is tried
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


def train_network(network: ForecastNet, course: Course, *, checkpoint: Checkpoint | None = None) -> Progress:
    """Teaches the network in place and leaves the weights of its best epoch in it.

    Draws (dropout) come from torch's own generator, the shuffle from one that is seeded by the spec. With a
    checkpoint every epoch is saved before any callback hears of it, and a run that finds one goes on from it,
    with the same bits. A callback's exception ends the run and is passed on. Raises `FitError` when the loss
    is no longer finite. In a team every process calls it, and has the same weights in the end.
    """
    team, device = course.team, course.device
    _check_precision(course)
    means = open_means(course.runtime.precision.used, device)
    learner = open_learner(network, course.train, team=team, means=means)
    plain, judge = open_losses(course, network.shape.quantiles)
    learn = team.link(learner.network, means.change(plain))
    progress, best = Progress(), snapshot(learner.judged)
    saved = team.load(checkpoint) if checkpoint else None
    if saved:
        progress, tensors = saved
        resume(means, progress.history, network=learner.network)
        best = restore_learner(learner, tensors, device=device)
    course, notes = _settle_batch(learner, course, measure=learn, history=progress.history)
    while not progress.stopped:
        chosen = settle(means, _open_trial(learner, course, measure=plain), progress.history)
        started = time.monotonic()
        trained, judged, course, fallen = learn_epoch(
            learner, course, learn=learn, judge=judge, history=progress.history
        )
        trained, judged, seconds, late = team.agree(trained, judged, *time_left(started, course.deadline))
        check_finite(trained, judged, epoch=progress.epoch + 1, train=course.train)
        before, rate = progress.best, learner.optimizer.param_groups[0]["lr"]
        progress = advance(
            progress, course.train, trained=trained, judged=judged, seconds=seconds, rate=rate, late=bool(late)
        )
        progress, notes = _note(progress, {**means.describe(), **notes, **chosen, **fallen}), {}
        if progress.best < before:
            best = snapshot(learner.judged)
        if checkpoint:
            team.save(checkpoint, progress, pack_learner(learner, best, device=device))
        with team.lead():
            emit(course.callbacks, EpochEnded(course.model, course.key, progress.epoch, trained, judged, seconds))
    network.load_state_dict(whole(best))
    return progress


def learn_epoch(
    learner: Learner, course: Course, *, learn: Loss, judge: Loss, history: History
) -> tuple[float, float, Course, Notes]:
    """One more epoch: its training and validation loss, the course as it goes on, and what to note.

    One that fails in less than float32 is done again in float32, from what was before it, and so are those after it.
    """
    means, teach = learner.means, partial(_teach, learner, learn=learn, judge=judge, history=history)
    kept = keep_learner(learner, device=course.device) if means.reduced else {}
    trained, judged, course, before = teach(course)
    failure = means.explain_failure(trained, judged)
    if not failure:
        return trained, judged, course, before
    text = f"{failure} in epoch {len(history) + 1}: float32 is used from that epoch on."
    fall_back(text, strict=course.runtime.strict)
    put_back(learner, kept, device=course.device)
    means.take("float32")
    trained, judged, course, after = teach(course)
    told = [notes["fallback"] for notes in (before, after) if "fallback" in notes]
    return trained, judged, course, {"fallback": "; ".join([text, *told])}


def _teach(
    learner: Learner, course: Course, *, learn: Loss, judge: Loss, history: History
) -> tuple[float, float, Course, Notes]:
    draw_apart(course.team, course.train.seed, epoch=len(history))
    with learner.means.applied():
        trained, course, notes = _run_in_memory(learner, course, measure=learn, history=history)
    judged = measure_loss(learner.judged, course.judging, measure=judge, team=course.team)
    return trained, judged, course, notes


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


def measure_loss(network: ForecastNet, source: Source | Runs, *, measure: Loss, team: Team = ALONE) -> float:
    """The mean loss over all windows of a source, in evaluation mode; of runs the one loss over all cutoffs."""
    network.eval()
    total, labels_seen = torch.zeros((), dtype=torch.float64, device=source.begins.device), 0
    with torch.inference_mode():
        chunk = len(source) if isinstance(source, Runs) else JUDGE_CHUNK
        for index in torch.split(torch.arange(len(source), device=source.begins.device), chunk):
            loss, count = team.measure(network, index, source=source, loss=measure)
            total, labels_seen = total + loss.double(), labels_seen + int(count)
        total = team.sum(total)
    return float(total) / max(labels_seen, 1)


def advance(
    progress: Progress, train: TrainSpec, *, trained: float, judged: float, seconds: float, rate: float, late: bool
) -> Progress:
    """The progress after one more epoch, and whether that was the last; `late`: the next would end too late."""
    epoch = progress.epoch + 1
    gained = epoch == 1 or is_gain(judged, best=progress.reference, least=train.least_gain)
    waited = 0 if gained else progress.waited + 1
    stopped = ""
    if epoch >= train.epochs:
        stopped = "epochs"
    elif waited >= train.patience and epoch >= train.least_epochs:
        stopped = "patience"
    elif late:
        stopped = "deadline"
    record = {
        "epoch": epoch,
        "train_loss": trained,
        "validation_loss": judged,
        "learning_rate": rate,  # of its last step
        "batch_size": train.windows,
        "accumulate": train.accumulate,
        "seconds": seconds,
        "stopped": stopped,
    }
    return replace(
        progress,
        epoch=epoch,
        best=min(progress.best, judged),
        reference=judged if gained else progress.reference,
        waited=waited,
        stopped=stopped,
        history=(*progress.history, record),
    )


def _note(progress: Progress, notes: Notes) -> Progress:
    """The same progress, its last record with some notes."""
    return replace(progress, history=(*progress.history[:-1], {**progress.history[-1], **notes}))


def time_left(started: float, deadline: float | None) -> tuple[float, bool]:
    """How many seconds an epoch took, and whether another one would end after the deadline."""
    now = time.monotonic()
    return now - started, deadline is not None and now + (now - started) > deadline


def open_losses(course: Course, quantiles: tuple[float, ...]) -> tuple[Loss, Loss]:
    """What training and judging measure."""
    train = course.train
    options: dict[str, Any] = {"delta": train.delta, "unit": train.unit, "cost_bps": train.cost_bps}
    loss = partial(open_loss, train.loss, quantiles, **options, device=course.device)
    return loss(complete=course.training.complete), loss(complete=course.judging.complete)


def _open_trial(learner: Learner, course: Course, *, measure: Loss) -> Trial:
    """What steps are timed on, where that is for their times to choose."""
    draw = partial(draw_batches, len(course.training), course.train, shuffle=torch.Generator())
    return Trial(
        learner.network, course.train, course.training, measure, draw, course.runtime,
        device=course.device, deadline=course.deadline, alone=course.team.size == 1,
    )  # fmt: skip


def _check_precision(course: Course) -> None:
    if course.runtime.precision.used == "float16" and course.team.size > 1 and course.team.strategy == "fsdp":
        raise ConfigError(
            "float16 finds overflow in each process apart, which FSDP's parts of the weights don't allow. Ask for "
            "bfloat16, or for the strategy ddp."
        )


def _settle_batch(learner: Learner, course: Course, *, measure: Loss, history: History) -> tuple[Course, Notes]:
    """The course with the batch that it goes on with, and what was tried to find it.

    A run that goes on keeps the batch and the parts of its last epoch. What is tried leaves no trace in the learner.
    Raises `FitError` where batches are too small for batch normalisation, or not one window fits into memory.
    """
    parts, most, notes = course.train.accumulate, len(course.training), {}
    if history:
        course = _with_batch(course, history[-1]["batch_size"], parts=history[-1]["accumulate"])
    elif course.train.batch_size == "auto" and course.team.size == 1:
        check_batches(learner.network, _with_batch(course, min(START, most), parts=parts))
        kept = keep_learner(learner, device=course.device)
        found = find_batch_size(
            partial(_try_batch, learner, course, measure=measure), most=most, free=free_memory(course.device)
        )
        put_back(learner, kept, device=course.device)
        course = _with_batch(course, found.batch_size, parts=parts)
        notes = {"batch_reason": found.reason, "batch_tried": found.tried}
    check_batches(learner.network, course)
    return course, notes


def _try_batch(learner: Learner, course: Course, size: int, *, measure: Loss) -> Taken:
    """The quickest of some steps of so many windows, and the most memory that they held."""
    held = held_memory(course.device, peak=False)
    if course.device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    step = replace(course, train=replace(course.train, batch_size=size, steps=1))
    clock = time.process_time if course.device == "cpu" else time.perf_counter  # other programs take wall time too
    times = []
    for _ in range(TIMED + 1):  # the first warms up
        started = clock()
        run_epoch(learner, step, measure=measure)  # reads its loss, so the device has done it
        times.append(clock() - started)
    peak = held_memory(course.device, peak=True)
    return Taken(min(times[1:]), None if held is None or peak is None else max(peak - held, 0))


def _run_in_memory(learner: Learner, course: Course, *, measure: Loss, history: History) -> tuple[float, Course, Notes]:
    """The next epoch's training loss. Where memory ends, the epoch begins anew with its batches in twice the parts, as
    often as that takes: then also the course with these, and what to note."""
    run = partial(run_epoch, learner, measure=measure, history=history)
    if course.team.size > 1:  # no process can begin anew alone
        return run(course), course, {}
    kept, notes = keep_learner(learner, device=course.device), {}
    while isinstance(trained := attempt(partial(run, course)), Exhausted):
        course = _divide(learner.network, course, trained.reason)
        text = f"memory ran out in epoch {len(history) + 1}; it begins anew with accumulate {course.train.accumulate}"
        warnings.warn(f"{text}: {trained.reason}", FallbackWarning, stacklevel=2)
        notes = {"fallback": f"{text}: {trained.reason}"}
        put_back(learner, kept, device=course.device)
    return trained, course, notes


def _divide(network: ForecastNet, course: Course, reason: str) -> Course:
    """The course with its batches in twice the parts. Raises `FitError` where they can't be divided further."""
    size, parts = course.train.windows, course.train.accumulate
    if course.train.loss == "sharpe" or parts >= size:
        what = "a whole batch, of which sharpe is taken" if course.train.loss == "sharpe" else "one window at a time"
        raise FitError(
            f"memory ran out with {what}: {reason}. Ask for a smaller network, batch or lookback, or set recompute."
        )
    course = _with_batch(course, size, parts=min(2 * parts, size))
    check_batches(network, course)
    return course


def _with_batch(course: Course, size: int, *, parts: int) -> Course:
    return replace(course, train=replace(course.train, batch_size=size, accumulate=parts))


def check_batches(network: ForecastNet, course: Course) -> None:
    """Raises `FitError` for batches of one window, which have no variance to normalise by."""
    count, size, parts = len(course.training), course.train.windows, course.train.accumulate
    smallest = count // -(-count // size) // parts  # of an epoch that takes all windows
    if smallest < 2 and any(isinstance(part, torch.nn.BatchNorm1d) for part in network.modules()):
        divided = f" in {parts} parts" if parts > 1 else ""
        raise FitError(
            f"batch normalisation needs two windows a batch; got {count} training windows and batch_size {size}"
            f"{divided}. {_name_remedy(course.model)}, or bring longer series."
        )


def _name_remedy(model: str) -> str:
    """How batch normalisation is switched off in a model of that name."""
    options = [field.name for field in fields(MODELS.load(model))] if model in MODELS else []
    if "norm" in options:
        return "Set norm to layer"
    return f"Set {'batch_norm' if 'batch_norm' in options else 'use_batch_norm'} to false"


def check_finite(trained: float, judged: float, *, epoch: int, train: TrainSpec) -> None:
    """Raises `FitError` when a loss is no number any more."""
    if not (math.isfinite(trained) and math.isfinite(judged)):
        raise FitError(
            f"the loss is no longer finite in epoch {epoch} (training {trained}, validation {judged}) at "
            f"learning rate {train.learning_rate:g} with {train.optimizer}. Try a tenth of that rate, or a "
            f"smaller clip than {train.clip:g}."
        )
