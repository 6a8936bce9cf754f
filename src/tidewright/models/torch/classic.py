"""The networks of `ModelConfig`: raw features in, raw predictions out, with the scalings inside.

N rows, T steps, F input features, C outputs, U units of the LSTM, K channels.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from tidewright.errors import ConfigError
from tidewright.models.classic import ArchitectureType, ModelConfig
from tidewright.models.torch.dense import ACTIVATIONS, answer_layer, dense_stack
from tidewright.models.torch.dropout import Dropout
from tidewright.models.torch.recurrent import last_states, start_recurrent


def build_classic(config: ModelConfig, *, seed: int = 0) -> ClassicNet:
    """An untrained network; equal seeds give equal bits, and nobody else's draws move.

    >>> config = ModelConfig("hybrid", 3, [16], output_size=2)
    >>> build_classic(config).eval()(torch.ones(5, 12, 3)).shape
    torch.Size([5, 2])
    """
    if not isinstance(config, ModelConfig):
        raise ConfigError(f"a network is made from a ModelConfig; got {type(config).__name__}. Make one of its fields.")
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise ConfigError(f"seed is a whole number from 0 to 2**63 - 1; got {seed!r}.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ClassicNet(config)


class ClassicNet(nn.Module):
    """Answers [N, C] to [N, F] (feed-forward; [N, T, f] with T f = F is flattened) or [N, T, F] (the others).

    Each feature and each output has a mean and a scale (buffers, fitted on training rows; before that they change
    nothing), so that any units may come in and the same units go out.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.input_mean: Tensor
        self.input_scale: Tensor
        self.output_mean: Tensor
        self.output_scale: Tensor
        for name, width in (("input", config.input_size), ("output", config.output_size)):
            self.register_buffer(f"{name}_mean", torch.zeros(width))
            self.register_buffer(f"{name}_scale", torch.ones(width))
        body, width = _BODIES[config.architecture_type](config)
        self.body = body
        self.head = dense_stack(
            width,
            tuple(config.hidden_sizes),
            activation=config.activation,
            dropout=config.dropout_rate,
            batch_norm=config.use_batch_norm,
        )
        last = (width, *config.hidden_sizes)[-1]
        self.answer = answer_layer(last, 1, start=(0.0,) * config.output_size)

    def forward(self, features: Tensor) -> Tensor:
        return self.output_mean + self.output_scale * self.score(features)

    def score(self, features: Tensor) -> Tensor:
        """The answer [N, C] in units of the outputs' scale."""
        if not self.config.sequential:
            features = features.flatten(1)
        scaled = (features - self.input_mean) / self.input_scale
        return cast(Tensor, self.answer(self.head(self.body(scaled))))


def count_parameters(network: nn.Module) -> int:
    """How many numbers a network learns."""
    return sum(parameter.numel() for parameter in network.parameters())


def digest_weights(network: nn.Module) -> str:
    """Sixteen hexadecimal digits that name a network's parameters to the bit."""
    digest = blake2b(digest_size=8)
    for parameter in network.parameters():
        digest.update(np.ascontiguousarray(parameter.detach().cpu().numpy()).data)
    return digest.hexdigest()


class LastState(nn.Module):
    """The last state of each direction [N, U x directions] of an LSTM that has read [N, T, F]."""

    def __init__(self, width: int, config: ModelConfig) -> None:
        super().__init__()
        hidden, layers = config.lstm_hidden_size, config.lstm_num_layers
        assert hidden is not None
        assert layers is not None
        self.directions = 2 if config.lstm_bidirectional else 1
        self.recurrent = nn.LSTM(
            width,
            hidden,
            num_layers=layers,
            bidirectional=bool(config.lstm_bidirectional),
            dropout=config.dropout_rate if layers > 1 else 0.0,
            batch_first=True,
        )
        start_recurrent(self.recurrent)

    def forward(self, steps: Tensor) -> Tensor:
        return torch.cat(last_states(self.recurrent, steps), dim=1)


class Convolutions(nn.Module):
    """Convolutions over the steps of [N, T, F], each with batch normalisation (if asked for), activation and dropout.

    With `pooled`, the larger of every two neighbouring steps is kept after each: [N, about T / 2^layers, K].
    """

    def __init__(self, config: ModelConfig, *, pooled: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = config.input_size
        for channels, kernel in zip(config.cnn_channels or (), config.cnn_kernel_sizes or (), strict=True):
            convolution = nn.Conv1d(width, channels, kernel, bias=not config.use_batch_norm)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            layers += [nn.ConstantPad1d(((kernel - 1) // 2, kernel // 2), 0.0), convolution]
            layers += [nn.BatchNorm1d(channels)] if config.use_batch_norm else []
            layers += [ACTIVATIONS[config.activation]()]
            layers += [nn.MaxPool1d(2, ceil_mode=True)] if pooled else []
            layers += [Dropout(config.dropout_rate)] if config.dropout_rate > 0 else []
            width = channels
        self.layers = nn.Sequential(*layers)

    def forward(self, steps: Tensor) -> Tensor:
        return cast(Tensor, self.layers(steps.transpose(1, 2))).transpose(1, 2)


def _dense(config: ModelConfig) -> tuple[nn.Module, int]:
    return nn.Identity(), config.input_size


def _lstm(config: ModelConfig) -> tuple[nn.Module, int]:
    state = LastState(config.input_size, config)
    return state, state.directions * state.recurrent.hidden_size


def _hybrid(config: ModelConfig) -> tuple[nn.Module, int]:
    state = LastState((config.cnn_channels or ())[-1], config)
    pooled = config.architecture_type is ArchitectureType.CNN_LSTM
    return nn.Sequential(Convolutions(config, pooled=pooled), state), state.directions * state.recurrent.hidden_size


_BODIES = {
    ArchitectureType.FEED_FORWARD: _dense,
    ArchitectureType.LSTM: _lstm,
    ArchitectureType.HYBRID: _hybrid,
    ArchitectureType.CNN_LSTM: _hybrid,
}
