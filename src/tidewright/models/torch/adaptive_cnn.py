"""A convolutional network whose depth, kernel and head follow from the lookback and the answer.

N windows, L lookback, H horizon, P past, K known, M static features, C output columns (quantiles or the point), F
channels, R the steps that the convolutions leave.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tidewright.errors import ConfigError
from tidewright.models.specs.convolutional import AdaptiveCNN
from tidewright.models.torch.convolutional import same_conv
from tidewright.models.torch.dense import answer_layer, dense_stack
from tidewright.models.torch.dropout import Dropout
from tidewright.models.torch.shape import Shape
from tidewright.models.torch.steps import add_ahead, ahead_width, stack_steps, step_width

LEFT = 8  # steps that an automatic depth leaves, at most
KERNELS = (3, 7)  # the smallest and the largest automatic kernel
WIDEST_HEAD = 256  # of the automatic fully connected layers


class AdaptiveCNNCore(nn.Module):
    """Scores [N, H, C]: the lookback's values, mask, past and known features go through the convolutions; what is
    left, the known features over the horizon and the static ones go through the head.

    `start` [C] is what it answers before it has learned anything. Raises `ConfigError`.
    """

    def __init__(self, spec: AdaptiveCNN, shape: Shape, *, start: tuple[float, ...]) -> None:
        super().__init__()
        self.outputs = (shape.horizon, len(start))
        widths, kernel = conv_sizes(spec, shape.lookback)
        layers: list[nn.Module] = []
        for before, size in zip((step_width(shape), *widths), widths, strict=False):
            layers.append(same_conv(before, size, kernel_size=kernel, bias=not spec.batch_norm))
            layers += [*([nn.BatchNorm1d(size)] if spec.batch_norm else []), nn.ReLU()]
            layers += [nn.MaxPool1d(2)] if shape.lookback > 1 else []
            layers += [Dropout(spec.dropout)] if spec.dropout > 0 else []
        self.convolutions = nn.Sequential(*layers)
        left = max(shape.lookback >> len(widths), 1)
        self.pool = AttentionPool(widths[-1]) if spec.attention else nn.Flatten()
        width = widths[-1] * (1 if spec.attention else left) + ahead_width(shape)
        head = head_sizes(width, shape.horizon * len(start)) if spec.head is None else spec.head
        self.head = dense_stack(width, head, activation="relu", dropout=spec.dropout, batch_norm=spec.batch_norm)
        self.answer = answer_layer((width, *head)[-1], shape.horizon, start=start)

    def forward(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        steps = self.convolutions(stack_steps(values, seen, past, known).transpose(1, 2))
        state = add_ahead(self.pool(steps), lookback=values.shape[1], known=known, static=static)
        answer: Tensor = self.answer(self.head(state))
        return answer.reshape(-1, *self.outputs)


class AttentionPool(nn.Module):
    """The mean [N, F] of the steps [N, F, R] by weights that sum to one (additive attention, Bahdanau et al. 2015)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, width)
        self.score = nn.Linear(width, 1, bias=False)  # a bias would move every step alike

    def forward(self, steps: Tensor) -> Tensor:
        return (steps * self.weights(steps).unsqueeze(1)).sum(dim=2)

    def weights(self, steps: Tensor) -> Tensor:
        """How much each step counts [N, R]."""
        score = self.score(torch.tanh(self.hidden(steps.transpose(1, 2)))).squeeze(2)
        return torch.softmax(score, dim=1)


def conv_sizes(spec: AdaptiveCNN, lookback: int) -> tuple[tuple[int, ...], int]:
    """The width of each convolution, and their kernel size. Raises `ConfigError`.

    >>> conv_sizes(AdaptiveCNN(), 14), conv_sizes(AdaptiveCNN(), 96)
    (((16,), 3), ((16, 32, 64, 64), 7))
    """
    kernel = spec.kernel_size
    if kernel is None:
        kernel = min(max(lookback // 8 // 2 * 2 + 1, KERNELS[0]), KERNELS[1], (lookback - 1) // 2 * 2 + 1)
    if kernel % 2 == 0 or not 1 <= kernel <= lookback:
        raise ConfigError(
            f"the kernel_size of adaptive_cnn should be odd and within the lookback of {lookback} steps; got {kernel}. "
            "Give a smaller odd number, or a longer lookback."
        )
    layers = spec.layers
    if layers is None:
        layers = 1
        while lookback >> layers > LEFT:
            layers += 1
    most = max(lookback.bit_length() - 1, 1)
    if not 1 <= layers <= most:
        raise ConfigError(
            f"each layer of adaptive_cnn halves the steps, so a lookback of {lookback} allows 1 to {most} layers; got "
            f"{layers}. Give fewer layers, or a longer lookback."
        )
    return tuple(spec.channels * min(2**layer, 4) for layer in range(layers)), kernel


def head_sizes(width: int, answers: int) -> tuple[int, ...]:
    """Two widths between what comes in and what goes out, in even ratios, at most `WIDEST_HEAD` each.

    >>> head_sizes(128, 2), head_sizes(1000, 1), head_sizes(64, 64)
    ((32, 8), (100, 10), (64, 64))
    """
    ratio = answers / width
    return tuple(min(max(round(width * ratio ** (k / 3)), 1), WIDEST_HEAD) for k in (1, 2))
