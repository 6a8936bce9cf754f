"""`fit_snapshots`: what one training knew at the end of each cycle of its rate, as one model."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.data.task import Task, refuse_classes
from tidewright.errors import ConfigError, FitError
from tidewright.features.view import View, keep_schema
from tidewright.models.ensemble import EnsembleFitted
from tidewright.models.spec import ModelSpec, kind_of, spec_key
from tidewright.models.specs.ensemble import MOST_MEMBERS
from tidewright.models.specs.lear import Lear
from tidewright.models.torch.fitted import TorchFitted
from tidewright.models.torch.heads import PointHead
from tidewright.models.torch.network import ForecastNet
from tidewright.runtime import Runtime, apply_threads, detect_runtime
from tidewright.training.ensemble import join
from tidewright.training.events import Callback, EpochEnded, Event, FitEnded, FitStarted, emit
from tidewright.training.fit import check_covariates, check_horizon, usual_view
from tidewright.training.fit_torch import Lesson, learn_lesson, measure_spread, prepare
from tidewright.training.losses import HEADS, check_labels
from tidewright.training.seeds import left_out
from tidewright.training.spec import TrainSpec
from tidewright.training.weigh import Rule

Weights = dict[str, Tensor]


def fit_snapshots(
    spec: ModelSpec,
    *,
    cycles: int = 5,
    panel: Panel,
    split: Split,
    task: Task,
    view: View | None = None,
    train: TrainSpec | None = None,
    season: int | None = None,
    rule: Rule = "mean",
    metric: str = "mase",
    callbacks: Sequence[Callback] = (),
    deadline: float | None = None,
    runtime: Runtime | None = None,
    strict: bool = False,
) -> EnsembleFitted:
    """A network's weights at the end of each of `cycles` cosines of the rate, joined by a rule of `fit_ensemble`: an
    ensemble for the price of one training (Huang, Li, Pleiss, Liu, Hopcroft, Weinberger 2017).

    `train.epochs` are those of all cycles, a multiple of their number, and none ends early: the loss rises when a
    cycle begins. `deadline` may end it after fewer cycles, and a loss that is no longer finite does; those that are
    whole are kept, what is missing is warned of and told in the history (an error when `strict`, or when no cycle is
    whole). The history goes on with one record an epoch. Raises `ConfigError` for what is no network with an epoch
    loop, and for `ema`, whose mean would be over all cycles.
    """
    refuse_classes(task, "a network")
    train = _cycle(spec, train or TrainSpec(), cycles)
    check_horizon(task, split)
    view = view or usual_view(panel, split=split, task=task, season=season, takes=spec.takes)
    check_covariates(spec, panel, view)
    _refuse_log(view)
    view = keep_schema(view, panel, takes=spec.takes)
    runtime = runtime or detect_runtime()
    lesson = prepare(panel, split, task=task, view=view, train=train)
    check_labels(train.loss, lesson.training.y[lesson.rows])
    camera = _Camera(train.epochs // cycles)
    network, history, error = _learn(
        spec, lesson, camera, task=task, view=view, train=train, callbacks=tuple(callbacks), deadline=deadline,
        runtime=runtime,
    )  # fmt: skip
    told = _say_missing(spec, camera, cycles, history, error=error, strict=strict)
    kept = [
        TorchFitted(spec, task, view, network.shape, _develop(network, weights, lesson, runtime), history)
        for weights in camera.taken
    ]
    found = join(kept, panel=panel, split=split, rule=rule, metric=metric, season=season)
    return replace(found, history=({"snapshots": len(kept)}, *told, *found.history, *history))


class _Camera:
    """Keeps a network's weights after every so many epochs."""

    def __init__(self, every: int) -> None:
        self._every, self._epochs = every, 0
        self.network: ForecastNet | None = None
        self.taken: list[Weights] = []

    def open(self, network: ForecastNet) -> Callback:
        self.network = network
        return self._look

    def _look(self, event: Event) -> None:
        if not isinstance(event, EpochEnded) or self.network is None:
            return
        self._epochs += 1
        if self._epochs % self._every == 0:
            self.taken.append({name: one.detach().to("cpu", copy=True) for name, one in _state(self.network)})


def _state(network: ForecastNet) -> list[tuple[str, Tensor]]:
    return list(network.state_dict().items())


def _cycle(spec: ModelSpec, train: TrainSpec, cycles: int) -> TrainSpec:
    """How the network learns. Raises `ConfigError` where cycles make no sense."""
    if kind_of(spec) != "torch" or isinstance(spec, Lear):
        raise ConfigError(f"{spec.name} has no training of many epochs to take snapshots of. Take a network.")
    if not 1 <= cycles <= MOST_MEMBERS:
        raise ConfigError(f"cycles are 1 to {MOST_MEMBERS}; got {cycles}.")
    if train.epochs % cycles:
        raise ConfigError(
            f"each cycle has as many epochs; got train.epochs {train.epochs} for {cycles} cycles. Ask for "
            f"{max(train.epochs // cycles, 1) * cycles} epochs, or another number of cycles."
        )
    if train.ema or train.warmup or train.schedule not in ("constant", "cyclic"):
        raise ConfigError("snapshots have a cyclic schedule of their own, without warmup and ema. Leave these out.")
    return replace(train, schedule="cyclic", cycles=cycles, least_epochs=train.epochs)


def _refuse_log(view: View) -> None:
    if view.log is not None:
        raise ConfigError(
            "snapshots are of a network that sees the target itself. Leave the view's log out, or take fit_seeds."
        )


def _learn(
    spec: ModelSpec,
    lesson: Lesson,
    camera: _Camera,
    *,
    view: View,
    train: TrainSpec,
    callbacks: tuple[Callback, ...],
    **options: Any,
) -> tuple[ForecastNet, tuple[Mapping[str, Any], ...], FitError | None]:
    """The network, whatever its weights are, one record an epoch, and why it could not go on."""
    key = spec_key(spec, train, view)
    emit(callbacks, FitStarted(spec.name, key, asdict(spec), train.epochs))  # type: ignore[call-overload]
    started, cpu = time.monotonic(), time.process_time()
    try:
        network, history = learn_lesson(
            spec,
            lesson,
            view=view,
            train=train,
            head=HEADS[train.loss],
            callbacks=callbacks,
            watch=camera.open,
            **options,
        )
    except FitError as error:
        if camera.network is None or not camera.taken:
            raise
        return camera.network.to("cpu"), (), error
    emit(
        callbacks,
        FitEnded(
            spec.name, key, time.monotonic() - started, time.process_time() - cpu, str(history[-1].get("stopped", ""))
        ),
    )
    return network, history, None


def _say_missing(
    spec: ModelSpec,
    camera: _Camera,
    cycles: int,
    history: Sequence[Mapping[str, Any]],
    *,
    error: FitError | None,
    strict: bool,
) -> tuple[Mapping[str, Any], ...]:
    """A record of the cycles that are missing, if some are."""
    missing = cycles - len(camera.taken)
    if not missing:
        return ()
    reason = str(error) if error else f"the deadline ended it after {len(history)} epochs"
    if strict or not camera.taken:
        raise error or FitError(f"{spec.name}: no cycle was done: {reason}. Give it more time, or shorter cycles.")
    return (left_out(spec.name, f"{missing} of {cycles} snapshots", reason),)


def _develop(network: ForecastNet, weights: Weights, lesson: Lesson, runtime: Runtime) -> ForecastNet:
    """A network of its own with these weights."""
    own = copy.deepcopy(network).eval()
    own.load_state_dict(weights)
    if isinstance(own.head, PointHead):
        with apply_threads(runtime):
            own.head.spread.copy_(torch.from_numpy(measure_spread(own, lesson.training)))
    return own
