"""Networks that learn from plain arrays: the epoch loop of panels on windows that somebody else has cut.

N rows, L lookback, H horizon, F features, C outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tidewright.errors import ConfigError, DataError
from tidewright.metrics.accuracy import Scored, score
from tidewright.models.classic import ModelConfig
from tidewright.models.spec import ModelSpec, spec_key
from tidewright.models.torch.classic import ClassicNet, build_classic
from tidewright.models.torch.network import ForecastNet, build
from tidewright.models.torch.shape import Shape
from tidewright.runtime import Runtime, apply_threads, keep_memory
from tidewright.training.epoch import Course
from tidewright.training.events import Callback
from tidewright.training.gather import Source
from tidewright.training.precision import multiply_in
from tidewright.training.spec import TrainSpec
from tidewright.training.torch_loop import train_network

Singles = npt.NDArray[np.float32]
History = tuple[Mapping[str, Any], ...]
CHUNK = 1024  # rows answered at once


@dataclass(frozen=True, eq=False, slots=True)
class Labelled:
    """Features [N, ...] and labels [N, C], float32; labels are finite."""

    features: Singles
    labels: Singles

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, rows: slice) -> Labelled:
        """Some of the rows."""
        return Labelled(self.features[rows], self.labels[rows])


def read_labelled(data: Any, *, name: str, missing: bool = False) -> Labelled:
    """A pair (features, labels) of NumPy arrays or tensors, checked; labels [N] become [N, 1].

    `missing` allows NaN among the features. Raises `DataError` naming the pair and the place.
    """
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise DataError(f"{name} is a pair (features, labels); got {type(data).__name__}. Give two arrays.")
    features, labels = (read_array(part, name=f"{name}: {what}") for part, what in zip(data, _PARTS, strict=True))
    labels = labels[:, None] if labels.ndim == 1 else labels
    if features.ndim < 2 or labels.ndim != 2 or len(features) != len(labels):
        raise DataError(
            f"{name} has features of shape {features.shape} and labels of shape {labels.shape}. Bring features "
            "[N, F] or [N, T, F] and labels [N] or [N, C], with the same N."
        )
    if len(labels) < 2:
        raise DataError(f"{name} has {len(labels)} rows; 2 are the least to learn from or to judge by. Bring more.")
    for what, array, bad in zip(_PARTS, (features, labels), (np.isinf if missing else _unknown, _unknown), strict=True):
        places = np.argwhere(bad(array))
        if len(places):
            place = tuple(int(i) for i in places[0])
            raise DataError(
                f"{name}: {len(places)} of the {what} are no finite numbers, the first at {list(place)}. Fill them "
                "(or rescale: float32 ends at 3e38), or leave those rows out."
            )
    return Labelled(features, labels)


def read_array(values: Any, *, name: str) -> Singles:
    """An array or a tensor as float32. Raises `DataError`."""
    try:
        array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
        with np.errstate(over="ignore"):  # what float32 can't hold is told with its place
            return np.ascontiguousarray(array, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} can't be read as numbers: {error}. Give an array of floats.") from error


def check_features(features: Singles, config: ModelConfig, *, name: str) -> None:
    """Raises `DataError` where the features are not what a network of this config reads."""
    shape, width = features.shape, config.input_size
    if config.sequential:
        if features.ndim != 3 or shape[2] != width:
            raise DataError(
                f"{config.architecture_type} reads [N, T, {width}]; {name} has shape {shape}. "
                "Reshape the features to steps, or take feed_forward."
            )
    elif int(np.prod(shape[1:])) != width:
        raise DataError(f"{config.architecture_type} reads [N, {width}]; {name} has shape {shape}. Set input_size.")


def fit_classic(
    network: ClassicNet,
    *,
    training: Labelled,
    judging: Labelled,
    train: TrainSpec,
    runtime: Runtime,
    callbacks: tuple[Callback, ...] = (),
    deadline: float | None = None,
) -> History:
    """Teaches a network in place: scalings of the training rows, then the weights of its best epoch.

    One record an epoch; its losses are mean squared errors in units of the outputs' scale. `callbacks` hear of each
    epoch; none is begun, but for the first, that would probably end after `deadline`, a `time.monotonic()`. Raises
    `DataError` and `FitError`.
    """
    learner, course = open_lesson(network, training=training, judging=judging, train=train, runtime=runtime)
    return _learn(learner, replace(course, callbacks=callbacks, deadline=deadline), runtime=runtime)


def make_network(factory: Callable[..., Any], options: Mapping[str, Any], *, seed: int) -> ClassicNet:
    """A new network of the config that a factory's network has, its weights drawn from a seed.

    It is never the factory's own, which may be the same at every call. Raises `ConfigError` where the factory gives
    something else.
    """
    with torch.random.fork_rng(devices=[]):
        made = factory(**options)
    if not isinstance(made, ClassicNet):
        raise ConfigError(
            f"the model factory gave {type(made).__name__}, which is no network of PyTorchModelFactory. Give back what "
            "create_model gives."
        )
    return build_classic(made.config, seed=seed)


def heeds(factory: Callable[..., Any], option: str, values: tuple[Any, ...], *, seed: int) -> bool:
    """Whether a factory takes an option and two of its values make two different networks.

    One value alone is heeded where the factory takes it.
    """
    taken = signature(factory).parameters.values()
    if not any(one.name == option or one.kind is one.VAR_KEYWORD for one in taken):
        return False
    made = [make_network(factory, {option: value}, seed=seed).config for value in (*values[:1], *values[-1:])]
    return len(values) == 1 or made[0] != made[1]


def open_lesson(
    network: ClassicNet, *, training: Labelled, judging: Labelled, train: TrainSpec, runtime: Runtime
) -> tuple[ForecastNet, Course]:
    """A network with its scalings, as the epoch loop takes it, and its course. Raises `DataError`."""
    config, device = network.config, runtime.device.used
    for name, part in (("train_data", training), ("val_data", judging)):
        check_features(part.features, config, name=name)
        if part.labels.shape[1] != config.output_size:
            raise DataError(
                f"output_size is {config.output_size}; {name} has labels of shape {part.labels.shape}. Set output_size."
            )
    _scale(network, training)
    learner = cast(ForecastNet, _Learner(network, training.features.shape[1:]))
    course = Course(
        model=config.architecture_type.value,
        key=spec_key(train),
        training=_rows_source(training, device=device),
        judging=_rows_source(judging, device=device),
        train=replace(train, steps=_all_steps(training, train)),
        device=device,
        runtime=runtime,
    )
    return learner, course


def score_classic(network: ClassicNet, judging: Labelled) -> dict[str, float]:
    """The mean squared error (`val_loss`), its root, the mean absolute error and r2, on the labels' own scale."""
    labels, found = judging.labels.astype(np.float64), answer(network, judging.features).astype(np.float64)
    scores = score(Scored(labels, found), ("mse", "mae", "rmse"))
    around = float(np.square(labels - labels.mean(axis=0)).mean())
    r2 = 1.0 - scores["mse"] / around if around > 0 else float("nan")
    return {"val_loss": scores["mse"], "mae": scores["mae"], "rmse": scores["rmse"], "r2": r2}


def fit_windows(
    spec: ModelSpec, *, training: Labelled, judging: Labelled, column: int, train: TrainSpec, runtime: Runtime
) -> tuple[ForecastNet, History]:
    """A network of the catalog that has learned from windows [N, L, F] and their labels [N, H] by squared error.

    `column` is the feature whose future the labels are; the others are past covariates. NaN is a missing value.
    """
    device, (_, lookback, width) = runtime.device.used, training.features.shape
    shape = Shape(lookback, training.labels.shape[1], past=width - 1, known=0, static=0, quantiles=(0.5,))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(train.seed)
        network = build(spec, shape)  # its one quantile is the point
    own, others = split_column(training.features, column)
    with torch.no_grad():
        _put(network, "usual_scale", _positive(np.nanstd(own)))
        if width > 1:
            _put(network, "past_mean", np.nanmean(others, axis=(0, 1)))
            _put(network, "past_scale", _positive(np.nanstd(others, axis=(0, 1))))
    course = Course(
        model=spec.name,
        key=spec_key(spec, train),
        training=_windows_source(training, column, device=device),
        judging=_windows_source(judging, column, device=device),
        train=replace(train, steps=_all_steps(training, train)),
        device=device,
        runtime=runtime,
    )
    return network, _learn(network, course, runtime=runtime)


def answer(network: nn.Module, *inputs: Singles) -> Singles:
    """What a network says of all rows, in evaluation mode, a bounded number at a time, on one thread."""
    device = next(network.parameters()).device
    was = network.training
    network.eval()
    parts = []
    with apply_threads(1), torch.inference_mode():
        for start in range(0, len(inputs[0]), CHUNK):
            batch = [torch.from_numpy(part[start : start + CHUNK]).to(device) for part in inputs]
            parts.append(network(*batch).cpu().numpy())
    network.train(was)
    return np.concatenate(parts)


def split_column(features: Singles, column: int) -> tuple[Singles, Singles]:
    """One feature [N, L] and the others [N, L, F - 1] of windows [N, L, F]."""
    return np.ascontiguousarray(features[:, :, column]), np.delete(features, column, axis=2)


class _Learner(nn.Module):
    """A classic network as the epoch loop takes it: features come flat, as a window's static ones."""

    def __init__(self, network: ClassicNet, form: tuple[int, ...]) -> None:
        super().__init__()
        self.network, self.form = network, form
        self.shape = Shape(0, network.config.output_size, past=0, known=0, static=1, quantiles=(0.5,))

    def score(self, target: Tensor, static: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        scores = self.network.score(static.view(-1, *self.form)).unsqueeze(2)
        return scores, self.network.output_mean, self.network.output_scale


def _learn(network: ForecastNet, course: Course, *, runtime: Runtime) -> History:
    device = runtime.device.used
    devices = [] if device == "cpu" else [0]
    with apply_threads(runtime), keep_memory(), multiply_in("ieee", device=device), torch.random.fork_rng(devices):
        torch.manual_seed(course.train.seed)
        network.to(device)
        progress = train_network(network, course)
    network.to("cpu").eval()
    return progress.history


def _rows_source(part: Labelled, *, device: str) -> Source:
    numbers = torch.arange(len(part), device=device)
    return Source(
        target=torch.from_numpy(part.labels).to(device),
        past=None,
        known=None,
        static=torch.from_numpy(part.features.reshape(len(part), -1)).to(device),
        begins=numbers,
        series=numbers,
        lookback=0,
        complete=True,
    )


def _windows_source(part: Labelled, column: int, *, device: str) -> Source:
    own, others = split_column(part.features, column)
    numbers = torch.arange(len(part), device=device)
    return Source(
        target=torch.from_numpy(np.concatenate([own, part.labels], axis=1)).to(device),
        past=torch.from_numpy(others.reshape(len(part), -1)).to(device) if others.shape[2] else None,
        known=None,
        static=None,
        begins=numbers,
        series=numbers,
        lookback=own.shape[1],
        complete=True,
    )


def _scale(network: ClassicNet, training: Labelled) -> None:
    """Puts the means and scales of the training rows into a network."""
    features = training.features.reshape(-1, network.config.input_size)
    with torch.no_grad():
        for name, values in (("input", features), ("output", training.labels)):
            _put(network, f"{name}_mean", values.mean(axis=0, dtype=np.float64))
            _put(network, f"{name}_scale", _positive(values.std(axis=0, dtype=np.float64)))


def _put(network: nn.Module, name: str, values: Any) -> None:
    network.get_buffer(name).copy_(torch.as_tensor(values))


def _positive(scale: Any) -> npt.NDArray[np.float64]:
    """A scale, 1 where nothing moves."""
    return np.where(np.asarray(scale) > 0, scale, 1.0).astype(np.float64)


def _unknown(array: Singles) -> npt.NDArray[np.bool_]:
    return ~np.isfinite(array)


def _all_steps(training: Labelled, train: TrainSpec) -> int:
    """Steps that take an epoch through all rows."""
    return len(training) // (1 if train.batch_size == "auto" else train.windows) + 1


_PARTS = ("features", "labels")
