"""The one epoch loop of torch networks: in memory, seeded, checkpointed, with the best weights at its end."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from functools import partial

import torch

from tidewright.errors import ConfigError, FitError
from tidewright.models.torch.network import ForecastNet
from tidewright.training.batches import Notes, judge_in_memory, run_in_memory, settle_batch
from tidewright.training.checkpoint import Checkpoint, Progress, Tensors, whole
from tidewright.training.epoch import Course, History, draw_batches, open_losses
from tidewright.training.epoch_scores import score_epoch
from tidewright.training.events import EpochEnded, emit
from tidewright.training.learner import (
    Learner,
    keep_learner,
    open_learner,
    pack_learner,
    put_back,
    restore_learner,
    snapshot,
)
from tidewright.training.losses import Loss
from tidewright.training.measured import Trial, resume, settle
from tidewright.training.precision import fall_back, open_means
from tidewright.training.schedule import is_gain
from tidewright.training.spec import TrainSpec
from tidewright.training.team import draw_apart


def train_network(
    network: ForecastNet, course: Course, *, checkpoint: Checkpoint | None = None, learned: bool = False
) -> Progress:
    """Teaches the network in place and leaves the weights of its best epoch in it: those that it came with, where it
    had `learned` and no epoch betters them.

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
        progress, best = _go_on(learner, course, saved=saved)
    course, notes = settle_batch(learner, course, measure=learn, history=progress.history)
    if learned and not saved:
        known = judge_in_memory(learner, course, measure=judge)
        progress, notes = replace(progress, best=known, reference=known), {**notes, "loss_before": known}
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
        progress, notes = note(progress, {**means.describe(), **notes, **chosen, **fallen}), {}
        if progress.best < before:
            best = snapshot(learner.judged)
        if checkpoint:
            team.save(checkpoint, progress, pack_learner(learner, best, device=device))
        with team.lead():
            said = (course.model, course.key, progress.epoch, trained, judged, seconds)
            emit(course.callbacks, EpochEnded(*said, metrics=score_epoch(learner.judged, course)))
    network.load_state_dict(whole(best))
    return progress


def _go_on(learner: Learner, course: Course, *, saved: tuple[Progress, Tensors]) -> tuple[Progress, Tensors]:
    """What was kept of an earlier run, put into the learner, and the best weights so far."""
    progress, tensors = saved
    resume(learner.means, progress.history, network=learner.network)
    best = restore_learner(learner, tensors, device=course.device)
    if course.deadline == -math.inf:
        end = progress.stopped or "deadline"
        progress = note(replace(progress, stopped=end), {"stopped": end})
    return progress, best


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
        trained, course, notes = run_in_memory(learner, course, measure=learn, history=history)
    judged = judge_in_memory(learner, course, measure=judge)
    return trained, judged, course, notes


def advance(
    progress: Progress, train: TrainSpec, *, trained: float, judged: float, seconds: float, rate: float, late: bool
) -> Progress:
    """The progress after one more epoch, and whether that was the last; `late`: the next would end too late."""
    epoch = progress.epoch + 1
    gained = progress.reference == math.inf or is_gain(judged, best=progress.reference, least=train.least_gain)
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


def note(progress: Progress, notes: Notes) -> Progress:
    """The same progress, its last record with some notes."""
    return replace(progress, history=(*progress.history[:-1], {**progress.history[-1], **notes}))


def time_left(started: float, deadline: float | None) -> tuple[float, bool]:
    """How many seconds an epoch took, and whether another one would end after the deadline."""
    now = time.monotonic()
    return now - started, deadline is not None and now + (now - started) > deadline


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


def check_finite(trained: float, judged: float, *, epoch: int, train: TrainSpec) -> None:
    """Raises `FitError` when a loss is no number any more."""
    if not (math.isfinite(trained) and math.isfinite(judged)):
        raise FitError(
            f"the loss is no longer finite in epoch {epoch} (training {trained}, validation {judged}) at "
            f"learning rate {train.learning_rate:g} with {train.optimizer}. Try a tenth of that rate, or a "
            f"smaller clip than {train.clip:g}."
        )
