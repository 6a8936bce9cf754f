"""`ModelConfig`: the record of the four networks that `PyTorchModelFactory` makes. It needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from numbers import Integral
from typing import Any

from tidewright.catalog import explain_unknown
from tidewright.errors import ConfigError

ACTIVATIONS = ("relu", "tanh", "sigmoid", "gelu")


class ArchitectureType(StrEnum):
    """Which network. CNN_LSTM halves the steps after each convolution, so its LSTM reads fewer; HYBRID keeps all."""

    FEED_FORWARD = "feed_forward"
    LSTM = "lstm"
    HYBRID = "hybrid"
    CNN_LSTM = "cnn_lstm"


_RECURRENT = {"lstm_hidden_size": 64, "lstm_num_layers": 2, "lstm_bidirectional": False}
_CONVOLUTIONAL: dict[str, Any] = {"cnn_channels": (32, 64), "cnn_kernel_sizes": (3, 3)}
_OWN: dict[ArchitectureType, dict[str, Any]] = {
    ArchitectureType.FEED_FORWARD: {},
    ArchitectureType.LSTM: _RECURRENT,
    ArchitectureType.HYBRID: {**_RECURRENT, **_CONVOLUTIONAL},
    ArchitectureType.CNN_LSTM: {**_RECURRENT, **_CONVOLUTIONAL},
}


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A network on [N, input_size] (feed-forward) or [N, T, input_size] (the others) that gives [N, output_size].

    The `lstm_` and `cnn_` fields belong to the architectures that have such layers: left out, they take their usual
    values there (64 units, 2 layers, one direction; channels 32 and 64, kernels of 3) and stay None elsewhere, where
    giving one is an error. Lists become tuples. Raises `ConfigError`.

    >>> ModelConfig("lstm", 8, [16]).lstm_num_layers
    2
    >>> ModelConfig("feed_forward", 8, [16], lstm_num_layers=3)
    Traceback (most recent call last):
        ...
    tidewright.errors.ConfigError: feed_forward has no lstm_num_layers; got 3. Leave it out, or take lstm, ...
    """

    architecture_type: ArchitectureType
    input_size: int
    hidden_sizes: Sequence[int]
    output_size: int = 1
    dropout_rate: float = 0.2
    use_batch_norm: bool = True
    activation: str = "relu"
    lstm_hidden_size: int | None = None
    lstm_num_layers: int | None = None
    lstm_bidirectional: bool | None = None
    cnn_channels: Sequence[int] | None = None
    cnn_kernel_sizes: Sequence[int] | None = None

    def __post_init__(self) -> None:
        names = [kind.value for kind in ArchitectureType]
        if self.architecture_type not in names:
            raise ConfigError(explain_unknown("architecture", self.architecture_type, names))
        self._set("architecture_type", ArchitectureType(self.architecture_type))
        self._fill()
        self._set("hidden_sizes", _sizes("hidden_sizes", self.hidden_sizes))
        for name in ("input_size", "output_size", "lstm_hidden_size", "lstm_num_layers"):
            if getattr(self, name) is not None:
                self._set(name, _size(name, getattr(self, name)))
        self._check_shares()
        if self.activation not in ACTIVATIONS:
            raise ConfigError(explain_unknown("activation", self.activation, ACTIVATIONS))
        if self.cnn_channels is not None and self.cnn_kernel_sizes is not None:
            self._check_convolutions(self.cnn_channels, self.cnn_kernel_sizes)

    @property
    def sequential(self) -> bool:
        """Whether it reads [N, T, input_size]."""
        return self.architecture_type is not ArchitectureType.FEED_FORWARD

    def to_dict(self) -> dict[str, Any]:
        """The fields that this architecture has, as plain data; `ModelConfig(**data)` is the record again."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return {name: value for name, value in plain.items() if value is not None} | {
            "architecture_type": self.architecture_type.value
        }

    def _fill(self) -> None:
        """The usual values of the fields that this architecture has; any other that is set is an error."""
        own: Mapping[str, Any] = _OWN[self.architecture_type]
        for name in (*_RECURRENT, *_CONVOLUTIONAL):
            given = getattr(self, name)
            if given is None and name in own:
                self._set(name, own[name])
            elif given is not None and name not in own:
                others = ", ".join(kind for kind in ArchitectureType if name in _OWN[kind])
                raise ConfigError(
                    f"{self.architecture_type} has no {name}; got {given!r}. Leave it out, or take {others}."
                )

    def _check_shares(self) -> None:
        flags: dict[str, object] = {"use_batch_norm": self.use_batch_norm}
        if self.lstm_bidirectional is not None:
            flags["lstm_bidirectional"] = self.lstm_bidirectional
        for name, flag in flags.items():
            if not isinstance(flag, bool):
                raise ConfigError(f"{name} is True or False; got {flag!r}.")
        share: object = self.dropout_rate
        if not isinstance(share, int | float) or not 0.0 <= share < 1.0:
            raise ConfigError(f"dropout_rate is a share from 0 to below 1; got {share!r}.")

    def _check_convolutions(self, channels: Sequence[int], kernels: Sequence[int]) -> None:
        self._set("cnn_channels", _sizes("cnn_channels", channels))
        self._set("cnn_kernel_sizes", _sizes("cnn_kernel_sizes", kernels))
        if not channels or len(channels) != len(kernels):
            raise ConfigError(
                f"each convolution has channels and a kernel; got cnn_channels {list(channels)} and "
                f"cnn_kernel_sizes {list(kernels)}. Give one kernel size for each number of channels."
            )

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


def _sizes(name: str, values: Any) -> tuple[int, ...]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise ConfigError(f"{name} is a list of sizes such as [64, 32]; got {values!r}.")
    return tuple(_size(name, value) for value in values)


def _size(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ConfigError(f"{name} is a whole number, 1 or more; got {value!r}.")
    return int(value)
