"""`PyTorchModelFactory`: networks made, tried, compared, exported and kept by their `ModelConfig`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import polars as pl

from tidewright.errors import FitError
from tidewright.models.classic import ModelConfig
from tidewright.optional import require
from tidewright.runtime import Device, Runtime, detect_runtime

if TYPE_CHECKING:
    from tidewright.models.torch.classic import ClassicNet
    from tidewright.registry.versions import ModelVersion
    from tidewright.workflows.tune_architecture import Tuned

Pair = tuple[Any, Any]  # features and labels, NumPy arrays or tensors
_UNTRAINED: WeakKeyDictionary[ClassicNet, str] = WeakKeyDictionary()  # those in use, and the digest they were made with


@dataclass(frozen=True, eq=False, slots=True)
class Performance:
    """How a network did on validation rows after it had learned, on the labels' own scale.

    `val_loss` is the mean squared error, `r2` the share of the labels' variance that is explained (NaN where they are
    constant; below 0: worse than their mean). `history` has one record an epoch, its losses in units of the labels'
    scale; `model` holds the weights of the best epoch. `runtime` says what computed it, and what was asked for.
    """

    config: ModelConfig
    val_loss: float
    mae: float
    rmse: float
    r2: float
    parameters: int
    seconds: float
    history: tuple[Mapping[str, Any], ...]
    model: ClassicNet = field(repr=False)
    runtime: Runtime = field(repr=False)


class PyTorchModelFactory:
    """Networks by their `ModelConfig`. Without a device they live on the CPU; "cuda" that isn't there is a
    `FallbackWarning`, kept in `runtime`, or with `strict` a `BackendError`."""

    def __init__(self, device: str | None = None, *, strict: bool = False) -> None:
        require("torch", extra="nets", purpose="PyTorchModelFactory")
        wanted: Device = "auto" if device is None else device  # type: ignore[assignment]  # detect_runtime checks it
        self.runtime = detect_runtime(wanted, strict=strict)
        self._latest: WeakValueDictionary[ModelConfig, ClassicNet] = WeakValueDictionary()

    def create_model(self, config: ModelConfig, *, seed: int = 0) -> ClassicNet:
        """An untrained network on the factory's device; equal seeds give equal bits."""
        from tidewright.models.torch.classic import build_classic, digest_weights

        model = build_classic(config, seed=seed).to(self.runtime.device.used)
        self._latest[config] = model
        _UNTRAINED[model] = digest_weights(model)
        return model

    def test_architecture(
        self,
        config: ModelConfig,
        train_data: Pair,
        val_data: Pair,
        *,
        epochs: int = 10,
        batch_size: int = 32,
        learning_rate: float = 0.001,
        patience: int = 5,
        seed: int = 0,
    ) -> Performance:
        """Teaches a new network of this config and scores it on the validation data, which also ends the training
        after `patience` epochs without a gain. The network that `create_model` gave last for an equal config, if it is
        still in use, gets the learned weights, so that it can be exported. Raises `DataError` and `FitError`.
        """
        from tidewright.models.torch.classic import build_classic, count_parameters
        from tidewright.training.fit_arrays import fit_classic, read_labelled, score_classic
        from tidewright.training.spec import TrainSpec

        training, judging = read_labelled(train_data, name="train_data"), read_labelled(val_data, name="val_data")
        train = TrainSpec(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            patience=patience,
            loss="mse",
            seed=seed,
        )
        started = time.perf_counter()
        model = build_classic(config, seed=seed)
        history = fit_classic(model, training=training, judging=judging, train=train, runtime=self.runtime)
        seconds = time.perf_counter() - started
        scores = score_classic(model, judging)
        latest = self._latest.get(config, model)
        latest.load_state_dict(model.state_dict())
        return Performance(
            config=config,
            **scores,
            parameters=count_parameters(model),
            seconds=seconds,
            history=history,
            model=latest.to(self.runtime.device.used).eval(),
            runtime=self.runtime,
        )

    def compare_architectures(
        self, configs: Sequence[ModelConfig], train_data: Pair, val_data: Pair, **training: Any
    ) -> pl.DataFrame:
        """One row a config, the lowest validation loss first; `training` is what `test_architecture` takes."""
        found = [self.test_architecture(config, train_data, val_data, **training) for config in configs]
        rows = [
            {
                "config": place,
                "architecture": one.config.architecture_type.value,
                "hidden_sizes": list(one.config.hidden_sizes),
                **{name: getattr(one, name) for name in ("val_loss", "mae", "rmse", "r2", "parameters", "seconds")},
                "epochs": len(one.history),
            }
            for place, one in enumerate(found)
        ]
        return pl.DataFrame(rows).sort("val_loss", maintain_order=True) if rows else pl.DataFrame()

    def tune_architecture(
        self,
        config: ModelConfig,
        train_data: Pair,
        val_data: Pair,
        *,
        space: Mapping[str, Sequence[Any]],
        trials: int = 20,
        seed: int = 0,
        **training: Any,
    ) -> Tuned:
        """The best of a config and what a `space` makes of it; see `tuning.combinations` for how it is searched.

        `space` gives the values to try by name: fields of `ModelConfig`, and epochs, batch_size, learning_rate and
        patience of `test_architecture`, whose other values are `training`.
        """
        from tidewright.workflows.tune_architecture import tune_architecture

        rows = (train_data, val_data)
        return tune_architecture(self, config, rows=rows, space=space, trials=trials, seed=seed, training=training)

    def export_to_onnx(
        self,
        model: Any,
        *,
        input_shape: Sequence[int] = (1, 100),
        output_path: str | Path = "model.onnx",
        untrained: bool = False,
    ) -> Path:
        """Writes the model as it is now as ONNX: `features` to `prediction`, the first dimension free, its answers
        held to torch's. Raises `ParityError`, and `FitError` for weights that are those that `create_model` drew
        (`untrained=True` exports even them).
        """
        from tidewright.models.torch.classic import ClassicNet, digest_weights
        from tidewright.registry.onnx_module import export_module

        known = isinstance(model, ClassicNet)  # others are refused, or exported, below
        if known and not untrained and _UNTRAINED.get(model) == digest_weights(model):
            raise FitError(
                "this model has not learned anything: its weights are those that create_model drew. Train it "
                "(test_architecture with its config does), or export it with untrained=True."
            )
        return export_module(model, input_shape=input_shape, path=output_path)

    def save_version(self, model: ClassicNet, folder: str | Path, *, notes: Mapping[str, Any] | None = None) -> int:
        """Keeps the model as the next version of a folder, and makes that the current one; its number."""
        from tidewright.registry.versions import save_version

        return save_version(model, folder, notes=notes)

    def load_version(self, folder: str | Path, *, number: int | None = None) -> ModelVersion:
        """The current version of a folder, or the one named, verified; its model is on the factory's device."""
        from tidewright.registry.versions import load_version

        version = load_version(folder, number=number)
        version.model.to(self.runtime.device.used)
        return version

    def rollback(self, folder: str | Path, *, number: int | None = None) -> int:
        """Makes the version before the current one (or the one named) the current one; its number."""
        from tidewright.registry.versions import rollback

        return rollback(folder, number=number)


def hand_over(model: ClassicNet) -> None:
    """Gives the weights of a model that has learned to every network in use that `create_model` made of an equal config
    and that has not learned anything, so that it can be exported."""
    from tidewright.models.torch.classic import digest_weights

    for other, drawn in list(_UNTRAINED.items()):
        if other is not model and other.config == model.config and digest_weights(other) == drawn:
            other.load_state_dict(model.state_dict())
