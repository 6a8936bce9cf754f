"""Layers of many networks side by side: every member's rows go through its own weights, all in one product.

M members, N rows a member, R = M N rows, member after member along the first dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from tidewright.models.torch.basis import Expansion
from tidewright.models.torch.dropout import STATES
from tidewright.models.torch.linear import RLinearCore, fill_gaps, keep_off_zero
from tidewright.models.torch.mixer import MixerLayer

NORMED = ("bias", "parametrizations.weight.original0", "parametrizations.weight.original1")  # of a convolution's parts


class GroupedLinear(nn.Module):
    """`nn.Linear` [R, ..., I] to [R, ..., O] with biases [M, O] and weights [M, I, O]: so their gradients lie."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        stack_members(self, layers)

    def forward(self, rows: Tensor) -> Tensor:
        each = rows.reshape(len(self.weight), -1, self.weight.shape[1])
        if self.bias is None:
            answer = torch.bmm(each, self.weight)
        else:
            answer = torch.baddbmm(self.bias.unsqueeze(1), each, self.weight)
        return answer.view(*rows.shape[:-1], -1)


class GroupedLayerNorm(nn.Module):
    """`nn.LayerNorm` with gains and offsets [M, ...]."""

    weight: Tensor
    bias: Tensor

    def __init__(self, layers: Sequence[nn.LayerNorm]) -> None:
        super().__init__()
        stack_members(self, layers)
        self.form, self.eps = layers[0].normalized_shape, layers[0].eps

    def forward(self, rows: Tensor) -> Tensor:
        normed = functional.layer_norm(rows, self.form, eps=self.eps)
        each = normed.view(len(self.weight), -1, *self.form)
        return torch.addcmul(self.bias.unsqueeze(1), each, self.weight.unsqueeze(1)).view(rows.shape)


class GroupedBatchNorm(nn.Module):
    """`nn.BatchNorm1d` on [R, F]: a member is normalised over its own rows."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, layers: Sequence[nn.BatchNorm1d]) -> None:
        super().__init__()
        stack_members(self, layers)
        self.eps, self.momentum = layers[0].eps, layers[0].momentum or 0.0

    def forward(self, rows: Tensor) -> Tensor:
        members, width = self.weight.shape
        side_by_side = rows.view(members, -1, width).transpose(0, 1).reshape(-1, members * width)
        normed = functional.batch_norm(
            side_by_side,
            self.running_mean.view(-1),
            self.running_var.view(-1),
            self.weight.view(-1),
            self.bias.view(-1),
            self.training,
            self.momentum,
            self.eps,
        )
        if self.training:
            self.num_batches_tracked += 1
        return normed.view(-1, members, width).transpose(0, 1).reshape(-1, width)


class GroupedConvolution(nn.Module):
    """`nn.Conv1d` [R, I, T] to [R, O, T'] with weights [M, O, I, K], weight-normalised or of a single step.

    `original0` [M, O, 1, 1] and `original1` [M, O, I, K] are torch's names of the gain and the direction.
    """

    def __init__(self, layers: Sequence[nn.Conv1d], *, names: Sequence[str]) -> None:
        super().__init__()
        for name in names:
            self.register_parameter(name.rsplit(".", 1)[-1], nn.Parameter(stack_tensors(layers, name)))
        self.stride, self.normed = layers[0].stride, "weight" not in names

    def forward(self, rows: Tensor) -> Tensor:
        weight = self.get_parameter("original1" if self.normed else "weight")
        members, channels, width, kernel = weight.shape
        if self.normed:
            norm = torch.linalg.vector_norm(weight, dim=(2, 3), keepdim=True)
            weight = weight * (self.get_parameter("original0") / norm)
        side_by_side = rows.reshape(members, -1, *rows.shape[1:]).transpose(0, 1).flatten(1, 2)  # [N, M I, T]
        kernels, bias = weight.reshape(-1, width, kernel), self.get_parameter("bias").view(-1)
        answer = functional.conv1d(side_by_side, kernels, bias, stride=self.stride, groups=members)
        return answer.view(len(answer), members, channels, -1).transpose(0, 1).flatten(0, 1)


class GroupedMixerLayer(nn.Module):
    """A TSMixer's layer on [R, F, T] whose own layers are grouped: its table [F, N x T] is one for each member."""

    def __init__(self, layer: MixerLayer) -> None:
        super().__init__()
        self.time_norm, self.time, self.feature_norm = layer.time_norm, layer.time, layer.feature_norm
        self.widen, self.narrow, self.dropout = layer.widen, layer.narrow, layer.dropout

    def forward(self, features: Tensor) -> Tensor:
        features = features + self.dropout(torch.relu(self.time(self.time_norm(features))))
        table = (
            self.feature_norm(features)
            .view(len(self.widen.get_parameter("weight")), -1, *features.shape[1:])
            .transpose(1, 2)
        )
        hidden = self.dropout(torch.relu_(_across(self.widen, table.flatten(2))))
        mixed = _across(self.narrow, hidden).view(table.shape).transpose(1, 2).reshape(features.shape)
        answer: Tensor = features + self.dropout(mixed)
        return answer


class GroupedExpansion(nn.Module):
    """A block's expansion in a basis that each member learns [M, J, length]."""

    basis: Tensor

    def __init__(self, layers: Sequence[Expansion], terms: nn.Module) -> None:
        super().__init__()
        stack_members(self, layers)
        self.terms, self.columns = terms, layers[0].columns

    def forward(self, state: Tensor) -> Tensor:
        terms = self.terms(state).view(len(self.basis), -1, self.basis.shape[1])  # [M, N C, J]
        return torch.bmm(terms, self.basis).view(len(state), self.columns, -1).transpose(1, 2)


class GroupedRLinear(nn.Module):
    """RLinear with a gain and an offset for each member [M]."""

    gain: Tensor
    offset: Tensor

    def __init__(self, layers: Sequence[RLinearCore], answer: nn.Module) -> None:
        super().__init__()
        stack_members(self, layers)
        self.answer, self.outputs = answer, layers[0].outputs

    def forward(self, values: Tensor, seen: Tensor, *_: Tensor | None) -> Tensor:
        gain, offset = (spread_rows(part.unsqueeze(1), len(values)) for part in (self.gain, self.offset))
        scores: Tensor = (self.answer(fill_gaps(values, seen) * gain + offset) - offset) / keep_off_zero(gain)
        return scores.reshape(-1, *self.outputs)


class GroupedDropout(nn.Module):
    """`Dropout` with a share and a stream of draws for each member: on a CPU the masks that each would get alone."""

    def __init__(self, shares: Sequence[float], draws: Sequence[Generator]) -> None:
        super().__init__()
        self.shares, self.draws = list(shares), list(draws)

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or not any(self.shares):
            return values
        if values.device.type == "cpu":
            return values * self._masks(values).view(values.shape)
        kept = 1.0 - torch.tensor(self.shares, device=values.device)
        each = spread_rows(kept, len(values)).view(-1, *[1] * (values.ndim - 1))
        return values * (torch.rand_like(values) < each) / each

    def _masks(self, values: Tensor) -> Tensor:
        """What each member's numbers are multiplied by [M, N ...]."""
        members = len(self.shares)
        count = values.numel() // members
        bits = torch.zeros(members, (count + 3) // 4, dtype=torch.int64)
        dropped = [max(1, round(share * STATES)) if share > 0 else 0 for share in self.shares]
        for row, draw, some in zip(bits, self.draws, dropped, strict=True):
            if some:
                row.random_(-(2**63), None, generator=draw)
        least = torch.tensor([some - STATES // 2 for some in dropped], dtype=torch.int16).unsqueeze(1)
        scale = torch.tensor([STATES / (STATES - some) for some in dropped]).unsqueeze(1)
        return (bits.view(torch.int16)[:, :count] >= least).to(values.dtype).mul_(scale)


def spread_rows(each: Tensor, rows: int) -> Tensor:
    """A tensor [M, ...] of members over their rows [R, ...].

    >>> spread_rows(torch.tensor([1, 2]), 4)
    tensor([1, 1, 2, 2])
    """
    return each.repeat_interleave(rows // len(each), dim=0)


def stack_members(grouped: nn.Module, layers: Sequence[nn.Module]) -> None:
    """Gives a grouped layer its members' parameters and buffers, side by side; None where they have none."""
    first = layers[0]
    for name, parameter in first._parameters.items():
        grouped.register_parameter(name, None if parameter is None else nn.Parameter(stack_tensors(layers, name)))
    if isinstance(first, nn.BatchNorm1d):
        for name in first._buffers:
            grouped.register_buffer(name, stack_tensors(layers, name))


def stack_tensors(layers: Sequence[nn.Module], name: str) -> Tensor:
    """A tensor of every layer [M, ...]; a linear layer's weights transposed."""
    each = [attrgetter(name)(layer).detach() for layer in layers]
    return torch.stack([own.T for own in each] if turned(layers[0], name) else each)


def turned(layer: nn.Module, name: str) -> bool:
    """Whether the grouped layer holds it transposed."""
    return isinstance(layer, nn.Linear) and name == "weight"


def _across(layer: nn.Module, tables: Tensor) -> Tensor:
    """What a grouped layer [M, I, O] gives for every column of tables [M, I, R]: [M, O, R]."""
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    return torch.baddbmm(bias.unsqueeze(2), weight.transpose(1, 2), tables)
