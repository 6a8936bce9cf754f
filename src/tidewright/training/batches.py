"""How large a batch is, and what becomes of it when memory ends."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import partial
from typing import Any

import torch

from tidewright.errors import FitError
from tidewright.models.spec import MODELS
from tidewright.models.torch.network import ForecastNet
from tidewright.training.epoch import JUDGE_CHUNK, Course, History, measure_loss, run_epoch
from tidewright.training.learner import Learner, keep_learner, put_back
from tidewright.training.losses import Loss
from tidewright.training.precision import fall_back
from tidewright.training.room import (
    START,
    Exhausted,
    Taken,
    attempt,
    find_batch_size,
    free_memory,
    held_memory,
    reset_peak,
)
from tidewright.training.runs import Runs

Notes = Mapping[str, Any]
TIMED = 3  # steps of which the quickest counts, when a batch size is tried


def settle_batch(learner: Learner, course: Course, *, measure: Loss, history: History) -> tuple[Course, Notes]:
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
            partial(_try_batch, learner, course, measure=measure),
            most=most,
            free=free_memory(course.device),
            deadline=course.deadline,
        )
        put_back(learner, kept, device=course.device)
        course = _with_batch(course, found.batch_size, parts=parts)
        notes = {"batch_reason": found.reason, "batch_tried": found.tried}
    check_batches(learner.network, course)
    return course, notes


def run_in_memory(learner: Learner, course: Course, *, measure: Loss, history: History) -> tuple[float, Course, Notes]:
    """The next epoch's training loss. Where memory ends, the epoch begins anew with its batches in twice the parts, as
    often as that takes: then also the course with these, and what to note. Raises `BackendError` instead when strict.
    """
    run = partial(run_epoch, learner, measure=measure, history=history)
    if course.team.size > 1:  # no process can begin anew alone
        return run(course), course, {}
    kept, notes = keep_learner(learner, device=course.device), {}
    while isinstance(trained := attempt(partial(run, course)), Exhausted):
        course = _divide(learner.network, course, trained.reason)
        text = f"memory ran out in epoch {len(history) + 1}; it begins anew with accumulate {course.train.accumulate}"
        notes = {"fallback": f"{text}: {trained.reason}"}
        fall_back(notes["fallback"], strict=course.runtime.strict)
        put_back(learner, kept, device=course.device)
    return trained, course, notes


def judge_in_memory(learner: Learner, course: Course, *, measure: Loss) -> float:
    """The validation loss. Where memory ends, it is taken over half as many windows at once, as often as that takes.

    Raises `BackendError` instead when strict, and `FitError` where one window does not fit.
    """
    judge = partial(measure_loss, learner.judged, course.judging, measure=measure, team=course.team)
    if course.team.size > 1:  # no process can begin anew alone
        return judge()
    chunk = JUDGE_CHUNK
    while isinstance(judged := attempt(partial(judge, chunk=chunk)), Exhausted):
        if chunk == 1 or isinstance(course.judging, Runs):
            raise FitError(f"memory ran out in validation: {judged.reason}. Ask for a smaller network or lookback.")
        chunk //= 2
        text = f"memory ran out in validation, which goes on with {chunk} windows at once: {judged.reason}"
        fall_back(text, strict=course.runtime.strict)
    return judged


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


def _try_batch(learner: Learner, course: Course, size: int, *, measure: Loss) -> Taken:
    """The quickest of some steps of so many windows, and the most memory that they held."""
    held = held_memory(course.device, peak=False)
    reset_peak(course.device)
    step = replace(course, train=replace(course.train, batch_size=size, steps=1))
    clock = time.process_time if course.device == "cpu" else time.perf_counter  # other programs take wall time too
    times = []
    for _ in range(TIMED + 1):  # the first warms up
        started = clock()
        run_epoch(learner, step, measure=measure)  # reads its loss, so the device has done it
        times.append(clock() - started)
    peak = held_memory(course.device, peak=True)
    return Taken(min(times[1:]), None if held is None or peak is None else max(peak - held, 0))


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


def _name_remedy(model: str) -> str:
    """How batch normalisation is switched off in a model of that name."""
    options = [field.name for field in fields(MODELS.load(model))] if model in MODELS else []
    if "norm" in options:
        return "Set norm to layer"
    return f"Set {'batch_norm' if 'batch_norm' in options else 'use_batch_norm'} to false"
