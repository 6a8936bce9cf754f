"""`fit_classics`: networks of one `ModelConfig` that learn from the same arrays in one batched step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Generator

from tidewright.errors import ConfigError, FitError
from tidewright.models.torch.classic import ClassicNet
from tidewright.models.torch.grouped import find_obstacle
from tidewright.runtime import Runtime, apply_threads, keep_memory
from tidewright.training.checkpoint import Progress
from tidewright.training.events import Callback
from tidewright.training.fit_arrays import History, Labelled, open_lesson
from tidewright.training.population_form import check_trains, refuse_runtime
from tidewright.training.population_loop import Judge, train_population
from tidewright.training.precision import multiply_in
from tidewright.training.spec import TrainSpec


def fit_classics(
    networks: Sequence[ClassicNet],
    *,
    training: Labelled,
    judging: Labelled,
    trains: Sequence[TrainSpec],
    runtime: Runtime,
    callbacks: Sequence[Callback] | None = None,
    hopeless: Judge = lambda place: "",
    deadline: float | None = None,
) -> tuple[History | FitError, ...]:
    """Teaches feed-forward networks in place, as `fit_classic` teaches each with its own of `trains`.

    Their configs may differ in dropout_rate alone, the specs in the options that a population leaves to its members.
    The history of each, or the `FitError` of one whose loss is no longer finite, or the `GivenUpError` of one that
    `hopeless` gave up. `callbacks` are one each: it hears of the epochs of its own network. Raises `ConfigError` and
    `DataError`.
    """
    _check(networks, trains, runtime)
    lessons = [
        open_lesson(network, training=training, judging=judging, train=train, runtime=runtime)
        for network, train in zip(networks, trains, strict=True)
    ]
    heard: list[tuple[Callback, ...]] = [(one,) for one in callbacks] if callbacks else [()] * len(networks)
    learners = [learner for learner, _ in lessons]
    courses = [
        replace(course, callbacks=own, deadline=deadline) for (_, course), own in zip(lessons, heard, strict=True)
    ]
    draws = [Generator().manual_seed(train.seed) for train in trains]
    devices = [] if runtime.device.used == "cpu" else [torch.cuda.current_device()]
    exact = multiply_in("ieee", device=runtime.device.used)
    with apply_threads(runtime), keep_memory(), exact, torch.random.fork_rng(devices):
        torch.manual_seed(trains[0].seed)  # of a GPU's dropout
        endings = train_population(learners, courses, draws=draws, hopeless=hopeless)
    for network in networks:
        network.eval()
    return tuple(ending.history if isinstance(ending, Progress) else ending for ending in endings)


def _check(networks: Sequence[ClassicNet], trains: Sequence[TrainSpec], runtime: Runtime) -> None:
    if not networks or len(networks) != len(trains):
        raise ConfigError(f"each network has its own TrainSpec; got {len(networks)} networks and {len(trains)} trains.")
    check_trains(trains)
    obstacle = refuse_runtime(runtime) or find_obstacle(networks[0])
    if obstacle:
        raise ConfigError(f"{networks[0].config.architecture_type} can't be batched: {obstacle}. Fit them one by one.")
    first = networks[0].config.to_dict() | {"dropout_rate": None}
    for network in networks[1:]:
        other = network.config.to_dict() | {"dropout_rate": None}
        unlike = sorted(name for name in first if first[name] != other[name])
        if unlike:
            raise ConfigError(
                f"the networks of a population are of one form; got two of another {', '.join(unlike)}. They may "
                "differ in dropout_rate. Fit a population of each form."
            )
