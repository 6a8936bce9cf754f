"""`LSTMForecaster`, `TCNForecaster`, `TransformerForecaster`: networks of the catalog on windows that are cut already.

N windows, L lookback, F features, H horizon.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from tidewright.catalog import explain_unknown
from tidewright.errors import ConfigError, DataError, FitError
from tidewright.models.build import build_spec
from tidewright.models.spec import ModelSpec
from tidewright.optional import require
from tidewright.runtime import Device, detect_runtime
from tidewright.training.spec import TrainSpec

if TYPE_CHECKING:
    from tidewright.models.torch.network import ForecastNet
    from tidewright.training.fit_arrays import Singles

HELD = 5  # every fifth window, the last ones, ends the training when no validation windows are given
LEAST = 2 * HELD


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """How a forecaster learns: the options that all three share.

    `column` is the feature of X whose future y is (needed where there are several); `device` is "cpu", "cuda" or None
    (the CPU); without it there, "cuda" is a `FallbackWarning`, or with `strict` a `BackendError`.
    """

    epochs: int = 100
    batch_size: int = 16
    learning_rate: float = 3e-3
    patience: int = 20
    seed: int = 0
    device: str | None = None
    strict: bool = False
    column: int | None = None


class WindowForecaster:
    """A network of the catalog behind `fit(X, y)`, `predict(X)` and `evaluate(X, y)`.

    Each window is standardised by its own values of `column`, so a level that training never saw is no obstacle. NaN in
    X is a missing value.
    """

    def __init__(self, spec: ModelSpec, learning: Learning) -> None:
        require("torch", extra="nets", purpose="a forecaster")
        wanted: Device = "auto" if learning.device is None else learning.device  # type: ignore[assignment]  # checked
        self.spec, self.learning = spec, learning
        self.runtime = detect_runtime(wanted, strict=learning.strict)
        self.history: tuple[Mapping[str, Any], ...] = ()
        self.network: ForecastNet | None = None

    @property
    def parameters(self) -> int:
        """How many numbers the network has learned."""
        from tidewright.models.torch.classic import count_parameters

        return count_parameters(self._learned())

    def fit(self, X: Any, y: Any, *, validation: tuple[Any, Any] | None = None) -> None:
        """Learns from windows X [N, L, F] and what followed them, y [N] or [N, H].

        `validation` ends the training; without it the last fifth of the windows does, and is not learned from.
        """
        from tidewright.training.fit_arrays import fit_windows, read_labelled

        training = read_labelled((X, y), name="(X, y)", missing=True)
        self._check(training.features)
        if validation is not None:
            judging = read_labelled(validation, name="validation", missing=True)
        elif len(training) < LEAST:
            raise DataError(f"{len(training)} windows are too few to hold a fifth back; bring {LEAST} or validation=.")
        else:
            first = len(training) - len(training) // HELD
            training, judging = training.part(slice(0, first)), training.part(slice(first, None))
        options = self.learning
        self.network, self.history = fit_windows(
            self.spec,
            training=training,
            judging=judging,
            column=self._column(training.features),
            train=TrainSpec(
                epochs=options.epochs,
                batch_size=options.batch_size,
                learning_rate=options.learning_rate,
                patience=options.patience,
                seed=options.seed,
                loss="mse",
            ),
            runtime=self.runtime,
        )

    def predict(self, X: Any) -> Singles:
        """What follows windows X [N, L, F]: [N, H]. Raises `FitError` before `fit` and `DataError`."""
        from tidewright.training.fit_arrays import answer, read_array, split_column

        network, features = self._learned(), read_array(X, name="X")
        self._check(features)
        shape = network.shape
        if features.shape[1:] != (shape.lookback, 1 + shape.past):
            raise DataError(
                f"it learned from windows [N, {shape.lookback}, {1 + shape.past}]; X has shape {features.shape}."
            )
        own, others = split_column(features, self._column(features))
        return answer(network, own, *([others] if shape.past else []))[:, :, 0]

    def evaluate(self, X: Any, y: Any) -> dict[str, float]:
        """MAPE (a fraction, windows whose value is 0 left out), RMSE and MAE of the forecasts of X against y."""
        from tidewright.metrics.accuracy import Scored, score
        from tidewright.training.fit_arrays import read_labelled

        given = read_labelled((X, y), name="(X, y)", missing=True)
        scores = score(Scored(given.labels, self.predict(given.features)), ("mape", "rmse", "mae"))
        return {name.upper(): value for name, value in scores.items()}

    def _learned(self) -> ForecastNet:
        if self.network is None:
            raise FitError("this forecaster has not learned anything yet. Call fit(X, y) first.")
        return self.network

    def _column(self, features: Singles) -> int:
        width, column = int(features.shape[2]), self.learning.column
        if column is None and width > 1:
            raise ConfigError(
                f"X has {width} features: which one's future is y? Name its place with column=, say column=0."
            )
        if not -width <= (column or 0) < width:
            raise ConfigError(f"column is the place of a feature, below {width}; got {column}.")
        return (column or 0) % width

    def _check(self, features: Singles) -> None:
        if features.ndim != 3:
            raise DataError(f"X is [N, window, features]; got shape {features.shape}. Reshape it, say X[:, :, None].")


def open_forecaster(spec: ModelSpec, learning: Mapping[str, Any]) -> WindowForecaster:
    """The forecaster of a spec; an option that `Learning` does not have is a `ConfigError`."""
    known = [field.name for field in fields(Learning)]
    for name in learning:
        if name not in known:
            raise ConfigError(explain_unknown("option of a forecaster's learning", name, known))
    return WindowForecaster(spec, Learning(**learning))


class LSTMForecaster:
    """A long short-term memory network on windows: sequential data, medium-term dependencies.

    `learning` are the fields of `Learning`. See `WindowForecaster` for what its methods take.

    >>> import numpy as np
    >>> steps = np.arange(70.0)
    >>> X = np.lib.stride_tricks.sliding_window_view(steps[:-1], 10)[:, :, None]
    >>> model = LSTMForecaster(hidden_size=8, epochs=2)
    >>> model.fit(X, steps[10:])
    >>> model.predict(X[:5]).shape
    (5, 1)
    """

    def __init__(
        self,
        *,
        hidden_size: int = 32,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        **learning: Any,
    ) -> None:
        options = {"hidden": hidden_size, "layers": num_layers, "bidirectional": bidirectional}
        spec = build_spec("lstm", {**options, "dropout": dropout, "head": ()})
        self.forecaster = open_forecaster(spec, learning)

    def fit(self, X: Any, y: Any, *, validation: tuple[Any, Any] | None = None) -> None:
        """Learns from windows X [N, L, F] and what followed them, y [N] or [N, H]."""
        self.forecaster.fit(X, y, validation=validation)

    def predict(self, X: Any) -> Singles:
        """What follows windows X [N, L, F]: [N, H]."""
        return self.forecaster.predict(X)

    def evaluate(self, X: Any, y: Any) -> dict[str, float]:
        """MAPE (a fraction), RMSE and MAE of the forecasts of X against y."""
        return self.forecaster.evaluate(X, y)


class TCNForecaster:
    """A temporal convolutional network on windows: long-range dependencies, faster to learn than an LSTM.

    `learning` are the fields of `Learning`. See `WindowForecaster` for what its methods take.
    """

    def __init__(
        self,
        *,
        num_channels: Sequence[int] = (32, 64, 128),
        kernel_size: int = 3,
        dropout: float = 0.0,
        **learning: Any,
    ) -> None:
        spec = build_spec("tcn", {"num_channels": tuple(num_channels), "kernel_size": kernel_size, "dropout": dropout})
        self.forecaster = open_forecaster(spec, learning)

    def fit(self, X: Any, y: Any, *, validation: tuple[Any, Any] | None = None) -> None:
        """Learns from windows X [N, L, F] and what followed them, y [N] or [N, H]."""
        self.forecaster.fit(X, y, validation=validation)

    def predict(self, X: Any) -> Singles:
        """What follows windows X [N, L, F]: [N, H]."""
        return self.forecaster.predict(X)

    def evaluate(self, X: Any, y: Any) -> dict[str, float]:
        """MAPE (a fraction), RMSE and MAE of the forecasts of X against y."""
        return self.forecaster.evaluate(X, y)


class TransformerForecaster:
    """An encoder and a decoder with attention on windows: complex patterns, many covariates.

    `learning` are the fields of `Learning`. See `WindowForecaster` for what its methods take.
    """

    def __init__(
        self,
        *,
        d_model: int = 64,
        nhead: int = 4,
        num_encoder_layers: int = 1,
        num_decoder_layers: int = 1,
        dim_feedforward: int = 256,
        dropout: float = 0.0,
        **learning: Any,
    ) -> None:
        options = {
            "d_model": d_model,
            "nhead": nhead,
            "num_encoder_layers": num_encoder_layers,
            "num_decoder_layers": num_decoder_layers,
            "dim_feedforward": dim_feedforward,
        }
        spec = build_spec("transformer", {**options, "dropout": dropout})
        self.forecaster = open_forecaster(spec, learning)

    def fit(self, X: Any, y: Any, *, validation: tuple[Any, Any] | None = None) -> None:
        """Learns from windows X [N, L, F] and what followed them, y [N] or [N, H]."""
        self.forecaster.fit(X, y, validation=validation)

    def predict(self, X: Any) -> Singles:
        """What follows windows X [N, L, F]: [N, H]."""
        return self.forecaster.predict(X)

    def evaluate(self, X: Any, y: Any) -> dict[str, float]:
        """MAPE (a fraction), RMSE and MAE of the forecasts of X against y."""
        return self.forecaster.evaluate(X, y)
