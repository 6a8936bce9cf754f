"""A temporal convolutional network (Bai, Kolter, Koltun 2018), computed only where the last step looks.

N windows, L lookback, H horizon, P past, K known, M static features, C output columns (quantiles or the point), F
channels, b the factor by which the dilation grows from block to block, k the kernel size.

Only the state at the last step is used. A block of dilation b^i is asked for steps that lie b^i apart, so its input is
thinned to them and the convolution has no holes left; the numbers are those of the dilated network at its last step.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils.parametrizations import weight_norm

from tidewright.errors import ConfigError
from tidewright.models.specs.convolutional import TCN
from tidewright.models.torch.dense import answer_layer, dense_stack
from tidewright.models.torch.dropout import Dropout
from tidewright.models.torch.shape import Shape
from tidewright.models.torch.steps import add_ahead, ahead_width, stack_steps, step_width


class TCNCore(nn.Module):
    """Scores [N, H, C]: the lookback's values, mask, past and known features go through the blocks; the state of the
    last step, the known features over the horizon and the static ones go through the head.

    `start` [C] is what it answers before it has learned anything. Raises `ConfigError`.
    """

    recomputed: ClassVar[tuple[str, ...]] = ("blocks",)

    def __init__(self, spec: TCN, shape: Shape, *, start: tuple[float, ...]) -> None:
        super().__init__()
        self.outputs = (shape.horizon, len(start))
        base = dilation_base(spec, shape.lookback)
        width, blocks = step_width(shape), []
        for size in spec.num_channels:
            blocks.append(Block(width, size, kernel_size=spec.kernel_size, thinning=base, dropout=spec.dropout))
            width = size
        self.blocks = nn.Sequential(*blocks)
        width += ahead_width(shape)
        self.head = dense_stack(width, spec.head, activation="relu", dropout=spec.dropout, batch_norm=False)
        self.answer = answer_layer((width, *spec.head)[-1], shape.horizon, start=start)

    def forward(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        steps = stack_steps(values, seen, past, known).transpose(1, 2)
        state = add_ahead(self.blocks(steps)[:, :, -1], lookback=values.shape[1], known=known, static=static)
        answer: Tensor = self.answer(self.head(state))
        return answer.reshape(-1, *self.outputs)


class Block(nn.Module):
    """relu(x + dropout(relu(conv(dropout(relu(conv(x))))))) at every `thinning`-th step, the last among them,
    from all steps [N, F', L]. Steps before the first count as 0, as in the source.
    """

    def __init__(self, width: int, channels: int, *, kernel_size: int, thinning: int, dropout: float) -> None:
        super().__init__()
        self.first = weight_norm(start_conv(nn.Conv1d(width, channels, kernel_size)))
        self.second = weight_norm(start_conv(nn.Conv1d(channels, channels, kernel_size, stride=thinning)))
        self.skip = nn.Conv1d(width, channels, 1) if width != channels else nn.Identity()
        self.act, self.drop = nn.ReLU(), Dropout(dropout)
        self.thinning, self.reach = thinning, kernel_size - 1

    def forward(self, steps: Tensor) -> Tensor:
        inner = self.drop(self.act(self.first(pad(steps, (self.reach, 0)))))
        begin = (steps.shape[2] - 1) % self.thinning  # the first step that is kept, so that the last one is
        inner = self.second(pad(inner, (self.reach, 0))[:, :, begin:])
        kept: Tensor = self.skip(steps[:, :, begin :: self.thinning])
        answer: Tensor = self.act(kept + self.drop(self.act(inner)))
        return answer


def receptive_field(spec: TCN, base: int) -> int:
    """How many steps, the last one among them, can move the state of the last step.

    >>> receptive_field(TCN(num_channels=(32, 64, 128), kernel_size=3), 2)
    29
    """
    dilations: list[int] = [base**level for level in range(len(spec.num_channels))]
    return 1 + 2 * (spec.kernel_size - 1) * sum(dilations)


def dilation_base(spec: TCN, lookback: int) -> int:
    """The factor between the dilations of a network that sees its whole lookback. Raises `ConfigError`.

    >>> [dilation_base(TCN(), lookback) for lookback in (24, 125, 126, 1000)]
    [2, 2, 3, 4]
    """
    if not spec.num_channels or spec.kernel_size < 2:
        raise ConfigError(
            f"tcn needs a block at least and a kernel_size of 2 at least; got num_channels {spec.num_channels} and "
            f"kernel_size {spec.kernel_size}. Give num_channels a width for each block."
        )
    widest = 2 * spec.kernel_size - 1
    if spec.dilation_base is not None and not 1 <= spec.dilation_base <= widest:
        raise ConfigError(
            f"a dilation_base of 1 to {widest} leaves no step out with kernel_size {spec.kernel_size}; got "
            f"{spec.dilation_base}. Give one of these, or a larger kernel."
        )
    bases = range(2, widest + 1) if spec.dilation_base is None else (spec.dilation_base,)
    for base in bases:
        if receptive_field(spec, base) >= lookback:
            return base
    raise ConfigError(
        f"tcn sees {receptive_field(spec, bases[-1])} of the {lookback} steps of its lookback with num_channels "
        f"{spec.num_channels}, kernel_size {spec.kernel_size} and dilation_base {bases[-1]}. Give another block, a "
        "larger kernel_size or dilation_base, or a shorter lookback."
    )


def same_conv(width: int, channels: int, *, kernel_size: int, bias: bool = True) -> nn.Module:
    """A convolution over [N, F, L] that gives as many steps as it takes; steps beyond the ends count as 0."""
    if kernel_size % 2:
        return start_conv(nn.Conv1d(width, channels, kernel_size, padding=kernel_size // 2, bias=bias))
    ends = nn.ConstantPad1d((kernel_size // 2 - 1, kernel_size // 2), 0.0)
    return nn.Sequential(ends, start_conv(nn.Conv1d(width, channels, kernel_size, bias=bias)))


def start_conv(conv: nn.Conv1d) -> nn.Conv1d:
    """The same convolution with weights from He's normal (He et al. 2015) and a bias of 0."""
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv
