"""`fit_torch`: windows of the training part, scalings fitted on it, the epoch loop, and the learned network.

N windows, L lookback, H horizon, F features, Q quantiles, S series.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, Split
from tidewright.data.task import Task
from tidewright.features.view import View, drifting_columns
from tidewright.features.windows import Windows, cut_windows
from tidewright.models.spec import ModelSpec, spec_key
from tidewright.models.specs.lear import Lear
from tidewright.models.torch.fitted import TorchFitted
from tidewright.models.torch.heads import PointHead
from tidewright.models.torch.network import ForecastNet, build, standardise
from tidewright.models.torch.recompute import recompute_blocks
from tidewright.models.torch.shape import shape_of
from tidewright.runtime import Runtime, apply_threads, detect_runtime, keep_memory
from tidewright.training.epoch import JUDGE_CHUNK, Course
from tidewright.training.events import Callback
from tidewright.training.fit_lear import solve_lear
from tidewright.training.gather import Source, open_source
from tidewright.training.losses import HEADS, check_labels
from tidewright.training.precision import multiply_in
from tidewright.training.runs import Runs
from tidewright.training.spec import TrainSpec
from tidewright.training.team import ALONE, Team, hold_together
from tidewright.training.torch_loop import train_network

CALIBRATION = 4096  # training windows that the usual scale and residual quantiles are taken from
LEAST = 2  # rows of history that a window of a short series needs


@dataclass(frozen=True, eq=False, slots=True)
class Lesson:
    """The windows that are learned from and judged on, the flat rows that scalings are fitted on, and what opens the
    windows for the epoch loop."""

    training: Windows
    judging: Windows
    rows: npt.NDArray[np.bool_]
    source: Callable[..., Source | Runs] = open_source


def fit_torch(
    spec: ModelSpec,
    *,
    panel: Panel,
    split: Split,
    task: Task,
    view: View,
    train: TrainSpec,
    callbacks: tuple[Callback, ...] = (),
    deadline: float | None = None,
    checkpoint: Path | None = None,
    runtime: Runtime | None = None,
    team: Team = ALONE,
) -> TorchFitted:
    """The learned network. Equal specs, data and machine kind give equal bits (on the CPU, one fit a process
    at a time: dropout draws from torch's own generator, which is seeded here and put back afterwards).

    `checkpoint` is a file that every epoch replaces, and from which a run that was killed goes on. Raises
    `FitError`, `ShortSeriesError` and `ConfigError`.
    """
    lesson = prepare(panel, split, task=task, view=view, train=train)
    check_labels(train.loss, lesson.training.y[lesson.rows])
    network, history = learn_lesson(
        spec, lesson, task=task, view=view, train=train, head="point" if isinstance(spec, Lear) else HEADS[train.loss],
        callbacks=callbacks, deadline=deadline, checkpoint=checkpoint, runtime=runtime, team=team,
    )  # fmt: skip
    return TorchFitted(spec, task, view, network.shape, network, history)


def learn_lesson(
    spec: ModelSpec,
    lesson: Lesson,
    *,
    task: Task,
    view: View,
    train: TrainSpec,
    head: str,
    callbacks: tuple[Callback, ...] = (),
    deadline: float | None = None,
    checkpoint: Path | None = None,
    runtime: Runtime | None = None,
    team: Team = ALONE,
    watch: Callable[[ForecastNet], Callback] | None = None,
    start: Mapping[str, npt.NDArray[Any]] | None = None,
) -> tuple[ForecastNet, tuple[Mapping[str, Any], ...]]:
    """A network with a head that has learned a lesson, on the CPU, and one record an epoch. See `fit_torch`.

    `watch` is given the network before it learns and gives one more callback, which may look at it between epochs.
    With `start` it goes on from these weights and scalings.
    """
    runtime = runtime or detect_runtime()
    device = runtime.device.used
    data = digest_windows(lesson.training, lesson.judging) if checkpoint else ""
    devices = [torch.cuda.current_device()] if device != "cpu" else []
    key = lesson_key(spec, train, view=view, task=task, data=data, runtime=runtime, head=head)
    with (
        apply_threads(runtime),
        keep_memory(),
        multiply_in("ieee", device=device),
        torch.random.fork_rng(devices),
        hold_together(checkpoint, key, team=team) as held,
    ):
        network = _open_network(spec, lesson, task=task, view=view, train=train, head=head, start=start).to(device)
        training, judging = (lesson.source(part, device=device) for part in (lesson.training, lesson.judging))
        callbacks = (*callbacks, watch(network)) if watch else callbacks
        course = Course(
            spec.name, spec_key(spec, train, view), training, judging, train,
            callbacks=callbacks, deadline=deadline, device=device, team=team, runtime=runtime,
        )  # fmt: skip
        with recompute_blocks(network, model=spec.name) if train.recompute else nullcontext():
            if isinstance(spec, Lear):
                history = solve_lear(spec, network, course)
            else:
                history = train_network(network, course, checkpoint=held, learned=start is not None).history
        network.to("cpu").eval()
        if isinstance(network.head, PointHead):
            network.head.spread.copy_(torch.from_numpy(measure_spread(network, lesson.training)))
    return network, history


def _open_network(
    spec: ModelSpec,
    lesson: Lesson,
    *,
    task: Task,
    view: View,
    train: TrainSpec,
    head: str,
    start: Mapping[str, npt.NDArray[Any]] | None,
) -> ForecastNet:
    """The network before it learns, its first weights drawn from the spec's seed, or those of `start`."""
    torch.manual_seed(train.seed)
    shape = shape_of(lesson.training, task)
    network = build(spec, shape, head=head, components=train.components, relative=view.relative)
    fit_scalings(network, lesson, view=view)
    if start is not None:
        network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in start.items()})
    return network


def training_windows(panel: Panel, view: View, *, horizon: int, cutoffs: Cutoffs) -> Windows:
    """The windows to learn from: those with a whole lookback; padded ones of series too short for any."""
    windows = cut_windows(panel, view, horizon=horizon, cutoffs=cutoffs, least=min(LEAST, view.lookback))
    whole = windows.rows - windows.offsets[windows.series] >= view.lookback - 1
    has_whole = np.zeros(len(windows.offsets) - 1, dtype=np.bool_)
    has_whole[windows.series[whole]] = True
    return windows.subset(np.flatnonzero(whole | ~has_whole[windows.series]))


def measure_spread(network: ForecastNet, windows: Windows) -> npt.NDArray[np.float32]:
    """Residual quantiles [H, Q] of the point on training windows, standardised; the median is held at 0."""
    source = open_source(evenly(windows, CALIBRATION))
    parts = []
    with torch.inference_mode():
        for index in torch.split(torch.arange(len(source)), JUDGE_CHUNK):
            inputs, labels = source.batch(index)
            point, mean, scale = network.score(**inputs)
            parts.append((labels - mean) / scale - point[:, :, 0])
    residual = torch.cat(parts).numpy().astype(np.float64)
    levels = np.asarray(network.shape.quantiles)
    spread = np.zeros((network.shape.horizon, len(levels)))
    for step in range(network.shape.horizon):
        seen = residual[np.isfinite(residual[:, step]), step]
        if seen.size:
            spread[step] = np.quantile(seen, levels)
    below, above = levels < 0.5, levels > 0.5
    held = np.where(below, np.minimum(spread, 0.0), np.where(above, np.maximum(spread, 0.0), 0.0))
    return held.astype(np.float32)


def lesson_key(
    spec: ModelSpec, train: TrainSpec, *, view: View, task: Task, data: str, runtime: Runtime, head: str = ""
) -> str:
    """What names a run's checkpoint: the records, the windows' digest, the head (as the loss has it) and how it is
    computed."""
    return spec_key(
        spec, train, view, task, head or HEADS[train.loss], data, runtime.precision.used, runtime.compile.used
    )


def digest_windows(training: Windows, judging: Windows) -> str:
    """Sixteen hexadecimal digits that name all that the windows of one panel can show, and which are which."""
    digest = blake2b(digest_size=8)
    shared = (training.y, training.past, training.known, training.static, training.offsets)
    for array in (*shared, training.rows, judging.rows):
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def prepare(panel: Panel, split: Split, *, task: Task, view: View, train: TrainSpec) -> Lesson:
    """The windows of both parts, and the rows of the training part."""
    training = training_windows(panel, view, horizon=task.horizon, cutoffs=split.train)
    judging = cut_windows(panel, view, horizon=task.horizon, cutoffs=split.validation, least=1)
    return Lesson(training, evenly(judging, train.judged), panel.positions <= split.train.last)


def fit_scalings(network: ForecastNet, lesson: Lesson, *, view: View) -> None:
    """Puts every covariate's mean and scale over the training rows, and a window's usual scale, in place."""
    windows = lesson.training
    tables = {
        "past": windows.past[lesson.rows],
        "known": windows.known[lesson.rows],
        "static": windows.static[np.unique(windows.series)],
    }
    for name in network.shape.inputs[1:]:
        mean, scale = _moments(tables[name])
        getattr(network, f"{name}_mean").copy_(torch.from_numpy(mean))
        getattr(network, f"{name}_scale").copy_(torch.from_numpy(scale))
        if view.relative and name != "static":
            drifts = drifting_columns(tables[name], keep=view.waves if name == "known" else 0)
            getattr(network, f"{name}_drifts").copy_(torch.from_numpy(drifts))
    history = torch.from_numpy(evenly(windows, CALIBRATION).batch().target)
    _, _, _, scale_seen = standardise(history, torch.zeros(()))  # 0: does not move
    moving = scale_seen[scale_seen > 0]
    if len(moving):
        network.usual_scale.copy_(moving.median())


def _moments(table: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mean and scale [F] of each column's finite values; 0 and 1 where it has none, 1 if it is constant."""
    values = table.astype(np.float64)
    seen = np.isfinite(values)
    count = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, values, 0.0).sum(axis=0) / count
    centred = np.where(seen, values - mean, 0.0)
    scale = np.sqrt((centred**2).sum(axis=0) / count)
    moves = scale > 1e-6 * np.maximum(np.abs(mean), 1e-30)
    return mean.astype(np.float32), np.where(moves, scale, 1.0).astype(np.float32)


def evenly(windows: Windows, most: int) -> Windows:
    """At most `most` windows, evenly spaced in the order of series and time."""
    if len(windows) <= most:
        return windows
    return windows.subset(np.linspace(0, len(windows) - 1, most).astype(np.int64))
